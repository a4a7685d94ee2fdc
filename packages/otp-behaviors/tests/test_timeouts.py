"""Calls that wait with a timeout: each expires when it is due, in order, unless it ends before."""

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
        assert timeouts.begin(call, seconds, now) == now + seconds
        if ends:
            timeouts.end(call, seconds)
            timeouts.end(call, seconds)
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
            timeouts.end(other, 1.0)
            timeouts.begin(self, 1.0, 1.0)

    timeouts.begin(First(1, expired), 1.0, 0.0)
    timeouts.begin(other, 1.0, 0.5)
    timeouts.handle_time(1.0)
    assert expired == [1]
    assert timeouts.deadline() == 2.0
