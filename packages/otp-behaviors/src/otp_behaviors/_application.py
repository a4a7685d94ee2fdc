"""Applications: a supervision tree with a name, an environment and dependencies; see OTP's `application`.

Each running application has a master, a process between the runtime and the tree, as OTP's
`application_master`: it starts the tree, holds the environment that every process below inherits, and ends
with it. What is still there of the application then (processes that have the master as their group leader)
is killed.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from inspect import isawaitable
from typing import Any, Final, Literal, TypeAlias

from etf_codec import Atom, Pid, Term

from otp_behaviors._completion import Completion
from otp_behaviors._effects import ApplicationExited, ApplicationStarted
from otp_behaviors._errors import ExitError, Ignore, Stop
from otp_behaviors._kernel import Kernel
from otp_behaviors._process import FunctionProcess, LocalProcess, Process, Startable, own_name
from otp_behaviors._reasons import KILLED, NORMAL, SHUTDOWN
from otp_behaviors._signals import Down, Exit
from otp_behaviors._system import SYSTEM, TERMINATE

Callback: TypeAlias = Callable[[Process], Any]
"""`def` or `async def`; runs as a process of the application, which it gets as its argument."""

StartType: TypeAlias = Literal["permanent", "transient", "temporary"]

START_TYPES: Final = ("permanent", "transient", "temporary")
OK: Final = Atom("ok")
START: Final = Atom("start")
START_PHASE: Final = Atom("start_phase")
BAD_RETURN: Final = Atom("bad_return")
BAD_RETURN_VALUE: Final = Atom("bad_return_value")
EXITED: Final = Atom("EXIT")
LIFESPAN: Final = Atom("lifespan")
STOPPED: Final = Atom("stopped")


class Application:
    """An application: a value to give to `Runtime.start_application` or `Runtime.run`.

    Args:
        name: its name.
        tree: what it runs, as a rule a Supervisor.
        env: values every process of it finds in `self.env`.
        depends: applications that must run before this one; started with it if they do not.
        start_phases: callbacks by the names of their phases, called in this order when the tree runs;
            `start_application` returns after the last. One that raises Stop(reason) refuses the start.
        prep_stop: called before the tree stops, or when it has ended by itself.
        stop: called when the tree has stopped.
        lifespan: seconds after which the application stops, with `normal` (OTP's `maxT`); None for ever.
        description: what it is, for `which_applications`.
        version: of the application.

    Raises:
        ValueError: the lifespan is not more than 0.
    """

    def __init__(
        self,
        name: str,
        tree: Startable,
        *,
        env: Mapping[str, Any] | None = None,
        depends: Iterable[Application] = (),
        start_phases: Mapping[str, Callback] | None = None,
        prep_stop: Callback | None = None,
        stop: Callback | None = None,
        lifespan: float | None = None,
        description: str = "",
        version: str = "",
    ) -> None:
        self.name = name
        self.tree = tree
        self.env = dict(env or {})
        self.depends = tuple(depends)
        self.start_phases = dict(start_phases or {})
        self.prep_stop = prep_stop
        self.stop = stop
        self.lifespan = lifespan
        self.description = description
        self.version = version
        if lifespan is not None and lifespan <= 0:
            raise ValueError(f"application {name}: a lifespan is more than 0 seconds, or None: {lifespan!r}")

    def __repr__(self) -> str:
        return f"Application({self.name!r})"

    def __process__(self, kernel: Kernel, args: tuple[Any, ...]) -> LocalProcess:
        """Return a new master for this application."""
        return ApplicationMaster(kernel, self)


def start_order(application: Application) -> list[Application]:
    """Return the application after everything it depends on, each once.

    Raises:
        ValueError: the dependencies form a circle.
    """
    order: list[Application] = []
    path: list[str] = []

    def visit(current: Application) -> None:
        if any(current.name == done.name for done in order):
            return
        if current.name in path:
            circle = " -> ".join([*path[path.index(current.name) :], current.name])
            raise ValueError(f"applications depend on each other in a circle: {circle}")
        path.append(current.name)
        for dependency in current.depends:
            visit(dependency)
        path.pop()
        order.append(current)

    visit(application)
    return order


class ApplicationMaster(FunctionProcess):
    """The process at the top of an application."""

    __slots__ = ("application", "stopped", "tree", "type")

    def __init__(self, kernel: Kernel, application: Application) -> None:
        super().__init__(kernel, _master, (application,))
        self.application = application
        self.tree: LocalProcess | None = None
        # How it was started, and whether it was told to stop, for its last report.
        self.type: StartType = "temporary"
        self.stopped = False
        self.driven = True
        self.trap_exit = True
        self.acknowledges = False

    @property
    def initial_call(self) -> tuple[str, str, int]:
        """As OTP names it."""
        return ("application_master", "init", 4)

    def time_to_stop(self, grace: float) -> float:
        """What the tree needs, and `grace` for each callback."""
        callbacks = (self.application.prep_stop, self.application.stop)
        needed = sum(grace for callback in callbacks if callback is not None)
        tree = self.tree.time_to_stop(grace) if isinstance(self.tree, FunctionProcess) else grace
        return needed + tree

    def kill_members(self) -> None:
        """Kill every process of this application; new ones of a dying one, too."""
        table = self.kernel.table.by_pid
        while members := [
            each for each in table.values() if each.group_leader == self.pid and each is not self
        ]:
            for member in members:
                self.kernel.exit(member, KILLED, by_signal=True)

    def exited(self, reason: Term) -> None:
        """Report the end, and let go of the rest."""
        why = STOPPED if self.stopped else reason
        self.kernel.report(ApplicationExited(self.application.name, why, self.type))
        super().exited(reason)


async def _master(process: Process, application: Application) -> None:
    record = process._record
    assert isinstance(record, ApplicationMaster)
    record.group_leader = record.pid
    record.env = ChainMap(dict(application.env), record.environment())
    try:
        tree = await _start_tree(process, record)
        try:
            await _run_phases(process, application)
        except ExitError:
            await _stop_tree(process, tree)
            raise
    except ExitError as refusal:
        record.kill_members()
        record.refuse(refusal)
        raise
    end_of_life = (LIFESPAN, process.pid)
    timer = None
    if application.lifespan is not None:
        timer = process.send_after(application.lifespan, process.pid, end_of_life)
    record.acknowledge()
    record.kernel.report(ApplicationStarted(application.name))
    reason = await _serve(process, record, tree, end_of_life)
    if timer is not None:
        timer.cancel()
    record.kill_members()
    if reason is not NORMAL:
        raise ExitError(reason)


async def _start_tree(process: Process, record: ApplicationMaster) -> Pid:
    application, kernel = record.application, record.kernel
    started = Completion(kernel)
    record.tree = tree = application.tree.__process__(kernel, ())
    tree.ack = started
    start = (Atom(application.name), START, [NORMAL, []])
    try:
        kernel.spawn(tree, parent=record, name=own_name(application.tree), link=True)
        await started.wait(record.waiter(), None)
        started.result()
    except (ExitError, Ignore) as error:
        ignored = (BAD_RETURN, (start, Atom("ignore")))
        raise ExitError(
            (error.reason, start) if isinstance(error, ExitError) else ignored,
            f"application {application.name} did not start: {error}",
        ) from error
    return tree.pid


async def _run_phases(process: Process, application: Application) -> None:
    for phase, callback in application.start_phases.items():
        refusals, reason = await _call(process, callback)
        if not refusals and reason is NORMAL:
            continue
        mfa = (Atom(application.name), START_PHASE, [Atom(phase), NORMAL, []])
        why = (refusals[0], mfa) if refusals else (BAD_RETURN_VALUE, (mfa, (EXITED, reason)))
        raise ExitError(why, f"start phase {phase} of application {application.name} failed")


async def _call(process: Process, callback: Callback) -> tuple[list[Term], Term]:
    """Run a callback as a process; return what it refused with by Stop, and why it ended."""
    refusals: list[Term] = []
    ref = process.monitor(process.spawn(_callback, callback, refusals))
    down = await process.receive(lambda message: type(message) is Down and message.ref == ref)
    assert isinstance(down, Down)
    return refusals, down.reason


async def _callback(process: Process, callback: Callback, refusals: list[Term]) -> None:
    try:
        result = callback(process)
        if isawaitable(result):
            await result
    except Stop as stop:
        refusals.append(stop.reason)


async def _serve(process: Process, record: ApplicationMaster, tree: Pid, end_of_life: Term) -> Term:
    """Run until the tree ends, or has to; return why."""
    while True:
        message = await process.receive()
        if type(message) is Exit and message.pid == tree:
            await _stop(process, record, None)
            return message.reason
        if type(message) is Exit and message.pid == record.parent:
            record.stopped = True
            await _stop(process, record, tree)
            return message.reason
        if message is end_of_life:
            await _stop(process, record, tree)
            return NORMAL
        if type(message) is tuple and len(message) == 3 and message[0] is SYSTEM:
            caller, request = message[1:]
            if type(request) is tuple and len(request) == 2 and request[0] is TERMINATE:
                record.stopped = True
                await _stop(process, record, tree)
                process.reply(caller, OK)
                return request[1]
            process.reply(caller, (Atom("error"), (Atom("unknown_system_msg"), request)))


async def _stop(process: Process, record: ApplicationMaster, tree: Pid | None) -> None:
    """Stop the tree, if it still runs, between the two callbacks. If one fails that is only logged."""
    application = record.application
    if application.prep_stop is not None:
        await _call(process, application.prep_stop)
    if tree is not None:
        await _stop_tree(process, tree)
    if application.stop is not None:
        await _call(process, application.stop)


async def _stop_tree(process: Process, tree: Pid) -> None:
    ref = process.monitor(tree)
    process.unlink(tree)
    process.exit(tree, SHUTDOWN)
    await process.receive(lambda message: type(message) is Down and message.ref == ref)


def which(applications: Iterable[Application]) -> list[Term]:
    """Return `[{Name, Description, Version}]` as `application:which_applications/0`."""
    return [(Atom(a.name), list(a.description.encode()), list(a.version.encode())) for a in applications]
