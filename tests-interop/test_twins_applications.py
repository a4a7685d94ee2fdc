"""The same applications under OTP and under otp_behaviors: starts, phases, ends, stops, and their order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from etf_codec import Atom
from otp_behaviors import (
    Application,
    Child,
    ExitError,
    GenServer,
    Ignore,
    Kernel,
    NoProcess,
    Process,
    Startable,
    Stop,
    Supervisor,
)
from twin_applications import APPLICATIONS
from twin_logs import Board, Log, ReportingRuntime, Scenario, differences, drive, play_under_otp, to_term

pytestmark = pytest.mark.anyio


class Worker(GenServer):
    """What `twins.erl` calls a worker."""

    def init(self, board: Board, plan: dict[str, Any], id: str) -> None:
        self.board, self.plan, self.id = board, plan, id
        self.trap_exit = plan["trap"]
        board.call_it(id, self.pid)
        board.starts[id] += 1
        board.event(id, ("init", board.starts[id]))
        outcome(plan["init"][0])

    def handle_cast(self, how: Any) -> None:
        outcome(how)

    def terminate(self, reason: Any) -> None:
        self.board.event(self.id, ("terminate", reason))
        outcome(self.plan["stop"])


class Single:
    """A tree of one worker, so that its exit reason is the application's."""

    def __init__(self, *args: Any) -> None:
        self.args = args

    def __process__(self, kernel: Kernel, args: tuple[Any, ...]) -> Any:
        return Worker.__process__(kernel, self.args)


def outcome(how: Any) -> None:
    match how:
        case "ok":
            return
        case "ignore":
            raise Ignore
        case ("stop" | "error", reason):
            raise Stop(to_term(reason))
        case ("exit", reason):
            raise ExitError(to_term(reason))
        case _:
            raise RuntimeError("crash")


class Applications:
    """The applications of a scenario, and its steps. Some of the callbacks wait, some do not."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.loaded: dict[str, Application] = {}

    def load(self, name: str, options: dict[str, Any]) -> None:
        phases = {
            phase: self.callback(name, ("phase", phase), how) for phase, how in options.get("phases", [])
        }
        self.loaded[name] = Application(
            name,
            Started(self.board, name, self.tree(options)),
            depends=[self.loaded[other] for other in options.get("depends", [])],
            start_phases=phases,
            prep_stop=self.waiting(self.callback(name, "prep_stop", options.get("prep_stop", "ok"))),
            stop=self.callback(name, "stop", options.get("stop", "ok")),
            lifespan=options["lifespan"] / 1000 if "lifespan" in options else None,
        )

    def tree(self, options: dict[str, Any]) -> Startable:
        match options["tree"]:
            case ("worker", plan):
                return Single(self.board, plan, options["worker"])
            case (_, name, strategy, intensity, period, _, children):
                self.board.supervisors.add(name)
                return Supervisor(
                    *(Child(Worker, self.board, plan, id, id=Atom(id)) for id, (_, plan), *_ in children),
                    strategy=strategy,
                    intensity=intensity,
                    period=period,
                    name=name,
                )
        raise AssertionError(options)

    def callback(self, name: str, what: Any, how: Any) -> Callable[[Process], None]:
        def note(process: Process) -> None:
            self.board.event(name, what)
            outcome(how)

        return note

    def waiting(self, callback: Callable[[Process], None]) -> Callable[[Process], Any]:
        async def wait(process: Process) -> None:
            await anyio.lowlevel.checkpoint()
            callback(process)

        return wait

    async def step(self, driver: Process, board: Board, data: Any) -> None:
        match data:
            case ("load", specs):
                for name, options in specs:
                    self.load(name, options)
            case ("start", name, type):
                board.event("driver", ("started", await self.start(name, type)))
            case ("stop", name):
                board.event("driver", ("stopped", await self.stop(name)))
            case ("end", id, ("signal", reason)):
                driver.exit(board.pids[id], to_term(reason))
            case ("end", id, how):
                driver.cast(board.pids[id], how)

    async def start(self, name: str, type: Any) -> Any:
        if name in self.running():
            return ("error", ("already_started", name))
        try:
            await self.board.runtime.start_application(self.loaded[name], type)
        except ExitError as error:
            return ("error", error.reason)
        return "ok"

    async def stop(self, name: str) -> Any:
        try:
            await self.board.runtime.stop_application(name)
        except NoProcess:
            return ("error", ("not_started", name))
        return "ok"

    def running(self) -> list[str]:
        return [application.name for application in self.board.runtime.which_applications()]

    async def show(self, board: Board) -> None:
        board.event("driver", ("running", self.running()))
        board.find_supervisors()
        alive = [name for name, pid in board.pids.items() if pid in board.runtime.kernel.table.by_pid]
        board.event("driver", ("alive", sorted(alive)))


class Started:
    """The tree of an application, which notes that it is started, as `start/2` does."""

    def __init__(self, board: Board, application: str, tree: Any) -> None:
        self.board, self.application, self.tree = board, application, tree
        self.name = getattr(tree, "name", None)

    def __process__(self, kernel: Kernel, args: tuple[Any, ...]) -> Any:
        self.board.event(self.application, "start")
        return self.tree.__process__(kernel, args)


async def play(scenario: Scenario) -> Log:
    board: Board | None = None
    try:
        with anyio.fail_after(20):
            async with ReportingRuntime() as runtime:
                board = runtime.board = Board(runtime)
                applications = Applications(board)
                runtime.spawn(drive, board, scenario, applications.step, applications.show, name="driver")
                await runtime.monitor("driver")
    except ExitError:
        assert scenario.fatal, "an application has taken the runtime down"
    else:
        assert not scenario.fatal, f"{scenario.id}: the runtime still runs"
    assert board is not None
    log = board.log(scenario.unordered)
    if scenario.fatal:
        # Under OTP the driver is gone with its node, and with it what it would have noted.
        log[-1] = [event for event in log[-1] if event[0] != "driver"]
    return log


@pytest.fixture(scope="session")
def otp_applications(erlang_code: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Log]:
    scenarios = [scenario for group in APPLICATIONS.values() for scenario in group]
    return play_under_otp(erlang_code, tmp_path_factory.mktemp("twins"), scenarios)


@pytest.mark.parametrize("group", APPLICATIONS)
async def test_applications_do_what_those_of_otp_do(
    otp_applications: dict[str, Log], group: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "otp_behaviors")
    found: list[str] = []
    for scenario in APPLICATIONS[group]:
        found += differences(scenario, otp_applications[scenario.id], await play(scenario))
    assert not found, "\n".join(found)
