"""Keys as Erlang tells them apart."""

from collections import OrderedDict
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

import pytest
from etf_codec import Atom, FrozenList, FrozenMap, ImproperList
from etf_codec._frozen import exact, freeze
from etf_codec._limits import DEPTH_CEILING


class Point(NamedTuple):
    x: int


class Level(IntEnum):
    LOW = 1


def test_numbers_and_booleans_are_different_keys() -> None:
    distinct: list[Any] = [
        1,
        1.0,
        True,
        0.0,
        -0.0,
        0,
        False,
        "1",
        (1,),
        (1.0,),
        [1],
        [True],
        {1: 1},
        {1.0: 1},
    ]
    assert len({exact(term) for term in distinct}) == len(distinct)


def test_nested_containers_are_different_keys() -> None:
    distinct: list[Any] = [
        (),
        [],
        {},
        ((), ()),
        ((),),
        (((),),),
        ([],),
        [()],
        (1, (2,), 3),
        (1, (2, 3)),
        (1, 2, (3,)),
        ((1, 2), 3),
        ((1,), (2,), 3),
        (1, ImproperList([2], 3)),
        (1, [2, 3]),
        ({1: (2,)}, 3),
        ({1: (2, 3)},),
        ({1: 2}, (3,)),
        ({(1,): 2, 3: ()},),
        ({1: {2: 3}},),
        ({1: {2: {}}},),
        (1, "tuple", 2),
        ("tuple", (), 2),
    ]
    assert len({exact(term) for term in distinct}) == len(distinct)


@pytest.mark.parametrize("wrap", [lambda term: (term,), lambda term: [1, term], lambda term: ({1: 2}, term)])
def test_to_hash_a_stand_in_exhausts_no_stack(wrap: Callable[[Any], Any]) -> None:
    term: Any = ()
    for _ in range(DEPTH_CEILING // 2 - 1):
        term = wrap(term)
    within: list[Any] = [exact(term)]
    nested = 0
    while within:
        within = [item for each in within if isinstance(each, tuple | frozenset) for item in each]
        nested += 1
    assert nested < 10


def test_what_is_one_term_has_one_stand_in() -> None:
    same: list[tuple[Any, Any]] = [
        (True, Atom("true")),
        ("é", "é".encode()),
        (Point(1), (1,)),
        (Level.LOW, 1),
        (FrozenList([1, [2]]), [1, [2]]),
        (FrozenMap({1: [2]}), OrderedDict({1: [2]})),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (bytearray(b"x"), b"x"),
    ]
    for one, other in same:
        assert exact(one) == exact(other)
        assert hash(exact(one)) == hash(exact(other))


def test_what_is_no_term_is_refused() -> None:
    with pytest.raises(TypeError, match="set is not a term"):
        exact([{1}])
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="nested deeper"):
        exact(endless)


def test_a_frozen_map_reads_like_a_map() -> None:
    frozen = FrozenMap([(1, "int"), (1.0, "float"), (True, "atom"), ([1], "list")])
    assert [frozen[1], frozen[1.0], frozen[True], frozen[[1]]] == ["int", "float", "atom", "list"]
    assert len(frozen) == 4
    assert 2 not in frozen
    assert {1} not in frozen
    assert frozen.get(0, "none") == "none"
    assert FrozenMap({"a": 1}) == {"a": 1}
    assert FrozenMap({1: 1}) != {1.0: 1}
    assert len({FrozenMap({1: 1}), FrozenMap({1: 1}), FrozenMap({1.0: 1})}) == 2


def test_freezing_goes_all_the_way_down() -> None:
    frozen = freeze(([1, [2]], {"a": [3]}, ImproperList([[4]], 5)))
    hash(frozen)
    assert frozen[0] == FrozenList([1, FrozenList([2])])
    assert exact(frozen) == exact(([1, [2]], {"a": [3]}, ImproperList([[4]], 5)))


def test_a_frozen_list_equals_a_list() -> None:
    assert FrozenList([1, 2]) == [1, 2]
    assert FrozenList([1, 2])[1] == 2
    assert 2 in FrozenList([1, 2])
    assert repr(FrozenList([1])) == "FrozenList([1])"
