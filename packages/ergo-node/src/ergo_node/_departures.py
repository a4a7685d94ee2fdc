"""What goes to other nodes: from the signals of this node's processes to the connections they go over.

Most of it is messages to processes, names and aliases, which go as they are; all else becomes a control
message first. What has no connection waits for one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from erldist_proto import LocalProtocolError, State
from etf_codec import Atom, EtfError
from otp_behaviors import DESTINATIONS, Channel, DemonitorSignal, DownSignal, ExitSignal, Signal

from ergo_node._own_name import OwnName
from ergo_node._peers import Owner, Up

MAX_WAITING_BYTES: Final = 134_217_728
"""What may wait for a peer that does not read: tasks wait long before, processes cannot."""


class Departures:
    """Sends signals over the connections of a node.

    Args:
        own_name: who we are.
        owner: the node.
        send_later: keeps a signal for a node without a connection.
        channels: those of the kernel.

    Attributes:
        up: the connections that are up, by the names of their nodes.
        busy: the nodes that those who send to them should wait for.
    """

    def __init__(
        self,
        own_name: OwnName,
        owner: Owner,
        send_later: Callable[[str, Signal], None],
        channels: dict[str, Channel],
    ) -> None:
        self._own_name = own_name
        self._owner = owner
        self._send_later = send_later
        self._channels = channels
        self.up: dict[str, Up] = {}
        self.busy: set[str] = set()

    def connected(self, up: Up) -> None:
        """There is a connection to a node."""
        self.up[up.node] = up
        if up.as_it_is:
            self._channels[up.node] = up.transport

    def disconnected(self, node: str) -> Up | None:
        """There is no connection to a node any more; returns the one there was."""
        self._channels.pop(node, None)
        return self.up.pop(node, None)

    def route(self, signals: list[Signal]) -> None:
        """Send signals to their nodes, connecting to them if need be."""
        connected = self.up
        touched: dict[Up, bool] = {}
        for signal in signals:
            node = DESTINATIONS[type(signal)](signal)
            up = connected.get(node)
            if up is None:
                if node in (self._own_name.local.name, self._own_name.inside):
                    self._owner.deliver_own(signal)
                    continue
                self._send_later(node, signal)
                continue
            if up.identifiers is not None:
                signal = up.identifiers.outward(signal)
            try:
                send = up.direct.get(type(signal))
                if send is None:
                    up.send(*up.writers[type(signal)](signal))
                else:
                    send(up.connection, signal)
            except EtfError as error:
                self._unsendable(up, signal, error)
            except LocalProtocolError:
                if up.transport.connection.state is State.CONNECTED:
                    raise
                # It has just ended, and we are told next: what is sent now is lost with it.
            touched[up] = type(signal) is not DemonitorSignal or touched.get(up, False)
        for up, hurried in touched.items():
            transport = up.transport
            transport.flush(hurried=hurried)
            if transport.blocked and transport.busy:
                self._is_busy(up)
        if self.busy:
            self._owner.hold_up(signals)

    def _is_busy(self, up: Up) -> None:
        waiting = up.transport.bytes_waiting
        self.busy.add(up.node)
        if waiting > MAX_WAITING_BYTES:
            up.transport.give_up(f"{up.node} does not read: {waiting} bytes wait for it")

    def _unsendable(self, up: Up, signal: Signal, error: EtfError) -> None:
        if isinstance(signal, ExitSignal | DownSignal):
            # Who links or watches must hear of the end, if not of a reason made of Python objects.
            message, _ = up.writers[type(signal)](signal)
            up.send(message, (Atom("no_external_form"), str(error).encode()))
        else:
            self._owner.refuse(signal, error)
