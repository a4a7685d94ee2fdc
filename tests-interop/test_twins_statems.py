"""The same state machines under OTP and under otp_behaviors: every event, and all that may come of it."""

from collections import Counter
from functools import partial
from pathlib import Path
from types import CoroutineType
from typing import Any, Final

import pytest
import twin_clients as clients
from anyio.lowlevel import checkpoint
from etf_codec import Atom
from otp_behaviors import (
    NO_REPLY,
    Call,
    Caller,
    Cast,
    Enter,
    Event,
    EventTimeout,
    ExitError,
    GenStatem,
    Ignore,
    Info,
    Internal,
    Process,
    StateTimeout,
    Stop,
    Timeout,
    state_function,
    sys,
)
from twin_logs import Board, Log, differences, plain, play_under_otp, play_with_ours, to_term
from twin_statems import ODD_STATES, STATEMS

pytestmark = pytest.mark.anyio

CRASH: Final = RuntimeError("crash")
NEVER: Final = Atom("never")


class Machine(GenStatem):
    """What `twin_statem.erl` is in Erlang: an event says what happens when it is handled, by states."""

    board: Board
    plan: dict[str, Any]
    entered: Counter[str]
    caller: Caller | None = None
    answered: tuple[Caller, ...] = ()
    event: Event | None = None

    def init(self, board: Board, plan: dict[str, Any]) -> Any:
        self.board, self.plan = board, plan
        self.entered = Counter()
        self.trap_exit = plan["trap"]
        board.call_it("server", self.pid)
        board.event("server", "init")
        return self.carry_out(plan["init"])

    def handle(self, event: Event, state: Any) -> Any:
        type_, content = event.term
        if isinstance(event, Enter):
            acts = self.entering(plain(state, {}))
        else:
            self.event = event
            content, acts = self.program(content, plain(state, {}))
        if isinstance(event, Call):
            type_, self.caller = Atom("call"), event.caller
        self.board.event("server", (type_, content, state))
        return self.carry_out(acts)

    def terminate(self, reason: Any) -> Any:
        self.board.event("server", ("terminate", reason, self.state))
        match self.plan["stop"]:
            case ("slow", milliseconds):
                return self.linger(milliseconds / 1000)
            case "ok":
                return None
            case how:
                return self.carry_out([how])

    async def linger(self, seconds: float) -> None:
        await self.idle(seconds)
        self.board.event("server", "terminated")

    async def idle(self, seconds: float) -> None:
        with pytest.raises(TimeoutError):
            await self.receive(lambda message: message is NEVER, seconds)

    def entering(self, state: Any) -> list[Any]:
        """What the state does when it is entered: the first time, the second time, and so on."""
        acts: list[list[Any]] = self.plan["enter"].get(state, [])
        self.entered[state] += 1
        return acts[self.entered[state] - 1] if self.entered[state] <= len(acts) else []

    def program(self, content: Any, state: Any) -> tuple[Any, list[Any]]:
        match content:
            case ("do", (label, cases)):
                by_state: dict[Any, list[Any]] = dict(cases)
                return label, by_state[state if state in by_state else "_"]
        return content, []

    def carry_out(self, acts: list[Any]) -> Any:
        for place, act in enumerate(acts):
            match act:
                case ("sleep", milliseconds):
                    return self.carry_out_later(milliseconds / 1000, acts[place + 1 :])
                case ("return", value):
                    return to_term(value)
            self.act(act)
        return None

    async def carry_out_later(self, seconds: float, acts: list[Any]) -> Any:
        await self.idle(seconds)
        return await finished(self.carry_out(acts))

    def act(self, act: Any) -> None:
        match act:
            case ("note", what):
                self.board.event("server", ("note", what))
            case ("send_self", message):
                self.send(self.pid, to_term(message))
            case ("cast_self", program):
                self.cast(self.pid, ("do", program))
            case ("trap", flag):
                self.trap_exit = flag
            case ("exit", reason):
                raise ExitError(to_term(reason))
            case "crash":
                raise CRASH
            case "ignore":
                raise Ignore
            case ("reply" | "reply_now", value):
                self.answer(value)
            case ("stop", reason):
                raise Stop(to_term(reason))
            case ("stop_and_reply", reason, value):
                if isinstance(self.event, Call) and self.event.caller not in self.answered:
                    raise Stop(to_term(reason), reply=to_term(value))
                self.answer(value)
                raise Stop(to_term(reason), reply=NO_REPLY)
            case _:
                self.change(act)

    def change(self, act: Any) -> None:
        match act:
            case ("next_state", state):
                self.next_state(to_term(state))
            case "repeat_state":
                self.repeat_state()
            case "postpone":
                self.postpone()
            case "hibernate":
                self.hibernate()
            case ("next_event", type_, program):
                self.next_event(self.inserted(type_, ("do", program)))
            case ("event_timeout", "cancel"):
                self.set_event_timeout(None)
            case ("event_timeout", milliseconds, program):
                self.set_event_timeout(milliseconds / 1000, ("do", program))
            case ("state_timeout", "cancel"):
                self.set_state_timeout(None)
            case ("state_timeout", milliseconds, program):
                self.set_state_timeout(milliseconds / 1000, ("do", program))
            case ("timeout", name, "cancel"):
                self.set_timeout(to_term(name), None)
            case ("timeout", name, milliseconds, program):
                self.set_timeout(to_term(name), milliseconds / 1000, ("do", program))

    def answer(self, value: Any) -> None:
        """Answer the last call, once."""
        if self.caller is not None and self.caller not in self.answered:
            self.answered = (*self.answered, self.caller)
            self.reply(self.caller, to_term(value))

    def inserted(self, type_: Any, content: Any) -> Event:
        match type_:
            case "call":
                assert self.caller is not None
                return Call(self.caller, content)
            case ("timeout", name):
                return Timeout(to_term(name), content)
        return INSERTED[type_](content)


INSERTED: Final[dict[str, type[Cast | Info | Internal | EventTimeout | StateTimeout]]] = {
    "cast": Cast,
    "info": Info,
    "internal": Internal,
    "timeout": EventTimeout,
    "state_timeout": StateTimeout,
}


class HandleEvent(Machine):
    """The machine with one function for all states."""

    def handle_event(self, event: Event, state: Any) -> Any:
        return self.handle(event, state)


class StateFunctions(Machine):
    """The machine with a function for each state; each callback waits before it does anything."""

    async def init(self, board: Board, plan: dict[str, Any]) -> None:
        await checkpoint()
        await finished(super().init(board, plan))

    @state_function
    async def a(self, event: Event) -> Any:
        await checkpoint()
        return await finished(self.handle(event, Atom("a")))

    @state_function
    async def b(self, event: Event) -> Any:
        await checkpoint()
        return await finished(self.handle(event, Atom("b")))

    @state_function
    async def c(self, event: Event) -> Any:
        await checkpoint()
        return await finished(self.handle(event, Atom("c")))

    async def terminate(self, reason: Any) -> None:
        await checkpoint()
        await finished(super().terminate(reason))


async def finished(result: Any) -> Any:
    """What a callback returns that may be a coroutine."""
    return await result if isinstance(result, CoroutineType) else result


class Clients(clients.Clients):
    """The processes around the machine, and who looks into it."""

    async def step(self, driver: Process, board: Board, data: Any) -> None:
        match data:
            case ("sys", request):
                try:
                    answer = await self.ask(driver, request)
                except ExitError:
                    answer = Atom("gone")
                board.event("driver", ("sys", answer))
            case _:
                await super().step(driver, board, data)

    async def ask(self, driver: Process, request: Any) -> Any:
        match request:
            case "suspend":
                await sys.suspend(driver, "server")
            case "resume":
                await sys.resume(driver, "server")
            case "state":
                return (await sys.get_state(driver, "server"))[0]
            case ("state", state):
                function = partial(with_state, to_term(state))
                return (await sys.replace_state(driver, "server", function))[0]
            case ("log", size):
                await sys.log(driver, "server", size)
            case "log":
                return await sys.get_log(driver, "server")
            case "waiting":
                return waiting(await sys.get_status(driver, "server"))
        return Atom("ok")


def with_state(state: Any, state_and_data: Any) -> Any:
    return (state, state_and_data[1])


def waiting(status: Any) -> Any:
    """What a status says of timeouts, of which only the types are compared, and of postponed events."""
    (facts, *_) = (facts for kind, facts in status[3][4] if kind == Atom("data"))
    by_name = {bytes(name): value for name, value in facts}
    types = [plain(type_, {}) for type_, _ in by_name[b"Time-outs"][1]]
    return (sorted(types, key=lambda type_: (isinstance(type_, tuple), type_)), by_name[b"Postponed"])


@pytest.fixture(scope="session")
def otp_statems(erlang_code: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Log]:
    scenarios = [scenario for group in STATEMS.values() for scenario in group]
    return play_under_otp(erlang_code, tmp_path_factory.mktemp("twins"), scenarios)


GROUPS: Final = [
    (machine, group)
    for machine in (HandleEvent, StateFunctions)
    for group in STATEMS
    if machine is not StateFunctions or group not in ODD_STATES
]


@pytest.mark.parametrize(("machine", "group"), GROUPS)
async def test_state_machines_do_what_those_of_otp_do(
    otp_statems: dict[str, Log], group: str, machine: type[Machine], caplog: pytest.LogCaptureFixture
) -> None:
    def with_plan(plan: Any) -> type[Machine]:
        machine.state_enter = plan["enter"] != "none"  # Only one machine plays at a time.
        return machine

    caplog.set_level("CRITICAL", "otp_behaviors")
    found: list[str] = []
    for scenario in STATEMS[group]:
        ours = await play_with_ours(scenario, Clients(with_plan).step)
        found += differences(scenario, otp_statems[scenario.id], ours)
    assert not found, "\n".join(found)
