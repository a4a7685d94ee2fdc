"""Calls that wait with a timeout: each expires when it is due, in order, unless it ends before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from otp_behaviors._timeouts import Timeouts


class Call:
    """Notes that it has expired."""

    def __init__(self, number: int, expired: list[int]) -> None:
        self.number = number
        self.expired = expired

    def expire(self) -> None:
        self.expired.append(self.number)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 5.0]), st.booleans(), st.sampled_from([0.0, 0.25, 1.0])))
)
def test_calls_expire_when_they_are_due(steps: list[tuple[float, bool, float]]) -> None:
    timeouts = Timeouts()
    expired: list[int] = []
    due: dict[int, float] = {}
    now = 0.0
    for number, (seconds, ends, passes) in enumerate(steps):
        call = Call(number, expired)
        waiting = timeouts.of(seconds)
        waiting[call] = now + seconds
        if ends:
            del waiting[call]
        else:
            due[number] = now + seconds
        assert timeouts.deadline() == min(due.values(), default=None)
        now += passes
        timeouts.handle_time(now)
        late = {each for each, deadline in due.items() if deadline <= now}
        assert set(expired) == late
        expired.clear()
        for each in late:
            del due[each]
        assert len(timeouts) == len(due)


def test_a_call_that_ends_another_as_it_expires() -> None:
    timeouts = Timeouts()
    expired: list[int] = []
    other = Call(2, expired)

    class First(Call):
        def expire(self) -> None:
            super().expire()
            waiting.pop(other, None)
            timeouts.of(1.0)[self] = 2.0

    waiting = timeouts.of(1.0)
    waiting.update({First(1, expired): 1.0, other: 1.5})
    timeouts.handle_time(1.0)
    assert expired == [1]
    assert timeouts.deadline() == 2.0


@pytest.mark.parametrize("seconds", [-0.1, float("inf"), float("nan")])
def test_no_call_can_wait_for_what_is_no_time(seconds: float) -> None:
    with pytest.raises(ValueError, match="a timeout is a number of seconds"):
        Timeouts().of(seconds)
