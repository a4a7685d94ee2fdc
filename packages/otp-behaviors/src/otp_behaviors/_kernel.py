"""The process kernel: processes, mailboxes, names, signals and a FIFO run queue, without I/O or clock.

It never waits. `run` gives each process that has something to do its turn; what must be done outside (a
coroutine to be awaited, a task to be cancelled, a report to be logged) is put into `effects`, and signals for
other nodes into `outgoing()`. A shell (`Runtime`, or the simulation in `otp_behaviors.testing`) carries them
out and feeds back time and arriving signals.

Semantics follow "Processes" and "Signals" in the Erlang reference manual.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any, Final

from etf_codec import Atom, Pid, Reference, Term

from otp_behaviors._bonds import LocalWatcher
from otp_behaviors._callees import Callees
from otp_behaviors._channel import Channel
from otp_behaviors._deliveries import Deliveries
from otp_behaviors._effects import Await, Cancel, CrashReport, Effect, crash_details, neighbours
from otp_behaviors._errors import ExitError, NameTaken
from otp_behaviors._links import Links
from otp_behaviors._monitors import Monitors
from otp_behaviors._nodes import Nodes
from otp_behaviors._process_table import (
    BUSY,
    EXITED,
    IDLE,
    MAX_PROCESSES,
    NO_MAIL,
    READY,
    RUNNING,
    OpenRequest,
    ProcessRecord,
    ProcessTable,
    Waiter,
    is_normal,
)
from otp_behaviors._reasons import KILL, KILLED, from_exception, is_clean
from otp_behaviors._references import References
from otp_behaviors._shell import ServerRef, Shell
from otp_behaviors._signals import (
    AliasSignal,
    Exit,
    ExitSignal,
    MessageSignal,
    RemoteName,
    Signal,
)
from otp_behaviors._spawns import Spawns
from otp_behaviors._timeouts import Timeouts
from otp_behaviors._timers import Timer, Timers

TURN: Final = 64
"""Messages a process may handle before the next one in the run queue gets its turn."""

OUTBOX: Final = 64
"""Signals for other nodes after which `run` returns: who sends to a node that is busy must not run on."""

SYSTEM_LIMIT: Final = Atom("system_limit")


class Kernel:
    """All processes of one node.

    Args:
        node: the node's name, `nonode@nohost` for a program without a network.
        creation: tells this incarnation of the node from earlier ones.
        now: the present in seconds.
        seed: makes references unguessable for other nodes; any 64-bit number.
        max_processes: how many may be alive at once, as `erl +P`.
    """

    # More attributes than CPython finds quickly in an object without slots.
    __slots__ = (
        "_dying",
        "_propagating",
        "alarm",
        "aliases",
        "callees",
        "channels",
        "current",
        "deferred",
        "deliver",
        "deliveries",
        "effects",
        "fair_share",
        "held",
        "links",
        "make_ref",
        "max_processes",
        "monitors",
        "node",
        "nodes",
        "now",
        "outbox",
        "receivers",
        "reductions",
        "references",
        "run_queue",
        "running",
        "shell",
        "spare_request",
        "spawns",
        "table",
        "time_offset",
        "timeouts",
        "timers",
    )

    def __init__(
        self,
        node: str = "nonode@nohost",
        creation: int = 0,
        *,
        now: float = 0.0,
        seed: int = 0,
        max_processes: int = MAX_PROCESSES,
    ) -> None:
        self.table = ProcessTable(node, creation)
        self.node = node
        self.shell: Shell | None = None
        # What returns the present; a shell with a clock puts its own here.
        self.now: Callable[[], float] = lambda: self.timers.now
        self.timers = Timers(now, lambda: self.now())
        self.timeouts = Timeouts()
        self.time_offset = 0.0  # seconds from `now` to the time of day, as `erlang:time_offset/0`
        self.links = Links(self.table, self.emit, self._exit_signal)
        self.monitors = Monitors(self.table, self.emit, self._channel)
        self.spawns = Spawns(self.table, self.links, self.monitors, self.emit)
        self.references = References(self.table, seed)
        self.make_ref = self.references.make
        self.aliases = self.references.aliases
        self.callees = Callees(self.monitors, self.make_ref, lambda: self.now())
        self.effects: list[Effect] = []
        self.reductions = 0
        self.fair_share = 0
        self.outbox: list[Signal] = []
        self.run_queue: deque[ProcessRecord] = deque()
        self.held = False
        # When the shell will call `handle_time` on its own: it need not be told of timers that fire later.
        self.alarm = inf
        self.deferred: deque[tuple[ProcessRecord, Term]] = deque()
        self.running = False
        self.current: ProcessRecord | None = None
        # A request that left no trace and can be made again.
        self.spare_request: OpenRequest | None = None
        self.max_processes = max_processes
        self._dying: deque[tuple[ProcessRecord, Term]] = deque()
        self._propagating = False
        bonds = (self.links, self.monitors, self.spawns)
        self.nodes = Nodes(*bonds, self._exit_signal)
        self.channels = self.nodes.channels
        self.deliveries = Deliveries(self.table, self.references, *bonds, self.put, self._exit_signal)
        self.deliver = self.deliveries.deliver
        self.receivers = self.deliveries.receivers

    def incarnate(self, creation: int) -> None:
        """Set the creation, as long as no process has been started.

        Raises:
            RuntimeError: there are processes, whose pids carry the old one.
        """
        if self.table.by_pid:
            raise RuntimeError("the creation is part of every pid: set it before the first process")
        self.table.creation = creation

    # Running

    @property
    def idle(self) -> bool:
        """Whether no process has anything to do."""
        return not self.run_queue

    def run(self, budget: int = 2000) -> int:
        """Give processes their turns until all are idle, or the budget is spent, or signals have to go out.

        Returns:
            The reductions spent: roughly, messages handled.
        """
        if self.running:
            return 0
        self.running = self.held = True
        spent = 0
        ready = self.run_queue
        try:
            while ready and spent < budget and len(self.outbox) < OUTBOX:
                record = ready.popleft()
                if record.status is not READY:
                    continue
                self.current = record
                spent += record.turn()
                self.current = None
                if self.deferred:
                    self.settle()
        except BaseException as error:
            # SystemExit, or the like, is for the program. The process cannot go on amid a callback.
            if self.current is not None:
                self.exit(self.current, from_exception(error), error)
            raise
        finally:
            self.current = None
            self.running = self.held = False
            self.reductions += spent
        return spent

    def leave(self, record: ProcessRecord, work: Coroutine[Any, Any, Term] | None) -> None:
        """End a turn that was taken at once, in the place of a caller or of who delivers."""
        self.current = self.references.serving = None
        self.reductions += 1
        record.reductions += 1
        if work is not None:
            self.await_(record, work)
        elif record.status is RUNNING:
            record.status = IDLE
            if record.mailbox:
                self.schedule(record)
        if self.deferred:
            self.settle()
        self.running = self.held = False

    def settle(self) -> None:
        """Carry out the exit signals that a process got in the middle of its callback."""
        while self.deferred:
            self.exit(*self.deferred.popleft(), by_signal=True)

    def schedule(self, record: ProcessRecord) -> None:
        """Put a process into the run queue."""
        record.status = READY
        self.run_queue.append(record)
        if not self.held and self.shell is not None:
            self.shell.ready()

    def suspend(self, pid: Pid) -> bool:
        """Give a process no turns until `resume`, as a busy port does; False if it is amid a callback."""
        record = self.table.by_pid.get(pid)
        if record is None or record.coroutine is not None or record.status not in (IDLE, READY):
            return False
        record.status = BUSY
        return True

    def resume(self, pid: Pid) -> None:
        """Give a process its turns again, after `suspend` returned true."""
        record = self.table.by_pid.get(pid)
        if record is not None and record.status is BUSY and record.coroutine is None:
            self.schedule(record)

    def outgoing(self) -> list[Signal]:
        """Return, and forget, the signals for other nodes, in the order they were sent."""
        signals, self.outbox = self.outbox, []
        return signals

    def deadline(self) -> float | None:
        """Return when `handle_time` has to be called next, or None."""
        deadlines = (self.timers.deadline(), self.timeouts.deadline(), self.callees.deadline())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def handle_time(self, now: float) -> None:
        """Let the timers fire that are due, and end the calls that have waited for too long."""
        self.timers.handle_time(now)
        self.timeouts.handle_time(self.timers.now)
        self.callees.handle_time(self.timers.now)

    def send_after(self, seconds: float, to: ServerRef, message: Term, sender: Pid) -> Timer:
        """Send a message later (`erlang:send_after/3`)."""
        # A timer for a pid of this node goes with it (`erlang:send_after/4`); one for a name stays.
        owner = to if type(to) is Pid and to in self.table.by_pid else None
        return self.start_timer(seconds, lambda: self.send(sender, to, message), owner)

    def wake_after(self, seconds: float, waiter: Waiter) -> Timer:
        """Wake a waiting coroutine when `seconds` have passed."""
        return self.start_timer(seconds, waiter.wake)

    def start_timer(self, seconds: float, action: Callable[[], None], owner: Pid | None = None) -> Timer:
        """Run an action later, unless `owner` has ended by then."""
        self.timers.now = max(self.timers.now, self.now())
        timer = self.timers.start(seconds, action, owner)
        if timer.deadline < self.alarm and self.shell is not None:
            self.shell.ready()
        return timer

    def report(self, effect: Effect) -> None:
        """Put something to be done outside into `effects`."""
        self.effects.append(effect)
        if not self.held and self.shell is not None:
            self.shell.ready()

    # Processes

    def spawn(
        self,
        record: ProcessRecord,
        *,
        parent: ProcessRecord | None = None,
        name: str | None = None,
        link: bool = False,
    ) -> Pid:
        """Put a new process into the table and the run queue.

        Raises:
            NameTaken: the name is in use; nothing has been started.
            ExitError: `system_limit`, too many processes are alive.
        """
        if name is not None and name in self.table.by_name:
            holder = self.table.by_name[name]
            raise NameTaken(
                (Atom("already_started"), holder.pid), f"the name {name!r} belongs to {holder.pid!r}"
            )
        if len(self.table.by_pid) >= self.max_processes:
            raise ExitError(SYSTEM_LIMIT, f"more than {self.max_processes} processes are alive")
        self.table.add(record)
        if name is not None:
            self.table.register(name, record)
        if parent is not None:
            record.parent = parent.pid
            record.ancestry = (parent.name or parent.pid, parent.ancestry)
            record.group_leader = record.group_leader or parent.group_leader
            if link:
                self.links.link(record, parent.pid)
        self.schedule(record)
        return record.pid

    def exit(
        self,
        record: ProcessRecord,
        reason: Term,
        error: BaseException | None = None,
        *,
        by_signal: bool = False,
    ) -> None:
        """End a process: names are released first, then links and monitors fire. Iterative, so any depth.

        Who ends `by_signal` writes no crash report: as in OTP that is for those who crash by themselves.
        """
        if record.status is EXITED:
            return
        record.status = EXITED
        self.table.remove(record)
        for alias in record.aliases or ():
            self.aliases.pop(alias.ids, None)
        report: CrashReport | None = None
        if not by_signal and not is_clean(reason) and record.reported:
            details, linked = crash_details(record), neighbours(record, self.table)
            call = record.initial_call
            report = CrashReport(record.pid, record.name, call, reason, error, details, linked)
        record.mailbox.clear()
        if self.timers.owned:
            self.timers.owner_exited(record.pid)
        if record.pid in self.callees:
            self.callees.sender_exited(record.pid)
        if record.task is not None:
            self.report(Cancel(record))
        if report is not None:
            self.report(report)
        self._dying.append((record, reason))
        if self._propagating:
            return
        self._propagating = True
        try:
            while self._dying:
                dead, why = self._dying.popleft()
                self.links.process_exited(dead, why)
                self.monitors.process_exited(dead, why)
                dead.exited(why)
        finally:
            self._propagating = False

    def whereis(self, name: str | Atom) -> ProcessRecord | None:
        """Return the process registered under a name (`erlang:whereis/1`)."""
        return self.table.by_name.get(str(name))

    def find(self, to: ServerRef) -> ProcessRecord | None:
        """Return the local process a reference stands for; None if it is gone, or on another node."""
        target = self.resolve(to)
        return self.monitors.local(target) if target.node == self.node else None

    def resolve(self, to: ServerRef) -> Pid | RemoteName:
        """Return a server reference as a pid or a name with its node."""
        if isinstance(to, Pid | RemoteName):
            return to
        if isinstance(to, str | Atom):
            return RemoteName(str(to), self.node)
        return to.pid

    # Signals

    def send(self, sender: Pid, to: ServerRef | Reference, message: Term) -> None:
        """Send a message. To a process that is not there it is dropped, as in Erlang."""
        if type(to) is Pid:
            record = self.table.by_pid.get(to)
            if record is not None:
                self.put(record, message)
            elif to.node != self.node:
                self.emit(MessageSignal(sender, to, message))
        elif isinstance(to, Reference):
            self._send_to_alias(sender, to, message)
        else:
            target = self.resolve(to)
            if isinstance(target, Pid):
                self.send(sender, target, message)
            elif target.node == self.node:
                record = self.table.by_name.get(target.name)
                if record is not None:
                    self.put(record, message)
            else:
                self.emit(MessageSignal(sender, target, message))

    def put(self, record: ProcessRecord, message: Term) -> None:
        """Put a message into a local mailbox."""
        if record.mailbox is NO_MAIL:
            record.mailbox = deque()
        record.mailbox.append(message)
        if record.status is IDLE:
            if record.waiting is not None:
                record.waiting.wake()
            else:
                record.status = READY
                self.run_queue.append(record)
                if not self.held and self.shell is not None:
                    self.shell.ready()

    def send_exit(self, sender: Pid, to: Pid, reason: Term) -> None:
        """Send an exit signal (`erlang:exit/2`)."""
        record = self.table.by_pid.get(to)
        if record is not None:
            self._exit_signal(record, sender, reason, False)
        elif to.node != self.node:
            self.emit(ExitSignal(sender, to, reason, False))

    def monitor(self, watcher: LocalWatcher, sender: Pid, to: ServerRef) -> Reference:
        """Watch a process (`erlang:monitor/2`); a `Down` comes once, at once if there is nobody."""
        ref = self.make_ref()
        self.monitors.add(watcher, sender, self.resolve(to), ref)
        return ref

    def emit(self, signal: Signal) -> None:
        """Put a signal for another node into `outgoing()`."""
        self.outbox.append(signal)
        if not self.held and self.shell is not None:
            self.shell.ready()

    def _channel(self, node: str) -> Channel | None:
        return None if self.outbox else self.channels.get(node)

    def _send_to_alias(self, sender: Pid, alias: Reference, message: Term) -> None:
        if alias.node != self.node:
            self.emit(AliasSignal(sender, alias, message))
            return
        target = self.references.alias_target(alias)
        if target is not None:
            target.alias_message(alias, message)

    def _exit_signal(self, record: ProcessRecord, sender: Pid, reason: Term, linked: bool) -> None:
        """Do what "Receiving Exit Signals" in the reference manual says."""
        if not linked and type(reason) is Atom and reason == KILL:
            reason = KILLED
        elif record.trap_exit:
            self.put(record, Exit(sender, reason))
            return
        elif is_normal(reason) and sender != record.pid:
            return
        if record is self.current:
            # A process takes its signals between two callbacks, never in the middle of one.
            self.deferred.append((record, reason))
        else:
            self.exit(record, reason, by_signal=True)

    def await_(self, record: ProcessRecord, coroutine: Coroutine[Any, Any, Term]) -> None:
        """Have a coroutine of a process run: by the kernel itself if `record.driven`, else in a task."""
        record.coroutine = coroutine
        if record.driven:
            self.schedule(record)
        else:
            record.status = BUSY
            if record.task is None:
                self.report(Await(record))
            else:
                record.task.resume()

    def step(self, record: ProcessRecord, coroutine: Coroutine[Any, Any, Term]) -> None:
        """Run the coroutine of a driven process up to its next wait."""
        record.status = RUNNING
        try:
            coroutine.send(None)
        except StopIteration as stop:
            record.coroutine = None
            record.returned(stop.value)
        except Exception as error:
            record.coroutine = None
            record.raised(error)
        else:
            if record.status is RUNNING:
                record.status = BUSY
