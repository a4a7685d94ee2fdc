"""Which nodes a cluster has: from answers to names, and from one look to what changes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from erldist_proto import NodeName

from ergo_node._errors import DiscoveryFailed

MAX_FOUND: Final = 1024
"""Nodes of one strategy. More is no cluster of BEAM nodes, and each would be connected to."""


def named(basename: str, hosts: Iterable[str], query: str) -> dict[str, str]:
    """Return the hosts by the names of their nodes, without those that make no node name.

    Raises:
        DiscoveryFailed: there are more than a cluster can have.
    """
    nodes: dict[str, str] = {}
    for host in sorted(hosts):
        name = f"{basename}@{host}"
        try:
            NodeName.parse(name)
        except ValueError:
            continue  # whoever answers for that name decides what it says
        nodes[name] = host
    if len(nodes) > MAX_FOUND:
        raise DiscoveryFailed(f"{query} gives {len(nodes)} nodes, more than {MAX_FOUND}: is that its name?")
    return nodes


class Change(NamedTuple):
    """What a look at a cluster changed."""

    start: list[str]
    """Nodes to be kept connected from now on."""
    stop: list[str]
    """Nodes that no strategy finds any more. Their connections stay for as long as they last."""


class Wanted:
    """The nodes that strategies want, together."""

    def __init__(self) -> None:
        self._of: dict[int, frozenset[str]] = {}

    @property
    def nodes(self) -> frozenset[str]:
        """What at least one strategy wants."""
        return frozenset().union(*self._of.values())

    def update(self, strategy: int, nodes: Collection[str]) -> Change:
        """A strategy has looked: these are all its nodes."""
        before = self.nodes
        self._of[strategy] = frozenset(nodes)
        after = self.nodes
        return Change(sorted(after - before), sorted(before - after))
