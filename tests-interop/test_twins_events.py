"""The same scenario with an event manager of OTP and with ours: handlers, answers and messages must agree.

A process of ours plays it with either, by the functions of `gen_event`, and writes down what comes of each
step. Afterwards what stands for the same on both sides is called the same: processes, and crashes.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import anyio
import pytest
from ergo_node import Node
from erlang_peer import StartErl
from etf_codec import Atom, Pid
from otp_behaviors import Exit, ExitError, Process, gen_event, sys
from twin_events import HELPERS, AsyncManager, Manager, Steps, acts, ends, starts, walks

pytestmark = pytest.mark.anyio

ERL = "erl@127.0.0.1"
EXIT = Atom("EXIT")
CRASHED = "crashed"


async def helper(process: Process) -> None:
    """Supervises handlers, and tells what it hears of them."""
    process.trap_exit = True
    while True:
        match await process.receive(lambda message: not is_news(message)):
            case (Atom("tell"), Pid() as who):
                process.send(who, (Atom("told"), await heard(process)))
            case (Atom("end"), reason):
                raise ExitError(reason)


async def heard(process: Process) -> list[Any]:
    """All that handlers and managers have sent."""
    messages = []
    while True:
        try:
            messages.append(await process.receive(is_news, timeout=0))
        except TimeoutError:
            return messages


def is_news(message: Any) -> bool:
    return type(message) is Exit or (type(message) is tuple and message[0] in NEWS)


NEWS = (Atom("log"), Atom("gen_event_EXIT"))


class Player:
    """Plays one scenario with one manager."""

    def __init__(self, process: Process, manager: Pid) -> None:
        self.process = process
        self.manager = manager
        self.events: list[Any] = []
        self.names: dict[Pid, str] = {process.pid: "me", manager: "manager"}
        self.helpers: dict[str, Pid] = {}

    def start_helper(self, name: str) -> None:
        self.helpers[name] = pid = self.process.spawn(helper)
        self.names[pid] = name

    async def play(self, steps: Steps) -> list[Any]:
        for name in HELPERS:
            self.start_helper(name)
        for step in steps:
            self.events.append(("step", step))
            try:
                self.events.append(("result", await self.do(*step)))
            except ExitError as error:
                self.events.append(("raised", error.reason))
            await self.settle()
            self.events += await heard(self.process)
            for name, pid in self.helpers.items():
                self.process.send(pid, (Atom("tell"), self.process.pid))
                told = await self.process.receive(lambda message: not is_news(message))
                self.events.append((name, told[1]))
        for pid in self.helpers.values():
            self.process.send(pid, (Atom("end"), Atom("normal")))
        return [self.shown(event) for event in self.events]

    async def do(self, verb: str, *args: Any) -> Any:
        """Do a step; returns what is answered."""
        process, manager = self.process, self.manager
        match verb:
            case "add":
                await gen_event.add_handler(process, manager, handler(args[0]), self.plan(args[1]))
            case "add_sup":
                id, plan, by = args
                who = self.helpers.get(by, process.pid)
                request = (Atom("add_sup_handler"), handler(id), self.plan(plan), who)
                return await process.event_call(manager, request)
            case "no_such":
                await gen_event.add_handler(process, manager, Atom("no_such_handler"), 1)
            case "notify":
                process.notify(manager, self.with_log(args[0]))
            case "info":
                process.send(manager, self.with_log(args[0]))
            case "sync_notify":
                await gen_event.sync_notify(process, manager, self.with_log(args[0]))
            case "call":
                return await gen_event.call(process, manager, args[0], self.with_log(args[1]))
            case "delete":
                return await gen_event.delete_handler(process, manager, *args)
            case "swap":
                old, argument, new, plan = args
                await gen_event.swap_handler(process, manager, (old, argument), (new, self.plan(plan)))
            case "swap_sup":
                old, argument, new, plan = args
                await gen_event.swap_sup_handler(process, manager, (old, argument), (new, self.plan(plan)))
            case "which":
                return await gen_event.which_handlers(process, manager)
            case "modules":
                return await process.event_call(manager, Atom("get_modules"))
            case "state":
                return [state[:2] for state in await sys.get_state(process, manager)]
            case "helper_exit":
                await self.end_helper(*args)
            case "stop":
                ref = process.monitor(manager)
                await sys.terminate(process, manager, args[0])
                return await ended(process, ref)
            case "old_stop":
                return await process.event_call(manager, Atom("stop"))
            case _:
                raise AssertionError(verb)
        return None

    async def end_helper(self, name: str, reason: Any) -> None:
        """One helper ends; another one takes its name."""
        pid = self.helpers[name]
        ref = self.process.monitor(pid)
        self.process.send(pid, (Atom("end"), reason))
        await ended(self.process, ref)
        self.start_helper(name)

    async def settle(self) -> None:
        """Let the manager take what was sent to it, and then what its handlers have sent to it at that."""
        with suppress(ExitError):
            for _ in range(2):
                await gen_event.which_handlers(self.process, self.manager)

    def plan(self, plan: dict[Any, Any]) -> dict[Any, Any]:
        return {**plan, Atom("log"): self.process.pid}

    def with_log(self, term: Any) -> Any:
        """The plans within a message tell this process, too."""
        match term:
            case dict() if Atom("name") in term:
                return self.plan(term)
            case dict():
                return {key: self.with_log(value) for key, value in term.items()}
            case tuple():
                return tuple(map(self.with_log, term))
            case _:
                return term

    def shown(self, term: Any) -> Any:
        """The term without what differs for no reason."""
        match term:
            case Pid():
                return self.names[term]
            case Exit():
                return [EXIT, self.names[term.pid], self.shown(term.reason)]
            case (_, [(Atom(), Atom(), _, [*_]), *_]):
                return CRASHED
            case dict():
                return {key: self.shown(value) for key, value in term.items()}
            case list() | tuple():
                return [self.shown(each) for each in term]
            case _:
                return term


def handler(id: str | None) -> Any:
    module = Atom("twin_event")
    return module if id is None else (module, Atom(id))


async def ended(process: Process, ref: Any) -> Any:
    down = await process.receive(lambda message: getattr(message, "ref", None) == ref, timeout=10)
    return down.reason


async def played(node: Node, manager: Pid, steps: Steps) -> list[Any]:
    """What comes of a scenario."""
    results: list[list[Any]] = []
    done = anyio.Event()

    async def player(process: Process) -> None:
        process.trap_exit = True
        results.append(await Player(process, manager).play(steps))
        done.set()

    pid = node.spawn(player)
    with anyio.fail_after(20):
        down = await node.monitor(pid)
    assert down.reason == Atom("normal"), down.reason
    return results[0]


async def agree(node: Node, start_erl: StartErl, scenarios: Iterator[Steps]) -> None:
    erl = await start_erl(ERL)
    assert await node.connect(ERL)
    count = 0
    for steps in scenarios:
        count += 1
        theirs = await played(node, await erl.eval("twin_event:start()"), steps)
        for manager in (Manager, AsyncManager):
            ours = await played(node, (await node.start(manager)).pid, steps)
            for one, other in zip(theirs, ours, strict=False):
                assert one == other, f"{manager.__name__}: {steps}"
            assert theirs == ours
    assert count > 0


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # The walks are played on trio, too.
@pytest.mark.parametrize("scenarios", [acts, starts, ends], ids=["acts", "starts", "ends"])
async def test_event_handlers_do_what_those_of_otp_do(
    node: Node, start_erl: StartErl, scenarios: Callable[[], Iterator[Steps]]
) -> None:
    await agree(node, start_erl, scenarios())


async def test_long_walks_with_event_handlers(node: Node, start_erl: StartErl) -> None:
    await agree(node, start_erl, walks(150, seed=7))
