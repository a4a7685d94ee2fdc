"""Waiting for processes on other nodes: the answers are given by hand."""

from collections.abc import Callable
from typing import Any

import pytest
from etf_codec import Atom, Pid
from otp_behaviors import (
    NOCONNECTION,
    CallTimeout,
    DownSignal,
    ExitError,
    Kernel,
    LocalRuntime,
    NoConnection,
    Process,
    SpawnReplySignal,
    SpawnSignal,
    run_remote,
)

Play = Callable[..., Any]
THERE = "b@host"
NEW = Pid(THERE, 9, 0, 1)
BOOM = Atom("boom")


def request(kernel: Kernel) -> SpawnSignal:
    """The request that has just been sent."""
    (signal,) = kernel.outgoing()
    assert isinstance(signal, SpawnSignal)
    return signal


@pytest.mark.parametrize(
    ("result", "error", "text"),
    [
        (Atom("notsup"), ExitError, "b@host does not take spawn requests"),
        (Atom("system_limit"), ExitError, "as many processes as it may"),
        (Atom("other"), ExitError, "other"),
        (None, NoConnection, "no connection to b@host"),
    ],
)
def test_refusals(kernel: Kernel, play: Play, result: Atom | None, error: type[ExitError], text: str) -> None:
    async def answer(self: Process, parent: Pid) -> None:
        signal = request(kernel)
        if result is None:
            kernel.nodes.down(THERE)
        else:
            kernel.deliver(SpawnReplySignal(parent, signal.ref, False, False, result))

    async def scenario(self: Process) -> None:
        record = self.spawn(answer, self.pid)
        kernel.table.by_pid[record].driven = True
        with pytest.raises(error, match=text):
            await self.spawn_remote(THERE, "m", "f", [1])

    play(scenario)
    assert len(kernel.spawns) == 0


def test_a_link_and_a_monitor(kernel: Kernel, play: Play) -> None:
    async def answer(self: Process, parent: Pid) -> None:
        signal = request(kernel)
        assert (signal.mfa, signal.args) == ((Atom("m"), Atom("f"), 1), [b"x"])
        assert signal.options == [Atom("link"), Atom("monitor")]
        kernel.deliver(SpawnReplySignal(parent, signal.ref, True, True, NEW))
        kernel.deliver(DownSignal(NEW, parent, signal.ref, BOOM))

    async def scenario(self: Process) -> None:
        kernel.table.by_pid[self.spawn(answer, self.pid)].driven = True
        pid, ref = await self.spawn_monitor_remote(THERE, Atom("m"), Atom("f"), [b"x"], link=True)
        assert pid == NEW
        assert await self.receive() == (Atom("DOWN"), ref, Atom("process"), NEW, BOOM)
        assert len(kernel.links) == 1

    play(scenario)


def test_no_answer_in_time(kernel: Kernel, play: Play) -> None:
    async def scenario(self: Process) -> None:
        with pytest.raises(CallTimeout, match="no answer from b@host"):
            await self.spawn_remote(THERE, "m", "f", [], timeout=1.0)

    play(scenario)
    assert len(kernel.spawns) == 0


@pytest.mark.anyio
async def test_a_runtime_without_network_knows_no_node() -> None:
    async def parent(self: Process) -> None:
        with pytest.raises(NoConnection) as error:
            await self.spawn_remote(THERE, "m", "f", [])
        assert error.value.reason == NOCONNECTION
        with pytest.raises(NoConnection):
            await run_remote(
                runtime.kernel, runtime.kernel.table.by_pid[self.pid], (THERE, "m", "f", []), timeout=1
            )

    async with LocalRuntime() as runtime:
        assert (await runtime.monitor(runtime.spawn(parent))).reason == Atom("normal")
