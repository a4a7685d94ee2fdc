"""Start phases, prep_stop, stop, lifespan, and the time an application gets to stop."""

import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from etf_codec import Atom
from otp_behaviors import (
    KILLED,
    NORMAL,
    Application,
    Child,
    ExitError,
    GenServer,
    Kernel,
    LocalRuntime,
    Process,
    Stop,
    Supervisor,
    start_child,
)
from otp_behaviors._process import FunctionProcess

pytestmark = pytest.mark.anyio

Journal = list[str]


class Worker(GenServer):
    def init(self, journal: Journal) -> None:
        self.journal = journal
        self.trap_exit = True
        journal.append("worker starts")

    def handle_call(self, request: Any, caller: Any) -> str:
        return "served"

    def terminate(self, reason: Any) -> Any:
        self.journal.append(f"worker stops: {reason}")


class Slow(Worker):
    async def terminate(self, reason: Any) -> None:
        await anyio.lowlevel.checkpoint()
        await self.receive(lambda message: message == "go on")
        super().terminate(reason)


@pytest.fixture
async def runtime() -> AsyncIterator[LocalRuntime]:
    with anyio.fail_after(10):
        async with LocalRuntime(shutdown=1) as runtime:
            yield runtime


@pytest.fixture
def journal() -> Journal:
    return []


def app(journal: Journal, **options: Any) -> Application:
    return Application("shop", Supervisor(Child(Worker, journal, name="worker")), **options)


def note(journal: Journal, text: str, error: Exception | None = None) -> Callable[[Process], None]:
    def callback(process: Process) -> None:
        journal.append(text)
        if error is not None:
            raise error

    return callback


async def test_phases_run_in_order_when_the_tree_runs(runtime: LocalRuntime, journal: Journal) -> None:
    async def ask(process: Process) -> None:
        await anyio.lowlevel.checkpoint()
        journal.append(f"{process.env['unit']}, {await process.call('worker', 1)}")

    phases = {"ask": ask, "open": note(journal, "open")}
    await runtime.start_application(app(journal, start_phases=phases, env={"unit": "EUR"}))
    assert journal == ["worker starts", "EUR, served", "open"]


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (Stop(Atom("closed")), lambda phase: (Atom("closed"), phase)),
        (
            ExitError(Atom("closed")),
            lambda phase: (Atom("bad_return_value"), (phase, (Atom("EXIT"), Atom("closed")))),
        ),
    ],
    ids=["stop", "exit"],
)
async def test_a_phase_may_refuse_the_start(
    runtime: LocalRuntime, journal: Journal, error: Exception, refusal: Callable[[Any], Any]
) -> None:
    phases = {"open": note(journal, "open", error), "never": note(journal, "never")}
    with pytest.raises(ExitError, match="start phase open of application shop") as caught:
        await runtime.start_application(app(journal, start_phases=phases, stop=note(journal, "stop")))
    phase = (Atom("shop"), Atom("start_phase"), [Atom("open"), NORMAL, []])
    assert caught.value.reason == refusal(phase)
    assert journal == ["worker starts", "open", "worker stops: shutdown"]
    assert runtime.which_applications() == []
    assert runtime.whereis("worker") is None


@pytest.mark.parametrize("error", [None, RuntimeError("oops")], ids=["fine", "failing"])
async def test_callbacks_before_and_after_the_tree_stops(
    runtime: LocalRuntime, journal: Journal, error: Exception | None
) -> None:
    stops = {name: note(journal, name, error) for name in ("prep_stop", "stop")}
    await runtime.start_application(app(journal, **stops))
    await runtime.stop_application("shop")
    assert journal == ["worker starts", "prep_stop", "worker stops: shutdown", "stop"]


async def test_callbacks_run_when_the_tree_ends_by_itself_and_when_the_runtime_is_left(
    journal: Journal,
) -> None:
    with anyio.fail_after(10):
        async with LocalRuntime(shutdown=1) as runtime:
            await runtime.start_application(app(journal, prep_stop=note(journal, "prep_stop")))
            ended = Application("ended", Supervisor(name="top"), stop=note(journal, "ended"))
            await runtime.start_application(ended)
            top = runtime.whereis("top")
            assert top is not None
            master = runtime.kernel.table.by_pid[top].parent
            assert master is not None
            runtime.exit(top, Atom("kill"))
            assert (await runtime.monitor(master)).reason == KILLED
            assert journal == ["worker starts", "ended"]
    assert journal == ["worker starts", "ended", "prep_stop", "worker stops: shutdown"]


async def test_an_application_ends_after_its_lifespan(runtime: LocalRuntime, journal: Journal) -> None:
    await runtime.run(app(journal, lifespan=0.01))
    assert journal == ["worker starts", "worker stops: shutdown"]
    with pytest.raises(ValueError, match="a lifespan is more than 0 seconds"):
        app(journal, lifespan=0)


async def test_what_an_application_leaves_behind_is_killed(runtime: LocalRuntime, journal: Journal) -> None:
    async def stray(process: Process) -> None:
        process.trap_exit = True
        while True:
            await process.receive()

    def spawn(process: Process) -> None:
        process.spawn(stray, name="stray")

    await runtime.start_application(app(journal, start_phases={"spawn": spawn}))
    watch = runtime.monitor("stray")
    await runtime.stop_application("shop")
    assert (await watch).reason == KILLED


async def test_leaving_the_runtime_waits_as_long_as_children_may_take(journal: Journal) -> None:
    async def release(process: Process) -> None:
        # Later than the runtime would wait for a process that says nothing else.
        with pytest.raises(TimeoutError):
            await process.receive(timeout=0.05)
        process.send("slow", "go on")

    with anyio.fail_after(10):
        async with LocalRuntime(shutdown=0.01) as runtime:
            tree = Supervisor(Child(Slow, journal, name="slow", shutdown="infinity"))
            await runtime.start_application(Application("shop", tree))
            runtime.spawn(release, name="helper")
    assert journal == ["worker starts", "worker stops: shutdown"]


async def test_how_long_a_tree_may_take_to_stop(runtime: LocalRuntime, journal: Journal) -> None:
    async def needed(tree: Supervisor) -> float:
        handle = await runtime.start(tree)
        record = runtime.kernel.table.by_pid[handle.pid]
        assert isinstance(record, FunctionProcess)
        return record.time_to_stop(1)

    one, two = (Child(Worker, journal, id=str(seconds), shutdown=seconds) for seconds in (1.5, 2.0))
    killed = Child(Worker, journal, id="killed", shutdown="brutal_kill")
    assert await needed(Supervisor()) == 1
    assert await needed(Supervisor(one, two, killed)) == 3.5
    assert await needed(Supervisor(Child(Supervisor(one, two), id="inner"), one)) == 5
    assert await needed(Supervisor(Child(Worker, journal, shutdown="infinity"))) == math.inf
    simple = Supervisor(Child(Worker, shutdown=4.0), strategy="simple_one_for_one", name="simple")
    assert await needed(simple) == 1
    for _ in range(3):
        await start_child(runtime, "simple", [journal])
    record = runtime.kernel.whereis("simple")
    assert isinstance(record, FunctionProcess)
    assert record.time_to_stop(1) == 4
    master = app(journal, prep_stop=note(journal, ""), stop=note(journal, "")).__process__(Kernel(), ())
    assert isinstance(master, FunctionProcess)
    assert master.time_to_stop(1) == 3
