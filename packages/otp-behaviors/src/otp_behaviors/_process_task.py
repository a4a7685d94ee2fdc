"""The task of a process: where its coroutines are awaited, one after the other."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from otp_behaviors._kernel import Kernel
from otp_behaviors._process_table import ProcessRecord, Waiter
from otp_behaviors._reasons import KILLED


class EventWaiter:
    """Where a task waits: an event, renewed after each wait."""

    __slots__ = ("_event", "_new_event")

    def __init__(self) -> None:
        self._event = anyio.Event()
        # What `anyio.Event()` finds out anew each time, for twice the price.
        self._new_event = type(self._event)

    def wake(self) -> None:
        """Let the task go on."""
        self._event.set()

    async def wait(self) -> None:
        """Suspend until `wake` has been called since the last wait."""
        await self._event.wait()
        self._event = self._new_event()


class ProcessTask:
    """One task for all coroutines of one process; ending the process cancels it.

    It ends by itself when it is no longer the task of its process.

    Args:
        kernel: the kernel of the process.
        record: the process.
        idle: where the task waits for the next coroutine.
        pump: runs the kernel and carries out what comes out.
    """

    __slots__ = ("_idle", "_kernel", "_pump", "_record", "_scope")

    def __init__(self, kernel: Kernel, record: ProcessRecord, idle: Waiter, pump: Callable[[], None]) -> None:
        self._kernel = kernel
        self._record = record
        self._pump = pump
        # Shielded: when the program is cancelled, the runtime stops its processes, so that they terminate.
        self._scope = anyio.CancelScope(shield=True)
        self._idle = idle

    def cancel(self) -> None:
        """The process has ended: stop whatever it is waiting for."""
        self._scope.cancel()

    def resume(self) -> None:
        """The process has another coroutine to await."""
        self._idle.wake()

    async def run(self) -> None:
        """Await the coroutines of the process until it ends."""
        record = self._record
        try:
            with self._scope:
                while record.alive and record.task is self:
                    coroutine = record.coroutine
                    if coroutine is None:
                        await self._idle.wait()
                        continue
                    try:
                        value = await coroutine
                    except Exception as error:
                        record.coroutine = None
                        record.raised(error)
                    else:
                        record.coroutine = None
                        record.returned(value)
                    kernel = self._kernel
                    if kernel.run_queue or kernel.effects or kernel.outbox:
                        self._pump()
                    if kernel.reductions > kernel.fair_share and kernel.shell is not None:
                        # Callbacks that never wait would keep all other tasks from running.
                        await kernel.shell.checkpoint()
        finally:
            # Cancelled from outside, or a BaseException: the process cannot outlive its task, unless it has
            # given the task up, to start another one when it needs it (`hibernate`).
            if record.task is self:
                self._kernel.exit(record, KILLED, by_signal=True)
