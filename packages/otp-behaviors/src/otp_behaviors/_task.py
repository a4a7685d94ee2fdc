"""Task: one piece of work in a process of its own, whose result its owner takes when it likes.

    owner                                     the task's process
    -----                                     ------------------
    task = self.task(fetch, url)      ---->   fetch(process, url)
    ...
    await task.result()               <----   {ref, result}

Follows `Task` of Elixir, its messages included: the owner is linked with the task and watches it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol

from etf_codec import Pid, Reference, Term

from otp_behaviors._aliases import MonitorAlias
from otp_behaviors._errors import NO_REPLY, CallTimeout, ExitError, NoConnection, NoProcess
from otp_behaviors._gen_call import CALL_TIMEOUT
from otp_behaviors._kernel import Kernel
from otp_behaviors._reasons import KILL, KILLED, NOCONNECTION, NOPROC, SHUTDOWN, TIMEOUT
from otp_behaviors._request_ids import Response
from otp_behaviors._shell import ServerRef
from otp_behaviors._signals import Down


class Owner(Protocol):
    """What a task needs of the process that has started it."""

    _kernel: Kernel

    def monitor(self, to: ServerRef, *, alias: MonitorAlias | None = None) -> Reference: ...

    def demonitor(self, ref: Reference, flush: bool = False) -> bool: ...

    def unlink(self, pid: Pid) -> None: ...

    def exit(self, pid: Pid, reason: Term) -> None: ...

    async def receive(
        self, matcher: Callable[[Term], object] | None = None, timeout: float | None = None
    ) -> Term: ...


class Task:
    """A task, for the process that has started it: no other one can take the result.

    Attributes:
        pid: the process that does the work.
        ref: what its messages carry: `{ref, result}` and then a `Down`, or a `Down` alone if it failed. A
            server gets them in `handle_info`, where `check` knows them.
    """

    __slots__ = ("_owner", "pid", "ref")

    def __init__(self, owner: Owner, pid: Pid, ref: Reference) -> None:
        self._owner = owner
        self.pid = pid
        self.ref = ref

    def __repr__(self) -> str:
        return f"Task({self.pid!r})"

    async def result(self, timeout: float | None = CALL_TIMEOUT) -> Any:
        """Wait for the result and return it (`Task.await/2`); once only.

        Raises:
            CallTimeout: not within `timeout` seconds; the task goes on, its result will be dropped.
            ExitError: it has ended without one, NoConnection and NoProcess among them. Who is linked with it
                and does not trap exits has ended as well.
        """
        [result] = await Task.results([self], timeout)
        return result

    async def poll(self, timeout: float | None = CALL_TIMEOUT) -> Response | None:
        """Wait for the end of the task (`Task.yield/2`); may be repeated until it has come.

        Args:
            timeout: seconds; 0 looks and does not wait.

        Returns:
            The response, with a reply or an error; None if there is none in time.
        """
        [response] = await Task.poll_many([self], timeout)
        return response

    def check(self, message: Term) -> Response | None:
        """Return the response if that is what a message is, or else None; for `handle_info`."""
        return self._response(message) if answered_task(message) == self.ref else None

    async def ignore(self) -> Response | None:
        """Let the task go on unlinked, and drop its result (`Task.ignore/1`).

        Returns:
            The response if there is one already.
        """
        response = await self.poll(0)
        self._owner.unlink(self.pid)
        await self._forget()
        return response

    async def shutdown(
        self, timeout: float | Literal["brutal_kill"] | None = CALL_TIMEOUT
    ) -> Response | None:
        """End the task and wait for its end (`Task.shutdown/2`).

        Args:
            timeout: seconds until it is killed; None for never, `brutal_kill` for at once.

        Returns:
            The response if it came before; None if the task ended as it was told to.
        """
        end = self._owner.monitor(self.pid)
        if timeout == "brutal_kill":
            sent, expected, seconds = KILL, KILLED, None
        else:
            sent, expected, seconds = SHUTDOWN, SHUTDOWN, timeout
        self.end(sent)
        down = await self._down(end, seconds)
        if down is None:
            self.end(KILL)
            down = await self._down(end, None)
        assert down is not None
        # The monitor that the task began with knows more, unless the result has been taken.
        response = await self.poll(0) or self._response(down)
        await self._forget()
        ended_so = isinstance(response.error, ExitError) and response.error.reason is expected
        return None if ended_so else response

    def end(self, reason: Term) -> None:
        """Send the task an exit signal that does not come back over a link; does not wait for its end."""
        self._owner.unlink(self.pid)
        self._owner.exit(self.pid, reason)

    @staticmethod
    async def results(tasks: Iterable[Task], timeout: float | None = CALL_TIMEOUT) -> list[Any]:
        """Wait for the results of several tasks and return them in their order (`Task.await_many/2`).

        Args:
            tasks: tasks of one owner, which waits.
            timeout: seconds for all of them together.

        Raises:
            CallTimeout: one is missing. ExitError: one has ended without a result. The others go on, and
                their results will be dropped.
        """
        tasks = list(tasks)
        try:
            responses = await _responses(tasks, timeout, len(tasks), until_one_fails=True)
            if any(task.ref not in responses for task in tasks):
                late = f"{len(tasks) - len(responses)} of {len(tasks)} tasks"
                raise CallTimeout(TIMEOUT, f"no result of {late} within {timeout} s")
            return [responses[task.ref].reply for task in tasks]
        finally:
            for task in tasks:
                await task._forget()

    @staticmethod
    async def poll_many(
        tasks: Iterable[Task], timeout: float | None = CALL_TIMEOUT, *, limit: int | None = None
    ) -> list[Response | None]:
        """Wait for the end of several tasks (`Task.yield_many/2`); may be repeated for those that go on.

        Args:
            tasks: tasks of one owner, which waits.
            timeout: seconds for all of them together.
            limit: return as soon as so many have ended.

        Returns:
            For each task, in their order, its response, or None.
        """
        tasks = list(tasks)
        responses = await _responses(tasks, timeout, len(tasks) if limit is None else min(limit, len(tasks)))
        return [responses.get(task.ref) for task in tasks]

    async def _down(self, ref: Reference, timeout: float | None) -> Down | None:
        try:
            message = await self._owner.receive(lambda m: type(m) is Down and m.ref == ref, timeout)
        except TimeoutError:
            return None
        assert isinstance(message, Down)
        return message

    async def _forget(self) -> None:
        """Drop what has come from the task, and what will."""
        self._owner.demonitor(self.ref, flush=True)
        try:
            await self._owner.receive(lambda message: answered_task(message) == self.ref, 0)
        except TimeoutError:
            return

    def _response(self, message: Any) -> Response:
        if type(message) is Down:
            return Response(self, NO_REPLY, failure(self, message.reason))
        self._owner.demonitor(self.ref, flush=True)
        return Response(self, message[1], None)


async def _responses(
    tasks: list[Task], timeout: float | None, limit: int, *, until_one_fails: bool = False
) -> dict[Reference, Response]:
    responses: dict[Reference, Response] = {}
    if not tasks:
        return responses
    owner = tasks[0]._owner
    waiting = {task.ref: task for task in tasks}
    now = owner._kernel.now
    deadline = None if timeout is None else now() + timeout
    while waiting and len(responses) < limit:
        left = None if deadline is None else max(0.0, deadline - now())
        try:
            message = await owner.receive(lambda m: answered_task(m) in waiting, left)
        except TimeoutError:
            break
        ref = answered_task(message)
        assert ref is not None
        response = waiting.pop(ref)._response(message)
        if response.error is not None and until_one_fails:
            raise response.error
        responses[ref] = response
    return responses


def answered_task(message: Any) -> Reference | None:
    """Return the reference of the task that a message may come from."""
    if type(message) is Down:
        return message.ref
    if type(message) is tuple and len(message) == 2 and type(message[0]) is Reference:
        return message[0]
    return None


def failure(task: Task, reason: Term) -> ExitError:
    """Return the error of a task that has ended without a result."""
    if reason is NOPROC:
        return NoProcess(reason, f"{task!r} had ended before")
    if reason is NOCONNECTION:
        return NoConnection(reason, f"the connection to the node of {task!r} was lost")
    return ExitError(reason)
