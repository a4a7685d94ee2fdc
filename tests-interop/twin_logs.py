"""Logs of twin scenarios: how OTP's are made, how ours are kept, and the form in which both are compared.

A log is a list of steps, a step a list of events `(who, what)`. Before logs are compared, processes are
replaced by their names and crashes by the word `crash`: stack traces differ, their place does not.
"""

import os
import random
import struct
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import anyio
import anyio.lowlevel
from etf_codec import Atom, ImproperList, Pid, Reference, Term, decode, encode
from otp_behaviors import KILL, Effect, ExitError, LocalRuntime, Process, SupervisorReport

OTP_DEADLINE: Final = 120.0
SCENARIO_DEADLINE: Final = 20.0
QUIET_ROUNDS: Final = 8
"""Rounds of the event loop without any change after which every task waits: more than a wake-up takes."""

REASONS: Final = ("normal", "shutdown", ("shutdown", "moved"), "boom")

BAD_RETURNS: Final = (
    "bad_return_from_init",
    "bad_return_from_state_function",
    "bad_state_enter_return_from_state_function",
    "bad_state_enter_action_from_state_function",
)

Event = tuple[str, Any]
Log = list[list[Event]]


class Scenario(NamedTuple):
    """What is played on both sides.

    `steps` are data for `twins.erl` and for the test of the family, strings standing for atoms. In an
    `unordered` scenario OTP orders events of one process, but not those of different ones.
    """

    id: str
    family: str
    steps: Sequence[Any]
    unordered: bool = False
    fatal: bool = False  # takes an OTP node down, so it is played in a node of its own


def label(*parts: Any) -> str:
    return "/".join("_".join(map(str, part)) if isinstance(part, tuple) else str(part) for part in parts)


def to_term(value: Any) -> Term:
    """Data of a scenario as a term: strings are atoms."""
    match value:
        case str():
            return Atom(value)
        case tuple():
            return tuple(map(to_term, value))
        case list():
            return list(map(to_term, value))
        case dict():
            return {to_term(key): to_term(item) for key, item in value.items()}
    number: Term = value
    return number


def plain(term: Any, names: Mapping[Pid, str]) -> Any:
    """A term in the form that is compared."""
    match term:
        case Atom():
            return str(term)
        case Pid():
            return names.get(term, "pid")
        case Reference() | ImproperList():
            return "ref"  # The tag of a call has an alias in it where it may cross nodes.
        case ("children" | Atom("children"), rows):
            return "children", [plain(row[:3], names) for row in rows]
        case ((Atom(name), _), list()) | (Atom(name), _) if name in BAD_RETURNS:
            return name  # What was returned differs by nature, and ours comes without a stack trace.
        case (_, [(Atom(), Atom(), _, list()), *_]):
            return "crash"
        case (Atom(), Atom("start" | "start_phase") as function, list()):
            return str(function)  # Of what, with what arguments, differs by nature.
        case (Atom("start_child"), _):
            return "start_child"
        case tuple():
            return tuple(plain(item, names) for item in term)
        case list():
            return [plain(item, names) for item in term]
    return term


PER_GROUP: Final = 60
"""Scenarios played of each group; ERGO_ALL_TWINS=1 plays every one, which takes twice the time."""


def chosen(scenarios: Iterable[Scenario]) -> list[Scenario]:
    """The scenarios of a group that are played: always the same ones."""
    every = list(scenarios)
    if len(every) <= PER_GROUP or os.environ.get("ERGO_ALL_TWINS") == "1":
        return every
    return random.Random(len(every)).sample(every, PER_GROUP)


# OTP's side


def play_under_otp(code: Path, folder: Path, scenarios: Sequence[Scenario]) -> dict[str, Log]:
    """Play scenarios in one `erl`, or in several for those that end it, and return their logs by id."""
    calm = [scenario for scenario in scenarios if not scenario.fatal]
    groups = [calm] + [[scenario] for scenario in scenarios if scenario.fatal]
    nodes = [
        start_otp(code, folder / f"{number}.in", folder / f"{number}.out", group)
        for number, group in enumerate(groups)
    ]
    logs: dict[str, Log] = {}
    for number, node in enumerate(nodes):
        try:
            output, _ = node.communicate(timeout=OTP_DEADLINE)
        finally:
            node.kill()
        assert (node.returncode == 0) == (number == 0), f"{groups[number][0].id}: {output}"
        logs |= read_logs((folder / f"{number}.out").read_bytes())
    return {
        scenario.id: arranged(logs[scenario.id], scenario.unordered)
        for scenario in scenarios
        if scenario.id in logs
    }


def start_otp(code: Path, source: Path, log: Path, scenarios: Sequence[Scenario]) -> "subprocess.Popen[str]":
    data = [to_term((scenario.id, scenario.family, list(scenario.steps))) for scenario in scenarios]
    source.write_bytes(encode(data))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ERL_")}
    # One scheduler: what happens in OTP then happens in one order. `processes()`, which tells when a step is
    # over, goes through the whole table of processes: a small one makes the tests five times as fast.
    command = [
        "erl",
        "-noshell",
        "+S",
        "1",
        "+P",
        "1024",
        "-kernel",
        "logger_level",
        "error",
        "-kernel",
        "logger",
        "[{handler,default,undefined}]",
        "-pa",
        str(code),
    ]
    command += ["-s", "twins", "main", "-extra", str(source), str(log)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**environment, "HOME": str(code), "ERL_CRASH_DUMP_SECONDS": "0"},
    )


def read_logs(data: bytes) -> dict[str, Log]:
    logs: dict[str, Log] = {}
    names: dict[Pid, str] = {}
    raw: list[list[tuple[Any, Any]]] = []
    id = ""
    for record in records(data):
        match record:
            case (Atom("scenario"), name):
                id, raw, names = str(name), [], {}
            case (Atom("step"), _):
                raw.append([])
            case Atom("over"):
                logs[id] = named(raw, names)
            case (Atom("event"), who, what) if id not in logs:
                raw[-1].append((who, what))
            case (Atom("name"), pid, name):
                names[pid] = str(name)
    if id not in logs:  # It took the node down.
        logs[id] = named(raw, names)
    return logs


def named(raw: Sequence[Sequence[tuple[Any, Any]]], names: Mapping[Pid, str]) -> Log:
    return [[(str(who), plain(what, names)) for who, what in step] for step in raw]


def records(data: bytes) -> Iterator[Any]:
    offset = 0
    while offset < len(data):
        (size,) = struct.unpack_from(">I", data, offset)
        yield decode(data[offset + 4 : offset + 4 + size])
        offset += 4 + size


def arranged(log: Log, unordered: bool) -> Log:
    """The log in which two sides agree: in an unordered scenario each process for itself.

    The driver gets messages from all processes, whose order among each other is left to chance.
    """
    log = [sorted(step, key=is_report) for step in log]
    if not unordered:
        return log
    return [sorted(map(without_order, step), key=place) for step in log]


def is_report(event: Event) -> bool:
    """Reports leave the kernel after what happened: they are compared in their own order."""
    return isinstance(event[1], tuple) and event[1][0] == "report"


def place(event: Event) -> tuple[str, str]:
    who, what = event
    return (who, repr(what) if who == "driver" else "")


def without_order(event: Event) -> Event:
    match event:
        case (who, ("children", rows)):
            return (who, ("children", sorted(rows)))
    return event


# Our side


class Board:
    """What the processes of one scenario share: the log, names, and how often each was started."""

    def __init__(self, runtime: LocalRuntime) -> None:
        self.runtime = runtime
        self.raw: list[list[tuple[str, Any]]] = []
        self.over = False
        self.names: dict[Pid, str] = {}
        self.pids: dict[str, Pid] = {}
        self.aliases: dict[str, Reference] = {}
        self.starts: Counter[str] = Counter()
        self.supervisors: set[str] = set()

    def event(self, who: str, what: Any) -> None:
        if not self.over:
            self.raw[-1].append((who, what))

    def call_it(self, name: str, pid: Pid) -> None:
        self.names[pid] = name
        self.pids[name] = pid

    def find_supervisors(self) -> None:
        for name in self.supervisors:
            pid = self.runtime.whereis(name)
            if pid is not None:
                self.call_it(name, pid)

    @property
    def events(self) -> int:
        return sum(map(len, self.raw))

    async def quiet(self) -> None:
        """Wait until every task and process waits."""
        kernel = self.runtime.kernel
        rounds, before = 0, (-1, -1, -1)
        while rounds < QUIET_ROUNDS:
            await anyio.lowlevel.checkpoint()
            now = (kernel.reductions, self.events, len(kernel.table.by_pid))
            rounds = rounds + 1 if now == before and kernel.idle else 0
            before = now

    async def settle(self) -> None:
        """Wait until the step is over: all wait, and every supervisor has answered a call."""
        await self.quiet()
        before = self.events
        for name in self.supervisors:
            await self.ask(name, Atom("which_children"))
        await self.quiet()
        if self.events != before:
            await self.settle()

    async def ask(self, supervisor: str, request: Term) -> Any:
        try:
            return await self.runtime.call(supervisor, request, timeout=None)
        except ExitError as error:
            return (Atom("exit"), error.reason)

    async def until(self, events: int) -> None:
        with anyio.fail_after(SCENARIO_DEADLINE):
            while self.events < events:  # noqa: ASYNC110 (events are plain data, made by any process)
                await anyio.sleep(0.001)

    def clear(self) -> None:
        """Kill what the scenario has left, supervisors first: some of it would not stop for the runtime."""
        for pid in sorted(self.names, key=lambda pid: self.names[pid] not in self.supervisors):
            self.runtime.exit(pid, KILL)

    def log(self, unordered: bool) -> Log:
        self.find_supervisors()
        return arranged(named(self.raw, self.names), unordered)


Play = Callable[[Process, Board, Any], Any]


class ReportingRuntime(LocalRuntime):
    """A runtime that adds what supervisors report to a log."""

    board: Board

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, SupervisorReport):
            what = (Atom("report"), Atom(effect.context), effect.child, effect.reason)
            self.board.event(str(effect.name), what)
        else:
            super()._carry_out(effect)


async def play_with_ours(scenario: Scenario, step: Play, show: Callable[[Board], Any] | None = None) -> Log:
    """Play a scenario in a runtime of its own: `step(driver, board, step)` carries out one step."""
    with anyio.fail_after(SCENARIO_DEADLINE):
        async with ReportingRuntime(shutdown=1) as runtime:
            board = runtime.board = Board(runtime)
            runtime.spawn(drive, board, scenario, step, show, name="driver")
            await runtime.monitor("driver")
            board.clear()
    return board.log(scenario.unordered)


async def drive(
    driver: Process, board: Board, scenario: Scenario, step: Play, show: Callable[[Board], Any] | None
) -> None:
    driver.trap_exit = True
    for data in scenario.steps:
        board.raw.append([])
        match data:
            case ("until", count, inner):
                goal = board.events + count
                await step(driver, board, inner)
                await board.until(goal)
            case _:
                await step(driver, board, data)
        await board.settle()
        await drain(driver, board)
        board.find_supervisors()
        if show is not None:
            await show(board)
    board.over = True


async def drain(driver: Process, board: Board) -> None:
    while True:
        try:
            board.event("driver", await driver.receive(timeout=0))
        except TimeoutError:
            return


def differences(scenario: Scenario, otp: Log, ours: Log) -> list[str]:
    """The first step in which two logs differ, for a person to read."""
    for number in range(max(len(otp), len(ours))):
        theirs, mine = (log[number] if number < len(log) else [] for log in (otp, ours))
        if theirs != mine:
            return [
                f"{scenario.id}: step {number}: {scenario.steps[number]}",
                *(f"    {'both' if event in mine else 'OTP '} {event}" for event in theirs),
                *(f"    ours {event}" for event in mine if event not in theirs),
                *(
                    f"    ours, in order {event}"
                    for event in mine
                    if sorted(theirs, key=repr) == sorted(mine, key=repr)
                ),
            ]
    return []
