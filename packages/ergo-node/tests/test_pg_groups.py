"""The table of groups: members as often as they joined, groups told apart as Erlang does."""

from typing import Any

import pytest
from ergo_node._pg_groups import LIMITS, Groups, groups_of, key_of, pids_of
from etf_codec import Atom, EncodeError, FrozenList, FrozenMap, Pid, Term

A, B = (Pid("a@h", number, 0, 1) for number in (1, 2))


def test_members_are_there_as_often_as_they_joined() -> None:
    groups, key = Groups(), key_of("g")
    groups.add(key, b"g", [A, B, A])
    assert sorted(groups.members(key), key=repr) == [A, A, B]
    assert groups.remove(key, [A, B, B]) == [A, B]
    assert groups.members(key) == [A]
    assert groups.groups() == [b"g"]
    assert groups.entries() == [(b"g", [A])]
    assert groups.remove(key, [A, A]) == [A]
    assert groups.members(key) == groups.remove(key, [A]) == groups.groups() == []
    assert key not in groups


def test_a_group_without_members_is_not_there() -> None:
    groups = Groups()
    groups.add(key_of("g"), b"g", [])
    assert groups.groups() == []


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, 1.0), (1, True), (Atom("a"), "a"), ((1,), [1]), ({1: 2}, {1.0: 2}), (Atom("true"), b"true")],
)
def test_different_terms_are_different_groups(left: Term, right: Term) -> None:
    assert key_of(left) != key_of(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [("a", b"a"), ([1, [2]], FrozenList([1, FrozenList([2])])), ({1: 2, 3: 4}, FrozenMap({3: 4, 1: 2}))],
)
def test_equal_terms_are_one_group(left: Term, right: Term) -> None:
    assert key_of(left) == key_of(right)


def test_what_cannot_be_sent_is_no_group() -> None:
    deep: Any = []
    for _ in range(LIMITS.max_depth + 1):
        deep = [deep]
    for group in (None, object(), deep):
        with pytest.raises(EncodeError):
            key_of(group)
    assert key_of(None, Atom("nil")) == key_of(Atom("nil"))


def test_pids_come_alone_or_in_a_list() -> None:
    assert pids_of(A) == [A]
    assert pids_of([A, B]) == [A, B]
    assert pids_of([]) == []
    for term in (1, (A,), [A, 1], None, b"a"):
        assert pids_of(term) is None


def test_tables_of_other_nodes() -> None:
    groups = groups_of([(1, [A]), (1, [B]), (2, [])])
    assert groups is not None
    assert groups.entries() == [(1, [B])]
    frozen = groups_of([(FrozenList([1]), [A])], frozen=True)
    assert frozen is not None
    assert type(frozen.groups()[0]) is list
    for entries in ([1], [(1,)], [(1, A, 2)], [(1, [2])], [(object(), [A])]):
        assert groups_of(entries) is None
