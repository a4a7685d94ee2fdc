"""Identifiers of a node with a dynamic name, rewritten on their way out and in."""

from typing import Any

import pytest
from ergo_node._identifiers import NO_NAME, Identifiers, rewrite
from etf_codec import (
    Atom,
    Export,
    FrozenList,
    FrozenMap,
    Fun,
    ImproperList,
    Pid,
    Port,
    Reference,
)
from etf_codec.testing import terms
from hypothesis import given
from otp_behaviors import Down, LinkSignal, MessageSignal, MonitorSignal, RemoteName, SpawnSignal

INSIDE, OUTSIDE = (NO_NAME, 77), ("dyn@host", 5)


def pid(owner: tuple[str, int]) -> Pid:
    return Pid(owner[0], 3, 4, owner[1])


def ref(owner: tuple[str, int]) -> Reference:
    return Reference(owner[0], owner[1], (1, 2, 3))


SHAPES: list[Any] = [
    pid,
    ref,
    lambda owner: Port(owner[0], 9, owner[1]),
    lambda owner: (Atom("ok"), [pid(owner)], 1),
    lambda owner: ImproperList([Atom("alias")], ref(owner)),
    lambda owner: FrozenList([pid(owner)]),
    lambda owner: {pid(owner): [ref(owner)], 1: (pid(owner),)},
    lambda owner: FrozenMap([(1, pid(owner)), (1.0, ref(owner))]),
    lambda owner: Down(ref(owner), pid(owner), Atom("normal")),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_all_shapes_both_ways(shape: Any) -> None:
    assert rewrite(shape(INSIDE), INSIDE, OUTSIDE) == shape(OUTSIDE)
    assert rewrite(shape(OUTSIDE), OUTSIDE, INSIDE) == shape(INSIDE)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("owner", [("other@host", 77), (NO_NAME, 76), ("dyn@host", 5)])
def test_those_of_others_stay(shape: Any, owner: tuple[str, int]) -> None:
    assert rewrite(shape(owner), INSIDE, OUTSIDE) == shape(owner)


@given(terms())
def test_terms_that_have_none_stay_what_they_are(term: Any) -> None:
    assert rewrite(term, ("nobody@nowhere", 1 << 31), OUTSIDE) == term


def test_what_is_opaque_stays() -> None:
    for term in (Export("m", "f", 1), Fun("m", 0, bytes(16), 0, 0, 0, pid(INSIDE)), b"x", "x", 1.5, True):
        assert rewrite(term, INSIDE, OUTSIDE) is term


def test_as_deep_as_terms_go_and_deeper() -> None:
    deep: Any = pid(INSIDE)
    for _ in range(5000):
        deep = (deep,)
    found = rewrite(deep, INSIDE, OUTSIDE)
    for _ in range(5000):
        (found,) = found
    assert found == pid(OUTSIDE)
    endless: list[Any] = [pid(INSIDE)]
    endless.insert(0, endless)
    assert rewrite(endless, INSIDE, OUTSIDE) is endless


def test_signals() -> None:
    identifiers = Identifiers(INSIDE, OUTSIDE)
    there = Pid("b@host", 1, 0, 1)

    def signals(owner: tuple[str, int]) -> list[Any]:
        me, mine = pid(owner), ref(owner)
        mfa = (Atom("m"), Atom("f"), 1)
        return [
            MessageSignal(me, there, (me, mine)),
            LinkSignal(me, there),
            MonitorSignal(me, RemoteName("server", "b@host"), mine),
            SpawnSignal(me, "b@host", mine, me, mfa, [Atom("link")], [me]),
        ]

    for inside, outside in zip(signals(INSIDE), signals(OUTSIDE), strict=True):
        assert identifiers.outward(inside) == outside
        assert identifiers.inward(outside) == inside
