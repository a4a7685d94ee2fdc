"""A node of a simulation: a kernel, and the program outside of its processes, which never waits."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, MutableMapping
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple

from etf_codec import Atom, Pid, Reference, Term

from otp_behaviors._completion import Completion
from otp_behaviors._effects import Await, Cancel
from otp_behaviors._errors import CallTimeout, ExitError, NoProcess
from otp_behaviors._gen_call import CALL_TIMEOUT
from otp_behaviors._kernel import Kernel
from otp_behaviors._process import FunctionProcess, Process, Startable, own_name
from otp_behaviors._process_table import EXITED, ProcessRecord, Waiter
from otp_behaviors._reasons import NOPROC, NORMAL
from otp_behaviors._shell import ServerRef
from otp_behaviors._signals import AliasSignal, Down, MessageSignal, Signal
from otp_behaviors._system import SYSTEM, TERMINATE
from otp_behaviors.testing._chance import Chance
from otp_behaviors.testing._driving import DrivenCoroutine, explain
from otp_behaviors.testing._events import Kind

Args = TypeVarTuple("Args")
Result = TypeVar("Result")

NODEUP: Final = Atom("nodeup")
NODEDOWN: Final = Atom("nodedown")

SHUFFLED: Final = 16
"""Processes at the head of the run queue of which any may come next; more would cost and show no more."""


class World(Protocol):
    """What a node needs of its simulation."""

    now: float
    chance: Chance

    def record(self, node: str, kind: Kind, *what: object) -> None:
        """Add an entry to the log."""

    def run_until(self, condition: Callable[[], bool], seconds: float | None = None) -> None:
        """Run until something is so."""

    def connection_gone(self, node: str) -> None:
        """A node has crashed."""


class SimulatedKernel(Kernel):
    """A kernel that drives all its coroutines itself, in an order from the seed, and logs starts and ends."""

    def __init__(self, node: SimulatedNode, creation: int, world: World) -> None:
        super().__init__(node.name, creation, now=world.now, seed=world.chance.bits())
        self.shell = node
        self.now = node.now
        self._world = world

    def spawn(
        self,
        record: ProcessRecord,
        *,
        parent: ProcessRecord | None = None,
        name: str | None = None,
        link: bool = False,
    ) -> Pid:
        """Put a new process into the table and the run queue."""
        record.driven = True
        pid = super().spawn(record, parent=parent, name=name, link=link)
        self._world.record(self.node, "spawn", pid, name, record.initial_call)
        return pid

    def exit(
        self,
        record: ProcessRecord,
        reason: Term,
        error: BaseException | None = None,
        *,
        by_signal: bool = False,
    ) -> None:
        """End a process."""
        if record.status is not EXITED:
            explain(error)
            self._world.record(self.node, "exit", record.pid, reason)
        super().exit(record, reason, error, by_signal=by_signal)

    def await_(self, record: ProcessRecord, coroutine: Coroutine[Any, Any, Term]) -> None:
        """Have a coroutine of a process run."""
        super().await_(record, DrivenCoroutine(coroutine))

    def take_turn(self) -> None:
        """Give one of the processes that are ready its turn."""
        queue = self.run_queue
        if len(queue) > 1:
            queue.rotate(-self._world.chance.below(min(len(queue), SHUFFLED)))
        self.run(1)

    def abandon(self) -> None:
        """The node has crashed: nothing runs any more, and nobody is told."""
        records, self.table.by_pid = self.table.by_pid, {}
        for record in records.values():
            record.status = EXITED
            coroutine, record.coroutine = record.coroutine, None
            if coroutine is not None:
                coroutine.close()


async def _idle(process: Process) -> None:
    process.trap_exit = True
    while True:
        await process.receive()


class SimulatedNode:
    """One node of a `Simulation`, seen from outside of its processes; made by `Simulation.node`.

    What returns something runs the simulation until it is there.
    """

    kernel: SimulatedKernel

    def __init__(self, world: World, name: str, boot: Callable[[SimulatedNode], None] | None) -> None:
        self._world = world
        self._boot = boot
        self.name = name
        self.creation = 0
        self.running = False
        self.restart()

    def __repr__(self) -> str:
        return f"<SimulatedNode {self.name} {'running' if self.running else 'down'}>"

    # Faults

    def crash(self) -> None:
        """End the node at once, as a loss of power: no process is told, other nodes lose their connection."""
        if self.running:
            self._world.record(self.name, "crash", self.creation)
            self.running = False
            self.kernel.abandon()
            self._world.connection_gone(self.name)

    def restart(self) -> None:
        """Crash the node if it runs, and boot it with a new creation: old pids and references mean nobody."""
        self.crash()
        self.creation += 1
        self.kernel = SimulatedKernel(self, self.creation, self._world)
        self._world.record(self.name, "boot", self.creation)
        self.running = True
        self._audience: list[Pid] = []
        self._init = FunctionProcess(self.kernel, _idle, ())
        self.kernel.spawn(self._init)
        if self._boot is not None:
            self._boot(self)

    # Processes

    def start(self, startable: Startable, *args: Any, name: str | None = None) -> Pid:
        """Start a server, a Supervisor or an Application, and run until its `init` is done.

        Args:
            startable: as `Runtime.start` takes it.
            args: the arguments of its `init`.
            name: a name to register it under.

        Raises:
            ExitError: `init` failed. NameTaken: the name is in use. Ignore: `init` raised Ignore.
        """
        record = startable.__process__(self.kernel, args)
        record.ack = started = Completion(self.kernel)
        self.kernel.spawn(record, parent=self._init, name=name or own_name(startable))
        self._world.run_until(lambda: started.done or not self.running)
        started.result()
        return record.pid

    def begin(self, startable: Startable, *args: Any, name: str | None = None) -> Pid:
        """Start a server and do not wait for its `init`: for a node's `boot`."""
        record = startable.__process__(self.kernel, args)
        return self.kernel.spawn(record, parent=self._init, name=name or own_name(startable))

    def spawn(
        self,
        function: Callable[[Process, *Args], Coroutine[Any, Any, Term]],
        *args: *Args,
        name: str | None = None,
    ) -> Pid:
        """Start a process that runs `async def function(process, *args)`; returns at once."""
        return self.kernel.spawn(FunctionProcess(self.kernel, function, args), parent=self._init, name=name)

    def play(self, function: Callable[[Process, *Args], Coroutine[Any, Any, Result]], *args: *Args) -> Result:
        """Run a coroutine function as a process of this node to its end, and return what it returns.

        Raises:
            Exception: what the function raised. Stuck: it waits for what will never come.
            ExitError: the process was ended by another one, or its node crashed.
        """
        results: list[Result] = []
        errors: list[Exception] = []

        async def scene(process: Process) -> None:
            try:
                results.append(await function(process, *args))
            except Exception as error:
                errors.append(error)

        record = FunctionProcess(self.kernel, scene, ())
        self.kernel.spawn(record, parent=self._init)
        self._world.run_until(lambda: not record.alive)
        for error in errors:
            explain(error)
            raise error
        if not results:
            raise ExitError(
                Atom("killed"), f"{record.pid!r}, which played {function!r}, was ended from outside"
            )
        return results[0]

    def call(self, to: ServerRef, request: Term, timeout: float | None = CALL_TIMEOUT) -> Any:
        """Call a server and return its reply; see `Runtime.call`."""
        return self.play(Process.call, to, request, timeout)

    def cast(self, to: ServerRef, message: Term) -> None:
        """Send a cast; it is handled when the simulation runs."""
        Process.cast(self._outside(), to, message)

    def send(self, to: ServerRef | Reference, message: Term) -> None:
        """Send a message; it is handled when the simulation runs."""
        self.kernel.send(self._init.pid, to, message)

    def exit(self, pid: Pid, reason: Term) -> None:
        """Send an exit signal (`exit/2`)."""
        self.kernel.send_exit(self._init.pid, pid, reason)

    def stop(self, to: ServerRef, reason: Term = NORMAL, timeout: float | None = None) -> None:
        """End a server with a reason, after its `terminate`; see `Runtime.stop`."""
        self.play(_stop, to, reason, timeout)

    def whereis(self, name: str | Atom) -> Pid | None:
        """Return the process registered under a name."""
        record = self.kernel.whereis(name)
        return None if record is None else record.pid

    def alive(self, pid: Pid) -> bool:
        """Tell whether a process of this node lives."""
        return pid in self.kernel.table.by_pid

    def subscribe(self, pid: Pid) -> None:
        """Send a process `{nodeup, Node}` and `{nodedown, Node}` from now on, as `Node.subscribe` does."""
        self._audience.append(pid)

    @property
    def pid(self) -> Pid:
        """The first process of the node: it starts all others, and stands for who calls from outside."""
        return self._init.pid

    @property
    def env(self) -> MutableMapping[str, Any]:
        """The environment that every process of the node inherits."""
        return self._init.environment()

    # The network's side

    def signal_arrived(self, signal: Signal) -> None:
        """A signal came over a connection."""
        self.kernel.deliver(signal)

    def connected(self, node: str) -> None:
        """There is a connection to a node."""
        self._tell(NODEUP, node)

    def connection_lost(self, node: str, was_up: bool) -> None:
        """The connection to a node is lost, or none could be made."""
        self.kernel.nodes.down(node)
        if was_up:
            self._tell(NODEDOWN, node)

    def _tell(self, news: Atom, node: str) -> None:
        for pid in self._audience:
            self.kernel.send(self._init.pid, pid, (news, Atom(node)))

    def hold_up(self, signal: Signal) -> Pid | None:
        """A node does not read: give who sent to it no turns. None if it is amid a callback, or has none."""
        if not isinstance(signal, MessageSignal | AliasSignal) or not self.kernel.suspend(signal.sender):
            return None
        self._world.record(self.name, "hold", signal.sender)
        return signal.sender

    def let_go(self, kernel: Kernel, pid: Pid) -> None:
        """The node reads again."""
        if kernel is self.kernel:
            self._world.record(self.name, "let_go", pid)
        kernel.resume(pid)

    def take_outgoing(self) -> list[Signal]:
        """Return the signals for other nodes, and log the reports."""
        effects, self.kernel.effects = self.kernel.effects, []
        for effect in effects:
            if not isinstance(effect, Await | Cancel):
                self._world.record(self.name, "report", effect)
        return self.kernel.outgoing()

    # The kernel's side; see `Shell`

    def ready(self) -> None:
        """Nothing to do: the simulation looks at every kernel in each step."""

    def pump(self) -> None:
        """Nothing to do: the simulation runs the kernel."""

    def route(self, signals: list[Signal]) -> None:
        """Put them back: the simulation takes them."""
        self.kernel.outbox[:0] = signals

    def now(self) -> float:
        """Return the virtual time."""
        return self._world.now

    def waiter(self) -> Waiter:
        """Nobody outside of a process can wait here."""
        raise RuntimeError("only processes wait in a simulation: use `node.call`, or `node.play` for more")

    async def checkpoint(self) -> None:
        """No other task is kept from running."""
        self.kernel.fair_share = self.kernel.reductions + SHUFFLED

    async def run_in_thread(self, function: Callable[[*Args], Result], *args: *Args) -> Result:
        """Call a blocking function in place: it takes no virtual time."""
        return function(*args)

    def _outside(self) -> Process:
        process = Process()
        process._record, process._kernel = self._init, self.kernel
        return process


async def _stop(process: Process, to: ServerRef, reason: Term, timeout: float | None) -> None:
    ref = process.monitor(to)
    tag = process._kernel.make_ref()
    process.send(to, (SYSTEM, (process.pid, tag), (TERMINATE, reason)))
    try:
        down = await process.receive(lambda message: type(message) is Down and message.ref == ref, timeout)
    except TimeoutError:
        text = f"{to!r} has not stopped within {timeout} s"
        raise CallTimeout(Atom("timeout"), text) from None
    assert isinstance(down, Down)
    if down.reason == NOPROC:
        raise NoProcess(NOPROC, f"no process {to!r}")
    if down.reason != reason:
        raise ExitError(down.reason)
