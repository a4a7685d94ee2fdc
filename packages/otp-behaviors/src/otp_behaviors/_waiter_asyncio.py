"""Waiting on asyncio without `anyio.Event`: a call to an `async def` callback takes a third of the time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Final

import anyio


class Woken:
    """A wait that is over before it began."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


WOKEN: Final = Woken()


class FutureWaiter:
    """Where a task of asyncio waits, as `EventWaiter` does on any backend.

    Args:
        create_future: of the running event loop.
    """

    __slots__ = ("_create_future", "_future", "_woken")

    def __init__(self, create_future: Callable[[], asyncio.Future[None]]) -> None:
        self._create_future = create_future
        self._future: asyncio.Future[None] | None = None
        self._woken = False

    def wake(self) -> None:
        """Let the task go on."""
        future, self._future = self._future, None
        if future is None:
            self._woken = True
            return
        try:
            future.set_result(None)
        except asyncio.InvalidStateError:
            self._woken = True  # who waited has been cancelled; the next wait is over at once

    def wait(self) -> Awaitable[None]:
        """Return what suspends, when awaited, until `wake` has been called since the last wait."""
        if self._woken:
            self._woken = False
            return WOKEN
        create_future = self._create_future
        self._future = future = create_future()
        return future


def future_waiters() -> Callable[[], FutureWaiter] | None:
    """Return what makes such waiters for the running event loop; None if that is not asyncio's."""
    if anyio.get_cancelled_exc_class() is not asyncio.CancelledError:
        return None
    return partial(FutureWaiter, asyncio.get_running_loop().create_future)
