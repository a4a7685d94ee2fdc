"""Processes of other nodes that are called: one watch of each serves all calls of a process to it.

`gen:call` sets a monitor up for each call and takes it down after it, which makes four signals out of two. A
monitor that stays from one call to the next tells the same: that the callee has ended, or was never there.
Calls to a name have one each, for a monitor stays with the process that had the name when it was set up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from etf_codec import ImproperList, Pid, Reference, Term

from otp_behaviors._bonds import Monitor
from otp_behaviors._monitors import Monitors
from otp_behaviors._process_table import Awaiting, OpenRequest

KEEP: Final = 1.0
"""Seconds without a call after which a callee is watched no longer, or up to twice as many."""


class Callee:
    """A process of another node that one of ours calls, and the calls it has not answered yet."""

    __slots__ = ("_callees", "callers", "monitor", "pid", "ref", "sender", "spare", "used")

    def __init__(self, callees: Callees, sender: Pid, pid: Pid, ref: Reference) -> None:
        self._callees = callees
        self.sender = sender
        self.pid = pid
        self.ref = ref
        self.callers: dict[Awaiting, None] = {}
        # One of the callers that has its answer: the next call may be made with the same object.
        self.spare: OpenRequest | None = None
        self.monitor: Monitor | None = None
        self.used = True

    def monitoring(self, ref: Reference, monitor: Monitor) -> None:
        """The watch has begun."""
        self.monitor = monitor

    def down(self, ref: Reference, reason: Term) -> None:
        """The process has ended, or was never there: so do the calls that wait for it."""
        self.monitor = None
        self._callees.forget(self)
        callers, self.callers = self.callers, {}
        for caller in callers:
            caller.callee_exited(reason)


class Callees:
    """The callees of a kernel.

    Args:
        monitors: those of the kernel.
        make_ref: makes references.
        now: returns the present.
    """

    __slots__ = (
        "_make_ref",
        "_monitors",
        "_now",
        "_of_sender",
        "_sweep_at",
        "ahead",
        "answered",
        "last",
    )

    def __init__(
        self, monitors: Monitors, make_ref: Callable[[], Reference], now: Callable[[], float]
    ) -> None:
        self._monitors = monitors
        self._make_ref = make_ref
        self._now = now
        self._of_sender: dict[Pid, dict[Pid, Callee]] = {}
        self._sweep_at: float | None = None
        # The one that was called last, which is likely to be called again.
        self.last: Callee | None = None
        # A call to a name that was answered, whose object can be another one.
        self.answered: OpenRequest | None = None
        # The tag that the next call is to have, made while the callee of the last one was at work.
        self.ahead: ImproperList | None = None

    def __len__(self) -> int:
        """How many callees are watched."""
        return sum(map(len, self._of_sender.values()))

    def __contains__(self, sender: Pid) -> bool:
        return sender in self._of_sender

    def enlist(self, caller: Awaiting, sender: Pid, pid: Pid) -> Callee:
        """Note a call that a process makes, and watch the callee if that is not done yet."""
        callee = self.find(sender, pid)
        callee.callers[caller] = None
        callee.used = True
        return callee

    def find(self, sender: Pid, pid: Pid) -> Callee:
        """Return the callee, which is watched from now on if it was not yet."""
        callee = self._of_sender.get(sender, {}).get(pid) or self._watch(sender, pid)
        self.last = callee
        return callee

    def sender_exited(self, sender: Pid) -> None:
        """A process that made calls has ended: its monitors go with it."""
        for callee in list(self._of_sender.get(sender, {}).values()):
            self._leave(callee)

    def forget(self, callee: Callee) -> None:
        """The watch of a callee is over."""
        self.last = None
        callees = self._of_sender[callee.sender]
        del callees[callee.pid]
        if not callees:
            del self._of_sender[callee.sender]

    def deadline(self) -> float | None:
        """Return when to look for callees that are not called any more, or None."""
        return self._sweep_at

    def handle_time(self, now: float) -> None:
        """Leave the callees that have not been called since the last look, if it is time for one."""
        if self._sweep_at is None or now < self._sweep_at:
            return
        for callees in list(self._of_sender.values()):
            for callee in list(callees.values()):
                if not callee.used:
                    self._leave(callee)
                # A call that is under way counts as use.
                callee.used = len(callee.callers) > (callee.spare is not None)
        self._sweep_at = now + KEEP if self._of_sender else None

    def _watch(self, sender: Pid, pid: Pid) -> Callee:
        ref = self._make_ref()
        callee = self._of_sender.setdefault(sender, {})[pid] = Callee(self, sender, pid, ref)
        self._monitors.add(callee, sender, pid, ref)
        if self._sweep_at is None:
            self._sweep_at = self._now() + KEEP
        return callee

    def _leave(self, callee: Callee) -> None:
        self.forget(callee)
        if callee.monitor is not None:
            self._monitors.remove(callee.sender, callee.ref, callee.monitor)
