"""The packets of the handshake, versions 6 (OTP 23 and later) and 5 (ERTS: Distribution Protocol).

A message is a value; `parse` and `serialize` are inverse. The tags `N` and `n` mean a name from an initiator
and a challenge from an acceptor, so `parse` is told who sent the packet.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from struct import Struct, error
from typing import Final

from erldist_proto._errors import RemoteProtocolError
from erldist_proto._flags import DistFlags

VERSION_5: Final = 5
LOW_FLAGS: Final = 0xFFFF_FFFF
DIGEST_BYTES: Final = 16

_NAME: Final = Struct(">QIH")
_CHALLENGE: Final = Struct(">QIIH")
_OLD_NAME: Final = Struct(">HI")
_OLD_CHALLENGE: Final = Struct(">HII")
_COMPLEMENT: Final = Struct(">II")
_NAMED: Final = Struct(">H")
_U32: Final = Struct(">I")


@dataclass(frozen=True, slots=True)
class SendName:
    """`N` Flags:64 Creation:32 Name: the initiator introduces itself, version 6."""

    flags: DistFlags
    creation: int
    name: str


@dataclass(frozen=True, slots=True)
class OldSendName:
    """`n` 5:16 Flags:32 Name: the initiator introduces itself, version 5."""

    flags: DistFlags
    name: str


@dataclass(frozen=True, slots=True)
class Status:
    """`s` text: `ok`, `ok_simultaneous`, `nok`, `not_allowed`, `alive`; an initiator's `true`, `false`."""

    text: str


@dataclass(frozen=True, slots=True)
class NamedStatus:
    """`s` `named:` Name Creation:32: the acceptor gives the initiator the name it asked for."""

    name: str
    creation: int


@dataclass(frozen=True, slots=True)
class Challenge:
    """`N` Flags:64 Challenge:32 Creation:32 Name: the acceptor's question and identity, version 6."""

    flags: DistFlags
    challenge: int
    creation: int
    name: str


@dataclass(frozen=True, slots=True)
class OldChallenge:
    """`n` 5:16 Flags:32 Challenge:32 Name: the acceptor's question and identity, version 5."""

    flags: DistFlags
    challenge: int
    name: str


@dataclass(frozen=True, slots=True)
class Complement:
    """`c` FlagsHigh:32 Creation:32: what an old name could not carry, after a new challenge."""

    flags: DistFlags
    creation: int


@dataclass(frozen=True, slots=True)
class ChallengeReply:
    """`r` Challenge:32 Digest: the initiator's answer and its own question."""

    challenge: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class ChallengeAck:
    """`a` Digest: the acceptor's answer; the connection is up."""

    digest: bytes


HandshakeMessage = (
    SendName
    | OldSendName
    | Status
    | NamedStatus
    | Challenge
    | OldChallenge
    | Complement
    | ChallengeReply
    | ChallengeAck
)


def _text(data: bytes) -> str:
    """A node name: UTF-8, and Latin-1 from nodes that predate it."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _counted_name(packet: bytes, at: int, length: int) -> str:
    if at + length > len(packet):
        raise RemoteProtocolError(f"handshake: a name of {length} bytes in a packet of {len(packet)}")
    return _text(packet[at : at + length])


def _parse_name(packet: bytes) -> SendName:
    flags, creation, length = _NAME.unpack_from(packet, 1)
    # Bytes after the name are for later versions of the protocol and ignored, as OTP does.
    return SendName(DistFlags(flags), creation, _counted_name(packet, 1 + _NAME.size, length))


def _parse_old_name(packet: bytes) -> OldSendName:
    version, flags = _OLD_NAME.unpack_from(packet, 1)
    _demand_version(version)
    return OldSendName(DistFlags(flags), _text(packet[1 + _OLD_NAME.size :]))


def _parse_challenge(packet: bytes) -> Challenge:
    flags, challenge, creation, length = _CHALLENGE.unpack_from(packet, 1)
    return Challenge(
        DistFlags(flags), challenge, creation, _counted_name(packet, 1 + _CHALLENGE.size, length)
    )


def _parse_old_challenge(packet: bytes) -> OldChallenge:
    version, flags, challenge = _OLD_CHALLENGE.unpack_from(packet, 1)
    _demand_version(version)
    return OldChallenge(DistFlags(flags), challenge, _text(packet[1 + _OLD_CHALLENGE.size :]))


def _demand_version(version: int) -> None:
    if version != VERSION_5:
        raise RemoteProtocolError(f"handshake: an old-style packet of version {version}, only 5 exists")


def _parse_status(packet: bytes) -> Status | NamedStatus:
    text = packet[1:]
    if not text.startswith(b"named:"):
        return Status(text.decode("latin-1"))
    at = 1 + len(b"named:")
    (length,) = _NAMED.unpack_from(packet, at)
    at += _NAMED.size
    name = _counted_name(packet, at, length)
    (creation,) = _U32.unpack_from(packet, at + length)
    return NamedStatus(name, creation)


def _parse_complement(packet: bytes) -> Complement:
    high, creation = _COMPLEMENT.unpack_from(packet, 1)
    return Complement(DistFlags(high << 32), creation)


def _parse_reply(packet: bytes) -> ChallengeReply:
    (challenge,) = _U32.unpack_from(packet, 1)
    return ChallengeReply(challenge, _digest(packet, 1 + _U32.size))


def _parse_ack(packet: bytes) -> ChallengeAck:
    return ChallengeAck(_digest(packet, 1))


def _digest(packet: bytes, at: int) -> bytes:
    digest = packet[at:]
    if len(digest) != DIGEST_BYTES:
        raise RemoteProtocolError(f"handshake: a digest of {len(digest)} bytes, it must have {DIGEST_BYTES}")
    return digest


Parser = Callable[[bytes], HandshakeMessage]

FROM_INITIATOR: Final[Mapping[int, Parser]] = {
    ord("N"): _parse_name,
    ord("n"): _parse_old_name,
    ord("s"): _parse_status,
    ord("c"): _parse_complement,
    ord("r"): _parse_reply,
}

FROM_ACCEPTOR: Final[Mapping[int, Parser]] = {
    ord("s"): _parse_status,
    ord("N"): _parse_challenge,
    ord("n"): _parse_old_challenge,
    ord("a"): _parse_ack,
}


def parse(packet: bytes | memoryview, parsers: Mapping[int, Parser]) -> HandshakeMessage:
    """The message in a packet; `parsers` is FROM_INITIATOR or FROM_ACCEPTOR.

    Raises:
        RemoteProtocolError: Unknown tag, or fields that do not fit the packet.
    """
    packet = bytes(packet)
    if not packet:
        raise RemoteProtocolError(
            "handshake: an empty packet; ticks are not allowed before the connection is up"
        )
    parser = parsers.get(packet[0])
    if parser is None:
        raise RemoteProtocolError(f"handshake: tag {packet[:1]!r} is not one its sender may use")
    try:
        return parser(packet)
    except error as too_short:
        raise RemoteProtocolError(f"handshake: packet {packet[:1]!r} ends too early") from too_short


def _serialize_name(message: SendName) -> bytes:
    name = message.name.encode()
    return b"N" + _NAME.pack(message.flags, message.creation, len(name)) + name


def _serialize_challenge(message: Challenge) -> bytes:
    name = message.name.encode()
    return b"N" + _CHALLENGE.pack(message.flags, message.challenge, message.creation, len(name)) + name


def _serialize_old_challenge(message: OldChallenge) -> bytes:
    flags = message.flags & LOW_FLAGS
    return b"n" + _OLD_CHALLENGE.pack(VERSION_5, flags, message.challenge) + message.name.encode()


def _serialize_named(message: NamedStatus) -> bytes:
    name = message.name.encode()
    return b"snamed:" + _NAMED.pack(len(name)) + name + _U32.pack(message.creation)


def serialize(message: HandshakeMessage) -> bytes:
    """The packet of a message, without its length."""
    match message:
        case SendName():
            return _serialize_name(message)
        case OldSendName(flags, name):
            return b"n" + _OLD_NAME.pack(VERSION_5, flags & LOW_FLAGS) + name.encode()
        case Status(text):
            return b"s" + text.encode("latin-1")
        case NamedStatus():
            return _serialize_named(message)
        case Challenge():
            return _serialize_challenge(message)
        case OldChallenge():
            return _serialize_old_challenge(message)
        case Complement(flags, creation):
            return b"c" + _COMPLEMENT.pack(flags >> 32, creation)
        case ChallengeReply(challenge, digest):
            return b"r" + _U32.pack(challenge) + digest
        case ChallengeAck(digest):
            return b"a" + digest
