"""What arrives from other nodes: from the messages of a read to the processes of this node.

Most of it is what calls are made of: messages to processes, names and aliases, and monitors. That is handed
to the kernel as it is; all else becomes a signal first.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from erldist_proto import AliasSend, ControlMessage, DemonitorP, MonitorP, RegSend, SendSender
from etf_codec import Atom, Pid, Reference, Term
from otp_behaviors import RemoteName, Runtime

from ergo_node._busy_wait import BusyWait, EventLoop
from ergo_node._flow import Flow
from ergo_node._short_way import ShortWay
from ergo_node._system_processes import guarded
from ergo_node._transport import Transport

BONDS_AT_ONCE: Final = 2
"""A spawn request can make a link and a monitor; no signal makes more."""

PROMPT: Final = 8
"""Messages of one read that may be handled as they are delivered. More of them wait for the kernel to run,
which lets processes, and other tasks, have their turns fairly."""


class Arrivals:
    """Delivers the messages of all connections of a node.

    Args:
        runtime: the node.
        spare_bonds: returns how many more links and monitors the peer of a transport may make.
        busy_wait: keeps the event loop awake for what may follow a message.
        loop: the event loop.
    """

    def __init__(
        self,
        runtime: Runtime,
        spare_bonds: Callable[[Transport], int],
        busy_wait: BusyWait,
        loop: EventLoop,
    ) -> None:
        kernel = runtime.kernel
        self._deliveries = deliveries = kernel.deliveries
        self._runtime = runtime
        self._kernel = kernel
        self.flow = Flow(runtime)
        self._receivers = guarded(kernel, self._bonded)
        self._direct: Final[dict[type, tuple[Callable[[Any], Any], Callable[[Any, Term], None]]]] = {
            SendSender: (attrgetter("to_pid"), deliveries.message_received),
            AliasSend: (attrgetter("alias"), deliveries.alias_received),
            RegSend: (attrgetter("to_name.name"), deliveries.name_received),
            MonitorP: (attrgetter("from_pid", "to_proc", "ref"), self._monitor_received),
            DemonitorP: (attrgetter("from_pid", "ref"), self._demonitor_received),
        }
        self._spare_bonds = spare_bonds
        self._bonds_made = 0
        self._busy_wait = busy_wait
        self._loop = loop

    def connected(self, transport: Transport) -> None:
        """A connection is up."""
        plain = transport.from_wire is not None and transport.from_wire.identifiers is None
        if plain and transport.tls is None:
            way = ShortWay(transport, self._runtime, self._busy_wait, self._loop)
            transport.shorten(way.data_received)

    def deliver(self, transport: Transport, messages: list[tuple[ControlMessage, Term]]) -> None:
        """Take messages of one read of a connection, in their order, and let the processes run."""
        from_wire = transport.from_wire
        if from_wire is None:
            return  # another connection to that node has taken its place
        kernel = self._kernel
        direct = self._direct if from_wire.identifiers is None else {}
        kernel.held = True
        self._deliveries.prompt = len(messages) <= PROMPT
        try:
            for message, payload in messages:
                way = direct.get(type(message))
                if way is not None:
                    target, receive = way
                    receive(target(message), payload)
                else:
                    signal = from_wire.signal(message, payload)
                    if signal is not None:
                        self._receivers[type(signal)](signal)
        finally:
            self._deliveries.prompt = kernel.held = False
        if kernel.run_queue or kernel.outbox or kernel.effects:
            self._runtime.pump()
        if self._busy_wait.heeds:
            self._busy_wait.message(self._loop)
        transport.messages_read += len(messages)
        if transport.messages_read >= transport.look_at or kernel.run_queue:
            self.flow.delivered(transport, messages)
        if self._bonds_made:
            transport.spare_bonds -= self._bonds_made
            self._bonds_made = 0
            if transport.spare_bonds < 0:  # or not: some may have ended
                transport.spare_bonds = self._spare_bonds(transport)

    def forget(self, transport: Transport) -> None:
        """The transport is over."""
        self.flow.forget(transport)

    def _monitor_received(self, monitor: tuple[Pid, Pid | Atom, Reference], payload: Term) -> None:
        sender, to, ref = monitor
        target = to if type(to) is Pid else RemoteName(to.name, self._kernel.node)
        self._kernel.monitors.monitor_received(sender, target, ref)
        self._bonded()

    def _demonitor_received(self, monitor: tuple[Pid, Reference], payload: Term) -> None:
        self._kernel.monitors.demonitor_received(*monitor)

    def _bonded(self) -> None:
        self._bonds_made += BONDS_AT_ONCE
