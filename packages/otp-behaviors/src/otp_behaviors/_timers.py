"""Timers: a heap by deadline. Time is an argument; the shell owns the clock."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final

from etf_codec import Pid

STALE_FLOOR: Final = 512
"""Cancelled timers are swept out when they outnumber the live ones and this floor."""


OWNED_FLOOR: Final = 16
"""Timers of one process, those that are over included, before they are swept: then at each power of two."""


class Timer:
    """A timer that was started: `erlang:send_after/3`, or a wait that may time out."""

    __slots__ = ("_action", "_timers", "deadline")

    def __init__(self, timers: Timers, deadline: float, action: Callable[[], None]) -> None:
        self._timers = timers
        self._action: Callable[[], None] | None = action
        self.deadline = deadline

    @property
    def active(self) -> bool:
        """Whether it will still fire."""
        return self._action is not None

    def cancel(self) -> float | None:
        """Stop the timer (`erlang:cancel_timer/1`).

        Returns:
            The seconds that were left, or None if it had fired or been cancelled before.
        """
        return self.read_left() if self.stop() else None

    def stop(self) -> bool:
        """Stop the timer without asking the clock; False if it had fired or been cancelled before."""
        if self._action is None:
            return False
        self._action = None
        self._timers.cancelled()
        return True

    def read(self) -> float | None:
        """Return the seconds left (`erlang:read_timer/1`), or None if it will not fire."""
        return None if self._action is None else self.read_left()

    def read_left(self) -> float:
        """Return the seconds until the deadline, at least 0.0."""
        return max(0.0, self.deadline - self._timers.present())

    def fire(self) -> bool:
        """Run the action once; False if the timer was cancelled."""
        action, self._action = self._action, None
        if action is None:
            return False
        action()
        return True


class Timers:
    """All timers of a kernel.

    Args:
        now: the present, in seconds of a clock that never goes back.
        clock: returns the present later on; without one it is what `handle_time` was told last.
    """

    __slots__ = ("_clock", "_heap", "_sequence", "_stale", "first", "now", "owned")

    def __init__(self, now: float, clock: Callable[[], float] | None = None) -> None:
        self.now = now
        # No timer fires earlier: the shell need not look before.
        self.first = inf
        self._clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._sequence = 0
        self._stale = 0
        self.owned: dict[Pid, list[Timer]] = {}

    def __len__(self) -> int:
        return len(self._heap) - self._stale

    def start(self, seconds: float, action: Callable[[], None], owner: Pid | None = None) -> Timer:
        """Run `action` when `seconds` have passed; equal deadlines fire in the order they were started.

        Args:
            seconds: from now.
            action: what to do.
            owner: a process at whose end the timer is cancelled.
        """
        if not 0 <= seconds < inf:
            raise ValueError(f"a timer needs a number of seconds from 0 up, not {seconds!r}")
        timer = Timer(self, self.now + seconds, action)
        self._sequence += 1
        heappush(self._heap, (timer.deadline, self._sequence, timer))
        if timer.deadline < self.first:
            self.first = timer.deadline
        if owner is not None:
            self._own(owner, timer)
        return timer

    def owner_exited(self, owner: Pid) -> None:
        """Cancel the timers of a process that has ended."""
        for timer in self.owned.pop(owner, ()):
            timer.cancel()

    def _own(self, owner: Pid, timer: Timer) -> None:
        timers = self.owned.setdefault(owner, [])
        timers.append(timer)
        size = len(timers)
        if size >= OWNED_FLOOR and not size & (size - 1):
            timers[:] = [each for each in timers if each.active]

    def present(self) -> float:
        """Return the present: a callback may ask long after `handle_time`."""
        return self.now if self._clock is None else max(self.now, self._clock())

    def deadline(self) -> float | None:
        """Return when the next timer fires, or None."""
        heap = self._heap
        while heap and not heap[0][2].active:
            heappop(heap)
            self._stale -= 1
        return heap[0][0] if heap else None

    def handle_time(self, now: float) -> int:
        """Fire every timer that is due at `now`; returns how many fired."""
        self.now = max(now, self.now)
        fired = 0
        while self._heap and self._heap[0][0] <= self.now:
            timer = heappop(self._heap)[2]
            if timer.fire():
                fired += 1
            else:
                self._stale -= 1
        self.first = self._heap[0][0] if self._heap else inf
        return fired

    def cancelled(self) -> None:
        """Count a cancelled timer, and sweep the heap when most of it is stale."""
        self._stale += 1
        if self._stale > STALE_FLOOR and self._stale * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].active]
            heapify(self._heap)
            self._stale = 0
