"""The virtual network: connections between nodes, each in order, with delays from the seed, that can be lost.

A node connects when it first sends. A signal is on its way for a while; signals of one direction arrive in
the order they were sent. Losing a connection loses what is on its way; each side notices in its own time, or
at once when the other side connects again, as a node drops the old connection before it accepts a new one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from otp_behaviors._signals import Signal, destination
from otp_behaviors.testing._chance import Chance
from otp_behaviors.testing._events import Kind

Range = tuple[float, float]


class Station(Protocol):
    """A node as the network sees it."""

    name: str
    running: bool

    def signal_arrived(self, signal: Signal) -> None:
        """A signal came over a connection."""

    def connected(self, node: str) -> None:
        """There is a connection to a node."""

    def connection_lost(self, node: str, was_up: bool) -> None:
        """The connection to a node is lost, or none could be made."""


class World(Protocol):
    """What the network needs of the simulation."""

    now: float
    chance: Chance

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Do something at a time; what is for the same time is done in the order it was asked for."""

    def record(self, node: str, kind: Kind, *what: object) -> None:
        """Add an entry to the log."""


class Connection:
    """One connection, from its set-up until both sides know that it is lost."""

    __slots__ = ("arrival", "congested", "lost", "made", "number")

    def __init__(self, number: int, *, made: bool) -> None:
        self.number = number
        self.made = made
        self.lost = not made
        # Until when a node takes nothing off it.
        self.congested: dict[str, float] = {}
        # When the latest signal arrives at a node: no later one may overtake it.
        self.arrival: dict[str, float] = {}


class Network:
    """All connections of a simulation.

    Args:
        world: the simulation.
        latency: seconds a signal is on its way, from and to.
        notice: seconds until a side notices a loss, from and to.
    """

    def __init__(self, world: World, latency: Range, notice: Range) -> None:
        self._world = world
        self._latency = latency
        self._notice = notice
        self._stations: dict[str, Station] = {}
        # What each node takes for its connection to another one: (node, other).
        self._views: dict[tuple[str, str], Connection] = {}
        self._cut: set[frozenset[str]] = set()
        self._made = 0

    def add(self, station: Station) -> None:
        """Make a node reachable under its name."""
        self._stations[station.name] = station

    def connected(self, a: str, b: str) -> bool:
        """Tell whether both nodes have the same connection and it is not lost."""
        view = self._views.get((a, b))
        return view is not None and not view.lost and self._views.get((b, a)) is view

    def send(self, source: str, signal: Signal) -> float:
        """Take a signal of a node for another one; return until when who sends to that node has to wait."""
        target = destination(signal)
        connection = self._views.get((source, target)) or self._connect(source, target)
        world = self._world
        if connection.lost:
            world.record(source, "lose", signal, connection.number)
            return 0.0
        world.record(source, "send", signal, connection.number)
        congested = connection.congested.get(target, 0.0)
        departure = max(world.now, congested)
        arrival = max(connection.arrival.get(target, 0.0), departure + world.chance.between(*self._latency))
        connection.arrival[target] = arrival
        world.at(arrival, lambda: self._arrive(connection, target, signal))
        return congested

    def congest(self, source: str, target: str, seconds: float) -> bool:
        """Have a node read nothing of another one for a while; False if they are not connected."""
        connection = self._views.get((source, target))
        if connection is None or connection.lost:
            return False
        until = max(connection.congested.get(target, 0.0), self._world.now + seconds)
        connection.congested[target] = until
        return True

    def lose(self, a: str, b: str) -> bool:
        """Break the connection of two nodes; False if there was none."""
        connection = self._views.get((a, b)) or self._views.get((b, a))
        if connection is None or connection.lost:
            return False
        connection.lost = True
        for node, other in ((a, b), (b, a)):
            self._notice_later(connection, node, other)
        return True

    def cut(self, a: str, b: str) -> None:
        """Break the connection of two nodes, and let them make no other until `heal`."""
        self._cut.add(frozenset((a, b)))
        self.lose(a, b)

    def heal(self, a: str, b: str) -> None:
        """Let two nodes connect again."""
        self._cut.discard(frozenset((a, b)))

    def crash(self, node: str) -> None:
        """A node is gone: its connections are lost, and it will notice nothing."""
        for other in self._stations:
            if other != node:
                self.lose(node, other)
                self._views.pop((node, other), None)

    def _connect(self, source: str, target: str) -> Connection:
        station = self._stations.get(target)
        possible = station is not None and station.running and frozenset((source, target)) not in self._cut
        self._made += 1
        connection = Connection(self._made, made=possible)
        self._views[source, target] = connection
        if not possible:
            self._notice_later(connection, source, target)
            return connection
        earlier = self._views.get((target, source))
        if earlier is not None:
            self._noticed(earlier, target, source)
        self._views[target, source] = connection
        self._world.record(source, "connect", target, connection.number)
        for node, other in ((target, source), (source, target)):
            self._world.record(node, "nodeup", other, connection.number)
            self._stations[node].connected(other)
        return connection

    def _arrive(self, connection: Connection, target: str, signal: Signal) -> None:
        if connection.lost:
            self._world.record(target, "lose", signal, connection.number)
            return
        self._world.record(target, "deliver", signal, connection.number)
        self._stations[target].signal_arrived(signal)

    def _notice_later(self, connection: Connection, node: str, other: str) -> None:
        time = self._world.now + self._world.chance.between(*self._notice)
        self._world.at(time, lambda: self._noticed(connection, node, other))

    def _noticed(self, connection: Connection, node: str, other: str) -> None:
        if self._views.get((node, other)) is connection:
            del self._views[node, other]
            self._world.record(
                node, "nodedown" if connection.made else "unreachable", other, connection.number
            )
            self._stations[node].connection_lost(other, connection.made)
