"""Waiting without a task: the coroutine of a driven process gives its turn back to the kernel."""

from __future__ import annotations

from collections.abc import Generator
from types import coroutine as coroutine_function

from otp_behaviors._kernel import Kernel
from otp_behaviors._process_table import BUSY, IDLE, ProcessRecord


class TurnWaiter:
    """Where the coroutine of a driven process waits: waking it gives the process a turn."""

    __slots__ = ("_kernel", "_record")

    def __init__(self, kernel: Kernel, record: ProcessRecord) -> None:
        self._kernel = kernel
        self._record = record

    def wake(self) -> None:
        """Put the process into the run queue, unless it is there or at work."""
        if self._record.status in (IDLE, BUSY):
            self._kernel.schedule(self._record)

    async def wait(self) -> None:
        """Give the turn back to the kernel."""
        await _suspend()


@coroutine_function
def _suspend() -> Generator[None, None, None]:
    yield
