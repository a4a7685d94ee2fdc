"""The distribution header and the atom cache behind it (ERTS: External Term Format, Distribution Header).

Each direction of a connection has a cache of 2048 slots. A header lists the atoms of its message: those new
to the receiver with their text, the others by slot. Terms then say `ATOM_CACHE_REF, i` for the i-th atom of
the list.
"""

from typing import Final

from etf_codec import Atom

from erldist_proto._errors import RemoteProtocolError

SLOTS: Final = 2048

NEW_ENTRY: Final = 8
SEGMENT: Final = 7
LONG_ATOMS: Final = 1

MEMO_SIZE: Final = 64
"""Headers without a new entry repeat (the same two processes, the same tags), so both directions keep them
until the cache changes, or this many are known. One that lists node names and a tag serves many processes."""

Refs = tuple[Atom, ...]
NO_REFS_HEADER: Final = b"\0"
"""A number of 0, and then not even the byte of flags."""


class IncomingAtoms:
    """The cache of what the peer sends: reads headers."""

    __slots__ = ("_slots", "changes", "known")

    def __init__(self) -> None:
        self._slots: list[Atom | None] = [None] * SLOTS
        self.known: dict[bytes, Refs] = {}
        """Headers without new entries, from their number of atoms on: they are good while the cache is."""
        self.changes = 0
        """How many headers had new entries."""

    def read(self, packet: bytes | memoryview, offset: int) -> tuple[Refs, int]:
        """The atoms that a header at `offset` lists, and where the terms begin. New entries enter the cache.

        Raises:
            RemoteProtocolError: The header ends too early, names an empty slot or holds a text that is no
                atom.
        """
        if offset >= len(packet):
            raise RemoteProtocolError("distribution header without a number of atoms")
        count = packet[offset]
        if not count:
            return (), offset + 1
        # What a header without new entries would be; whether it has any is decided by its first bytes, so
        # that a hit is always the same header.
        end = offset + 2 + count // 2 + count
        key = packet[offset:end]
        if type(key) is not bytes:
            key = bytes(key)
        known = self.known.get(key)
        if known is not None:
            return known, end
        try:
            refs, after = self._read_refs(packet, offset + 1, count)
        except IndexError:
            raise RemoteProtocolError("distribution header ends too early") from None
        if after == end:
            if len(self.known) >= MEMO_SIZE:
                self.known.clear()
            self.known[key] = refs
        return refs, after

    def _read_refs(self, packet: bytes | memoryview, flags_at: int, count: int) -> tuple[Refs, int]:
        offset = flags_at + count // 2 + 1
        long_atoms = _nibble(packet, flags_at, count) & LONG_ATOMS
        refs: list[Atom] = []
        changed = False
        for index in range(count):
            nibble = _nibble(packet, flags_at, index)
            slot = (nibble & SEGMENT) << 8 | packet[offset]
            offset += 1
            if nibble & NEW_ENTRY:
                atom, offset = _read_text(packet, offset, long_atoms)
                self._slots[slot] = atom
                changed = True
            else:
                cached = self._slots[slot]
                if cached is None:
                    raise RemoteProtocolError(
                        f"distribution header refers to slot {slot} of the atom cache, which is empty"
                    )
                atom = cached
            refs.append(atom)
        if changed:
            self.known.clear()
            self.changes += 1
        return tuple(refs), offset


def _nibble(packet: bytes | memoryview, flags_at: int, index: int) -> int:
    return packet[flags_at + index // 2] >> 4 * (index & 1) & 15


def _read_text(packet: bytes | memoryview, offset: int, long_atoms: int) -> tuple[Atom, int]:
    if long_atoms:
        length = packet[offset] << 8 | packet[offset + 1]
        offset += 2
    else:
        length = packet[offset]
        offset += 1
    text = bytes(packet[offset : offset + length])
    if len(text) < length:
        raise RemoteProtocolError("distribution header ends inside an atom")
    try:
        return Atom(text.decode("utf-8")), offset + length
    except ValueError as wrong:
        raise RemoteProtocolError(f"distribution header with a text that is no atom: {wrong}") from None


class InlineAtoms(dict[Atom, bytes]):
    """How atoms are written where no cache was negotiated: with their text. Remembers some thousand."""

    __slots__ = ()

    def __missing__(self, atom: Atom) -> bytes:
        if len(self) >= SLOTS:
            self.clear()
        self[atom] = encoded = atom.wire
        return encoded


class OutgoingAtoms:
    """The cache of what we send: writes headers."""

    __slots__ = ("_atoms", "_next", "_slots", "known")

    def __init__(self) -> None:
        self._slots: dict[Atom, int] = {}
        self._atoms: list[Atom | None] = [None] * SLOTS
        self._next = 0
        self.known: dict[Refs, bytes] = {}
        """Headers without new entries, by their atoms; a message that needs one can go out at once."""

    def header(self, refs: Refs) -> bytes:
        """The header (from its number of atoms on) for a message with these atoms; it must then be sent.

        A new atom takes the next slot round the table, so the slot that has been longest in use is given up
        first, though never one that this message needs itself.
        """
        if not refs:
            return NO_REFS_HEADER
        header = self.known.get(refs)
        if header is None:
            header = self._compose(refs)
        return header

    def _compose(self, refs: Refs) -> bytes:
        slots = self._slots
        needed = {slots[atom] for atom in refs if atom in slots}
        new = [atom for atom in refs if atom not in slots]
        texts = {atom: atom.name.encode("utf-8") for atom in new}
        width = 2 if any(len(text) > 255 for text in texts.values()) else 1
        for atom in new:
            needed.add(self._allot(atom, needed))
        nibbles = [slots[atom] >> 8 | (NEW_ENTRY if atom in texts else 0) for atom in refs]
        nibbles.append(LONG_ATOMS if width == 2 else 0)
        if len(nibbles) % 2:
            nibbles.append(0)
        header = bytearray((len(refs),))
        header += bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))
        for atom in refs:
            header.append(slots[atom] & 255)
            if atom in texts:
                header += len(texts[atom]).to_bytes(width) + texts[atom]
        if not new:
            self._remember(refs, bytes(header))
        return bytes(header)

    def _allot(self, atom: Atom, needed: set[int]) -> int:
        while self._next in needed:
            self._next = (self._next + 1) % SLOTS
        slot = self._next
        self._next = (slot + 1) % SLOTS
        given_up = self._atoms[slot]
        if given_up is not None:
            del self._slots[given_up]
            # Only a slot that changes its atom makes a remembered header wrong.
            self.known.clear()
        self._atoms[slot] = atom
        self._slots[atom] = slot
        return slot

    def _remember(self, refs: Refs, header: bytes) -> None:
        if len(self.known) >= MEMO_SIZE:
            self.known.clear()
        self.known[refs] = header
