"""Monitors of groups and of scopes."""

from ergo_node._pg_groups import key_of
from ergo_node._pg_monitors import GroupMonitors
from etf_codec import Pid, Reference

PID = Pid("a@h", 1, 0, 1)
REFS = [Reference("a@h", 1, (number, 0, 0)) for number in range(3)]


def test_who_is_told_of_a_group() -> None:
    monitors, g, h = GroupMonitors(), key_of("g"), key_of("h")
    monitors.add(REFS[0], PID, g)
    monitors.add(REFS[1], PID, None)
    monitors.add(REFS[2], PID, g)
    assert list(monitors.of(g)) == [(REFS[1], PID), (REFS[0], PID), (REFS[2], PID)]
    assert list(monitors.of(h)) == [(REFS[1], PID)]
    assert monitors.remove(REFS[1]) == PID
    assert monitors.remove(REFS[1]) is None
    assert monitors.remove(REFS[0]) == monitors.remove(REFS[2]) == PID
    assert list(monitors.of(g)) == []
