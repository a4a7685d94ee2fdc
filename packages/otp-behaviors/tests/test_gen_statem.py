"""GenStatem: events, states and ends, with state functions and handle_event, as `def` and as `async def`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from etf_codec import Atom
from otp_behaviors import (
    SHUTDOWN,
    Call,
    Caller,
    Cast,
    Enter,
    Event,
    ExitError,
    GenStatem,
    Info,
    Internal,
    LocalRuntime,
    Runtime,
    Stop,
    state_function,
)

pytestmark = pytest.mark.anyio

A, B = Atom("a"), Atom("b")
BOOM, OTHER = Atom("boom"), Atom("other")

Act = Callable[[Any], Any]


class Obedient(GenStatem):
    """Does what the content of an event, which is a function here, tells it, and writes down what came."""

    entering: Act | None = None

    def init(self, log: list[Any], act: Act | None = None, at_end: Act | None = None) -> Any:
        self.log, self.at_end = log, at_end
        self.callers: list[Caller] = []
        self.next_state(A)
        if act is not None:
            act(self)

    @state_function
    def a(self, event: Event) -> Any:
        return self.obey(event)

    @state_function
    def b(self, event: Event) -> Any:
        return self.obey(event)

    def obey(self, event: Event) -> Any:
        self.event = event
        _, content = event.term
        name = getattr(content, "__name__", content)
        self.log.append(f"{self.state} {type(event).__name__} {name}")
        if type(event) is Enter:
            content, self.entering = self.entering, None
        return content(self) if callable(content) else None

    def terminate(self, reason: Any) -> Any:
        self.log.append((self.state, reason))
        if self.at_end is not None:
            self.at_end(self)


def unhurried(callback: Callable[..., Any]) -> Callable[..., Any]:
    """The same callback as a coroutine function that really waits."""

    async def wait_first(self: Obedient, *args: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return callback(self, *args)

    return wait_first


def handle_event(self: Obedient, event: Event, state: Any) -> Any:
    assert state == self.state
    return self.obey(event)


WAITING = {name: unhurried(getattr(Obedient, name)) for name in ("init", "a", "b", "terminate")}
CLASSES: dict[str, type[Obedient]] = {
    "def": Obedient,
    "async def": type("Unhurried", (Obedient,), WAITING),
    "def handle_event": type("Handler", (Obedient,), {"handle_event": handle_event}),
    "async def handle_event": type(
        "UnhurriedHandler", (Obedient,), WAITING | {"handle_event": unhurried(handle_event)}
    ),
}


@pytest.fixture(params=CLASSES)
def machine_class(request: pytest.FixtureRequest) -> type[Obedient]:
    return CLASSES[request.param]


@asynccontextmanager
async def running() -> AsyncIterator[Runtime]:
    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            yield runtime


def raising(error: Exception) -> Act:
    def act(machine: Obedient) -> None:
        raise error

    return act


def pong(machine: Obedient) -> None:
    assert isinstance(machine.event, Call)
    machine.reply(machine.event.caller, "pong")


def hold(machine: Obedient) -> None:
    assert isinstance(machine.event, Call)
    machine.callers.append(machine.event.caller)


def answer_all(machine: Obedient) -> None:
    for caller in machine.callers:
        machine.reply(caller, "late")


def nothing(machine: Obedient) -> None:
    pass


def trap(machine: Obedient) -> None:
    machine.trap_exit = True


def to_a(machine: Obedient) -> None:
    machine.next_state(A)


def to_b(machine: Obedient) -> None:
    machine.next_state(B)


def until_b(machine: Obedient) -> None:
    """Postponed in any state but b, where a call is answered."""
    if machine.state != B:
        machine.postpone()
    elif isinstance(machine.event, Call):
        pong(machine)


# Events


async def test_call_cast_and_info_are_handled_in_the_order_sent(machine_class: type[Obedient]) -> None:
    log: list[Any] = []
    async with running() as runtime:
        machine = await runtime.start(machine_class, log)
        await machine.cast(nothing)
        await machine.send("hello")
        assert await machine.call(pong) == "pong"
        await machine.cast(to_b)
        assert await machine.call(pong) == "pong"
    assert log == [
        "a Cast nothing",
        "a Info hello",
        "a Call pong",
        "a Cast to_b",
        "b Call pong",
        (B, SHUTDOWN),
    ]


async def test_a_call_may_be_answered_by_a_later_callback_and_once(machine_class: type[Obedient]) -> None:
    answers: list[Any] = []
    async with running() as runtime:
        machine = await runtime.start(machine_class, [])

        async def ask() -> None:
            answers.append(await machine.call(hold))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            tasks.start_soon(ask)
            while runtime.kernel.table.by_pid[machine.pid].reductions < 2:
                await anyio.lowlevel.checkpoint()
            assert answers == []
            await machine.cast(answer_all)
            await machine.cast(answer_all)
        assert answers == ["late", "late"]
        assert await machine.call(pong) == "pong"


async def test_one_event_at_a_time() -> None:
    trace: list[str] = []

    async def slow(machine: Obedient) -> None:
        trace.append("in")
        await anyio.lowlevel.checkpoint()
        trace.append("out")
        pong(machine)

    class Awaiting(Obedient):
        async def a(self, event: Event) -> None:
            await super().a(event)

    async with running() as runtime:
        machine = await runtime.start(Awaiting, [])
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(machine.call, slow)
    assert trace == ["in", "out"] * 5


async def test_postponed_events_come_back_first_and_in_their_order(machine_class: type[Obedient]) -> None:
    log: list[Any] = []

    def second(machine: Obedient) -> None:
        until_b(machine)

    def insert(machine: Obedient) -> None:
        machine.next_event(Internal(to_b))
        machine.next_event(Internal("inserted"))

    def start_with_mail(machine: Obedient) -> None:
        for message in (until_b, "1", second, insert, "2"):
            machine.send(machine.pid, message)

    async with running() as runtime:
        machine = await runtime.start(machine_class, log, start_with_mail)
        assert await machine.call(until_b) == "pong"
    assert log[:-1] == [
        *("a Info until_b", "a Info 1", "a Info second", "a Info insert", "a Internal to_b"),
        *("b Info until_b", "b Info second", "b Internal inserted", "b Info 2", "b Call until_b"),
    ]


async def test_postponed_events_wait_while_the_state_stays(machine_class: type[Obedient]) -> None:
    log: list[Any] = []

    def repeat(machine: Obedient) -> None:
        machine.repeat_state()

    async with running() as runtime:
        machine = await runtime.start(machine_class, log)
        for message in (until_b, to_a, repeat):
            await machine.cast(message)
        await machine.call(pong)
        assert log == ["a Cast until_b", "a Cast to_a", "a Cast repeat", "a Call pong"]
        log.clear()
        await machine.cast(to_b)
        await machine.call(pong)
        assert log == ["a Cast to_b", "b Cast until_b", "b Call pong"]


async def test_an_event_that_is_postponed_with_a_change_of_state_comes_back_at_once(
    machine_class: type[Obedient],
) -> None:
    log: list[Any] = []

    def move_on(machine: Obedient) -> None:
        until_b(machine)
        machine.next_state(B)

    async with running() as runtime:
        machine = await runtime.start(machine_class, log)
        assert await machine.call(move_on) == "pong"
    assert log[:2] == ["a Call move_on", "b Call move_on"]


async def test_inserted_events_go_before_postponed_ones_and_messages(machine_class: type[Obedient]) -> None:
    log: list[Any] = []

    def deeper(machine: Obedient) -> None:
        machine.next_event(Internal("3"))

    def insert(machine: Obedient) -> None:
        machine.next_event(Internal(deeper))
        machine.next_event(Cast("4"))
        machine.next_event(Info("5"))
        machine.next_state(B)

    def start_with_mail(machine: Obedient) -> None:
        for message in (until_b, insert, "message"):
            machine.send(machine.pid, message)

    async with running() as runtime:
        machine = await runtime.start(machine_class, log, start_with_mail)
        assert await machine.call(pong) == "pong"
    assert log[:-1] == [
        *("a Info until_b", "a Info insert", "b Internal deeper", "b Internal 3", "b Cast 4", "b Info 5"),
        *("b Info until_b", "b Info message", "b Call pong"),
    ]


async def test_a_call_may_be_inserted_as_another_one(machine_class: type[Obedient]) -> None:
    log: list[Any] = []

    def translate(machine: Obedient) -> None:
        assert isinstance(machine.event, Call)
        machine.next_event(Call(machine.event.caller, pong))

    async with running() as runtime:
        machine = await runtime.start(machine_class, log, lambda machine: machine.next_event(Cast("first")))
        assert await machine.call(translate) == "pong"
    assert log[:3] == ["a Cast first", "a Call translate", "a Call pong"]


# Entering a state


@pytest.fixture
def entering_class(machine_class: type[Obedient]) -> type[Obedient]:
    """A class whose states get an Enter first, which does what `entering` says."""
    return type("Entering", (machine_class,), {"state_enter": True})


async def test_a_state_is_entered_before_anything_happens_in_it(entering_class: type[Obedient]) -> None:
    log: list[Any] = []

    def first(machine: Obedient) -> None:
        machine.send(machine.pid, until_b)
        machine.next_event(Internal("inserted"))

    async with running() as runtime:
        machine = await runtime.start(entering_class, log, first)
        await machine.cast(to_a)
        await machine.cast(to_b)
        await machine.cast(to_a)
        await machine.call(pong)
    assert log[:-1] == [
        *("a Enter a", "a Internal inserted", "a Info until_b", "a Cast to_a", "a Cast to_b"),
        *("b Enter a", "b Info until_b", "b Cast to_a", "a Enter b", "a Call pong"),
    ]


async def test_no_state_is_entered_unless_the_class_wants_it(machine_class: type[Obedient]) -> None:
    log: list[Any] = []
    async with running() as runtime:
        machine = await runtime.start(machine_class, log)
        await machine.cast(to_b)
    assert log == ["a Cast to_b", (B, SHUTDOWN)]


async def test_a_state_that_is_repeated_is_entered_anew(entering_class: type[Obedient]) -> None:
    log: list[Any] = []

    def repeat(machine: Obedient) -> None:
        machine.repeat_state()

    def repeat_twice(machine: Obedient) -> None:
        machine.entering = to_b_again
        machine.next_state(B)

    def to_b_again(machine: Obedient) -> None:
        machine.next_state(B)
        machine.repeat_state()

    async with running() as runtime:
        machine = await runtime.start(entering_class, log)
        await machine.cast(repeat)
        await machine.cast(repeat_twice)
    assert log[:-1] == [
        "a Enter a",
        "a Cast repeat",
        "a Enter a",
        "a Cast repeat_twice",
        "b Enter a",
        "b Enter a",
    ]


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (to_a, (Atom("bad_state_enter_return_from_state_function"), (Atom("next_state"), A))),
        (
            lambda machine: machine.postpone(),
            (Atom("bad_state_enter_action_from_state_function"), Atom("postpone")),
        ),
        (
            lambda machine: machine.next_event(Internal(1)),
            (
                Atom("bad_state_enter_action_from_state_function"),
                (Atom("next_event"), Atom("internal"), 1),
            ),
        ),
        (lambda machine: "pong", (Atom("bad_return_from_state_function"), "pong")),
        (raising(Stop(BOOM, reply="bye")), BOOM),
    ],
    ids=["next_state", "postpone", "next_event", "return", "Stop"],
)
async def test_what_must_not_be_done_while_a_state_is_entered_is_the_end(
    entering_class: type[Obedient], act: Act, reason: Any
) -> None:
    log: list[Any] = []

    def go(machine: Obedient) -> None:
        machine.entering = act
        machine.next_state(B)

    async with running() as runtime:
        machine = await runtime.start(entering_class, log)
        watch = machine.monitor()
        if reason == BOOM:
            assert await machine.call(go) == "bye"
        else:
            await machine.cast(go)
        assert (await watch).reason == reason
    assert log[-2:] == ["b Enter a", (B, reason)]


async def test_a_state_that_cannot_be_entered_is_not_that_of_the_end(entering_class: type[Obedient]) -> None:
    log: list[Any] = []

    def go(machine: Obedient) -> None:
        machine.entering = raising(ExitError(BOOM))
        machine.next_state(B)

    async with running() as runtime:
        machine = await runtime.start(entering_class, log)
        watch = machine.monitor()
        await machine.cast(go)
        assert (await watch).reason == BOOM
    assert log[-2:] == ["b Enter a", (A, BOOM)]


async def test_who_called_may_be_answered_when_the_next_state_is_entered(
    entering_class: type[Obedient],
) -> None:
    def go(machine: Obedient) -> None:
        hold(machine)
        machine.entering = answer_all
        machine.next_state(B)

    async with running() as runtime:
        machine = await runtime.start(entering_class, [])
        assert await machine.call(go) == "late"


# What a callback must not do


async def test_only_a_change_of_state_has_it_entered(machine_class: type[Obedient]) -> None:
    async with running() as runtime:
        machine = await runtime.start(machine_class, [])
        watch = machine.monitor()
        await machine.cast(lambda machine: machine.next_event(Enter(B)))
        action = (Atom("next_event"), Atom("enter"), B)
        assert (await watch).reason == (Atom("bad_action_from_state_function"), action)


async def test_what_a_callback_returns_is_refused(machine_class: type[Obedient]) -> None:
    log: list[Any] = []
    async with running() as runtime:
        machine = await runtime.start(machine_class, log)
        watch = machine.monitor()
        await machine.cast(lambda machine: "pong")
        reason = (await watch).reason
        assert reason == (Atom("bad_return_from_state_function"), "pong")
    assert log[-1] == (A, reason)
