"""Timers without a clock: time is what the test says."""

from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from otp_behaviors._timers import STALE_FLOOR, Timers


def test_timers_fire_in_the_order_of_their_deadlines() -> None:
    timers, fired = Timers(100.0), list[str]()
    timers.start(3, lambda: fired.append("c"))
    timers.start(1, lambda: fired.append("a"))
    timers.start(2, lambda: fired.append("b"))
    assert timers.deadline() == 101.0
    assert timers.handle_time(100.9) == 0
    assert timers.handle_time(102.0) == 2
    assert fired == ["a", "b"]
    assert timers.deadline() == 103.0
    assert timers.handle_time(1e9) == 1
    assert fired == ["a", "b", "c"]
    assert timers.deadline() is None


def test_equal_deadlines_fire_in_the_order_of_their_start() -> None:
    timers, fired = Timers(0.0), list[int]()
    for number in range(100):
        timers.start(1, lambda number=number: fired.append(number))  # type: ignore[misc]  # bound default
    timers.handle_time(1.0)
    assert fired == list(range(100))


def test_cancel_returns_the_seconds_left_once() -> None:
    timers, fired = Timers(10.0), list[str]()
    timer = timers.start(4, lambda: fired.append("never"))
    timers.handle_time(11.5)
    assert timer.read() == 2.5
    assert timer.cancel() == 2.5
    assert timer.cancel() is None
    assert timer.read() is None
    assert timers.deadline() is None
    assert timers.handle_time(100.0) == 0
    assert fired == []


def test_a_fired_timer_has_nothing_left() -> None:
    timers = Timers(0.0)
    timer = timers.start(1, lambda: None)
    assert timers.handle_time(1.0) == 1
    assert timer.read() is None
    assert timer.cancel() is None
    assert len(timers) == 0


def test_an_overdue_timer_has_zero_seconds_left() -> None:
    timers, left = Timers(0.0), list[float | None]()
    second = timers.start(2, lambda: None)
    timers.start(1, lambda: left.append(second.read()))
    timers.handle_time(5.0)
    assert left == [0.0]


def test_an_action_may_cancel_a_timer_that_is_due_too() -> None:
    timers, fired = Timers(0.0), list[str]()

    def cancel_second() -> None:
        fired.append("first")
        second.cancel()

    timers.start(1, cancel_second)
    second = timers.start(2, lambda: fired.append("second"))
    assert timers.handle_time(3.0) == 1
    assert fired == ["first"]
    assert len(timers) == 0


def test_an_action_may_start_a_timer_that_is_due_at_once() -> None:
    timers, fired = Timers(0.0), list[str]()

    def start_another() -> None:
        timers.start(0, lambda: fired.append("inner"))

    timers.start(1, start_another)
    assert timers.handle_time(1.0) == 2
    assert fired == ["inner"]


@pytest.mark.parametrize("seconds", [-1, -0.001, float("inf"), float("nan")])
def test_only_a_number_of_seconds_from_zero_up_is_taken(seconds: float) -> None:
    timers = Timers(0.0)
    with pytest.raises(ValueError, match="from 0 up"):
        timers.start(seconds, lambda: None)
    assert len(timers) == 0


def test_time_does_not_go_back() -> None:
    timers = Timers(10.0)
    timer = timers.start(5, lambda: None)
    timers.handle_time(3.0)
    assert timers.now == 10.0
    assert timer.read() == 5.0


def test_stale_timers_are_swept_out() -> None:
    timers = Timers(0.0)
    kept = [timers.start(number, lambda: None) for number in range(1, 11)]
    for _ in range(10 * STALE_FLOOR):
        timers.start(1000, lambda: None).cancel()
        assert len(timers._heap) <= STALE_FLOOR + len(kept) + 1
    assert len(timers) == len(kept)
    assert timers.handle_time(10.0) == len(kept)


def test_live_timers_survive_the_sweep_in_order() -> None:
    timers, fired = Timers(0.0), list[float]()
    doomed = []
    for number in range(STALE_FLOOR * 2):
        seconds = float((number * 37) % 1009)
        timers.start(seconds, lambda seconds=seconds: fired.append(seconds))  # type: ignore[misc]  # bound default
        doomed += [timers.start(seconds, lambda: fired.append(-1.0)) for _ in range(2)]
    for timer in doomed:
        timer.cancel()
    assert len(timers._heap) < STALE_FLOOR * 4
    timers.handle_time(2000.0)
    assert len(fired) == STALE_FLOOR * 2
    assert all(earlier <= later for earlier, later in pairwise(fired))
    assert fired[0] >= 0


@given(
    st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=40),
    st.lists(st.floats(0, 120), max_size=10),
)
def test_each_timer_fires_once_and_never_early(starts: list[tuple[float, bool]], steps: list[float]) -> None:
    timers, fired = Timers(0.0), list[tuple[int, float]]()

    def fire(number: int) -> None:
        fired.append((number, timers.now))

    for number, (seconds, cancelled) in enumerate(starts):
        timer = timers.start(seconds, partial(fire, number))
        if cancelled:
            timer.cancel()
    for now in [*sorted(steps), 200.0]:
        timers.handle_time(now)
        deadline = timers.deadline()
        assert deadline is None or deadline > now
    expected = [number for number, (_, cancelled) in enumerate(starts) if not cancelled]
    assert sorted(number for number, _ in fired) == expected
    assert all(at >= starts[number][0] for number, at in fired)
    assert len(timers) == 0


def test_what_is_left_is_told_by_the_clock() -> None:
    clock = [10.0]
    timers = Timers(10.0, lambda: clock[0])
    timer, other = timers.start(5, lambda: None), timers.start(1, lambda: None)
    clock[0] = 12.0
    assert timer.read() == 3.0
    assert other.read() == 0.0  # due, though it has not fired yet
    assert timer.cancel() == 3.0
    assert timer.read() is None
