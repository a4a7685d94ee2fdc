"""What somebody waits for."""

from __future__ import annotations

from etf_codec import Term

from otp_behaviors._kernel import Kernel
from otp_behaviors._process_table import Waiter


class Completion:
    """Something that will succeed or fail once, and one coroutine that waits for it."""

    __slots__ = ("_error", "_kernel", "_value", "_waiter", "done", "waiting")

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._value: Term = None
        self._error: Exception | None = None
        self._waiter: Waiter | None = None
        self.done = False
        self.waiting = False

    def succeed(self, value: Term) -> None:
        """Complete with a value; only the first completion counts."""
        if not self.done:
            self._value = value
            self._complete()

    def fail(self, error: Exception) -> None:
        """Complete with an error; only the first completion counts."""
        if not self.done:
            self._error = error
            self._complete()

    def result(self) -> Term:
        """Return the value, or raise the error."""
        if self._error is not None:
            raise self._error
        return self._value

    async def wait(self, waiter: Waiter, timeout: float | None) -> bool:
        """Wait until done; False if `timeout` seconds passed first.

        Raises:
            ValueError: the timeout is negative, or no number.
        """
        self.begin_wait(waiter, timeout)
        try:
            while self.waiting:
                await waiter.wait()
        finally:
            answered = self.end_wait(timeout)
        return answered

    def begin_wait(self, waiter: Waiter, timeout: float | None) -> None:
        """Have the waiter woken when this is done, or late.

        Raises:
            ValueError: the timeout is negative, or no number.
        """
        if timeout is not None:
            kernel = self._kernel
            kernel.timeouts.of(timeout)[self] = deadline = kernel.now() + timeout
            if deadline < kernel.alarm and kernel.shell is not None:
                kernel.shell.ready()
        self._waiter = waiter
        self.waiting = not self.done

    def end_wait(self, timeout: float | None) -> bool:
        """Whoever waited goes on; returns whether this is done."""
        self._waiter = None
        if timeout is not None:
            self._kernel.timeouts.of(timeout).pop(self, None)
        return self.done

    def expire(self) -> None:
        """The time to wait is over."""
        self.waiting = False
        if self._waiter is not None:
            self._waiter.wake()

    def _complete(self) -> None:
        self.done = True
        self.waiting = False
        if self._waiter is not None:
            self._waiter.wake()
