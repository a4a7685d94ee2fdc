"""What is known of another node: the connection to it that is up, or the attempt to make one."""

from __future__ import annotations

from typing import Protocol

import anyio
from erldist_proto import ControlMessage
from etf_codec import Term
from otp_behaviors import Signal

from ergo_node._errors import NotConnected
from ergo_node._identifiers import Identifiers
from ergo_node._translate import DIRECT, direct, to_wire
from ergo_node._transport import Transport


class Up:
    """A connection that is up."""

    __slots__ = (
        "as_it_is",
        "connection",
        "direct",
        "hidden",
        "identifiers",
        "node",
        "send",
        "transport",
        "writers",
    )

    def __init__(
        self,
        transport: Transport,
        node: str,
        hidden: bool,
        identifiers: Identifiers | None,
    ) -> None:
        self.transport = transport
        self.node = node
        self.hidden = hidden
        self.writers = to_wire(transport.connection.flags)
        self.direct = direct(transport.connection.flags)
        self.connection = transport.connection
        self.send = transport.connection.send
        # Whether a message needs no look at what the peer knows.
        self.as_it_is = identifiers is None and self.direct is DIRECT
        self.identifiers = identifiers  # None unless our name on this connection is not the one inside


class Attempt:
    """A node that is being connected to, and what waits for that."""

    __slots__ = ("done", "failure", "scope", "signals")

    def __init__(self) -> None:
        self.signals: list[Signal] = []
        self.failure: NotConnected | None = None
        self.done = anyio.Event()
        self.scope = anyio.CancelScope()


class Owner(Protocol):
    """The node, as its connections see it."""

    def deliver(self, transport: Transport, messages: list[tuple[ControlMessage, Term]]) -> None:
        """Take messages of one read of a transport."""

    def deliver_own(self, signal: Signal) -> None:
        """Take a signal that names this node by the name other nodes know it by."""

    def connected(self, transport: Transport) -> None:
        """A transport has become the connection to its node."""

    def node_up(self, name: str, hidden: bool) -> None:
        """A connection is up."""

    def node_down(self, name: str, reason: str, was_up: bool, hidden: bool = False) -> None:
        """A connection is lost, or could not be made."""

    def bonds_with(self, node: str) -> int:
        """Return how many links and monitors a node has with our processes."""

    def closed(self, transport: Transport) -> None:
        """A transport is over: what is known of it can be forgotten."""

    def hold_up(self, signals: list[Signal]) -> None:
        """Some of these signals went to a node that is busy."""

    def refuse(self, signal: Signal, error: Exception) -> None:
        """A signal cannot be sent: one of its terms has no external form."""
