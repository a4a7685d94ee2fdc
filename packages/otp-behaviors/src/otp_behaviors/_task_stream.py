"""Tasks for many items, some at once: `Task.async_stream` of Elixir."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from etf_codec import Reference

from otp_behaviors._errors import NO_REPLY, CallTimeout
from otp_behaviors._reasons import KILL, TIMEOUT
from otp_behaviors._request_ids import Response
from otp_behaviors._signals import Exit
from otp_behaviors._task import Owner, Task, answered_task

OnTimeout: TypeAlias = Literal["exit", "kill_task"]


class Slot:
    """An item whose response has not been taken yet."""

    __slots__ = ("deadline", "item", "response", "task")

    def __init__(self, item: Any, task: Task, deadline: float) -> None:
        self.item = item
        self.task = task
        self.deadline = deadline
        self.response: Response | None = None


class TaskStream:
    """The responses of tasks, as an async iterator within `async with`; see `Process.task_stream`."""

    __slots__ = ("_items", "_limit", "_on_timeout", "_ordered", "_owner", "_slots", "_start", "_timeout")

    def __init__(
        self,
        owner: Owner,
        start: Callable[[Any], Awaitable[Task]],
        items: Iterable[Any],
        limit: int,
        ordered: bool,
        timeout: float | None,
        on_timeout: OnTimeout,
    ) -> None:
        self._owner = owner
        self._start = start
        self._items = iter(items)
        self._limit = limit
        self._ordered = ordered
        self._timeout = float("inf") if timeout is None else timeout
        self._on_timeout = on_timeout
        self._slots: deque[Slot] = deque()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = [slot.task for slot in self._slots if slot.response is None]
        self._slots.clear()
        # All of them before the first wait, which is where a process that has been killed itself ends.
        for task in running:
            task.end(KILL)
        if kind is not GeneratorExit:
            for task in running:
                await task.shutdown("brutal_kill")

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Response:
        while True:
            # What is there goes out first: no more work is begun than is taken.
            ready = self._ready()
            if ready is not None:
                self._slots.remove(ready)
                assert ready.response is not None
                return ready.response
            await self._fill()
            if not self._slots:
                raise StopAsyncIteration
            await self._wait()

    async def _fill(self) -> None:
        while sum(slot.response is None for slot in self._slots) < self._limit:
            try:
                item = next(self._items)
            except StopIteration:
                return
            task = await self._start(item)
            self._slots.append(Slot(item, task, self._owner._kernel.now() + self._timeout))

    def _ready(self) -> Slot | None:
        """Return the slot whose response is next, if it is there."""
        candidates = islice(self._slots, 1) if self._ordered else self._slots
        return next((slot for slot in candidates if slot.response is not None), None)

    async def _wait(self) -> None:
        """Wait for a response of any task that runs, or until the time of one is over."""
        running: dict[Reference, Slot] = {
            slot.task.ref: slot for slot in self._slots if slot.response is None
        }
        first = min(slot.deadline for slot in running.values())
        left = None if first == float("inf") else max(0.0, first - self._owner._kernel.now())
        try:
            message = await self._owner.receive(lambda m: answered_task(m) in running, left)
        except TimeoutError:
            await self._overdue([slot for slot in running.values() if slot.deadline == first])
            return
        ref = answered_task(message)
        assert ref is not None
        slot = running[ref]
        response = slot.task.check(message)
        assert response is not None
        slot.response = response._replace(label=slot.item)
        await self._part_from(slot.task)

    async def _part_from(self, task: Task) -> None:
        """The response tells how the task has ended: an owner that traps exits is not told once more."""
        self._owner.unlink(task.pid)
        try:
            await self._owner.receive(lambda m: type(m) is Exit and m.pid == task.pid, 0)
        except TimeoutError:
            return

    async def _overdue(self, slots: list[Slot]) -> None:
        for slot in slots:
            late = CallTimeout(TIMEOUT, f"no result for {slot.item!r} within {self._timeout} s")
            if self._on_timeout == "exit":
                raise late
            response = await slot.task.shutdown("brutal_kill")
            slot.response = response or Response(slot.item, NO_REPLY, late)
            slot.response = slot.response._replace(label=slot.item)
