"""Which method of a GenStatem handles an event: that of the state, inherited or not, or handle_event."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from etf_codec import Atom
from otp_behaviors import (
    Call,
    Cast,
    Enter,
    Event,
    ExitError,
    GenStatem,
    LocalRuntime,
    Runtime,
    Unhandled,
    state_function,
)

pytestmark = pytest.mark.anyio

CLOSED = Atom("closed")


@asynccontextmanager
async def running() -> AsyncIterator[Runtime]:
    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            yield runtime


class Door(GenStatem):
    def init(self, state: Any = CLOSED) -> None:
        self.next_state(state)

    @state_function
    def closed(self, event: Event) -> Any:
        self.answer(event, "closed")

    @state_function
    def open(self, event: Event) -> None:
        self.answer(event, "open")

    def answer(self, event: Event, text: str) -> None:
        match event:
            case Call(caller, "where"):
                self.reply(caller, text)
            case Cast(state):
                self.next_state(state)
            case _:
                self.unhandled(event)


class Bell:
    """No state machine by itself: it lends its state to one."""

    @state_function
    async def ringing(self: Any, event: Event) -> None:
        await anyio.lowlevel.checkpoint()
        self.answer(event, "ringing")


class Gate(Bell, Door):
    def open(self, event: Event) -> None:
        self.answer(event, "wide open")


class Wall(Door):
    @state_function
    async def closed(self, event: Event) -> None:
        self.answer(event, "for ever")


class Both(Gate, Wall):
    pass


@pytest.mark.parametrize(
    ("door", "states", "texts"),
    [
        (Door, ("closed", "open"), ["closed", "open"]),
        (Gate, ("closed", "open", "ringing"), ["closed", "wide open", "ringing"]),
        (Both, ("closed", "open", "ringing"), ["for ever", "wide open", "ringing"]),
    ],
)
async def test_state_functions_are_inherited_and_overridden(
    door: type[Door], states: tuple[str, ...], texts: list[str]
) -> None:
    async with running() as runtime:
        machine = await runtime.start(door)
        found = []
        for state in states:
            await machine.cast(Atom(state))
            found.append(await machine.call("where"))
    assert found == texts
    assert door.callback_mode == "state_functions"


@pytest.mark.parametrize("state", [Atom("answer"), "closed", 7, [1]], ids=repr)
async def test_a_state_without_a_function_is_a_crash_at_its_first_event(state: Any) -> None:
    async with running() as runtime:
        machine = await runtime.start(Door, state)
        watch = machine.monitor()
        with pytest.raises(ExitError) as caught:
            await machine.call("where")
        assert caught.value.reason[0] == (Atom("bad_state"), state)
        assert (await watch).reason == (Atom("bad_state"), state)


async def test_an_event_without_a_clause_is_a_crash() -> None:
    async with running() as runtime:
        machine = await runtime.start(Door)
        watch = machine.monitor()
        await machine.send("what")
        assert (await watch).reason == (Atom("bad_event"), CLOSED, (Atom("info"), "what"))


async def test_what_is_unhandled_is_said_for_people_too() -> None:
    errors: list[Exception] = []

    class Curious(Door):
        def closed(self, event: Event) -> Any:
            try:
                super().closed(event)
            except Unhandled as error:
                errors.append(error)

    async with running() as runtime:
        machine = await runtime.start(Curious)
        await machine.send("what")
    assert [str(error) for error in errors] == [
        "Curious has no clause for Info(content='what') in state Atom('closed')"
    ]


@pytest.mark.parametrize(
    ("states", "entered"),
    [([1, 1, True, True, 1.0], 3), ([[1], [1], (1,), (1.0,)], 3), ([{1: (2,)}, {1: (2,)}, None], 2)],
)
async def test_states_are_any_terms_and_the_same_if_erlang_says_so(states: list[Any], entered: int) -> None:
    class Recorder(GenStatem):
        state_enter = True

        def init(self) -> None:
            self.entered: list[Any] = []
            self.next_state(states[0])

        def handle_event(self, event: Event, state: Any) -> None:
            match event:
                case Enter(old):
                    self.entered.append((old, state))
                case Cast(new):
                    self.next_state(new)
                case Call(caller, _):
                    self.reply(caller, self.entered)

    async with running() as runtime:
        machine = await runtime.start(Recorder)
        for state in states[1:]:
            await machine.cast(state)
        found = await machine.call("get")
    assert len(found) == entered
    assert found[0] == (states[0], states[0])
    assert found[-1][1] is states[-1]
    assert Recorder.callback_mode == "handle_event_function"
