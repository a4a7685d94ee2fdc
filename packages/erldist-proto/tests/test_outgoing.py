from collections.abc import Sequence

import pytest
from erldist_proto import (
    DEFAULT_FLAGS,
    MANDATORY_FLAGS,
    ConnectionLimits,
    ControlMessage,
    DistFlags,
    Exit,
    Link,
    LocalProtocolError,
    RegSend,
    SendSender,
)
from erldist_proto._fragments import FRAGMENT_BYTES
from erldist_proto._framing import Framing, whole
from erldist_proto._incoming import Incoming
from erldist_proto._outgoing import Outgoing
from etf_codec import Atom, EncodeError, Pid, Term
from hypothesis import given
from hypothesis import strategies as st

ALICE = Pid("alice@host", 85, 0, 1)
BOB = Pid("bob@host", 90, 0, 2)
ECHO = Atom("echo")
PLAIN = DEFAULT_FLAGS & ~(DistFlags.DIST_HDR_ATOM_CACHE | DistFlags.FRAGMENTS)
FORMS = [
    DEFAULT_FLAGS,
    DEFAULT_FLAGS & ~DistFlags.DIST_HDR_ATOM_CACHE,
    DEFAULT_FLAGS & ~DistFlags.FRAGMENTS,
    PLAIN,
    MANDATORY_FLAGS,
]
each_form = pytest.mark.parametrize("flags", FORMS, ids=["both", "fragments", "cache", "plain", "least"])


def packets(buffers: Sequence[bytes | memoryview]) -> list[bytes]:
    framing = Framing(4, 1 << 30)
    framing.feed(b"".join(buffers))
    found = [bytes(whole(packet)) for packet in framing.packets()]
    assert framing.unread_bytes == 0
    return found


def sent(out: Outgoing, message: ControlMessage, payload: Term) -> list[bytes | memoryview]:
    """All buffers of a message, its turns included."""
    buffers = out.send(message, payload)
    while out.turns.held_bytes:
        buffers += out.turns.take()
    return buffers


def outgoing(flags: DistFlags = DEFAULT_FLAGS, limits: ConnectionLimits | None = None) -> Outgoing:
    return Outgoing(flags, limits or ConnectionLimits(), None)


PAYLOADS = st.recursive(
    st.integers() | st.binary(max_size=50) | st.integers(0, 40).map(lambda number: Atom(f"a{number}")),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=20,
) | st.integers(0, 5 * FRAGMENT_BYTES).map(bytes)


@each_form
@given(payloads=st.lists(PAYLOADS, max_size=5))
def test_what_is_sent_arrives(flags: DistFlags, payloads: list[Term]) -> None:
    out = outgoing(flags)
    into = Incoming("alice@host", flags, ConnectionLimits(), None)
    for payload in payloads:
        arrived = [into.receive(packet) for packet in packets(sent(out, RegSend(ALICE, ECHO), payload))]
        # A peer without BIG_CREATION sees two bits of it, and 1 has no more.
        assert arrived[-1] == (RegSend(ALICE, ECHO), payload)
        assert not any(arrived[:-1])


@each_form
def test_a_message_without_payload(flags: DistFlags) -> None:
    into = Incoming("alice@host", flags, ConnectionLimits(), None)
    (packet,) = packets(sent(outgoing(flags), Link(ALICE, BOB), None))
    assert into.receive(packet) == (Link(ALICE, BOB), None)


def test_a_small_message_is_one_buffer_and_its_atoms_are_sent_once() -> None:
    out = outgoing()
    first, second = (sent(out, RegSend(ALICE, ECHO), (ECHO, 1)) for _ in range(2))
    assert len(first) == len(second) == 1
    assert b"echo" in bytes(first[0])
    assert b"echo" not in bytes(second[0])
    assert b"alice" not in bytes(second[0])


@each_form
def test_a_large_binary_is_not_copied(flags: DistFlags) -> None:
    payload = bytes(10 * FRAGMENT_BYTES)
    buffers = sent(outgoing(flags), RegSend(ALICE, ECHO), payload)
    own = [buffer for buffer in buffers if isinstance(buffer, memoryview) and buffer.obj is payload]
    whole = [buffer for buffer in buffers if buffer is payload]
    assert sum(map(len, own)) + sum(map(len, whole)) == len(payload)


@pytest.mark.parametrize("beyond", [-1, 0, 1, FRAGMENT_BYTES])
def test_messages_around_the_size_of_a_fragment(beyond: int) -> None:
    out = outgoing(DistFlags.FRAGMENTS)
    overhead = sum(map(len, sent(out, RegSend(ALICE, ECHO), b""))) - 4 - 3
    found = packets(sent(out, RegSend(ALICE, ECHO), bytes(FRAGMENT_BYTES - overhead + beyond)))
    assert len(found) == (1 if beyond <= 0 else 2)
    assert found[0][:2] == (b"\x83D" if beyond <= 0 else b"\x83E")
    assert all(len(packet) <= FRAGMENT_BYTES + 2 + 16 + 1 for packet in found)


def test_a_payload_less_message_is_never_fragmented() -> None:
    big = Pid("alice@host", 1, 0, 1)
    out = outgoing()
    (packet,) = packets(sent(out, Exit(big, BOB, bytes(3 * FRAGMENT_BYTES)), None))
    assert packet[:2] == b"\x83D"


def test_numbers_of_fragmented_messages_do_not_repeat() -> None:
    out = outgoing()
    numbers = [packets(sent(out, RegSend(ALICE, ECHO), bytes(FRAGMENT_BYTES)))[0][2:10] for _ in range(3)]
    assert len(set(numbers)) == 3


@each_form
def test_an_error_leaves_no_trace(flags: DistFlags) -> None:
    out, untouched = outgoing(flags), outgoing(flags)
    with pytest.raises(EncodeError):
        sent(out, RegSend(ALICE, ECHO), (Atom("new"), object()))
    with pytest.raises(EncodeError):
        sent(out, RegSend(ALICE, ECHO), None)
    with pytest.raises(LocalProtocolError, match="Link has no payload"):
        sent(out, Link(ALICE, BOB), 1)
    message = RegSend(ALICE, ECHO)
    assert sent(out, message, 1) == untouched.send(message, 1)


def test_a_message_beyond_the_limit_is_our_fault() -> None:
    out = outgoing(limits=ConnectionLimits(max_message_bytes=1000))
    with pytest.raises(LocalProtocolError, match="max_message_bytes is 1000"):
        sent(out, RegSend(ALICE, ECHO), bytes(1000))


def test_more_than_255_atoms() -> None:
    atoms = [Atom(f"a{number}") for number in range(600)]
    out = outgoing()
    into = Incoming("alice@host", DEFAULT_FLAGS, ConnectionLimits(), None)
    for _ in range(2):
        (packet,) = packets(sent(out, RegSend(ALICE, ECHO), atoms))
        assert packet[2] == 255
        assert into.receive(packet) == (RegSend(ALICE, ECHO), atoms)


def test_identifiers_for_otp_22_have_the_old_form() -> None:
    big = Pid("alice@host", 85, 0, 7)
    (packet,) = packets(sent(outgoing(MANDATORY_FLAGS), SendSender(big, BOB), 1))
    received = Incoming("alice@host", MANDATORY_FLAGS, ConnectionLimits(), None).receive(packet)
    assert received is not None
    (packet,) = packets(sent(outgoing(MANDATORY_FLAGS), Link(big, BOB), None))
    assert b"g" in packet  # PID_EXT
    received = Incoming("alice@host", MANDATORY_FLAGS, ConnectionLimits(), None).receive(packet)
    assert received == (Link(Pid("alice@host", 85, 0, 3), BOB), None)
