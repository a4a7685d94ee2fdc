from typing import Any

import pytest
from erldist_proto import (
    ConnectionLimits,
    ControlMessage,
    Event,
    Link,
    Received,
    RegSend,
    Send,
    SendSender,
    _incoming,
)
from erldist_proto._openings import OPENING_BYTES, OPENINGS_SIZE, SIZES, Openings
from erldist_proto.testing import connected_pair
from etf_codec import Atom, Limits, Pid, Reference, Term, decode_packets
from hypothesis import given
from hypothesis import strategies as st

PID = Pid("alice@host", 85, 0, 1)
BOB = Pid("bob@host", 90, 0, 2)
REF = Reference("alice@host", 1, (1, 2, 3))
MESSAGE = RegSend(PID, Atom("echo"))
REFS = (Atom("ok"),)


def count(openings: Openings) -> int:
    return sum(map(len, openings.by_size.values()))


def test_openings_are_found_by_size_and_content() -> None:
    openings = Openings()
    openings.remember(b"abc", MESSAGE, REFS)
    openings.remember(b"xyz", Send(PID), ())
    openings.remember(b"ab", MESSAGE, ())
    assert openings.by_size == {
        3: {b"abc": (MESSAGE, REFS), b"xyz": (Send(PID), ())},
        2: {b"ab": (MESSAGE, ())},
    }
    openings.clear()
    assert openings.by_size == {}


def test_openings_are_remembered_within_bounds() -> None:
    openings = Openings()
    for number in range(3 * OPENINGS_SIZE):
        openings.remember(number.to_bytes(4), MESSAGE, REFS)
        assert count(openings) <= OPENINGS_SIZE
    assert openings.by_size[4][(3 * OPENINGS_SIZE - 1).to_bytes(4)] == (MESSAGE, REFS)
    for size in range(2 * OPENING_BYTES):
        openings.remember(bytes(size), MESSAGE, REFS)
        assert len(openings.by_size) <= SIZES
    assert max(openings.by_size) <= OPENING_BYTES


def left_to_packets(
    data: bytes, offset: int, *known: object, **options: object
) -> tuple[list[tuple[ControlMessage, Term]], int]:
    """Instead of `decode_packets`: every packet is read by itself."""
    return [], offset


def events(data: bytes, sizes: list[int], limits: ConnectionLimits) -> list[Event]:
    _, bob = connected_pair(limits=limits)
    start = 0
    for size in sizes:
        bob.receive_data(data[start : start + size])
        start += size
    bob.receive_data(data[start:])
    return bob.events()


def conversation() -> bytes:
    """Messages that repeat their openings, with others between them and atoms that change the cache."""
    alice, _ = connected_pair()
    for number in range(12):
        alice.send(RegSend(PID, Atom("echo")), (Atom("ok"), number, b"x" * 40 * number))
        alice.send(SendSender(PID, BOB), [Atom("ok"), REF])
        if number % 4 == 3:
            alice.send(Link(PID, BOB))
            alice.send(SendSender(PID, BOB), Atom(f"new{number}"))
            alice.send(SendSender(BOB, BOB), bytes(70_000))
    data = b""
    while buffers := alice.data_to_send():
        data += b"".join(buffers)
    return data + bytes(4)


CONVERSATION = conversation()
LIMITS = [
    ConnectionLimits(),
    ConnectionLimits(max_frame_bytes=300),
    ConnectionLimits(terms=Limits(max_elements=4)),
    ConnectionLimits(terms=Limits(max_depth=1)),
]
PLACES = st.integers(0, len(CONVERSATION) - 1)


@given(
    st.lists(st.tuples(PLACES | st.integers(0, 900), st.integers(1, 255)), max_size=2),
    st.lists(st.integers(1, 2000), max_size=20),
    st.sampled_from(LIMITS),
)
def test_a_run_gives_what_packet_by_packet_gives(
    flips: list[tuple[int, int]], sizes: list[int], limits: ConnectionLimits
) -> None:
    data = bytearray(CONVERSATION)
    for place, mask in flips:
        data[place] ^= mask
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_incoming, "decode_packets", left_to_packets)
        expected = events(bytes(data), [], limits)
    assert repr(events(bytes(data), sizes, limits)) == repr(expected)
    assert repr(events(bytes(data), [], limits)) == repr(expected)


def test_repeated_messages_are_read_in_runs() -> None:
    runs: list[int] = []

    def counted(*arguments: Any, **options: Any) -> tuple[list[tuple[ControlMessage, Term]], int]:
        found, offset = decode_packets(*arguments, **options)
        runs.append(len(found))
        return found, offset

    alice, bob = connected_pair()
    for number in range(50):
        alice.send(RegSend(PID, Atom("echo")), (Atom("ok"), number))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_incoming, "decode_packets", counted)
        bob.receive_data(b"".join(alice.data_to_send()))
    assert sum(runs) == 48  # the first has the atoms' texts, and the second is the first of its kind
    assert bob.events()[-1] == Received(RegSend(PID, Atom("echo")), (Atom("ok"), 49))
