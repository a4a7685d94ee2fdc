"""Terms to bytes: the version byte, compression, and the options."""

import zlib
from collections.abc import Iterable, Mapping
from struct import Struct
from typing import Any, Final, TypeAlias

from . import _tags as tags
from ._atom import Atom
from ._errors import EncodeError
from ._identifiers import Pid
from ._limits import DEFAULT_LIMITS, Limits
from ._term_writer import write_term
from ._terms import LocalTerm, Term
from ._writer import Writing, u8_u32

Parts: TypeAlias = list[bytes | memoryview]

# From this size on a binary stays a piece of its own: below it, copying is cheaper than one more buffer on
# the way to the socket.
LARGE_BYTES: Final = 16 * 1024

# The number of atoms in a distribution header is one byte.
MAX_REFERRED: Final = 255

_ATOM_CACHE_REFS: Final = tuple(bytes((tags.ATOM_CACHE_REF, index)) for index in range(MAX_REFERRED))
_VERSION: Final = tags.VERSION.to_bytes()
_PACKET_START: Final = Struct(">IBB")
_DIST_HEADER: Final = 68
_NO_OPERATIONS: Final[Mapping[type, int]] = {}
_DEFAULT_WRITING: Final = Writing(DEFAULT_LIMITS, None, False, False)


def encode(
    term: Term,
    *,
    compressed: bool | int = False,
    deterministic: bool = False,
    none: Atom | None = None,
    legacy_identifiers: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> bytes:
    """Write a term, as `term_to_binary/2` does.

    Args:
        term: What to write. Subclasses count as their base: a NamedTuple as a tuple, an IntEnum as an int.
        compressed: Whether to compress, or the zlib level 0-9. Kept plain if that is not smaller.
        deterministic: Write map keys in Erlang's order, so that equal terms give equal bytes.
        none: The atom that `None` stands for, such as `Atom("nil")`; without it `None` is an error.
        legacy_identifiers: Write pids, ports and references in the forms that OTP 22 and older know.
        limits: Bounds on what to write.

    Raises:
        EncodeError: Something has no external form, or is too much for the limits; `path` says where.
        ValueError: `compressed` is not a zlib level.
    """
    pieces: list[Any] = [_VERSION]
    if term.__class__ is LocalTerm:
        pieces.append(tags.LOCAL_EXT.to_bytes() + term.data)
    else:
        write_term(term, _writing(deterministic, none, legacy_identifiers, limits), None, pieces)
    data = b"".join(pieces)
    if compressed is not False and term.__class__ is not LocalTerm:
        data = _deflate(data, compressed)
    if len(data) > limits.max_bytes:
        raise EncodeError(f"the external form has {len(data)} bytes, max_bytes={limits.max_bytes}")
    return data


def encode_parts(
    term: Term,
    *,
    compressed: bool | int = False,
    deterministic: bool = False,
    none: Atom | None = None,
    legacy_identifiers: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Parts:
    """Write a term as `encode` does, in pieces of which large binaries are the very objects in the term.

    A `bytearray` or `memoryview` among them must not change until the pieces are sent.

    Args:
        term: As for `encode`.
        compressed: As for `encode`; the result is then one piece.
        deterministic: As for `encode`.
        none: As for `encode`.
        legacy_identifiers: As for `encode`.
        limits: As for `encode`.

    Raises:
        EncodeError: As for `encode`.
    """
    if compressed is not False or term.__class__ is LocalTerm:
        return [
            encode(
                term,
                compressed=compressed,
                deterministic=deterministic,
                none=none,
                legacy_identifiers=legacy_identifiers,
                limits=limits,
            )
        ]
    pieces: list[Any] = [_VERSION]
    write_term(term, _writing(deterministic, none, legacy_identifiers, limits), None, pieces)
    return _parts(pieces, limits)


def encode_bare(
    terms: Iterable[Term],
    atom_refs: Mapping[Atom, bytes] | None,
    *,
    none: Atom | None = None,
    legacy_identifiers: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Parts:
    """Write terms as they stand behind a distribution header: without version byte, with the caller's atoms.

    Args:
        terms: One term after the other: a control message, and its payload.
        atom_refs: How each atom is written, those in identifiers included; a `dict` with `__missing__` may
            hand out cache references as atoms come up. `None` writes all atoms in full.
        none: As for `encode`.
        legacy_identifiers: As for `encode`.
        limits: As for `encode`, for each term; `max_bytes` for all together.

    Returns:
        Pieces, of which large binaries are the very objects in the terms.

    Raises:
        EncodeError: As for `encode`.
    """
    pieces: list[Any] = []
    writing = _writing(False, none, legacy_identifiers, limits)
    for term in terms:
        write_term(term, writing, atom_refs, pieces)
    return _parts(pieces, limits)


class _References(dict[Atom, bytes]):
    """How the terms of one message write their atoms: the first of them as references, as they come up."""

    __slots__ = ()

    def __missing__(self, atom: Atom) -> bytes:
        index = len(self)
        self[atom] = encoded = _ATOM_CACHE_REFS[index] if index < MAX_REFERRED else atom.wire
        return encoded


def encode_referring(
    terms: Iterable[Term],
    *,
    none: Atom | None = None,
    legacy_identifiers: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[tuple[Atom, ...], Parts]:
    """Write terms as `encode_bare` does, with a reference for each atom: what a distribution header lists.

    Args:
        terms: As for `encode_bare`.
        none: As for `encode`.
        legacy_identifiers: As for `encode`.
        limits: As for `encode_bare`.

    Returns:
        The atoms referred to, `ATOM_CACHE_REF, i` being the i-th, at most 255 (further ones are written in
        full); and the pieces.

    Raises:
        EncodeError: As for `encode`.
    """
    references = _References()
    parts = encode_bare(terms, references, none=none, legacy_identifiers=legacy_identifiers, limits=limits)
    return tuple(references)[:MAX_REFERRED], parts


class PacketWriter:
    """Writes terms as whole packets: their length in 32 bits, 131, 68, the header for their atoms, the terms.

    Args:
        headers: Distribution headers, from their number of atoms on, by the atoms that they list; they may
            change between two packets.
        max_bytes: Longer terms are left to the caller.
        operations: What `write_message` begins messages with, by the class of their receivers.
        none: As for `encode`.
        legacy_identifiers: As for `encode`.
        limits: As for `encode_bare`.
    """

    __slots__ = ("_headers", "_max_bytes", "_operations", "_options")

    def __init__(
        self,
        headers: Mapping[tuple[Atom, ...], bytes],
        max_bytes: int,
        operations: Mapping[type, int] = _NO_OPERATIONS,
        *,
        none: Atom | None = None,
        legacy_identifiers: bool = False,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._headers = headers
        self._max_bytes = max_bytes
        self._operations = operations
        self._options: dict[str, Any] = {
            "none": none,
            "legacy_identifiers": legacy_identifiers,
            "limits": limits,
        }

    def write(self, terms: Iterable[Term]) -> bytes | tuple[tuple[Atom, ...], Parts]:
        """Write terms, of which `encode_bare` says more.

        Returns:
            The packet; or what `encode_referring` does, where the atoms need another header, the terms are
            too long, or a binary among them is so large that it stays a piece of its own.

        Raises:
            EncodeError: As for `encode`.
        """
        refs, parts = encode_referring(terms, **self._options)
        header = self._headers.get(refs)
        if header is None or len(parts) > 1 or len(parts[0]) > self._max_bytes:
            return refs, parts
        size = len(header) + len(parts[0])
        return b"".join((_PACKET_START.pack(2 + size, tags.VERSION, _DIST_HEADER), header, parts[0]))

    def write_message(
        self, sender: Pid, to: Term, message: Term
    ) -> bytes | tuple[tuple[Atom, ...], Parts] | None:
        """Write the terms `{Operation, FromPid, To}` and `Message`; None if there is no such operation."""
        operation = self._operations.get(type(to))
        return None if operation is None else self.write(((operation, sender, to), message))


def _writing(deterministic: bool, none: Atom | None, legacy_identifiers: bool, limits: Limits) -> Writing:
    if limits is DEFAULT_LIMITS and none is None and not deterministic and not legacy_identifiers:
        return _DEFAULT_WRITING
    return Writing(limits, none, deterministic, legacy_identifiers)


def _parts(pieces: list[Any], limits: Limits) -> Parts:
    """The pieces, all but the large ones joined."""
    sizes = list(map(len, pieces))
    if sum(sizes) > limits.max_bytes:
        raise EncodeError(f"the external form has {sum(sizes)} bytes, max_bytes={limits.max_bytes}")
    if not sizes or max(sizes) < LARGE_BYTES:
        return [b"".join(pieces)]
    parts: Parts = []
    start = 0
    for index, size in enumerate(sizes):
        if size >= LARGE_BYTES:
            if start < index:
                parts.append(b"".join(pieces[start:index]))
            parts.append(pieces[index])
            start = index + 1
    if start < len(pieces):
        parts.append(b"".join(pieces[start:]))
    return parts


def _deflate(data: bytes, level: bool | int) -> bytes:
    """The compressed form, if it is smaller."""
    if level is not True and not 0 <= level <= 9:
        raise ValueError(f"compressed is a bool or a zlib level 0-9, not {level}")
    size = len(data) - 1
    if size > 0xFFFF_FFFF:
        return data
    body = zlib.compress(memoryview(data)[1:], -1 if level is True else level)
    packed = _VERSION + u8_u32(tags.COMPRESSED, size) + body
    return packed if len(packed) < len(data) else data
