"""The same supervisors under OTP and under otp_behaviors: the same starts, ends, orders and answers."""

from pathlib import Path
from typing import Any, Final

import pytest
from etf_codec import Atom
from otp_behaviors import Child, ExitError, GenServer, Ignore, Process, Stop, Supervisor
from otp_behaviors import start_child as start_new_child
from twin_logs import Board, Log, differences, play_under_otp, play_with_ours, to_term
from twin_supervisors import SUPERVISORS

pytestmark = pytest.mark.anyio

CRASH: Final = RuntimeError("crash")
ERROR: Final = Atom("error")


class Worker(GenServer):
    """What `twins.erl` calls a worker: its plan says how it starts and how it ends."""

    def init(self, board: Board, plan: dict[str, Any], id: str, name: str | None = None) -> None:
        self.board, self.plan, self.id = board, plan, name or id
        self.trap_exit = plan["trap"]
        board.call_it(self.id, self.pid)
        board.starts[self.id] += 1
        start = board.starts[self.id]
        board.event(self.id, ("init", start))
        inits = plan["init"]
        fail(inits[min(start, len(inits)) - 1])

    def handle_cast(self, how: Any) -> None:
        fail(how)

    def handle_info(self, message: Any) -> None:
        self.board.event(self.id, ("info", message))

    async def terminate(self, reason: Any) -> None:
        self.board.event(self.id, ("terminate", reason))
        match self.plan["stop"]:
            case ("slow", milliseconds):
                await self.never(milliseconds / 1000)
                self.board.event(self.id, "terminated")
            case "hang":
                await self.never(None)
            case how:
                fail(how)

    async def never(self, timeout: float | None) -> None:
        try:
            await self.receive(lambda message: message == Atom("never"), timeout)
        except TimeoutError:
            return


def fail(how: Any) -> None:
    match how:
        case "ok":
            return
        case "ignore":
            raise Ignore
        case ("stop", reason):
            raise Stop(to_term(reason))
        case ("exit", reason):
            raise ExitError(to_term(reason))
        case _:
            raise CRASH


def supervisor(board: Board, tree: Any) -> Supervisor:
    _, name, strategy, intensity, period, auto, children = tree
    board.supervisors.add(name)
    return Supervisor(
        *(child(board, spec) for spec in children),
        strategy=strategy,
        intensity=intensity,
        period=period,
        auto_shutdown=auto,
        name=name,
    )


def child(board: Board, spec: Any) -> Child:
    id, start, restart, shutdown, significant = spec
    limit = shutdown if isinstance(shutdown, str) else shutdown / 1000
    options = {"id": Atom(id), "restart": restart, "shutdown": limit, "significant": significant}
    match start:
        case ("worker", plan):
            return Child(Worker, board, plan, id, **options)
        case ("template", plan):
            return Child(Worker, board, plan, id, **options)
        case _:
            return Child(supervisor(board, start), **options)


async def step(driver: Process, board: Board, data: Any) -> None:
    match data:
        case ("start", tree):
            try:
                pid = await driver.start(supervisor(board, tree), link=True)
            except ExitError as error:
                board.event("driver", ("started", ("error", error.reason)))
            else:
                board.names[pid] = tree[1]
                board.event("driver", ("started", ("ok", pid)))
        case ("end", id, ("signal", reason)):
            driver.exit(board.pids[id], to_term(reason))
        case ("end", id, how):
            driver.cast(board.pids[id], how)
        case ("exit", name, reason):
            if holder := driver.whereis(name):
                driver.exit(holder, to_term(reason))
            else:
                board.event("driver", "nobody")
        case ("stop", name, reason):
            board.event("driver", ("stopped", await stopped(board, name, to_term(reason))))
        case ("ask", name, "start_child", tuple() as spec):
            board.event("driver", ("answer", await add(driver, name, child(board, spec))))
        case ("ask", name, command, argument):
            board.event("driver", ("answer", await ask(board, name, command, argument)))


async def add(driver: Process, name: str, argument: Child) -> Any:
    try:
        pid = await start_new_child(driver, name, argument)
    except ExitError as error:
        return ("exit" if "noproc" in str(error.reason) else "error", error.reason)
    return ("ok", pid or Atom("undefined"))


async def ask(board: Board, name: str, command: str, argument: Any) -> Any:
    match argument:
        case ("pid", id):
            answer = await board.ask(name, (Atom(command), board.pids[id]))
        case str():
            answer = await board.ask(name, (Atom(command), Atom(argument)))
        case _:
            answer = await board.ask(name, (Atom(command), argument))
    match answer:
        case (Atom("ok"), dict() as spec):
            hidden = (Atom("start"), Atom("modules"))
            return ("ok", sorted(((key, value) for key, value in spec.items() if key not in hidden), key=str))
    return answer


async def stopped(board: Board, name: str, reason: Any) -> Any:
    try:
        await board.runtime.stop(name, reason)
    except ExitError as error:
        return ("exit", error.reason)
    return "ok"


async def show(board: Board) -> None:
    for name in sorted(board.supervisors):
        if board.runtime.whereis(name) is None:
            board.event(name, "gone")
            continue
        for title, request in (("children", "which_children"), ("counts", "count_children")):
            board.event(name, (title, await board.ask(name, Atom(request))))


@pytest.fixture(scope="session")
def otp_supervisors(erlang_code: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Log]:
    scenarios = [scenario for group in SUPERVISORS.values() for scenario in group]
    return play_under_otp(erlang_code, tmp_path_factory.mktemp("twins"), scenarios)


@pytest.mark.parametrize("group", SUPERVISORS)
async def test_supervisors_do_what_those_of_otp_do(
    otp_supervisors: dict[str, Log], group: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "otp_behaviors")
    found: list[str] = []
    for scenario in SUPERVISORS[group]:
        ours = await play_with_ours(scenario, step, show)
        found += differences(scenario, otp_supervisors[scenario.id], ours)
    assert not found, "\n".join(found)
