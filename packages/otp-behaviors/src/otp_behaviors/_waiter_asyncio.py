"""Waiting on asyncio without `anyio.Event`: a call to an `async def` callback takes a third of the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import anyio


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
        self._woken = True
        future = self._future
        if future is not None and not future.done():
            future.set_result(None)

    async def wait(self) -> None:
        """Suspend until `wake` has been called since the last wait."""
        if not self._woken:
            self._future = future = self._create_future()
            try:
                await future
            finally:
                self._future = None
        self._woken = False


def future_waiters() -> Callable[[], FutureWaiter] | None:
    """Return what makes such waiters for the running event loop; None if that is not asyncio's."""
    if anyio.get_cancelled_exc_class() is not asyncio.CancelledError:
        return None
    return partial(FutureWaiter, asyncio.get_running_loop().create_future)
