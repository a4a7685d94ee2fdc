import pytest
from erldist_proto import (
    MANDATORY_FLAGS,
    Closed,
    DistFlags,
    Link,
    Received,
    RegSend,
    RemoteProtocolError,
    State,
)
from erldist_proto.testing import Faults, Transcript, Wire, connected_pair, exchange
from etf_codec import Atom, Pid

ALICE = Pid("alice@host", 85, 0, 1)
BOB = Pid("bob@host", 90, 0, 2)
MESSAGE = RegSend(ALICE, Atom("echo"))


def test_exchange_counts_what_it_moves() -> None:
    alice, bob = connected_pair()
    assert exchange(alice, bob) == 0
    alice.send(MESSAGE, 1)
    bob.send(Link(BOB, ALICE))
    waiting = alice.bytes_pending + bob.bytes_pending
    assert exchange(alice, bob) == waiting
    assert alice.events() == [Received(Link(BOB, ALICE), None)]
    assert bob.events() == [Received(MESSAGE, 1)]


def test_a_stalled_direction_delivers_later() -> None:
    alice, bob = connected_pair()
    wire = Wire(alice, bob)
    wire.stall(forth=True)
    alice.send(MESSAGE, 1)
    bob.send(Link(BOB, ALICE))
    wire.run()
    assert bob.events() == []
    assert len(alice.events()) == 1
    wire.stall()
    wire.run()
    assert bob.events() == [Received(MESSAGE, 1)]


def test_a_cut_wire_ends_both_sides_at_the_byte() -> None:
    alice, bob = connected_pair()
    wire = Wire(alice, bob, Faults(chunk_bytes=(7,), cut_at=20))
    alice.send(MESSAGE, bytes(100))
    assert wire.run() == 20
    assert alice.state is bob.state is State.CLOSED
    assert [type(event) for event in bob.events()] == [Closed]
    assert wire.run() == 0
    wire.cut()
    assert bob.events() == []


def test_a_flipped_byte_is_flipped_once_where_it_was_asked_for() -> None:
    alice, bob = connected_pair()
    wire = Wire(alice, bob, Faults(chunk_bytes=(3, 1), flips={4: 0xFF}))
    alice.send(MESSAGE, 1)
    wire.run()
    (event,) = bob.events()
    assert isinstance(event, Closed)
    assert isinstance(event.error, RemoteProtocolError)
    assert "begins with b'|D'" in event.text  # 131 ^ 255


def test_a_transcript_reads_like_a_conversation() -> None:
    alice, bob = connected_pair()
    transcript = Transcript()
    bob.send(Link(BOB, ALICE))
    exchange(alice, bob, transcript)
    assert len(transcript.observed) == 1
    assert str(transcript).startswith("< ")


def test_a_handshake_that_fails_is_shown() -> None:
    with pytest.raises(ValueError, match="refused alice@host: it lacks UTF8_ATOMS"):
        connected_pair(MANDATORY_FLAGS & ~DistFlags.UTF8_ATOMS)
