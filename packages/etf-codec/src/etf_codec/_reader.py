"""The terms without elements: for each tag a function that reads one.

`READERS[tag](data, offset of the tag, reading, atom_refs)` gives the term and the offset behind it. A reader
may raise IndexError or struct.error where the input ends: the decoder makes a TruncatedError of it.
"""

import re
from collections.abc import Callable, Container, Sequence
from math import isfinite
from struct import Struct
from typing import Any, Final, NoReturn, TypeAlias

from . import _tags as tags
from ._atom import MAX_ATOM_CHARACTERS, Atom
from ._errors import DecodeError, LimitExceeded, TruncatedError
from ._identifiers import Pid, Port, Reference
from ._limits import Limits
from ._terms import BitString, Term

Data: TypeAlias = "bytes | memoryview"
AtomRefs: TypeAlias = Sequence[Atom]
Reader: TypeAlias = "Callable[[Data, int, Reading, AtomRefs], tuple[Term, int]]"

# Enough for the atoms and processes of a busy cluster; when full it starts anew, so a peer that invents names
# costs speed and never memory.
MAX_CACHED: Final = 4096

# OTP 24+ accepts five words, since 27 it sends them for aliases.
MAX_REFERENCE_WORDS: Final = 5

TRUE: Final = Atom("true")
FALSE: Final = Atom("false")
BOOLEANS: Final[dict[Term, Term]] = {TRUE: True, FALSE: False}

# What OTP's sys_chars_to_double takes; Python's float() alone also takes "nan", "1_0" and " 1".
_FLOAT_TEXT: Final = re.compile(rb"[+-]?[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?")

u8_u32 = Struct(">BI").unpack_from
u16 = Struct(">H").unpack_from
u32 = Struct(">I").unpack_from
i32 = Struct(">i").unpack_from
f64 = Struct(">d").unpack_from

_known_utf8: dict[Any, Term] = {}
_known_latin1: dict[Any, Term] = {}
_known_pids: dict[object, Pid] = {}


class _ByView:
    """A cache asked with views, whose hash is that of what they look into: none, for a bytearray."""

    __slots__ = ("_known",)

    def __init__(self, known: dict[Any, Term]) -> None:
        self._known = known

    def get(self, view: memoryview) -> Term:
        return self._known.get(bytes(view))

    def __setitem__(self, text: bytes, value: Term) -> None:
        self._known[text] = value

    def __len__(self) -> int:
        return len(self._known)

    def clear(self) -> None:
        self._known.clear()


class Reading:
    """What the options of one `decode` mean to the readers. Never changes, so calls may share one."""

    __slots__ = ("allowed", "convert", "latin1", "limits", "none", "pids", "utf8")

    def __init__(
        self,
        limits: Limits,
        convert: Callable[[Any], Term] | None,
        none: Atom | None,
        allowed: Container[Atom | str] | None,
        views: bool = False,
    ) -> None:
        self.limits = limits
        self.convert = convert
        # Without the option nothing may equal it: an object of its own, not None.
        self.none: object = object() if none is None else none
        self.allowed = allowed
        # The atoms seen so far, by their text: shared by all calls, but for those that refuse some.
        utf8: dict[Any, Term] = _known_utf8 if allowed is None else {}
        latin1: dict[Any, Term] = _known_latin1 if allowed is None else {}
        self.utf8: Any = _ByView(utf8) if views else utf8
        self.latin1: Any = _ByView(latin1) if views else latin1
        self.pids: dict[object, Pid] = _known_pids if allowed is None else {}


def learn_atom(text: Data, offset: int, reading: Reading, *, encoding: str = "utf-8") -> Term:
    """The atom, or boolean, of a text that is not in the cache yet.

    Raises:
        DecodeError: It is not a text, too long, or not among the allowed atoms.
    """
    known = reading.latin1 if encoding == "latin-1" else reading.utf8
    text = bytes(text)
    try:
        name = text.decode(encoding)
    except UnicodeDecodeError as error:
        raise DecodeError(f"the text of an atom is not UTF-8: {error.reason}", offset) from None
    if len(name) > MAX_ATOM_CHARACTERS:
        raise DecodeError(
            f"an atom has at most {MAX_ATOM_CHARACTERS} characters, this one {len(name)}", offset
        )
    atom = Atom(name)
    value = BOOLEANS.get(atom, atom)
    if reading.allowed is not None and value is atom:
        check_allowed(atom, offset, reading)
    if len(known) >= MAX_CACHED:
        known.clear()
    known[text] = value
    return value


def check_allowed(atom: Atom, offset: int, reading: Reading) -> None:
    """Refuse an atom that the option `atoms` does not list.

    Raises:
        DecodeError: It is not listed.
    """
    allowed = reading.allowed
    if allowed is not None and atom not in allowed and atom.name not in allowed:
        raise DecodeError(f"the atom {str(atom)!r} is not among the allowed atoms", offset)


def as_atom(value: Term, reading: Reading) -> Atom | None:
    """The atom behind a decoded value: booleans, too, are atoms on the wire, and so is `None`."""
    if value is None:
        value = reading.none
    if value.__class__ is bool:
        return TRUE if value else FALSE
    return value if isinstance(value, Atom) else None


def _atom(
    data: Data, pos: int, reading: Reading, refs: AtomRefs, width: int, encoding: str
) -> tuple[Term, int]:
    start = pos + 1 + width
    end = start + (data[pos + 1] if width == 1 else u16(data, pos + 1)[0])
    if end > len(data):
        raise TruncatedError("the input ends within an atom", len(data))
    known = reading.latin1 if encoding == "latin-1" else reading.utf8
    value = known.get(data[start:end])
    if value is None:
        value = learn_atom(data[start:end], pos, reading, encoding=encoding)
    return value, end


def _atom_latin1(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    return _atom(data, pos, reading, refs, 2, "latin-1")


def _small_atom_latin1(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    return _atom(data, pos, reading, refs, 1, "latin-1")


def _atom_utf8(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    return _atom(data, pos, reading, refs, 2, "utf-8")


def _small_atom_utf8(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    return _atom(data, pos, reading, refs, 1, "utf-8")


def _atom_cache_ref(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    index = data[pos + 1]
    if index >= len(refs):
        raise DecodeError(f"atom cache reference {index}, but the header lists {len(refs)} atoms", pos)
    atom = refs[index]
    if reading.allowed is not None and atom not in BOOLEANS:
        check_allowed(atom, pos, reading)
    return BOOLEANS.get(atom, atom), pos + 2


def _integer(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    return i32(data, pos + 1)[0], pos + 5


def _small_integer(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    return data[pos + 1], pos + 2


def _small_big(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    return _big(data, pos, pos + 2, data[pos + 1], reading)


def _large_big(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    return _big(data, pos, pos + 5, u32(data, pos + 1)[0], reading)


def _big(data: Data, pos: int, sign_at: int, size: int, reading: Reading) -> tuple[Term, int]:
    if size > reading.limits.max_bigint_bytes:
        raise LimitExceeded(
            f"an integer of {size} bytes, max_bigint_bytes={reading.limits.max_bigint_bytes}", pos
        )
    end = sign_at + 1 + size
    if end > len(data):
        raise TruncatedError("the input ends within an integer", len(data))
    magnitude = int.from_bytes(data[sign_at + 1 : end], "little")
    return -magnitude if data[sign_at] else magnitude, end


def _new_float(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    value = f64(data, pos + 1)[0]
    if not isfinite(value):
        raise DecodeError(f"a float that Erlang does not have: {value}", pos)
    return value, pos + 9


def _float(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    end = pos + 32
    if end > len(data):
        raise TruncatedError("the input ends within a float", len(data))
    text = bytes(data[pos + 1 : end]).partition(b"\0")[0]
    value = float(text) if _FLOAT_TEXT.fullmatch(text) else float("nan")
    if not isfinite(value):
        raise DecodeError(f"not the text of a float: {text!r}", pos)
    return value, end


def _nil(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    return [], pos + 1


def _string(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    start = pos + 3
    end = start + u16(data, pos + 1)[0]
    if end - start > reading.limits.max_elements:
        raise LimitExceeded(f"more than max_elements={reading.limits.max_elements} elements", pos)
    return list(data[start:end]), end


def _binary(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    start = pos + 5
    end = start + u32(data, pos + 1)[0]
    if end > len(data):
        raise TruncatedError("the input ends within a binary", len(data))
    value = data[start:end]
    return (value if reading.convert is None else converted(value, pos, reading)), end


def converted(value: Data, offset: int, reading: Reading) -> Term:
    """A binary as the options want it.

    Raises:
        DecodeError: Text was asked for, and it is none.
    """
    assert reading.convert is not None
    try:
        return reading.convert(value)
    except UnicodeDecodeError as error:
        raise DecodeError(
            f'a binary that is not UTF-8 ({error.reason}): use binaries="bytes"', offset
        ) from None


def _bit_binary(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    size, bits = u32(data, pos + 1)[0], data[pos + 5]
    start = pos + 6
    end = start + size
    if bits > 8 or (bits == 0) != (size == 0):
        raise DecodeError(f"a bit string of {size} bytes cannot have {bits} bits in the last one", pos)
    if end > len(data):
        raise TruncatedError("the input ends within a bit string", len(data))
    value = bytes(data[start:end])
    return (BitString(value, bits) if 0 < bits < 8 else value), end


def _node(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[str, int]:
    """The node name within an identifier."""
    tag = data[pos]
    if tag == 119:
        end = pos + 2 + data[pos + 1]
        known = reading.utf8.get(data[pos + 2 : end])
        if known.__class__ is Atom:
            return known.name, end
    reader = _ATOM_READERS.get(tag)
    if reader is None:
        raise DecodeError(f"the node of an identifier must be an atom, not tag {tag}", pos)
    value, end = reader(data, pos, reading, refs)
    return (value.name if value.__class__ is Atom else "true" if value else "false"), end


_new_pid_fields: Final = Struct(">III").unpack_from
_pid_fields: Final = Struct(">IIB").unpack_from


def _new_pid(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    # One process sends many messages: its pid is looked up by the bytes it came in, whole or behind its node.
    key: object
    if data[pos + 1] == 119:
        end = pos + 15 + data[pos + 2]
        key = bytes(data[pos:end])
        pid = reading.pids.get(key)
        if pid is not None:
            return pid, end
        node, pos = _node(data, pos + 1, reading, refs)
    else:
        node, pos = _node(data, pos + 1, reading, refs)
        end = pos + 12
        key = (node, bytes(data[pos:end]))
        pid = reading.pids.get(key)
        if pid is not None:
            return pid, end
    pid = Pid(node, *_new_pid_fields(data, pos))
    if len(reading.pids) >= MAX_CACHED:
        reading.pids.clear()
    reading.pids[key] = pid
    return pid, end


def _pid(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    node, pos = _node(data, pos + 1, reading, refs)
    return Pid(node, *_pid_fields(data, pos)), pos + 9


def _v4_port(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    node, pos = _node(data, pos + 1, reading, refs)
    return Port(node, *_v4_port_fields(data, pos)), pos + 12


_v4_port_fields: Final = Struct(">QI").unpack_from
_new_port_fields: Final = Struct(">II").unpack_from
_port_fields: Final = Struct(">IB").unpack_from


def _new_port(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    node, pos = _node(data, pos + 1, reading, refs)
    return Port(node, *_new_port_fields(data, pos)), pos + 8


def _port(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    node, pos = _node(data, pos + 1, reading, refs)
    return Port(node, *_port_fields(data, pos)), pos + 5


# The creation, then 0 to 5 words.
_newer_reference_fields: Final = [
    Struct(">" + "I" * (1 + n)).unpack_from for n in range(MAX_REFERENCE_WORDS + 1)
]
_new_reference_fields: Final = [Struct(">B" + "I" * n).unpack_from for n in range(MAX_REFERENCE_WORDS + 1)]


# Called past `type.__call__`, which takes as long as the constructor itself.
_make_reference = Reference.__new__


def _newer_reference(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    count = _words(data, pos)
    node, pos = _node(data, pos + 3, reading, refs)
    fields = _newer_reference_fields[count](data, pos)
    return _make_reference(Reference, node, fields[0], fields[1:]), pos + 4 + 4 * count


def _new_reference(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    count = _words(data, pos)
    node, pos = _node(data, pos + 3, reading, refs)
    fields = _new_reference_fields[count](data, pos)
    return _make_reference(Reference, node, fields[0], fields[1:]), pos + 1 + 4 * count


def _words(data: Data, pos: int) -> int:
    count = data[pos + 1] << 8 | data[pos + 2]
    if count > MAX_REFERENCE_WORDS:
        raise DecodeError(f"a reference has at most {MAX_REFERENCE_WORDS} words, not {count}", pos)
    return count


def _reference(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    node, pos = _node(data, pos + 1, reading, refs)
    word, creation = _port_fields(data, pos)
    return Reference(node, creation, (word,)), pos + 5


# Legal nowhere inside a term; said in words, since each has met someone.
_REFUSED: Final = {
    tags.VERSION: "a version byte inside a term: an encoded term is a binary, not an element",
    tags.COMPRESSED: "a compressed term inside a term: only the whole can be compressed",
    tags.FUN_EXT: "FUN_EXT, the form of funs before R8, which OTP 23 and later refuse too",
    tags.LOCAL_EXT: "LOCAL_EXT inside a term: only the node that wrote it knows where it ends",
}


def _unknown(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> NoReturn:
    tag = data[pos]
    raise DecodeError(_REFUSED.get(tag, f"unknown tag {tag}"), pos)


_ATOM_READERS: Final[dict[int, Reader]] = {
    tags.ATOM_CACHE_REF: _atom_cache_ref,
    tags.ATOM_EXT: _atom_latin1,
    tags.SMALL_ATOM_EXT: _small_atom_latin1,
    tags.ATOM_UTF8_EXT: _atom_utf8,
    tags.SMALL_ATOM_UTF8_EXT: _small_atom_utf8,
}

_BY_TAG: Final[dict[int, Reader]] = {
    **_ATOM_READERS,
    tags.NEW_FLOAT_EXT: _new_float,
    tags.BIT_BINARY_EXT: _bit_binary,
    tags.NEW_PID_EXT: _new_pid,
    tags.NEW_PORT_EXT: _new_port,
    tags.NEWER_REFERENCE_EXT: _newer_reference,
    tags.SMALL_INTEGER_EXT: _small_integer,
    tags.INTEGER_EXT: _integer,
    tags.FLOAT_EXT: _float,
    tags.REFERENCE_EXT: _reference,
    tags.PORT_EXT: _port,
    tags.PID_EXT: _pid,
    tags.NIL_EXT: _nil,
    tags.STRING_EXT: _string,
    tags.BINARY_EXT: _binary,
    tags.SMALL_BIG_EXT: _small_big,
    tags.LARGE_BIG_EXT: _large_big,
    tags.NEW_REFERENCE_EXT: _new_reference,
    tags.V4_PORT_EXT: _v4_port,
}

READERS: Final[list[Reader]] = [_BY_TAG.get(tag, _unknown) for tag in range(256)]
