"""What a node says of its health, for probes and for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """The state of a node at one moment.

    Args:
        node: its name.
        running: whether it is started, its system processes work, and it is not stopping.
        listening: whether others can connect; None for a node that does not listen.
        registered: whether the EPMD knows it; None for a node without EPMD.
        lag: seconds the event loop is late.
        max_lag: seconds of that which endanger connections, a quarter of the tick time.
        connected: the connected nodes, hidden ones included.
        wanted: the nodes to be kept connected.
    """

    node: str
    running: bool
    listening: bool | None
    registered: bool | None
    lag: float
    max_lag: float
    connected: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """The wanted nodes that are not connected."""
        return tuple(node for node in self.wanted if node not in self.connected)

    @property
    def live(self) -> bool:
        """Whether the node works at all: if not, only a restart helps."""
        return self.running

    @property
    def ready(self) -> bool:
        """Whether others can work with it.

        Missing nodes do not count: pods that wait for each other to be ready would never find each other.
        """
        return not any(self._faults())

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is not well, in words: why it is not ready first, then the nodes that are missing."""
        return (*self._faults(), *(f"not connected to {node}" for node in self.missing))

    def _faults(self) -> Iterator[str]:
        if not self.running:
            yield "not running: not started yet, stopping, or its system processes have ended"
        if self.listening is False:
            yield "not listening: no other node can connect"
        if self.registered is False:
            yield "not registered at the EPMD: no other node can find it"
        if self.lag > self.max_lag:
            yield f"the event loop is late by {self.lag:.1f} s"
