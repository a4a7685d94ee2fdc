"""Supervisors whose children crash at every index and in every way, even while others restart (row G3)."""

from typing import Any, Final

import pytest
from etf_codec import Atom, Pid
from otp_behaviors import KILL, SHUTDOWN, Child, GenServer, Stop, Supervisor
from otp_behaviors.testing import SimulatedNode, Simulation, tables

STRATEGIES: Final = ("one_for_one", "one_for_all", "rest_for_one")
NAMES: Final = ("a", "b", "c", "d")
CRASHES: Final = 40
SEEDS: Final = 15
BOOM: Final = Atom("boom")


class Fragile(GenServer):
    """Slow to start, slow to stop, and crashes even while it stops."""

    async def init(self, life: Any) -> None:
        self.trap_exit = life.chance.happens(0.5)
        self.life = life
        await self.pause()

    async def pause(self) -> None:
        try:
            await self.receive(lambda message: False, timeout=self.life.chance.between(0.0, 0.01))
        except TimeoutError:
            return

    async def handle_cast(self, message: Any) -> None:
        await self.pause()
        raise Stop(message) if self.life.chance.happens(0.5) else ValueError(message)

    async def terminate(self, reason: Any) -> None:
        await self.pause()
        if self.life.chance.happens(0.3):
            raise ValueError("in terminate")


def crash_somebody(simulation: Simulation, node: SimulatedNode) -> None:
    chance = simulation.chance
    pid = node.whereis(chance.choice(NAMES))
    if pid is None:
        return
    if chance.happens(0.5):
        node.cast(pid, BOOM)
    else:
        node.exit(pid, chance.choice([KILL, BOOM, SHUTDOWN]))


def running(node: SimulatedNode) -> list[tuple[Any, Any]]:
    """Names and pids of the children, in the order they were started."""
    answer = node.call("top", Atom("which_children"))
    return [(str(id), pid) for id, pid, *_ in reversed(answer)]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_all_children_run_again_after_the_storm(strategy: Any, seed: int) -> None:
    with Simulation(seed) as simulation:
        node = simulation.node("a@host")
        before = tables(node.kernel)
        children = [Child(Fragile, simulation, name=name, shutdown=0.005) for name in NAMES]
        node.start(Supervisor(*children, strategy=strategy, intensity=10 * CRASHES, name="top"))
        for _ in range(CRASHES):
            simulation.after(simulation.chance.between(0.0, 1.0), lambda: crash_somebody(simulation, node))
        simulation.run()
        simulation.check()
        found = running(node)
        assert [name for name, _ in found] == list(NAMES)
        assert all(isinstance(pid, Pid) and node.whereis(name) == pid for name, pid in found)
        node.stop("top", SHUTDOWN)
        simulation.run()
        assert tables(node.kernel) == before


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("victim", range(len(NAMES)))
def test_too_many_restarts_end_it_all(strategy: Any, victim: int) -> None:
    with Simulation(seed=victim) as simulation:
        node = simulation.node("a@host")
        before = tables(node.kernel)
        children = [Child(Fragile, simulation, name=name, shutdown=0.005) for name in NAMES]
        top = node.start(Supervisor(*children, strategy=strategy, intensity=3, period=5, name="top"))
        for restart in range(4):
            pid = node.whereis(NAMES[victim])
            assert pid is not None, f"{restart} restarts"
            node.exit(pid, KILL)
            simulation.run()
            assert node.alive(top) == (restart < 3)
        assert tables(node.kernel) == before
