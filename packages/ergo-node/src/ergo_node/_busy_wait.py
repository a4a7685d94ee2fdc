"""Busy waiting: after a message the event loop looks for the next one for a moment before it sleeps.

OTP's schedulers do the same (`erl +sbwt`, on by default). To fall asleep and be woken takes the system tens
of microseconds, and by then a core has forgotten what it knew of the program: in a conversation with another
process that is up to half of each message. Where no answer comes that soon, it is soon given up.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

BUSY_WAIT: Final = 0.0002
"""Seconds: twice what a peer on the same machine takes to answer."""

NEEDLESS: Final = 3
"""Turns of the event loop in which the next message has come if the loop would not have slept anyway."""

LEFT_OUT: Final = 63
"""Messages after which there is no wait, at most, since waits have not paid. If then they still do not, no
messages are counted for a while."""

REST: Final = 0.01
"""Seconds of that while: so waits in vain take a 50th part of the time at the worst, and a conversation is
noticed within as long."""


class BusyWait:
    """Decides how long the event loop stays awake.

    Args:
        seconds: for how long after a message.
        begin: given a function of the present, has the event loop call that in each of its turns, and not
            sleep, until it returns false.
        later: calls a function after so many seconds.

    Attributes:
        heeds: whether messages matter just now: `message` is to be called for each of them.

    Raises:
        ValueError: the time is none.
    """

    __slots__ = (
        "_begin",
        "_later",
        "_leave_out",
        "_left_out",
        "_seconds",
        "_turns",
        "_until",
        "came",
        "heeds",
        "waiting",
    )

    def __init__(
        self,
        seconds: float,
        begin: Callable[[Callable[[float], bool]], None],
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        if not 0 <= seconds < inf:
            raise ValueError(f"busy_wait is a number of seconds from 0 up, not {seconds!r}")
        self._seconds = seconds
        self._begin = begin
        self._later = later
        self.heeds = seconds > 0
        self.waiting = False
        # Whether a message has come since the last turn.
        self.came = False
        self._turns = 0
        self._until = 0.0
        self._leave_out = 0
        self._left_out = 0

    def message(self) -> None:
        """A message has come, so another one may follow."""
        if self.waiting:
            self.came = True
        elif self._left_out:
            self._left_out -= 1
        elif self.heeds:
            self.waiting = True
            self._turns = -1
            self._begin(self.turn)

    def turn(self, now: float) -> bool:
        """The event loop has turned; returns whether it is to stay awake."""
        self._turns += 1
        if self.came:
            self.came = False
            if self._turns <= NEEDLESS:
                return self._given_up()
            self._leave_out = self._turns = 0
        elif self._turns:
            return now < self._until or self._given_up()
        self._until = now + self._seconds
        return True

    def _given_up(self) -> bool:
        self.waiting = self.came = False
        if self._leave_out < LEFT_OUT:
            self._left_out = self._leave_out = 2 * self._leave_out + 1
        else:
            self.heeds = False
            self._later(REST, self._heed)
        return False

    def _heed(self) -> None:
        self.heeds = True
