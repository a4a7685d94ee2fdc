"""Tools for tests of programs that use terms. Needs hypothesis: `pip install hypothesis`."""

from functools import cache

from hypothesis import strategies as st

from ._atom import Atom
from ._frozen import FrozenList, FrozenMap, exact
from ._identifiers import Pid, Port, Reference
from ._terms import BitString, Export, Fun, ImproperList, Term

_U32 = st.integers(0, 2**32 - 1)
_NODES = st.sampled_from(["a@127.0.0.1", "shop@db.example.com", "päron@h"])
_EDGES = [
    0,
    1,
    255,
    256,
    -1,
    2**31 - 1,
    2**31,
    -(2**31),
    -(2**31) - 1,
    2**59,
    2**64,
    -(2**64),
    2**2040 - 1,
    2**2040,
]


@st.composite
def atoms(draw: st.DrawFn) -> Atom:
    """Atoms of all kinds of names, the empty and the longest included; not `true`, not `false`."""
    return draw(_ATOMS)


def pids() -> st.SearchStrategy[Pid]:
    """Pids that any node accepts as those of another one."""
    return st.builds(Pid, _NODES, st.integers(0, 2**15 - 1), st.integers(0, 2**13 - 1), _U32)


def references() -> st.SearchStrategy[Reference]:
    """References of three words, which any node accepts."""
    words = st.tuples(st.integers(0, 2**18 - 1), _U32, _U32)
    return st.builds(Reference, _NODES, _U32, words)


def ports() -> st.SearchStrategy[Port]:
    """Ports, with ids of up to 28 bits and beyond."""
    return st.builds(Port, _NODES, st.integers(0, 2**28 - 1) | st.integers(2**32, 2**60), _U32)


def bit_strings() -> st.SearchStrategy[BitString]:
    """Bit strings that do not fill their last byte."""
    return st.builds(BitString, st.binary(min_size=1, max_size=20), st.integers(1, 7))


@st.composite
def scalars(draw: st.DrawFn) -> Term:
    """Terms without elements."""
    return draw(_SCALARS)


@st.composite
def keys(draw: st.DrawFn) -> Term:
    """Terms in key position: hashable ones."""
    return draw(_KEYS)


@st.composite
def terms(draw: st.DrawFn, *, max_leaves: int = 30) -> Term:
    """Any term, in the form in which `decode` gives it back: `decode(encode(term)) == term`.

    Args:
        draw: Passed by hypothesis.
        max_leaves: About how many scalars one term has at most.
    """
    return draw(_terms(max_leaves))


@cache
def _terms(max_leaves: int) -> st.SearchStrategy[Term]:
    # Made once: hypothesis takes longer to make this strategy than to draw from it.
    return st.recursive(scalars(), _containers, max_leaves=max_leaves)


class _Elements:
    """A strategy that does not show itself: nested ten levels deep it would fill pages of a report."""

    def __init__(self, strategy: st.SearchStrategy[Term]) -> None:
        self.strategy = strategy

    def __repr__(self) -> str:
        return "…"


@st.composite
def _element(draw: st.DrawFn, elements: _Elements) -> Term:
    return draw(elements.strategy)


def _containers(strategy: st.SearchStrategy[Term]) -> st.SearchStrategy[Term]:
    inner = _element(_Elements(strategy))
    return st.one_of(
        st.lists(inner, max_size=10),
        st.lists(inner, max_size=10).map(tuple),
        st.lists(st.integers(0, 255), max_size=20),
        st.lists(st.integers(), min_size=8, max_size=20),
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=8, max_size=20),
        st.dictionaries(keys(), inner, max_size=6),
        st.lists(st.tuples(keys(), inner), max_size=5, unique_by=lambda pair: exact(pair[0])).map(
            _as_decoded
        ),
        st.builds(_improper, st.lists(inner, min_size=1, max_size=4), inner),
        st.builds(
            Fun,
            atoms(),
            st.integers(0, 255),
            st.binary(min_size=16, max_size=16),
            _U32,
            st.integers(0, 2**27),
            st.integers(0, 2**27),
            pids(),
            st.lists(inner, max_size=3),
        ),
    )


def _as_decoded(pairs: list[tuple[Term, Term]]) -> Term:
    merged = dict(pairs)
    return merged if len(merged) == len(pairs) else FrozenMap(pairs)


def _improper(items: list[Term], tail: Term) -> Term:
    return items + tail if isinstance(tail, list) else _tailed(items, tail)


def _tailed(items: list[Term], tail: Term) -> Term:
    if isinstance(tail, ImproperList):
        return ImproperList((*items, *tail.items), tail.tail)
    return ImproperList(items, tail)


# Strategies with a name for users show that name in reports; these would show themselves, at great length.
_COMMON = st.sampled_from(["ok", "", "hello world", "Elixir.Enum", "é", "日本", "x" * 255, "€" * 255])
_NAMES = _COMMON | st.text(st.characters(exclude_categories=["Cs"]), max_size=255)
_ATOMS = _NAMES.filter(lambda name: name not in ("true", "false")).map(Atom)

_SCALARS = st.one_of(
    st.integers(),
    st.sampled_from(_EDGES),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.binary(max_size=50),
    atoms(),
    pids(),
    ports(),
    references(),
    bit_strings(),
    st.builds(Export, atoms(), atoms(), st.integers(0, 255)),
)

_KEYS = st.recursive(
    scalars(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(FrozenList),
        st.dictionaries(inner, inner, max_size=3).map(FrozenMap),
    ),
    max_leaves=4,
)
