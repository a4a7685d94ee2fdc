"""GenEvent: handlers that come and go, with callbacks as `def` and as `async def`; what they may not do."""

import gc
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from etf_codec import Atom
from otp_behaviors import (
    KILL,
    KILLED,
    NORMAL,
    SHUTDOWN,
    CallTimeout,
    Child,
    EventHandler,
    ExitError,
    GenEvent,
    GenServer,
    Ignore,
    LocalRuntime,
    NoProcess,
    Process,
    ServerHandle,
    Stop,
    Supervisor,
    gen_event,
)

pytestmark = pytest.mark.anyio

GET, OK, ERROR, EXIT = Atom("get"), Atom("ok"), Atom("error"), Atom("EXIT")
STOP, LEAVE, COUNTER = Atom("stop"), Atom("leave"), Atom("Counter")
GEN_EVENT_EXIT = Atom("gen_event_EXIT")
REASONS: list[Any] = [NORMAL, SHUTDOWN, Atom("boom"), (), ((),), (Atom("swapped"),), [[]]]


class Counter(EventHandler):
    """Adds events up; what is no number fails."""

    def init(self, args: Any) -> Any:
        self.ended: list[Any] = []
        self.messages: list[Any] = []
        self.count = args

    def handle_event(self, event: Any) -> Any:
        if event == LEAVE:
            self.remove_handler()
        elif type(event) is tuple and event[0] == STOP:
            raise Stop(event[1])
        else:
            self.count += event

    def handle_call(self, request: Any) -> Any:
        match request:
            case Atom("get"):
                return self.count
            case Atom("messages"):
                return self.messages
            case Atom("ended"):
                return self.ended
            case _:
                return super().handle_call(request)

    def handle_info(self, message: Any) -> Any:
        self.messages.append(message)

    def terminate(self, argument: Any) -> Any:
        self.ended.append(argument)
        return (self.count, argument)


class SlowCounter(Counter):
    """The same, and each callback waits."""

    async def init(self, args: Any) -> None:
        await anyio.lowlevel.checkpoint()
        super().init(args)

    async def handle_event(self, event: Any) -> None:
        await anyio.lowlevel.checkpoint()
        super().handle_event(event)

    async def handle_call(self, request: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return super().handle_call(request)

    async def handle_info(self, message: Any) -> None:
        await anyio.lowlevel.checkpoint()
        super().handle_info(message)

    async def terminate(self, argument: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return super().terminate(argument)


@pytest.fixture
async def manager(runtime: LocalRuntime) -> ServerHandle:
    return await runtime.start(GenEvent, name="events")


@pytest.fixture(params=[Counter, SlowCounter])
def counter(request: pytest.FixtureRequest) -> type[Counter]:
    handler: type[Counter] = request.param
    return handler


async def test_each_handler_gets_each_event(
    runtime: LocalRuntime, manager: ServerHandle, counter: type[Counter]
) -> None:
    await gen_event.add_handler(runtime, manager, counter, 0)
    await gen_event.add_handler(runtime, "events", (counter, "b"), 10)
    await runtime.notify("events", 1)
    await gen_event.sync_notify(runtime, manager, 2)
    assert await gen_event.call(runtime, manager, counter, GET) == 3
    assert await gen_event.call(runtime, manager, (counter, "b"), GET) == 13
    name = Atom(counter.__name__)
    assert await gen_event.which_handlers(runtime, manager) == [(name, "b"), name]
    assert await gen_event.delete_handler(runtime, manager, counter, "why") == (3, "why")
    assert await gen_event.which_handlers(runtime, manager) == [(name, "b")]
    assert await gen_event.delete_handler(runtime, manager, (str(name), "b")) == (13, None)


async def test_a_handler_that_fails_is_taken_out_and_the_others_go_on(
    runtime: LocalRuntime, manager: ServerHandle, counter: type[Counter]
) -> None:
    await gen_event.add_handler(runtime, manager, counter, 0)
    await gen_event.add_handler(runtime, manager, (counter, "text"), "a")
    await gen_event.sync_notify(runtime, manager, 1)
    name = Atom(counter.__name__)
    assert await gen_event.which_handlers(runtime, manager) == [name]
    with pytest.raises(ExitError) as caught:
        await gen_event.call(runtime, manager, counter, "what")
    assert caught.value.reason == (Atom("bad_call"), "what")
    assert await gen_event.which_handlers(runtime, manager) == []


@pytest.mark.parametrize("event", [LEAVE, *((STOP, reason) for reason in REASONS)], ids=repr)
async def test_a_handler_can_leave(
    runtime: LocalRuntime, manager: ServerHandle, counter: type[Counter], event: Any
) -> None:
    await gen_event.add_handler(runtime, manager, counter, 0)
    await gen_event.sync_notify(runtime, manager, event)
    assert await gen_event.which_handlers(runtime, manager) == []


async def test_handlers_that_are_not_installed(runtime: LocalRuntime, manager: ServerHandle) -> None:
    with pytest.raises(ExitError, match="'Counter' is not installed") as caught:
        await gen_event.call(runtime, manager, Counter, GET)
    assert caught.value.reason == Atom("bad_module")
    with pytest.raises(ExitError, match="is not installed") as caught:
        await gen_event.delete_handler(runtime, manager, (Counter, 1), GET)
    assert caught.value.reason == Atom("module_not_found")


async def test_a_handler_that_does_not_want_to_start(runtime: LocalRuntime, manager: ServerHandle) -> None:
    class Unwilling(EventHandler):
        def init(self, args: Any) -> None:
            raise args[0] if type(args) is tuple else args

    for error, reason in [(Stop("no"), "no"), (ExitError("exit"), "exit"), (Ignore(), Atom("ignore"))]:
        with pytest.raises(ExitError) as caught:
            await gen_event.add_handler(runtime, manager, Unwilling, error)
        assert caught.value.reason == reason
        with pytest.raises(ExitError) as caught:
            await gen_event.swap_handler(runtime, manager, (Counter, 1), (Unwilling, error))
        assert caught.value.reason == reason
    assert await gen_event.which_handlers(runtime, manager) == []


async def test_a_handler_takes_the_place_of_another_one(
    runtime: LocalRuntime, manager: ServerHandle, counter: type[Counter]
) -> None:
    class Heir(EventHandler):
        def init(self, args: Any) -> None:
            self.args = args

        def handle_event(self, event: Any) -> None:
            self.swap_handler("leaving", counter, 100)

        def handle_call(self, request: Any) -> Any:
            return self.args

        def terminate(self, argument: Any) -> Any:
            return argument

    await gen_event.add_handler(runtime, manager, counter, 5)
    await gen_event.swap_handler(runtime, manager, (counter, "why"), (Heir, "mine"))
    assert await gen_event.call(runtime, manager, Heir, GET) == ("mine", (5, "why"))
    await gen_event.sync_notify(runtime, manager, 1)
    assert await gen_event.call(runtime, manager, counter, GET) == (100, "leaving")


async def test_a_process_supervises_its_handler(
    runtime: LocalRuntime, manager: ServerHandle, counter: type[Counter]
) -> None:
    told: list[Any] = []

    async def guard(self: Process) -> None:
        await gen_event.add_sup_handler(self, "events", counter, 0)
        self.notify("events", "no number")
        told.append(await self.receive())
        await gen_event.add_sup_handler(self, "events", (counter, 2), 0)
        await gen_event.swap_sup_handler(self, "events", ((counter, 2), "x"), (counter, 7))
        told.append(await self.receive())
        raise ExitError("enough")

    await gen_event.add_handler(runtime, manager, (counter, "witness"), 0)
    await runtime.monitor(runtime.spawn(guard))
    name = Atom(counter.__name__)
    (tag, handler, (exit, _)), swapped = told
    assert (tag, handler, exit) == (GEN_EVENT_EXIT, name, EXIT)
    assert swapped[:2] == (GEN_EVENT_EXIT, (name, 2))
    assert swapped[2][:2] == (Atom("swapped"), name)
    # The witness did not survive the text; the handler of the guard has gone with it.
    assert await gen_event.which_handlers(runtime, manager) == []


async def test_a_manager_that_ends_does_not_end_who_supervises_its_handlers(
    runtime: LocalRuntime, manager: ServerHandle, counter: type[Counter]
) -> None:
    told: list[Any] = []

    async def guard(self: Process) -> None:
        await gen_event.add_sup_handler(self, "events", counter, 0)
        ref = self.monitor("events")
        self.send(manager.pid, (self.pid, (self.pid, ref), STOP))
        told.extend([await self.receive(), await self.receive(), await self.receive()])

    down = await runtime.monitor(runtime.spawn(guard))
    assert down.reason == NORMAL
    gone, answer, ended = told
    assert gone == (GEN_EVENT_EXIT, Atom(counter.__name__), SHUTDOWN)
    assert answer[1] == OK
    assert ended.reason == NORMAL


async def test_nor_does_one_that_ends_badly(runtime: LocalRuntime, manager: ServerHandle) -> None:
    ready = anyio.Event()

    async def guard(self: Process) -> None:
        await gen_event.add_sup_handler(self, "events", Counter, 0)
        ready.set()
        assert await self.receive() == (GEN_EVENT_EXIT, COUNTER, SHUTDOWN)
        assert await self.receive() == "still here"

    watch = runtime.monitor(runtime.spawn(guard, name="guard"))
    await ready.wait()
    await manager.stop("boom")
    await runtime.send("guard", "still here")
    assert (await watch).reason == NORMAL


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("fails", [False, True])
async def test_a_manager_that_is_killed_in_a_callback_calls_no_other(
    runtime: LocalRuntime, manager: ServerHandle, slow: bool, fails: bool
) -> None:
    called: list[str] = []

    class Killing(EventHandler):
        def handle_event(self, event: Any) -> Any:
            self.exit(self.pid, KILL)
            if fails:
                raise ValueError(event)

        def terminate(self, argument: Any) -> None:
            called.append("terminate")

    class SlowKilling(Killing):
        async def handle_event(self, event: Any) -> None:
            with anyio.CancelScope(shield=True):
                self.exit(self.pid, KILL)
                await anyio.lowlevel.checkpoint()
                await anyio.lowlevel.checkpoint()
            called.append("went on")
            if fails:
                raise ValueError(event)

    class Other(EventHandler):
        def handle_event(self, event: Any) -> None:
            called.append("other")

    await gen_event.add_handler(runtime, manager, Other)
    await gen_event.add_handler(runtime, manager, SlowKilling if slow else Killing)
    watch = runtime.monitor(manager)
    await runtime.notify(manager, 1)
    assert (await watch).reason == KILLED
    await anyio.wait_all_tasks_blocked()
    assert called == (["went on"] if slow else [])


async def test_one_that_wants_to_leave_as_it_leaves_takes_nobody_along(
    runtime: LocalRuntime, manager: ServerHandle
) -> None:
    class Eager(EventHandler):
        def handle_event(self, event: Any) -> None:
            self.remove_handler()

        def terminate(self, argument: Any) -> None:
            self.remove_handler()

    await gen_event.add_handler(runtime, manager, Counter, 0)
    await gen_event.add_handler(runtime, manager, Eager)
    await gen_event.sync_notify(runtime, manager, 1)
    assert await gen_event.which_handlers(runtime, manager) == [COUNTER]


async def test_stopping_a_manager_stops_its_handlers(runtime: LocalRuntime, counter: type[Counter]) -> None:
    ended: list[Any] = []

    class Told(counter):  # type: ignore[valid-type, misc]  # each of both in turn
        def terminate(self, argument: Any) -> Any:
            ended.append((self.count, argument))
            return super().terminate(argument)

    manager = await runtime.start(GenEvent)
    await gen_event.add_handler(runtime, manager, Told, 1)
    await gen_event.add_handler(runtime, manager, (Told, 2), 2)
    await manager.stop()
    assert ended == [(2, STOP), (1, STOP)]
    with pytest.raises(NoProcess):
        await gen_event.which_handlers(runtime, manager)
    await runtime.notify(manager, 1)


async def test_an_id_that_cannot_be_compared_ends_the_manager_alone(
    runtime: LocalRuntime, manager: ServerHandle, counter: type[Counter]
) -> None:
    class Array:
        def __eq__(self, other: object) -> bool:
            raise ValueError("the truth value of an array is ambiguous")

    other = await runtime.start(GenEvent)
    await gen_event.add_handler(runtime, other, Counter, 1)
    await gen_event.add_handler(runtime, manager, (counter, Array()))
    with pytest.raises(ExitError) as caught:
        await gen_event.call(runtime, manager, (counter, Array()), GET)
    assert caught.value.reason[0][0][0] == Atom("ValueError")
    assert await gen_event.call(runtime, other, Counter, GET) == 1


async def test_under_a_supervisor(runtime: LocalRuntime) -> None:
    await runtime.start(Supervisor(Child(GenEvent, name="events"), name="tree"))
    await gen_event.add_handler(runtime, "events", Counter, 1)
    first = runtime.whereis("events")
    assert first is not None
    runtime.exit(first, KILL)
    await runtime.call("tree", Atom("which_children"))
    # It is there again, without handlers: who added them has to see to that.
    assert await gen_event.which_handlers(runtime, "events") == []
    assert runtime.whereis("events") != first


async def test_other_messages_are_for_all_handlers(
    runtime: LocalRuntime, manager: ServerHandle, counter: type[Counter]
) -> None:
    await gen_event.add_handler(runtime, manager, counter, 0)
    await manager.send("hello")
    await manager.cast("a cast")
    await manager.send((Atom("notify"), 1, 2))
    messages = await gen_event.call(runtime, manager, counter, Atom("messages"))
    assert messages == ["hello", (Atom("$gen_cast"), "a cast"), (Atom("notify"), 1, 2)]


async def test_a_call_to_a_handler_may_take_too_long(runtime: LocalRuntime, manager: ServerHandle) -> None:
    class Asleep(EventHandler):
        async def handle_call(self, request: Any) -> None:
            await anyio.sleep_forever()

        def terminate(self, argument: Any) -> None:
            raise AssertionError("it is killed")

    await gen_event.add_handler(runtime, manager, Asleep)
    with pytest.raises(CallTimeout) as caught:
        await gen_event.call(runtime, manager, Asleep, GET, timeout=0.01)
    assert caught.value.reason == (
        Atom("timeout"),
        (Atom("gen_event"), Atom("call"), [manager.pid, Asleep, GET, 10]),
    )
    watch = runtime.monitor(manager)
    runtime.exit(manager.pid, KILL)
    assert (await watch).reason == Atom("killed")


async def test_an_event_without_a_callback_takes_the_handler_out(
    runtime: LocalRuntime, manager: ServerHandle
) -> None:
    class Deaf(EventHandler):
        def terminate(self, argument: Any) -> None:
            reasons.append(argument)

    reasons: list[Any] = []
    await gen_event.add_handler(runtime, manager, Deaf)
    await gen_event.sync_notify(runtime, manager, 1)
    assert reasons == [(ERROR, (EXIT, (Atom("bad_event"), 1)))]


@pytest.mark.parametrize("waits", [False, True])
def test_system_exit_in_a_handler_ends_the_program(anyio_backend: str, waits: bool) -> None:
    ended: list[Any] = []

    class Careful(Counter):
        def terminate(self, argument: Any) -> Any:
            ended.append(argument)

    class Fatal(EventHandler):
        def handle_event(self, event: Any) -> None:
            raise SystemExit(3)

    class SlowFatal(EventHandler):
        async def handle_event(self, event: Any) -> None:
            await anyio.lowlevel.checkpoint()
            raise SystemExit(3)

    async def main() -> None:
        async with LocalRuntime() as runtime:
            other, manager = await runtime.start(GenEvent), await runtime.start(GenEvent)
            await gen_event.add_handler(runtime, other, Careful, 0)
            await gen_event.add_handler(runtime, manager, SlowFatal if waits else Fatal)
            await runtime.notify(manager, 1)
            await anyio.sleep_forever()

    with pytest.raises((SystemExit, BaseExceptionGroup)) as caught:
        anyio.run(main, backend=anyio_backend)
    assert "SystemExit(3)" in repr(caught.value)
    assert ended == [STOP]


async def test_a_hibernating_manager_gives_its_task_up(runtime: LocalRuntime, manager: ServerHandle) -> None:
    class Sleeper(EventHandler):
        async def handle_event(self, event: Any) -> None:
            await anyio.lowlevel.checkpoint()
            if event == "sleep":
                self.hibernate()

    await gen_event.add_handler(runtime, manager, Sleeper)
    record = runtime.kernel.table.by_pid[manager.pid]
    await gen_event.sync_notify(runtime, manager, "work")
    tasks: list[Any] = [record.task]
    for event in ("sleep", "work"):
        await gen_event.sync_notify(runtime, manager, event)
        assert await gen_event.which_handlers(runtime, manager) == [Atom(Sleeper.__qualname__)]
        tasks.append(record.task)
    assert [task is None for task in tasks] == [False, True, False]


async def test_a_handler_can_do_what_its_process_can(runtime: LocalRuntime, manager: ServerHandle) -> None:
    class Doubler(GenServer):
        def handle_call(self, request: Any, caller: Any) -> Any:
            return 2 * request

    class Clock(Counter):
        def handle_event(self, event: Any) -> None:
            self.send_after(0.001, self.pid, "tick")

        async def handle_info(self, message: Any) -> None:
            self.count = (message, await self.call(calculator, 21))
            ticked.set()

    ticked = anyio.Event()
    calculator = await runtime.start(Doubler)
    await gen_event.add_handler(runtime, manager, Clock, 0)
    await runtime.notify(manager, 1)
    await ticked.wait()
    assert await gen_event.call(runtime, manager, Clock, GET) == ("tick", 42)


async def test_no_handler_is_left_behind(runtime: LocalRuntime) -> None:
    manager = await runtime.start(GenEvent)
    await gen_event.add_handler(runtime, manager, Counter, 0)
    await manager.stop()
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each) is Counter]
