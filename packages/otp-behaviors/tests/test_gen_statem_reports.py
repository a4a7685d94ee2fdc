"""What a GenStatem tells of itself: the events it is debugged with, as OTP prints them, and how it ended."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from etf_codec import Atom
from otp_behaviors import (
    KILL,
    NORMAL,
    SHUTDOWN,
    Call,
    Cast,
    Enter,
    Event,
    ExitError,
    GenStatem,
    Ignore,
    Info,
    Internal,
    LocalRuntime,
    Process,
    Runtime,
    ServerHandle,
    Stop,
    state_function,
    sys,
)

pytestmark = pytest.mark.anyio

A, B, BAD, DOOR = Atom("a"), Atom("b"), Atom("bad"), Atom("door")
GO, LATER, UNDEFINED = Atom("go"), Atom("later"), Atom("undefined")
IN, OUT, CONSUME = Atom("in"), Atom("out"), Atom("consume")
CAST, INTERNAL, TIMEOUT = Atom("cast"), Atom("internal"), Atom("timeout")

Act = Callable[[Any], Any]
Reports = Callable[..., list[dict[str, Any]]]


class Busy(GenStatem):
    """Uses everything once."""

    state_enter = True

    def init(self) -> Any:
        self.count = 1
        self.set_timeout("x", 0, "now")
        self.next_state(A)

    @state_function
    def a(self, event: Event) -> Any:
        match event:
            case Call(caller, Atom("go")):
                self.reply(caller, "ok")
                self.next_event(Internal(1))
                self.set_state_timeout(1.5, LATER)
                self.set_event_timeout(10)
                self.set_timeout("y", None)
                self.next_state(B)
            case Call(_, Atom("stop")):
                raise Stop(reply="bye")
            case Cast(message):
                self.postpone()
                self.set_state_timeout(3600, message)
            case Info(message):
                self.next_event(Internal(2))
                self.next_event(Internal(3))
            case Internal(3):
                raise Stop(BAD)

    @state_function
    def b(self, event: Event) -> Any:
        match event:
            case Call():
                raise ValueError("no such request")
            case Info(reason):
                raise Stop(reason)
            case Enter():
                self.count += 1


class AsyncBusy(Busy):
    async def a(self, event: Event) -> Any:
        await anyio.lowlevel.checkpoint()
        super().a(event)

    async def b(self, event: Event) -> Any:
        await anyio.lowlevel.checkpoint()
        super().b(event)


@pytest.fixture(params=[Busy, AsyncBusy], ids=["def", "async def"])
def busy_class(request: pytest.FixtureRequest) -> type[Busy]:
    busy_class: type[Busy] = request.param
    return busy_class


@asynccontextmanager
async def working(busy_class: type[GenStatem] = Busy) -> AsyncIterator[tuple[Runtime, ServerHandle]]:
    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            yield runtime, await runtime.start(busy_class, name="door")


# Debugging


async def test_tracing_prints_what_otp_prints(
    busy_class: type[Busy], capsys: pytest.CaptureFixture[str]
) -> None:
    class Traced(busy_class):  # type: ignore[misc, valid-type]  # the class is a fixture
        debug_options = ("trace",)

    name = Traced.__qualname__
    async with working(Traced) as (runtime, door):
        await door.cast(LATER)
        await door.call(GO)
        await sys.trace(runtime, door, False)
        await door.cast(BAD)
        await sys.trace(runtime, door, True)
        await door.stop(SHUTDOWN)
    me = "<0.1.0>"
    assert capsys.readouterr().out.splitlines() == [
        f"*DBG* door enter '{name}' in state a",
        "*DBG* door consume internal init_state in state a",
        '*DBG* door start_timer {{timeout,<<"x">>},0,<<"now">>,[]} in state a',
        '*DBG* door receive {timeout,<<"x">>} <<"now">> in state a',
        '*DBG* door consume {timeout,<<"x">>} <<"now">> in state a',
        "*DBG* door receive cast later in state a",
        "*DBG* door postpone cast later in state a",
        "*DBG* door start_timer {state_timeout,3600000,later,[]} in state a",
        f"*DBG* door receive call go from {me} in state a",
        f'*DBG* door send <<"ok">> to {me}',
        "*DBG* door receive internal 1 in state b",
        f"*DBG* door consume call go from {me} in state a => b",
        "*DBG* door start_timer {timeout,10000,timeout,[]} in state b",
        "*DBG* door start_timer {state_timeout,1500,later,[]} in state b",
        "*DBG* door consume internal 1 in state b",
        "*DBG* door consume cast later in state b",
        "*DBG* door terminate shutdown in state b",
    ]


async def test_the_log_keeps_the_last_events(
    busy_class: type[Busy], capsys: pytest.CaptureFixture[str]
) -> None:
    async with working(busy_class) as (runtime, door):
        assert await sys.get_log(runtime, door) == []
        await sys.log(runtime, door, 3)
        await door.cast(LATER)
        await door.call(GO)
        assert await sys.get_log(runtime, door) == [
            (Atom("start_timer"), (Atom("state_timeout"), 1500, LATER, []), B),
            (CONSUME, (INTERNAL, 1), B, B),
            (CONSUME, (CAST, LATER), B, B),
        ]
        await sys.log(runtime, door, "print")
        await sys.log(runtime, door, False)
        assert await sys.get_log(runtime, door) == []
    assert len(capsys.readouterr().out.splitlines()) == 3


async def test_the_replies_of_events_and_of_a_stop_are_seen_by_what_is_installed(
    busy_class: type[Busy],
) -> None:
    seen: list[Any] = []

    def see(state: int, event: Any, name: Any) -> Any:
        seen.append((state, name, event[0], event[1]))
        return state + 1

    async with working(busy_class) as (runtime, door):
        await sys.install(runtime, door, see, 0)
        watch = door.monitor()
        assert await door.call(Atom("stop")) == "bye"
        await watch
    (_, _, first, ((_, caller), request)), *rest = seen
    assert (first, caller[0], request) == (IN, runtime._client.pid, Atom("stop"))
    assert rest == [(1, DOOR, OUT, "bye"), (2, DOOR, Atom("terminate"), NORMAL)]


async def test_statistics_count_events_and_replies(busy_class: type[Busy]) -> None:
    async with working(busy_class) as (runtime, door):
        await sys.statistics(runtime, door, True)
        await door.cast(LATER)
        await door.call(GO)
        counts = await sys.statistics(runtime, door, "get")
        assert counts is not None
        # The cast, the call and what that inserted: an event that comes back is not received again.
        assert (counts["messages_in"], counts["messages_out"]) == (3, 1)
        assert counts["reductions"] >= 2
        await sys.no_debug(runtime, door)
        assert await sys.statistics(runtime, door, "get") is None


async def test_debugged_from_the_start() -> None:
    class Logged(Busy):
        debug_options = ("statistics", ("log", 2))

    async with working(Logged) as (runtime, door):
        status = await sys.get_status(runtime, door)
        assert status[3][3] == [(Atom("log"), 2), Atom("statistics")]
        event = ((TIMEOUT, "x"), "now")
        assert await sys.get_log(runtime, door) == [(IN, event, A), (CONSUME, event, A, A)]


# Reports


@pytest.fixture
def reports(caplog: pytest.LogCaptureFixture) -> Reports:
    """Returns the reports of the log, as they are on its records."""
    caplog.set_level(logging.INFO, "otp_behaviors")

    def reports(level: int = logging.ERROR) -> list[dict[str, Any]]:
        return [vars(record)["otp_report"] for record in caplog.records if record.levelno >= level]

    return reports


async def crashed(act: Callable[[Runtime, ServerHandle], Any], busy_class: type[GenStatem] = Busy) -> None:
    async with working(busy_class) as (runtime, door):
        watch = door.monitor()
        await act(runtime, door)
        await watch


async def ask(runtime: Runtime, door: ServerHandle) -> None:
    """Have a process call, which is told of the end."""

    async def client(process: Process) -> None:
        process.register("client")
        process.cast(door, LATER)
        process.cast(door, GO)
        await process.call(door, GO)
        await process.call(door, ("divide", 0))

    await runtime.monitor(runtime.spawn(client))


async def test_a_call_that_fails(
    busy_class: type[Busy], reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    await crashed(ask, busy_class)
    terminated, crash, *_ = reports()
    ((call, caller), request), *rest = terminated.pop("queue")
    assert (call, request, rest) == (Atom("call"), ("divide", 0), [])
    tag, (error, stack), trace = terminated.pop("reason")
    assert (tag, error, trace) == (Atom("exit"), (Atom("ValueError"), b"no such request"), [])
    assert Atom("b") in [frame[1] for frame in stack]
    assert terminated == {
        "label": ("gen_statem", "terminate"),
        "name": DOOR,
        "postponed": [],
        "modules": [Atom(busy_class.__name__)],
        "callback_mode": Atom("state_functions"),
        "state_enter": True,
        "state": (B, {Atom("count"): 2}),
        "timeouts": (1, [(Atom("state_timeout"), LATER)]),
        "log": [],
        "client_info": (caller[0], "client"),
        "process_label": UNDEFINED,
    }
    assert crash["label"] == ("proc_lib", "crash")
    assert crash["error_info"][1] == error
    text = caplog.records[0].getMessage()
    assert text.startswith("State machine door Pid(")
    assert "terminating: ((Atom('ValueError'), b'no such request')" in text.splitlines()[0]
    assert text.splitlines()[1].startswith("  queue: [{{call,{")
    assert text.splitlines()[2:-1] == [
        f"  modules: ['{busy_class.__name__}']",
        "  callback_mode: state_functions",
        "  state_enter: true",
        "  state: {b,#{count => 2}}",
        "  timeouts: {1,[{state_timeout,later}]}",
    ]


async def test_what_waits_is_told(reports: Reports) -> None:
    async def act(runtime: Runtime, door: ServerHandle) -> None:
        await sys.log(runtime, door, 1)
        await door.cast(1)
        await door.cast(2)
        await door.send("insert two events, of which the second ends it")

    await crashed(act)
    terminated, _ = reports()
    assert terminated["queue"] == [(INTERNAL, 3)]
    assert terminated["postponed"] == [(CAST, 2), (CAST, 1)]
    assert terminated["timeouts"] == (1, [(Atom("state_timeout"), 2)])
    assert terminated["log"] == [(CONSUME, (INTERNAL, 2), A, A)]
    assert terminated["client_info"] == UNDEFINED


async def test_an_end_that_no_event_asked_for_has_none(reports: Reports) -> None:
    async def act(runtime: Runtime, door: ServerHandle) -> None:
        await door.call(GO)
        await sys.terminate(runtime, door, BAD)

    await crashed(act)
    terminated, crash = reports()
    assert (terminated["queue"], terminated["reason"]) == ([], (Atom("exit"), BAD, []))
    assert crash["error_info"] == (Atom("exit"), BAD, [])


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, (SHUTDOWN, 1)])
async def test_a_clean_end_is_not_reported(busy_class: type[Busy], reports: Reports, reason: Any) -> None:
    async def act(runtime: Runtime, door: ServerHandle) -> None:
        await door.call(GO)
        await door.send(reason)

    await crashed(act, busy_class)
    assert reports() == []


async def test_the_first_enter_that_fails_is_that_of_the_event_that_begins(reports: Reports) -> None:
    class Entered(Busy):
        def a(self, event: Event) -> Any:
            raise Stop(BAD)

    async def act(runtime: Runtime, door: ServerHandle) -> None:
        pass

    await crashed(act, Entered)
    terminated, _ = reports()
    assert terminated["queue"] == [(INTERNAL, Atom("init_state"))]
    assert terminated["state"][0] == A


async def test_who_is_killed_in_terminate_writes_no_report(reports: Reports) -> None:
    class Undone(Busy):
        async def terminate(self, reason: Any) -> None:
            self.exit(self.pid, KILL)

    async def act(runtime: Runtime, door: ServerHandle) -> None:
        await sys.terminate(runtime, door, BAD)

    await crashed(act, Undone)
    assert reports() == []


@pytest.mark.parametrize(
    ("error", "labels"),
    [
        (Stop(BAD), [("proc_lib", "crash")]),
        (Ignore(), []),
        (ExitError(BAD), [("gen_statem", "terminate"), ("proc_lib", "crash")]),
        (None, [("gen_statem", "terminate"), ("proc_lib", "crash")]),
    ],
    ids=["Stop", "Ignore", "ExitError", "no state"],
)
async def test_an_init_that_fails_is_reported_if_it_did_not_mean_to(
    reports: Reports, error: Exception | None, labels: list[Any]
) -> None:
    class Unborn(GenStatem):
        def init(self) -> None:
            if error is not None:
                raise error

    async with LocalRuntime() as runtime:
        with pytest.raises((ExitError, Ignore)):
            await runtime.start(Unborn, name="door")
    assert [report["label"] for report in reports()] == labels
    for report in reports()[:-1]:
        assert (report["name"], report["queue"]) == (DOOR, [])


async def test_format_status_decides_what_is_reported(
    reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    class Reserved(Busy):
        def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
            kept = ("state", "log", "reason")
            return {key: status[key] if key in kept else Atom("hidden") for key in status}

    await crashed(ask, Reserved)
    terminated, *_ = reports()
    hidden = Atom("hidden")
    assert (terminated["queue"], terminated["postponed"], terminated["timeouts"]) == (
        hidden,
        hidden,
        (1, hidden),
    )
    assert terminated["state"] == (B, hidden)
    assert "divide" not in caplog.records[0].getMessage().partition("\n")[2]


async def test_a_format_status_that_fails_hides_the_data(reports: Reports) -> None:
    class Clumsy(GenStatem):
        def init(self) -> None:
            self.password = "secret"
            self.next_state(A)

        def handle_event(self, event: Event, state: Any) -> None:
            raise Stop(BAD)

        def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
            return {"word": self.password}

    async def act(runtime: Runtime, door: ServerHandle) -> None:
        await door.send("end")

    await crashed(act, Clumsy)
    terminated, _ = reports()
    state, data = terminated["state"]
    assert state == A
    assert bytes(data).endswith(b"Clumsy.format_status returned unknown keys")
    assert (terminated["callback_mode"], terminated["state_enter"]) == (Atom("handle_event_function"), False)
    assert terminated["modules"] == [Atom(Clumsy.__qualname__)]


async def test_nothing_is_made_of_what_nobody_reads(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[Any] = []

    class Shy(Busy):
        def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
            asked.append(status)
            return status

    async def act(runtime: Runtime, door: ServerHandle) -> None:
        await sys.terminate(runtime, door, BAD)

    with caplog.at_level(logging.CRITICAL, "otp_behaviors"):
        await crashed(act, Shy)
    assert asked == []
    assert caplog.records == []
