"""Bytes to terms: the version byte, compression, and the options."""

import zlib
from collections.abc import Container, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from . import _tags as tags
from ._atom import Atom
from ._errors import DecodeError, LimitExceeded, TruncatedError
from ._limits import DEFAULT_LIMITS, MAX_BYTES, Limits
from ._packet_record import PacketRecord
from ._reader import Data, Reading, u32
from ._term_reader import read_term
from ._terms import LocalTerm, Term

# A deflate stream cannot do better than 1032:1, so for a larger promise the input is too short.
_MAX_DEFLATE_RATIO: Final = 1100
_RATIO_MATTERS_FROM: Final = 1024 * 1024

# Below this size it is cheaper to copy a buffer into `bytes` than to read through a memoryview.
_COPY_BELOW: Final = 16 * 1024

# What precedes the number of atoms in a packet with a distribution header, its length aside.
_HEADER_START: Final = bytes((tags.VERSION, 68))

Buffer: TypeAlias = "bytes | bytearray | memoryview"

_NO_HEADERS: Final[Mapping[bytes, Sequence[Atom]]] = {}
_NO_RECORDS: Final[Mapping[int, PacketRecord]] = {}


def _as_text(data: Any) -> str:
    return str(data, "utf-8")


_DEFAULT_READING: Final = Reading(DEFAULT_LIMITS, None, None, None)


def _prepare(
    data: Buffer,
    binaries: str,
    none: Atom | None,
    atoms: Container[Atom | str] | None,
    copy_binaries: bool,
    limits: Limits,
) -> tuple[Data, Reading]:
    """The input as something to index and slice, and the options as the readers want them."""
    if binaries not in ("bytes", "str"):
        raise ValueError(f'binaries is "bytes" or "str", not {binaries!r}')
    convert: Any = _as_text if binaries == "str" else None
    if isinstance(data, bytes) and copy_binaries:
        return data, Reading(limits, convert, none, atoms)
    view = memoryview(data)
    if copy_binaries and (view.nbytes < _COPY_BELOW or not view.contiguous):
        return bytes(view), Reading(limits, convert, none, atoms)
    if copy_binaries and convert is None:
        convert = bytes
    return view.cast("B").toreadonly(), Reading(limits, convert, none, atoms, views=True)


def decode(
    data: Buffer,
    *,
    binaries: Literal["bytes", "str"] = "bytes",
    none: Atom | None = None,
    atoms: Container[Atom | str] | None = None,
    copy_binaries: bool = True,
    limits: Limits = DEFAULT_LIMITS,
) -> Term:
    """Read one term, as `binary_to_term/1` does, from an input that holds nothing else.

    Args:
        data: The external form, from the version byte 131 on; compressed or not.
        binaries: What a binary becomes: `bytes`, or `str` for data that is UTF-8 text throughout.
        none: An atom to read as `None`, such as `Atom("nil")` for data from Elixir.
        atoms: If given, the only atoms to accept (next to `true` and `false`): the analogue of `[safe]`.
        copy_binaries: If false, binaries are read-only memoryviews into `data`, which they keep alive.
        limits: Bounds on what to accept.

    Raises:
        TruncatedError: The input ends inside the term.
        LimitExceeded: The term is larger or deeper than the limits.
        DecodeError: The bytes are not a term, or something follows it.
    """
    size = len(data)
    if size == 3 and data[1] == 97 and data[0] == 131:
        return data[2]
    view: Data
    if (
        data.__class__ is bytes
        and limits is DEFAULT_LIMITS
        and none is None
        and atoms is None
        and copy_binaries
        and binaries == "bytes"
    ):
        if size > 6 and data[1] == 109 and data[0] == 131 and u32(data, 2)[0] == size - 6 < MAX_BYTES - 6:
            return data[6:]
        view, reading = data, _DEFAULT_READING
    else:
        view, reading = _prepare(data, binaries, none, atoms, copy_binaries, limits)
        size = len(view)
    if size > limits.max_bytes:
        raise LimitExceeded(f"{size} bytes of input, max_bytes={limits.max_bytes}")
    term, end = _read_envelope(view, 0, reading)
    if end != size:
        raise DecodeError(f"{size - end} bytes follow the term: decode_prefix reads one term of several", end)
    return term


def decode_prefix(
    data: Buffer,
    offset: int = 0,
    *,
    binaries: Literal["bytes", "str"] = "bytes",
    none: Atom | None = None,
    atoms: Container[Atom | str] | None = None,
    copy_binaries: bool = True,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[Term, int]:
    """Read the term that starts at `offset`, whatever follows it.

    Args:
        data: A buffer with the external form of a term, from the version byte 131 on.
        offset: Where it starts.
        binaries: As for `decode`.
        none: As for `decode`.
        atoms: As for `decode`.
        copy_binaries: As for `decode`.
        limits: As for `decode`.

    Returns:
        The term, and the offset behind it.

    Raises:
        TruncatedError: More bytes are needed; try again with a longer buffer.
        LimitExceeded: The term is larger or deeper than the limits.
        DecodeError: The bytes are not a term.
    """
    view, reading = _prepare(data, binaries, none, atoms, copy_binaries, limits)
    try:
        term, end = _read_envelope(view, offset, reading)
    except TruncatedError:
        if len(view) - offset <= limits.max_bytes:
            raise
        term, end = None, len(view)
    if end - offset > limits.max_bytes:
        raise LimitExceeded(f"a term of more than max_bytes={limits.max_bytes} bytes", offset)
    return term, end


def decode_bare(
    data: Buffer,
    offset: int = 0,
    *,
    rest: Sequence[Buffer] = (),
    atom_refs: Sequence[Atom] = (),
    binaries: Literal["bytes", "str"] = "bytes",
    none: Atom | None = None,
    atoms: Container[Atom | str] | None = None,
    copy_binaries: bool = True,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[Term, int]:
    """Read a term as it stands behind a distribution header: no version byte, but atom cache references.

    Args:
        data: A buffer.
        offset: Where the term starts.
        rest: What follows `data`, in parts. The native codec copies a large binary out of them only once.
        atom_refs: The atoms that the header lists: ATOM_CACHE_REF i is `atom_refs[i]`.
        binaries: As for `decode`.
        none: As for `decode`.
        atoms: As for `decode`.
        copy_binaries: As for `decode`.
        limits: As for `decode`.

    Returns:
        The term, and the offset behind it, counted through the parts.

    Raises:
        DecodeError: The bytes are not a term; its subclasses as for `decode_prefix`.
    """
    if rest:
        data = b"".join((data, *rest))
    if (
        isinstance(data, bytes)
        and limits is DEFAULT_LIMITS
        and none is None
        and atoms is None
        and copy_binaries
        and binaries == "bytes"
    ):
        return read_term(data, offset, _DEFAULT_READING, atom_refs)
    view, reading = _prepare(data, binaries, none, atoms, copy_binaries, limits)
    return read_term(view, offset, reading, atom_refs)


class PacketReader:
    """Reads packets that begin as others did before, in one call for a whole read.

    A packet is a length of 32 bits, and an opening with a term behind it; or 131, 68, a header, a tuple and
    maybe one more term: all terms in the form that `decode_bare` reads.

    Args:
        openings: By size, then by content: what an opening stands for, and the atoms its term may refer to.
            No opening may begin another.
        max_packet_bytes: A packet that announces more ends the run.
        headers: Distribution headers without new entries, from their number of atoms on, and those atoms.
        records: What to make of a tuple, by the integer that it begins with.
        none: As for `decode`.
        limits: As for `decode`.

    The openings and the headers may change between two reads.
    """

    __slots__ = ("_headers", "_max_packet_bytes", "_openings", "_options", "_records")

    def __init__(
        self,
        openings: Mapping[int, Mapping[bytes, tuple[Any, Sequence[Atom]]]],
        max_packet_bytes: int,
        headers: Mapping[bytes, Sequence[Atom]] = _NO_HEADERS,
        records: Mapping[int, PacketRecord] = _NO_RECORDS,
        *,
        none: Atom | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._openings = openings
        self._max_packet_bytes = max_packet_bytes
        self._headers = headers
        self._records = records
        self._options: dict[str, Any] = {"none": none, "limits": limits}

    def read(self, data: bytes, offset: int) -> tuple[list[tuple[Any, Any]], int, int]:
        """Read a run of packets.

        It ends at a packet that is not all there, too long, or begins in another way, and at one whose terms
        are not to be decoded or do not end with it: that packet is for the caller to read, who has the rules
        and the errors for it.

        Args:
            data: What was read.
            offset: Where the first packet starts.

        Returns:
            For each packet what its opening stands for, or what was made of its tuple, and the term (None
            where none belongs to it); where there is neither None, and a tuple of the packet's offset, that
            of the end of the first term, and the terms. Then the offset of the packet that ended the run, and
            how many packets there are of the latter kind.
        """
        found: list[tuple[Any, Any]] = []
        raw = 0
        size = len(data)
        view = memoryview(data)
        while (start := offset + 4) <= size:
            (length,) = u32(data, offset)
            end = start + length
            if end > size or length > self._max_packet_bytes:
                break
            opening: tuple[Any, Sequence[Atom]] | None = None
            for width, known in self._openings.items():
                opening = known.get(data[start : start + width]) if width <= length else None
                if opening is not None:
                    break
            else:
                width, opening = _after_header(data, start, end, self._headers)
            if opening is None:
                break
            packet: Buffer = data[start:end] if length < _COPY_BELOW else view[start:end]
            try:
                contents = self._contents(packet, width, *opening, offset)
            except DecodeError:
                break
            if contents is None:
                break
            found.append(contents)
            raw += contents[0] is None
            offset = end
        return found, offset, raw

    def read_one(self, data: bytes) -> tuple[Any, Any] | None:
        """Read a packet that is all of the data, as most reads of a conversation are.

        Returns:
            What the packet's opening stands for, or what was made of its tuple, and the term; None for
            anything else, which is for `read`.
        """
        if len(data) < 4 or u32(data, 0)[0] != len(data) - 4:
            return None
        found, _, raw = self.read(data, 0)
        return found[0] if found and not raw else None

    def _contents(
        self, packet: Buffer, width: int, means: Any, refs: Sequence[Atom], offset: int
    ) -> tuple[Any, Any] | None:
        """What there is to return of a packet; None if it is the caller's."""
        term, read = decode_bare(packet, width, atom_refs=refs, **self._options)
        if means is None:
            if term.__class__ is not tuple:
                return None
            terms = [offset, offset + 4 + read, term]
            means = self._record(term, read < len(packet))
            if read < len(packet):
                term, read = decode_bare(packet, read, atom_refs=refs, **self._options)
                terms.append(term)
            elif means is not None:
                term = None
            if means is None:
                term = tuple(terms)
        return (means, term) if read == len(packet) else None

    def _record(self, term: tuple[Term, ...], has_term: bool) -> Any:
        """What is to be made of a tuple, None if nothing."""
        known = self._records.get(term[0]) if term and type(term[0]) is int else None
        if known is None or known.has_term != has_term or len(term) != 1 + len(known.types):
            return None
        if not all(map(_is_of, term[1:], known.types)):
            return None
        if known.node is not None and term[1].node != known.node:
            return None
        made: object = object.__new__(known.made)
        for name, value in zip(known.names, term[1:], strict=True):
            setattr(made, name, value)
        for name, value in known.others.items():
            setattr(made, name, value)
        return made


def _is_of(value: Term, kinds: type | tuple[type, ...] | int) -> bool:
    """Whether an element of a tuple is what a record wants."""
    if isinstance(kinds, int):
        return type(value) is int and value == kinds
    return type(value) in kinds if isinstance(kinds, tuple) else type(value) is kinds


def _after_header(
    data: bytes, start: int, end: int, headers: Mapping[bytes, Sequence[Atom]]
) -> tuple[int, tuple[Any, Sequence[Atom]] | None]:
    """How many bytes of a packet its header ends after, and the atoms that it lists, if it is known."""
    number = start + len(_HEADER_START)
    if number >= end or data[start:number] != _HEADER_START:
        return 0, None
    after = number + 2 + data[number] // 2 + data[number]
    refs = headers.get(data[number:after]) if after <= end else None
    return after - start, None if refs is None else (None, refs)


def _read_envelope(data: Data, offset: int, reading: Reading) -> tuple[Term, int]:
    """A term with its version byte, compressed or not."""
    size = len(data)
    if offset >= size:
        raise TruncatedError("no input", size)
    if data[offset] != tags.VERSION:
        raise DecodeError(f"a term starts with the byte 131, not {data[offset]}", offset)
    tag = data[offset + 1] if offset + 1 < size else None
    if tag == tags.COMPRESSED:
        return _inflate(data, offset + 2, reading)
    if tag == tags.LOCAL_EXT and offset == 0:
        return _local(data), size
    return read_term(data, offset + 1, reading, ())


def _local(data: Data) -> LocalTerm:
    if len(data) < 6:
        raise TruncatedError("the input ends within a local term", len(data))
    return LocalTerm(bytes(data[2:]))


def _inflate(data: Data, pos: int, reading: Reading) -> tuple[Term, int]:
    """The term within a compressed one. Never makes more bytes than declared, and that within the limit."""
    if pos + 4 > len(data):
        raise TruncatedError("the input ends within a compressed term", len(data))
    (declared,) = u32(data, pos)
    limit = reading.limits.max_uncompressed_bytes
    if declared > limit:
        raise LimitExceeded(f"a compressed term of {declared} bytes, max_uncompressed_bytes={limit}", pos)
    packed = memoryview(data)[pos + 4 :]
    if declared > _RATIO_MATTERS_FROM and declared > _MAX_DEFLATE_RATIO * len(packed):
        raise TruncatedError(f"{declared} bytes declared, but the input ends before them", len(data))
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(packed, declared + 1)
    except zlib.error as error:
        raise DecodeError(f"a compressed term that does not inflate: {error}", pos) from None
    if len(body) > declared:
        raise DecodeError(
            f"a compressed term that inflates to more than the {declared} bytes it declares", pos
        )
    if not inflater.eof:
        raise TruncatedError("the input ends within a compressed term", len(data))
    if len(body) < declared:
        raise DecodeError(f"a compressed term of {len(body)} bytes that declares {declared}", pos)
    try:
        term, end = read_term(body, 0, reading, ())
    except DecodeError as error:
        # More input cannot complete the inflated body, so this is never a TruncatedError.
        kind = LimitExceeded if isinstance(error, LimitExceeded) else DecodeError
        raise kind(f"{error.args[0]}, in the inflated body", error.offset) from None
    if end != declared:
        raise DecodeError(f"{declared - end} bytes follow the term in the inflated body", end)
    return term, len(data) - len(inflater.unused_data)
