"""The forms of a packet, and what closes a connection: OTP's own `bad_dist_*` cases among it."""

from struct import pack

import pytest
from erldist_proto import (
    DEFAULT_FLAGS,
    ConnectionLimits,
    DistFlags,
    Link,
    RegSend,
    RemoteProtocolError,
)
from erldist_proto._incoming import Incoming
from etf_codec import Atom, Limits, Pid, encode_bare

ALICE = Pid("alice@host", 85, 0, 1)
BOB = Pid("bob@host", 90, 0, 2)
NAME = Atom("name")
NO_HEADER = ~(DistFlags.DIST_HDR_ATOM_CACHE | DistFlags.FRAGMENTS)


class Inline(dict[Atom, bytes]):
    def __missing__(self, atom: Atom) -> bytes:
        return atom.wire


def bare(*terms: object) -> bytes:
    return b"".join(encode_bare(terms, Inline()))


CONTROL = bare((6, ALICE, Atom(""), NAME))
LINK = bare((1, ALICE, BOB))


def incoming(flags: DistFlags = DEFAULT_FLAGS, limits: ConnectionLimits | None = None) -> Incoming:
    return Incoming("alice@host", flags, limits or ConnectionLimits(), None)


def first(sequence_id: int, fragment_id: int, rest: bytes) -> bytes:
    return b"\x83E" + pack(">QQ", sequence_id, fragment_id) + b"\0" + rest


def following(sequence_id: int, fragment_id: int, rest: bytes) -> bytes:
    return b"\x83F" + pack(">QQ", sequence_id, fragment_id) + rest


RECEIVED = (RegSend(ALICE, NAME), [Atom("hi")])


@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_the_three_forms(kind: type[bytes | memoryview]) -> None:
    payload = bare([Atom("hi")])
    assert incoming().receive(kind(b"\x83D\0" + CONTROL + payload)) == RECEIVED
    fragmented = incoming(DistFlags.FRAGMENTS)
    assert fragmented.receive(kind(first(1, 2, CONTROL + payload[:3]))) is None
    assert fragmented.receive(kind(following(1, 1, payload[3:]))) == RECEIVED
    assert (
        incoming(DEFAULT_FLAGS & NO_HEADER).receive(kind(b"\x70\x83" + CONTROL + b"\x83" + payload))
        == RECEIVED
    )


@pytest.mark.parametrize(
    ("packet", "hint"),
    [
        (b"\x70\x83" + LINK, "not with a distribution header"),
        (b"\0", "not with a distribution header"),
        (b"\x83", "not with a distribution header"),
        (b"\x83\x83" + LINK, "unknown form 131"),
        (b"\x83D", "without a number of atoms"),
        (b"\x83D\0", "corrupted external term"),
        (b"\x83D\0\x83" + LINK, "corrupted external term"),
        (b"\x83D\0\x52\0", "corrupted external term"),
        (b"\x83D\1\0\0" + LINK, "slot 0 of the atom cache, which is empty"),
        (b"\x83D\1\x08\0\1a\x52\1", "corrupted external term"),
        (b"\x83D\0" + LINK[:-1], "corrupted external term"),
        (b"\x83D\0" + LINK + b"j", "1 bytes too many after Link"),
        (b"\x83D\0" + LINK + LINK, "too many after Link"),
        (b"\x83D\0" + CONTROL, "corrupted external term"),
        (b"\x83D\0" + CONTROL + b"\xff", "corrupted external term"),
        (b"\x83D\0" + CONTROL + b"jj", "1 bytes too many after RegSend"),
        (b"\x83D\0" + bare(Atom("x")), "no tuple"),
        (b"\x83D\0" + bare((99, ALICE, BOB)), "unknown operation 99"),
        (b"\x83D\0" + bare((1, ALICE)), "Link: a tuple of 2"),
        (b"\x83D\0" + bare((1, BOB, ALICE)), "Link for a process of bob@host, but from alice@host"),
        (b"\x83D\0" + bare((35, 0, ALICE, BOB)), "id must be"),
        (b"\x83E", "fragment header ends too early"),
        (b"\x83E" + bytes(16), "without a number of atoms"),
        (first(1, 0, CONTROL), "number 0"),
        (first(1, 1, CONTROL), "corrupted external term"),
        (first(1, 2, CONTROL[:-1]), "corrupted external term"),
        (b"\x83F" + bytes(15), "fragment header ends too early"),
        (following(1, 1, b""), "has not begun"),
    ],
)
def test_bad_packets(packet: bytes, hint: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        incoming().receive(packet)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    ("packet", "hint"),
    [
        (b"\x83D\0" + LINK, "neither atom cache nor fragments"),
        (b"\x70", "does not begin with 131"),
        (b"\x70" + LINK, "does not begin with 131"),
        (b"\x70\x83" + CONTROL + b"j", "does not begin with 131"),
        (b"\x70\x83" + CONTROL, "does not begin with 131"),
        (b"\x70\x83P\0\0\0\1abc", "corrupted external term"),
    ],
)
def test_bad_packets_without_a_header(packet: bytes, hint: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        incoming(DEFAULT_FLAGS & NO_HEADER).receive(packet)
    assert hint in str(caught.value)


def test_headers_of_unfinished_messages_enter_the_cache_when_they_arrive() -> None:
    connection = incoming()
    new = b"\1\x08\7\4name"
    control = bare((6, ALICE, Atom("")))[:1] + b"\x04" + bare((6, ALICE, Atom("")))[2:] + b"\x52\0"
    packet = b"\x83E" + pack(">QQ", 5, 2) + new + control + b"\x6c"
    assert connection.receive(packet) is None
    cached = connection.receive(b"\x83D\1\0\7" + control + b"\x52\0")
    assert cached == (RegSend(ALICE, NAME), NAME)
    assert connection.receive(following(5, 1, b"\0\0\0\1\x52\0j")) == (RegSend(ALICE, NAME), [NAME])


def test_fragments_interleave_with_each_other_and_with_whole_messages() -> None:
    connection = incoming()
    one, two = bare([1]), bare([2])
    assert connection.receive(first(1, 2, CONTROL + one[:1])) is None
    assert connection.receive(first(2, 2, CONTROL + two[:1])) is None
    assert connection.receive(b"\x83D\0" + LINK) == (Link(ALICE, BOB), None)
    assert connection.receive(following(2, 1, two[1:])) == (RegSend(ALICE, NAME), [2])
    assert connection.receive(following(1, 1, one[1:])) == (RegSend(ALICE, NAME), [1])


def test_an_unfinished_message_grows_too_old() -> None:
    connection = incoming(limits=ConnectionLimits(max_fragment_age=60.0))
    connection.handle_time(100.0)
    connection.receive(first(1, 2, CONTROL))
    connection.handle_time(159.9)
    with pytest.raises(RemoteProtocolError, match="unfinished after 60 seconds"):
        connection.handle_time(160.0)


def test_the_limits_on_terms_hold() -> None:
    deep = b"l\0\0\0\1" * 20 + b"j" * 21
    packet = b"\x83D\0" + CONTROL + deep
    assert incoming().receive(packet) is not None
    with pytest.raises(RemoteProtocolError, match="corrupted external term"):
        incoming(limits=ConnectionLimits(terms=Limits(max_depth=10))).receive(packet)


def test_the_atom_for_none() -> None:
    connection = Incoming("alice@host", DEFAULT_FLAGS, ConnectionLimits(), Atom("nil"))
    received = connection.receive(b"\x83D\0" + CONTROL + bare([Atom("nil")]))
    assert received == (RegSend(ALICE, NAME), [None])


def test_the_peer_is_named_in_the_error() -> None:
    with pytest.raises(RemoteProtocolError, match="from alice@host"):
        incoming().receive(b"\x83D\0\xff")


def test_a_control_message_is_recalled_only_after_the_same_header() -> None:
    connection = incoming()
    control = b"\x68\x04" + bare(6, ALICE, Atom("")) + b"\x52\0"
    for slot, name in ((1, "one"), (2, "two")):
        new = bytes((1, 0x08, slot, len(name))) + name.encode()
        expected = (RegSend(ALICE, Atom(name)), 1)
        assert connection.receive(b"\x83D" + new + control + b"a\1") == expected
        for _ in range(3):
            assert connection.receive(b"\x83D\1\0" + bytes((slot,)) + control + b"a\1") == expected
    overwritten = b"\x83D\1\x08\1\5three" + control + b"a\1"
    assert connection.receive(overwritten) == (RegSend(ALICE, Atom("three")), 1)
    assert connection.receive(b"\x83D\1\0\1" + control + b"a\1") == (RegSend(ALICE, Atom("three")), 1)


def test_a_recalled_control_message_needs_its_payload_still() -> None:
    connection = incoming()
    for _ in range(2):
        assert connection.receive(b"\x83D\0" + CONTROL + b"a\1") == (RegSend(ALICE, NAME), 1)
    with pytest.raises(RemoteProtocolError, match="corrupted external term"):
        connection.receive(b"\x83D\0" + CONTROL)
