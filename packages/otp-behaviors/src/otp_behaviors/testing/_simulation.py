"""A whole cluster in one thread and in virtual time, every chance of it drawn from one seed.

    simulation = Simulation(seed=7)
    a, b = simulation.node("a@host"), simulation.node("b@host")
    b.start(Counter, 10, name="counter")
    assert a.call(RemoteName("counter", "b@host"), Atom("get")) == 10
    simulation.disconnect(a, b)
    simulation.run()

The same program with the same seed gives the same log, byte for byte, on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from types import TracebackType
from typing import Any, Final, Self

from otp_behaviors._signals import Signal
from otp_behaviors.testing._chance import Chance
from otp_behaviors.testing._consistency import faults
from otp_behaviors.testing._events import Event, Kind
from otp_behaviors.testing._network import Network, Range
from otp_behaviors.testing._simulated_node import SimulatedNode

MAX_STEPS: Final = 2_000_000
"""Steps of one `run` without a time limit: seconds of work, more than a cluster needs to come to rest."""

PATIENCE: Final = 3600.0
"""Virtual seconds that `run_until` waits unless told otherwise: longer than any timeout of OTP's."""


class Stuck(Exception):
    """What the test waits for does not come: everybody waits, or it took too long."""


class Simulation:
    """Kernels on a virtual network, in virtual time.

    Args:
        seed: decides the order of processes, the delays, and what `chance` gives to the test.
        latency: seconds a signal is on its way to another node, from and to.
        turn_time: seconds a turn of a process takes, from and to; (0.0, 0.0) for an infinitely fast machine.
        notice: seconds until a node notices that a connection is lost, from and to.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        latency: Range = (0.0001, 0.01),
        turn_time: Range = (0.0, 0.00005),
        notice: Range = (0.0, 0.05),
    ) -> None:
        self.seed = seed
        self.now = 0.0
        self.chance = Chance(seed)
        self.log: list[Event] = []
        self.nodes: dict[str, SimulatedNode] = {}
        self._turn_time = turn_time
        self._network = Network(self, latency, notice)
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            error.add_note(f"in a simulation with seed {self.seed}, at {self.now:.6f} s")
        self.close()

    def close(self) -> None:
        """End all nodes, and with them the coroutines of their processes."""
        for node in self.nodes.values():
            node.crash()
        self._agenda.clear()

    # The world

    def node(self, name: str, boot: Callable[[SimulatedNode], None] | None = None) -> SimulatedNode:
        """Add a node and boot it.

        Args:
            name: `name@host`, as a real node's.
            boot: called with the node at each boot, restarts included; it may `begin` and `spawn`.

        Raises:
            ValueError: there is a node of that name.
        """
        if name in self.nodes:
            raise ValueError(f"there is a node {name!r}: restart it, or choose another name")
        node = self.nodes[name] = SimulatedNode(self, name, boot)
        self._network.add(node)
        return node

    def disconnect(self, a: SimulatedNode | str, b: SimulatedNode | str) -> bool:
        """Break the connection of two nodes; they connect again when one sends. False if there was none."""
        return self._network.lose(_name(a), _name(b))

    def cut(self, a: SimulatedNode | str, b: SimulatedNode | str) -> None:
        """Break the connection of two nodes, and let them make no other until `heal`."""
        self._network.cut(_name(a), _name(b))

    def heal(self, a: SimulatedNode | str, b: SimulatedNode | str) -> None:
        """Let two nodes connect again after a `cut`."""
        self._network.heal(_name(a), _name(b))

    def congest(self, a: SimulatedNode | str, b: SimulatedNode | str, seconds: float) -> bool:
        """Have `b` read nothing from `a` for a while; False if they are not connected.

        Servers of `a` that send to it get no turns until then, as with a busy port of the distribution.
        """
        return self._network.congest(_name(a), _name(b), seconds)

    def connected(self, a: SimulatedNode | str, b: SimulatedNode | str) -> bool:
        """Tell whether two nodes are connected, and both know it."""
        return self._network.connected(_name(a), _name(b))

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something later, such as `lambda: simulation.disconnect(a, b)`."""
        self.at(self.now + seconds, action)

    def at(self, time: float, action: Callable[[], object]) -> None:
        """Do something at a time; what is for the same time is done in the order it was asked for."""
        self._sequence += 1
        heappush(self._agenda, (time, self._sequence, action))

    def connection_gone(self, node: str) -> None:
        """A node has crashed; called by the node."""
        self._network.crash(node)

    # Running

    def run(self, seconds: float | None = None) -> None:
        """Run until everybody waits and nothing is on its way, or for some seconds of virtual time.

        Raises:
            Stuck: it does not come to rest; a periodic timer, for one, never does: give it `seconds`.
        """
        self._collect()  # what was sent from outside of any process
        if seconds is None:
            for _ in range(MAX_STEPS):
                if not self.step():
                    return
            raise Stuck(
                f"no rest after {MAX_STEPS} steps: if a timer starts itself again, run for some seconds"
            )
        end = self.now + seconds
        while self._next_time() <= end and self.step():
            pass
        self.now = max(self.now, end)

    def run_until(self, condition: Callable[[], bool], seconds: float | None = None) -> None:
        """Run until `condition()` is true.

        Raises:
            Stuck: it is not true when everybody waits, or after `seconds` (an hour if left out).
        """
        self._collect()
        end = self.now + (PATIENCE if seconds is None else seconds)
        while not condition():
            if self.now > end:
                raise Stuck(f"not so after {self.now - end + (seconds or PATIENCE):.1f} s of virtual time")
            if not self.step():
                raise Stuck("everybody waits, and nothing is on its way that could change that")

    def step(self) -> bool:
        """Do the next thing: something that is due, or one turn of a process; False if there is nothing."""
        due = self._due()
        if due > self.now:
            ready = [node for node in self.nodes.values() if node.running and not node.kernel.idle]
            if ready:
                self.chance.choice(ready).kernel.take_turn()
                self.now += self.chance.between(*self._turn_time)
                self._collect()
                return True
            if due == float("inf"):
                return False
            self.now = due
        self._fire()
        self._collect()
        return True

    def _next_time(self) -> float:
        """When the next thing happens."""
        busy = any(node.running and not node.kernel.idle for node in self.nodes.values())
        return self.now if busy else self._due()

    def _due(self) -> float:
        """When the next signal arrives or timer fires."""
        due = self._agenda[0][0] if self._agenda else float("inf")
        for node in self.nodes.values():
            deadline = node.kernel.deadline() if node.running else None
            if deadline is not None and deadline < due:
                due = deadline
        return due

    def _fire(self) -> None:
        if self._agenda and self._agenda[0][0] <= self.now:
            heappop(self._agenda)[2]()
            return
        for node in self.nodes.values():
            if node.running:
                node.kernel.handle_time(self.now)

    def _collect(self) -> None:
        for node in self.nodes.values():
            if node.kernel.outbox or node.kernel.effects:
                signals = node.take_outgoing()
                if node.running:
                    for signal in signals:
                        self._send(node, signal)

    def _send(self, node: SimulatedNode, signal: Signal) -> None:
        congested = self._network.send(node.name, signal)
        sender = node.hold_up(signal) if congested > self.now else None
        if sender is not None:
            self.at(congested, partial(node.let_go, node.kernel, sender))

    # The log

    def record(self, node: str, kind: Kind, *what: Any) -> None:
        """Add an entry to the log."""
        self.log.append(Event(self.now, node, kind, what))

    def note(self, *what: Any) -> None:
        """Add something of the test's own to the log."""
        self.record("", "note", *what)

    def events(self, *kinds: Kind) -> list[Event]:
        """Return the entries of these kinds."""
        return [event for event in self.log if event.kind in kinds]

    def transcript(self) -> str:
        """Return the log as text, a line an entry."""
        return "\n".join(map(str, self.log))

    def check(self) -> None:
        """Check that both ends of every link and monitor agree, when `run` has come to rest.

        Raises:
            AssertionError: they do not; the text lists what is wrong.
        """
        complaints = faults(
            {node.name: node.kernel for node in self.nodes.values() if node.running}, self.connected
        )
        assert not complaints, f"seed {self.seed}: " + "\n".join(complaints)


def _name(node: SimulatedNode | str) -> str:
    return node if isinstance(node, str) else node.name
