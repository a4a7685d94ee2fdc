"""Erlang's order of terms."""

from itertools import combinations
from typing import Any

import pytest
from etf_codec import Atom, BitString, EncodeError, Export, FrozenMap, Fun, ImproperList, Pid, Port, Reference
from etf_codec._order import compare

A = Atom("a")
IN_ORDER: list[Any] = [
    -1,
    2,
    2**80,
    -1.0,
    1.5,
    A,
    False,
    True,
    Reference("a@b", 1, (9, 9)),
    Reference("a@b", 1, (2, 1, 3)),
    Reference("a@b", 1, (1, 2, 3)),
    Fun("m", 1, b"", 0, 0, 0, Pid("a@b", 1, 0, 1)),
    Export("a", "z", 9),
    Export("lists", "map", 2),
    Port("a@b", 2, 1),
    Port("b@b", 1, 1),
    Pid("b@b", 1, 1, 1),
    Pid("a@b", 2, 1, 1),
    Pid("a@b", 1, 2, 1),
    (),
    (5,),
    (1, 2),
    {},
    {A: 2},
    FrozenMap({"b": 1}),
    {1: 1, 2: 1},
    [],
    ImproperList([1], A),
    [1],
    ImproperList([1, 2], 3),
    [1, 2],
    [1, [0]],
    [2],
    "",
    BitString(b"\x80", 1),
    b"\x80",
    "é",
]


def test_kinds_and_values_are_in_order() -> None:
    for left, right in combinations(IN_ORDER, 2):
        assert compare(left, right) < 0, (left, right)
        assert compare(right, left) > 0, (left, right)


def test_equal_terms_are_equal() -> None:
    for one, other in [
        ([], []),
        ([1, [2]], [1, [2]]),
        ("a", b"a"),
        ({A: [1]}, {A: [1]}),
        ((1, "x"), (1, b"x")),
    ]:
        assert compare(one, other) == 0


def test_what_is_no_term_has_no_place() -> None:
    with pytest.raises(EncodeError, match="set is not a term"):
        compare({1}, 1)
