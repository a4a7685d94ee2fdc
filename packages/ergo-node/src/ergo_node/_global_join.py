"""Connections that `global` makes and ends: each in a process of its own, for the name server never waits."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final, Protocol

from etf_codec import Pid
from otp_behaviors import Process, RemoteName

from ergo_node._errors import NodeError
from ergo_node._global_sync import in_sync_message
from ergo_node._global_terms import NAME

logger: Final = logging.getLogger("ergo_node")


class Host(Protocol):
    """The node, as its connections are seen here."""

    @property
    def name(self) -> str:
        """The node's name."""

    async def connect(self, node: str) -> bool:
        """Connect to a node."""

    def drop(self, node: str) -> bool:
        """Close the connection to a node."""


@dataclass(frozen=True, slots=True)
class NotReached:
    """A node cannot be connected to; `known` if others had introduced it."""

    node: str
    known: bool


async def _connected(host: Host, node: str) -> bool:
    try:
        return await host.connect(node)
    except NodeError:
        return False  # others gave us a name that no node can have


async def join(process: Process, server: Pid, host: Host, node: str) -> None:
    """Connect to a node that we have heard of, and say that our names are his."""
    if await _connected(host, node):
        process.cast(RemoteName(NAME, node), in_sync_message(host.name))
        return
    logger.warning("'global' at %s failed to connect to %s", host.name, node)
    process.send(server, NotReached(node, known=True))


async def reach(process: Process, server: Pid, host: Host, node: str) -> None:
    """Connect to a node that somebody wants to be in sync with; the rest follows from that."""
    if not await _connected(host, node):
        process.send(server, NotReached(node, known=False))


async def leave(process: Process, host: Host, node: str) -> None:
    """Close a connection; not in a callback, for the signals of that callback are still to go over it."""
    host.drop(node)
