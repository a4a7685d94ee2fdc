"""Restart decisions, against the tables of OTP's `supervisor` documentation."""

from itertools import product
from typing import Any

import pytest
from etf_codec import Atom, Pid
from hypothesis import given
from hypothesis import strategies as st
from otp_behaviors import KILLED, NORMAL, SHUTDOWN, Child, GenServer
from otp_behaviors._children import RESTART_TYPES, Children, Member
from otp_behaviors._restart import (
    AUTO_SHUTDOWNS,
    STRATEGIES,
    Forget,
    Keep,
    Restart,
    add_restart,
    decide,
    ends_supervisor,
    restart_of,
)

BOOM = Atom("boom")
IDS = ("a", "b", "c")

CLEAN = (NORMAL, SHUTDOWN, (SHUTDOWN, Atom("x")))
ABNORMAL: tuple[Any, ...] = (
    BOOM,
    KILLED,
    (SHUTDOWN,),
    (SHUTDOWN, 1, 2),
    (NORMAL, 1),
    ((Atom("badmatch"), 1), []),
    7,
)

# "Restart strategy": who stops, besides the child that has ended, and who starts again, by its position.
AFFECTED = {
    "one_for_one": {"a": "a", "b": "b", "c": "c"},
    "simple_one_for_one": {"a": "a", "b": "b", "c": "c"},
    "rest_for_one": {"a": "abc", "b": "bc", "c": "c"},
    "one_for_all": {"a": "abc", "b": "abc", "c": "abc"},
}


def children(**options: Any) -> Children:
    return Children(
        Member(Child(GenServer, id=id, **options.get(id, {})), Pid("a@host", number, 0, 7))
        for number, id in enumerate(IDS, 1)
    )


def member(of: Children, id: str) -> Member:
    found = of.find(id)
    assert found is not None
    return found


@pytest.mark.parametrize("reason", CLEAN + ABNORMAL)
@pytest.mark.parametrize(("strategy", "restart", "position"), list(product(STRATEGIES, RESTART_TYPES, IDS)))
def test_decision(strategy: Any, restart: Any, position: str, reason: Any) -> None:
    family = children(**{position: {"restart": restart}})
    expected: Any = Restart(
        stop=tuple(id for id in AFFECTED[strategy][position] if id != position),
        start=tuple(AFFECTED[strategy][position]),
    )
    if restart == "temporary":
        expected = Forget()
    elif restart == "transient" and reason in CLEAN:
        expected = Keep()
    assert decide(family, member(family, position), reason, strategy) == expected


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a_temporary_sibling_is_stopped_and_not_started_again(strategy: Any) -> None:
    family = children(b={"restart": "temporary"})
    assert decide(family, member(family, "a"), BOOM, strategy) == Restart(stop=("b", "c"), start=("a", "c"))


def test_a_sibling_that_does_not_run_starts_with_the_others() -> None:
    family = children(b={"restart": "transient"}).update("b", None)
    assert restart_of(family, member(family, "a"), "one_for_all") == Restart(stop=("c",), start=IDS)


def test_a_sibling_is_restarted_by_one_for_all_whatever_its_type() -> None:
    family = children(a={"restart": "transient"}, c={"restart": "transient"})
    assert decide(family, member(family, "b"), NORMAL, "one_for_all") == Restart(("a", "c"), IDS)


# `auto_shutdown`; the end of a child that is restarted is never asked about.


def significants(*ids: str) -> Children:
    return children(
        **{id: {"restart": "transient" if id in IDS[:2] else "temporary", "significant": True} for id in ids}
    )


@pytest.mark.parametrize(
    ("significant", "ended", "gone", "any_ends", "all_ends"),
    [
        ("", "a", "", False, False),
        ("b", "a", "", False, False),
        ("a", "a", "", True, True),
        ("ab", "a", "", True, False),
        ("ab", "a", "b", True, True),
        ("abc", "a", "b", True, False),
        ("abc", "b", "ac", True, True),
        ("abc", "c", "ab", True, True),
        ("ab", "c", "ab", False, False),
    ],
)
def test_whether_an_end_ends_the_supervisor(
    significant: str, ended: str, gone: str, any_ends: bool, all_ends: bool
) -> None:
    before = significants(*significant)
    after = before
    for id in ended + gone:
        after = after.update(id, None)
    child = member(before, ended)
    for left in (after, after.remove(ended)):
        answers = [ends_supervisor(left, child, auto) for auto in AUTO_SHUTDOWNS]
        assert answers == [False, any_ends, all_ends]


def test_a_significant_child_that_is_being_restarted_counts_as_running() -> None:
    before = significants("a", "b")
    after = before.update("a", None).update("b", None, restarting=True)
    assert not ends_supervisor(after, member(before, "a"), "all_significant")


# Intensity and period, in whole seconds as `erlang:monotonic_time(second)`.


@pytest.mark.parametrize(
    ("restarts", "now", "intensity", "period", "expected"),
    [
        ((), 10.0, 0, 5, None),
        ((), 10.0, 1, 5, (10,)),
        ((10,), 10.9, 1, 5, None),
        ((10,), 15.0, 1, 5, None),  # exactly the period later still counts
        ((10,), 15.999, 1, 5, None),
        ((10,), 16.0, 1, 5, (16,)),
        ((10,), 15.0, 2, 5, (15, 10)),
        ((14, 10), 15.0, 2, 5, None),
        ((14, 10), 16.0, 2, 5, (16, 14)),
        ((-3,), -2.5, 2, 5, (-3, -3)),  # Erlang's monotonic time is negative: floor, not truncation
        ((10,), 10.2, 1, 0.5, None),
        ((10,), 11.0, 1, 0.5, (11,)),
    ],
)
def test_add_restart(restarts: Any, now: float, intensity: int, period: float, expected: Any) -> None:
    assert add_restart(restarts, now, intensity, period) == expected


@given(
    gaps=st.lists(st.floats(0, 10), max_size=30),
    intensity=st.integers(0, 5),
    period=st.integers(1, 10),
)
def test_more_than_intensity_within_a_period_is_too_much(
    gaps: list[float], intensity: int, period: int
) -> None:
    now, seconds = 0.0, list[int]()
    restarts: tuple[int, ...] = ()
    for gap in gaps:
        now += gap
        seconds.append(int(now))
        recent = [second for second in seconds if second >= int(now) - period]
        counted = add_restart(restarts, now, intensity, period)
        assert (counted is None) == (len(recent) > intensity)
        if counted is None:
            return
        assert list(counted) == recent[::-1]
        restarts = counted
