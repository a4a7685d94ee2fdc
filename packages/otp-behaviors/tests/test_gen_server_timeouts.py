"""GenServer: the timeout of the state, and hibernation."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from etf_codec import Atom, Pid
from otp_behaviors import TIMEOUT, Caller, GenServer, Kernel, LocalRuntime, Process, Runtime, sys

Spawn = Callable[..., Pid]


class Patient(GenServer):
    """Sets the timeout it is told to, and writes down what comes."""

    def init(self, log: list[Any]) -> None:
        self.log = log

    def handle_call(self, request: Any, caller: Caller) -> Any:
        return self.log

    def handle_cast(self, message: Any) -> Any:
        message(self)

    def handle_info(self, message: Any) -> Any:
        self.log.append(message)

    def handle_continue(self, token: Any) -> Any:
        self.log.append(("continue", token))


@pytest.fixture
def patient(kernel: Kernel, spawn: Spawn) -> tuple[list[Any], Callable[[Any], None]]:
    """The log of a server, and a function that casts to it."""
    log: list[Any] = []

    async def starter(process: Process) -> None:
        await process.start(Patient, log, name="patient")

    me = spawn(starter)
    kernel.run()

    def cast(message: Any) -> None:
        kernel.send(me, "patient", (Atom("$gen_cast"), message))
        kernel.run()

    return log, cast


Patience = tuple[list[Any], Callable[[Any], None]]


def at(kernel: Kernel, now: float) -> None:
    kernel.handle_time(now)
    kernel.run()


def test_the_timeout_fires_once(kernel: Kernel, patient: Patience) -> None:
    log, cast = patient
    cast(lambda server: server.set_timeout(2.0))
    at(kernel, 1.9)
    assert log == []
    at(kernel, 2.0)
    at(kernel, 9.0)
    assert log == [TIMEOUT]
    assert kernel.deadline() is None


def test_a_message_cancels_the_timeout(kernel: Kernel, patient: Patience) -> None:
    log, cast = patient
    cast(lambda server: server.set_timeout(2.0, "slow"))
    at(kernel, 1.0)
    cast(lambda server: None)
    at(kernel, 9.0)
    assert log == []


def test_the_last_timeout_counts(kernel: Kernel, patient: Patience) -> None:
    log, cast = patient

    def twice(server: Patient) -> None:
        server.set_timeout(1.0, "first")
        server.set_timeout(2.0, "second")

    cast(twice)
    at(kernel, 9.0)
    assert log == ["second"]


def test_a_timeout_after_what_is_continued(kernel: Kernel, patient: Patience) -> None:
    log, cast = patient

    def both(server: Patient) -> None:
        server.set_timeout(1.0)
        server.continue_with("token")

    cast(both)
    assert log == [("continue", "token")]
    at(kernel, 1.0)
    assert log == [("continue", "token"), TIMEOUT]


def test_a_system_message_starts_the_timeout_again(kernel: Kernel, patient: Patience) -> None:
    """`gen_server:system_continue` goes back to the loop with the same time."""
    log, cast = patient
    sender = kernel.table.by_name["patient"].parent
    assert sender is not None

    def system(request: Any) -> None:
        kernel.send(sender, "patient", (Atom("system"), (sender, kernel.make_ref()), request))
        kernel.run()

    cast(lambda server: server.set_timeout(2.0))
    at(kernel, 1.5)
    system(Atom("get_state"))
    at(kernel, 3.0)
    assert log == []
    at(kernel, 3.5)
    assert log == [TIMEOUT]
    cast(lambda server: server.set_timeout(2.0))
    cast(lambda server: None)
    system(Atom("get_state"))
    at(kernel, 99.0)
    assert log == [TIMEOUT]


@asynccontextmanager
async def running() -> AsyncIterator[Runtime]:
    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            yield runtime


@pytest.mark.anyio
async def test_the_timeout_counts_from_the_end_of_the_callback() -> None:
    class Slow(GenServer):
        async def init(self) -> None:
            self.heard: list[Any] = []
            self.go_on, self.done = anyio.Event(), anyio.Event()

        async def handle_cast(self, message: Any) -> None:
            self.set_timeout(0.001)
            self.armed = self._record._deadline
            await self.go_on.wait()

        def handle_info(self, message: Any) -> None:
            self.heard.append(message)
            self.done.set()

    async with running() as runtime:
        slow = await runtime.start(Slow)
        state = await sys.get_state(runtime, slow)
        await slow.cast("begin")
        timer = runtime.kernel.send_after(0.01, slow.pid, "later", slow.pid)
        while timer.active:
            await anyio.lowlevel.checkpoint()
        # The message came before the callback ended, so there is no timeout, though its time is over.
        state[Atom("go_on")].set()
        await state[Atom("done")].wait()
        assert state[Atom("heard")] == ["later"]
        assert (await sys.get_state(runtime, slow))[Atom("armed")] is None


@pytest.mark.anyio
async def test_a_hibernating_server_gives_its_task_up() -> None:
    class Sleepy(GenServer):
        def init(self) -> None:
            self.count = 0

        async def handle_call(self, request: Any, caller: Caller) -> Any:
            await anyio.lowlevel.checkpoint()
            self.count += 1
            if request == "sleep":
                self.hibernate()
            return self.count

        def handle_cast(self, message: Any) -> None:
            self.hibernate()

    async with running() as runtime:
        server = await runtime.start(Sleepy)
        record = runtime.kernel.table.by_pid[server.pid]
        assert await server.call("wake") == 1
        tasks: list[Any] = [record.task]
        assert await server.call("sleep") == 2
        tasks.append(record.task)
        assert await server.call("wake") == 3
        assert tasks[0] is not None
        assert tasks[1] is None
        assert record.task not in tasks
        await server.cast("sleep")
        assert await server.call("wake") == 4
        await server.cast("sleep")
        await sys.get_state(runtime, server)
        assert record.task is None
        await server.stop()
