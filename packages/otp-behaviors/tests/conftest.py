"""A kernel without shell and clock, and processes for it: what most tests here are made of."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import anyio
import pytest
from etf_codec import Pid
from otp_behaviors import KILLED, CrashReport, Kernel, LocalRuntime, Process
from otp_behaviors._process import FunctionProcess
from otp_behaviors.testing import SimulatedNode, Simulation


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    kernel = Kernel("a@host", 7, seed=42)
    yield kernel
    for record in list(kernel.table.by_pid.values()):
        kernel.exit(record, KILLED)


@pytest.fixture
def spawn(kernel: Kernel) -> Callable[..., Pid]:
    """Spawns a coroutine function as a process that the kernel itself runs."""

    def spawn(
        function: Callable[..., Coroutine[Any, Any, Any]],
        *args: Any,
        name: str | None = None,
        parent: Process | None = None,
        link: bool = False,
    ) -> Pid:
        record = FunctionProcess(kernel, function, args)
        record.driven = True
        return kernel.spawn(record, name=name, parent=None if parent is None else parent._record, link=link)

    return spawn


@pytest.fixture
def play(kernel: Kernel, spawn: Callable[..., Pid]) -> Callable[..., Any]:
    """Runs a coroutine function as a process to its end, in virtual time, and returns what it returns.

    When everybody waits, time jumps to the next deadline. An exception of the function fails the test.
    """

    def play(scenario: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Any:
        results: list[Any] = []

        async def scene(self: Process) -> None:
            results.append(await scenario(self, *args))

        pid = spawn(scene)
        while pid in kernel.table.by_pid:
            kernel.run()
            if kernel.idle and pid in kernel.table.by_pid:
                deadline = kernel.deadline()
                assert deadline is not None, f"{scenario.__qualname__} waits for what never comes"
                kernel.handle_time(deadline)
        for effect in kernel.effects:
            if isinstance(effect, CrashReport) and effect.pid == pid:
                raise effect.error or AssertionError(f"{scenario.__qualname__} ended with {effect.reason!r}")
        assert results, f"{scenario.__qualname__} was ended by someone else"
        return results[0]

    return play


@pytest.fixture
async def runtime() -> AsyncIterator[LocalRuntime]:
    """A runtime, for as long as a test may take at the most."""
    async with LocalRuntime() as runtime:
        with anyio.fail_after(10):
            yield runtime


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    """A simulation in which turns take no time; in the end nothing in it may be wrong."""
    with Simulation(seed=1, turn_time=(0.0, 0.0)) as simulation:
        yield simulation
        simulation.run()
        simulation.check()


@pytest.fixture
def node(simulation: Simulation) -> SimulatedNode:
    """A node of it."""
    return simulation.node("a@host")
