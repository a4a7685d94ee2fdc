"""The sending half of a connection: from messages to the buffers that are to be written."""

from typing import Any, Final

from etf_codec import Atom, PacketWriter, Pid, Reference, Term

from erldist_proto._control import UNUSED, ControlMessage
from erldist_proto._control_messages import DemonitorP, MonitorP, RegSend
from erldist_proto._dist_header import Refs
from erldist_proto._errors import LocalProtocolError
from erldist_proto._fragments import Buffer
from erldist_proto._handshake import State
from erldist_proto._outgoing import MESSAGES, Outgoing
from erldist_proto._ticker import Ticker
from erldist_proto._turns import HANDOUT_BYTES

CLOSED: Final = State.CLOSED


class SendingHalf:
    """What a connection has to write, and how messages become that once it is up.

    Args:
        state: where the connection is.
        ticker: is told that something is written.
    """

    __slots__ = ("_out", "_outgoing", "_state", "bytes_pending", "ticker", "writer")

    def __init__(self, state: State, ticker: Ticker) -> None:
        self._state = state
        self.ticker = ticker
        self._outgoing: Outgoing | None = None
        self._out: list[Buffer] = []
        # What writes messages at once, while nothing large is under way.
        self.writer: PacketWriter | None = None
        self.bytes_pending = 0

    def _send_control(self, message: ControlMessage, payload: Term) -> None:
        """Send a control message; see `Connection.send`."""
        if self._state is not State.CONNECTED or self._outgoing is None:
            raise LocalProtocolError(
                f"{type(message).__name__} cannot be sent: the connection is {self._state}"
            )
        waiting = self._outgoing.turns.held_bytes
        self._hand_out(self._outgoing, waiting, self._outgoing.send(message, payload))

    def send_quickly(self, kind: type[MonitorP | DemonitorP], *fields: Any) -> None:
        """Send a control message without payload as `send` does, for who is in a hurry: types go unchecked.

        Args:
            kind: Its class.
            fields: Those of the class, in their order.

        Raises:
            LocalProtocolError, etf_codec.EncodeError: As `send`.
        """
        writer = self.writer
        packet = None if writer is None else writer.write(((kind.op, *fields),))
        if type(packet) is not bytes:
            self._send_control(kind(*fields), None)
            return
        self.ticker.written = True
        self._out.append(packet)
        self.bytes_pending += len(packet)

    def send_message(self, sender: Pid, to: Pid | Reference | Atom, message: Term) -> None:
        """Send a message as `send` does, for who is in a hurry: types go unchecked.

        Args:
            sender: Whom it is from.
            to: A process, an alias, or a registered name.
            message: Any term.

        Raises:
            LocalProtocolError, etf_codec.EncodeError: As `send`.
        """
        packet = self.message_to_send(sender, to, message)
        if packet:
            self._out.append(packet)
            self.bytes_pending += len(packet)

    def message_to_send(self, sender: Pid, to: Pid | Reference | Atom, message: Term) -> bytes:
        """Send a message as `send_message` does, for who writes it this very moment.

        Returns:
            What to write; empty if it goes with other data, and `data_to_send` has it.
        """
        writer = self.writer
        if writer is None:
            self._send_control(MESSAGES[type(to)](sender, to), message)
            return b""
        packet = writer.write_message(sender, to, message)
        if packet is None:
            packet = writer.write(((RegSend.op, sender, UNUSED, to), message))
        if type(packet) is not bytes:
            self.send_parts(sender, to, message, *packet)
            return b""
        self.ticker.written = True
        if not self._out:
            return packet
        self._out.append(packet)
        self.bytes_pending += len(packet)
        return b""

    def send_parts(
        self, sender: Pid, to: Pid | Reference | Atom, message: Term, refs: Refs, parts: list[Buffer]
    ) -> None:
        """Send a message which `writer` has encoded, but not made one packet of.

        Raises:
            LocalProtocolError: It is too large.
        """
        assert self._outgoing is not None
        self._hand_out(self._outgoing, 0, self._outgoing.put_message(sender, to, message, refs, parts))

    def _hand_out(self, outgoing: Outgoing, waiting: int, buffers: list[Buffer]) -> None:
        """Keep what is to be written of a message before which so many bytes waited for their turns."""
        self.bytes_pending += outgoing.turns.held_bytes - waiting + sum(map(len, buffers))
        self._out += buffers
        if buffers:
            self.ticker.written = True
        if outgoing.turns.held_bytes:
            self.writer = None

    def data_to_send(self) -> list[Buffer]:
        """What to write next, in order; empty when there is nothing. Large payloads are the caller's bytes.

        While large messages are under way, it is some fragments of them at a time: write them, then ask
        again, until there is nothing. So what others send meanwhile is not held up. After `Closed`, it is all
        there is.
        """
        out, self._out = self._out, []
        self.bytes_pending = 0
        if self._outgoing is not None and self._outgoing.turns.held_bytes:
            turns = self._outgoing.turns
            out += turns.take(None if self._state is CLOSED else HANDOUT_BYTES)
            self.bytes_pending = turns.held_bytes
            self.ticker.written = True
            if not turns.held_bytes and self._state is not CLOSED:
                self.writer = self._outgoing.quick_writer()
        return out
