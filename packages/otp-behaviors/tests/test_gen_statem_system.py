"""A GenStatem seen by sys, with callbacks as `def` and as `async def`: its state, its code, its debugging."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
    Call,
    CallTimeout,
    Cast,
    Enter,
    Event,
    ExitError,
    GenStatem,
    Info,
    Internal,
    LocalRuntime,
    Process,
    Runtime,
    ServerHandle,
    StateTimeout,
    Stop,
    state_function,
    sys,
)

pytestmark = pytest.mark.anyio

CLOSED, OPEN, AJAR = Atom("closed"), Atom("open"), Atom("ajar")
VISITS, ENTER, LOCK = Atom("visits"), Atom("enter"), Atom("lock")


class Door(GenStatem):
    """Lets in who asks while it is open; others wait in front of it."""

    def init(self) -> Any:
        self.visits = 0
        self.next_state(CLOSED)

    @state_function
    def closed(self, event: Event) -> Any:
        match event:
            case Cast(Atom("open")):
                self.set_state_timeout(3600.0, LOCK)
                self.set_timeout("guard", 0)
                self.next_event(Internal(1))
                self.next_state(OPEN)
            case Call():
                self.postpone()

    @state_function
    def open(self, event: Event) -> Any:
        match event:
            case Call(caller, Atom("enter")):
                self.visits += 1
                self.reply(caller, self.visits)
            case Call(_, Atom("leave")):
                raise Stop(reply="bye")
            case Cast(Atom("close")) | StateTimeout():
                self.next_state(CLOSED)
            case Info(list(seen)):
                seen.append(self.visits)

    def terminate(self, reason: Any) -> Any:
        self.ended = reason


class AsyncDoor(Door):
    async def init(self) -> None:
        await anyio.lowlevel.checkpoint()
        super().init()

    async def closed(self, event: Event) -> None:
        await anyio.lowlevel.checkpoint()
        super().closed(event)

    async def open(self, event: Event) -> None:
        await anyio.lowlevel.checkpoint()
        super().open(event)

    async def terminate(self, reason: Any) -> None:
        await anyio.lowlevel.checkpoint()
        super().terminate(reason)


@pytest.fixture(params=[Door, AsyncDoor], ids=["def", "async def"])
def door_class(request: pytest.FixtureRequest) -> type[Door]:
    door_class: type[Door] = request.param
    return door_class


@asynccontextmanager
async def hung(door_class: type[GenStatem] = Door) -> AsyncIterator[tuple[Runtime, ServerHandle]]:
    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            yield runtime, await runtime.start(door_class, name="door")


@asynccontextmanager
async def waiting(runtime: Runtime, door: ServerHandle, answers: list[Any]) -> AsyncIterator[None]:
    """Somebody asks to enter meanwhile, and has been heard when this begins."""

    async def ask() -> None:
        answers.append(await door.call(ENTER))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        record: Any = runtime.kernel.table.by_pid[door.pid]
        while not record.postponed:
            await anyio.lowlevel.checkpoint()
        yield


def chars(text: str) -> list[int]:
    return list(map(ord, text))


async def facts_of(runtime: Runtime, door: ServerHandle) -> dict[str, Any]:
    """What get_status tells, by name."""
    *_, misc = (await sys.get_status(runtime, door))[3]
    return {"".join(map(chr, key)): value for _, facts in misc[1:] for key, value in facts}


# State


async def test_the_state_is_that_and_the_attributes(door_class: type[Door]) -> None:
    answers: list[Any] = []

    async def asker(process: Process) -> None:
        answers.append(await sys.get_state(process, "door"))

    async with hung(door_class) as (runtime, door):
        assert await sys.get_state(runtime, door) == (CLOSED, {VISITS: 0})
        await door.cast(OPEN)
        await door.call(ENTER)
        await runtime.monitor(runtime.spawn(asker))
    assert answers == [(OPEN, {VISITS: 1})]


async def test_replacing_the_state_and_the_attributes(door_class: type[Door]) -> None:
    async with hung(door_class) as (runtime, door):
        new = (OPEN, {VISITS: 40})
        assert await sys.replace_state(runtime, door, lambda state: new) == new
        assert await door.call(ENTER) == 41
        assert await sys.get_state(runtime, door) == (OPEN, {VISITS: 41})


async def test_a_state_that_is_replaced_is_not_entered_and_nothing_postponed_comes_back() -> None:
    entered: list[Any] = []

    class Noting(Door):
        state_enter = True

        def handle_event(self, event: Event, state: Any) -> None:
            if isinstance(event, Enter):
                entered.append((event.content, state))
            else:
                super().handle_event(event, state)

    answers: list[Any] = []
    async with hung(Noting) as (runtime, door), waiting(runtime, door, answers):
        await sys.replace_state(runtime, door, lambda state: (OPEN, state[1]))
        assert await door.call(ENTER) == 1
        assert (entered, answers) == ([(CLOSED, CLOSED)], [])
        await door.cast(Atom("close"))
        await door.cast(OPEN)
    assert answers == [2]


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda state: state[2], "IndexError"),
        (lambda state: OPEN, "TypeError"),
        (lambda state: (OPEN, None), "TypeError"),
        (lambda state: (OPEN, {}, 1), "ValueError"),
    ],
)
async def test_a_function_that_fails_leaves_all_as_it_was(function: Any, name: str) -> None:
    async with hung() as (runtime, door):
        with pytest.raises(ExitError) as caught:
            await sys.replace_state(runtime, door, function)
        tag, callback, (_, (error, _)) = caught.value.reason
        assert (tag, error) == (Atom("callback_failed"), Atom(name))
        assert callback == (Atom("gen_statem"), Atom("system_replace_state"))
        assert await sys.get_state(runtime, door) == (CLOSED, {VISITS: 0})


# Suspended


async def test_a_suspended_machine_keeps_its_mail_in_order(door_class: type[Door]) -> None:
    seen: list[int] = []
    answers: list[Any] = []
    async with hung(door_class) as (runtime, door), waiting(runtime, door, answers):
        await sys.suspend(runtime, door)
        await door.cast(OPEN)
        await door.send(seen)
        with pytest.raises(CallTimeout):
            await door.call(ENTER, timeout=0.01)
        await door.send(seen)
        assert await sys.get_state(runtime, door) == (CLOSED, {VISITS: 0})
        assert (seen, answers) == ([], [])
        await sys.resume(runtime, door)
        assert await door.call(ENTER) == 3
    assert seen == [1, 2]
    assert answers == [1]


async def test_a_suspended_machine_ends_when_told_to(door_class: type[Door]) -> None:
    async with hung(door_class) as (runtime, door):
        record: Any = runtime.kernel.table.by_pid[door.pid]
        await sys.suspend(runtime, door)
        watch = door.monitor()
        await sys.terminate(runtime, door, SHUTDOWN)
        assert (await watch).reason == SHUTDOWN
        assert record.instance.ended == SHUTDOWN


async def test_a_suspended_machine_can_be_killed(door_class: type[Door]) -> None:
    async with hung(door_class) as (runtime, door):
        record: Any = runtime.kernel.table.by_pid[door.pid]
        await sys.suspend(runtime, door)
        watch = door.monitor()
        runtime.exit(door.pid, KILL)
        assert (await watch).reason == KILLED
        assert not hasattr(record.instance, "ended")


async def test_a_suspended_machine_ends_with_its_parent(door_class: type[Door]) -> None:
    ends: list[Any] = []

    class Trapping(door_class):  # type: ignore[misc, valid-type]  # the class is a fixture
        def init(self) -> Any:
            self.trap_exit = True
            return super().init()

        def terminate(self, reason: Any) -> Any:
            ends.append(reason)

    async def parent(process: Process) -> None:
        child = await process.start(Trapping, link=True)
        await sys.suspend(process, child)
        process.send(child, "mail")
        process.send("test", child)

    async def witness(process: Process) -> None:
        child = await process.receive()
        process.monitor(child)
        await process.receive()

    async with hung() as (runtime, _):
        watch = runtime.monitor(runtime.spawn(witness, name="test"))
        runtime.spawn(parent)
        await watch
    assert ends == [NORMAL]


# Code


class Version2(Door):
    state_enter = True

    def code_change(self, old_version: Any, extra: Any) -> Any:
        self.total = self.visits + extra
        self.was = (old_version, self.state)
        del self.visits
        self.next_state(AJAR)

    @state_function
    def ajar(self, event: Event) -> None:
        match event:
            case Call(caller, _):
                self.reply(caller, (self.total, self.was))
            case Cast(state):
                self.next_state(state)
            case Enter():
                self.total = -1

    def open(self, event: Event) -> Any:
        if isinstance(event, Call):
            self.reply(event.caller, "v2")


class AsyncVersion2(Version2):
    async def code_change(self, old_version: Any, extra: Any) -> None:
        await anyio.lowlevel.checkpoint()
        super().code_change(old_version, extra)


@pytest.mark.parametrize("version", [Version2, AsyncVersion2])
async def test_changing_the_code_the_data_and_the_state(
    door_class: type[Door], version: type[Version2]
) -> None:
    answers: list[Any] = []
    async with hung(door_class) as (runtime, door), waiting(runtime, door, answers):
        with pytest.raises(ExitError, match="unknown_system_msg"):
            await sys.change_code(runtime, door, version, 1, 10)
        await sys.suspend(runtime, door)
        await sys.change_code(runtime, door, version, 1, 10)
        assert (await sys.get_state(runtime, door))[0] == AJAR
        await sys.resume(runtime, door)
        assert await door.call(ENTER) == (10, (1, CLOSED))
        assert answers == []
        await door.cast(OPEN)
    assert answers == ["v2"]


async def test_code_may_change_the_state_that_has_just_been_entered() -> None:
    class Entered(Door):
        state_enter = True

    async with hung(Entered) as (runtime, door):
        await sys.suspend(runtime, door)
        await sys.change_code(runtime, door, Version2, 1, 10)
        assert (await sys.get_state(runtime, door))[0] == AJAR
        await sys.resume(runtime, door)
        assert await door.call(ENTER) == (10, (1, CLOSED))


class Quiet(Door):
    pass


@pytest.mark.parametrize(("version", "after"), [(Quiet, Quiet), (Atom("Elixir.Door"), Door)], ids=repr)
async def test_code_that_changes_no_state_keeps_it(version: Any, after: type[Door]) -> None:
    async with hung() as (runtime, door):
        await door.cast(OPEN)
        await sys.suspend(runtime, door)
        record: Any = runtime.kernel.table.by_pid[door.pid]
        await sys.change_code(runtime, door, version, 1, 2)
        assert type(record.instance) is after
        assert await sys.get_state(runtime, door) == (OPEN, {VISITS: 0})
        await sys.resume(runtime, door)
        assert await door.call(ENTER) == 1


async def test_a_code_change_that_fails_is_told_and_changes_no_state() -> None:
    class Bad(Door):
        def code_change(self, old_version: Any, extra: Any) -> None:
            self.next_state(OPEN)
            raise ValueError("cannot convert")

    async with hung() as (runtime, door):
        await sys.suspend(runtime, door)
        with pytest.raises(ExitError, match="cannot convert"):
            await sys.change_code(runtime, door, Bad, 1, 2)
        assert (await sys.get_state(runtime, door))[0] == CLOSED
        await sys.resume(runtime, door)


# Status


async def test_status(door_class: type[Door]) -> None:
    answers: list[Any] = []
    async with hung(door_class) as (runtime, door):
        async with waiting(runtime, door, answers):
            await sys.suspend(runtime, door)
            status = await sys.get_status(runtime, door)
            tag, pid, module, (dictionary, state, parent, debug, misc) = status
            assert (tag, pid, module) == (
                Atom("status"),
                door.pid,
                (Atom("module"), Atom("gen_statem")),
            )
            assert dict(dictionary)[Atom("$initial_call")][1] == Atom(f"{door_class.__qualname__}.init")
            assert (state, debug) == (Atom("suspended"), [])
            assert misc[0] == (Atom("header"), chars("Status for state machine door"))
            facts = await facts_of(runtime, door)
            assert list(facts)[:3] == ["Status", "Parent", "Modules"]
            ((_, caller), request) = facts["Postponed"][0][0], facts["Postponed"][0][1]
            assert (caller[0], request) == (parent, ENTER)
            await sys.resume(runtime, door)
            await door.cast(OPEN)
        assert await facts_of(runtime, door) == {
            "Status": Atom("running"),
            "Parent": parent,
            "Modules": [Atom(door_class.__qualname__)],
            "Time-outs": (1, [(Atom("state_timeout"), LOCK)]),
            "Logged Events": [],
            "Postponed": [],
            "State": (OPEN, {VISITS: 1}),
        }


async def test_format_status_decides_what_is_shown_of_anything() -> None:
    class Reserved(Door):
        debug_options = (("log", 5),)

        def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
            assert status["state"] == OPEN
            return dict.fromkeys(("data", "postponed", "timeouts", "log"), "secret")

    async with hung(Reserved) as (runtime, door):
        await door.cast(OPEN)
        facts = await facts_of(runtime, door)
    assert facts["State"] == (OPEN, "secret")
    assert facts["Logged Events"] == facts["Postponed"] == "secret"
    assert facts["Time-outs"] == (1, "secret")


async def test_a_format_status_that_fails_shows_no_data() -> None:
    class Clumsy(Door):
        def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
            raise KeyError("oops")

    async with hung(Clumsy) as (runtime, door):
        state, data = (await facts_of(runtime, door))["State"]
    assert state == CLOSED
    assert bytes(data).endswith(b"Clumsy.format_status raised KeyError")
