"""The event loop of asyncio, or uvloop: what needs no task there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic


class AsyncioLoop:
    """The event loop that runs; what it is asked for goes on when the node that asked has ended."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def keep_awake(self, turn: Callable[[float], bool], ended: Callable[[], None]) -> None:
        """Call a function in each turn of the event loop until it returns false."""
        self._loop.call_soon(_stay_awake, self._loop, turn)

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        """Call a function once so many seconds have passed."""
        self._loop.call_later(seconds, action)


def _stay_awake(loop: asyncio.AbstractEventLoop, turn: Callable[[float], bool]) -> None:
    if turn(monotonic()):
        loop.call_soon(_stay_awake, loop, turn)
