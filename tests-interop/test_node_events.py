"""Event managers across nodes: Erlang at one of ours, and ours at those of Erlang."""

from typing import Any

import anyio
import pytest
from ergo_node import Node
from erlang_peer import StartErl
from etf_codec import Atom, EncodeError
from otp_behaviors import (
    EventHandler,
    Exit,
    ExitError,
    GenEvent,
    NoConnection,
    NoProcess,
    Process,
    RemoteName,
    gen_event,
    sys,
)

pytestmark = pytest.mark.anyio

PY, ERL = "py@127.0.0.1", "erl@127.0.0.1"
EVENTS = f"{{events, '{PY}'}}"
OK, GET = Atom("ok"), Atom("get")


class Counter(EventHandler):
    module = "counter"

    def init(self, args: Any) -> None:
        self.count = args
        self.secret = object()

    async def handle_event(self, event: Any) -> None:
        self.count += event

    def handle_call(self, request: Any) -> Any:
        return self.count

    def terminate(self, argument: Any) -> Any:
        return (argument, self.count)


class Events(GenEvent):
    handlers = (Counter,)


async def test_erlang_uses_a_manager_of_ours(start_erl: StartErl, node: Node) -> None:
    await node.start(Events, name="events")
    erl = await start_erl(ERL)
    assert await erl.eval(f"gen_event:add_handler({EVENTS}, counter, 1)") == OK
    assert await erl.eval(f"gen_event:add_handler({EVENTS}, {{counter, 2}}, 10)") == OK
    assert await erl.eval(f"gen_event:notify({EVENTS}, 5)") == OK
    assert await erl.eval(f"gen_event:sync_notify({EVENTS}, 5)") == OK
    assert await erl.eval(f"gen_event:call({EVENTS}, counter, get)") == 11
    assert await erl.eval(f"gen_event:call({EVENTS}, {{counter, 2}}, get, 1000)") == 20
    assert await erl.eval(f"gen_event:call({EVENTS}, nobody, get)") == (Atom("error"), Atom("bad_module"))
    handlers = f"gen_event:which_handlers({EVENTS})"
    assert await erl.eval(handlers) == [(Atom("counter"), 2), Atom("counter")]
    swap = f"gen_event:swap_handler({EVENTS}, {{counter, away}}, {{{{counter, 3}}, 100}})"
    # The handler's `init` is to add up the pair that it gets, which fails at the next event.
    assert await erl.eval(swap) == OK
    assert await erl.eval(f"gen_event:call({EVENTS}, {{counter, 3}}, get)") == (100, (Atom("away"), 11))
    assert await erl.eval(f"gen_event:sync_notify({EVENTS}, 5)") == OK
    assert await erl.eval(handlers) == [(Atom("counter"), 2)]
    assert await erl.eval(f"gen_event:delete_handler({EVENTS}, {{counter, 2}}, bye)") == (Atom("bye"), 25)
    undefined = f"{{'EXIT', {{undef, _}}}} = gen_event:add_handler({EVENTS}, os, [])"
    assert await erl.eval(f"{undefined}, ok") == OK
    assert await erl.eval(f"gen_event:stop({EVENTS})") == OK
    gone = f"catch gen_event:which_handlers({EVENTS})"
    assert await erl.eval(f"{{'EXIT', _}} = ({gone}), ok") == OK


async def test_a_process_of_erlang_supervises_its_handler_here(start_erl: StartErl, node: Node) -> None:
    manager = await node.start(Events, name="events")
    erl = await start_erl(ERL)
    guard = f"""
        Self = self(),
        Guard = spawn(fun() ->
            Self ! {{added, gen_event:add_sup_handler({EVENTS}, counter, 0)}},
            receive {{gen_event_EXIT, counter, Why}} -> Self ! {{gone, Why}} end,
            Self ! {{added, gen_event:add_sup_handler({EVENTS}, counter, 0)}},
            receive stop -> exit(enough) end
        end),
        register(guard, Guard),
        receive {{added, ok}} -> ok end
    """
    assert await erl.eval(guard) == OK
    assert await gen_event.which_handlers(node, manager) == [Atom("counter")]
    assert await gen_event.delete_handler(node, manager, Counter, "why") == ("why", 0)
    assert await erl.eval("receive {gone, Why} -> Why after 5000 -> nothing end") == Atom("normal")
    assert await erl.eval("receive {added, Again} -> Again after 5000 -> nothing end") == OK
    assert await erl.eval("monitor(process, guard), guard ! stop, receive {'DOWN', _, _, _, R} -> R end") == (
        Atom("enough")
    )
    with anyio.fail_after(5):
        while await gen_event.which_handlers(node, manager):
            await anyio.lowlevel.checkpoint()


async def test_erlang_looks_into_a_manager_of_ours(start_erl: StartErl, node: Node, otp_release: int) -> None:
    manager = await node.start(Events, name="events")
    await gen_event.add_handler(node, manager, Counter, 7)
    erl = await start_erl(ERL)
    answer = "[{counter, false, State}]" if otp_release >= 26 else "{ok, [{counter, false, State}]}"
    state = (
        f"{answer} = sys:get_state({EVENTS}), [maps:get(count, State), is_binary(maps:get(secret, State))]"
    )
    assert await erl.eval(state) == [7, True]
    parts = "{status, _, {module, M}, [_, S, _, _, [{header, H}, {data, D}, {items, {I, Handlers}}]]}"
    [module, running, header, log, items, handlers] = await erl.eval(
        f"{parts} = sys:get_status({EVENTS}), "
        '{_, L} = lists:keyfind("Logged Events", 1, D), '
        "Counts = [setelement(4, E, maps:get(count, element(4, E))) || E <- Handlers], "
        "[M, S, H, L, I, Counts]"
    )
    assert (module, running, log) == (Atom("gen_event"), Atom("running"), [])
    assert (bytes(header), bytes(items)) == (b"Status for event handler events", b"Installed handlers")
    assert handlers == [(Atom("handler"), Atom("counter"), False, 7, False)]


async def test_ours_uses_a_manager_of_erlang(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    assert await erl.eval("{ok, _} = gen_event:start({local, events}), ok") == OK
    events = RemoteName("events", ERL)
    told: list[Any] = []

    async def user(self: Process) -> None:
        self.trap_exit = True
        plan = {Atom("log"): self.pid, Atom("name"): Atom("a"), Atom("init"): Atom("keep"), Atom("stop"): 1}
        await gen_event.add_sup_handler(self, events, (Atom("twin_event"), 1), plan)
        told.append(await self.receive())
        self.notify(events, Atom("hello"))
        told.append(await self.receive())
        assert await gen_event.which_handlers(self, events) == [(Atom("twin_event"), 1)]
        with pytest.raises(ExitError):
            await gen_event.add_handler(self, events, Atom("no_such_module"), plan)
        await erl.kill()
        told.append(await self.receive())

    assert Atom("erl_signal_handler") in await gen_event.which_handlers(
        node, RemoteName("erl_signal_server", ERL)
    )
    with anyio.fail_after(20):
        down = await node.monitor(node.spawn(user))
    assert down.reason == Atom("normal")
    log, name = Atom("log"), Atom("a")
    assert told[:2] == [
        (log, name, (Atom("init"), Atom("alone"))),
        (log, name, (Atom("event"), Atom("hello"))),
    ]
    assert isinstance(told[2], Exit)
    assert told[2].reason == Atom("noconnection")
    with pytest.raises(NoConnection):
        await gen_event.sync_notify(node, events, 1)


async def test_a_manager_that_is_not_there(start_erl: StartErl, node: Node) -> None:
    await start_erl(ERL)
    nobody = RemoteName("nobody", ERL)
    with pytest.raises(NoProcess):
        await gen_event.which_handlers(node, nobody)
    await node.notify(nobody, 1)
    with pytest.raises(NoProcess):
        await sys.get_state(node, nobody)
    # A class has no external form: at another node, a handler goes by its name.
    with pytest.raises(EncodeError, match="a type is not a term"):
        await gen_event.add_handler(node, RemoteName("erl_signal_server", ERL), Counter, 1)
    assert Atom("counter") not in await gen_event.which_handlers(node, RemoteName("erl_signal_server", ERL))
