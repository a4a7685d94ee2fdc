"""Connections to other nodes: made on demand, accepted, and given up; one per node.

Follows `net_kernel` of KERNEL: a signal for a node without a connection makes one, and goes out when it is
up; when two nodes connect to each other at once, the connection of the one with the greater name survives.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from secrets import token_hex
from time import monotonic
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup
from erldist_proto import (
    Accept,
    AliveAsked,
    AnswerAlive,
    Closed,
    Connected,
    Connection,
    ConnectionLimits,
    ConnectionRequested,
    ControlMessage,
    Event,
    LocalNode,
    NodeName,
    Received,
    Refuse,
    State,
    simultaneous_status,
)
from etf_codec import Atom, Term
from otp_behaviors import (
    Channel,
    DemonitorSignal,
    DownSignal,
    ExitSignal,
    Signal,
    UnlinkAckSignal,
    UnlinkSignal,
)

from ergo_node._config import NET_TICK_TIME, SETUP_TIME
from ergo_node._departures import Departures
from ergo_node._errors import NotAllowed, NotConnected, failure_of
from ergo_node._names import Names
from ergo_node._network import Network
from ergo_node._own_name import OwnName, new_creation
from ergo_node._peers import Attempt, Owner, Up
from ergo_node._policy import Gate, Policy
from ergo_node._tls import TlsContexts
from ergo_node._translate import FromWire
from ergo_node._transport import Transport, Wiring

logger: Final = logging.getLogger("ergo_node")


DEFAULT_POLICY: Final = Policy()
DEFAULT_LIMITS: Final = ConnectionLimits()

QUIET_ENDS: Final = ("connection_closed", "disconnect")
"""Reasons for which a connection that a peer opened ends without a warning."""

MAX_WAITING_SIGNALS: Final = 10_000
"""What may wait for a connection that is being made before senders wait as well."""

PASSIVE: Final = (DemonitorSignal, UnlinkSignal, UnlinkAckSignal, DownSignal)
"""Signals about bonds that ended with the connection they went over: none is made for them."""


def _is_passive(signal: Signal) -> bool:
    return isinstance(signal, PASSIVE) or (isinstance(signal, ExitSignal) and signal.linked)


class Connections:
    """All connections of a node.

    Args:
        own_name: who we are.
        cookie_of: the cookie shared with a node.
        names: finds other nodes.
        network: opens sockets.
        owner: gets what arrives.
        channels: those of the kernel.
        tasks: where connections run.
        tls: encrypts connections, if it is not None.
        policy: whom to connect with.
        none: the atom that stands for None in terms.
        tick_time: seconds, as net_ticktime.
    """

    def __init__(
        self,
        own_name: OwnName,
        cookie_of: Callable[[str], str],
        names: Names,
        network: Network,
        owner: Owner,
        channels: dict[str, Channel],
        tasks: TaskGroup,
        *,
        tls: TlsContexts | None = None,
        policy: Policy = DEFAULT_POLICY,
        none: Atom | None = None,
        tick_time: float = NET_TICK_TIME,
        limits: ConnectionLimits = DEFAULT_LIMITS,
    ) -> None:
        self._own_name = own_name
        self._cookie_of = cookie_of
        self._names = names
        self._network = network
        self._owner = owner
        self._tasks = tasks
        self._tls = tls
        self._policy = policy
        self._gate = Gate(policy)
        self._turned_away = False
        self._once = set[str]()
        self._options: dict[str, Any] = {
            "length_bytes": 2 if tls is None else 4,
            "tick_time": tick_time,
            "setup_time": SETUP_TIME,
            "none": none,
            "limits": limits,
        }
        self.departures = Departures(own_name, owner, self._send_later, channels)
        self._up = self.departures.up
        self.busy = self.departures.busy
        self._attempts: dict[str, Attempt] = {}
        self._handshakes: set[Transport] = set()
        self._admitted: set[Transport] = set()
        self._asking: Attempt | None = None
        self.closing = False

    @property
    def _local(self) -> LocalNode:
        return self._own_name.local

    def nodes(self) -> list[tuple[str, bool]]:
        """Return the connected nodes, and whether each is hidden."""
        return [(name, up.hidden) for name, up in self._up.items()]

    # Outgoing

    def _send_later(self, node: str, signal: Signal) -> None:
        """Keep a signal until there is a connection, which is made if the policy has it so."""
        attempt = self._attempts.get(node)
        if attempt is None:
            if _is_passive(signal):
                return
            when = self._policy.auto_connect
            if when == "never" or (when == "once" and node in self._once):
                self._owner.node_down(node, f"auto_connect is {when}: connect to {node} first", was_up=False)
                return
            attempt = self._attempt(node)
        attempt.signals.append(signal)
        if len(attempt.signals) > MAX_WAITING_SIGNALS:
            self.busy.add(node)

    async def relieved(self, node: str) -> None:
        """Wait until what was sent to a busy node has gone out for the most part, or never will."""
        attempt = self._attempts.get(node)
        if attempt is not None:
            await attempt.done.wait()
        up = self._up.get(node)
        if up is not None:
            await up.transport.relieved()
        self.busy.discard(node)

    async def connect(self, node: str) -> NotConnected | None:
        """Connect to a node unless it is; returns what went wrong, None if all is well."""
        if node in self._up:
            return None
        attempt = self._attempt(node)
        await attempt.done.wait()
        return attempt.failure

    def disconnect(self, node: str) -> bool:
        """Close the connection to a node; False if there was none."""
        up = self._up.get(node)
        if up is not None:
            up.transport.close()
        return up is not None

    def close(self) -> None:
        """Close every connection, and make no more."""
        self.closing = True
        for node, attempt in list(self._attempts.items()):
            self._give_up(node, attempt, NotConnected(f"{self._local.name} is stopping"))
            attempt.scope.cancel()
        for transport in [*self._handshakes, *(up.transport for up in self._up.values())]:
            transport.close()

    def _attempt(self, node: str) -> Attempt:
        attempt = self._attempts.get(node)
        if attempt is None:
            attempt = self._attempts[node] = Attempt()
            self._tasks.start_soon(self._reach, node, attempt, name=f"connect to {node}")
        return attempt

    async def _reach(self, node: str, attempt: Attempt) -> None:
        """Make a connection; returns when it is lost, or when it could not be made."""
        opened: Transport | None = None
        try:
            with attempt.scope, anyio.fail_after(SETUP_TIME):
                await self._wait_for_name(attempt)
                opened = await self._open(node)
        except TimeoutError:
            self._give_up(node, attempt, NotConnected(f"{node} has not answered within {SETUP_TIME:g} s"))
        except (NotConnected, OSError, ValueError) as error:
            known = error if isinstance(error, NotConnected) else NotConnected(f"{node}: {error}")
            self._give_up(node, attempt, known)
        else:
            if opened is None:
                await self._wait_for_peer(node, attempt)
            else:
                await self._shake_hands(node, attempt, opened)

    async def _wait_for_name(self, attempt: Attempt) -> None:
        """Let one attempt at a time ask for a name: the others come when it has brought one, or failed."""
        while self._local.is_dynamic:
            asking = self._asking
            if asking is None or asking.done.is_set():
                self._asking = attempt
                return
            await asking.done.wait()

    async def _shake_hands(self, node: str, attempt: Attempt, transport: Transport) -> None:
        attempt.scope = anyio.CancelScope()
        self._handshakes.add(transport)
        with attempt.scope:
            await transport.run()
        self._handshakes.discard(transport)
        if self._attempts.get(node) is attempt:
            await self._not_connected(node, attempt, transport)

    async def _open(self, node: str) -> Transport:
        if self.closing:
            raise NotAllowed(f"{self._local.name} is stopping")
        if node == self._local.name:
            raise NotAllowed(f"{node} is this node itself")
        forbidden = self._forbidden(node)
        if forbidden is not None:
            raise NotAllowed(forbidden)
        address = await self._names.find(node)
        connection = Connection.initiator(
            self._local,
            peer=node,
            cookie=self._cookie_of(node),
            now=monotonic(),
            handshake_version=address.handshake_version,
            **self._options,
        )
        tls = None if self._tls is None else self._tls.connect(NodeName.parse(node).host)
        wiring = Wiring(connection, self._owner.deliver, self._handle, tls, address.host)
        try:
            return await self._network.connect(address.host, address.port, wiring)
        except OSError as error:
            raise NotConnected(f"{node} does not listen at {address.host}:{address.port}: {error}") from error

    async def _not_connected(self, node: str, attempt: Attempt, transport: Transport) -> None:
        closed = transport.closed
        if attempt.scope.cancelled_caught or (closed is not None and closed.status == "nok"):
            await self._wait_for_peer(node, attempt)
        elif closed is not None:
            self._give_up(node, attempt, failure_of(closed))

    async def _wait_for_peer(self, node: str, attempt: Attempt) -> None:
        """The peer connects to us at the same time, and its connection is the one that survives."""
        with anyio.move_on_after(SETUP_TIME):
            await attempt.done.wait()
        if self._attempts.get(node) is attempt:
            self._give_up(node, attempt, NotConnected(f"{node} was connecting to us, but did not"))

    def _give_up(self, node: str, attempt: Attempt, failure: NotConnected) -> None:
        if self._attempts.get(node) is not attempt:
            return
        del self._attempts[node]
        attempt.failure = failure
        logger.log(logging.DEBUG if self.closing else logging.WARNING, "not connected: %s", failure)
        self._owner.node_down(node, str(failure), was_up=False)
        attempt.done.set()

    # Incoming

    def admit(self, host: str) -> Wiring | None:
        """Somebody has connected: with what to go on, or None to close at once."""
        if self.closing:
            return None
        reason = self._gate.enter(host)
        if reason is not None:
            # A flood of connections must not be one of log lines.
            level = logging.DEBUG if self._turned_away else logging.WARNING
            logger.log(level, "connection from %s: not taken: %s", host, reason)
            self._turned_away = True
            return None
        connection = Connection.acceptor(self._local, now=monotonic(), **self._options)
        tls = None if self._tls is None else self._tls.accept()
        return Wiring(connection, self._owner.deliver, self._handle, tls, host)

    async def run(self, transport: Transport) -> None:
        """Run the transport of somebody who was admitted; returns when it is over."""
        if transport.connection.state is not State.CONNECTED:
            self._handshakes.add(transport)
            self._admitted.add(transport)
        else:
            self._gate.leave(transport.host)
        try:
            await transport.run()
        finally:
            self._shaken(transport)
        closed = transport.closed
        # `nok` is how one of two connections made at once gives way to the other.
        if closed is not None and closed.reason not in QUIET_ENDS and closed.status != "nok":
            logger.warning("connection from %s: %s", transport.host, closed.text)

    def _shaken(self, transport: Transport) -> None:
        """A handshake is over, well or not."""
        self._handshakes.discard(transport)
        if transport in self._admitted:
            self._admitted.discard(transport)
            self._gate.leave(transport.host)
            self._turned_away = self._turned_away and bool(self._admitted)

    def _forbidden(self, node: str) -> str | None:
        """Why the policy forbids a connection with a node; None if it does not."""
        if not self._policy.allows(node):
            return f"the policy of {self._local.name} does not allow {node}"
        if len(self._up) >= self._policy.max_connections and node not in self._up:
            return f"{self._local.name} is connected to {len(self._up)} nodes, its max_connections"
        return None

    def _handle(self, transport: Transport, events: list[Event]) -> None:
        messages: list[tuple[ControlMessage, Term]] = []
        for event in events:
            if isinstance(event, Received):
                messages.append((event.message, event.payload))
            elif isinstance(event, Connected):
                self._connected(transport, event)
            elif isinstance(event, ConnectionRequested):
                self._requested(transport, event)
            elif isinstance(event, AliveAsked):
                transport.connection.send(AnswerAlive(event.name in self._attempts))
            elif isinstance(event, Closed):
                self._owner.deliver(transport, messages)
                messages = []
                self._closed(transport, event)
        if messages:
            self._owner.deliver(transport, messages)

    def spare_bonds(self, transport: Transport) -> int:
        """Return how many links and monitors more a node may make; below 0 it is disconnected (H18)."""
        node, most = transport.connection.peer, self._policy.max_links_monitors
        spare = most - self._owner.bonds_with(node)
        if spare < 0:
            text = f"{node} has more than {most} links and monitors with our processes: disconnected"
            logger.warning(text)
            transport.give_up(text)
        return spare

    def _requested(self, transport: Transport, event: ConnectionRequested) -> None:
        connection, name = transport.connection, event.name
        if not self._vouched(transport, name.rpartition("@")[2]):
            connection.send(Refuse("not_allowed"))
        elif event.wants_name:
            self._name(transport, name)
        elif self.closing or name == self._local.name:
            connection.send(Refuse("nok" if name == self._local.name else "not_allowed"))
        elif (forbidden := self._forbidden(name)) is not None:
            logger.warning("connection from %s: %s", transport.host, forbidden)
            connection.send(Refuse("not_allowed"))
        elif name in self._up:
            connection.send(Accept(self._cookie_of(name), status="alive"))
        elif name in self._attempts:
            status = simultaneous_status(self._local.name, name)
            if status == "nok":
                connection.send(Refuse("nok"))
            else:
                self._attempts[name].scope.cancel()
                connection.send(Accept(self._cookie_of(name), status=status))
        else:
            connection.send(Accept(self._cookie_of(name)))

    def _name(self, transport: Transport, host: str) -> None:
        """Give a name to a node that asks for one."""
        name = f"{token_hex(8)}@{host}"
        if (forbidden := self._forbidden(name)) is not None:
            logger.warning("connection from %s: %s", transport.host, forbidden)
            transport.connection.send(Refuse("not_allowed"))
            return
        transport.connection.send(Accept(self._cookie_of(name), name=name, creation=new_creation()))

    def _vouched(self, transport: Transport, host: str) -> bool:
        """Tell whether the peer's certificate, if there has to be one, is for the host it claims to be on."""
        if self._tls is None or transport.tls is None or self._tls.vouches(transport.tls, host):
            return True
        logger.warning("connection from %s: its certificate is not for %s", transport.host, host)
        return False

    def _connected(self, transport: Transport, event: Connected) -> None:
        self._shaken(transport)
        self._once.add(event.name)
        old = self.departures.disconnected(event.name)
        if old is not None:
            # The peer has lost the old connection and means this one: nodedown comes before nodeup.
            old.transport.from_wire = None
            old.transport.close()
            self._owner.node_down(event.name, "connection_closed", True, old.hidden)
        self._own_name.connected(event)
        identifiers = self._own_name.identifiers
        transport.from_wire = FromWire(self._own_name.inside, event.name, identifiers)
        self.departures.connected(Up(transport, event.name, event.hidden, identifiers))
        self._owner.connected(transport)
        attempt = self._attempts.pop(event.name, None)
        if attempt is not None:
            # Before anybody hears of the connection, and sends more.
            self.departures.route(attempt.signals)
        self._owner.node_up(event.name, event.hidden)
        if attempt is not None:
            attempt.done.set()

    def _closed(self, transport: Transport, event: Closed) -> None:
        name = transport.connection.peer
        self._owner.closed(transport)
        up = self._up.get(name)
        if up is not None and up.transport is transport:
            self.departures.disconnected(name)
            transport.from_wire = None
            self.busy.discard(name)
            logger.info("connection to %s lost: %s", name, event.text)
            if self._own_name.lost(name):
                self._lose_name(name)
            self._owner.node_down(name, event.reason, True, up.hidden)

    def _lose_name(self, giver: str) -> None:
        """The node that gave us our name is lost: no other may know us by it any longer."""
        failure = NotConnected(f"{giver} is lost, and with it the name it gave this node")
        for node, attempt in list(self._attempts.items()):
            attempt.scope.cancel()
            self._give_up(node, attempt, failure)
        for transport in [*self._handshakes, *(up.transport for up in self._up.values())]:
            transport.close()
