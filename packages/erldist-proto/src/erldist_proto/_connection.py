"""One distribution connection: handshake, then control messages, ticks all along. No I/O, no clock."""

from collections.abc import Callable
from typing import Final, Self

from etf_codec import Atom, Term

from erldist_proto._commands import Command
from erldist_proto._control import ControlMessage
from erldist_proto._endings import broken, closed_by_peer, closed_by_us, silent, too_slow
from erldist_proto._errors import LocalProtocolError, RemoteProtocolError
from erldist_proto._events import Closed, Event, Received, Ticked
from erldist_proto._flags import NO_FLAGS, DistFlags
from erldist_proto._framing import LENGTHS, TICK, Framing, whole
from erldist_proto._handshake import ASKING, Handshake, State, check_cookie
from erldist_proto._incoming import Incoming, Message
from erldist_proto._limits import ConnectionLimits
from erldist_proto._names import LocalNode, NodeName
from erldist_proto._outgoing import Outgoing
from erldist_proto._sending_half import CLOSED, SendingHalf
from erldist_proto._setup_timer import SetupTimer
from erldist_proto._ticker import Ticker

TICKED: Final = Ticked()
DEFAULT_LIMITS: Final = ConnectionLimits()
CONNECTED_LENGTH_BYTES: Final = 4

ReadOne = Callable[[bytes], Message | None]
"""Reads what is one message; none if the read is anything else."""

PAUSING: Final = ASKING | {State.CONNECTED, State.CLOSED}
"""States in which the next packet is not one of the handshake, or not yet."""


def nothing(_: bytes) -> None:
    """Read no message: something else comes first."""


class Connection(SendingHalf):
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
        receive_message: Takes a read that is one message, of a kind that comes over and over, and returns it;
            it came after what is in `events`. None if the read is anything else, and still to be given to
            `receive_messages`. Whoever takes a message so sets `ticker.read`.
        writer: Writes messages that nothing goes before, if that can be now, see `send_message`; else None.
            Whoever writes what it returned sets `ticker.written`.
        ticker: Is told of what is read and written; replaced when the connection is up.
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
        "_setup",
        "_tick_intensity",
        "_tick_time",
        "receive_message",
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
        # The ticker is of use once the connection is up; then it begins anew.
        super().__init__(handshake.state, Ticker(now, tick_time, tick_intensity, hidden=False))
        self._incoming: Incoming | None = None
        self._events: list[Event] = []
        # What reads messages, if nothing is left of earlier reads: then a read is whole packets, most likely.
        self._ahead: Incoming | None = None
        self.receive_message: ReadOne = nothing

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
        self.ticker.read = True
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

    def _receive(self, data: bytes) -> list[Message] | None:
        """The same for what may be anything: a part of the handshake, or of a packet."""
        if self._state is CLOSED:
            return self._reported([])
        if self._incoming is None:
            self._framing.feed(data)
            self._read()
            return self._reported([])
        self.ticker.read = True
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
        self._ahead = incoming = self._incoming if whole else None
        self.receive_message = nothing if incoming is None else incoming.read_one

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
        if isinstance(message, ControlMessage):
            self._send_control(message, payload)
        else:
            self._handshake_command(message)

    def deadline(self) -> float | None:
        """When `handle_time` must be called at the latest; None once closed."""
        if self._state is CLOSED:
            return None
        if self._incoming is None:
            return self._setup.due
        aged = self._incoming.fragments.deadline()
        return self.ticker.due if aged is None else min(self.ticker.due, aged)

    def handle_time(self, now: float) -> None:
        """Time has passed: send a tick, give up a silent peer or a slow handshake, if one of them is due."""
        self._now = now
        if self._state is CLOSED:
            return
        if self._incoming is None:
            if self._setup.ran_out(now):
                self._close(too_slow(self._state, self.peer))
            return
        tick, gone = self.ticker.check(now, pending=self.bytes_pending > 0)
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
        self.ticker.paused = True

    def resume_reading(self) -> None:
        """We read again."""
        self.ticker.paused = False

    def close(self) -> None:
        """End the connection. What was sent before is still returned by `data_to_send`."""
        self._close(closed_by_us(self.peer))

    def _read(self) -> None:
        try:
            if self._incoming is None:
                self._read_handshake()
            if self._incoming is not None:
                self.ticker.read = True
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
        self.writer = self._outgoing.quick_writer()
        hidden = DistFlags.PUBLISHED not in flags
        self.ticker = Ticker(self._now, self._tick_time, self._tick_intensity, hidden=hidden)

    def _close(self, closed: Closed) -> None:
        if self._state is CLOSED:
            return
        self._state = State.CLOSED
        self.writer = self._ahead = None
        self.receive_message = nothing
        self._events.append(closed)
        if self._incoming is not None:
            self._incoming.fragments.clear()
