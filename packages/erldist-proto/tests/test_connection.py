from itertools import pairwise
from random import Random

import pytest
from erldist_proto import (
    DEFAULT_FLAGS,
    Accept,
    Closed,
    Command,
    Connected,
    Connection,
    ConnectionLimits,
    ConnectionRequested,
    DistFlags,
    Event,
    Link,
    LocalNode,
    LocalProtocolError,
    Received,
    Refuse,
    RegSend,
    RemoteProtocolError,
    SendSender,
    State,
    Ticked,
    UnlinkIdAck,
)
from erldist_proto._fragments import FRAGMENT_BYTES
from erldist_proto._turns import HANDOUT_BYTES
from erldist_proto.testing import COOKIE, Faults, Wire, byte_by_byte, connected_pair, exchange
from etf_codec import Atom, EncodeError, Pid, Reference
from hypothesis import given, settings
from hypothesis import strategies as st

ALICE = Pid("alice@host", 85, 0, 1)
BOB = Pid("bob@host", 90, 0, 2)
ECHO = Atom("echo")
CALL = (Atom("$gen_call"), (ALICE, [Atom("alias"), Reference("alice@host", 1, (1, 2, 3))]), Atom("get"))


def new_acceptor(limits: ConnectionLimits | None = None) -> Connection:
    node = LocalNode("bob@host", 2)
    return Connection.acceptor(node, 0.0, challenge=7, limits=limits or ConnectionLimits())


def spoken() -> tuple[bytes, bytes]:
    """The handshake of an initiator, and some messages after it."""
    alice = Connection.initiator(LocalNode("alice@host", 1), "bob@host", COOKIE, 0.0, challenge=9)
    bob = new_acceptor()
    said = bytearray()
    while data := b"".join(alice.data_to_send()):
        said += data
        bob.receive_data(data)
        if any(isinstance(event, ConnectionRequested) for event in bob.events()):
            bob.send(Accept(COOKIE))
        alice.receive_data(b"".join(bob.data_to_send()))
    handshake = bytes(said)
    assert alice.state is State.CONNECTED
    alice.send(RegSend(ALICE, ECHO), CALL)
    alice.send(Link(ALICE, BOB))
    alice.handle_time(15.0)
    alice.send(RegSend(ALICE, ECHO), bytes(200_000))
    alice.send(RegSend(ALICE, ECHO), CALL)
    alice.send(SendSender(ALICE, BOB), [Atom(f"a{number}") for number in range(300)])
    return handshake, b"".join(alice.data_to_send())


HANDSHAKE, MESSAGES = spoken()
STREAM = HANDSHAKE + MESSAGES
NAME_BYTES = 2 + int.from_bytes(HANDSHAKE[:2])


def hear(chunks: list[bytes]) -> list[Event]:
    """What an acceptor reports that accepts whoever asks."""
    bob = new_acceptor()
    events: list[Event] = []
    for chunk in chunks:
        bob.receive_data(chunk)
        heard = bob.events()
        events += heard
        if heard and isinstance(heard[-1], ConnectionRequested):
            given = ("given@host", 5) if heard[-1].wants_name else (None, None)
            bob.send(Accept(COOKIE, name=given[0], creation=given[1]))
            events += bob.events()
    return events


def test_what_was_sent_is_heard_in_order() -> None:
    kinds = [event.message if isinstance(event, Received) else type(event) for event in hear(split([]))]
    assert kinds == [
        ConnectionRequested,
        Connected,
        RegSend(ALICE, ECHO),
        Link(ALICE, BOB),
        *[RegSend(ALICE, ECHO)] * 2,
        SendSender(ALICE, BOB),
    ]


def split(cuts: list[int]) -> list[bytes]:
    """The stream in pieces. No peer goes on before its name is answered, so one cut is always there."""
    edges = sorted({0, *cuts, NAME_BYTES, len(STREAM)})
    return [STREAM[start:end] for start, end in pairwise(edges)]


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_any_split_gives_the_same_events(cuts: list[int]) -> None:
    assert hear(split(cuts)) == hear(split([]))


def test_one_byte_at_a_time() -> None:
    assert hear(split(list(range(len(STREAM))))) == hear(split([]))


@given(st.lists(st.tuples(st.integers(0, len(STREAM) - 1), st.integers(1, 255)), min_size=1, max_size=4))
@settings(max_examples=400)
def test_mutated_bytes_give_events_or_the_peers_fault(flips: list[tuple[int, int]]) -> None:
    mutated = bytearray(STREAM)
    for offset, mask in flips:
        # Most of the stream is one large binary: aim at the rest.
        mutated[offset % (len(HANDSHAKE) + 300)] ^= mask
    closings = [
        event
        for event in hear([bytes(mutated[:NAME_BYTES]), bytes(mutated[NAME_BYTES:])])
        if isinstance(event, Closed)
    ]
    assert len(closings) <= 1
    assert all(isinstance(event.error, RemoteProtocolError) or event.error is None for event in closings)


@given(st.binary(max_size=200))
@settings(max_examples=400)
def test_any_bytes_after_the_handshake(data: bytes) -> None:
    _, bob = connected_pair()
    bob.receive_data(len(data).to_bytes(4) + data)
    for event in bob.events():
        assert isinstance(event, Received | Ticked | Closed)
        assert not isinstance(event, Closed) or isinstance(event.error, RemoteProtocolError)


@given(st.binary(max_size=100), st.booleans())
def test_any_bytes_before_the_handshake(data: bytes, accepts: bool) -> None:
    whole, slow = (
        new_acceptor() if accepts else Connection.initiator(LocalNode("a@h", 1), "b@h", "c", 0.0)
        for _ in range(2)
    )
    whole.receive_data(data)
    assert list(map(repr, whole.events())) == list(map(repr, byte_by_byte(slow, data)))


def closed(connection: Connection) -> Closed:
    event = connection.events()[-1]
    assert isinstance(event, Closed)
    assert connection.state is State.CLOSED
    assert connection.deadline() is None
    return event


def test_messages_before_the_handshake_is_over_close() -> None:
    for end in range(0, len(HANDSHAKE), 7):
        bob = new_acceptor()
        bob.receive_data(HANDSHAKE[:end])
        bob.receive_data(MESSAGES[:200])
        assert not any(isinstance(event, Received | Connected) for event in bob.events())


def test_control_messages_wait_for_the_connection() -> None:
    alice = Connection.initiator(LocalNode("alice@host", 1), "bob@host", COOKIE, 0.0)
    with pytest.raises(LocalProtocolError, match="the connection is await_status"):
        alice.send(RegSend(ALICE, ECHO), 1)
    alice.close()
    with pytest.raises(LocalProtocolError, match="the connection is closed"):
        alice.send(RegSend(ALICE, ECHO), 1)


@pytest.mark.parametrize("command", [Accept("c"), Refuse()])
def test_answers_wait_for_a_question(command: Command) -> None:
    alice, bob = connected_pair()
    for connection in (alice, bob):
        with pytest.raises(LocalProtocolError, match="not allowed"):
            connection.send(command)
        connection.close()
        with pytest.raises(LocalProtocolError, match="not allowed"):
            connection.send(command)


def test_an_impatient_peer_is_bounded_while_we_decide() -> None:
    bob = new_acceptor()
    bob.receive_data(HANDSHAKE[:40])
    bob.events()
    assert bob.state is State.DECIDING
    bob.receive_data(bytes(1000))
    assert bob.state is State.DECIDING
    bob.receive_data(bytes(1000))
    assert "goes on before it was answered" in str(closed(bob).error)


def test_http_at_our_port() -> None:
    bob = new_acceptor()
    bob.receive_data(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n")
    assert "b'GE', so the other side speaks another protocol" in closed(bob).text


@pytest.mark.parametrize(
    ("flags", "limit"), [(DEFAULT_FLAGS, 1000), (DEFAULT_FLAGS & ~DistFlags.FRAGMENTS, 3000)]
)
def test_a_frame_beyond_the_limit_closes_on_its_length(flags: DistFlags, limit: int) -> None:
    limits = ConnectionLimits(max_frame_bytes=1000, max_message_bytes=3000)
    for size in (limit, limit + 1):
        _, bob = connected_pair(flags, flags, limits=limits)
        bob.receive_data(size.to_bytes(4))
        assert (bob.state is State.CLOSED) == (size > limit)


def test_nothing_follows_closed() -> None:
    alice, bob = connected_pair()
    alice.send(RegSend(ALICE, ECHO), 1)
    data = b"".join(alice.data_to_send())
    bob.receive_data(b"\0\0\0\1x" + data)
    assert len(bob.events()) == 1
    bob.receive_data(data)
    bob.receive_eof()
    bob.handle_time(1e9)
    bob.close()
    assert bob.events() == []
    assert bob.data_to_send() == []


def test_closing_still_sends_what_was_sent_before() -> None:
    alice, bob = connected_pair()
    alice.send(RegSend(ALICE, ECHO), 1)
    alice.close()
    assert closed(alice) == Closed("disconnect", "connection to bob@host closed by us")
    bob.receive_data(b"".join(alice.data_to_send()))
    bob.receive_eof()
    assert bob.events() == [
        Received(RegSend(ALICE, ECHO), 1),
        Closed("connection_closed", "alice@host closed the connection"),
    ]


def test_an_end_inside_a_packet_says_so() -> None:
    _, bob = connected_pair()
    bob.receive_data(b"\0\0\1\0abc")
    bob.receive_eof()
    assert closed(bob).text == "alice@host closed the connection, 7 bytes into a packet"


def test_an_end_inside_the_handshake() -> None:
    bob = new_acceptor()
    bob.receive_eof()
    assert closed(bob).text == "a peer closed the connection during the handshake (await_name)"


def test_what_waits_is_counted() -> None:
    alice, _ = connected_pair()
    assert alice.bytes_pending == 0
    assert alice.data_to_send() == []
    alice.send(RegSend(ALICE, ECHO), bytes(1_000_000))
    alice.send(SendSender(BOB, ALICE), 1)
    before = alice.bytes_pending
    assert 1_000_000 < before < 1_001_000
    while alice.bytes_pending:
        handed_out = sum(map(len, alice.data_to_send()))
        # The headers of frames that wait their turn are not counted yet.
        assert 0 <= handed_out - (before - alice.bytes_pending) < 500
        assert handed_out <= HANDOUT_BYTES + FRAGMENT_BYTES
        before = alice.bytes_pending
    assert alice.data_to_send() == []


def test_a_failed_send_leaves_the_connection_as_it_was() -> None:
    alice, bob = connected_pair()
    with pytest.raises(EncodeError):
        alice.send(RegSend(ALICE, ECHO), {Atom("a"): object()})
    with pytest.raises(LocalProtocolError, match="to_name is of type str, it must be Atom"):
        alice.send(RegSend(ALICE, "echo"), 1)  # type: ignore[arg-type]  # the mistake a user makes
    assert alice.bytes_pending == 0
    alice.send(RegSend(ALICE, ECHO), Atom("a"))
    exchange(alice, bob)
    assert bob.events() == [Received(RegSend(ALICE, ECHO), Atom("a"))]


def test_none_stands_for_an_atom_in_both_directions() -> None:
    alice, bob = connected_pair(none=Atom("nil"))
    alice.send(RegSend(ALICE, ECHO), {Atom("x"): None})
    alice.send(RegSend(ALICE, ECHO), None)
    exchange(alice, bob)
    assert [event.payload for event in bob.events() if isinstance(event, Received)] == [
        {Atom("x"): None},
        None,
    ]


def test_properties() -> None:
    alice, bob = connected_pair()
    assert (alice.peer, bob.peer) == ("bob@host", "alice@host")
    assert alice.flags == bob.flags == DEFAULT_FLAGS
    assert repr(alice) == "<Connection connected peer='bob@host'>"
    fresh = new_acceptor()
    assert (fresh.peer, fresh.flags, fresh.state) == ("", 0, State.AWAIT_NAME)


# Time


def test_a_stalled_handshake_is_given_up() -> None:
    for connection in (new_acceptor(), Connection.initiator(LocalNode("a@h", 1), "b@h", "c", 0.0)):
        connection.handle_time(6.9)
        assert connection.deadline() == 7.0
        connection.handle_time(7.0)
        assert closed(connection).reason == "setup_timeout"


def test_bytes_that_complete_nothing_gain_no_time() -> None:
    bob = new_acceptor()
    for second in range(6):
        bob.receive_data(HANDSHAKE[second : second + 1])
        bob.handle_time(float(second))
    bob.handle_time(7.0)
    assert closed(bob).reason == "setup_timeout"


def test_steps_gain_time_but_not_for_ever() -> None:
    alice = Connection.initiator(LocalNode("alice@host", 1), "bob@host", COOKIE, 0.0)
    bob = new_acceptor()
    bob.receive_data(b"".join(alice.data_to_send()))
    bob.handle_time(7.0)
    bob.send(Accept(COOKIE))
    bob.handle_time(14.0)
    assert bob.state is State.AWAIT_REPLY
    bob.handle_time(21.0)
    assert closed(bob).reason == "setup_timeout"
    slow = new_acceptor()
    slow._setup.stepped = True
    slow.handle_time(30.0)
    assert closed(slow).reason == "setup_timeout"


def connected_until(connection: Connection, end: float, peer: Connection | None = None) -> float | None:
    """Let time pass, moving bytes to and from a peer if there is one. When it closed, if it did."""
    while (due := connection.deadline()) is not None and due <= end:
        connection.handle_time(due)
        if peer is not None:
            peer.handle_time(due)
            exchange(connection, peer)
        if connection.state is State.CLOSED:
            return due
    return None


@pytest.mark.parametrize("hidden", [False, True])
def test_an_idle_connection_lives(hidden: bool) -> None:
    flags = DEFAULT_FLAGS & ~DistFlags.PUBLISHED if hidden else DEFAULT_FLAGS
    alice, bob = connected_pair(flags, flags)
    assert connected_until(alice, 3600.0, bob) is None
    assert set(bob.events()) == {Ticked()}


@pytest.mark.parametrize("hidden", [False, True])
def test_a_silent_peer_is_gone_after_the_tick_time(hidden: bool) -> None:
    alice, _ = connected_pair(DEFAULT_FLAGS & ~DistFlags.PUBLISHED if hidden else DEFAULT_FLAGS)
    at = connected_until(alice, 600.0)
    assert at is not None
    assert 45.0 <= at <= 75.0
    assert closed(alice) == Closed("net_tick_timeout", "nothing from bob@host for 60 seconds")
    assert alice.data_to_send() == [b"\0\0\0\0"]  # nobody wrote the first, so there was no second


def test_while_we_do_not_read_the_peer_is_not_gone() -> None:
    alice, _ = connected_pair()
    alice.pause_reading()
    assert connected_until(alice, 600.0) is None
    alice.resume_reading()
    assert connected_until(alice, 1200.0) is not None


def test_a_tick_is_not_sent_behind_waiting_output() -> None:
    alice, _ = connected_pair()
    alice.send(RegSend(ALICE, ECHO), 1)
    waiting = alice.bytes_pending
    alice.handle_time(15.0)
    alice.handle_time(30.0)
    assert alice.bytes_pending == waiting


def test_what_a_peer_is_not_told_is_no_sign_of_life() -> None:
    alice, _ = connected_pair(second_flags=DEFAULT_FLAGS & ~DistFlags.UNLINK_ID)
    alice.send(UnlinkIdAck(7, ALICE, BOB))
    assert alice.data_to_send() == []
    alice.handle_time(15.0)
    assert alice.data_to_send() == [b"\0\0\0\0"]


def test_an_unfinished_message_has_a_deadline() -> None:
    alice, bob = connected_pair(limits=ConnectionLimits(max_fragment_age=20.0))
    alice.send(RegSend(ALICE, ECHO), bytes(200_000))
    bob.receive_data(b"".join(alice.data_to_send())[:150_000])
    bob.handle_time(15.0)
    assert bob.deadline() == 20.0
    bob.handle_time(20.0)
    assert "unfinished after 20 seconds" in str(closed(bob).error)


def test_bad_arguments() -> None:
    node = LocalNode("a@h", 1)
    with pytest.raises(ValueError, match="length_bytes is 2"):
        Connection.acceptor(node, 0.0, length_bytes=3)
    with pytest.raises(ValueError, match="must be positive"):
        Connection.acceptor(node, 0.0, tick_time=0)
    with pytest.raises(ValueError, match="no host part"):
        Connection.initiator(node, "b", "c", 0.0)
    with pytest.raises(ValueError, match="cookie is empty"):
        Connection.initiator(node, "b@h", "", 0.0)
    with pytest.raises(ValueError, match="32 bits"):
        Connection.acceptor(node, 0.0, challenge=1 << 32)
    with pytest.raises(ValueError, match="5 or 6"):
        Connection.initiator(node, "b@h", "c", 0.0, handshake_version=4)
    with pytest.raises(ValueError, match="needs handshake_version 6"):
        Connection.initiator(LocalNode.dynamic("h"), "b@h", "c", 0.0, handshake_version=5)
    with pytest.raises(ValueError, match="cannot be connected to"):
        Connection.acceptor(LocalNode.dynamic("h"), 0.0)


def test_tls_uses_four_bytes_of_length_from_the_first() -> None:
    alice = Connection.initiator(LocalNode("alice@host", 1), "bob@host", "c", 0.0, length_bytes=4)
    bob = Connection.acceptor(LocalNode("bob@host", 2), 0.0, length_bytes=4)
    exchange(alice, bob)
    bob.send(Accept("c"))
    exchange(alice, bob)
    assert alice.state is bob.state is State.CONNECTED


@given(st.integers(0, 2**32))
@settings(max_examples=30)
def test_more_atoms_than_the_cache_has_slots_over_a_bad_wire(seed: int) -> None:
    random = Random(seed)
    alice, bob = connected_pair()
    wire = Wire(alice, bob, Faults(tuple(random.randint(1, 5000) for _ in range(7))))
    sent = []
    for _ in range(30):
        term = [Atom(f"a{random.randrange(5000)}") for _ in range(random.choice([3, 100, 400]))]
        alice.send(RegSend(ALICE, ECHO), term)
        sent.append(Received(RegSend(ALICE, ECHO), term))
    wire.run()
    assert bob.events() == sent
