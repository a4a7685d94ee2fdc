"""A random cluster, all of whose doings are noted in the log for `violations` to read.

Its processes link, monitor, send, call, register, exit and spawn, while connections are lost, cut and healed,
and nodes restart.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from etf_codec import Atom, Pid

from otp_behaviors._children import Child
from otp_behaviors._reasons import KILL, KILLED, NORMAL, SHUTDOWN
from otp_behaviors._supervisor import Supervisor
from otp_behaviors.testing._actor import EXIT_2, NAMES, WAYS, Echo, Postman, act
from otp_behaviors.testing._chance import Chance
from otp_behaviors.testing._simulated_node import SimulatedNode
from otp_behaviors.testing._simulation import Simulation

NODES: Final = tuple(f"{letter}@host" for letter in "abcde")
ACTORS: Final = 6
"""Actors a node starts with."""
MIN_ACTORS: Final = 4
"""With fewer a node gets another one instead of an operation."""
RECENT: Final = 30
"""Processes that operations aim at, the latest: few enough that they meet often."""
MAX_FAULTS: Final = 6
MAX_BURST: Final = 4
"""Operations one actor does in a row, to one target: what races with what is in flight."""

Draw = Callable[[Chance, Pid], tuple[Any, ...]]

OPERATIONS: Final[dict[str, tuple[int, Draw]]] = {
    # verb of an actor: how often, and its arguments
    "send": (12, lambda chance, target: (target,)),
    "forward": (10, lambda chance, target: (target,)),
    "send_name": (1, lambda chance, target: (chance.choice(NAMES), target.node)),
    "link": (6, lambda chance, target: (target,)),
    "unlink": (4, lambda chance, target: (target,)),
    "monitor": (6, lambda chance, target: (target,)),
    "monitor_name": (1, lambda chance, target: (chance.choice(NAMES), target.node)),
    "demonitor": (3, lambda chance, target: (chance.below(99), chance.happens(0.5))),
    "exit": (1, lambda chance, target: (target, chance.choice([KILL, NORMAL, EXIT_2]))),
    "trap": (3, lambda chance, target: (chance.happens(0.8),)),
    "alias": (2, lambda chance, target: (target,)),
    "send_alias": (4, lambda chance, target: (chance.below(99),)),
    "unalias": (1, lambda chance, target: ()),
    "register": (1, lambda chance, target: (chance.choice(NAMES),)),
    "unregister": (1, lambda chance, target: (chance.choice(NAMES),)),
    "spawn": (1, lambda chance, target: ()),
    "end": (1, lambda chance, target: (chance.choice([NORMAL, KILL, KILLED, Atom("done")]),)),
    "call": (
        3,
        lambda chance, target: (
            chance.choice(NODES),
            chance.choice(WAYS),
            chance.choice([0.005, 0.05, 5.0]),
        ),
    ),
}
VERBS: Final = [verb for verb, (weight, _) in OPERATIONS.items() for _ in range(weight)]


class Workload:
    """What one seed does to a cluster of five nodes.

    Args:
        seed: decides everything.
        operations: bursts of operations.
        seconds: the virtual time in which they, and the faults, happen.
    """

    def __init__(self, seed: int, *, operations: int = 600, seconds: float = 0.6) -> None:
        self.simulation = Simulation(seed)
        self._operations = operations
        self._seconds = seconds
        self._chance = self.simulation.chance
        self._pids: list[Pid] = []
        self._scanned = 0
        for name in NODES:
            self.simulation.node(name, self._boot)

    def _boot(self, node: SimulatedNode) -> None:
        """Start what every node has: an echo server and a postman, supervised."""
        children = Child(Echo, name="echo"), Child(Postman, self.simulation, name="postman")
        node.begin(Supervisor(*children, intensity=1000, name="top"))

    def run(self) -> Simulation:
        """Do everything, come to rest and compare the tables; then end everything and find them empty.

        Raises:
            AssertionError: the tables disagree, or something is left.
        """
        simulation, chance = self.simulation, self._chance
        for node in simulation.nodes.values():
            for _ in range(ACTORS):
                node.spawn(act, simulation)
        for _ in range(self._operations):
            simulation.after(chance.between(0.0, self._seconds), self._operate)
        for fault in FAULTS:
            for _ in range(chance.below(MAX_FAULTS)):
                simulation.after(chance.between(0.0, self._seconds), partial(fault, self))
        simulation.run()
        simulation.check()
        simulation.note(None, "rest")
        self._end()
        return simulation

    def _end(self) -> None:
        for node in self.simulation.nodes.values():
            assert node.whereis("echo") is not None, f"{node}: its supervised server is gone"
            for pid in self._actors(node):
                node.exit(pid, KILL)
            node.stop("top", SHUTDOWN)
        self.simulation.run()
        self.simulation.check()
        for node in self.simulation.nodes.values():
            kernel = node.kernel
            left = (*list(kernel.table.by_pid)[1:], *kernel.table.by_name, *kernel.aliases)
            assert not left, f"{node}: left over are {left}"
            counts = (len(kernel.links), len(kernel.monitors), len(kernel.timers))
            assert not any(counts), f"{node}: left over are (links, monitors, timers) {counts}"
        self.simulation.close()

    @staticmethod
    def _actors(node: SimulatedNode) -> list[Pid]:
        records = node.kernel.table.by_pid.values()
        return [record.pid for record in records if record.initial_call[1] == act.__name__]

    def _operate(self) -> None:
        chance = self._chance
        node = self.simulation.nodes[chance.choice(NODES)]
        actors = self._actors(node)
        if len(actors) < MIN_ACTORS:
            node.spawn(act, self.simulation)
            return
        actor, target = chance.choice(actors), self._target()
        for _ in range(1 + chance.below(MAX_BURST)):
            verb = chance.choice(VERBS)
            node.send(actor, ("do", verb, *OPERATIONS[verb][1](chance, target)))

    def _target(self) -> Pid:
        """Return one of the latest actors, dead ones and those of earlier incarnations included."""
        log = self.simulation.log
        for event in log[self._scanned :]:
            if event.kind == "spawn" and event.what[2][1] == act.__name__:
                self._pids.append(event.what[0])
        self._scanned = len(log)
        return self._chance.choice(self._pids[-RECENT:])

    def _two_nodes(self) -> tuple[str, str]:
        first = self._chance.below(len(NODES))
        other = (first + 1 + self._chance.below(len(NODES) - 1)) % len(NODES)
        return NODES[first], NODES[other]

    def disconnect(self) -> None:
        """Fault: lose a connection."""
        self.simulation.disconnect(*self._two_nodes())

    def cut(self) -> None:
        """Fault: keep two nodes apart for a while."""
        a, b = self._two_nodes()
        self.simulation.cut(a, b)
        self.simulation.after(self._chance.between(0.01, 0.5), partial(self.simulation.heal, a, b))

    def congest(self) -> None:
        """Fault: have a node read nothing of another one for a while."""
        a, b = self._two_nodes()
        self.simulation.congest(a, b, self._chance.between(0.01, 0.2))

    def restart(self) -> None:
        """Fault: restart a node."""
        self.simulation.nodes[self._chance.choice(NODES)].restart()


FAULTS: Final = (
    Workload.disconnect,
    Workload.disconnect,
    Workload.cut,
    Workload.congest,
    Workload.congest,
    Workload.restart,
)
