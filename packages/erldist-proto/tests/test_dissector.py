import pytest
from erldist_proto import (
    DEFAULT_FLAGS,
    Accept,
    Connection,
    DistFlags,
    LocalNode,
    Received,
    RegSend,
    RemoteProtocolError,
    State,
    Ticked,
)
from erldist_proto.testing import COOKIE, Dissector, Transcript, exchange
from etf_codec import Atom, Pid

MESSAGE = RegSend(Pid("alice@host", 85, 0, 1), Atom("echo"))


def conversation(local: LocalNode, version: int = 6) -> Transcript:
    transcript = Transcript()
    alice = Connection.initiator(local, "bob@host", COOKIE, 0.0, handshake_version=version)
    bob = Connection.acceptor(LocalNode("bob@host", 2), 0.0)
    exchange(alice, bob, transcript)
    bob.send(Accept(COOKIE, name="alice@host", creation=1))
    exchange(alice, bob, transcript)
    assert alice.state is State.CONNECTED
    alice.handle_time(15.0)
    exchange(alice, bob, transcript)
    alice.send(MESSAGE, bytes(100_000))
    exchange(alice, bob, transcript)
    return transcript


@pytest.mark.parametrize(
    ("local", "version"),
    [
        (LocalNode("alice@host", 1), 6),
        (LocalNode("alice@host", 1), 5),
        (LocalNode("alice@host", 1, DEFAULT_FLAGS & ~DistFlags.FRAGMENTS), 6),
        (LocalNode.dynamic("host"), 6),
    ],
)
def test_every_kind_of_handshake_is_followed(local: LocalNode, version: int) -> None:
    assert [value for _, value in conversation(local, version).observed][-2:] == [
        Ticked(),
        Received(MESSAGE, bytes(100_000)),
    ]


def test_an_error_ends_its_direction_only() -> None:
    dissector = Dissector()
    (seen,) = dissector.observe(b"GET /", from_initiator=True)
    assert isinstance(seen.value, RemoteProtocolError)
    assert dissector.observe(b"more", from_initiator=True) == []
    assert len(dissector.observe(b"\0\3sok", from_initiator=False)) == 1
