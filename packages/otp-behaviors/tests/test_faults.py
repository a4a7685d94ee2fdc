"""Bad days: cancellation at every await, errors that are no Exceptions, crowds that end at once, lost calls.

The rows G1 to G6 of the fault inventory. After each of them the kernel's tables are as they were before.
"""

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from types import coroutine as coroutine_function
from typing import Any, TypeAlias

import anyio
import pytest
from anyio.lowlevel import checkpoint
from etf_codec import Atom
from otp_behaviors import (
    KILL,
    NO_REPLY,
    Application,
    CallTimeout,
    Child,
    GenServer,
    Kernel,
    LocalRuntime,
    Process,
    Supervisor,
)

Scenario: TypeAlias = Callable[[LocalRuntime], Coroutine[Any, Any, None]]

CROWD = 10_000
BOOM = Atom("boom")
MOST_AWAITS = 500


class Journal:
    """Who has begun, and who has cleaned up."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []


class Server(GenServer):
    """Waits in every callback, traps exits, so it always gets to terminate."""

    def init(self, journal: Journal) -> Any:
        self.journal = journal
        self.trap_exit = True
        self.continue_with(None)
        return checkpoint()

    def handle_continue(self, token: Any) -> None:
        # The start is over: from here on it has a right to its `terminate`.
        self.id = len(self.journal.begun)
        self.journal.begun.append(self.id)

    async def handle_call(self, request: Any, caller: Any) -> Any:
        if request == "never":
            return NO_REPLY
        await checkpoint()
        return request

    async def handle_cast(self, message: Any) -> None:
        await checkpoint()

    def handle_info(self, message: Any) -> None:
        pass

    async def terminate(self, reason: Any) -> None:
        await checkpoint()
        self.journal.ended.append(self.id)


class Plain(GenServer):
    def handle_call(self, request: Any, caller: Any) -> Any:
        return request


@coroutine_function  # a generator, as it sees every value that is awaited
def interrupted(
    awaitable: Coroutine[Any, Any, None], scope: anyio.CancelScope, place: int
) -> Generator[Any, Any, int]:
    """Await something, and cancel the scope when it suspends for the `place`-th time; counts suspensions."""
    suspensions = 0
    value: Any = None
    error: BaseException | None = None
    while True:
        try:
            awaited = awaitable.send(value) if error is None else awaitable.throw(error)
        except StopIteration:
            return suspensions
        suspensions += 1
        if suspensions == place:
            scope.cancel()
        value, error = None, None
        try:
            value = yield awaited
        except BaseException as caught:
            error = caught


async def cancelled_at(place: int, awaitable: Coroutine[Any, Any, None]) -> bool:
    """Whether there was a `place`-th suspension to cancel."""
    with anyio.CancelScope() as scope:
        return await interrupted(awaitable, scope, place) >= place
    return True


def tables(kernel: Kernel) -> dict[str, object]:
    """What must be the same before and after."""
    records = kernel.table.by_pid.values()
    return {
        "processes": set(kernel.table.by_pid),
        "names": set(kernel.table.by_name),
        "aliases": len(kernel.aliases),
        "timers": len(kernel.timers),
        "callers": sum(len(record.callers or ()) for record in records),
        "monitors": sum(len(record.monitors or ()) for record in records),
        "monitored by": sum(len(record.monitored_by or ()) for record in records),
        "links": sum(len(record.links or ()) for record in records),
        "to other nodes": len(kernel.links) + len(kernel.monitors),
    }


EMPTY = tables(Kernel())


def shop(journal: Journal) -> Application:
    tree = Supervisor(Child(Server, journal, name="one"), Child(Server, journal, name="two"))
    return Application("shop", tree)


async def meddle(process: Process, server: Any) -> None:
    """Do everything that leaves an entry in a table."""
    process.link(server)
    process.monitor("plain")
    process.alias()
    process.register("meddler")
    process.send_after(0.001, process.pid, 1)
    await process.receive(lambda message: message == 1, timeout=5.0)
    await process.call("plain", 1)
    process.unlink(server)


async def whole_life(journal: Journal, kernels: list[Kernel]) -> None:
    async with LocalRuntime() as runtime:
        kernels.append(runtime.kernel)
        server = await runtime.start(Server, journal, name="server")
        plain = await runtime.start(Plain, name="plain")
        assert await server.call(1) == 1
        assert await plain.call(2) == 2
        await server.cast(3)
        await server.send(4)
        watch = runtime.monitor(runtime.spawn(meddle, server.pid))
        await watch
        await runtime.start_application(shop(journal))
        assert await runtime.call("two", 5) == 5
        with pytest.raises(CallTimeout):
            await runtime.call("one", "never", timeout=0.001)
        await runtime.stop_application("shop")
        await server.stop()


@pytest.mark.anyio
async def test_a_program_cancelled_at_any_await_cleans_up() -> None:
    tasks = len(anyio.get_running_tasks())
    for place in range(1, MOST_AWAITS):
        journal, kernels = Journal(), list[Kernel]()
        with anyio.fail_after(20):
            was_cancelled = await cancelled_at(place, whole_life(journal, kernels))
        assert sorted(journal.ended) == journal.begun, f"at await {place}"
        for kernel in kernels:
            assert tables(kernel) == EMPTY, f"at await {place}"
            assert kernel.idle
            assert kernel.shell is None
            assert not kernel.effects
            assert not kernel.outgoing()
        assert len(anyio.get_running_tasks()) == tasks, f"at await {place}"
        if not was_cancelled:
            assert place > 5
            return
    pytest.fail("it never comes to its end")


async def call_plain(runtime: LocalRuntime) -> None:
    await runtime.call("plain", 1)


async def call_waiting(runtime: LocalRuntime) -> None:
    await runtime.call("server", 1)


async def call_in_vain(runtime: LocalRuntime) -> None:
    with pytest.raises(CallTimeout):
        await runtime.call("server", "never", timeout=0.001)


async def send_and_cast(runtime: LocalRuntime) -> None:
    for number in range(200):
        await runtime.cast("server", number)
        await runtime.send("server", number)


async def watch_and_kill(runtime: LocalRuntime) -> None:
    pid = runtime.spawn(Process.receive)
    watch = runtime.monitor(pid)
    try:
        runtime.exit(pid, BOOM)
        await watch
    finally:
        runtime.exit(pid, KILL)
        watch.cancel()


async def start_and_stop(runtime: LocalRuntime) -> None:
    server = await runtime.start(Server, Journal(), name="other")
    try:
        await server.call(1)
        await server.stop()
    finally:
        runtime.exit(server.pid, KILL)


async def start_an_application(runtime: LocalRuntime) -> None:
    await runtime.start_application(shop(Journal()))
    try:
        await runtime.call("one", 1)
    finally:
        with anyio.CancelScope(shield=True):
            await runtime.stop_application("shop")


async def stop_an_application(runtime: LocalRuntime) -> None:
    with anyio.CancelScope(shield=True):
        await runtime.start_application(shop(Journal()))
    await runtime.stop_application("shop")


async def ask_a_supervisor(runtime: LocalRuntime) -> None:
    for request in ("terminate_child", "restart_child"):
        await runtime.call("top", (Atom(request), Atom("spare")), timeout=None)


async def run_a_process(runtime: LocalRuntime) -> None:
    pid = runtime.spawn(meddle, runtime.whereis("server"))
    try:
        await runtime.monitor(pid)
    finally:
        runtime.exit(pid, KILL)


@pytest.fixture
async def runtime() -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime() as runtime:
        await runtime.start(Server, Journal(), name="server")
        await runtime.start(Plain, name="plain")
        yield runtime


async def settled(kernel: Kernel, wanted: dict[str, object]) -> None:
    """Wait until the tables are as wanted; the assertion says what differs."""
    deadline = time.monotonic() + 5.0
    while tables(kernel) != wanted and time.monotonic() < deadline:  # noqa: ASYNC110 (no event tells)
        await anyio.sleep(0.001)
    assert tables(kernel) == wanted


@pytest.mark.anyio
@pytest.mark.parametrize(
    "scenario",
    [
        call_plain,
        call_waiting,
        call_in_vain,
        send_and_cast,
        watch_and_kill,
        start_and_stop,
        start_an_application,
        stop_an_application,
        run_a_process,
    ],
)
async def test_a_task_cancelled_at_any_await_leaves_nothing(
    runtime: LocalRuntime, scenario: Scenario
) -> None:
    before = tables(runtime.kernel)
    for place in range(1, MOST_AWAITS):
        with anyio.fail_after(20):
            was_cancelled = await cancelled_at(place, scenario(runtime))
            await settled(runtime.kernel, before)
            assert await runtime.call("server", place) == place
        if not was_cancelled:
            return
    pytest.fail("it never comes to its end")
