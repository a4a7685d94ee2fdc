"""A GenStatem of ours as Erlang sees it: called, cast, looked into and stopped from another node."""

from typing import Any

import anyio
import pytest
from ergo_node import Node
from erlang_peer import StartErl
from etf_codec import Atom
from otp_behaviors import (
    Call,
    Cast,
    Enter,
    Event,
    GenStatem,
    RemoteName,
    StateTimeout,
    state_function,
)

pytestmark = pytest.mark.anyio

PY, ERL = "py@127.0.0.1", "erl@127.0.0.1"
DOOR = f"{{door, '{PY}'}}"
LOCKED, OPEN = Atom("locked"), Atom("open")


class Door(GenStatem):
    state_enter = True

    def init(self) -> None:
        self.entered = 0
        self.lock = object()
        self.next_state(LOCKED)

    @state_function
    def locked(self, event: Event) -> None:
        match event:
            case Enter():
                self.entered += 1
            case Cast((Atom("key"), patience)):
                self.set_state_timeout(patience, Atom("lock"))
                self.next_state(OPEN)
            case Call():
                self.postpone()
            case _:
                self.unhandled(event)

    @state_function
    async def open(self, event: Event) -> None:
        match event:
            case Call(caller, Atom("enter")):
                self.reply(caller, Atom("come_in"))
            case StateTimeout():
                self.next_state(LOCKED)
            case Enter():
                pass
            case _:
                self.unhandled(event)


async def test_erlang_waits_in_front_of_a_door_of_ours(start_erl: StartErl, node: Node) -> None:
    door = await node.start(Door, name="door")
    erl = await start_erl(ERL)
    knock = f"Self = self(), spawn(fun() -> Self ! {{door, gen_statem:call({DOOR}, enter)}} end), ok"
    assert await erl.eval(knock) == Atom("ok")
    assert await erl.eval(f"gen_statem:cast({DOOR}, {{key, 1000}})") == Atom("ok")
    assert await erl.eval("receive {door, Answer} -> Answer after 5000 -> nobody end") == Atom("come_in")
    assert await door.call(Atom("enter")) == Atom("come_in")


async def test_erlang_looks_into_a_state_machine_of_ours(
    start_erl: StartErl, node: Node, otp_release: int
) -> None:
    await node.start(Door, name="door")
    erl = await start_erl(ERL)
    answer = "{State, Data}" if otp_release >= 26 else "{ok, {State, Data}}"
    shown = "[State, maps:get(entered, Data), is_binary(maps:get(lock, Data))]"
    assert await erl.eval(f"{answer} = sys:get_state({DOOR}), {shown}") == [LOCKED, 1, True]
    parts = "{status, _, {module, M}, [_, S, _, _, [_, {data, D} | _]]}"
    module, running, data = await erl.eval(f"{parts} = sys:get_status({DOOR}), [M, S, D]")
    assert (module, running) == (Atom("gen_statem"), Atom("running"))
    keys = ["Status", "Parent", "Modules", "Time-outs", "Logged Events", "Postponed"]
    assert ["".join(map(chr, key)) for key, _ in data] == keys
    assert await erl.eval(f"sys:log({DOOR}, true)") == Atom("ok")
    assert await erl.eval(f"gen_statem:cast({DOOR}, {{key, 0}})") == Atom("ok")
    events = f"{{ok, Events}} = sys:log({DOOR}, get), Events"
    assert await erl.eval(events) == [
        (Atom("in"), (Atom("cast"), (Atom("key"), 0)), LOCKED),
        (Atom("consume"), (Atom("cast"), (Atom("key"), 0)), LOCKED, OPEN),
        (Atom("start_timer"), (Atom("state_timeout"), 0, Atom("lock"), []), OPEN),
        (Atom("in"), (Atom("state_timeout"), Atom("lock")), OPEN),
        (Atom("consume"), (Atom("state_timeout"), Atom("lock")), OPEN, LOCKED),
    ]


async def test_an_event_without_a_clause_ends_a_machine_of_ours(start_erl: StartErl, node: Node) -> None:
    door = await node.start(Door, name="door")
    watch = door.monitor()
    erl = await start_erl(ERL)
    assert await erl.eval(f"gen_statem:cast({DOOR}, kick)") == Atom("ok")
    assert (await watch).reason == (Atom("bad_event"), LOCKED, (Atom("cast"), Atom("kick")))


async def test_erlang_stops_a_state_machine_of_ours(start_erl: StartErl, node: Node) -> None:
    door = await node.start(Door, name="door")
    watch = door.monitor()
    erl = await start_erl(ERL)
    assert await erl.eval(f"gen_statem:stop({DOOR}, shutdown, 5000)") == Atom("ok")
    assert (await watch).reason == Atom("shutdown")


async def test_we_wait_in_front_of_a_door_of_theirs(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    assert await erl.eval("element(1, gen_statem:start({local, latch}, latch, [], []))") == Atom("ok")
    latch = RemoteName("latch", ERL)
    answers: list[Any] = []

    async def enter() -> None:
        answers.append(await node.call(latch, Atom("enter")))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(enter)
        await node.cast(latch, Atom("lift"))
    assert answers == [(Atom("come_in"), 1)]
