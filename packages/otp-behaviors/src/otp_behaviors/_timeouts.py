"""Calls that wait with a timeout. Nearly all are answered in time, so this must cost next to nothing.

Calls with the same timeout run out in the order they began: a table for each length, and no heap.
"""

from __future__ import annotations

from math import inf
from typing import Protocol


class Expiring(Protocol):
    """A call that waits."""

    def expire(self) -> None:
        """It has waited for too long."""


class Timeouts:
    """The calls of a kernel that wait with a timeout, by its length in seconds, with their deadlines."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: dict[float, dict[Expiring, float]] = {}

    def __len__(self) -> int:
        """How many calls wait."""
        return sum(map(len, self.waiting.values()))

    def of(self, seconds: float) -> dict[Expiring, float]:
        """Return the calls that wait for so long, with their deadlines: for a call to enter, and to leave.

        Raises:
            ValueError: it is no time that a call can wait.
        """
        waiting = self.waiting.get(seconds)
        if waiting is None:
            if not 0 <= seconds < inf:
                raise ValueError(f"a timeout is a number of seconds from 0 up, or None, not {seconds!r}")
            waiting = self.waiting[seconds] = {}
        return waiting

    def deadline(self) -> float | None:
        """Return when the next call has waited for too long, or None."""
        return min(
            (next(iter(waiting.values())) for waiting in self.waiting.values() if waiting), default=None
        )

    def handle_time(self, now: float) -> None:
        """End the waits that are too long at `now`."""
        for seconds, waiting in list(self.waiting.items()):
            late = []
            for call, deadline in waiting.items():
                if deadline > now:
                    break
                late.append(call)
            for call in late:
                del waiting[call]
            if not waiting:
                del self.waiting[seconds]
            for call in late:
                call.expire()
