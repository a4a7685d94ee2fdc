"""What can be configured of a node, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

NET_TICK_TIME: Final = 60.0
"""Seconds, as `net_ticktime` of KERNEL."""

SETUP_TIME: Final = 7.0
"""Seconds for each step of a handshake, as `net_setuptime` of KERNEL."""

MAX_HANDSHAKES: Final = 128
"""Connections that may be in their handshake at once: whoever connects is still unknown (threats H2)."""

SHUTDOWN_GRACE: Final = 5.0
"""Seconds to write what is left when a connection or the node ends."""


@dataclass(frozen=True, slots=True)
class Epmd:
    """How the node uses EPMD.

    Args:
        port: the EPMD's port; None takes ERL_EPMD_PORT, else 4369.
        embedded: whether the node becomes the EPMD itself when none runs.
    """

    port: int | None = None
    embedded: bool = True


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the node listens for other nodes.

    Args:
        host: an address; None listens on loopback if the node's name is on loopback, else everywhere.
        ports: the first free one is taken (`inet_dist_listen_min`, `_max`); 0 lets the system choose.
    """

    host: str | None = None
    ports: Iterable[int] = (0,)


@dataclass(frozen=True, slots=True)
class Routes:
    """Where nodes are found without asking an EPMD: `{"db@10.0.0.4": ("10.0.0.4", 9100)}`."""

    addresses: Mapping[str, tuple[str, int]] = field(default_factory=dict)


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
