"""How children end: alone or together, in time or by force, and which end is worth a report."""

from collections.abc import Callable
from typing import Any

import pytest
from etf_codec import Atom, Pid
from otp_behaviors import KILLED, NORMAL, SHUTDOWN, Child, Exit, ExitError, GenServer, Process
from otp_behaviors._shutdown import end_children, ended_well

Play = Callable[..., Any]
Spawn = Callable[..., Pid]

BOOM = Atom("boom")
MOVED = (SHUTDOWN, Atom("moved"))


async def obedient(self: Process) -> None:
    await self.receive()


async def stubborn(self: Process) -> None:
    self.trap_exit = True
    while True:
        await self.receive()


@pytest.mark.parametrize(
    ("restart", "shutdown", "well"),
    [
        ("permanent", 5.0, {SHUTDOWN}),
        ("transient", 5.0, {SHUTDOWN, MOVED, NORMAL}),
        ("temporary", "infinity", {SHUTDOWN, MOVED, NORMAL}),
        ("permanent", "brutal_kill", {KILLED}),
        ("transient", "brutal_kill", {KILLED, SHUTDOWN, MOVED, NORMAL}),
    ],
)
def test_an_end_as_ordered_needs_no_report(restart: Any, shutdown: Any, well: set[Any]) -> None:
    spec = Child(GenServer, restart=restart, shutdown=shutdown)
    reasons = (SHUTDOWN, MOVED, NORMAL, KILLED, BOOM)
    assert {reason for reason in reasons if ended_well(spec, reason)} == well


@pytest.mark.parametrize(
    ("shutdown", "obeys", "resists"),
    [(0, SHUTDOWN, KILLED), (0.5, SHUTDOWN, KILLED), ("brutal_kill", KILLED, KILLED)],
)
def test_children_end_together(play: Play, shutdown: Any, obeys: Atom, resists: Atom) -> None:
    async def supervisor(self: Process) -> Any:
        self.trap_exit = True
        kinds = (obedient, stubborn, stubborn, obedient)
        pids = [self.spawn(kind, link=True) for kind in kinds]
        for pid in pids:
            self._kernel.table.by_pid[pid].driven = True
        with pytest.raises(TimeoutError):
            await self.receive(timeout=0.01)
        began = self._kernel.timers.now
        reasons = await end_children(self, dict.fromkeys(pids, shutdown))
        with pytest.raises(TimeoutError):  # neither exit messages nor the timer are left
            await self.receive(timeout=1)
        waited = shutdown if isinstance(shutdown, float) else 0
        assert self._kernel.timers.now - began - 1 == pytest.approx(waited)
        return [reasons[pid] for pid in pids]

    assert play(supervisor) == [obeys, resists, resists, obeys]


def test_a_child_that_ended_before_says_why(play: Play, spawn: Spawn) -> None:
    async def fails(self: Process) -> None:
        await self.receive()
        raise ExitError(BOOM)

    async def supervisor(self: Process) -> Any:
        self.trap_exit = True
        first = spawn(fails, parent=self, link=True)
        self.send(first, "go")
        ref = self.monitor(first)
        await self.receive(lambda message: message[1] == ref)
        assert await end_children(self, {first: 1.0}) == {first: BOOM}
        with pytest.raises(TimeoutError):
            await self.receive(lambda message: isinstance(message, Exit), 0)

    play(supervisor)
