"""The same plain processes under OTP and under otp_behaviors: links, monitors, exits, names, aliases."""

from pathlib import Path
from typing import Any, Final

import pytest
from etf_codec import Atom, Reference
from otp_behaviors import ExitError, NameTaken, Process
from twin_logs import Board, Log, Scenario, differences, play_under_otp, play_with_ours, to_term
from twin_processes import PROCESSES

pytestmark = pytest.mark.anyio

BADARG: Final = Atom("badarg")
UNDEFINED: Final = Atom("undefined")


class Obedient:
    """A process that carries out the operations it is sent, and notes every other message."""

    def __init__(self, process: Process, board: Board, name: str) -> None:
        self.process, self.board, self.name = process, board, name
        self.watches: dict[str, Reference] = {}

    async def obey(self) -> None:
        while True:
            match await self.process.receive():
                case ("do", operations):
                    for operation in operations:
                        await self.operate(operation)
                case message:
                    self.board.event(self.name, ("got", message))

    async def operate(self, operation: Any) -> None:
        match operation:
            case ("end", reason):
                raise ExitError(to_term(reason))
            case "crash":
                raise RuntimeError("crash")
            case ("flush", other):
                await self.flush(other)
            case (kind, *arguments):
                result = getattr(self, f"do_{kind}")(*arguments)
                if result is not None:
                    self.board.event(self.name, (kind, result))

    async def flush(self, other: str) -> None:
        pid = self.board.pids[other]
        try:
            await self.process.receive(lambda message: isinstance(message, tuple) and message[1] == pid, 0)
        except TimeoutError:
            return

    def do_trap(self, flag: bool) -> bool:
        before = self.process.trap_exit
        self.process.trap_exit = flag
        return before

    def do_link(self, other: str) -> None:
        self.process.link(self.board.pids[other])

    def do_unlink(self, other: str) -> None:
        self.process.unlink(self.board.pids[other])

    def do_monitor(self, other: str) -> None:
        self.watches[other] = self.process.monitor(self.board.pids[other])

    def do_monitor_name(self, name: str) -> None:
        self.watches[name] = self.process.monitor(name)

    def do_monitor_alias(self, other: str, mode: Any) -> None:
        self.watches[other] = self.process.monitor(self.board.pids[other], alias=mode)
        self.board.aliases[other] = self.watches[other]

    def do_demonitor(self, other: str) -> None:
        self.process.demonitor(self.watches[other])

    def do_demonitor_info(self, other: str) -> bool:
        return self.process.demonitor(self.watches[other])

    def do_demonitor_flush(self, other: str) -> None:
        self.process.demonitor(self.watches[other], flush=True)

    def do_exit(self, other: str, reason: Any) -> None:
        self.process.exit(self.board.pids[other], to_term(reason))

    def do_exit_self(self, reason: Any) -> None:
        self.process.exit(self.process.pid, to_term(reason))

    def do_send(self, other: str, what: Any) -> None:
        self.process.send(self.board.pids[other], to_term(what))

    def do_send_name(self, name: str, what: Any) -> Atom:
        self.process.send(name, to_term(what))
        return Atom("sent")

    def do_register(self, name: str, other: str) -> Any:
        try:
            self.process.register(name, self.board.pids[other])
        except NameTaken:
            return BADARG
        except ExitError as error:
            return error.reason
        return True

    def do_unregister(self, name: str) -> bool:
        return self.process.unregister(name)

    def do_whereis(self, name: str) -> Any:
        return self.process.whereis(name) or UNDEFINED

    def do_alive(self, other: str) -> bool:
        return self.board.pids[other] in self.board.runtime.kernel.table.by_pid

    def do_alias(self, name: str) -> None:
        self.board.aliases[name] = self.process.alias()

    def do_unalias(self, name: str) -> bool:
        return self.process.unalias(self.board.aliases[name])

    def do_send_alias(self, name: str, what: Any) -> None:
        self.process.send(self.board.aliases[name], to_term(what))

    def do_spawn(self, name: str, link: bool = False) -> None:
        self.board.call_it(name, self.process.spawn(obey, self.board, name, link=link))

    def do_spawn_link(self, name: str) -> None:
        self.do_spawn(name, link=True)

    def do_spawn_monitor(self, name: str) -> None:
        self.do_spawn(name)
        self.do_monitor(name)


async def obey(process: Process, board: Board, name: str) -> None:
    await Obedient(process, board, name).obey()


async def step(driver: Process, board: Board, data: Any) -> None:
    match data:
        case ("spawn", names):
            for name in names:
                pid = driver.spawn(obey, board, name)
                board.call_it(name, pid)
                driver.monitor(pid)
        case ("do", name, operations):
            driver.send(board.pids[name], ("do", operations))


@pytest.fixture(scope="session")
def otp_processes(
    erlang_code: Path, otp_release: int, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Log]:
    scenarios = [scenario for group in PROCESSES.values() for scenario in group]
    if otp_release < 24:
        scenarios = [scenario for scenario in scenarios if not has_aliases(scenario)]
    return play_under_otp(erlang_code, tmp_path_factory.mktemp("twins"), scenarios)


def has_aliases(scenario: Scenario) -> bool:
    return "alias'" in repr(scenario.steps)


@pytest.mark.parametrize("group", PROCESSES)
async def test_processes_do_what_those_of_otp_do(
    otp_processes: dict[str, Log], group: str, otp_release: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "otp_behaviors")
    found: list[str] = []
    scenarios = [each for each in PROCESSES[group] if otp_release >= 24 or not has_aliases(each)]
    if not scenarios:
        pytest.skip("OTP 24 was the first to have aliases")
    for scenario in scenarios:
        ours = await play_with_ours(scenario, step)
        found += differences(scenario, otp_processes[scenario.id], ours)
    assert not found, "\n".join(found)
