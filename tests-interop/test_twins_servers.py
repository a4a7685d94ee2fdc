"""The same servers under OTP and under otp_behaviors: callbacks, replies, ends, and who learns of them."""

from pathlib import Path
from typing import Any, Final

import pytest
from anyio.lowlevel import checkpoint
from etf_codec import Atom
from otp_behaviors import NO_REPLY, TIMEOUT, Caller, ExitError, GenServer, Ignore, Stop
from twin_clients import Clients
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
        ours = await play_with_ours(scenario, Clients(lambda plan: server).step)
        found += differences(scenario, otp_servers[scenario.id], ours)
    assert not found, "\n".join(found)
