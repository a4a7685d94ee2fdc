"""Applications: a supervision tree with a name, an environment and dependencies; see OTP's `application`.

Each running application has a master, a process between the runtime and the tree, as OTP's
`application_master`: it starts the tree, holds the environment that every process below inherits, and ends
with it.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeAlias

from etf_codec import Atom, Pid, Term

from otp_behaviors._errors import ExitError, Ignore
from otp_behaviors._gen_call import Completion
from otp_behaviors._kernel import Kernel
from otp_behaviors._process import FunctionProcess, LocalProcess, Process, Startable, own_name
from otp_behaviors._reasons import SHUTDOWN
from otp_behaviors._signals import Down, Exit
from otp_behaviors._system import SYSTEM, TERMINATE

StartType: TypeAlias = Literal["permanent", "transient", "temporary"]

START_TYPES: Final = ("permanent", "transient", "temporary")
OK: Final = Atom("ok")


class Application:
    """An application: a value to give to `Runtime.start_application` or `Runtime.run`.

    Args:
        name: its name.
        tree: what it runs, as a rule a Supervisor.
        env: values every process of it finds in `self.env`.
        depends: applications that must run before this one; started with it if they do not.
        description: what it is, for `which_applications`.
        version: of the application.
    """

    def __init__(
        self,
        name: str,
        tree: Startable,
        *,
        env: Mapping[str, Any] | None = None,
        depends: Iterable[Application] = (),
        description: str = "",
        version: str = "",
    ) -> None:
        self.name = name
        self.tree = tree
        self.env = dict(env or {})
        self.depends = tuple(depends)
        self.description = description
        self.version = version

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

    __slots__ = ("application",)

    def __init__(self, kernel: Kernel, application: Application) -> None:
        super().__init__(kernel, _master, (application,))
        self.application = application
        self.driven = True
        self.trap_exit = True
        self.acknowledges = False

    @property
    def initial_call(self) -> tuple[str, str, int]:
        """As OTP names it."""
        return ("application_master", "init", 4)


async def _master(process: Process, application: Application) -> None:
    record, kernel = process._record, process._kernel
    record.group_leader = record.pid
    record.env = ChainMap(dict(application.env), record.environment())
    started = Completion(kernel)
    tree = application.tree.__process__(kernel, ())
    tree.ack = started
    try:
        kernel.spawn(tree, parent=record, name=own_name(application.tree), link=True)
        await started.wait(record.waiter(), None)
        started.result()
    except (ExitError, Ignore) as error:
        reason = error.reason if isinstance(error, ExitError) else Atom("ignore")
        refusal = ExitError(
            (Atom("bad_start"), reason), f"application {application.name} did not start: {error}"
        )
        record.refuse(refusal)
        raise refusal from error
    record.acknowledge()
    await _serve(process, tree.pid)


async def _serve(process: Process, tree: Pid) -> None:
    while True:
        message = await process.receive()
        if type(message) is Exit and message.pid == tree:
            raise ExitError(message.reason)
        if type(message) is Exit and message.pid == process._record.parent:
            await _stop_tree(process, tree)
            raise ExitError(message.reason)
        if type(message) is tuple and len(message) == 3 and message[0] == SYSTEM:
            caller, request = message[1:]
            if type(request) is tuple and len(request) == 2 and request[0] == TERMINATE:
                await _stop_tree(process, tree)
                process.reply(caller, OK)
                raise ExitError(request[1])
            process.reply(caller, (Atom("error"), (Atom("unknown_system_msg"), request)))


async def _stop_tree(process: Process, tree: Pid) -> None:
    ref = process.monitor(tree)
    process.unlink(tree)
    process.exit(tree, SHUTDOWN)
    await process.receive(lambda message: type(message) is Down and message.ref == ref)


def which(applications: Iterable[Application]) -> list[Term]:
    """Return `[{Name, Description, Version}]` as `application:which_applications/0`."""
    return [(Atom(a.name), list(a.description.encode()), list(a.version.encode())) for a in applications]
