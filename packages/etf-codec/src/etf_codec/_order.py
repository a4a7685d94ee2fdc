"""Erlang's order of terms, in the form in which maps keep their keys: any integer is before any float.

number < atom < reference < fun < port < pid < tuple < map < nil < list < bit string
https://www.erlang.org/doc/system/expressions.html#term-comparisons
"""

from collections.abc import Callable, Iterable
from functools import cmp_to_key
from operator import attrgetter
from typing import Any, Final

from ._atom import Atom
from ._errors import EncodeError
from ._frozen import FrozenList, FrozenMap
from ._identifiers import Pid, Port, Reference
from ._terms import BitString, Export, Fun, ImproperList, NativeRecord, Term

_NIL_RANK: Final = 10
_LIST_RANK: Final = 11

# For a term: the place of its kind in the order, what tells two of that kind apart, and if that is equal the
# terms within that do.
_Key = tuple[float, Any, list[Term]]


def _bits(data: bytes, length: int) -> _Key:
    # Unused bits are zero, so the bytes decide, and then the length.
    return 12, (data, length), []


def _text(term: str) -> _Key:
    data = term.encode("utf-8", "surrogatepass")
    return _bits(data, 8 * len(data))


def _map(pairs: Iterable[tuple[Term, Term]]) -> _Key:
    entries = in_term_order(pairs)
    return 9, len(entries), [key for key, _ in entries] + [value for _, value in entries]


def _list(items: Iterable[Term], tail: Term) -> _Key:
    elements = [*items, tail]
    return (_LIST_RANK, None, elements) if len(elements) > 1 else (_NIL_RANK, None, [])


def _record(term: NativeRecord) -> _Key:
    names = [name.name for name, _ in term.fields]
    return 8.5, (term.module.name, term.name.name, names), [value for _, value in term.fields]


_KEYS: Final[dict[type, Callable[[Any], _Key]]] = {
    int: lambda term: (0, term, []),
    float: lambda term: (1, term, []),
    bool: lambda term: (2, "true" if term else "false", []),
    Atom: lambda term: (2, term.name, []),
    Reference: lambda term: (3, (term.node, term.creation, len(term.ids), term.ids[::-1]), []),
    Fun: lambda term: (4, (term.module.name, term.old_index, term.old_uniq), list(term.free)),
    Export: lambda term: (5, (term.module.name, term.function.name, term.arity), []),
    Port: lambda term: (6, (term.node, term.creation, term.id), []),
    Pid: lambda term: (7, (term.serial, term.id, term.node, term.creation), []),
    tuple: lambda term: (8, len(term), list(term)),
    NativeRecord: _record,
    dict: lambda term: _map(term.items()),
    FrozenMap: lambda term: _map(term.pairs()),
    list: lambda term: _list(term, []),
    FrozenList: lambda term: _list(term.items, []),
    ImproperList: lambda term: _list(term.items, term.tail),
    bytes: lambda term: _bits(term, 8 * len(term)),
    bytearray: lambda term: _bits(bytes(term), 8 * len(term)),
    memoryview: lambda term: _bits(bytes(term), 8 * term.nbytes),
    BitString: lambda term: _bits(term.data, term.bit_length),
    str: _text,
}

# Keys of one of these classes need no comparison of ours.
_DIRECT: Final[dict[type, Callable[[Any], Any]]] = {
    Atom: attrgetter("name"),
    bytes: bytes,
    int: int,
    str: lambda text: text.encode("utf-8", "surrogatepass"),
}


def _key(term: Term) -> _Key:
    for cls in type(term).__mro__:
        if cls in _KEYS:
            return _KEYS[cls](term)
    raise EncodeError(f"a {type(term).__name__} is not a term")


def compare(left: Term, right: Term) -> int:
    """Negative, zero or positive, as `left` is before, the same as, or behind `right`.

    Raises:
        EncodeError: One of them is not a term.
    """
    stack = [(left, right)]
    while stack:
        left, right = stack.pop()
        if left is right:
            continue
        left_rank, left_value, left_parts = _key(left)
        right_rank, right_value, right_parts = _key(right)
        if left_rank != right_rank:
            return -1 if left_rank < right_rank else 1
        if left_value != right_value:
            return -1 if left_value < right_value else 1
        if left_rank == _LIST_RANK:
            _level(left_parts, right_parts)
        stack.extend(zip(reversed(left_parts), reversed(right_parts), strict=True))
    return 0


def _level(left: list[Term], right: list[Term]) -> None:
    """Cut the longer of two lists where the shorter has its tail, which then meets the rest of the longer."""
    shorter, longer = (left, right) if len(left) < len(right) else (right, left)
    if len(shorter) < len(longer):
        rest = longer[len(shorter) - 1 :]
        longer[len(shorter) - 1 :] = [ImproperList(rest[:-1], rest[-1]) if rest[-1] != [] else rest[:-1]]


def in_term_order(pairs: Iterable[tuple[Term, Term]]) -> list[tuple[Term, Term]]:
    """The entries of a map by the order of their keys.

    Raises:
        EncodeError: A key is not a term.
    """
    entries = list(pairs)
    kinds = {type(key) for key, _ in entries}
    if len(kinds) == 1 and not kinds.isdisjoint(_DIRECT):
        direct = _DIRECT[kinds.pop()]
        return sorted(entries, key=lambda entry: direct(entry[0]))
    return sorted(entries, key=cmp_to_key(_compare_entries))


def _compare_entries(left: tuple[Term, Term], right: tuple[Term, Term]) -> int:
    return compare(left[0], right[0])
