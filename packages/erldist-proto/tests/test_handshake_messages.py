import pytest
from erldist_proto import DistFlags, RemoteProtocolError
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
    Parser,
    SendName,
    Status,
    parse,
    serialize,
)
from hypothesis import given
from hypothesis import strategies as st

U32 = st.integers(0, (1 << 32) - 1)
FLAGS = st.integers(0, (1 << 64) - 1).map(DistFlags)
LOW_FLAGS = U32.map(DistFlags)
NAMES = st.text(st.characters(codec="utf-8"), max_size=100)
DIGESTS = st.binary(min_size=16, max_size=16)

BY_INITIATOR = st.one_of(
    st.builds(SendName, FLAGS, U32, NAMES),
    st.builds(OldSendName, LOW_FLAGS, NAMES),
    st.builds(Status, st.sampled_from(["true", "false"])),
    st.builds(Complement, U32.map(lambda high: DistFlags(high << 32)), U32),
    st.builds(ChallengeReply, U32, DIGESTS),
)
BY_ACCEPTOR = st.one_of(
    st.builds(Status, st.sampled_from(["ok", "ok_simultaneous", "nok", "not_allowed", "alive"])),
    st.builds(NamedStatus, NAMES, U32),
    st.builds(Challenge, FLAGS, U32, U32, NAMES),
    st.builds(OldChallenge, LOW_FLAGS, U32, NAMES),
    st.builds(ChallengeAck, DIGESTS),
)


@given(BY_INITIATOR)
def test_initiator_round_trip(message: HandshakeMessage) -> None:
    assert parse(serialize(message), FROM_INITIATOR) == message


@given(BY_ACCEPTOR)
def test_acceptor_round_trip(message: HandshakeMessage) -> None:
    assert parse(serialize(message), FROM_ACCEPTOR) == message


ANY_PACKET = st.builds(
    lambda tag, rest: bytes((tag,)) + rest, st.sampled_from(b"NnsrcaX"), st.binary(max_size=60)
)


@pytest.mark.parametrize("parsers", [FROM_INITIATOR, FROM_ACCEPTOR])
@given(data=st.just(b"") | ANY_PACKET)
def test_any_packet_is_a_message_or_the_peers_fault(parsers: dict[int, Parser], data: bytes) -> None:
    try:
        message = parse(data, parsers)
    except RemoteProtocolError:
        return
    assert parse(serialize(message), parsers) == message


def test_bytes_of_real_nodes() -> None:
    name = bytes.fromhex("4e0000000d07df7fbd6b03cccc000b61403132372e302e302e31")
    assert parse(name, FROM_INITIATOR) == SendName(DistFlags(0xD07DF7FBD), 0x6B03CCCC, "a@127.0.0.1")
    challenge = bytes.fromhex("4e0000000d07df7fbd80059f266b03ccca000b62403132372e302e302e31")
    assert parse(challenge, FROM_ACCEPTOR) == Challenge(
        DistFlags(0xD07DF7FBD), 0x80059F26, 0x6B03CCCA, "b@127.0.0.1"
    )
    named = bytes.fromhex("736e616d65643a0017") + b"3KOQXEE1Q5G4F@127.0.0.1" + bytes.fromhex("76c0482b")
    assert parse(named, FROM_ACCEPTOR) == NamedStatus("3KOQXEE1Q5G4F@127.0.0.1", 0x76C0482B)


def test_bytes_after_a_name_are_for_later_versions() -> None:
    packet = serialize(SendName(DistFlags(1), 2, "a@b")) + b"more"
    assert parse(packet, FROM_INITIATOR) == SendName(DistFlags(1), 2, "a@b")


def test_a_name_of_an_old_node_is_latin_1() -> None:
    assert parse(b"n\0\5\0\0\0\1caf\xe9@h", FROM_INITIATOR) == OldSendName(DistFlags(1), "caf\xe9@h")


@pytest.mark.parametrize(
    ("packet", "hint"),
    [
        (b"", "empty packet"),
        (b"X", "tag b'X'"),
        (b"a" + bytes(16), "tag b'a'"),
        (b"N\0", "ends too early"),
        (b"N" + bytes(12) + b"\xff\xff" + b"a@b", "a name of 65535 bytes"),
        (b"n\0\6\0\0\0\0a@b", "version 6"),
        (b"r\0\0\0\0short", "digest of 5 bytes"),
        (b"r\0\0\0\0" + bytes(17), "digest of 17 bytes"),
    ],
)
def test_faults_say_what_is_wrong(packet: bytes, hint: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse(packet, FROM_INITIATOR)
    assert hint in str(caught.value)
