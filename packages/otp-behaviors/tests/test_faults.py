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
    ExitError,
    GenServer,
    Kernel,
    LocalRuntime,
    NoConnection,
    Process,
    RemoteName,
    Stop,
    Supervisor,
)
from otp_behaviors.testing import Simulation, tables

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


# A call and its ends (G5).


async def callers(runtime: LocalRuntime, name: str, number: int) -> None:
    """Wait until so many calls of a server wait for their answers."""
    record = runtime.kernel.whereis(name)
    assert record is not None
    with anyio.fail_after(5):
        while len(record.callers or ()) < number or record.mailbox:
            await checkpoint()


@pytest.mark.anyio
async def test_a_late_reply_is_dropped(runtime: LocalRuntime) -> None:
    class Late(GenServer):
        async def handle_call(self, request: Any, caller: Any) -> Any:
            await released.wait()
            return request

    async def caller(process: Process) -> list[Any]:
        try:
            await process.call("late", 1, timeout=0.001)
        except CallTimeout:
            released.set()
        await process.call("late", 2)
        left.append(list(process._record.mailbox))
        return []

    released = anyio.Event()
    left: list[list[Any]] = []
    await runtime.start(Late, name="late")
    before = tables(runtime.kernel)
    await runtime.monitor(runtime.spawn(caller))
    assert left == [[]]
    await settled(runtime.kernel, before)


@pytest.mark.anyio
async def test_a_caller_that_dies_is_forgotten(runtime: LocalRuntime) -> None:
    before = tables(runtime.kernel)
    pids = [runtime.spawn(Process.call, "server", "never", None) for _ in range(3)]
    await callers(runtime, "server", 3)
    for pid in pids:
        runtime.exit(pid, KILL)
    await settled(runtime.kernel, before)


@pytest.mark.anyio
@pytest.mark.parametrize("reason", [BOOM, KILL, Atom("normal")])
async def test_a_server_that_dies_fails_its_callers(runtime: LocalRuntime, reason: Atom) -> None:
    ends: list[Any] = []

    async def caller(process: Process) -> None:
        try:
            await process.call("callee", "never", None)
        except ExitError as error:
            ends.append(error.reason[0])

    class Callee(GenServer):
        def handle_call(self, request: Any, caller: Any) -> Any:
            return NO_REPLY

        def handle_cast(self, message: Any) -> None:
            raise Stop(message)

    callee = await runtime.start(Callee, name="callee")
    watches = [runtime.monitor(runtime.spawn(caller)) for _ in range(3)]
    await callers(runtime, "callee", 3)
    if reason == KILL:
        runtime.exit(callee.pid, KILL)
    else:
        await callee.cast(reason)
    for watch in watches:
        await watch
    assert ends == [Atom("killed") if reason == KILL else reason] * 3


def test_a_node_that_dies_fails_its_callers() -> None:
    with Simulation(seed=3) as simulation:
        a, b = simulation.node("a@host"), simulation.node("b@host")
        b.start(Plain, name="plain")
        a.call(RemoteName("plain", "b@host"), 1)
        simulation.after(0.0, b.crash)
        with pytest.raises(NoConnection) as caught:
            a.call(RemoteName("plain", "b@host"), 1, timeout=None)
        assert caught.value.reason[0] == (Atom("nodedown"), Atom("b@host"))
        simulation.run()
        simulation.check()
        assert not a.kernel.aliases


@pytest.mark.anyio
async def test_timers_of_a_process_end_with_it(runtime: LocalRuntime) -> None:
    before = tables(runtime.kernel)

    async def start_timers(process: Process) -> None:
        for _ in range(100):
            process.send_after(3600.0, process.pid, 1).cancel()
            process.send_after(3600.0, process.pid, 1)

    await runtime.monitor(runtime.spawn(start_timers))
    assert tables(runtime.kernel) == before
    assert not runtime.kernel.timers.owned
