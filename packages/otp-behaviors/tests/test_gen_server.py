"""GenServer: every callback as `def` and as `async def`, starts, stops and crashes."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from etf_codec import Atom, Pid
from otp_behaviors import (
    KILL,
    KILLED,
    NO_REPLY,
    NORMAL,
    SHUTDOWN,
    TIMEOUT,
    Caller,
    ExitError,
    GenServer,
    Ignore,
    Kernel,
    LocalRuntime,
    NameTaken,
    NoProcess,
    Process,
    Runtime,
    Stop,
    Unhandled,
)

BOOM = Atom("boom")
OTHER = Atom("other")

Play = Callable[..., Any]
Act = Callable[..., Any]


class Obedient(GenServer):
    """Does what a message, which is a function here, tells it, and writes down what it was called with."""

    def init(self, log: list[Any], act: Act | None = None, at_end: Act | None = None) -> Any:
        self.log = log
        self.at_end = at_end
        self.waiting: list[Caller] = []
        if act is not None:
            act(self)

    def handle_call(self, request: Any, caller: Caller) -> Any:
        self.log.append("call")
        return request(self, caller)

    def handle_cast(self, message: Any) -> Any:
        self.log.append("cast")
        message(self)

    def handle_info(self, message: Any) -> Any:
        self.log.append(message)
        if callable(message):
            message(self)

    def handle_continue(self, token: Any) -> Any:
        self.log.append(("continue", token))
        if callable(token):
            token(self)

    def terminate(self, reason: Any) -> Any:
        self.log.append(("terminate", reason))
        if self.at_end is not None:
            self.at_end(self)


def unhurried(callback: Act) -> Act:
    """The same callback as a coroutine function that really waits."""

    async def wait_first(self: Obedient, *args: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return callback(self, *args)

    return wait_first


CALLBACKS = ("init", "handle_call", "handle_cast", "handle_info", "handle_continue", "terminate")
Unhurried = type("Unhurried", (Obedient,), {name: unhurried(getattr(Obedient, name)) for name in CALLBACKS})


@pytest.fixture(params=[Obedient, Unhurried], ids=["def", "async def"])
def server_class(request: pytest.FixtureRequest) -> type[Obedient]:
    server_class: type[Obedient] = request.param
    return server_class


@asynccontextmanager
async def running() -> AsyncIterator[Runtime]:
    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            yield runtime


def raising(error: Exception) -> Act:
    def act(*args: Any) -> None:
        raise error

    return act


def ping(server: Obedient, caller: Caller) -> Any:
    return "pong"


def do_nothing(server: Obedient) -> None:
    pass


def trap(server: Obedient) -> None:
    server.trap_exit = True


def hold(server: Obedient, caller: Caller) -> Any:
    server.waiting.append(caller)
    return NO_REPLY


def answer_all(server: Obedient) -> None:
    for caller in server.waiting:
        server.reply(caller, "late")


@pytest.mark.anyio
async def test_call_cast_and_info_are_handled_in_the_order_sent(server_class: type[Obedient]) -> None:
    log: list[Any] = []
    async with running() as runtime:
        server = await runtime.start(server_class, log)
        await server.cast(do_nothing)
        await server.send("hello")
        assert await server.call(ping) == "pong"
        assert await server.call(lambda server, caller: None) is None
    assert log == ["cast", "hello", "call", "call", ("terminate", SHUTDOWN)]


@pytest.mark.anyio
async def test_no_reply_is_answered_later(server_class: type[Obedient]) -> None:
    answers: list[Any] = []
    held = anyio.Event()
    async with running() as runtime:
        server = await runtime.start(server_class, [])

        def hold_third(server: Obedient, caller: Caller) -> Any:
            if len(server.waiting) == 2:
                held.set()
            return hold(server, caller)

        async def ask() -> None:
            answers.append(await server.call(hold_third))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(ask)
            await held.wait()
            assert answers == []
            await server.cast(answer_all)
            await server.cast(answer_all)
        assert answers == ["late"] * 3
        assert await server.call(ping) == "pong"


@pytest.mark.anyio
async def test_one_message_at_a_time() -> None:
    trace: list[str] = []

    async def slow(server: Obedient, caller: Caller) -> Any:
        trace.append("in")
        await anyio.lowlevel.checkpoint()
        trace.append("out")

    async with running() as runtime:
        server = await runtime.start(Obedient, [])
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(server.call, slow)
    assert trace == ["in", "out"] * 5


@pytest.mark.anyio
async def test_stop_with_a_reply_runs_terminate_first(server_class: type[Obedient]) -> None:
    log: list[Any] = []
    async with running() as runtime:
        server = await runtime.start(server_class, log, name="x")
        watch = server.monitor()
        log.append(await server.call(raising(Stop(BOOM, reply="bye"))))
        assert (await watch).reason == BOOM
        assert runtime.whereis("x") is None
    assert log == ["call", ("terminate", BOOM), "bye"]


@pytest.mark.anyio
async def test_stop_without_a_reply_is_an_exit_for_the_caller(server_class: type[Obedient]) -> None:
    async with running() as runtime:
        server = await runtime.start(server_class, [])
        with pytest.raises(ExitError) as caught:
            await server.call(raising(Stop()))
        assert caught.value.reason[0] == NORMAL


@pytest.mark.anyio
@pytest.mark.parametrize("error", [Stop((SHUTDOWN, 1)), ExitError((SHUTDOWN, 1))], ids=["Stop", "ExitError"])
@pytest.mark.parametrize("way", ["cast", "send"])
async def test_an_end_in_cast_or_info(server_class: type[Obedient], way: str, error: Exception) -> None:
    log: list[Any] = []
    async with running() as runtime:
        server = await runtime.start(server_class, log)
        watch = server.monitor()
        await getattr(server, way)(raising(error))
        assert (await watch).reason == (SHUTDOWN, 1)
    assert log[-1] == ("terminate", (SHUTDOWN, 1))


@pytest.mark.anyio
async def test_a_crash_is_an_exit_for_the_caller(server_class: type[Obedient]) -> None:
    log: list[Any] = []
    crash = raising(ValueError("no such value"))
    async with running() as runtime:
        server = await runtime.start(server_class, log)
        watch = server.monitor()
        with pytest.raises(ExitError) as caught:
            await server.call(crash, timeout=2.5)
        reason, where = caught.value.reason
        assert where == (Atom("gen_server"), Atom("call"), [server.pid, crash, 2500])
        (name, text), stack = reason
        assert (name, text) == (Atom("ValueError"), b"no such value")
        assert stack[0][1] == Atom("act")
        assert (await watch).reason == reason
        assert log == ["call", ("terminate", reason)]


# Continue and timeout


@pytest.mark.anyio
async def test_continue_comes_before_any_message(server_class: type[Obedient]) -> None:
    log: list[Any] = []

    def go_on(server: Obedient) -> None:
        server.send(server.pid, "message")
        server.continue_with("next")

    async with running() as runtime:
        server = await runtime.start(server_class, log, go_on)
        assert await server.call(ping) == "pong"
        assert log == [("continue", "next"), "message", "call"]
        log.clear()
        await server.cast(go_on)
        assert await server.call(ping) == "pong"
        assert log[:2] == ["cast", ("continue", "next")]


@pytest.mark.anyio
async def test_a_continue_may_go_on_and_may_stop(server_class: type[Obedient]) -> None:
    log: list[Any] = []
    end = raising(Stop(BOOM))

    def first(server: Obedient) -> None:
        server.continue_with(second)

    def second(server: Obedient) -> None:
        server.continue_with(end)

    async with running() as runtime:
        server = await runtime.start(server_class, log)
        watch = server.monitor()

        def reply_and_go_on(server: Obedient, caller: Caller) -> Any:
            server.continue_with(first)
            return "reply"

        assert await server.call(reply_and_go_on) == "reply"
        assert (await watch).reason == BOOM
    continues = [("continue", token) for token in (first, second, end)]
    assert log == ["call", *continues, ("terminate", BOOM)]


@pytest.mark.anyio
async def test_a_timeout_fires(server_class: type[Obedient]) -> None:
    log: list[Any] = []

    def wait(server: Obedient, caller: Caller) -> Any:
        server.set_timeout(0.001, answer_all)
        return hold(server, caller)

    async with running() as runtime:
        server = await runtime.start(server_class, log)
        assert await server.call(wait) == "late"
        assert log == ["call", answer_all]


def test_a_message_cancels_the_timeout(play: Play) -> None:
    log: list[Any] = []

    async def scenario(self: Process) -> None:
        server = await self.start(Obedient, log, lambda server: server.set_timeout(1))
        with pytest.raises(TimeoutError):
            await self.receive(timeout=0.9)
        self.cast(server, do_nothing)
        with pytest.raises(TimeoutError):
            await self.receive(timeout=5)

    play(scenario)
    assert log == ["cast"]


def test_the_last_timeout_counts_and_a_silent_server_gets_it_once(play: Play) -> None:
    log: list[Any] = []

    def twice(server: Obedient) -> None:
        server.set_timeout(1, "first")
        server.set_timeout(2)

    async def scenario(self: Process) -> list[Any]:
        await self.start(Obedient, log, twice)
        with pytest.raises(TimeoutError):
            await self.receive(timeout=1.5)
        early = log[:]
        with pytest.raises(TimeoutError):
            await self.receive(timeout=5)
        return early

    assert play(scenario) == []
    assert log == [TIMEOUT]


def test_a_message_that_came_before_the_timeout_cancels_it(kernel: Kernel) -> None:
    log: list[Any] = []
    pid = kernel.spawn(Obedient.__process__(kernel, (log, lambda server: server.set_timeout(1))))
    kernel.run()
    kernel.send(pid, pid, "message")
    kernel.handle_time(2.0)
    kernel.run()
    assert log == ["message"]


# Starts


@pytest.mark.anyio
@pytest.mark.parametrize("error", [Stop(BOOM), ExitError(BOOM)], ids=["Stop", "ExitError"])
async def test_init_may_refuse(server_class: type[Obedient], error: Exception) -> None:
    log: list[Any] = []
    async with running() as runtime:
        with pytest.raises(ExitError) as caught:
            await runtime.start(server_class, log, raising(error), name="x")
        assert caught.value.reason == BOOM
        assert runtime.whereis("x") is None
        await runtime.start(server_class, log, name="x")
        assert log == []


@pytest.mark.anyio
async def test_init_may_crash(server_class: type[Obedient]) -> None:
    error = ValueError("no")
    async with running() as runtime:
        with pytest.raises(ExitError) as caught:
            await runtime.start(server_class, [], raising(error))
        assert caught.value.reason[0] == (Atom("ValueError"), b"no")
        assert caught.value.__cause__ is error
        with pytest.raises(ExitError, match="TypeError"):
            await runtime.start(server_class)


@pytest.mark.anyio
async def test_init_may_be_ignored(server_class: type[Obedient], caplog: pytest.LogCaptureFixture) -> None:
    async with running() as runtime:
        before = len(runtime.kernel.table.by_pid)
        with pytest.raises(Ignore):
            await runtime.start(server_class, [], raising(Ignore()), name="x")
        assert runtime.whereis("x") is None
        assert len(runtime.kernel.table.by_pid) == before
    assert caplog.records == []


@pytest.mark.anyio
async def test_a_taken_name_runs_no_init(server_class: type[Obedient]) -> None:
    inits: list[Any] = []
    async with running() as runtime:
        first = await runtime.start(server_class, [], name="x")
        with pytest.raises(NameTaken) as caught:
            await runtime.start(server_class, [], inits.append, name="x")
        assert caught.value.reason == (Atom("already_started"), first.pid)
        assert inits == []


# Ends


@pytest.mark.anyio
async def test_stop_from_outside_runs_terminate(server_class: type[Obedient]) -> None:
    log: list[Any] = []
    async with running() as runtime:
        server = await runtime.start(server_class, log)
        await server.stop(BOOM)
        assert log == [("terminate", BOOM)]
        with pytest.raises(NoProcess):
            await server.stop()


@pytest.mark.anyio
async def test_kill_does_not_run_terminate(server_class: type[Obedient]) -> None:
    log: list[Any] = []
    async with running() as runtime:
        server = await runtime.start(server_class, log, trap)
        watch = server.monitor()
        runtime.exit(server.pid, KILL)
        assert (await watch).reason == KILLED
    assert log == []


@pytest.mark.anyio
@pytest.mark.parametrize("error", [Stop(OTHER), ExitError(OTHER)], ids=["Stop", "ExitError"])
async def test_what_terminate_raises_is_the_reason(server_class: type[Obedient], error: Exception) -> None:
    async with running() as runtime:
        server = await runtime.start(server_class, [], None, raising(error))
        watch = server.monitor()
        assert await server.call(raising(Stop(BOOM, reply="bye"))) == "bye"  # as OTP 25 answers
        assert (await watch).reason == OTHER


@pytest.mark.anyio
@pytest.mark.parametrize("trapping", [True, False], ids=["trapping", "not trapping"])
async def test_the_end_of_the_parent(server_class: type[Obedient], trapping: bool) -> None:
    log: list[Any] = []
    started: list[Pid] = []
    ready = anyio.Event()

    async def parent(self: Process) -> None:
        started.append(await self.start(server_class, log, trap if trapping else None, link=True))
        ready.set()
        await self.receive()
        raise ExitError(BOOM)

    async with running() as runtime:
        pid = runtime.spawn(parent)
        await ready.wait()
        watch = runtime.monitor(started[0])
        await runtime.send(pid, "end")
        assert (await watch).reason == BOOM
    assert log == ([("terminate", BOOM)] if trapping else [])


@pytest.mark.anyio
async def test_an_exit_of_anybody_else_is_a_message(server_class: type[Obedient]) -> None:
    log: list[Any] = []

    async def stranger(self: Process, to: Pid) -> None:
        self.link(to)
        raise ExitError(BOOM)

    async with running() as runtime:
        server = await runtime.start(server_class, log, trap)
        pid = runtime.spawn(stranger, server.pid)
        await runtime.monitor(pid)
        assert await server.call(ping) == "pong"
    assert log[:2] == [(Atom("EXIT"), pid, BOOM), "call"]


# Callbacks that are not there


@pytest.mark.anyio
async def test_an_unexpected_message_is_logged_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    class Bare(GenServer):
        def handle_call(self, request: Any, caller: Caller) -> Any:
            return request

    with caplog.at_level(logging.WARNING, "otp_behaviors"):
        async with running() as runtime:
            server = await runtime.start(Bare, name="bare")
            await server.send((Atom("what"), 1))
            assert await server.call(1) == 1
    assert ["unexpected message" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.anyio
async def test_a_call_or_cast_nobody_handles_is_a_crash() -> None:
    async with running() as runtime:
        server = await runtime.start(GenServer)
        with pytest.raises(ExitError) as caught:
            await server.call("what")
        assert caught.value.reason[0] == (Atom("bad_call"), "what")
        server = await runtime.start(GenServer)
        watch = server.monitor()
        await server.cast("what")
        assert (await watch).reason == (Atom("bad_cast"), "what")


def test_the_default_callbacks_say_what_is_missing() -> None:
    with pytest.raises(Unhandled, match="GenServer has no handle_continue for 'next'") as caught:
        GenServer().handle_continue("next")
    assert caught.value.reason == (Atom("bad_continue"), "next")
