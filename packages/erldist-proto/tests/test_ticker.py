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
