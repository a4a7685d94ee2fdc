"""Reads a connection from outside: both directions, without the cookie, nothing sent."""

from typing import Final, NamedTuple

from erldist_proto._errors import RemoteProtocolError
from erldist_proto._events import Received, Ticked
from erldist_proto._flags import NO_FLAGS, expand
from erldist_proto._framing import Framing, whole
from erldist_proto._handshake_messages import (
    FROM_ACCEPTOR,
    FROM_INITIATOR,
    Challenge,
    ChallengeAck,
    ChallengeReply,
    Complement,
    HandshakeMessage,
    NamedStatus,
    OldChallenge,
    OldSendName,
    SendName,
    parse,
)
from erldist_proto._incoming import Incoming
from erldist_proto._limits import ConnectionLimits

DEFAULT_LIMITS: Final = ConnectionLimits()


class Observed(NamedTuple):
    """Something one side sent; an error ends what can be understood of its direction."""

    from_initiator: bool
    value: HandshakeMessage | Received | Ticked | RemoteProtocolError


class Side:
    """One direction of the connection."""

    __slots__ = ("failed", "flags", "framing", "incoming", "name")

    def __init__(self, length_bytes: int) -> None:
        self.framing = Framing(length_bytes, DEFAULT_LIMITS.max_handshake_bytes)
        self.incoming: Incoming | None = None
        self.flags = NO_FLAGS
        self.name = ""
        self.failed = False


class Dissector:
    """Follows one connection from its first byte; `observe` tells what each read held.

    Args:
        length_bytes: 2 for TCP, 4 for what was inside TLS.
    """

    def __init__(self, length_bytes: int = 2) -> None:
        self._initiator = Side(length_bytes)
        self._acceptor = Side(length_bytes)

    def observe(self, data: bytes, *, from_initiator: bool) -> list[Observed]:
        """What the packets say that these bytes of one direction complete."""
        side = self._initiator if from_initiator else self._acceptor
        if side.failed:
            return []
        observed: list[Observed] = []
        try:
            side.framing.feed(data)
            while (value := self._next(side)) is not None:
                observed.append(Observed(from_initiator, value))
        except RemoteProtocolError as error:
            side.failed = True
            observed.append(Observed(from_initiator, error))
        return observed

    def _next(self, side: Side) -> HandshakeMessage | Received | Ticked | None:
        # Asked anew for each packet, because the handshake's last one changes how the next is framed.
        for packet in side.framing.packets():
            if side.incoming is None:
                message = parse(whole(packet), FROM_INITIATOR if side is self._initiator else FROM_ACCEPTOR)
                self._learn(side, message)
                return message
            if not packet:
                return Ticked()
            received = side.incoming.receive(packet)
            if received is not None:
                return Received(*received)
        return None

    def _learn(self, side: Side, message: HandshakeMessage) -> None:
        match message:
            case SendName() | OldSendName() | Challenge() | OldChallenge():
                side.name, side.flags = message.name, expand(message.flags)
            case Complement():
                side.flags |= message.flags
            case NamedStatus():
                self._initiator.name = message.name
            case ChallengeReply() | ChallengeAck():
                self._begin_messages(side)

    def _begin_messages(self, side: Side) -> None:
        flags = self._initiator.flags & self._acceptor.flags
        side.framing.length_bytes = 4
        side.framing.max_packet_bytes = DEFAULT_LIMITS.max_packet_bytes(flags)
        side.incoming = Incoming(side.name, flags, DEFAULT_LIMITS, None)
