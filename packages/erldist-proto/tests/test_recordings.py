"""Recordings of real nodes, replayed: what they say is understood, and said again it means the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from erldist_proto import (
    Accept,
    Connected,
    Connection,
    ConnectionRequested,
    Event,
    LocalNode,
    Received,
    State,
    Ticked,
)
from erldist_proto._handshake_messages import Challenge, ChallengeReply, SendName
from erldist_proto.testing import (
    Chunk,
    Dissector,
    Observed,
    byte_by_byte,
    connected_pair,
    exchange,
    read_recording,
)

RECORDINGS = sorted((Path(__file__).parent / "captures").glob("*.log"))
COOKIE = "SECRET"
each_recording = pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)


def chunks(path: Path) -> list[Chunk]:
    with path.open(encoding="ascii") as lines:
        return list(read_recording(lines))


def observed(path: Path) -> Iterator[Observed]:
    dissector = Dissector()
    for chunk in chunks(path):
        yield from dissector.observe(chunk.data, from_initiator=chunk.direction == "A>B")


def stream(path: Path, direction: str) -> bytes:
    return b"".join(chunk.data for chunk in chunks(path) if chunk.direction == direction)


def test_the_recordings_are_there() -> None:
    assert [path.name for path in RECORDINGS] == ["dist.log", "dist2.log", "dist3-elixir.log"]


@each_recording
def test_every_frame_decodes(path: Path) -> None:
    values = [value for _, value in observed(path)]
    assert [value for value in values if isinstance(value, Exception)] == []
    received = [value for value in values if isinstance(value, Received)]
    assert len(received) + 5 == len(values)  # five packets of handshake, then messages
    assert len(received) > 45


def replay(path: Path) -> tuple[Connection, Connection, list[Event], list[Event]]:
    """Our two roles given what the recorded nodes were given, each hearing the recorded other side."""
    spoken = [value for _, value in observed(path)]
    name = next(value for value in spoken if isinstance(value, SendName))
    challenge = next(value for value in spoken if isinstance(value, Challenge))
    reply = next(value for value in spoken if isinstance(value, ChallengeReply))
    initiator = Connection.initiator(
        LocalNode(name.name, name.creation, name.flags),
        challenge.name,
        COOKIE,
        0.0,
        challenge=reply.challenge,
    )
    acceptor = Connection.acceptor(
        LocalNode(challenge.name, challenge.creation, challenge.flags), 0.0, challenge=challenge.challenge
    )
    initiator.receive_data(stream(path, "B>A"))
    said = stream(path, "A>B")
    name_bytes = 2 + int.from_bytes(said[:2])
    acceptor.receive_data(said[:name_bytes])
    requested = acceptor.events()
    assert [type(event) for event in requested] == [ConnectionRequested]
    acceptor.send(Accept(COOKIE))
    acceptor.receive_data(said[name_bytes:])
    return initiator, acceptor, initiator.events(), acceptor.events()


@each_recording
def test_the_handshake_is_reproduced_to_the_byte(path: Path) -> None:
    initiator, acceptor, _, _ = replay(path)
    for connection, direction in ((initiator, "A>B"), (acceptor, "B>A")):
        ours = b"".join(connection.data_to_send())
        assert len(ours) > 40
        assert stream(path, direction).startswith(ours)


@each_recording
def test_both_roles_hear_what_was_said(path: Path) -> None:
    initiator, acceptor, to_initiator, to_acceptor = replay(path)
    said = list(observed(path))
    for connection, events, from_initiator in (
        (initiator, to_initiator, False),
        (acceptor, to_acceptor, True),
    ):
        assert connection.state is State.CONNECTED
        assert isinstance(events[0], Connected)
        messages = [value for side, value in said if side is from_initiator and isinstance(value, Received)]
        assert [event for event in events[1:] if not isinstance(event, Ticked)] == messages


@each_recording
def test_said_again_it_means_the_same(path: Path) -> None:
    _, _, to_initiator, to_acceptor = replay(path)
    connected = to_acceptor[0], to_initiator[0]
    assert isinstance(connected[0], Connected)
    assert isinstance(connected[1], Connected)
    first, second = connected_pair(
        connected[0].flags, connected[1].flags, names=(connected[0].name, connected[1].name)
    )
    for event in to_acceptor[1:]:
        assert isinstance(event, Received)
        first.send(event.message, event.payload)
    for event in to_initiator[1:]:
        assert isinstance(event, Received)
        second.send(event.message, event.payload)
    exchange(first, second)
    assert second.events() == to_acceptor[1:]
    assert first.events() == to_initiator[1:]


@each_recording
def test_byte_by_byte(path: Path) -> None:
    whole, _, events, _ = replay(path)
    sender = next(value for _, value in observed(path) if isinstance(value, SendName))
    reply = next(value for _, value in observed(path) if isinstance(value, ChallengeReply))
    local = LocalNode(sender.name, sender.creation, sender.flags)
    slow = Connection.initiator(local, whole.peer, COOKIE, 0.0, challenge=reply.challenge)
    assert byte_by_byte(slow, stream(path, "B>A")) == events
