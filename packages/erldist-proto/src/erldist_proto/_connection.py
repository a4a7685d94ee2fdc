"""One distribution connection: handshake, then control messages, ticks all along. No I/O, no clock."""

from typing import Final, Self

from etf_codec import Atom, PacketWriter, Pid, Reference, Term

from erldist_proto._commands import Command
from erldist_proto._control import UNUSED, ControlMessage
from erldist_proto._control_messages import RegSend
from erldist_proto._endings import broken, closed_by_peer, closed_by_us, silent, too_slow
from erldist_proto._errors import LocalProtocolError, RemoteProtocolError
from erldist_proto._events import Closed, Event, Received, Ticked
from erldist_proto._flags import NO_FLAGS, DistFlags
from erldist_proto._fragments import Buffer
from erldist_proto._framing import LENGTHS, TICK, Framing, whole
from erldist_proto._handshake import ASKING, Handshake, State, check_cookie
from erldist_proto._incoming import Incoming, Message
from erldist_proto._limits import ConnectionLimits
from erldist_proto._names import LocalNode, NodeName
from erldist_proto._outgoing import MESSAGES, Outgoing
from erldist_proto._setup_timer import SetupTimer
from erldist_proto._ticker import Ticker
from erldist_proto._turns import HANDOUT_BYTES

TICKED: Final = Ticked()
CLOSED: Final = State.CLOSED
DEFAULT_LIMITS: Final = ConnectionLimits()
CONNECTED_LENGTH_BYTES: Final = 4

PAUSING: Final = ASKING | {State.CONNECTED, State.CLOSED}
"""States in which the next packet is not one of the handshake, or not yet."""


class Connection:
    """One distribution connection, without I/O.

    Feed it bytes, read its events, give it commands, send its bytes:

        connection.receive_data(data)              # bytes in
        for event in connection.events():          # events out
            ...
        connection.send(RegSend(me, name), term)   # commands in
        while buffers := connection.data_to_send():
            stream.writelines(buffers)             # bytes out

    Time is yours: call `handle_time(now)` no later than `deadline()`. Handle the events of a read before you
    write what it produced. After the event `Closed`, write the rest and close the socket.

    Attributes:
        bytes_pending: How much `data_to_send` has still to return; 0 exactly when that is nothing. Only to be
            read.
    """

    __slots__ = (
        "_ahead",
        "_events",
        "_framing",
        "_handshake",
        "_incoming",
        "_limits",
        "_none",
        "_now",
        "_out",
        "_outgoing",
        "_setup",
        "_state",
        "_tick_intensity",
        "_tick_time",
        "_ticker",
        "_writer",
        "bytes_pending",
    )

    def __init__(
        self,
        handshake: Handshake,
        now: float,
        length_bytes: int,
        tick_time: float,
        tick_intensity: int,
        setup_time: float,
        limits: ConnectionLimits,
        none: Atom | None,
    ) -> None:
        if length_bytes not in LENGTHS:
            raise ValueError(f"length_bytes is 2 (TCP) or 4 (TLS), not {length_bytes}")
        if tick_time <= 0 or tick_intensity < 1 or setup_time <= 0:
            raise ValueError("tick_time, tick_intensity and setup_time must be positive")
        self._handshake = handshake
        self._framing = Framing(length_bytes, limits.max_handshake_bytes)
        self._limits = limits
        self._none = none
        self._now = now
        self._tick_time = tick_time
        self._tick_intensity = tick_intensity
        self._setup = SetupTimer(now, setup_time)
        self._state = handshake.state
        self._incoming: Incoming | None = None
        self._outgoing: Outgoing | None = None
        # Of use once the connection is up; then it begins anew.
        self._ticker = Ticker(now, tick_time, tick_intensity, hidden=False)
        self._events: list[Event] = []
        self._out: list[Buffer] = []
        # What writes messages at once, while nothing large is under way.
        self._writer: PacketWriter | None = None
        self.bytes_pending = 0
        # What reads messages, if nothing is left of earlier reads: then a read is whole packets, most likely.
        self._ahead: Incoming | None = None

    @classmethod
    def initiator(
        cls,
        local: LocalNode,
        peer: str,
        cookie: str,
        now: float,
        *,
        challenge: int | None = None,
        handshake_version: int = 6,
        length_bytes: int = 2,
        tick_time: float = 60.0,
        tick_intensity: int = 4,
        setup_time: float = 7.0,
        limits: ConnectionLimits = DEFAULT_LIMITS,
        none: Atom | None = None,
    ) -> Self:
        """The side that opened the socket; its first packet is ready at once.

        Args:
            local: Who we are.
            peer: The node we mean to reach, `name@host`.
            cookie: The secret shared with it.
            now: Any monotonic clock, in seconds.
            challenge: 32 bits no peer can guess; None draws them from `secrets`.
            handshake_version: 5 only for peers of OTP 22 and older (EPMD's highest version 5).
            length_bytes: 2 over TCP, 4 over TLS: the packets of the handshake.
            tick_time: kernel's net_ticktime, seconds; should be the same on all nodes.
            tick_intensity: kernel's net_tickintensity.
            setup_time: kernel's net_setuptime, seconds for one step of the handshake.
            limits: What the peer may make us hold.
            none: The atom that stands for None in terms, as in `etf_codec.encode`.

        Raises:
            ValueError: An argument is not of its shape.
            LocalProtocolError: `peer` is our own name.
        """
        NodeName.parse(peer)
        check_cookie(cookie)
        if handshake_version not in (5, 6):
            raise ValueError(f"handshake_version is 5 or 6, not {handshake_version}")
        if peer == local.name:
            raise LocalProtocolError(f"{peer} is our own name: a node does not connect to itself")
        if local.is_dynamic and handshake_version < 6:
            raise ValueError("a dynamic node needs handshake_version 6")
        handshake = Handshake(
            local,
            State.AWAIT_STATUS,
            peer=peer,
            cookie=cookie,
            challenge=challenge,
            version=handshake_version,
        )
        connection = cls(handshake, now, length_bytes, tick_time, tick_intensity, setup_time, limits, none)
        handshake.begin()
        connection._take_step()
        connection._setup.stepped = False  # what we say ourselves gains the peer no time
        return connection

    @classmethod
    def acceptor(
        cls,
        local: LocalNode,
        now: float,
        *,
        challenge: int | None = None,
        length_bytes: int = 2,
        tick_time: float = 60.0,
        tick_intensity: int = 4,
        setup_time: float = 7.0,
        limits: ConnectionLimits = DEFAULT_LIMITS,
        none: Atom | None = None,
    ) -> Self:
        """The side that accepted the socket; the peer's name comes as `ConnectionRequested`.

        The arguments are those of `initiator`; the cookie is given by `Accept`, both handshake versions are
        spoken.
        """
        if local.is_dynamic:
            raise ValueError("a dynamic node cannot be connected to")
        handshake = Handshake(local, State.AWAIT_NAME, challenge=challenge)
        return cls(handshake, now, length_bytes, tick_time, tick_intensity, setup_time, limits, none)

    def __repr__(self) -> str:
        return f"<Connection {self._state} peer={self.peer!r}>"

    @property
    def state(self) -> State:
        """Where the connection is."""
        return self._state

    @property
    def peer(self) -> str:
        """The other node's name; empty while an acceptor has not been told it."""
        return self._handshake.peer

    @property
    def flags(self) -> DistFlags:
        """What both sides offer; nothing before `Connected`."""
        return self._handshake.flags if self._outgoing is not None else NO_FLAGS

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes from the peer, split in any way. Never raises for them: see `Closed.error`."""
        before, self._events = self._events, []
        messages = self.receive_messages(data if type(data) is bytes else bytes(data))
        self._events = [*before, *(Received(*message) for message in messages or ()), *self._events]

    def receive_messages(self, data: bytes) -> list[Message] | None:
        """The same as `receive_data`, without an event for each message.

        Returns:
            Messages, `(control message, payload)` as in `Received`; None if there is anything else: then all
            that came is in `events`.
        """
        incoming = self._ahead
        if incoming is None:
            return self._receive(data)
        self._ticker.read = True
        # As `Incoming.read`, without a call of its own.
        read_packets = incoming.read_packets
        messages, end, raw = read_packets(data, 0)
        if raw:
            messages, end = incoming.opened(data, messages, end)
        if end != len(data):
            self._framing.leave(data, end)
            self._read()
            self._look_ahead()
        return messages if not self._events else self._reported(messages)

    def receive_message(self, data: bytes) -> Message | None:
        """Take a read that is one message, of a kind that comes over and over.

        Returns:
            The message, which came after what is in `events`; None if the read is anything else, and still to
            be given to `receive_messages`.
        """
        incoming = self._ahead
        if incoming is None:
            return None
        message = incoming.read_one(data)
        if message is not None:
            self._ticker.read = True
        return message

    def _receive(self, data: bytes) -> list[Message] | None:
        """The same for what may be anything: a part of the handshake, or of a packet."""
        if self._state is CLOSED:
            return self._reported([])
        if self._incoming is None:
            self._framing.feed(data)
            self._read()
            return self._reported([])
        self._ticker.read = True
        messages, more = self._framing.feed_through(data, self._incoming.read)
        if more:
            self._read()
        self._look_ahead()
        return self._reported(messages)

    def _reported(self, messages: list[Message]) -> list[Message] | None:
        """Messages as they are to be returned: among the events, if there are others."""
        if not self._events:
            return messages
        self._events[:0] = [Received(*message) for message in messages]
        return None

    def _look_ahead(self) -> None:
        whole = self._framing.unread_bytes == 0 and self._state is not CLOSED
        self._ahead = self._incoming if whole else None

    def receive_eof(self) -> None:
        """The peer closed the socket, or it broke."""
        self._close(closed_by_peer(self._state, self.peer, self._framing.unread_bytes))

    def events(self) -> list[Event]:
        """What happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def send(self, message: ControlMessage | Command, payload: Term = None) -> None:
        """Send a control message, in the newest form the peer understands; or answer a handshake's question.

        Args:
            message: The message, or `Accept`, `Refuse`, `AnswerAlive`.
            payload: The term that follows, where the message's class says `has_payload`.

        Raises:
            LocalProtocolError: Not allowed now, not negotiated, or malformed. Nothing was sent.
            etf_codec.EncodeError: A term has no external form. Nothing was sent.
        """
        if not isinstance(message, ControlMessage):
            self._handshake_command(message)
            return
        if self._state is not State.CONNECTED or self._outgoing is None:
            raise LocalProtocolError(
                f"{type(message).__name__} cannot be sent: the connection is {self._state}"
            )
        waiting = self._outgoing.turns.held_bytes
        self._hand_out(self._outgoing, waiting, self._outgoing.send(message, payload))

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
        writer = self._writer
        if writer is None:
            self.send(MESSAGES[type(to)](sender, to), message)
            return b""
        packet = writer.write_message(sender, to, message)
        if packet is None:
            packet = writer.write(((RegSend.op, sender, UNUSED, to), message))
        if type(packet) is not bytes:
            assert self._outgoing is not None
            self._hand_out(self._outgoing, 0, self._outgoing.put_message(sender, to, message, *packet))
            return b""
        self._ticker.written = True
        if not self._out:
            return packet
        self._out.append(packet)
        self.bytes_pending += len(packet)
        return b""

    def _hand_out(self, outgoing: Outgoing, waiting: int, buffers: list[Buffer]) -> None:
        """Keep what is to be written of a message before which so many bytes waited for their turns."""
        self.bytes_pending += outgoing.turns.held_bytes - waiting + sum(map(len, buffers))
        self._out += buffers
        if buffers:
            self._ticker.written = True
        if outgoing.turns.held_bytes:
            self._writer = None

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
            self._ticker.written = True
            if not turns.held_bytes and self._state is not CLOSED:
                self._writer = self._outgoing.quick_writer()
        return out

    def deadline(self) -> float | None:
        """When `handle_time` must be called at the latest; None once closed."""
        if self._state is CLOSED:
            return None
        if self._incoming is None:
            return self._setup.due
        aged = self._incoming.fragments.deadline()
        return self._ticker.due if aged is None else min(self._ticker.due, aged)

    def handle_time(self, now: float) -> None:
        """Time has passed: send a tick, give up a silent peer or a slow handshake, if one of them is due."""
        self._now = now
        if self._state is CLOSED:
            return
        if self._incoming is None:
            if self._setup.ran_out(now):
                self._close(too_slow(self._state, self.peer))
            return
        tick, gone = self._ticker.check(now, pending=self.bytes_pending > 0)
        if gone:
            self._close(silent(self.peer, self._tick_time))
            return
        if tick:
            self._out.append(TICK)
            self.bytes_pending += len(TICK)
        try:
            self._incoming.handle_time(now)
        except RemoteProtocolError as error:
            self._close(broken(self.peer, error))

    def pause_reading(self) -> None:
        """We stop reading for a while (back-pressure): silence does not count against the peer."""
        self._ticker.paused = True

    def resume_reading(self) -> None:
        """We read again."""
        self._ticker.paused = False

    def close(self) -> None:
        """End the connection. What was sent before is still returned by `data_to_send`."""
        self._close(closed_by_us(self.peer))

    def _read(self) -> None:
        try:
            if self._incoming is None:
                self._read_handshake()
            if self._incoming is not None:
                self._ticker.read = True
                self._read_messages(self._incoming)
        except RemoteProtocolError as error:
            self._close(broken(self.peer, error))

    def _read_handshake(self) -> None:
        """Packets until the handshake is over, or asks us: then the peer's bytes wait for the answer."""
        if self._state not in ASKING:
            for packet in self._framing.packets():
                self._handshake.receive(whole(packet))
                self._take_step()
                if self._state in PAUSING:
                    break
        if self._state in ASKING and self._framing.unread_bytes > self._limits.max_handshake_bytes:
            raise RemoteProtocolError("handshake: the peer goes on before it was answered")

    def _read_messages(self, incoming: Incoming) -> None:
        receive = incoming.receive
        report = self._events.append
        framing = self._framing
        for packet in framing.packets():
            if packet:
                message = receive(packet)
                if message is None:
                    message = incoming.continued(framing)
                if message is not None:
                    report(Received(*message))
                    self._events += [Received(*each) for each in framing.read_ahead(incoming.read)]
            else:
                report(TICKED)

    def _handshake_command(self, command: Command) -> None:
        if self._state is CLOSED:
            raise LocalProtocolError(f"{type(command).__name__} is not allowed: the connection is closed")
        self._handshake.step(command)
        self._take_step()
        if self.state is not State.CLOSED:
            self._read()

    def _take_step(self) -> None:
        """Carry out what a step of the handshake decided."""
        handshake = self._handshake
        prefix = LENGTHS[self._framing.length_bytes]
        for packet in handshake.outgoing:
            self._out.append(prefix.pack(len(packet)) + packet)
            self.bytes_pending += prefix.size + len(packet)
        handshake.outgoing.clear()
        self._events += handshake.events
        handshake.events.clear()
        self._setup.stepped = True
        self._state = handshake.state
        if self._state is State.CONNECTED:
            self._begin_messages(handshake.flags)

    def _begin_messages(self, flags: DistFlags) -> None:
        limits = self._limits
        self._framing.length_bytes = CONNECTED_LENGTH_BYTES
        self._framing.max_packet_bytes = limits.max_packet_bytes(flags)
        self._incoming = Incoming(self.peer, flags, limits, self._none)
        self._incoming.handle_time(self._now)
        self._outgoing = Outgoing(flags, limits, self._none)
        self._writer = self._outgoing.quick_writer()
        hidden = DistFlags.PUBLISHED not in flags
        self._ticker = Ticker(self._now, self._tick_time, self._tick_intensity, hidden=hidden)

    def _close(self, closed: Closed) -> None:
        if self._state is CLOSED:
            return
        self._state = State.CLOSED
        self._writer = self._ahead = None
        self._events.append(closed)
        if self._incoming is not None:
            self._incoming.fragments.clear()
