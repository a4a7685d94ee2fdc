"""Whom a node connects with: what is allowed, what is made by itself, and how many at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, Literal

from ergo_node._config import MAX_HANDSHAKES, is_loopback

AutoConnect = Literal["always", "once", "never"]
AUTO_CONNECT: Final = ("always", "once", "never")

MAX_HANDSHAKES_PER_HOST: Final = 16
"""Of those, from one address: one host must not keep all others out (threats H2)."""

MAX_CONNECTIONS: Final = 1024
"""Connected nodes; a mesh of BEAM nodes stays far below, and file descriptors have to last."""

MAX_LINKS_MONITORS: Final = 1_000_000
"""Of one node with ours: each takes some hundred bytes, and a peer could make them for ever (threats H18)."""

FIRST_RETRY: Final = 0.5
LAST_RETRY: Final = 30.0
"""Seconds from one try to reconnect to the next, at first and at most."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Whom the node connects with.

    Args:
        auto_connect: whether a message to a node makes a connection, as `dist_auto_connect` of KERNEL:
            `always`; `once`, and never again by itself after the connection was lost; `never`. `connect`
            always does.
        allow: the nodes that may connect to this one and that it connects to (`net_kernel:allow/1`), by name
            or as `*@host`; None allows all.
        networks: where connections may come from, as `10.0.0.0/8` or an address; None takes them from
            everywhere. Who connects from elsewhere is closed before anything is read.
        max_connections: connected nodes at once.
        max_handshakes: connections that others opened and that are still in their handshake.
        max_handshakes_per_host: of these, from one address other than loopback.
        max_links_monitors: links with the processes of one node and monitors set by them, together. A node
            that makes more is disconnected, and they fire.
        allow_plain: whether listening beyond loopback without TLS is meant; else the log warns of it.
        connect_all: whether a visible node connects to all nodes that those it meets know, and shares global
            names with them, as `connect_all` of KERNEL.
        prevent_overlapping_partitions: whether it leaves nodes that others have lost, so that partitions
            never overlap, as the parameter of KERNEL does. It has to be the same on all nodes.

    Raises:
        ValueError: an argument is not of its shape.
    """

    auto_connect: AutoConnect = "always"
    allow: Collection[str] | None = None
    networks: Collection[str] | None = None
    max_connections: int = MAX_CONNECTIONS
    max_handshakes: int = MAX_HANDSHAKES
    max_handshakes_per_host: int = MAX_HANDSHAKES_PER_HOST
    max_links_monitors: int = MAX_LINKS_MONITORS
    allow_plain: bool = False
    connect_all: bool = True
    prevent_overlapping_partitions: bool = True

    def __post_init__(self) -> None:
        if self.auto_connect not in AUTO_CONNECT:
            raise ValueError(f"auto_connect is one of {AUTO_CONNECT}, not {self.auto_connect!r}")
        for text in self.networks or ():
            ip_network(text)
        for node in self.allow or ():
            if "@" not in node:
                raise ValueError(f"allow={node!r}: give a node name, or '*@{node}' for every node of a host")

    def allows(self, node: str) -> bool:
        """Tell whether there may be a connection with a node."""
        if self.allow is None:
            return True
        return node in self.allow or f"*@{node.rpartition('@')[2]}" in self.allow

    def allows_address(self, address: str) -> bool:
        """Tell whether a connection may come from an address; what is no address is allowed nothing."""
        if self.networks is None:
            return True
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped  # IPv4 by way of a socket that listens for both
        return any(ip in ip_network(text) for text in self.networks)


class Gate:
    """Counts the handshakes of those who connected to us: nobody knows yet who they are."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._inside = Counter[str]()

    def enter(self, address: str) -> str | None:
        """Let somebody in; returns why not, or None."""
        policy = self._policy
        if not policy.allows_address(address):
            return f"{address} is not in the networks of the policy"
        if self._inside.total() >= policy.max_handshakes:
            return f"{policy.max_handshakes} connections are in their handshake already"
        if self._inside[address] >= policy.max_handshakes_per_host and not is_loopback(address):
            return f"{policy.max_handshakes_per_host} connections from there are in their handshake already"
        self._inside[address] += 1
        return None

    def leave(self, address: str) -> None:
        """The handshake of somebody who was let in is over."""
        self._inside[address] -= 1
        if not self._inside[address]:
            del self._inside[address]


def retry_after(failures: int, chance: float) -> float:
    """Return how many seconds to wait before the next try to connect.

    Args:
        failures: tries in a row that failed.
        chance: from 0 to 1. Nodes that lost the same peer together must not come back together.
    """
    longest = min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(failures, 16))
    return longest * (0.5 + chance / 2)
