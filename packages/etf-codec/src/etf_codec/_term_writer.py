"""The loop that writes terms: with a stack of its own, so that no value, even in itself, exhausts Python."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from math import isfinite
from sys import byteorder
from typing import Any, Final

from . import _tags as tags
from ._atom import Atom
from ._errors import EncodeError
from ._frozen import FrozenList, FrozenMap, exact
from ._limits import Limits
from ._order import in_term_order
from ._path import locate
from ._terms import Fun, ImproperList, NativeRecord, Term
from ._writer import (
    SMALL_INTEGERS,
    WRITERS,
    AtomWires,
    Writing,
    atom_wire,
    binary_header,
    integer_wire,
    u8_i32,
    u8_u8,
    u8_u16,
    u8_u32,
)

Pieces = list[Any]

# Shorter lists of floats are as quick one by one.
_FLOATS_FROM: Final = 8
_STRING_MAX: Final = 65535

# The tail of a proper list, as one more element.
_NIL: Final[tuple[list[Term]]] = ([],)


def write_term(root: Term, writing: Writing, wires: AtomWires, pieces: Pieces) -> None:
    """Append the external form of a term, without version byte, to `pieces`.

    Longer than a glance because it is the loop: one more call per element would double the time.

    Raises:
        EncodeError: Something in it is not a term, or too much for the limits.
    """
    append = pieces.append
    limits = writing.limits
    budget = limits.max_elements
    stack: list[Iterator[Term]] = []
    pending: Iterator[Term] = iter((root,))
    item: Term = root
    try:
        while True:
            for item in pending:
                cls = item.__class__
                if cls is Atom:
                    append(item.wire if wires is None else wires[item])
                elif cls is int:
                    if 0 <= item <= 255:
                        append(SMALL_INTEGERS[item])
                    elif -0x8000_0000 <= item <= 0x7FFF_FFFF:
                        append(u8_i32(98, item))
                    else:
                        append(integer_wire(item, limits))
                elif cls is bytes:
                    append(binary_header(len(item)))
                    append(item)
                elif cls in WRITERS:
                    append(WRITERS[cls](item, writing, wires))
                elif cls is tuple and len(item) < 256:
                    count = len(item)
                    append(u8_u8(104, count))
                    if count:
                        elements: Iterable[Term] = item
                        budget -= count
                        if budget < 0 or len(stack) >= limits.max_depth:
                            raise _too_much(budget, limits)
                        stack.append(pending)
                        pending = iter(item)
                        break
                elif cls in _OPENERS:
                    count, elements = _OPENERS[cls](item, writing, wires, pieces)
                    if count:
                        budget -= count
                        if budget < 0 or len(stack) >= limits.max_depth:
                            raise _too_much(budget, limits)
                        stack.append(pending)
                        pending = iter(elements)
                        break
                else:
                    # A value of a subclass, or none of ours: once more, as what it counts as.
                    pending = chain((_plain(item),), pending)
                    break
            else:
                if not stack:
                    return
                pending = stack.pop()
    except EncodeError as error:
        raise EncodeError(error.args[0], locate(root, item, len(stack))) from None
    except RecursionError:
        raise EncodeError("the keys of a map are nested too deep to compare") from None


def _too_much(budget: int, limits: Limits) -> EncodeError:
    if budget < 0:
        return EncodeError(f"more than max_elements={limits.max_elements} elements")
    return EncodeError(f"nested deeper than max_depth={limits.max_depth}: does it contain itself?")


Opened = tuple[int, Iterable[Term]]


def _open_tuple(item: tuple[Term, ...], writing: Writing, wires: AtomWires, pieces: Pieces) -> Opened:
    count = len(item)
    if count > writing.limits.max_tuple_arity:
        raise EncodeError(f"a tuple of {count} elements, max_tuple_arity={writing.limits.max_tuple_arity}")
    pieces.append(u8_u32(tags.LARGE_TUPLE_EXT, count))
    return count, item


def _open_list(item: list[Term], writing: Writing, wires: AtomWires, pieces: Pieces) -> Opened:
    """Numbers of one class are written at once, and anything else element by element."""
    count = len(item)
    if not count:
        pieces.append(b"j")
        return 0, ()
    first = item[0].__class__
    if count > writing.limits.max_elements:
        raise EncodeError(f"more than max_elements={writing.limits.max_elements} elements")
    if first is int and set(map(type, item)) == {int}:
        if count <= _STRING_MAX:
            try:
                text = bytes(item)
            except ValueError:
                pass
            else:
                pieces.append(u8_u16(tags.STRING_EXT, count) + text)
                return 0, ()
        pieces.append(u8_u32(tags.LIST_EXT, count))
        pieces.append(_integers(item, writing.limits))
        pieces.append(b"j")
        return 0, ()
    pieces.append(u8_u32(tags.LIST_EXT, count))
    if first is float and count >= _FLOATS_FROM and set(map(type, item)) == {float} and _all_finite(item):
        pieces.append(_floats(item))
        pieces.append(b"j")
        return 0, ()
    return count, chain(item, _NIL)


def _integers(items: list[int], limits: Limits) -> bytes:
    small = SMALL_INTEGERS
    if min(items) >= -0x8000_0000 and max(items) <= 0x7FFF_FFFF:
        return b"".join([small[item] if 0 <= item <= 255 else u8_i32(98, item) for item in items])
    return b"".join([integer_wire(item, limits) for item in items])


def _all_finite(items: list[float]) -> bool:
    # The sum shows it at once, unless finite items overflow it.
    return isfinite(sum(items)) or all(map(isfinite, items))


def _floats(items: list[float]) -> bytes:
    """Each with its tag, big-endian."""
    values = array("d", items)
    if byteorder == "little":
        values.byteswap()
    raw = values.tobytes()
    wire = bytearray(9 * len(items))
    wire[::9] = bytes((tags.NEW_FLOAT_EXT,)) * len(items)
    for place in range(8):
        wire[1 + place :: 9] = raw[place::8]
    return bytes(wire)


def _open_frozen_list(item: FrozenList, writing: Writing, wires: AtomWires, pieces: Pieces) -> Opened:
    return _open_list(list(item.items), writing, wires, pieces)


def _open_improper(item: ImproperList, writing: Writing, wires: AtomWires, pieces: Pieces) -> Opened:
    count = len(item.items)
    pieces.append(u8_u32(tags.LIST_EXT, count))
    return count + 1, chain(item.items, (item.tail,))


def _open_dict(item: dict[Term, Term], writing: Writing, wires: AtomWires, pieces: Pieces) -> Opened:
    kinds = set(map(type, item))
    if len(kinds) > 1 or not kinds <= _PLAIN_KEYS:
        _check_keys(item, writing)
    return _open_map(len(item), item.items(), writing, pieces)


# Keys of one of these classes alone are as distinct in Erlang as they are in Python.
_PLAIN_KEYS: Final = frozenset({Atom, bytes, str, int})


def _check_keys(keys: Iterable[Term], writing: Writing) -> None:
    """Refuse keys that are two in Python and one in Erlang, `"a"` and `b"a"`: no node takes such a map."""
    keys = list(keys)
    try:
        distinct = {exact(writing.none if key is None else key) for key in keys}
    except (TypeError, ValueError):
        return  # not terms, or too deep: the loop will meet the key, and say where it is
    if len(distinct) != len(keys):
        raise EncodeError("a map with the same key twice: a str and its UTF-8 bytes, or a bool and its atom")


def _open_frozen_map(item: FrozenMap, writing: Writing, wires: AtomWires, pieces: Pieces) -> Opened:
    return _open_map(len(item), item.pairs(), writing, pieces)


def _open_map(count: int, pairs: Iterable[tuple[Term, Term]], writing: Writing, pieces: Pieces) -> Opened:
    pieces.append(u8_u32(tags.MAP_EXT, count))
    if writing.deterministic:
        pairs = in_term_order(pairs)
    return 2 * count, chain.from_iterable(pairs)


def _open_fun(item: Fun, writing: Writing, wires: AtomWires, pieces: Pieces) -> Opened:
    if item.wire is not None and wires is None and not writing.deterministic:
        pieces.append(item.wire)
        return 0, ()
    try:
        head = item.arity.to_bytes() + item.uniq.rjust(16, b"\0") + item.index.to_bytes(4)
    except (OverflowError, AttributeError):
        raise EncodeError("a Fun has an arity of 8 bits, a uniq of 16 bytes, an index of 32 bits") from None
    count = len(item.free)
    pieces.append(b"")
    return 4 + count, _fun_elements(item, head + count.to_bytes(4), pieces, len(pieces) - 1)


def _fun_elements(item: Fun, head: bytes, pieces: Pieces, place: int) -> Iterator[Term]:
    """The terms in a fun; and when they are written, its size, which comes first."""
    yield from (item.module, item.old_index, item.old_uniq, item.pid)
    yield from item.free
    size = 4 + len(head) + sum(map(len, pieces[place:]))
    pieces[place] = u8_u32(tags.NEW_FUN_EXT, size) + head


def _open_record(item: NativeRecord, writing: Writing, wires: AtomWires, pieces: Pieces) -> Opened:
    count = len(item.fields)
    pieces.append(u8_u32(tags.RECORD_EXT, count) + bytes((item.exported,)))
    names = (item.module, item.name, *(name for name, _ in item.fields))
    pieces.append(b"".join([atom_wire(name, wires) for name in names]))
    return count, (value for _, value in item.fields)


def _open_buffer(item: bytearray | memoryview, writing: Writing, wires: AtomWires, pieces: Pieces) -> Opened:
    view = memoryview(item)
    pieces.append(binary_header(view.nbytes))
    pieces.append(view.cast("B") if view.c_contiguous else view.tobytes())
    return 0, ()


Opener = Callable[[Any, Writing, AtomWires, Pieces], Opened]
_OPENERS: Final[dict[type, Opener]] = {
    tuple: _open_tuple,
    list: _open_list,
    dict: _open_dict,
    FrozenList: _open_frozen_list,
    FrozenMap: _open_frozen_map,
    ImproperList: _open_improper,
    Fun: _open_fun,
    NativeRecord: _open_record,
    bytearray: _open_buffer,
    memoryview: _open_buffer,
}

# The plain value of an instance of a subclass: of a NamedTuple, an IntEnum, an OrderedDict.
_PLAIN: Final[dict[type, Callable[[Any], Term]]] = {
    int: int.__index__,
    float: float.__float__,
    str: str.__str__,
    bytes: bytes,
    tuple: tuple,
    list: list,
    dict: dict,
    bytearray: memoryview,
}

_ADVICE: Final = {
    "set": "use a list, or a dict for Elixir's MapSet",
    "frozenset": "use a list, or a dict for Elixir's MapSet",
    "complex": "use a tuple of two floats",
    "Decimal": "use str() or int(), whichever the receiver expects",
    "datetime": "use a tuple, or its isoformat()",
}


def _plain(item: object) -> Term:
    cls = type(item)
    for base in cls.__mro__:
        if base in _PLAIN:
            return _PLAIN[base](item)
    advice = _ADVICE.get(cls.__name__, "use to_term() for a dataclass, or build it from terms yourself")
    raise EncodeError(f"a {cls.__name__} is not a term: {advice}")
