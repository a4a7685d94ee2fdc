"""Messages for a task: what it subscribed to, with `async for`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import anyio
import anyio.lowlevel

from ergo_node._errors import SlowSubscriber

MAX_UNREAD: Final = 10_000
"""Messages a task may leave unread: what nobody reads must not fill the memory."""


class Subscription:
    """A subscription of a task; `async for` it, leave its block or `close` it to end it.

    Nothing is dropped in silence: when more than `max_unread` messages wait, the subscription ends, and its
    task gets SlowSubscriber once it has read those. It may subscribe anew, and has to learn otherwise what it
    missed, as after a lost connection.

    Args:
        what: what was subscribed to, for the error.
        ended: is called when it ends.
        max_unread: how many messages may wait; `math.inf` for any number.
    """

    def __init__(self, what: str, ended: Callable[[Subscription], None], max_unread: float) -> None:
        if max_unread < 1:
            raise ValueError(f"max_unread must be at least 1, not {max_unread}")
        self._what = what
        self._ended = ended
        self._max_unread = max_unread
        self._unread: deque[Any] = deque()
        self._told = anyio.Event()
        self._closed = False
        self._overrun = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        await anyio.lowlevel.checkpoint()
        while not self._unread:
            if self._overrun:
                raise SlowSubscriber(
                    f"{self._what}: more than {self._max_unread} messages were unread, later ones are lost:"
                    " subscribe again, read faster, or give a larger max_unread"
                )
            if self._closed:
                raise StopAsyncIteration
            await self._told.wait()
        message = self._unread.popleft()
        if not self._unread and not self._closed:
            self._told = anyio.Event()
        return message

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def tell(self, message: Any) -> None:
        """Put a message into the subscription."""
        if len(self._unread) == self._max_unread:
            self._overrun = True
            self.close()
        elif not self._closed:
            self._unread.append(message)
            self._told.set()

    def close(self) -> None:
        """End the subscription: its `async for` ends when it has read what came before."""
        if not self._closed:
            self._closed = True
            self._ended(self)
            self._told.set()
