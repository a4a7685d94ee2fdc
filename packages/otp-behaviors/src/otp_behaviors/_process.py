"""What a process can do: the methods that every behavior and every spawned function has."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Coroutine, MutableMapping
from inspect import CORO_CREATED, getcoroutinelocals, getcoroutinestate
from types import CoroutineType
from typing import Any, Protocol, TypeVar, TypeVarTuple, runtime_checkable

from etf_codec import Atom, Pid, Reference, Term

from otp_behaviors._aliases import monitor_gone
from otp_behaviors._bonds import Monitor
from otp_behaviors._completion import Completion
from otp_behaviors._errors import NO_REPLY, ExitError, NoProcess
from otp_behaviors._gen_call import CALL_TIMEOUT, Caller, call, cast, reply, waiter_of
from otp_behaviors._kernel import Kernel
from otp_behaviors._process_info import Inspector
from otp_behaviors._process_table import BUSY, EXITED, IDLE, RUNNING, OpenRequest, ProcessRecord, Waiter
from otp_behaviors._reasons import NOPROC, NORMAL, from_exception
from otp_behaviors._requester import Requester
from otp_behaviors._shell import ServerRef, Shell
from otp_behaviors._signals import Down
from otp_behaviors._spawner import Spawner
from otp_behaviors._task_owner import TaskOwner
from otp_behaviors._task_process import INITIAL_CALL
from otp_behaviors._timers import Timer
from otp_behaviors._turn import TurnWaiter
from otp_behaviors._watcher import Watcher, message_to_alias

Args = TypeVarTuple("Args")
Result = TypeVar("Result")


class Process(Watcher, Requester, Spawner, TaskOwner, Inspector):
    """A process, seen from inside. A function that is spawned gets it as its first argument."""

    _record: LocalProcess
    _kernel: Kernel

    @property
    def pid(self) -> Pid:
        """This process (`self/0`)."""
        return self._record.pid

    @property
    def name(self) -> str | None:
        """The registered name of this process, or None."""
        return self._record.name

    @property
    def runtime(self) -> Shell:
        """The runtime, or node, that this process lives in."""
        if self._kernel.shell is None:
            raise RuntimeError("this kernel has no runtime")
        return self._kernel.shell

    @property
    def trap_exit(self) -> bool:
        """Whether exit signals arrive as `Exit` messages instead of ending this process."""
        return self._record.trap_exit

    @trap_exit.setter
    def trap_exit(self, flag: bool) -> None:
        self._record.trap_exit = flag

    @property
    def env(self) -> MutableMapping[str, Any]:
        """The environment: own values first, then those of the parent, and so on."""
        return self._record.environment()

    @property
    def group_leader(self) -> Pid | None:
        """The process that prints for this one (`erlang:group_leader/0`); None in a runtime without I/O."""
        return self._record.group_leader

    @group_leader.setter
    def group_leader(self, pid: Pid | None) -> None:
        self._record.group_leader = pid

    @property
    def dictionary(self) -> dict[Term, Term]:
        """The process dictionary (`erlang:put/2`, `get/1`)."""
        if self._record.dictionary is None:
            self._record.dictionary = {}
        return self._record.dictionary

    # Messages

    def send(self, to: ServerRef | Reference, message: Term) -> None:
        """Send a message (`!`). If nobody is there it is dropped."""
        self._kernel.send(self._record.pid, to, message)

    def send_after(self, seconds: float, to: ServerRef, message: Term) -> Timer:
        """Send a message in some seconds (`erlang:send_after/3`)."""
        return self._kernel.send_after(seconds, to, message, self._record.pid)

    def cast(self, to: ServerRef, message: Term) -> None:
        """Send a cast to a server (`gen_server:cast/2`)."""
        cast(self._kernel, self._record.pid, to, message)

    async def call(self, to: ServerRef, request: Term, timeout: float | None = CALL_TIMEOUT) -> Any:
        """Call a server and return its reply (`gen_server:call/3`); `timeout` in seconds, None for ever.

        Raises:
            CallTimeout, NoProcess, NoConnection: as they say.
            ExitError: the server ended before it replied.
        """
        record = self._record
        waiter = TurnWaiter(self._kernel, record) if record.driven else None
        return await call(self._kernel, record.pid, waiter, to, request, timeout)

    def reply(self, caller: Caller, term: Term) -> None:
        """Answer a call (`gen_server:reply/2`); once per call, later ones are dropped."""
        reply(self._kernel, self._record.pid, caller, term)

    async def receive(
        self, matcher: Callable[[Term], object] | None = None, timeout: float | None = None
    ) -> Term:
        """Take the first message for which `matcher` is true, or the first of all; wait for it if need be.

        Args:
            matcher: a function of a message; other messages stay in the mailbox, in their order.
            timeout: seconds to wait; 0 looks and does not wait.

        Raises:
            TimeoutError: no such message came in time (`after` in Erlang).
        """
        record, kernel = self._record, self._kernel
        waiter: Waiter | None = None
        timer: Timer | None = None
        seen = 0
        try:
            while True:
                mailbox = record.mailbox
                while seen < len(mailbox):
                    message = mailbox[seen]
                    if matcher is None or matcher(message):
                        del mailbox[seen]
                        return message
                    seen += 1
                if waiter is None:
                    if timeout is not None and timeout <= 0:
                        raise TimeoutError("no message")
                    waiter = record.waiter()
                    timer = None if timeout is None else kernel.wake_after(timeout, waiter)
                elif timer is not None and not timer.active:
                    raise TimeoutError(f"no message within {timeout} s")
                await record.pause(waiter)
                if record.aliases:
                    seen = 0  # a priority message may have come before those that did not match
        finally:
            if timer is not None:
                timer.cancel()

    # Links and exits; monitors are in `Watcher`

    def link(self, pid: Pid) -> None:
        """Link with another process (`erlang:link/1`).

        Raises:
            NoProcess: it is not there, and this process does not trap exits. One that does gets an `Exit`.
        """
        record, kernel = self._record, self._kernel
        if pid.node == kernel.node and pid not in kernel.table.by_pid and not record.trap_exit:
            raise NoProcess(
                (NOPROC, [(Atom("erlang"), Atom("link"), 1, [])]), f"no process {pid!r} to link with"
            )
        kernel.links.link(record, pid)

    def unlink(self, pid: Pid) -> None:
        """Remove the link (`erlang:unlink/1`)."""
        self._kernel.links.unlink(self._record, pid)

    def exit(self, pid: Pid, reason: Term) -> None:
        """Send an exit signal to a process (`exit/2`). To end this one, raise `ExitError` or `Stop`."""
        self._kernel.send_exit(self._record.pid, pid, reason)

    # Names and other processes

    def register(self, name: str | Atom, pid: Pid | None = None) -> None:
        """Register a process of this node under a name; this process if none is given.

        Raises:
            NameTaken: the name is in use, or the process has one.
            ExitError: `badarg`, there is no such process here.
        """
        kernel = self._kernel
        record = self._record if pid is None else kernel.table.by_pid.get(pid)
        if record is None:
            raise ExitError(Atom("badarg"), f"{pid!r} is not a living process of this node")
        kernel.table.register(str(name), record)

    def unregister(self, name: str | Atom) -> bool:
        """Release a name; False if nobody had it."""
        return self._kernel.table.unregister(str(name))

    def whereis(self, name: str | Atom) -> Pid | None:
        """Return the process registered under a name on this node."""
        record = self._kernel.whereis(name)
        return None if record is None else record.pid

    def spawn(
        self,
        function: Callable[[Process, *Args], Coroutine[Any, Any, Term]],
        *args: *Args,
        name: str | None = None,
        link: bool = False,
    ) -> Pid:
        """Start a process that runs `async def function(process, *args)`; returns at once (`spawn/3`).

        Args:
            function: what the process runs; when it returns, the process ends with `normal`.
            args: its arguments after the process.
            name: a name to register the process under.
            link: link it with this one from its first moment (`spawn_link/3`).

        Raises:
            NameTaken: the name is in use; nothing has been started.
        """
        record = FunctionProcess(self._kernel, function, args)
        return self._kernel.spawn(record, parent=self._record, name=name, link=link)

    async def run_in_thread(self, function: Callable[[*Args], Result], *args: *Args) -> Result:
        """Call a blocking function in a thread, and return what it returns: `await self.run_in_thread(f, x)`.

        Meanwhile this process takes no message; others go on. The function must not use the process or the
        runtime. If the process is killed its thread goes on, as nothing can stop that; the result is dropped.

        Raises:
            RuntimeError: the runtime has no threads. (A simulation calls the function in place.)
        """
        shell = self._kernel.shell
        if not isinstance(shell, HasThreads):
            raise RuntimeError("no threads here: a process that the kernel itself runs cannot wait for one")
        return await shell.run_in_thread(function, *args)

    async def start(
        self, startable: Startable, *args: Any, name: str | None = None, link: bool = False
    ) -> Pid:
        """Start a server, or anything a supervisor could start, and wait until it is initialized.

        Args:
            startable: a GenServer class, a Supervisor …
            args: the arguments of its `init`.
            name: a name to register it under.
            link: link it with this process from its first moment (`start_link`).

        Raises:
            ExitError: `init` failed; `reason` says why. NameTaken: the name is in use.
            Ignore: `init` raised Ignore.
        """
        started = Completion(self._kernel)
        record = startable.__process__(self._kernel, args)
        record.ack = started
        self._kernel.spawn(record, parent=self._record, name=name or own_name(startable), link=link)
        await self._run(started)
        return record.pid

    async def _run(self, completion: Completion) -> None:
        record, kernel = self._record, self._kernel
        if not kernel.held and kernel.shell is not None:
            kernel.shell.pump()
        if not completion.done:
            await completion.wait(record.waiter(), None)
        completion.result()


@runtime_checkable
class HasThreads(Shell, Protocol):
    """A runtime that can call blocking functions."""

    async def run_in_thread(self, function: Callable[[*Args], Result], *args: *Args) -> Result:
        """Call a function in a thread."""


class Startable(Protocol):
    """What can be started as a process: a behavior's class, or a value that describes a process."""

    def __process__(self, kernel: Kernel, args: tuple[Any, ...]) -> LocalProcess:
        """Return a new process, not yet in the table."""


def own_name(startable: Startable) -> str | None:
    """Return the name that a value such as `Supervisor(name=...)` gives its process; None for a class."""
    name = getattr(startable, "name", None)
    return name if isinstance(name, str) else None


class LocalProcess(ProcessRecord):
    """A process of this node: the part all kinds share of watching, waiting and waking."""

    __slots__ = ("kernel",)

    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self.kernel = kernel

    def inside(self) -> Process:
        """Return this process as a function that it runs sees it."""
        process = Process()
        process._record = self
        process._kernel = self.kernel
        return process

    def monitoring(self, ref: Reference, monitor: Monitor) -> None:
        """The watch under `ref` has begun."""
        if self.monitors is None:
            self.monitors = {}
        self.monitors[ref] = monitor

    def down(self, ref: Reference, reason: Term) -> None:
        """What was watched under `ref` has ended."""
        monitor = None if self.monitors is None else self.monitors.pop(ref, None)
        if self.aliases is not None:
            monitor_gone(self.kernel.aliases, self, ref)
        if monitor is not None and self.status is not EXITED:
            self.kernel.put(self, Down(ref, monitor.who(), reason))

    def alias_message(self, alias: Reference, message: Term) -> None:
        """A message came to an alias of this process."""
        message_to_alias(self.kernel, self, alias)
        self.kernel.put(self, message)

    def serve(self, pending: OpenRequest, request: Term) -> Term:
        """Take a call; see `ProcessRecord.serve`."""
        pending.post(self, request)
        return NO_REPLY

    def waiter(self) -> Waiter:
        """Return a place where the coroutine of this process can wait."""
        return TurnWaiter(self.kernel, self) if self.driven else waiter_of(self.kernel)

    async def pause(self, waiter: Waiter) -> None:
        """Wait for a message, or for the waiter to be woken otherwise."""
        if self.status is EXITED:
            # The process was killed and its task not stopped yet: nothing will ever come.
            await waiter.wait()
            return
        self.waiting = waiter
        self.status = IDLE
        try:
            await waiter.wait()
        finally:
            self.waiting = None
            if self.status is IDLE:
                self.status = RUNNING if self.driven else BUSY

    def environment(self) -> MutableMapping[str, Any]:
        """Return the environment, made at its first use."""
        if self.env is None:
            parent = None if self.parent is None else self.kernel.table.by_pid.get(self.parent)
            inherited = parent.environment() if isinstance(parent, LocalProcess) else {}
            self.env = ChainMap({}, inherited)
        return self.env

    def acknowledge(self) -> None:
        """Tell whoever started this process that it is ready."""
        ack, self.ack = self.ack, None
        if ack is not None:
            ack.succeed(self.pid)

    def refuse(self, error: Exception) -> None:
        """Tell whoever started this process that it could not start; a link to that one breaks silently."""
        ack, self.ack = self.ack, None
        if ack is not None:
            if self.parent is not None:
                self.kernel.links.unlink(self, self.parent)
            ack.fail(error)

    def returned(self, value: Term) -> None:
        """The coroutine has returned: the process ends with `normal`."""
        self.kernel.exit(self, NORMAL)

    def raised(self, error: Exception) -> None:
        """The coroutine has raised: the process ends with the reason this gives."""
        reason = error.reason if isinstance(error, ExitError) else from_exception(error)
        self.kernel.exit(self, reason, error)

    def exited(self, reason: Term) -> None:
        """Let go of the coroutine, and of whoever waits for the start."""
        ack, self.ack = self.ack, None
        if ack is not None:
            ack.fail(ExitError(reason))
        coroutine, self.coroutine = self.coroutine, None
        if coroutine is None:
            return
        if self.driven:
            coroutine.close()
        elif getcoroutinestate(coroutine) == CORO_CREATED:
            # What has not begun does not close the callback's own coroutine, which it was going to await.
            for value in getcoroutinelocals(coroutine).values():
                if type(value) is CoroutineType:
                    value.close()
            coroutine.close()


class FunctionProcess(LocalProcess):
    """A process that runs a coroutine function to its end."""

    __slots__ = ("_arguments", "_function", "acknowledges")

    def __init__(
        self,
        kernel: Kernel,
        function: Callable[..., Coroutine[Any, Any, Term]],
        args: tuple[Any, ...],
    ) -> None:
        super().__init__(kernel)
        self._function = function
        self._arguments = args
        # Whether the start is over at once; a supervisor says itself when its children run.
        self.acknowledges = True

    @property
    def initial_call(self) -> tuple[str, str, int]:
        """The function, or what it says it runs, as `proc_lib:translate_initial_call/1`."""
        match (self.dictionary or {}).get(INITIAL_CALL):
            case (Atom() as module, Atom() as function, int() as arity):
                return (module.name, function.name, arity)
        home = getattr(self._function, "__module__", "?")
        return (home, getattr(self._function, "__qualname__", "?"), len(self._arguments))

    def time_to_stop(self, grace: float) -> float:
        """Return the seconds it may take to end when it is told to; `grace` where nothing says otherwise."""
        return grace

    def turn(self) -> int:
        """Start the function, or let it go on."""
        if self.coroutine is not None:
            self.kernel.step(self, self.coroutine)
            return 1
        try:
            coroutine = self._function(self.inside(), *self._arguments)
        except Exception as error:
            self.raised(error)
            return 1
        if self.acknowledges:
            self.acknowledge()
        self.kernel.await_(self, coroutine)
        return 1
