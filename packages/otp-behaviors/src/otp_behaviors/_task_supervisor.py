"""TaskSupervisor: the supervisor of tasks, for processes of this node and of others.

Follows `Task.Supervisor` of Elixir, its messages included. So `Task.Supervisor.async({:tasks, :"py@host"},
:math_py, :fib, [30])` of an Elixir node runs a function that this program has provided.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final, Protocol

from etf_codec import Atom, Pid, Term

from otp_behaviors._children import RESTART_TYPES, Child, Member, RestartType, Shutdown
from otp_behaviors._errors import ExitError
from otp_behaviors._kernel import Kernel
from otp_behaviors._process import FunctionProcess, LocalProcess, Process
from otp_behaviors._shell import ServerRef
from otp_behaviors._supervision import ERROR, Supervision
from otp_behaviors._supervisor import Supervisor
from otp_behaviors._task_owner import (
    START_TASK,
    TASK_SHUTDOWN,
    TaskShutdown,
    as_shutdown,
    callers_of,
    identity,
    started,
)
from otp_behaviors._task_process import run_alone, run_awaited
from otp_behaviors._work import BADARG, FunctionRef, as_work

NIL: Final = Atom("nil")
BRUTAL_KILL: Final = Atom("brutal_kill")
INFINITY: Final = Atom("infinity")
MAX_CHILDREN: Final = Atom("max_children")
START_CHILD: Final = Atom("start_child")

MAX_MILLISECONDS: Final = 0xFFFF_FFFF
"""What `receive ... after` of Erlang takes."""


class TaskSupervisor(Supervisor):
    """A supervisor of tasks: a value, usable wherever a child is. Its tasks end when it ends.

    Args:
        name: a name to register it under.
        max_children: how many tasks may run at once; None for any number.
        intensity: how many restarts are allowed, of tasks that are not `temporary` …
        period: … within so many seconds.

    Raises:
        ValueError: an option has a value that makes no sense.
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        max_children: int | None = None,
        intensity: int = 3,
        period: float = 5,
    ) -> None:
        if max_children is not None and max_children < 0:
            raise ValueError(f"max_children counts from 0 up, not {max_children}")
        self.max_children = max_children
        template = Child(TASKS, restart="temporary")
        super().__init__(
            template, strategy="simple_one_for_one", intensity=intensity, period=period, name=name
        )

    def _at_work(self, process: Process) -> Supervision:
        """Return what supervises in a process."""
        return TaskSupervision(process, self, self.max_children)


class TaskStart:
    """How the supervisor starts the process of a task: `Task.Supervised.start_link`."""

    __name__ = "Task"

    def __process__(self, kernel: Kernel, args: tuple[Any, ...]) -> LocalProcess:
        """Return a new process.

        Raises:
            ExitError: `badarg`, these are not the arguments of a task.
        """
        match args:
            case ((Atom(), _, Pid() as owner), Atom("monitor")):
                return FunctionProcess(kernel, run_awaited, (owner, True))
            case ((Atom(), _, Pid()), list() as callers, work):
                return FunctionProcess(kernel, run_alone, (callers, work))
        raise ExitError(BADARG, "these are not the arguments of a task")


TASKS: Final = TaskStart()


class TaskSupervision(Supervision):
    """A supervisor of tasks at work.

    Args:
        process: the supervisor's process.
        supervisor: what it was started with.
        max_children: how many tasks may run at once, or None.
    """

    def __init__(self, process: Process, supervisor: TaskSupervisor, max_children: int | None) -> None:
        super().__init__(process, supervisor)
        self._max_children = max_children

    async def answer(self, request: Term) -> Term:
        """Answer `{start_task, Args, Restart, Shutdown}`, and what any supervisor is asked."""
        if type(request) is tuple and len(request) == 4 and request[0] is START_TASK:
            return await self._start_task(*request[1:])
        if type(request) is tuple and request and request[0] is START_CHILD:
            return (ERROR, BADARG)  # it has tasks only, and those are counted
        return await super().answer(request)

    def _reported(self, spec: Child) -> Child:
        """Return a task without what it does, which may be anything."""
        return Child(TASKS, restart=spec.restart, shutdown=spec.shutdown)

    def _find(self, id: Term) -> Member | None:
        return self.children.by_pid(id) if isinstance(id, Pid) else None

    async def _start_task(self, args: Any, restart: Any, shutdown: Any) -> Term:
        spec = task_spec(self._next_id(), args, restart, shutdown)
        if spec is None:
            return (ERROR, BADARG)
        if self._max_children is not None and len(self.children) >= self._max_children:
            return (ERROR, MAX_CHILDREN)
        return await self._start_new(spec, spec.args)


def task_spec(id: int, args: Any, restart: Any, shutdown: Any) -> Child | None:
    """Return the specification of a task that is asked for, None if it makes no sense.

    Args:
        id: tells it from other tasks.
        args: the arguments of `Task.Supervised.start_link`, with the supervisor's own task as its first.
        restart: `nil`, `temporary`, `transient` or `permanent`.
        shutdown: `nil`, milliseconds, `infinity` or `brutal_kill`.
    """
    wanted = RESTARTS.get(restart) if type(restart) is Atom else None
    limit: Shutdown | None = None
    if type(shutdown) is Atom:
        limit = SHUTDOWNS.get(shutdown)
    elif type(shutdown) is int and 0 <= shutdown <= MAX_MILLISECONDS:
        limit = shutdown / 1000
    if wanted is None or limit is None or not isinstance(args, list):
        return None
    return Child(TASKS, *args, id=id, restart=wanted, shutdown=limit)


RESTARTS: Final[dict[Atom, RestartType]] = {NIL: "temporary", **{Atom(each): each for each in RESTART_TYPES}}
SHUTDOWNS: Final[dict[Atom, Shutdown]] = {
    NIL: TASK_SHUTDOWN,
    BRUTAL_KILL: "brutal_kill",
    INFINITY: "infinity",
}


class Program(Protocol):
    """A runtime or a node."""

    @property
    def program(self) -> Pid:
        """The process that stands for the program's tasks."""

    def call(self, to: ServerRef, request: Term, timeout: float | None = ...) -> Coroutine[Any, Any, Any]:
        """Send a request and return the reply."""


async def start_task(
    caller: Process | Program,
    supervisor: ServerRef,
    function: FunctionRef,
    *args: Any,
    restart: RestartType = "temporary",
    shutdown: TaskShutdown = TASK_SHUTDOWN,
) -> Pid:
    """Start a task whose result nobody waits for (`Task.Supervisor.start_child/3`).

    Args:
        caller: the process, runtime or node that asks.
        supervisor: a TaskSupervisor, or a `Task.Supervisor` of Elixir on another node.
        function: `async def function(process, *args)`; a `def function(*args)` runs in a thread; another node
            needs module and name of a function there.
        args: its arguments.
        restart: whether it is run again when it has ended.
        shutdown: seconds it gets when the supervisor ends, or `brutal_kill`.

    Returns:
        The task's process.

    Raises:
        ExitError: the supervisor is not there, or refuses: `max_children`.
        etf_codec.EncodeError: an argument, or a function of this program, has no external form.
    """
    args_of_start = [*_starter(caller), as_work(function, args)]
    request = (START_TASK, args_of_start, Atom(restart), as_shutdown(shutdown))
    return started(await caller.call(supervisor, request, None))


def _starter(caller: Process | Program) -> tuple[Term, list[Term]]:
    """Return who starts a task, and on whose behalf."""
    if isinstance(caller, Process):
        return identity(caller), callers_of(caller._record)
    pid = caller.program
    return (Atom(pid.node), pid, pid), [pid]
