"""The short way of a message: from the read to the process in one function.

In a conversation between two nodes nearly every read is one message: the request for a server that has
nothing else to do, or the answer that a call waits for. What the transport, `Arrivals` and the kernel's
`Deliveries` do with it one after the other is done here at once. All other reads are theirs, as before.
"""

from __future__ import annotations

from erldist_proto import ALTACT_ALIAS, AliasSend, AltactSigSend, ControlMessage, SendSender
from etf_codec import Reference
from otp_behaviors import Runtime

from ergo_node._busy_wait import BusyWait, EventLoop
from ergo_node._transport import Transport


def answered(message: ControlMessage) -> Reference | None:
    """The alias that OTP answers a call at, from 28 on; none if the message is another one."""
    if isinstance(message, AltactSigSend) and message.flags == ALTACT_ALIAS:
        return message.to if isinstance(message.to, Reference) else None
    return None


class ShortWay:
    """What takes the reads of a connection while it is up, before its transport does.

    Args:
        transport: that of the connection, without TLS; the peer knows this node by its own name.
        runtime: the node.
        busy_wait: keeps the event loop awake for what may follow a message.
        loop: the event loop.
    """

    def __init__(self, transport: Transport, runtime: Runtime, busy_wait: BusyWait, loop: EventLoop) -> None:
        self._transport = transport
        self._connection = transport.connection
        self._runtime = runtime
        self._kernel = kernel = runtime.kernel
        self._table = kernel.table
        self._aliases = kernel.aliases
        self._busy_wait = busy_wait
        self._loop = loop

    def data_received(self, data: bytes) -> None:
        """Handle what was read, and have written what came out of it."""
        transport, kernel, table = self._transport, self._kernel, self._table
        connection = self._connection
        receive_message = connection.receive_message
        received = receive_message(data)
        if received is None:
            transport.data_received(data)
            return
        connection.ticker.read = True
        message, payload = received
        transport.may_write = kernel.held = True
        handled = True
        try:
            if isinstance(message, SendSender):
                to = message.to_pid
                record = table.found if to is table.sought else table.find(to)
                handled = record is not None and record.take(payload)
            else:
                alias = message.alias if isinstance(message, AliasSend) else answered(message)
                if alias is None:
                    handled = False
                else:
                    target = self._aliases.get(alias.ids)
                    if target is not None and alias.node == table.node and alias.creation == table.creation:
                        target.alias_message(alias, payload)
        except BaseException as error:
            transport.fail(error)
        finally:
            kernel.held = False
        if not handled:
            transport.received([received], len(data))
            return
        if kernel.run_queue or kernel.outbox or kernel.effects:
            self._runtime.pump()
        transport.may_write = True  # once more, for who waited for this
        busy_wait = self._busy_wait
        if busy_wait.heeds:
            if busy_wait.waiting:
                busy_wait.came = True  # as `message`, without a call of its own
            else:
                busy_wait.message(self._loop)
