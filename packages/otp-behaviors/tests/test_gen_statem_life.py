"""The life of a GenStatem: its start, its parent and supervisor, its turns among others, its end."""

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
    NORMAL,
    SHUTDOWN,
    BadReturn,
    Call,
    Cast,
    Child,
    Down,
    Event,
    Exit,
    ExitError,
    GenStatem,
    Ignore,
    Internal,
    Kernel,
    LocalRuntime,
    NameTaken,
    NoProcess,
    Process,
    Runtime,
    Stop,
    Supervisor,
    process_info,
)
from otp_behaviors._kernel import TURN

BOOM, OTHER = Atom("boom"), Atom("other")

Act = Callable[[Any], Any]
Spawn = Callable[..., Pid]


def ready(machine: GenStatem) -> None:
    machine.next_state("ready")


class Mortal(GenStatem):
    """Does what calls and casts, which are functions, tell it; writes down its end, and what else comes."""

    def init(self, log: list[Any], act: Act = ready, at_end: Act | None = None) -> Any:
        self.log, self.at_end = log, at_end
        act(self)

    def handle_event(self, event: Event, state: Any) -> Any:
        match event:
            case Call(caller, "ping"):
                self.reply(caller, "pong")
            case Call(caller, act):
                self.caller = caller
                act(self)
            case Cast(act):
                act(self)
            case _:
                self.log.append(event.term[1])

    def terminate(self, reason: Any) -> Any:
        self.log.append(("terminate", reason))
        if self.at_end is not None:
            self.at_end(self)


class Unhurried(Mortal):
    async def init(self, log: list[Any], act: Act = ready, at_end: Act | None = None) -> Any:
        await anyio.lowlevel.checkpoint()
        super().init(log, act, at_end)

    async def handle_event(self, event: Event, state: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        super().handle_event(event, state)

    async def terminate(self, reason: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        super().terminate(reason)


@pytest.fixture(params=[Mortal, Unhurried], ids=["def", "async def"])
def machine_class(request: pytest.FixtureRequest) -> type[Mortal]:
    machine_class: type[Mortal] = request.param
    return machine_class


@asynccontextmanager
async def running() -> AsyncIterator[Runtime]:
    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            yield runtime


def raising(error: Exception) -> Act:
    def act(machine: Mortal) -> None:
        raise error

    return act


def trap(machine: Mortal) -> None:
    machine.trap_exit = True
    ready(machine)


# Starts


@pytest.mark.anyio
async def test_init_that_names_no_state_is_no_start(machine_class: type[Mortal]) -> None:
    def forget(machine: Mortal) -> None:
        machine.set_state_timeout(0.0)

    async with running() as runtime:
        before = dict(runtime.kernel.table.by_pid)
        with pytest.raises(BadReturn, match="init has not called next_state") as caught:
            await runtime.start(machine_class, [], forget, name="x")
        assert caught.value.reason == (Atom("bad_return_from_init"), None)
        assert runtime.whereis("x") is None
        assert runtime.kernel.table.by_pid == before


@pytest.mark.anyio
@pytest.mark.parametrize("error", [Stop(BOOM), ExitError(BOOM)], ids=["Stop", "ExitError"])
async def test_init_may_refuse(machine_class: type[Mortal], error: Exception) -> None:
    log: list[Any] = []
    async with running() as runtime:
        with pytest.raises(ExitError) as caught:
            await runtime.start(machine_class, log, raising(error), name="x")
        assert caught.value.reason == BOOM
        await runtime.start(machine_class, log, name="x")
        assert log == []


@pytest.mark.anyio
async def test_init_may_crash(machine_class: type[Mortal]) -> None:
    error = ValueError("no")
    async with running() as runtime:
        with pytest.raises(ExitError) as caught:
            await runtime.start(machine_class, [], raising(error))
        assert caught.value.reason[0] == (Atom("ValueError"), b"no")
        assert caught.value.__cause__ is error


@pytest.mark.anyio
async def test_init_may_be_ignored(machine_class: type[Mortal], caplog: pytest.LogCaptureFixture) -> None:
    async with running() as runtime:
        before = dict(runtime.kernel.table.by_pid)
        with pytest.raises(Ignore):
            await runtime.start(machine_class, [], raising(Ignore()), name="x")
        assert runtime.kernel.table.by_pid == before
    assert caplog.records == []


@pytest.mark.anyio
async def test_a_name_belongs_to_one_machine_as_long_as_it_lives(machine_class: type[Mortal]) -> None:
    async with running() as runtime:
        first = await runtime.start(machine_class, [], name="x")
        with pytest.raises(NameTaken) as caught:
            await runtime.start(machine_class, [], name="x")
        assert caught.value.reason == (Atom("already_started"), first.pid)
        assert await runtime.call("x", "ping") == "pong"
        await runtime.stop("x")
        second = await runtime.start(machine_class, [], name="x")
        assert runtime.whereis("x") == second.pid != first.pid


# Ends


@pytest.mark.anyio
async def test_stop_from_outside_runs_terminate(machine_class: type[Mortal]) -> None:
    log: list[Any] = []
    async with running() as runtime:
        machine = await runtime.start(machine_class, log)
        await machine.stop(BOOM)
        assert log == [("terminate", BOOM)]
        with pytest.raises(NoProcess):
            await machine.stop()


@pytest.mark.anyio
async def test_a_reply_with_the_end_is_sent_before_terminate_runs(machine_class: type[Mortal]) -> None:
    """Unlike in a GenServer."""
    lengths: list[Any] = []
    replies: list[Any] = []

    async def asker(process: Process, to: Pid) -> None:
        process.send(to, (Atom("$gen_call"), (process.pid, "tag"), raising(Stop(BOOM, reply="bye"))))
        await process.receive(lambda message: message == "end")
        replies.append(await process.receive())

    async with running() as runtime:

        def look(machine: Mortal) -> None:
            lengths.append(machine.process_info(asking, ["message_queue_len"]))

        machine = await runtime.start(machine_class, [], ready, look, name="x")
        asking = runtime.spawn(asker, machine.pid)
        assert (await machine.monitor()).reason == BOOM
        assert runtime.whereis("x") is None
        watch = runtime.monitor(asking)
        await runtime.send(asking, "end")
        await watch
    assert lengths == [{"message_queue_len": 1}]
    assert replies == [("tag", "bye")]


@pytest.mark.anyio
async def test_a_reply_with_the_end_needs_a_caller(machine_class: type[Mortal]) -> None:
    async with running() as runtime:
        machine = await runtime.start(machine_class, [])
        watch = machine.monitor()
        await machine.cast(raising(Stop(BOOM, reply="bye")))
        assert (await watch).reason == BOOM


@pytest.mark.anyio
@pytest.mark.parametrize("error", [Stop((SHUTDOWN, 1)), ExitError((SHUTDOWN, 1))], ids=["Stop", "ExitError"])
async def test_a_caller_learns_of_an_end_without_a_reply(
    machine_class: type[Mortal], error: Exception
) -> None:
    log: list[Any] = []
    async with running() as runtime:
        machine = await runtime.start(machine_class, log)
        with pytest.raises(ExitError) as caught:
            await machine.call(raising(error))
        assert caught.value.reason[0] == (SHUTDOWN, 1)
    assert log == [("terminate", (SHUTDOWN, 1))]


@pytest.mark.anyio
async def test_a_crash_is_an_exit_for_the_caller(machine_class: type[Mortal]) -> None:
    log: list[Any] = []
    async with running() as runtime:
        machine = await runtime.start(machine_class, log)
        watch = machine.monitor()
        with pytest.raises(ExitError) as caught:
            await machine.call(raising(ValueError("no such value")))
        reason, _ = caught.value.reason
        assert reason[0] == (Atom("ValueError"), b"no such value")
        assert reason[1][0][1] == Atom("act")
        assert (await watch).reason == reason
    assert log == [("terminate", reason)]


@pytest.mark.anyio
@pytest.mark.parametrize("error", [Stop(OTHER), ExitError(OTHER)], ids=["Stop", "ExitError"])
async def test_what_terminate_raises_is_the_reason(machine_class: type[Mortal], error: Exception) -> None:
    async with running() as runtime:
        machine = await runtime.start(machine_class, [], ready, raising(error))
        watch = machine.monitor()
        assert await machine.call(raising(Stop(BOOM, reply="bye"))) == "bye"
        assert (await watch).reason == OTHER


@pytest.mark.anyio
async def test_kill_does_not_run_terminate(machine_class: type[Mortal]) -> None:
    log: list[Any] = []
    async with running() as runtime:
        machine = await runtime.start(machine_class, log, trap)
        watch = machine.monitor()
        runtime.exit(machine.pid, KILL)
        assert (await watch).reason == KILLED
    assert log == []


@pytest.mark.anyio
@pytest.mark.parametrize("error", [None, Stop(BOOM), ValueError("now")], ids=repr)
async def test_a_kill_amid_a_callback_ends_it_there(error: Exception | None) -> None:
    log: list[Any] = []
    begun = anyio.Event()

    class Patient(Mortal):
        async def handle_event(self, event: Event, state: Any) -> None:
            try:
                begun.set()
                await anyio.sleep_forever()
            finally:
                log.append("cancelled")
                if error is not None:
                    raise error

    async with running() as runtime:
        machine = await runtime.start(Patient, log)
        await machine.cast("begin")
        await begun.wait()
        watch = machine.monitor()
        runtime.exit(machine.pid, KILL)
        assert (await watch).reason == KILLED
    assert log == ["cancelled"]


@pytest.mark.anyio
@pytest.mark.parametrize("enters", [True, False])
async def test_nothing_follows_a_callback_that_killed_its_machine(enters: bool) -> None:
    log: list[Any] = []

    class Quick(Mortal):
        state_enter = enters

        async def handle_event(self, event: Event, state: Any) -> None:
            super().handle_event(event, state)

    def kill_itself(machine: Mortal) -> None:
        machine.exit(machine.pid, KILL)
        machine.set_timeout("late", 1000.0)
        machine.next_state("dead")

    async with running() as runtime:
        machine = await runtime.start(Quick, log)
        watch = machine.monitor()
        await machine.cast(kill_itself)
        assert (await watch).reason == KILLED
        await anyio.wait_all_tasks_blocked()
        assert runtime.kernel.timers.owned == {}
    assert log == ["ready"] * enters


# Among others


def watch_it(machine: Mortal, pid: Pid) -> None:
    machine.monitor(pid)


@pytest.mark.anyio
@pytest.mark.parametrize("trapping", [True, False], ids=["trapping", "not trapping"])
async def test_the_end_of_the_parent(machine_class: type[Mortal], trapping: bool) -> None:
    log: list[Any] = []
    started: list[Pid] = []
    begun = anyio.Event()

    async def parent(self: Process) -> None:
        started.append(await self.start(machine_class, log, trap if trapping else ready, link=True))
        begun.set()
        await self.receive()
        raise ExitError(BOOM)

    async with running() as runtime:
        pid = runtime.spawn(parent)
        await begun.wait()
        watch = runtime.monitor(started[0])
        await runtime.send(pid, "end")
        assert (await watch).reason == BOOM
    assert log == ([("terminate", BOOM)] if trapping else [])


@pytest.mark.anyio
async def test_the_end_of_anybody_else_is_an_event(machine_class: type[Mortal]) -> None:
    log: list[Any] = []

    async def stranger(self: Process, to: Pid) -> None:
        self.link(to)
        await self.receive()
        raise ExitError(BOOM)

    async with running() as runtime:
        machine = await runtime.start(machine_class, log, trap)
        pid = runtime.spawn(stranger, machine.pid)
        await machine.cast(lambda machine: watch_it(machine, pid))
        assert await machine.call("ping") == "pong"
        watch = runtime.monitor(pid)
        await runtime.send(pid, "end")
        await watch
        assert await machine.call("ping") == "pong"
    exit, down = sorted(log[:2], key=len)
    assert exit == Exit(pid, BOOM)
    assert (type(down), down.who, down.reason) == (Down, pid, BOOM)


@pytest.mark.anyio
async def test_a_machine_that_crashes_takes_down_who_is_linked_with_it(machine_class: type[Mortal]) -> None:
    async def partner(self: Process, to: Pid) -> None:
        self.link(to)
        self.cast(to, raising(ExitError(BOOM)))
        await self.receive()

    async with running() as runtime:
        machine = await runtime.start(machine_class, [])
        assert (await runtime.monitor(runtime.spawn(partner, machine.pid))).reason == BOOM


@pytest.mark.anyio
async def test_a_supervisor_starts_a_machine_again(machine_class: type[Mortal]) -> None:
    log: list[Any] = []
    async with running() as runtime:
        await runtime.start(Supervisor(Child(machine_class, log, name="machine")))
        first = runtime.whereis("machine")
        watch = runtime.monitor("machine")
        await runtime.cast("machine", raising(ExitError(BOOM)))
        await watch
        while runtime.whereis("machine") is None:
            await anyio.lowlevel.checkpoint()
        assert runtime.whereis("machine") != first
        assert await runtime.call("machine", "ping") == "pong"
    assert log == [("terminate", BOOM)]


@pytest.mark.anyio
async def test_a_supervisor_stops_a_machine_that_traps_exits(machine_class: type[Mortal]) -> None:
    log: list[Any] = []
    async with running() as runtime:
        tree = await runtime.start(Supervisor(Child(machine_class, log, trap)))
        await tree.stop(NORMAL)
    assert log == [("terminate", SHUTDOWN)]


# Turns


class Endless(GenStatem):
    def init(self) -> None:
        self.next_state("turning")
        self.next_event(Internal("again"))

    def handle_event(self, event: Event, state: Any) -> None:
        if type(event) is Internal:
            self.next_event(event)


def test_a_machine_that_inserts_events_for_ever_lets_others_have_their_turns(
    kernel: Kernel, spawn: Spawn
) -> None:
    heard: list[Any] = []

    async def listener(process: Process) -> None:
        while True:
            heard.append(await process.receive())

    listening = spawn(listener)
    endless = kernel.spawn(Endless.__process__(kernel, ()))
    for number in range(50):
        kernel.send(listening, endless, "mail")
        kernel.send(listening, listening, number)
        kernel.run(3 * TURN)
    assert heard == list(range(50))
    # However much waits for it, it has one place in the run queue.
    assert len(kernel.run_queue) <= 2
    assert process_info(kernel, endless, ["message_queue_len"]) == {"message_queue_len": 50}
    kernel.send_exit(listening, endless, KILL)
    kernel.run(3 * TURN)
    assert endless not in kernel.table.by_pid
    assert kernel.idle


def test_a_machine_is_stopped_between_two_events_it_has_inserted(kernel: Kernel) -> None:
    seen: list[Any] = []

    class Suicidal(GenStatem):
        def init(self) -> None:
            self.next_state("ready")

        def handle_event(self, event: Event, state: Any) -> None:
            seen.append(event)
            self.exit(self.pid, KILL)
            self.next_event(Internal("never"))

    pid = kernel.spawn(Suicidal.__process__(kernel, ()))
    kernel.send(pid, pid, (Atom("$gen_cast"), "first"))
    kernel.run()
    assert seen == [Cast("first")]
    assert pid not in kernel.table.by_pid


@pytest.mark.anyio
async def test_a_hibernating_machine_gives_its_task_up() -> None:
    def doze(machine: Mortal) -> None:
        machine.hibernate()
        machine.reply(machine.caller, "asleep")

    def stay_awake(machine: Mortal) -> None:
        doze(machine)
        machine.set_timeout("soon", 0, "awake")

    log: list[Any] = []
    async with running() as runtime:
        machine = await runtime.start(Unhurried, log)
        record = runtime.kernel.table.by_pid[machine.pid]
        tasks: list[Any] = []
        for request in ("ping", doze, "ping", stay_awake, "ping"):
            await machine.call(request)
            tasks.append(record.task)
    first, asleep, second, *rest = tasks
    assert asleep is None
    assert None not in (first, second)
    assert first is not second
    assert rest == [second, second]
    assert log[0] == "awake"
