"""The runtime: the kernel's shell over anyio. It owns the clock, the tasks and the log.

One task runs the kernel whenever something is ready; a process gets a task of its own at its first coroutine.
A call from a task runs the kernel in place, so a reply of a plain `def` callback is there before anything
suspends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, MutableMapping
from secrets import randbits
from time import monotonic, time
from types import TracebackType
from typing import Any, Final, Self, TypeVar, TypeVarTuple

import anyio
import anyio.abc
import anyio.lowlevel
from etf_codec import Atom, Pid, Reference, Term

from otp_behaviors._application_controller import ApplicationController, Running
from otp_behaviors._client import ClientProcess
from otp_behaviors._completion import Completion
from otp_behaviors._effects import Await, Cancel, Effect
from otp_behaviors._errors import CallTimeout, ExitError, NoProcess
from otp_behaviors._gen_call import CALL_TIMEOUT, call, cast
from otp_behaviors._handle import ServerHandle, Watch
from otp_behaviors._kernel import Kernel
from otp_behaviors._log import log, logger
from otp_behaviors._process import FunctionProcess, LocalProcess, Process, Startable, own_name
from otp_behaviors._process_table import ProcessRecord, Waiter
from otp_behaviors._process_task import EventWaiter, ProcessTask
from otp_behaviors._program_requests import ProgramRequests
from otp_behaviors._reasons import KILLED, NOPROC, NORMAL, SHUTDOWN
from otp_behaviors._shell import ServerRef
from otp_behaviors._signals import Signal, destination
from otp_behaviors._system import SYSTEM, TERMINATE
from otp_behaviors._threads import Threads
from otp_behaviors._waiter_asyncio import future_waiters

Args = TypeVarTuple("Args")
Result = TypeVar("Result")

BUDGET: Final = 2000
"""Reductions in one go before other tasks of the event loop get their turn: BEAM's time slice is 4000."""

SHARE: Final = 64
"""Most reductions that a calling task spends, or messages a sending one, between two looks at the clock."""

MAX_HOLD: Final = 0.002
"""Seconds a task that calls in a tight loop may keep the event loop from running anything else."""

SHUTDOWN_GRACE: Final = 5.0
"""Seconds a process started from outside has to stop when the runtime ends, as a worker's `shutdown`."""


class Runtime(ProgramRequests, ApplicationController):
    """Processes in an anyio program. Use it as `async with`; leaving it has ended every process.

    Args:
        kernel: the processes; a new kernel if left out.
        shutdown: seconds each process gets to stop when the runtime is left.
    """

    def __init__(self, kernel: Kernel | None = None, *, shutdown: float = SHUTDOWN_GRACE) -> None:
        self.kernel = Kernel(now=monotonic(), seed=randbits(64)) if kernel is None else kernel
        self.kernel.time_offset = time() - monotonic()
        self._shutdown = shutdown
        self._tasks: anyio.abc.TaskGroup | None = None
        # Takes signals for other nodes; a subclass that knows some puts its own here.
        self.route: Callable[[list[Signal]], None] = self._route_nowhere
        # What makes a place where the calling task can wait.
        self.waiter: Callable[[], Waiter] = EventWaiter
        self._wakeup: anyio.Event | None = None
        self._woken = False
        self._closing = False
        self._stopped = False
        self._last_checkpoint = 0.0
        self._last_look = 0.0
        self._share = 1
        self._unpumped = 0
        # Called whenever the kernel has run, as long as somebody waits for that.
        self.after_run: Callable[[], None] | None = None
        self._client = ClientProcess(self.kernel)
        self._threads = Threads()
        self._starting = anyio.Lock()  # one start at a time, as OTP's application_controller
        self._applications: Running = {}

    async def __aenter__(self) -> Self:
        self.kernel.shell = self
        self.kernel.now = monotonic
        self.waiter = future_waiters() or EventWaiter
        self._tasks = tasks = anyio.create_task_group()
        await tasks.__aenter__()
        try:
            await self.opening(tasks)
            self.kernel.spawn(self._client)
            tasks.start_soon(self._run, name=f"kernel of {self.kernel.node}")
            await self.opened(tasks)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._stop()
                await self.closing()
            tasks.cancel_scope.cancel()
            await tasks.__aexit__(None, None, None)
            raise
        return self

    async def opening(self, tasks: anyio.abc.TaskGroup) -> None:
        """For subclasses: prepare, before there is any process."""

    async def opened(self, tasks: anyio.abc.TaskGroup) -> None:
        """For subclasses: processes can be started; the program has not begun."""

    async def closing(self) -> None:
        """For subclasses: all processes have ended; end the other tasks."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._stop()
            await self.closing()
        assert self._tasks is not None
        # The task group only hears of a cancellation: any other error of the body is the caller's, as it is.
        cancelled = isinstance(error, anyio.get_cancelled_exc_class())
        details = (kind, error, trace) if cancelled else (None, None, None)
        try:
            # What it returns says that all went well; that must not swallow the body's error.
            await self._tasks.__aexit__(*details)
        except BaseExceptionGroup as group:
            if len(group.exceptions) > 1:
                raise
            raise group.exceptions[0] from None
        finally:
            self.kernel.shell = None

    @property
    def program(self) -> Pid:
        """The process that stands for the program's tasks: what they send comes from it."""
        return self._client.pid

    # Processes

    async def start(
        self, startable: Startable, *args: Any, name: str | None = None, link: bool = False
    ) -> ServerHandle:
        """Start a server, and wait until its `init` is done.

        Args:
            startable: a GenServer class, or a value that can be started, as a Supervisor.
            args: the arguments of its `init`.
            name: a name to register it under.
            link: not used outside of a process; there for symmetry with `Process.start`.

        Raises:
            ExitError: `init` failed; `reason` says why. NameTaken: the name is in use.
            Ignore: `init` raised Ignore.
        """
        record = startable.__process__(self.kernel, args)
        record.ack = started = Completion(self.kernel)
        self.kernel.spawn(record, parent=self._client, name=name or own_name(startable), link=link)
        await self._started(record, started)
        return ServerHandle(self, record.pid)

    async def _started(self, record: LocalProcess, started: Completion) -> None:
        self.pump()
        try:
            if not started.done:
                await started.wait(self.waiter(), None)
            elif self.kernel.reductions > self.kernel.fair_share:
                await self.checkpoint()
        except BaseException:
            # Nobody gets a handle of it. If its `init` is done it has a right to its `terminate`.
            if started.done:
                self._ask_to_end(record.pid, SHUTDOWN)
            else:
                self.kernel.exit(record, KILLED, by_signal=True)
            raise
        started.result()

    def spawn(
        self,
        function: Callable[[Process, *Args], Coroutine[Any, Any, Term]],
        *args: *Args,
        name: str | None = None,
        link: bool = False,
    ) -> Pid:
        """Start a process that runs `async def function(process, *args)`; returns at once.

        Args:
            function: what the process runs; when it returns, the process ends with `normal`.
            args: its arguments after the process.
            name: a name to register the process under.
            link: not used outside of a process; there for symmetry with `Process.spawn`.

        Raises:
            NameTaken: the name is in use; nothing has been started.
        """
        record = FunctionProcess(self.kernel, function, args)
        return self.kernel.spawn(record, parent=self._client, name=name, link=link)

    async def stop(self, to: ServerRef, reason: Term = NORMAL, timeout: float | None = None) -> None:
        """End a server with a reason and wait for it (`gen_server:stop/3`): its `terminate` runs.

        Raises:
            NoProcess: nobody there. CallTimeout: it has not ended within `timeout` seconds.
            ExitError: it ended with another reason.
        """
        watch = self.monitor(to)
        self._ask_to_end(to, reason)
        try:
            if not watch.done and not await watch.wait(self.waiter(), timeout):
                raise CallTimeout(Atom("timeout"), f"{to!r} has not stopped within {timeout} s")
        finally:
            watch.cancel()
        down = await watch
        if down.reason is NOPROC:
            raise NoProcess(NOPROC, f"no process {to!r}")
        # In tuples, so that what cannot be compared is equal to itself.
        if (down.reason,) != (reason,):
            raise ExitError(down.reason)

    def _ask_to_end(self, to: ServerRef, reason: Term) -> None:
        client = self._client.pid
        self.kernel.send(client, to, (SYSTEM, (client, self.kernel.make_ref()), (TERMINATE, reason)))

    # Messages

    def call(
        self, to: ServerRef, request: Term, timeout: float | None = CALL_TIMEOUT
    ) -> Coroutine[Any, Any, Any]:
        """Send a request to a server and return its reply, when awaited (`gen_server:call/3`).

        Args:
            to: a pid, a registered name, a RemoteName or a ServerHandle.
            request: any term.
            timeout: seconds; None waits for ever.

        Raises:
            CallTimeout: no reply in time; a reply that comes later is dropped.
            NoProcess: nobody there. NoConnection: its node cannot be reached, or was lost.
            ExitError: the server ended before it replied.
        """
        return call(self.kernel, self._client.pid, None, to, request, timeout)

    async def cast(self, to: ServerRef, message: Term) -> None:
        """Send a cast to a server (`gen_server:cast/2`); nobody there is no error."""
        self._unpumped += 1
        if self._unpumped == SHARE:
            await self._take_turns()
        cast(self.kernel, self._client.pid, to, message)

    async def send(self, to: ServerRef | Reference, message: Term) -> None:
        """Send a message (`!`); nobody there is no error."""
        self._unpumped += 1
        if self._unpumped == SHARE:
            await self._take_turns()
        self.kernel.send(self._client.pid, to, message)

    async def _take_turns(self) -> None:
        """Before a message: let the receivers, and other tasks, keep up with who sends in a tight loop."""
        self._unpumped = 0
        self.pump()
        await self.checkpoint()

    def monitor(self, to: ServerRef) -> Watch:
        """Watch a process from outside: `down = await runtime.monitor(ref)`."""
        return Watch(self.kernel, self._client.pid, to)

    def exit(self, pid: Pid, reason: Term) -> None:
        """Send an exit signal to a process (`exit/2`)."""
        self.kernel.send_exit(self._client.pid, pid, reason)

    def whereis(self, name: str | Atom) -> Pid | None:
        """Return the process registered under a name."""
        record = self.kernel.whereis(name)
        return None if record is None else record.pid

    @property
    def env(self) -> MutableMapping[str, Any]:
        """The environment that every process inherits."""
        return self._client.environment()

    # The shell's side of the kernel; see `Shell`

    def ready(self) -> None:
        """Have the kernel's task run it soon."""
        if not self._woken:
            self._woken = True
            if self._wakeup is not None:
                self._wakeup.set()

    def pump(self) -> None:
        """Run the kernel now and carry out what comes out of it."""
        kernel = self.kernel
        if kernel.timers.first <= monotonic():
            kernel.handle_time(monotonic())
        left = BUDGET
        ready = kernel.run_queue
        while True:
            spent = kernel.run(left) if ready else 0
            while kernel.effects:
                effects, kernel.effects = kernel.effects, []
                for effect in effects:
                    self._carry_out(effect)
            if kernel.outbox:
                signals, kernel.outbox = kernel.outbox, []
                self.route(signals)
            left -= spent
            if not ready or not spent or left <= 0:
                break
        if ready:
            self.ready()
        if self.after_run is not None:
            self.after_run()

    def now(self) -> float:
        """Return the time of the monotonic clock."""
        return monotonic()

    async def checkpoint(self) -> None:
        """Let other tasks run if this one has held the event loop for `MAX_HOLD` seconds."""
        now = monotonic()
        # Slow callbacks have the clock looked at after each of them, quick ones after a growing share.
        self._share = min(2 * self._share, SHARE) if now - self._last_look < MAX_HOLD / 2 else 1
        self.kernel.fair_share = self.kernel.reductions + self._share
        if now - self._last_checkpoint > MAX_HOLD:
            await anyio.lowlevel.checkpoint()
            self._last_checkpoint = now = monotonic()
        self._last_look = now

    async def run_in_thread(self, function: Callable[[*Args], Result], *args: *Args) -> Result:
        """Call a blocking function in a thread; see `Process.run_in_thread`."""
        return await self._threads.run(function, *args)

    def _route_nowhere(self, signals: list[Signal]) -> None:
        """A runtime alone knows no other nodes: they are down."""
        for node in {destination(signal) for signal in signals}:
            self.kernel.nodes.down(node)

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, Await):
            record = effect.record
            if record.alive:
                assert self._tasks is not None
                record.task = task = ProcessTask(self.kernel, record, self.waiter(), self.pump)
                self._tasks.start_soon(
                    task.run, name=f"{record.pid!r} {record.name or record.initial_call[1]}"
                )
        elif isinstance(effect, Cancel):
            if effect.record.task is not None:
                effect.record.task.cancel()
        else:
            log(self.kernel, effect)

    async def _run(self) -> None:
        # A cancelled program still has its servers terminate, and the kernel must run for that.
        fatal: BaseException | None = None
        with anyio.CancelScope(shield=True):
            while not self._stopped:
                try:
                    await self._run_kernel()
                except GeneratorExit:
                    raise
                except BaseException as error:
                    # SystemExit in a callback ends the program, once its servers have terminated.
                    fatal = fatal or error
                    assert self._tasks is not None
                    self._tasks.cancel_scope.cancel()
        if fatal is not None:
            raise fatal

    async def _run_kernel(self) -> None:
        kernel = self.kernel
        while not self._stopped:
            self._wakeup = anyio.Event()
            self._woken = False
            kernel.alarm = -math.inf
            self._last_checkpoint = monotonic()
            kernel.handle_time(self._last_checkpoint)
            self.pump()
            if self._woken:
                await anyio.lowlevel.checkpoint()
                continue
            deadline = kernel.deadline()
            kernel.alarm = math.inf if deadline is None else deadline
            with anyio.move_on_after(None if deadline is None else max(0.0, deadline - monotonic())):
                await self._wakeup.wait()

    async def _stop(self) -> None:
        self._closing = True
        try:
            await self._end_processes()
        finally:
            self._stopped = True
            self._woken = False
            self.ready()

    async def _end_processes(self) -> None:
        """End every process: those started from outside in reverse order and orderly, then the rest."""
        table = self.kernel.table.by_pid
        for name in reversed(list(self._applications)):
            _, master, _ = self._applications.pop(name)
            if master in table:
                await self._stop_child(table[master])
        for record in reversed([each for each in table.values() if each.parent == self._client.pid]):
            if record.alive:
                await self._stop_child(record)
        # A tree whose start was cancelled, or whose parent was killed, is on its way down: give it the time.
        with anyio.move_on_after(self._shutdown):
            while orphans := [each for each in table.values() if each.parent and each.parent not in table]:
                await self._stop_child(orphans[-1])
        for record in list(table.values()):
            self.kernel.exit(record, SHUTDOWN)
        self.pump()

    async def _stop_child(self, record: ProcessRecord) -> None:
        if isinstance(record, FunctionProcess):
            self.kernel.send_exit(self._client.pid, record.pid, SHUTDOWN)
            watch = self.monitor(record.pid)
            needed = record.time_to_stop(self._shutdown)
            await watch.wait(self.waiter(), None if needed == math.inf else needed)
        else:
            try:
                await self.stop(record.pid, SHUTDOWN, self._shutdown)
            except ExitError:
                logger.debug("%r did not stop with shutdown", record.pid, exc_info=True)
        self.kernel.exit(record, KILLED, by_signal=True)


class LocalRuntime(Runtime):
    """Processes without a network."""
