import pytest
from erldist_proto._ticker import Ticker


def test_a_visible_silent_peer_as_otp_does_it() -> None:
    """Observed with net_ticktime 8: ticks at 2, 4 and 6 seconds, closed at 8."""
    ticker = Ticker(0.0, 8.0, 4, hidden=False)
    story = []
    for _ in range(4):
        now = ticker.due
        story.append((now, *ticker.check(now, pending=False)))
    assert story == [(2.0, True, False), (4.0, True, False), (6.0, True, False), (8.0, True, True)]


def test_nothing_happens_before_it_is_due() -> None:
    ticker = Ticker(0.0, 60.0, 4, hidden=False)
    assert ticker.check(14.9, pending=False) == (False, False)
    assert ticker.due == 15.0


@pytest.mark.parametrize(
    ("hidden", "read", "written", "pending", "ticks"),
    [
        (False, False, False, False, True),
        (False, True, False, False, True),
        (False, False, True, False, False),
        (False, False, False, True, False),
        (True, False, True, False, True),
        (True, True, True, False, False),
        (True, False, False, True, False),
    ],
)
def test_when_a_tick_is_needed(hidden: bool, read: bool, written: bool, pending: bool, ticks: bool) -> None:
    ticker = Ticker(0.0, 60.0, 4, hidden=hidden)
    ticker.read, ticker.written = read, written
    assert ticker.check(15.0, pending=pending)[0] is ticks


def silent_checks(ticker: Ticker) -> int:
    checks = 1
    while not ticker.check(ticker.due, pending=False)[1]:
        checks += 1
    return checks


@pytest.mark.parametrize("intensity", [4, 10, 1000])
def test_anything_read_is_a_sign_of_life(intensity: int) -> None:
    ticker = Ticker(0.0, 60.0, intensity, hidden=False)
    for _ in range(3 * intensity):
        ticker.read = True
        assert ticker.check(ticker.due, pending=False)[1] is False
    assert silent_checks(ticker) == intensity


def test_silence_does_not_count_while_we_do_not_read() -> None:
    ticker = Ticker(0.0, 60.0, 4, hidden=False)
    ticker.paused = True
    for _ in range(20):
        assert ticker.check(ticker.due, pending=False) == (True, False)
    ticker.paused = False
    assert silent_checks(ticker) == 4


def test_our_own_stall_does_not_count() -> None:
    ticker = Ticker(0.0, 60.0, 4, hidden=False)
    assert ticker.check(1000.0, pending=False) == (True, False)
    assert ticker.due == 1015.0
    assert silent_checks(ticker) == 4


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("intensity", [4, 10])
@pytest.mark.parametrize("tick_time", [1.0, 4.0, 60.0])
def test_two_that_have_nothing_to_say_stay_connected(tick_time: float, intensity: int, hidden: bool) -> None:
    """Ten tick times; then one of them falls silent, and the other one sees it in time."""
    interval = tick_time / intensity
    first, second = (Ticker(0.0, tick_time, intensity, hidden=hidden) for _ in range(2))
    now = 0.0
    while now < 10 * tick_time:
        now = min(first.due, second.due)
        for ours, theirs in ((first, second), (second, first)):
            tick, gone = ours.check(now, pending=False)
            assert not gone
            theirs.read = theirs.read or tick
            ours.written = ours.written or tick
    silent_since = now
    gone = False
    while not gone:
        now = first.due
        _, gone = first.check(now, pending=False)
    assert tick_time - interval <= now - silent_since <= tick_time + interval * 1.001


@pytest.mark.parametrize("late", [1.0, 1.5, 8.0, 1000.0])
def test_after_a_stall_there_is_an_interval_to_read_what_came(late: float) -> None:
    """Whatever was counted before: a stall alone never loses a peer, and one that is gone is found."""
    ticker = Ticker(0.0, 4.0, 4, hidden=False)
    for now in (1.0, 2.0, 3.0):
        assert ticker.check(now, pending=False) == (True, False)
    assert ticker.check(4.0 + late, pending=False) == (True, False)
    ticker.read = True
    for step in (1.0, 2.0, 3.0, 4.0):
        assert ticker.check(4.0 + late + step, pending=False) == (True, False)
    assert ticker.check(4.0 + late + 5.0, pending=False) == (True, True)
