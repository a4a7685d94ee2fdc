"""Coroutines that are driven by hand: what a process awaits in a simulation, where no event loop runs."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from inspect import CORO_CREATED, getcoroutinelocals, getcoroutinestate
from types import CoroutineType, TracebackType
from typing import Any, Final

from etf_codec import Term

FOREIGN_WAIT: Final = (
    "a process of a simulation waits for an event loop, and there is none: wait with self.receive(),"
    " self.call() or self.start(), and hand sleeping, files and sockets to the server from outside"
)

MAX_CLOSINGS: Final = 100
"""Waits that `finally` blocks of an ended process may attempt: each is refused, as in a cancelled task."""


class DrivenCoroutine(Coroutine[Any, Any, Term]):
    """A process's coroutine. It may be closed at any time, even by itself, as a task may be cancelled.

    Args:
        coroutine: what the process runs.
    """

    __slots__ = ("_closed", "_coroutine", "_running")

    def __init__(self, coroutine: Coroutine[Any, Any, Term]) -> None:
        self._coroutine = coroutine
        self._running = False
        self._closed = False

    def __await__(self) -> Generator[Any, Any, Term]:
        return self._coroutine.__await__()

    def send(self, value: Any) -> None:
        """Run up to the next wait, which must be one for the kernel."""
        self._running = True
        try:
            awaited = self._coroutine.send(value)
            while awaited is not None:
                awaited = self._coroutine.throw(RuntimeError(FOREIGN_WAIT))
        finally:
            self._running = False
        if self._closed:
            self.close()

    def throw(
        self,
        kind: BaseException | type[BaseException],
        value: BaseException | object = None,
        trace: TracebackType | None = None,
    ) -> Any:
        """Raise an exception where the coroutine waits."""
        error = kind if isinstance(kind, BaseException) else kind(value) if value else kind()
        return self._coroutine.throw(error)

    def close(self) -> None:
        """End the coroutine: what it waits for is cancelled, and so is every wait while it cleans up."""
        self._closed = True
        if self._running:
            return  # A process that ended itself in a callback: closed at its next wait, or it returns.
        if getcoroutinestate(self._coroutine) == CORO_CREATED:
            # What has not begun does not close the callback's own coroutine, which it was going to await.
            for value in getcoroutinelocals(self._coroutine).values():
                if isinstance(value, CoroutineType):
                    value.close()
        for _ in range(MAX_CLOSINGS):
            try:
                self._coroutine.close()
            except RuntimeError as error:
                if "ignored GeneratorExit" not in str(error):
                    raise
            else:
                return


def explain(error: BaseException | None) -> None:
    """Add what to do to the error of a process that looked for an event loop and found none."""
    text = "" if error is None else f"{error} {getattr(error, '__notes__', '')}"
    if error is not None and "event loop" in text and FOREIGN_WAIT not in text:
        error.add_note(FOREIGN_WAIT)
