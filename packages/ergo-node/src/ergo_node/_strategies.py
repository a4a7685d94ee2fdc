"""How the nodes of a cluster are found: strategies, in the spirit of Elixir's libcluster.

A strategy is a small value. It finds nodes, all of them at each look; what follows from that is `_cluster`'s.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from socket import AF_INET, AF_INET6, AF_UNSPEC, SOCK_STREAM
from typing import Any, Final, Literal, Protocol, TypeAlias

import anyio
from erldist_proto import NodeName

from ergo_node._errors import DiscoveryFailed
from ergo_node._membership import named

POLL_SECONDS: Final = 5.0
"""Between two looks: the default of libcluster's `DNSPoll`, and how long Kubernetes lets DNS answers live."""

NEEDS_DNS: Final = "SRV records and a nameserver of one's own need a library: pip install 'ergo-node[dns]'"

Route: TypeAlias = tuple[str, int]
"""Where a node listens: host and port."""

Found: TypeAlias = Mapping[str, Route | None]
"""Nodes by name; None for those an EPMD is asked for."""

Family = Literal["any", "ipv4", "ipv6"]
FAMILIES: Final = {"any": AF_UNSPEC, "ipv4": AF_INET, "ipv6": AF_INET6}
RECORDS: Final = {"any": ("A", "AAAA"), "ipv4": ("A",), "ipv6": ("AAAA",)}


class Strategy(Protocol):
    """Finds the nodes of a cluster. Any object that has these two is one."""

    @property
    def interval(self) -> float | None:
        """Seconds from one look to the next; None looks once."""

    async def find(self) -> Found:
        """Return all nodes there are now; this node may be among them.

        Raises:
            DiscoveryFailed: it cannot be told; the nodes of the last look stay wanted, and the log is told.
        """


@dataclass(frozen=True, slots=True)
class StaticNodes:
    """Nodes known by name (libcluster's `Epmd`).

    Args:
        nodes: their names; a mapping gives routes as well: `{"db@10.0.0.4": ("10.0.0.4", 9100)}`.

    Raises:
        ValueError: one of them is no node name.
    """

    nodes: Collection[str] | Mapping[str, Route | None]

    def __post_init__(self) -> None:
        if isinstance(self.nodes, str):
            raise ValueError(f"StaticNodes({self.nodes!r}) is one name: give a list of them")
        for node in self.nodes:
            NodeName.parse(node)

    @property
    def interval(self) -> float | None:
        """None: they are the same for ever."""
        return None

    async def find(self) -> Found:
        """Return the nodes."""
        return dict(self.nodes) if isinstance(self.nodes, Mapping) else dict.fromkeys(self.nodes)


@dataclass(frozen=True, slots=True)
class DnsNodes:
    """A node on each address of a DNS name: `basename@10.1.2.3` (libcluster's `DNSPoll`, `Kubernetes.DNS`).

    In Kubernetes the name is that of a headless Service, and each pod names its node after its address.

    Args:
        query: the DNS name, as `app.default.svc.cluster.local`.
        basename: the part of the node names before `@`.
        interval: seconds from one look to the next.
        family: addresses of which kind; a pod of a dual-stack cluster has both, but its node one name.
        nameserver: address and port of a DNS server other than the system's; needs `ergo-node[dns]`.

    Raises:
        ValueError: the basename or the interval is none.
    """

    query: str
    basename: str
    interval: float = POLL_SECONDS
    family: Family = "any"
    nameserver: Route | None = None

    def __post_init__(self) -> None:
        _check(self.basename, self.interval)
        if self.family not in FAMILIES:
            raise ValueError(f"family is one of {tuple(FAMILIES)}, not {self.family!r}")
        if self.nameserver is not None:
            _dns()

    async def find(self) -> Found:
        """Return a node for each address."""
        if self.nameserver is None:
            addresses = await _system_addresses(self.query, self.family)
        else:
            addresses = await _dns().addresses(self.query, RECORDS[self.family], self.nameserver)
        return dict.fromkeys(named(self.basename, addresses, self.query))


@dataclass(frozen=True, slots=True)
class SrvNodes:
    """A node on each target of SRV records: `basename@app-0.app.default.svc…` (libcluster's `DNSSRV`).

    In Kubernetes these are the pods of a StatefulSet, whose names outlive them. Needs `ergo-node[dns]`.

    Args:
        query: the DNS name; for the records of one port `_dist._tcp.app.default.svc.cluster.local`.
        basename: the part of the node names before `@`.
        interval: seconds from one look to the next.
        ports: whether nodes listen at the ports of the records, so that no EPMD is asked.
        nameserver: address and port of a DNS server; None takes the system's.

    Raises:
        ValueError: the basename or the interval is none. DiscoveryFailed: `ergo-node[dns]` is not installed.
    """

    query: str
    basename: str
    interval: float = POLL_SECONDS
    ports: bool = False
    nameserver: Route | None = None

    def __post_init__(self) -> None:
        _check(self.basename, self.interval)
        _dns()

    async def find(self) -> Found:
        """Return a node for each target."""
        targets: dict[str, int] = await _dns().services(self.query, self.nameserver)
        nodes = named(self.basename, targets, self.query)
        return {node: (host, targets[host]) if self.ports else None for node, host in nodes.items()}


def _check(basename: str, interval: float) -> None:
    NodeName.parse(f"{basename}@host")
    if not interval > 0:
        raise ValueError(f"interval={interval!r}: give the seconds from one look to the next")


async def _system_addresses(query: str, family: Family) -> set[str]:
    try:
        infos = await anyio.getaddrinfo(query, None, family=FAMILIES[family], type=SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DiscoveryFailed(f"{query} is not to be resolved: {error}") from error
    # With a zone, as fe80::1%eth0, an address means something on this machine only.
    return {str(address[0]) for *_, address in infos if "%" not in str(address[0])}


def _dns() -> Any:
    """The module for what the system's resolver cannot do; Any, for it is loaded on demand."""
    try:
        return import_module("ergo_node._dns")
    except ImportError as error:
        raise DiscoveryFailed(NEEDS_DNS) from error
