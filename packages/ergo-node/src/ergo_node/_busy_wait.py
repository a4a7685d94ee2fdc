"""Busy waiting: after a message the event loop looks for the next one for a moment before it sleeps.

OTP's schedulers do the same (`erl +sbwt`, on by default). To fall asleep and be woken takes the system tens
of microseconds, and by then a core has forgotten what it knew of the program: in a conversation with another
process that is up to half of each message. Where no answer comes that soon, it is soon given up, and so it is
where the loop has no time to sleep in any case, as when two nodes of one process converse.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Final, Protocol

BUSY_WAIT: Final = 0.0002
"""Seconds: twice what a peer on the same machine takes to answer."""

HOPS: Final = 3
"""Turns of the event loop within which a message of one node on it to another one arrives: one turn on
uvloop, two on asyncio, three on trio."""

NEEDLESS: Final = 64
"""Messages in a row that came within so many turns, for which no loop had to stay awake, after which there is
a rest. In a conversation with another process some do, too, the more the longer this side has been asleep: to
give up for a few of them would keep it asleep."""

LEFT_OUT: Final = 63
"""Messages after which there is no wait, at most, since waits have been in vain. If then they still are,
there is a rest."""

REST: Final = 0.01
"""Seconds of a rest, in which no messages are counted: so waits in vain take a 50th part of the time at the
worst, and a conversation is noticed within as long."""


class EventLoop(Protocol):
    """What stays awake: an event loop, for as long as one of the nodes on it runs."""

    def keep_awake(self, turn: Callable[[float], bool], ended: Callable[[], None]) -> None:
        """Call a function in each turn of the loop, which does not sleep, until it returns false.

        Args:
            turn: is given the present.
            ended: called if the node ends before.
        """

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        """Call a function once so many seconds have passed, or the node has ended.

        For what is done over and over: a timer of the kernel takes longer.
        """


class BusyWait:
    """Decides how long an event loop stays awake.

    The nodes on it share one, or each would take the messages of the others for turns in which nothing came.

    Args:
        seconds: for how long after a message.

    Attributes:
        heeds: whether messages matter just now: `message` is to be called for each of them.
        waiting: whether the loop is kept awake.
        came: whether a message has come since the last turn.

    Raises:
        ValueError: the time is none.
    """

    __slots__ = (
        "_leave_out",
        "_left_out",
        "_needless",
        "_turns",
        "_until",
        "came",
        "heeds",
        "seconds",
        "waiting",
    )

    def __init__(self, seconds: float) -> None:
        if not 0 <= seconds < inf:
            raise ValueError(f"busy_wait is a number of seconds from 0 up, not {seconds!r}")
        self.seconds = seconds
        self.heeds = seconds > 0
        self.waiting = False
        self.came = False
        self._turns = 0
        self._until = 0.0
        self._needless = 0
        self._leave_out = 0
        self._left_out = 0

    def message(self, loop: EventLoop) -> None:
        """A message has come, so another one may follow."""
        if self.waiting:
            self.came = True
        elif self._left_out:
            self._left_out -= 1
        elif self.heeds:
            self.waiting = True
            self._turns = -1
            loop.keep_awake(partial(self.turn, loop), self.ended)

    def turn(self, loop: EventLoop, now: float) -> bool:
        """The event loop has turned; returns whether it is to stay awake."""
        self._turns += 1
        if self.came:
            self.came = False
            if self._turns > HOPS:
                self._needless = self._leave_out = 0
            elif self._needless < NEEDLESS:
                self._needless += 1
            else:
                return self._rest(loop)
            self._turns = 0
        elif self._turns:
            return now < self._until or self._in_vain(loop)
        self._until = now + self.seconds
        return True

    def ended(self) -> None:
        """The event loop turns no more for this, or need not."""
        self.waiting = self.came = False

    def _in_vain(self, loop: EventLoop) -> bool:
        if self._leave_out == LEFT_OUT:
            return self._rest(loop)
        self._left_out = self._leave_out = 2 * self._leave_out + 1
        self.ended()
        return False

    def _rest(self, loop: EventLoop) -> bool:
        self.heeds = False
        loop.call_later(REST, self._heed)
        self.ended()
        return False

    def _heed(self) -> None:
        self.heeds = True
