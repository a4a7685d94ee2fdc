"""Starting tasks, from the side of the process that owns them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, Literal, Protocol, TypeAlias

from etf_codec import Atom, EncodeError, Pid, Reference, Term

from otp_behaviors._errors import ExitError
from otp_behaviors._gen_call import CALL_TIMEOUT
from otp_behaviors._process_table import ProcessRecord
from otp_behaviors._shell import ServerRef
from otp_behaviors._task import Owner, Task
from otp_behaviors._task_process import CALLERS, run_awaited
from otp_behaviors._task_stream import OnTimeout, TaskStream
from otp_behaviors._work import FunctionRef, as_work, shown

START_TASK: Final = Atom("start_task")
MONITOR: Final = Atom("monitor")
TEMPORARY: Final = Atom("temporary")

TaskShutdown: TypeAlias = float | Literal["brutal_kill"]

TASK_SHUTDOWN: Final = 5.0
"""Seconds a task gets to end when its supervisor does."""

MAX_CONCURRENCY: Final = 8
"""Tasks of a stream at once unless told otherwise: they wait for others more than they compute."""


class Owning(Owner, Protocol):
    """What starting tasks needs of a process."""

    @property
    def _record(self) -> ProcessRecord: ...

    @property
    def pid(self) -> Pid: ...

    def send(self, to: ServerRef | Reference, message: Term) -> None: ...

    def spawn(
        self, function: Callable[..., Coroutine[Any, Any, Term]], *args: Any, link: bool = False
    ) -> Pid: ...

    def link(self, pid: Pid) -> None: ...

    async def call(self, to: ServerRef, request: Term, timeout: float | None = CALL_TIMEOUT) -> Any: ...

    def task(self, function: Callable[..., Any], *args: Any) -> Task: ...

    async def supervised_task(
        self, supervisor: ServerRef, function: FunctionRef, *args: Any, link: bool = True
    ) -> Task: ...


class TaskOwner:
    """The part of a process that starts tasks."""

    def task(self: Owning, function: Callable[..., Any], *args: Any) -> Task:
        """Have a process of its own run a function, and take the result later (`Task.async/1`).

        This process and the task are linked, so a task that fails ends this process unless it traps exits.
        In a server `supervised_task(..., link=False)` is what one mostly wants.

        Args:
            function: `async def function(process, *args)`, or a `def function(*args)` that blocks or
                computes, which runs in a thread.
            args: its arguments.
        """
        pid = self.spawn(run_awaited, self.pid, False, link=True)
        return begin(self, pid, function, args)

    async def supervised_task(
        self: Owning,
        supervisor: ServerRef,
        function: FunctionRef,
        *args: Any,
        link: bool = True,
        shutdown: TaskShutdown = TASK_SHUTDOWN,
    ) -> Task:
        """The same under a supervisor, here or on another node (`Task.Supervisor.async/3`, `async_nolink`).

        Args:
            supervisor: a TaskSupervisor, or a `Task.Supervisor` of Elixir.
            function: as for `task`; or, as another node needs it, module and name of a function there, such
                as `("Elixir.Enum", "sum")`.
            args: its arguments.
            link: whether this process ends if the task fails.
            shutdown: seconds it gets when the supervisor ends, or `brutal_kill`.

        Raises:
            ExitError: the supervisor is not there, or refuses: `max_children`.
            etf_codec.EncodeError: a function of this program is to go to another node. An argument that has
                no external form ends this process, as it does in `send`.
        """
        if not isinstance(function, tuple) and self._kernel.resolve(supervisor).node != self._kernel.node:
            raise EncodeError(f"{function!r} cannot go to another node: give module and name of one there")
        request = (START_TASK, [identity(self), MONITOR], TEMPORARY, as_shutdown(shutdown))
        pid = started(await self.call(supervisor, request, None))
        if link:
            self.link(pid)
        return begin(self, pid, function, args)

    def task_stream(
        self: Owning,
        function: FunctionRef,
        items: Iterable[Any],
        *args: Any,
        supervisor: ServerRef | None = None,
        link: bool = True,
        max_concurrency: int = MAX_CONCURRENCY,
        ordered: bool = True,
        timeout: float | None = CALL_TIMEOUT,
        on_timeout: OnTimeout = "exit",
    ) -> TaskStream:
        """Run a function for each item, some at once, and take the responses (`Task.async_stream/3`).

            async with self.task_stream(fetch, urls) as responses:
                async for response in responses:
                    print(response.label, response.result())

        Args:
            function: as for `task`, or for `supervised_task`; its first argument is the item.
            items: the items; the next one is taken when its task can start.
            args: further arguments.
            supervisor: where the tasks run; None for tasks of this process.
            link: whether this process ends if a task fails; without a supervisor it does.
            max_concurrency: tasks at once.
            ordered: whether the responses come in the order of the items, or as they are ready.
            timeout: seconds for each task.
            on_timeout: what that does: `exit` raises CallTimeout, `kill_task` makes it the item's response.

        Returns:
            A Response for each item, whose label is the item. Tasks that still run when the block is left
            are killed.
        """
        if max_concurrency < 1:
            raise ValueError(f"max_concurrency is 1 or more, not {max_concurrency}")
        if on_timeout not in ("exit", "kill_task"):
            raise ValueError(f"on_timeout is exit or kill_task, not {on_timeout!r}")

        async def start(item: Any) -> Task:
            if supervisor is not None:
                return await self.supervised_task(supervisor, function, item, *args, link=link)
            if isinstance(function, tuple):
                raise TypeError(f"only a supervisor can start {function!r}, which is a name: give one")
            return self.task(function, item, *args)

        return TaskStream(self, start, items, max_concurrency, ordered, timeout, on_timeout)


def begin(owner: Owning, pid: Pid, function: FunctionRef, args: Iterable[Any]) -> Task:
    """Tell the process of a task what to do."""
    ref = owner.monitor(pid, alias="demonitor")
    owner.send(pid, (owner.pid, ref, ref, callers_of(owner._record), as_work(function, args)))
    return Task(owner, pid, ref)


def identity(owner: Owning) -> Term:
    """`{Node, Name | Pid, Pid}`, as Elixir's reports show who has started a task."""
    record = owner._record
    return (Atom(owner._kernel.node), Atom(record.name) if record.name else record.pid, record.pid)


def callers_of(record: ProcessRecord) -> list[Term]:
    """Return the process that starts a task, and those that had started it, if it is one itself."""
    callers = None if record.dictionary is None else record.dictionary.get(CALLERS)
    return [record.pid, *(callers if isinstance(callers, list) else ())]


def as_shutdown(shutdown: TaskShutdown) -> Term:
    """Return a shutdown as Elixir has it: milliseconds, or an atom."""
    return Atom(shutdown) if isinstance(shutdown, str) else round(shutdown * 1000)


def started(answer: Any) -> Pid:
    """Return the process that a supervisor has started.

    Raises:
        ExitError: it has not.
    """
    match answer:
        case (Atom("ok"), Pid() as pid):
            return pid
        case (Atom("error"), reason):
            raise ExitError(reason, f"the task was not started: {shown(reason)}")
    raise ExitError(answer, f"no supervisor of tasks: it answered {shown(answer)}")
