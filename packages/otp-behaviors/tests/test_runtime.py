"""The shell over anyio: what it starts, stops, lets through and never leaves behind."""

from collections.abc import Callable
from time import process_time
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from etf_codec import Atom
from otp_behaviors import (
    KILL,
    KILLED,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    Down,
    Event,
    Exit,
    ExitError,
    GenServer,
    GenStatem,
    Internal,
    LocalRuntime,
    NoConnection,
    NoProcess,
    Process,
    RemoteName,
    Stop,
)

pytestmark = pytest.mark.anyio
PATIENCE = 10.0


class Teller(GenServer):
    """Tells what happens to it; answers with what it is asked."""

    def init(self, tell: Callable[[Any], None], label: str = "") -> None:
        self.tell = tell
        self.label = label

    def handle_call(self, request: Any, caller: Any) -> Any:
        return request

    def handle_cast(self, message: Any) -> None:
        pass

    def handle_info(self, message: Any) -> None:
        pass

    def terminate(self, reason: Any) -> None:
        self.tell((self.label, reason))


async def test_leaving_stops_servers_in_reverse_order() -> None:
    told: list[Any] = []
    async with LocalRuntime() as runtime:
        for label in "abc":
            await runtime.start(Teller, told.append, label)
    assert told == [("c", SHUTDOWN), ("b", SHUTDOWN), ("a", SHUTDOWN)]
    assert not runtime.kernel.table.by_pid


async def test_leaving_ends_processes_that_wait_for_ever() -> None:
    ends: list[str] = []

    async def sleeper(process: Process) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ends.append("slept")

    async def receiver(process: Process) -> None:
        try:
            await process.receive()
        finally:
            ends.append("received")

    with anyio.fail_after(PATIENCE):
        async with LocalRuntime() as runtime:
            runtime.spawn(sleeper)
            runtime.spawn(receiver)
            await anyio.wait_all_tasks_blocked()
    assert sorted(ends) == ["received", "slept"]


async def test_an_error_of_the_body_comes_out_as_it_is() -> None:
    told: list[Any] = []

    async def program() -> None:
        async with LocalRuntime() as runtime:
            await runtime.start(Teller, told.append)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await program()
    assert told == [("", SHUTDOWN)]


async def test_a_cancelled_body_still_stops_its_servers() -> None:
    told: list[Any] = []
    with anyio.CancelScope() as scope:
        async with LocalRuntime() as runtime:
            await runtime.start(Teller, told.append)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert told == [("", SHUTDOWN)]


async def test_calls_by_handle_pid_and_name() -> None:
    async with LocalRuntime() as runtime:
        server = await runtime.start(Teller, print, name="teller")
        assert await server.call(1) == 1
        assert await runtime.call(server.pid, 2) == 2
        assert await runtime.call("teller", 3) == 3
        assert await runtime.call(Atom("teller"), 4) == 4
        assert await runtime.call(RemoteName("teller", runtime.kernel.node), 5) == 5
        assert runtime.whereis("teller") == server.pid


async def test_another_node_is_not_reached_without_a_network() -> None:
    async with LocalRuntime() as runtime:
        with pytest.raises(NoConnection, match="other@host"):
            await runtime.call(RemoteName("x", "other@host"), 1)


async def test_stop_and_what_it_says() -> None:
    told: list[Any] = []
    async with LocalRuntime() as runtime:
        server = await runtime.start(Teller, told.append)
        watch = server.monitor()
        await server.stop()
        assert (await watch).reason == NORMAL
        assert (await watch).reason == NORMAL, "a watch can be asked again"
        with pytest.raises(NoProcess):
            await server.stop()
        assert (await server.monitor()).reason == NOPROC
    assert told == [("", NORMAL)]


async def test_a_watch_that_is_cancelled_does_not_fire() -> None:
    async with LocalRuntime() as runtime:
        server = await runtime.start(Teller, print)
        watch = server.monitor()
        assert watch.cancel()
        assert not watch.cancel()
        await server.stop(SHUTDOWN)
        assert not watch.done


async def test_a_spawned_function_ends_with_what_it_raises() -> None:
    async def fail(process: Process, reason: Any) -> None:
        raise ExitError(reason)

    async with LocalRuntime() as runtime:
        with anyio.fail_after(PATIENCE):
            down = await runtime.monitor(runtime.spawn(fail, (Atom("late"), 7)))
    assert isinstance(down, Down)
    assert down.reason == (Atom("late"), 7)


async def test_a_killed_process_is_cancelled_where_it_waits() -> None:
    cleaned = anyio.Event()

    async def sleeper(process: Process) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cleaned.set()

    async with LocalRuntime() as runtime:
        pid = runtime.spawn(sleeper)
        await anyio.wait_all_tasks_blocked()
        watch = runtime.monitor(pid)
        runtime.exit(pid, Atom("kill"))
        with anyio.fail_after(PATIENCE):
            assert (await watch).reason == Atom("killed")
            await cleaned.wait()


async def test_messages_and_exits_between_functions() -> None:
    async def child(process: Process, parent: Any) -> None:
        process.send(parent, (Atom("hello"), process.pid))
        raise ExitError(Atom("bye"))

    async def parent(process: Process, seen: list[Any]) -> None:
        process.trap_exit = True
        pid = process.spawn(child, process.pid, link=True)
        seen.append(await process.receive() == (Atom("hello"), pid))
        seen.append(await process.receive() == Exit(pid, Atom("bye")))

    seen: list[Any] = []
    async with LocalRuntime() as runtime:
        with anyio.fail_after(PATIENCE):
            assert (await runtime.monitor(runtime.spawn(parent, seen))).reason == NORMAL
    assert seen == [True, True]


async def test_timers_wake_the_runtime() -> None:
    async def waiter(process: Process, seen: list[Any]) -> None:
        process.send_after(0.02, process.pid, "second")
        process.send_after(0.01, process.pid, "first")
        seen += [await process.receive(), await process.receive()]

    seen: list[Any] = []
    async with LocalRuntime() as runtime:
        with anyio.fail_after(PATIENCE):
            await runtime.monitor(runtime.spawn(waiter, seen))
    assert seen == ["first", "second"]


async def test_a_timer_that_a_callback_starts_wakes_the_runtime() -> None:
    woken = anyio.Event()

    class Sleeper(GenServer):
        def handle_call(self, request: Any, caller: Any) -> None:
            self.send_after(0.01, self.pid, request)

        def handle_info(self, message: Any) -> None:
            woken.set()

    async with LocalRuntime() as runtime:
        sleeper = await runtime.start(Sleeper)
        await anyio.wait_all_tasks_blocked()  # the kernel's task waits, and knows of no timer
        await sleeper.call("wake")
        with anyio.fail_after(2):
            await woken.wait()


@pytest.mark.parametrize("verb", ["call", "cast", "send"])
async def test_a_tight_loop_lets_others_run(verb: str) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with LocalRuntime() as runtime, anyio.create_task_group() as tasks:
        server = await runtime.start(Teller, print)
        tasks.start_soon(other)
        talk = getattr(server, verb)
        until = process_time() + 0.1  # what other programs take of the machine does not count
        while process_time() < until:
            await talk(1)
        # Each turn is at most a few milliseconds after the one before: with none at all the loop starved it.
        assert turns >= 5
        assert len(runtime.kernel.table.by_pid[server.pid].mailbox) <= 100, "the server keeps up"
        tasks.cancel_scope.cancel()


ENOUGH = 100_000
"""Callbacks after which a process that keeps all others from running ends, to fail its test."""


class Restless(GenServer):
    async def init(self) -> None:
        self.count = 0
        self.send(self.pid, "again")

    async def handle_info(self, message: Any) -> None:
        self.count += 1
        if self.count == ENOUGH:
            raise Stop
        self.send(self.pid, message)


class RestlessMachine(GenStatem):
    async def init(self) -> None:
        self.count = 0
        self.next_state("turning")
        self.next_event(Internal("again"))

    async def handle_event(self, event: Event, state: Any) -> None:
        self.count += 1
        if self.count == ENOUGH:
            raise Stop
        self.next_event(event)


@pytest.mark.parametrize("server_class", [Restless, RestlessMachine])
async def test_callbacks_that_never_wait_let_others_run(server_class: type[GenServer | GenStatem]) -> None:
    async with LocalRuntime() as runtime:
        server = await runtime.start(server_class)
        watch = server.monitor()
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        runtime.exit(server.pid, KILL)
        assert (await watch).reason == KILLED


async def test_a_ring_of_links_dies_at_once() -> None:
    async def member(process: Process, previous: Any) -> None:
        if previous is not None:
            process.link(previous)
        await process.receive()

    async with LocalRuntime() as runtime:
        first = last = runtime.spawn(member, None)
        for _ in range(2000):
            last = runtime.spawn(member, last)
        await anyio.wait_all_tasks_blocked()
        watch = runtime.monitor(first)
        runtime.exit(last, Atom("boom"))
        with anyio.fail_after(PATIENCE):
            assert (await watch).reason == Atom("boom")
        assert len(runtime.kernel.table.by_pid) == 1, "only what stands for the program is left"
