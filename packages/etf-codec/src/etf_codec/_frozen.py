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
        ValueError: The term is nested deeper than `DEPTH_CEILING`.
        TypeError: A value is not a term.
    """
    found: list[Hashable] = []
    # A map needs one stand-in for each key and value; all else goes into the list of what is around it,
    # between marks. So what is returned is nested as deep as the term has maps in maps, which keep their
    # hashes, and to hash it exhausts no stack.
    stack: list[tuple[str, list[Hashable], Iterator[Term]]] = []
    kind, pending = _MAP, iter((term,))
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
                parent_kind = kind
                kind, elements = _CONTAINERS[cls](item)
                if kind is _MAP or parent_kind is _MAP:
                    found = []
                if kind is not _MAP:
                    found.append((kind,))
                pending = iter(elements)
                break
        else:
            if not stack:
                return found[0]
            parent_kind, around, pending = stack.pop()
            if kind is _MAP:
                around.append((_MAP, frozenset(zip(found[::2], found[1::2], strict=True))))
            elif parent_kind is _MAP:
                around.append(tuple(found))
            else:
                found.append(())
            kind, found = parent_kind, around


def _kind(item: Term) -> type:
    """The class that a value of a subclass counts as: `tuple` for a NamedTuple, `int` for an IntEnum."""
    for cls in type(item).__mro__:
        if cls in _KINDS:
            return cls
    raise TypeError(f"a {type(item).__name__} is not a term")


_set = object.__setattr__


@final
class FrozenList(Sealed):
    """A list that can be a key, as `decode` makes of a list in key position. It equals a list of equal items.

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
    """A map that can be a key, and whose own keys are told apart by `=:=`: `1`, `1.0` and `True` are three.

    `decode` makes one of a map in key position, and of a map whose keys a `dict` would merge. It reads like
    any `Mapping`, its keys may be any terms, and it equals a `dict` of the same entries.

    Args:
        entries: A mapping, or pairs of key and value; of pairs with the same key the last one counts.

    Raises:
        TypeError: A key or a value is not a term.
    """

    __slots__ = ("_entries", "exact")
    _entries: dict[Hashable, tuple[Term, Term]]
    exact: tuple[str, frozenset[tuple[Hashable, Hashable]]]

    def __init__(self, entries: Mapping[Term, Term] | Iterable[tuple[Term, Term]] = ()) -> None:
        pairs = entries.items() if isinstance(entries, Mapping) else entries
        _set(self, "_entries", {exact(key): (key, value) for key, value in pairs})
        # Made now, when those of the maps within are there: to make it later would recurse, and to make it
        # anew for each map around this one would take quadratic time.
        _set(
            self, "exact", (_MAP, frozenset((key, exact(value)) for key, (_, value) in self._entries.items()))
        )

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
            return self.exact == exact(other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.exact)

    def __repr__(self) -> str:
        return f"FrozenMap([{', '.join(map(repr, self.pairs()))}])"

    def __reduce__(self) -> tuple[type["FrozenMap"], tuple[list[tuple[Term, Term]]]]:
        return FrozenMap, (list(self.pairs()),)


_CONTAINERS[FrozenList] = _CONTAINERS[list]
_SCALARS[FrozenMap] = lambda term: term.exact
_KINDS: Final = _ITSELF | _SCALARS.keys() | _CONTAINERS.keys()


def _fun_with_free(fun: Fun, free: list[Term]) -> Fun:
    module, arity, uniq, index, old_index, old_uniq, pid, _ = fun._values()
    return Fun(module, arity, uniq, index, old_index, old_uniq, pid, free, wire=fun.wire)


# The elements of what can hold a list or a map, and how to build it again. A map's own elements are left
# alone: its stand-in does not need them hashable.
_REBUILD: Final[dict[type, tuple[Callable[[Any], Iterable[Term]], Callable[[Any, list[Term]], Term]]]] = {
    tuple: (iter, lambda _, parts: tuple(parts)),
    list: (iter, lambda _, parts: FrozenList(parts)),
    ImproperList: (
        lambda term: (*term.items, term.tail),
        lambda _, parts: ImproperList(parts[:-1], parts[-1]),
    ),
    Fun: (
        lambda term: term.free,
        _fun_with_free,
    ),
    NativeRecord: (
        lambda term: (value for _, value in term.fields),
        lambda term, parts: NativeRecord(
            term.module,
            term.name,
            zip((name for name, _ in term.fields), parts, strict=True),
            term.exported,
        ),
    ),
}


def freeze(term: Term) -> Term:
    """The term with its lists and maps frozen, wherever they stand, so that it can be a key."""
    parts: list[Term] = []
    stack: list[tuple[Term, list[Term], Iterator[Term]]] = []
    container, pending = None, iter((term,))
    while True:
        for item in pending:
            if item.__class__ is dict:
                parts.append(FrozenMap(item))
            elif item.__class__ is memoryview:
                parts.append(bytes(item))
            elif item.__class__ in _REBUILD:
                stack.append((container, parts, pending))
                container, parts = item, []
                pending = iter(_REBUILD[item.__class__][0](item))
                break
            else:
                parts.append(item)
        else:
            if not stack:
                return parts[0]
            done = _REBUILD[container.__class__][1](container, parts)
            container, parts, pending = stack.pop()
            parts.append(done)
