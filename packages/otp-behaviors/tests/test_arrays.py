"""Messages that cannot be compared, as arrays of numpy: no behavior asks whether one is an atom by `==`."""

from typing import Any

import anyio
import pytest
from etf_codec import Atom
from otp_behaviors import (
    Call,
    Child,
    Event,
    EventHandler,
    GenEvent,
    GenServer,
    GenStatem,
    Info,
    LocalRuntime,
    NoProcess,
    Process,
    Stop,
    Supervisor,
    gen_event,
    sys,
)

pytestmark = pytest.mark.anyio


class Array:
    """Compares item by item, as arrays do; what comes of that is neither true nor false."""

    def __eq__(self, other: object) -> Any:
        return self

    def __ne__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")


ARRAY = Array()
PAIR: Any = (ARRAY, ARRAY)
MESSAGES: list[Any] = [ARRAY, PAIR, (ARRAY, ARRAY, ARRAY), (1, PAIR, ARRAY), (1, PAIR, PAIR)]


class Server(GenServer):
    def init(self) -> None:
        self.got: list[Any] = []

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.got if request is not ARRAY else "array"

    def handle_cast(self, message: Any) -> None:
        self.got.append(message)

    def handle_info(self, message: Any) -> None:
        self.got.append(message)


class Machine(GenStatem):
    def init(self) -> None:
        self.got: list[Any] = []
        self.next_state(Atom("only"))

    def handle_event(self, event: Event, state: Any) -> None:
        match event:
            case Call(caller, _):
                self.reply(caller, self.got)
            case Info(content):
                self.got.append(content)


class Handler(EventHandler):
    def init(self, args: Any) -> None:
        self.got: list[Any] = []

    def handle_event(self, event: Any) -> None:
        self.got.append(event)

    def handle_call(self, request: Any) -> Any:
        return self.got

    def handle_info(self, message: Any) -> None:
        self.got.append(message)


@pytest.mark.parametrize("traced", [False, True], ids=["", "traced"])
async def test_every_behavior_takes_them(runtime: LocalRuntime, traced: bool) -> None:
    server, machine = await runtime.start(Server), await runtime.start(Machine)
    manager = await runtime.start(GenEvent)
    await gen_event.add_handler(runtime, manager, Handler)
    tree = await runtime.start(Supervisor(Child(Server, name="child")))
    for behavior in (server, machine, manager, tree):
        if traced:
            await sys.log(runtime, behavior, True)
        for message in MESSAGES:
            await behavior.send(message)
    for got in (
        await server.call("got"),
        await machine.call("got"),
        await gen_event.call(runtime, manager, Handler, "got"),
    ):
        assert [id(message) for message in got] == list(map(id, MESSAGES))
    assert len(await tree.call(Atom("which_children"))) == 1


async def test_requests_and_events_may_be_such(runtime: LocalRuntime) -> None:
    server, manager = await runtime.start(Server), await runtime.start(GenEvent)
    await gen_event.add_handler(runtime, manager, Handler)
    assert await server.call(ARRAY) == "array"
    await server.cast(ARRAY)
    await runtime.notify(manager, ARRAY)
    await gen_event.sync_notify(runtime, manager, PAIR)
    first, second = await gen_event.call(runtime, manager, Handler, ARRAY)
    assert first is ARRAY
    assert second is PAIR
    assert (await server.call("got"))[0] is ARRAY


async def test_an_end_may_have_such_a_reason(runtime: LocalRuntime) -> None:
    class Ending(GenServer):
        def handle_cast(self, message: Any) -> None:
            raise Stop(message)

    for reason in MESSAGES:
        server = await runtime.start(Ending)
        watch = server.monitor()
        await server.cast(reason)
        assert (await watch).reason is reason
        with pytest.raises(NoProcess):
            await server.call(1)
        other = await runtime.start(Server)
        await other.stop(reason)


async def test_a_process_receives_them(runtime: LocalRuntime) -> None:
    got: list[Any] = []

    async def receiver(self: Process) -> None:
        got.extend([await self.receive() for _ in MESSAGES])

    watch = runtime.monitor(pid := runtime.spawn(receiver))
    for message in MESSAGES:
        await runtime.send(pid, message)
    with anyio.fail_after(5):
        await watch
    assert list(map(id, got)) == list(map(id, MESSAGES))
