"""What a callback may do to its server and to the program: deadlines, kills, SystemExit (row G6)."""

import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from etf_codec import Atom
from otp_behaviors import KILL, SHUTDOWN, ExitError, GenServer, Kernel, LocalRuntime
from otp_behaviors.testing import tables

EMPTY = tables(Kernel())


class Tidy(GenServer):
    """Notes its end; waits in it."""

    def init(self, journal: list[Any]) -> None:
        self.journal = journal
        self.trap_exit = True

    async def terminate(self, reason: Any) -> None:
        await checkpoint()
        self.journal.append(reason)


@pytest.fixture
async def runtime() -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime() as runtime:
        yield runtime


class Careless(GenServer):
    def init(self, journal: list[Any]) -> None:
        self.journal = journal
        self.trap_exit = True

    async def handle_call(self, request: Any, caller: Any) -> Any:
        if request == "patience":
            with anyio.move_on_after(0.001):
                await anyio.sleep_forever()
            return "went on"
        with anyio.fail_after(0.001):
            await anyio.sleep_forever()
        return "never"

    async def handle_cast(self, message: Any) -> None:
        self.continue_with(1)
        try:
            await anyio.sleep_forever()
        finally:
            if message == "raise":
                raise ValueError("in the middle of being killed")

    def handle_continue(self, token: Any) -> None:
        self.journal.append("continued")

    def handle_info(self, message: Any) -> None:
        raise message

    def terminate(self, reason: Any) -> None:
        self.journal.append(reason)


@pytest.mark.anyio
async def test_a_deadline_inside_a_callback_is_the_callbacks_own(runtime: LocalRuntime) -> None:
    journal: list[Any] = []
    careless = await runtime.start(Careless, journal)
    assert await careless.call("patience") == "went on"
    with pytest.raises(ExitError):
        await careless.call("no patience")
    ((reason, _),) = journal
    assert reason[0] == Atom("TimeoutError")


@pytest.mark.anyio
@pytest.mark.parametrize("message", ["raise", "be quiet"])
async def test_a_killed_server_runs_no_more_callbacks(runtime: LocalRuntime, message: str) -> None:
    journal: list[Any] = []
    careless = await runtime.start(Careless, journal)
    tasks = len(anyio.get_running_tasks())
    await careless.cast(message)
    await checkpoint()
    runtime.exit(careless.pid, KILL)
    down = await careless.monitor()
    assert down.reason in (Atom("killed"), Atom("noproc"))
    deadline = time.monotonic() + 5.0
    while len(anyio.get_running_tasks()) > tasks and time.monotonic() < deadline:  # noqa: ASYNC110 (no event tells)
        await anyio.sleep(0.001)
    assert journal == []


@pytest.mark.anyio
async def test_who_does_not_stop_holds_up_a_cancelled_program_no_longer_than_its_grace() -> None:
    journal: list[Any] = []
    stuck: list[Any] = []
    started = time.monotonic()
    with anyio.move_on_after(0.05):
        async with LocalRuntime(shutdown=0.1) as runtime:
            await runtime.start(Tidy, journal)
            careless = await runtime.start(Careless, stuck)
            await careless.cast("be quiet")
            await anyio.sleep_forever()
    assert 0.1 < time.monotonic() - started < 5.0
    assert journal == [SHUTDOWN]
    assert stuck == []


@pytest.mark.anyio
async def test_what_is_no_exception_ends_the_program_and_others_terminate() -> None:
    class Fatal(BaseException):
        pass

    async def program() -> None:
        async with LocalRuntime() as runtime:
            kernels.append(runtime.kernel)
            await runtime.start(Tidy, journal)
            careless = await runtime.start(Careless, [])
            await careless.send(Fatal())
            await anyio.sleep_forever()

    journal, kernels = list[Any](), list[Kernel]()
    with pytest.raises((Fatal, BaseExceptionGroup)) as caught:
        await program()
    assert "Fatal" in repr(caught.value)
    assert journal == [SHUTDOWN]
    assert tables(kernels[0]) == EMPTY


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_ctrl_c_in_a_callback_is_ctrl_c_for_the_program(backend: str) -> None:
    journal: list[Any] = []

    async def main() -> None:
        async with LocalRuntime() as runtime:
            await runtime.start(Tidy, journal)
            careless = await runtime.start(Careless, [])
            await careless.send(KeyboardInterrupt())
            await anyio.sleep_forever()

    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)) as caught:
        anyio.run(main, backend=backend)
    assert "KeyboardInterrupt" in repr(caught.value)
    assert journal == [SHUTDOWN]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt()], ids=["SystemExit", "KeyboardInterrupt"]
)
def test_the_same_in_a_callback_that_waits(backend: str, error: BaseException) -> None:
    journal: list[Any] = []

    async def main() -> None:
        async with LocalRuntime() as runtime:
            await runtime.start(Tidy, journal)
            waiting = await runtime.start(Waiting)
            await waiting.cast(error)
            await anyio.sleep_forever()

    with pytest.raises((SystemExit, KeyboardInterrupt, BaseExceptionGroup)) as caught:
        anyio.run(main, backend=backend)
    assert type(error).__name__ in repr(caught.value)
    assert journal == [SHUTDOWN]


class Waiting(GenServer):
    async def handle_cast(self, message: Any) -> None:
        await checkpoint()
        raise message
