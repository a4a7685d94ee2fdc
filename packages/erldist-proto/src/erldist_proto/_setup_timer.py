"""How long a handshake may take (kernel: net_setuptime; dist_util.erl)."""

from typing import Final

HANDSHAKE_TIME_CAP: Final = 30.0
"""Seconds a whole handshake may last: a bound on each step alone adds up, step by step."""


class SetupTimer:
    """Gives each step of a handshake the same time, and all of them together no more than the cap."""

    __slots__ = ("_cap", "_due", "_seconds", "stepped")

    def __init__(self, now: float, seconds: float) -> None:
        self._seconds = seconds
        self._due = now + seconds
        self._cap = now + max(HANDSHAKE_TIME_CAP, 2 * seconds)
        # Whether the peer has made a step since the time began.
        self.stepped = False

    @property
    def due(self) -> float:
        """When to look next."""
        return min(self._due, self._cap)

    def ran_out(self, now: float) -> bool:
        """Whether the peer was too slow."""
        if now < self.due:
            return False
        if now >= self._cap or not self.stepped:
            return True
        self.stepped = False
        self._due = now + self._seconds
        return False
