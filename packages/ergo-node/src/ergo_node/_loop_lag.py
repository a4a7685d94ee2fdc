"""How late the event loop is: what blocks it keeps ticks back, and others take this node for lost."""

from __future__ import annotations

import logging
from math import inf
from time import monotonic
from typing import Final

import anyio

logger: Final = logging.getLogger("ergo_node")

WARNING_SHARE: Final = 0.25
"""Of the tick time: a peer gives a node up after three to five quarters of it without a word."""

BEATS: Final = 4
"""Looks in the time that deserves a warning."""


class LoopLag:
    """Measures how much later than asked for a task gets its turn.

    Args:
        node: its name, for the log.
        tick_time: seconds, that of the node.
    """

    def __init__(self, node: str, tick_time: float) -> None:
        self._node = node
        self.limit = tick_time * WARNING_SHARE
        self._beat = min(1.0, self.limit / BEATS)
        self._last = 0.0
        self._due = inf  # nothing is measured yet

    @property
    def seconds(self) -> float:
        """The lag now: as last measured, or what has passed since the next look was due if that is more."""
        return max(self._last, monotonic() - self._due)

    async def measure(self) -> None:
        """Look again and again, and warn of what others might take for our end."""
        while True:
            self._due = monotonic() + self._beat
            await anyio.sleep(self._beat)
            self._last = max(0.0, monotonic() - self._due)
            # What blocked began up to a beat before the look was due.
            if self._last > self.limit - self._beat:
                logger.warning(
                    "%s stood still for %.1f s: a callback kept the event loop, or the program was stopped."
                    " After %.1f s without a tick other nodes take it for lost: move what blocks to a"
                    " thread, or give Node(tick_time=...)",
                    self._node,
                    self._last,
                    self.limit / WARNING_SHARE * (1 - WARNING_SHARE),
                )
