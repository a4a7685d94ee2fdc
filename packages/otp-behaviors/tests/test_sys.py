"""sys: states, suspension, debugging and code change, of servers with `def` and `async def` callbacks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from etf_codec import Atom
from otp_behaviors import (
    NO_REPLY,
    SHUTDOWN,
    Caller,
    CallTimeout,
    Exit,
    ExitError,
    GenServer,
    LocalRuntime,
    NoProcess,
    Process,
    Runtime,
    ServerHandle,
    Stop,
    sys,
)

pytestmark = pytest.mark.anyio

COUNT = Atom("count")
GET = Atom("get")
LATER = Atom("later")


class Counter(GenServer):
    def init(self, start: int = 0) -> None:
        self.count = start
        self.ended: list[Any] = []

    def handle_call(self, request: Any, caller: Caller) -> Any:
        if request == LATER:
            self.reply(caller, "late")
            return NO_REPLY
        if request == Atom("stop"):
            raise Stop(SHUTDOWN, reply="bye")
        return self.count

    def handle_cast(self, message: Any) -> Any:
        if message == Atom("go on"):
            self.continue_with("more")
        else:
            self.count += message

    def handle_info(self, message: Any) -> Any:
        if isinstance(message, list):
            message.append(self.count)

    def handle_continue(self, token: Any) -> Any:
        self.count *= 2

    def terminate(self, reason: Any) -> Any:
        self.ended.append(reason)


class AsyncCounter(Counter):
    async def handle_call(self, request: Any, caller: Caller) -> Any:
        await anyio.lowlevel.checkpoint()
        return super().handle_call(request, caller)

    async def handle_cast(self, message: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        super().handle_cast(message)

    async def handle_info(self, message: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        super().handle_info(message)

    async def handle_continue(self, token: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        super().handle_continue(token)

    async def terminate(self, reason: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        super().terminate(reason)


@pytest.fixture(params=[Counter, AsyncCounter], ids=["def", "async def"])
def counter_class(request: pytest.FixtureRequest) -> type[Counter]:
    counter_class: type[Counter] = request.param
    return counter_class


@asynccontextmanager
async def counting(counter_class: type[Counter] = Counter) -> AsyncIterator[tuple[Runtime, ServerHandle]]:
    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            yield runtime, await runtime.start(counter_class, 1, name="counter")


async def test_the_state_is_the_attributes(counter_class: type[Counter]) -> None:
    async with counting(counter_class) as (runtime, counter):
        await counter.cast(2)
        assert await counter.call(GET) == 3
        assert await sys.get_state(runtime, "counter") == {COUNT: 3, Atom("ended"): []}


async def test_a_process_asks_as_well(counter_class: type[Counter]) -> None:
    answers: list[Any] = []

    async def asker(process: Process) -> None:
        answers.append(await sys.get_state(process, "counter"))

    async with counting(counter_class) as (runtime, _):
        runtime.spawn(asker, name="asker")
        await runtime.monitor("asker")
        assert answers == [{COUNT: 1, Atom("ended"): []}]


async def test_the_answer_is_that_of_otp_26_1_and_later() -> None:
    async with counting() as (runtime, counter):
        state = {COUNT: 1, Atom("ended"): []}
        assert await runtime.system_call(counter, Atom("get_state")) == (Atom("ok"), state)
        replace = (Atom("replace_state"), lambda state: {COUNT: 2})
        assert await runtime.system_call(counter, replace) == (Atom("ok"), {COUNT: 2})


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ((Atom("ok"), "new"), "new"),
        ((Atom("ok"), (Atom("ok"), "new")), (Atom("ok"), "new")),
        ("old", "old"),
        ((Atom("ok"), 1, 2), (Atom("ok"), 1, 2)),
    ],
)
async def test_the_state_is_that_of_an_answer_of_any_release(answer: Any, state: Any) -> None:
    async def peer(process: Process) -> None:
        while True:
            _, caller, _ = await process.receive()
            process.reply(caller, answer)

    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            pid = runtime.spawn(peer)
            assert await sys.get_state(runtime, pid) == state
            assert await sys.replace_state(runtime, pid, lambda state: state) == state


async def test_a_state_that_cannot_be_told_is_an_error() -> None:
    async def peer(process: Process) -> None:
        _, caller, _ = await process.receive()
        process.reply(caller, (Atom("error"), Atom("why")))

    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            with pytest.raises(ExitError, match="why"):
                await sys.get_state(runtime, runtime.spawn(peer))


async def test_replacing_the_state(counter_class: type[Counter]) -> None:
    async with counting(counter_class) as (runtime, counter):
        new = await sys.replace_state(runtime, counter, lambda state: {**state, COUNT: 40})
        assert new[COUNT] == 40
        assert await counter.call(GET) == 40
        await sys.replace_state(runtime, counter, lambda state: {COUNT: 5})
        assert await sys.get_state(runtime, counter) == {COUNT: 5}


@pytest.mark.parametrize(
    ("function", "name"), [(lambda state: state[Atom("none")], "KeyError"), (lambda state: None, "TypeError")]
)
async def test_a_state_function_that_fails_leaves_the_state(function: Any, name: str) -> None:
    async with counting() as (runtime, counter):
        with pytest.raises(ExitError) as caught:
            await sys.replace_state(runtime, counter, function)
        tag, callback, (kind, (error, _)) = caught.value.reason
        assert (tag, callback) == (
            Atom("callback_failed"),
            (Atom("gen_server"), Atom("system_replace_state")),
        )
        assert (kind, error) == (Atom("error"), Atom(name))
        assert await counter.call(GET) == 1


async def test_a_suspended_server_keeps_its_mail_in_order(counter_class: type[Counter]) -> None:
    seen: list[int] = []
    async with counting(counter_class) as (runtime, counter):
        await sys.suspend(runtime, counter)
        await sys.suspend(runtime, counter)
        await counter.send(seen)
        await counter.cast(1)
        await counter.send(seen)
        with pytest.raises(CallTimeout):
            await counter.call(GET, timeout=0.01)
        assert await sys.get_state(runtime, counter) == {COUNT: 1, Atom("ended"): []}
        assert seen == []
        await sys.resume(runtime, counter)
        assert await counter.call(GET) == 2
        assert seen == [1, 2]
        await sys.resume(runtime, counter)


async def test_a_suspended_server_ends_when_told_to(counter_class: type[Counter]) -> None:
    async with counting(counter_class) as (runtime, counter):
        ended = (await sys.get_state(runtime, counter))[Atom("ended")]
        await sys.suspend(runtime, counter)
        watch = counter.monitor()
        await sys.terminate(runtime, counter, SHUTDOWN)
        assert (await watch).reason == SHUTDOWN
        assert ended == [SHUTDOWN]


async def test_a_suspended_server_ends_with_its_parent(counter_class: type[Counter]) -> None:
    ended: list[Any] = []

    class Trapping(counter_class):  # type: ignore[misc, valid-type]  # the class is a fixture
        def init(self, start: int = 0) -> None:
            super().init(start)
            self.ended = ended
            self.trap_exit = True

    async def parent(process: Process) -> None:
        child = await process.start(Trapping, link=True)
        await sys.suspend(process, child)
        process.send(child, "mail")
        process.send("test", child)

    async def witness(process: Process) -> None:
        child = await process.receive()
        process.monitor(child)
        await process.receive()

    async with counting() as (runtime, _):
        watch = runtime.monitor(runtime.spawn(witness, name="test"))
        runtime.spawn(parent)
        await watch
        assert ended == [Atom("normal")]


async def test_a_suspended_server_can_be_killed(counter_class: type[Counter]) -> None:
    async with counting(counter_class) as (runtime, counter):
        await sys.suspend(runtime, counter)
        runtime.exit(counter.pid, Atom("kill"))
        assert (await counter.monitor()).reason in (Atom("killed"), Atom("noproc"))
        with pytest.raises(NoProcess) as caught:
            await sys.resume(runtime, "counter")
        assert caught.value.reason == (
            Atom("noproc"),
            (Atom("sys"), Atom("resume"), [COUNTER, 5000]),
        )


COUNTER = Atom("counter")


class Version2(Counter):
    async def code_change(self, old_version: Any, extra: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.total = self.count
        self.was = (old_version, extra)
        del self.count

    def handle_call(self, request: Any, caller: Caller) -> Any:
        return ("v2", self.total, self.was)


async def test_changing_the_code(counter_class: type[Counter]) -> None:
    async with counting(counter_class) as (runtime, counter):
        with pytest.raises(ExitError, match="unknown_system_msg"):
            await sys.change_code(runtime, counter, Version2, 1, "extra")
        await sys.suspend(runtime, counter)
        await sys.change_code(runtime, counter, Version2, 1, "extra")
        await sys.resume(runtime, counter)
        assert await counter.call(GET) == ("v2", 1, (1, "extra"))


async def test_a_code_change_that_fails_is_told(counter_class: type[Counter]) -> None:
    async with counting(counter_class) as (runtime, counter):
        await sys.suspend(runtime, counter)
        with pytest.raises(ExitError) as caught:
            await sys.change_code(runtime, counter, type("Bad", (Counter,), {"code_change": None}), 1, 2)
        assert caught.value.reason[0] == Atom("EXIT")
        await sys.resume(runtime, counter)


async def test_status(counter_class: type[Counter]) -> None:
    async with counting(counter_class) as (runtime, counter):
        await sys.log(runtime, counter, 3)
        await sys.suspend(runtime, counter)
        tag, pid, module, (dictionary, state, parent, debug, misc) = await sys.get_status(runtime, counter)
        assert (tag, pid, module) == (Atom("status"), counter.pid, (Atom("module"), Atom("gen_server")))
        assert dict(dictionary)[Atom("$initial_call")][1] == Atom(f"{counter_class.__qualname__}.init")
        assert (state, debug) == (Atom("suspended"), [(Atom("log"), 3)])
        assert misc == [
            (Atom("header"), chars("Status for generic server counter")),
            (
                Atom("data"),
                [
                    (chars("Status"), Atom("suspended")),
                    (chars("Parent"), parent),
                    (chars("Logged events"), []),
                ],
            ),
            (Atom("data"), [(chars("State"), {COUNT: 1, Atom("ended"): []})]),
        ]


def chars(text: str) -> list[int]:
    return list(map(ord, text))


async def test_format_status_decides_what_is_shown() -> None:
    class Reserved(Counter):
        def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
            return {"state": "secret", "log": "nothing"}

    class Clumsy(Counter):
        def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
            raise KeyError("oops")

    async with counting() as (runtime, _):
        reserved, clumsy = await runtime.start(Reserved), await runtime.start(Clumsy)
        *_, (_, facts), shown = (await sys.get_status(runtime, reserved))[3][4]
        assert shown == (Atom("data"), [(chars("State"), "secret")])
        assert facts[-1] == (chars("Logged events"), "nothing")
        *_, shown = (await sys.get_status(runtime, clumsy))[3][4]
        assert bytes(shown[1][0][1]).endswith(b"Clumsy.format_status raised KeyError")


async def test_tracing_prints_what_otp_prints(
    counter_class: type[Counter], capsys: pytest.CaptureFixture[str]
) -> None:
    async with counting(counter_class) as (runtime, counter):
        await sys.replace_state(runtime, counter, lambda state: {COUNT: 1})
        await sys.trace(runtime, counter, True)
        await counter.call(GET)
        await counter.cast(2)
        await counter.cast(Atom("go on"))
        await counter.send("hello")
        await counter.call(LATER)
        await sys.trace(runtime, counter, False)
        await counter.call(GET)
        await sys.get_state(runtime, counter)
    me = "<0.1.0>"
    assert capsys.readouterr().out.splitlines() == [
        f"*DBG* counter got call get from {me}",
        f"*DBG* counter sent 1 to {me}, new state #{{count => 1}}",
        "*DBG* counter got cast 2",
        "*DBG* counter new state #{count => 3}",
        "*DBG* counter got cast 'go on'",
        "*DBG* counter new state #{count => 3}",
        '*DBG* counter dbg  {continue,<<"more">>}',
        "*DBG* counter new state #{count => 6}",
        '*DBG* counter got <<"hello">>',
        "*DBG* counter new state #{count => 6}",
        f"*DBG* counter got call later from {me}",
        "*DBG* counter new state #{count => 6}",
    ]


async def test_the_log_keeps_the_last_events(
    counter_class: type[Counter], capsys: pytest.CaptureFixture[str]
) -> None:
    async with counting(counter_class) as (runtime, counter):
        assert await sys.get_log(runtime, counter) == []
        await sys.log(runtime, counter, 3)
        await counter.cast(1)
        await counter.cast(1)
        assert await counter.call(GET) == 3
        log = await sys.log(runtime, counter, "get")
        assert log is not None
        assert [event[0] for event in log] == [Atom("noreply"), Atom("in"), Atom("out")]
        assert log[1][1][2] == GET
        assert log[2][1:] == (3, log[1][1][1], {COUNT: 3, Atom("ended"): []})
        await sys.log(runtime, counter, "print")
        await sys.log(runtime, counter, False)
        assert await sys.get_log(runtime, counter) == []
    assert len(capsys.readouterr().out.splitlines()) == 3


async def test_statistics_count_messages(counter_class: type[Counter]) -> None:
    async with counting(counter_class) as (runtime, counter):
        assert await sys.statistics(runtime, counter, "get") is None
        await sys.statistics(runtime, counter, True)
        await counter.cast(1)
        await counter.call(GET)
        counts = await sys.statistics(runtime, counter, "get")
        assert counts is not None
        assert (counts["messages_in"], counts["messages_out"]) == (2, 1)
        assert counts["reductions"] >= 2
        assert counts["start_time"] <= counts["current_time"]
        assert counts["start_time"][0][0] >= 2024
        await sys.statistics(runtime, counter, False)
        assert await sys.statistics(runtime, counter, "get") is None


async def test_installed_functions_see_events_until_done(counter_class: type[Counter]) -> None:
    seen: list[Any] = []

    def first_two(state: int, event: Any, name: Any) -> Any:
        seen.append((state, event[0].name, name))
        return state + 1 if state < 1 else Atom("done")

    def failing(state: Any, event: Any, name: Any) -> Any:
        seen.append("failing")
        raise RuntimeError("once")

    def forever(state: Any, event: Any, name: Any) -> Any:
        seen.append(state)
        return state

    async with counting(counter_class) as (runtime, counter):
        await sys.install(runtime, counter, first_two, 0)
        await sys.install(runtime, counter, failing, None)
        await sys.install(runtime, counter, forever, "ever", id="f")
        await counter.call(GET)
        await counter.call(GET)
        assert seen == [
            *((0, "in", COUNTER), "failing", "ever"),
            *((1, "out", COUNTER), "ever", "ever", "ever"),
        ]
        await sys.remove(runtime, counter, "f")
        seen.clear()
        await counter.call(GET)
        assert seen == []


async def test_no_debug_takes_the_observer_away(counter_class: type[Counter]) -> None:
    async with counting(counter_class) as (runtime, counter):
        await sys.log(runtime, counter, True)
        await sys.statistics(runtime, counter, True)
        await sys.no_debug(runtime, counter)
        status = await sys.get_status(runtime, counter)
        assert status[3][3] == []
        assert await sys.get_log(runtime, counter) == []


async def test_the_reply_of_a_stop_is_an_event(counter_class: type[Counter]) -> None:
    async with counting(counter_class) as (runtime, counter):
        seen: list[Any] = []
        await sys.install(runtime, counter, lambda state, event, name: seen.append(event), None)
        assert await counter.call(Atom("stop")) == "bye"
        await counter.monitor()
        assert [event[:2] for event in seen][1] == (Atom("out"), "bye")


async def test_debugged_from_the_start() -> None:
    class Logged(Counter):
        debug_options = ("statistics", ("log", 5))

    async with counting() as (runtime, _):
        logged = await runtime.start(Logged, 7)
        assert await logged.call(GET) == 7
        assert len(await sys.get_log(runtime, logged)) == 2
        status = await sys.get_status(runtime, logged)
        assert status[3][3] == [(Atom("log"), 5), Atom("statistics")]


async def test_an_exit_that_is_not_the_parents_waits(counter_class: type[Counter]) -> None:
    class Trapping(counter_class):  # type: ignore[misc, valid-type]  # the class is a fixture
        def init(self, start: int = 0) -> None:
            super().init(start)
            self.trap_exit = True

        def handle_info(self, message: Any) -> Any:
            self.ended.append(message)

    async def stranger(process: Process, to: Any) -> None:
        process.exit(to, Atom("boo"))

    async with counting() as (runtime, _):
        server = await runtime.start(Trapping)
        await sys.suspend(runtime, server)
        watch = runtime.monitor(pid := runtime.spawn(stranger, server.pid))
        await watch
        assert (await sys.get_state(runtime, server))[Atom("ended")] == []
        await sys.resume(runtime, server)
        assert (await sys.get_state(runtime, server))[Atom("ended")] == [Exit(pid, Atom("boo"))]
