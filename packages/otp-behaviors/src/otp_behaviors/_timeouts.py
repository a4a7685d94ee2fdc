"""Calls that wait with a timeout. Nearly all are answered in time, so this must cost next to nothing.

Calls with the same timeout run out in the order they began: a table for each length, and no heap.
"""

from __future__ import annotations

from typing import Protocol


class Expiring(Protocol):
    """A call that waits."""

    def expire(self) -> None:
        """It has waited for too long."""


class Timeouts:
    """The calls of a kernel that wait with a timeout, by its length in seconds, with their deadlines."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[float, dict[Expiring, float]] = {}

    def __len__(self) -> int:
        """How many calls wait."""
        return sum(map(len, self._waiting.values()))

    def begin(self, call: Expiring, seconds: float, now: float) -> float:
        """A call begins to wait; returns its deadline."""
        waiting = self._waiting.get(seconds)
        if waiting is None:
            waiting = self._waiting[seconds] = {}
        waiting[call] = deadline = now + seconds
        return deadline

    def end(self, call: Expiring, seconds: float) -> None:
        """A call waits no more."""
        waiting = self._waiting.get(seconds)
        if waiting is not None:
            waiting.pop(call, None)

    def deadline(self) -> float | None:
        """Return when the next call has waited for too long, or None."""
        return min(
            (next(iter(waiting.values())) for waiting in self._waiting.values() if waiting), default=None
        )

    def handle_time(self, now: float) -> None:
        """End the waits that are too long at `now`."""
        for seconds, waiting in list(self._waiting.items()):
            late = []
            for call, deadline in waiting.items():
                if deadline > now:
                    break
                late.append(call)
            for call in late:
                del waiting[call]
            if not waiting:
                del self._waiting[seconds]
            for call in late:
                call.expire()
