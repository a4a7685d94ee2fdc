"""The same servers under OTP and under otp_behaviors: callbacks, replies, ends, and who learns of them."""

from pathlib import Path
from typing import Any, Final

import pytest
from anyio.lowlevel import checkpoint
from etf_codec import Atom, Term
from otp_behaviors import NO_REPLY, TIMEOUT, Caller, ExitError, GenServer, Ignore, Process, Stop
from twin_logs import Board, Log, differences, play_under_otp, play_with_ours, to_term
from twin_servers import SERVERS

pytestmark = pytest.mark.anyio

CRASH: Final = RuntimeError("crash")


class Server(GenServer):
    """What `twins.erl` calls the server: a message is the program of the callback it causes."""

    board: Board
    plan: dict[str, Any]
    caller: Caller

    def init(self, board: Board, plan: dict[str, Any]) -> Any:
        self.board, self.plan = board, plan
        self.trap_exit = plan["trap"]
        board.call_it("server", self.pid)
        board.event("server", "init")
        self.run(plan["init"])

    def handle_call(self, request: Any, caller: Caller) -> Any:
        self.board.event("server", "call")
        self.caller = caller
        return self.run(request[1], caller)

    def handle_cast(self, message: Any) -> Any:
        match message:
            case ("answer", value):
                self.reply(self.caller, to_term(value))
            case ("do", program):
                self.board.event("server", "cast")
                self.run(program)

    def handle_info(self, message: Any) -> Any:
        match message:
            case ("do", program):
                self.board.event("server", "info")
                self.run(program)
            case _:
                self.board.event("server", ("info", message))

    def handle_continue(self, token: Any) -> Any:
        self.board.event("server", "continue")
        self.run(token)

    def terminate(self, reason: Any) -> Any:
        self.board.event("server", ("terminate", reason))
        match self.plan["stop"]:
            case ("slow", milliseconds):
                return self.linger(milliseconds / 1000)
            case "ok":
                return None
            case how:
                return self.result(how)

    async def linger(self, seconds: float) -> None:
        try:
            await self.receive(lambda message: message == Atom("never"), seconds)
        except TimeoutError:
            self.board.event("server", "terminated")

    def run(self, program: Any, caller: Caller | None = None) -> Any:
        acts, result = program
        for act in acts:
            self.act(act, caller)
        return self.result(result)

    def act(self, act: Any, caller: Caller | None) -> None:
        match act:
            case ("note", what):
                self.board.event("server", ("note", what))
            case ("reply", value):
                assert caller is not None
                self.reply(caller, to_term(value))
            case ("trap", flag):
                self.trap_exit = flag
            case ("cast_self", program):
                self.cast(self.pid, ("do", program))
            case ("send_self", message):
                self.send(self.pid, to_term(message))

    def result(self, result: Any) -> Any:
        match result:
            case ("reply", value, *further):
                for each in further:
                    self.result(each)
                return to_term(value)
            case ("timeout", milliseconds):
                self.set_timeout(milliseconds / 1000, TIMEOUT)
            case ("continue", program):
                self.continue_with(program)
            case "ignore":
                raise Ignore
            case ("stop", reason, *replies):
                raise Stop(to_term(reason), reply=to_term(replies[0]) if replies else NO_REPLY)
            case ("exit", reason):
                raise ExitError(to_term(reason))
            case "crash":
                raise CRASH
        return NO_REPLY  # "noreply", "ok", "hibernate"


class WaitingServer(Server):
    """The same with `async def` callbacks, each of which waits before it does anything."""

    async def init(self, board: Board, plan: dict[str, Any]) -> None:
        await checkpoint()
        super().init(board, plan)

    async def handle_call(self, request: Any, caller: Caller) -> Any:
        await checkpoint()
        return super().handle_call(request, caller)

    async def handle_cast(self, message: Any) -> None:
        await checkpoint()
        super().handle_cast(message)

    async def handle_info(self, message: Any) -> None:
        await checkpoint()
        super().handle_info(message)

    async def handle_continue(self, token: Any) -> None:
        await checkpoint()
        super().handle_continue(token)

    async def terminate(self, reason: Any) -> None:
        await checkpoint()
        lingering = super().terminate(reason)
        if lingering not in (None, NO_REPLY):
            await lingering


class Clients:
    """The processes around the server, and the steps of a scenario."""

    def __init__(self, server: type[GenServer]) -> None:
        self.server = server

    async def step(self, driver: Process, board: Board, data: Any) -> None:
        match data:
            case ("start", how, plan):
                board.event("driver", ("started", await self.start(driver, board, how == "link", plan)))
            case ("call", client, to, program, timeout):
                target = board.pids["server"] if to == "pid" else to
                limit = None if timeout == "infinity" else timeout / 1000
                spawn(driver, board, client, calling, target, ("do", program), limit)
            case ("stop", client, reason):
                spawn(driver, board, client, stopping, to_term(reason))
            case ("watch", client, how, trap):
                spawn(driver, board, client, watching, how, trap)
            case ("cast", program):
                driver.cast("server", ("do", program))
            case ("info", message):
                driver.send("server", message if isinstance(message, tuple) else to_term(message))
            case ("answer", value):
                driver.cast("server", ("answer", value))
            case ("signal", reason):
                driver.exit(board.pids["server"], to_term(reason))
            case ("signal_client", client, reason):
                driver.exit(board.pids[client], to_term(reason))
            case ("exit_client", client, reason):
                driver.send(board.pids[client], ("leave", to_term(reason)))

    async def start(self, driver: Process, board: Board, link: bool, plan: Any) -> Term:
        try:
            return ("ok", await driver.start(self.server, board, plan, name="server", link=link))
        except Ignore:
            return "ignore"
        except ExitError as error:
            return ("error", error.reason)


def spawn(driver: Process, board: Board, name: str, function: Any, *args: Any) -> None:
    pid = driver.spawn(client_process, board, name, function, args)
    board.call_it(name, pid)
    driver.monitor(pid)


async def client_process(client: Process, board: Board, name: str, function: Any, args: Any) -> None:
    await function(client, board, name, *args)
    while True:
        match await client.receive():
            case ("leave", reason):
                raise ExitError(reason)
            case message:
                board.event(name, ("got", message))


async def calling(
    client: Process, board: Board, name: str, to: Any, request: Any, timeout: float | None
) -> None:
    try:
        board.event(name, ("ok", await client.call(to, request, timeout)))
    except ExitError as error:
        board.event(name, ("exit", error.reason))


async def stopping(client: Process, board: Board, name: str, reason: Term) -> None:
    try:
        await board.runtime.stop("server", reason, 10)
    except ExitError as error:
        board.event(name, ("exit", error.reason))
    else:
        board.event(name, ("ok", Atom("ok")))


async def watching(client: Process, board: Board, name: str, how: str, trap: bool) -> None:
    client.trap_exit = trap
    match how:
        case "link":
            client.link(board.pids["server"])
        case "monitor":
            client.monitor(board.pids["server"])
        case "monitor_name":
            client.monitor("server")


@pytest.fixture(scope="session")
def otp_servers(erlang_code: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Log]:
    scenarios = [scenario for group in SERVERS.values() for scenario in group]
    return play_under_otp(erlang_code, tmp_path_factory.mktemp("twins"), scenarios)


@pytest.mark.parametrize("server", [Server, WaitingServer])
@pytest.mark.parametrize("group", SERVERS)
async def test_servers_do_what_those_of_otp_do(
    otp_servers: dict[str, Log], group: str, server: type[GenServer], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "otp_behaviors")
    found: list[str] = []
    for scenario in SERVERS[group]:
        ours = await play_with_ours(scenario, Clients(server).step)
        found += differences(scenario, otp_servers[scenario.id], ours)
    assert not found, "\n".join(found)
