"""From a packet to a control message: the three payload forms, once the connection is up."""

import struct
from collections.abc import Callable
from functools import partial
from inspect import get_annotations
from typing import Any, Final

from etf_codec import Atom, EtfError, PacketReader, PacketRecord, Pid, Reference, Term, decode_bare

from erldist_proto._control import ControlMessage, parse
from erldist_proto._control_messages import (
    ALTACT_ALIAS,
    AliasSend,
    AltactSigSend,
    DemonitorP,
    MonitorP,
    RegSend,
    Send,
    SendSender,
)
from erldist_proto._dist_header import IncomingAtoms, Refs
from erldist_proto._errors import RemoteProtocolError
from erldist_proto._flags import DistFlags
from erldist_proto._fragments import FRAGMENT_START, Buffer, Fragments, Sequence
from erldist_proto._framing import COPY_BELOW_BYTES, Framing, Packet, whole
from erldist_proto._limits import ConnectionLimits, term_options
from erldist_proto._openings import Openings

VERSION_MAGIC: Final = 131
PASS_THROUGH: Final = 112
DIST_HEADER: Final = 68
MESSAGE_START: Final = bytes((VERSION_MAGIC, DIST_HEADER))
FIRST_FRAGMENT: Final = 69
NEXT_FRAGMENT: Final = 70
NEXT_FRAGMENT_START: Final = struct.Struct(">IBBQQ")
"""What precedes the payload of a continuation, with the length of its packet."""

HEADER_MODES: Final = DistFlags.DIST_HDR_ATOM_CACHE | DistFlags.FRAGMENTS
"""With either of these, messages carry a header; with neither they are passed through."""

RECORDED: Final[tuple[type[ControlMessage], ...]] = (AliasSend, MonitorP, DemonitorP)
"""What calls are made of, beside the messages below, and names a reference, so that no two begin alike: the
codec makes these, without the ways of `parse`."""

TO_ALIAS: Final = PacketRecord(
    AltactSigSend, ("flags", "from_pid", "to"), (ALTACT_ALIAS, Pid, Reference), others={"token": None}
)
"""The same for what answers calls from OTP 28 on."""

Message = tuple[ControlMessage, Term]
"""A control message, and its payload where it has one (None else)."""

REPEATING: Final = frozenset((Send, RegSend, SendSender))
"""Messages that two processes exchange over and over. The others name a reference or come once."""


def records(peer: str) -> dict[int, PacketRecord]:
    """What the codec is to make of the control tuples of a peer."""
    made = {}
    for kind in RECORDED:
        names, types = tuple(get_annotations(kind)), kind.shape[1:]
        made[kind.op] = PacketRecord(kind, names, types, kind.has_payload, peer if kind.owned else None)
    made[AltactSigSend.op] = TO_ALIAS
    return made


class Incoming:
    """Reads what a connected peer sends: keeps its atom cache and its unfinished messages."""

    __slots__ = (
        "_atoms",
        "_decode",
        "_has_header",
        "_limits",
        "_max_packet_bytes",
        "_now",
        "_openings",
        "_peer",
        "fragments",
        "read_one",
        "read_packets",
    )

    def __init__(self, peer: str, flags: DistFlags, limits: ConnectionLimits, none: Atom | None) -> None:
        self._peer = peer
        self._has_header = bool(flags & HEADER_MODES)
        self._atoms = IncomingAtoms()
        self._openings = Openings()
        options = term_options(limits, none)
        self._decode: Callable[..., tuple[Term, int]] = partial(decode_bare, **options)
        self._max_packet_bytes = most = limits.max_packet_bytes(flags)
        known = (self._openings.by_size, most, self._atoms.known, records(peer))
        reader = PacketReader(*known, **options)
        self.read_packets = reader.read
        self.read_one = reader.read_one
        self._limits = limits
        self._now = 0.0
        self.fragments = Fragments(limits)

    def handle_time(self, now: float) -> None:
        """Take the time that fragments are dated with; a message incomplete for too long is an error."""
        self._now = now
        deadline = self.fragments.deadline()
        if deadline is not None and now >= deadline:
            raise RemoteProtocolError(
                f"fragmented message unfinished after {self._limits.max_fragment_age:g} seconds"
            )

    def read(self, data: bytes, offset: int) -> tuple[list[Message], int]:
        """The messages of the next packets, as far as these begin as others did.

        Returns:
            The messages, and where the packet begins that `receive` is to read, or to say what is wrong with.
        """
        found, end, raw = self.read_packets(data, offset)
        return self.opened(data, found, end) if raw else (found, end)

    def opened(self, data: bytes, found: list[Any], end: int) -> tuple[list[Message], int]:
        """What `read` returns of packets among which there are some of which only the header was known."""
        for index, (message, read) in enumerate(found):
            if message is None:
                opened = self._opened(data, read)
                if opened is None:
                    return found[:index], read[0]
                found[index] = opened
        return found, end

    def _opened(self, data: bytes, read: tuple[Any, ...]) -> Message | None:
        """The message of a packet of which only the header was known; none if something is wrong."""
        try:
            message = parse(read[2])
            if message.owned:
                self._check_owner(message)
        except RemoteProtocolError:
            return None
        if len(read) != (4 if message.has_payload else 3):
            return None
        if type(message) in REPEATING:
            opening = data[read[0] + 4 : read[1]]
            refs, _ = self._atoms.read(opening, len(MESSAGE_START))
            self._openings.remember(opening, message, refs)
        return message, read[3] if message.has_payload else None

    def continued(self, framing: Framing) -> Message | None:
        """The message that the next fragments complete, after one that did not.

        They stand one behind the other for as long as the peer has nothing else to send, so they are read
        without what `receive` must find out about a packet. One that it cannot be is left to it.
        """
        if not self._has_header:
            return None
        for sequence in framing.read_ahead(self._read_fragments):
            try:
                return self._completed(sequence)
            except EtfError as undecodable:
                raise self._corrupted(undecodable) from undecodable
        return None

    def _read_fragments(self, data: bytes, offset: int) -> tuple[list[Sequence], int]:
        view = memoryview(data)
        size = len(data)
        proceed = self.fragments.proceed
        while (start := offset + NEXT_FRAGMENT_START.size) <= size:
            length, magic, form, sequence_id, fragment_id = NEXT_FRAGMENT_START.unpack_from(data, offset)
            end = offset + 4 + length
            if end > size or not COPY_BELOW_BYTES <= length <= self._max_packet_bytes:
                break
            if form != NEXT_FRAGMENT or magic != VERSION_MAGIC:
                break
            offset = end
            complete = proceed(sequence_id, fragment_id, view[start:end])
            if complete is not None:
                return [complete], offset
        return [], offset

    def receive(self, packet: Packet) -> Message | None:
        """The message that a packet completes, if any. The packet is not empty.

        Raises:
            RemoteProtocolError: It is no packet of the negotiated form, or holds what no node sends.
        """
        try:
            if type(packet) is bytes and self._has_header and packet.startswith(MESSAGE_START):
                return self._message(packet)  # nearly all that is not large
            if type(packet) is not bytes:
                # Only large packets are views, or several, and most of them are the middle of a message.
                first, *pieces = packet if isinstance(packet, list) else (packet,)
                if self._has_header and len(first) >= FRAGMENT_START.size:
                    magic, form, sequence_id, fragment_id = FRAGMENT_START.unpack_from(first)
                    if form == NEXT_FRAGMENT and magic == VERSION_MAGIC:
                        part = first[FRAGMENT_START.size :]
                        complete = self.fragments.proceed(sequence_id, fragment_id, part, *pieces)
                        return None if complete is None else self._completed(complete)
                packet = whole(packet)
            if not self._has_header:
                return self._pass_through(packet)
            return self._of_form(packet)
        except EtfError as undecodable:
            raise self._corrupted(undecodable) from undecodable

    def _corrupted(self, undecodable: EtfError) -> RemoteProtocolError:
        return RemoteProtocolError(f"corrupted external term from {self._peer}: {undecodable}")

    def _of_form(self, packet: Buffer) -> Message | None:
        if packet[0] != VERSION_MAGIC or len(packet) < 2:
            raise RemoteProtocolError(
                f"packet begins with {bytes(packet[:2])!r}, not with a distribution header"
            )
        form = packet[1]
        if form == NEXT_FRAGMENT:
            return self._next_fragment(packet)
        if form == DIST_HEADER:
            return self._message(packet)
        if form == FIRST_FRAGMENT:
            return self._first_fragment(packet)
        raise RemoteProtocolError(f"packet of the unknown form {form}")

    def _message(self, packet: Buffer) -> Message:
        atoms = self._atoms
        changes = atoms.changes
        refs, offset = atoms.read(packet, len(MESSAGE_START))
        message, offset = self._control(packet, offset, refs)
        if changes != atoms.changes:
            self._openings.clear()
        elif type(message) in REPEATING:
            self._openings.remember(bytes(packet[:offset]), message, refs)
        return self._with_payload(message, packet, offset, refs)

    def _pass_through(self, packet: Buffer) -> Message:
        if packet[0] != PASS_THROUGH:
            raise RemoteProtocolError(
                f"packet begins with {packet[0]}, but neither atom cache nor fragments are in use"
            )
        message, offset = self._control(packet, _after_magic(packet, 1), ())
        if message.has_payload:
            offset = _after_magic(packet, offset)
        return self._with_payload(message, packet, offset, ())

    def _control(self, packet: Buffer, offset: int, refs: Refs) -> tuple[ControlMessage, int]:
        term, offset = self._decode(packet, offset, atom_refs=refs)
        message = parse(term)
        if message.owned:
            self._check_owner(message)
        return message, offset

    def _check_owner(self, message: ControlMessage) -> None:
        owner = getattr(message, message.owned)
        if type(owner) is not Atom and owner.node != self._peer:
            kind = type(message).__name__
            raise RemoteProtocolError(f"{kind} for a process of {owner.node}, but from {self._peer}")

    def _with_payload(self, message: ControlMessage, packet: Buffer, offset: int, refs: Refs) -> Message:
        payload: Term = None
        if message.has_payload:
            payload, offset = self._decode(packet, offset, atom_refs=refs)
        if offset != len(packet):
            raise _too_much(len(packet) - offset, message)
        return message, payload

    def _first_fragment(self, packet: Buffer) -> Message | None:
        sequence_id, fragment_id = _fragment_ids(packet)
        atoms = self._atoms
        changes = atoms.changes
        refs, offset = atoms.read(packet, FRAGMENT_START.size)
        if changes != atoms.changes:
            self._openings.clear()
        message, offset = self._control(packet, offset, refs)
        sequence = Sequence(message, refs, fragment_id, self._now)
        complete = self.fragments.open(sequence_id, sequence, packet[offset:])
        return None if complete is None else self._completed(complete)

    def _next_fragment(self, packet: Buffer) -> Message | None:
        sequence_id, fragment_id = _fragment_ids(packet)
        complete = self.fragments.proceed(sequence_id, fragment_id, packet[FRAGMENT_START.size :])
        return None if complete is None else self._completed(complete)

    def _completed(self, sequence: Sequence) -> Message:
        message, refs = sequence.message, sequence.refs
        if not message.has_payload:
            return self._with_payload(message, b"".join(sequence.parts), 0, refs)
        # The parts as they are: the codec makes one binary of them, and the only copy.
        first, *rest = sequence.parts
        payload, end = self._decode(first, 0, rest=rest, atom_refs=refs)
        if end != sequence.payload_bytes:
            raise _too_much(sequence.payload_bytes - end, message)
        return message, payload


def _too_much(size: int, message: ControlMessage) -> RemoteProtocolError:
    return RemoteProtocolError(f"{size} bytes too many after {type(message).__name__}")


def _after_magic(packet: Buffer, offset: int) -> int:
    if offset >= len(packet) or packet[offset] != VERSION_MAGIC:
        raise RemoteProtocolError("a term that is passed through does not begin with 131")
    return offset + 1


def _fragment_ids(packet: Buffer) -> tuple[int, int]:
    try:
        _, _, sequence_id, fragment_id = FRAGMENT_START.unpack_from(packet)
    except struct.error:
        raise RemoteProtocolError("fragment header ends too early") from None
    return sequence_id, fragment_id
