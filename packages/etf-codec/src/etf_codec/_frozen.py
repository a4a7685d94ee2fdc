"""Lists and maps in key position, and Erlang's `=:=`, by which their keys are told apart.

In Python `1`, `1.0` and `True` are one key, in Erlang three; `0.0` and `-0.0` are one in Python and two since
OTP 27. `exact(term)` gives a hashable stand-in: two terms are the same Erlang term exactly if their stand-ins
are equal. It walks with a stack of its own, so no nesting exhausts Python's.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from math import copysign
from typing import Any, Final, final

from ._atom import Atom
from ._identifiers import Pid, Port, Reference, Sealed
from ._limits import DEPTH_CEILING
from ._terms import BitString, Export, Fun, ImproperList, LocalTerm, NativeRecord, Term

_MAP: Final = "map"

# Equality of these is already that of Erlang, and none of them equals a value of another of these types.
_ITSELF: Final = frozenset({Atom, bytes, Pid, Port, Reference, Export, BitString, LocalTerm})

_SCALARS: Final[dict[type, Callable[[Any], Hashable]]] = {
    int: lambda term: (int, term),
    bool: lambda term: Atom("true") if term else Atom("false"),
    float: lambda term: (float, term, copysign(1.0, term)),
    str: lambda term: term.encode("utf-8", "surrogatepass"),
    bytearray: bytes,
    memoryview: bytes,
    type(None): lambda _: None,
}

# What a container is called, and its elements in order; a map's elements are key, value, key, value …
_CONTAINERS: Final[dict[type, Callable[[Any], tuple[str, Iterable[Term]]]]] = {
    tuple: lambda term: ("tuple", term),
    list: lambda term: ("list", term),
    ImproperList: lambda term: ("improper", (*term.items, term.tail)),
    dict: lambda term: (_MAP, _flat(term.items())),
    Fun: lambda term: ("fun", term._values()),
    NativeRecord: lambda term: ("record", (term.module, term.name, term.exported, *_flat(term.fields))),
}


def _flat(pairs: Iterable[tuple[Term, Term]]) -> Iterator[Term]:
    for key, value in pairs:
        yield key
        yield value


def exact(term: Term) -> Hashable:
    """A hashable value that is equal to that of another term exactly if Erlang's `=:=` holds between the two.

    Raises:
        ValueError: The term is nested deeper than 4000.
        TypeError: A value is not a term.
    """
    found: list[Hashable] = []
    stack: list[tuple[str, list[Hashable], Iterator[Term]]] = []
    kind, pending = "", iter((term,))
    while True:
        for item in pending:
            cls = item.__class__
            if cls not in _KINDS:
                cls = _kind(item)
            if cls in _ITSELF:
                found.append(item)
            elif cls in _SCALARS:
                found.append(_SCALARS[cls](item))
            else:
                if len(stack) >= DEPTH_CEILING:
                    raise ValueError(f"nested deeper than {DEPTH_CEILING}")
                stack.append((kind, found, pending))
                kind, elements = _CONTAINERS[cls](item)
                found, pending = [], iter(elements)
                break
        else:
            if not stack:
                return found[0]
            done = frozenset(zip(found[::2], found[1::2], strict=True)) if kind is _MAP else tuple(found)
            parent_kind, found, pending = stack.pop()
            found.append((kind, done))
            kind = parent_kind


def _kind(item: Term) -> type:
    """The class that a value of a subclass counts as: `tuple` for a NamedTuple, `int` for an IntEnum."""
    for cls in type(item).__mro__:
        if cls in _KINDS:
            return cls
    raise TypeError(f"a {type(item).__name__} is not a term")


_set = object.__setattr__


@final
class FrozenList(Sealed):
    """A list that can be a key: what `decode` makes of a list in key position. Equal to a list of equal items.

    Args:
        items: The elements.
    """

    __slots__ = ("items",)
    __match_args__ = ("items",)
    items: tuple[Term, ...]

    def __init__(self, items: Iterable[Term] = ()) -> None:
        _set(self, "items", tuple(items))

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Term]:
        return iter(self.items)

    def __getitem__(self, index: int) -> Term:
        return self.items[index]

    def __contains__(self, item: object) -> bool:
        return item in self.items

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FrozenList):
            return self.items == other.items
        return self.items == tuple(other) if isinstance(other, list) else NotImplemented

    def __hash__(self) -> int:
        return hash((FrozenList, self.items))

    def __repr__(self) -> str:
        return f"FrozenList({list(self.items)!r})"


@final
class FrozenMap(Mapping[Term, Term]):
    """A map that can be a key and whose own keys are told apart as Erlang's `=:=` does: `1`, `1.0`, `True` are three.

    `decode` makes one of a map in key position, and of a map whose keys a `dict` would merge. It reads like any
    `Mapping`, its keys may be any terms, and it equals a `dict` of the same entries.

    Args:
        entries: A mapping, or pairs of key and value; of pairs with the same key the last one counts.

    Raises:
        TypeError: A key or a value is not a term.
    """

    __slots__ = ("_entries", "_hash")
    _entries: dict[Hashable, tuple[Term, Term]]
    _hash: int | None

    def __init__(self, entries: Mapping[Term, Term] | Iterable[tuple[Term, Term]] = ()) -> None:
        pairs = entries.items() if isinstance(entries, Mapping) else entries
        _set(self, "_entries", {exact(key): (key, value) for key, value in pairs})
        _set(self, "_hash", None)

    __setattr__ = Sealed.__setattr__
    __delattr__ = Sealed.__delattr__

    def __getitem__(self, key: Term) -> Term:
        try:
            return self._entries[exact(key)][1]
        except TypeError:
            raise KeyError(key) from None

    def __iter__(self) -> Iterator[Term]:
        return (key for key, _ in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def pairs(self) -> Iterable[tuple[Term, Term]]:
        """Its entries, without a look-up for each."""
        return self._entries.values()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (FrozenMap, dict)):
            return exact(self) == exact(other)
        return NotImplemented

    def __hash__(self) -> int:
        if self._hash is None:
            _set(self, "_hash", hash(exact(self)))
        assert self._hash is not None
        return self._hash

    def __repr__(self) -> str:
        return f"FrozenMap([{', '.join(map(repr, self.pairs()))}])"

    def __reduce__(self) -> tuple[type["FrozenMap"], tuple[list[tuple[Term, Term]]]]:
        return FrozenMap, (list(self.pairs()),)


_CONTAINERS[FrozenList] = _CONTAINERS[list]
_CONTAINERS[FrozenMap] = lambda term: (_MAP, _flat(term.pairs()))
_KINDS: Final = _ITSELF | _SCALARS.keys() | _CONTAINERS.keys()
