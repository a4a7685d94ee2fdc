"""Blocking work of processes, in threads: for libraries that know nothing of async."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread

Args = TypeVarTuple("Args")
Result = TypeVar("Result")

MAX_THREADS: Final = 40
"""Threads at work at once, as many as anyio's own limit; more calls wait. It is a limit apart, so that the
threads of processes and the other threads of a program do not wait for each other."""


class Threads:
    """The threads of a runtime."""

    def __init__(self) -> None:
        self._limiter: anyio.CapacityLimiter | None = None

    async def run(self, function: Callable[[*Args], Result], *args: *Args) -> Result:
        """Call a function in a thread and return what it returns, or raise what it raises.

        When the caller is cancelled the thread goes on, since nothing can stop it, and its result is dropped.
        """
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(MAX_THREADS)
        return await anyio.to_thread.run_sync(function, *args, abandon_on_cancel=True, limiter=self._limiter)
