from typing import Any

import pytest
from erldist_proto import (
    DEFAULT_FLAGS,
    MANDATORY_FLAGS,
    AliasSend,
    AltactSigSend,
    Closed,
    Connection,
    ConnectionLimits,
    ControlMessage,
    DemonitorP,
    DistFlags,
    Event,
    Link,
    LocalProtocolError,
    MonitorP,
    PayloadMonitorPExit,
    Received,
    RegSend,
    Send,
    SendSender,
    SpawnReply,
    SpawnRequest,
    State,
    _incoming,
    _outgoing,
)
from erldist_proto._openings import OPENING_BYTES, OPENINGS_SIZE, SIZES, Openings
from erldist_proto.testing import connected_pair
from etf_codec import (
    Atom,
    ImproperList,
    Limits,
    PacketReader,
    Pid,
    Reference,
    Term,
    encode_bare,
    encode_referring,
)
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


class LeftToPackets:
    """Instead of `PacketReader`: every packet is read by itself."""

    def __init__(self, *known: object, **options: object) -> None: ...

    def read(self, data: bytes, offset: int) -> tuple[list[tuple[ControlMessage, Term]], int, int]:
        return [], offset, 0

    def read_one(self, data: bytes) -> None:
        return None


def events(data: bytes, sizes: list[int], limits: ConnectionLimits) -> list[Event]:
    _, bob = connected_pair(limits=limits)
    start = 0
    for size in sizes:
        bob.receive_data(data[start : start + size])
        start += size
    bob.receive_data(data[start:])
    return bob.events()


def hurried(data: bytes, sizes: list[int], limits: ConnectionLimits) -> list[Event]:
    """The same by `receive_messages`."""
    _, bob = connected_pair(limits=limits)
    found: list[Event] = []
    start = 0
    for size in [*sizes, len(data)]:
        messages = bob.receive_messages(data[start : start + size])
        events = bob.events()
        assert (messages is None) == bool(events)
        found += events if messages is None else [Received(*message) for message in messages]
        start += size
    return found


def one_by_one(data: bytes, limits: ConnectionLimits) -> list[Event]:
    """The same if each read is a packet, by `receive_message` where that can be."""
    _, bob = connected_pair(limits=limits)
    found: list[Event] = []
    start = 0
    while start < len(data):
        read = data[start : start + 4 + int.from_bytes(data[start : start + 4])]
        message = bob.receive_message(read)
        if message is not None:
            found.append(Received(*message))
        else:
            bob.receive_data(read)
        found += bob.events()
        start += len(read)
    return found


def sent(connection: Connection) -> bytes:
    """All there is to send."""
    data = b""
    while buffers := connection.data_to_send():
        data += b"".join(buffers)
    return data


def exchange(number: int) -> list[tuple[ControlMessage, Term]]:
    """Messages that name a reference each, so none opens as another did."""
    ref = Reference("alice@host", 1, (number, 2, 3))
    theirs = Reference("bob@host", 2, (number, 5, 6))
    tag = ImproperList([Atom("alias")], theirs)
    mfa = Atom("m"), Atom("f"), 1
    return [
        (MonitorP(PID, BOB, ref), None),
        (MonitorP(PID, Atom("echo"), theirs), None),
        (AliasSend(PID, theirs), (tag, Atom("ok"))),
        (SpawnRequest(ref, PID, PID, mfa, []), [number]),
        (SpawnReply(theirs, BOB, 0, PID), None),
        (DemonitorP(PID, BOB, ref), None),
        (DemonitorP(PID, Atom("echo"), theirs), None),
        (AltactSigSend(4, PID, theirs), Atom("ok")),
        (PayloadMonitorPExit(PID, BOB, theirs), Atom("noproc")),
    ]


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
        for message, payload in exchange(number):
            alice.send(message, payload)
    return sent(alice) + bytes(4)


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
        patch.setattr(_incoming, "PacketReader", LeftToPackets)
        expected = events(bytes(data), [], limits)
    assert repr(events(bytes(data), sizes, limits)) == repr(expected)
    assert repr(events(bytes(data), [], limits)) == repr(expected)
    assert repr(hurried(bytes(data), sizes, limits)) == repr(expected)
    assert repr(one_by_one(bytes(data), limits)) == repr(expected)


def test_repeated_messages_are_read_in_runs() -> None:
    runs: list[int] = []

    class Counted:
        def __init__(self, *known: Any, **options: Any) -> None:
            self.reader = PacketReader(*known, **options)

        def read(self, data: bytes, offset: int) -> tuple[list[tuple[ControlMessage, Term]], int, int]:
            found, offset, raw = self.reader.read(data, offset)
            runs.append(len(found))
            return found, offset, raw

        def read_one(self, data: bytes) -> tuple[ControlMessage, Term] | None:
            return self.reader.read_one(data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_incoming, "PacketReader", Counted)
        alice, bob = connected_pair()
        for number in range(50):
            alice.send(RegSend(PID, Atom("echo")), (Atom("ok"), number))
        bob.receive_data(b"".join(alice.data_to_send()))
    assert sum(runs) == 48  # the first has the atoms' texts, and the second is the first of its kind
    assert bob.events()[-1] == Received(RegSend(PID, Atom("echo")), (Atom("ok"), 49))


def test_messages_that_name_a_reference_are_read_in_runs() -> None:
    alice, bob = connected_pair()
    for _ in range(2):  # with the atoms' texts, and then for the first time without
        for message, payload in exchange(0):
            alice.send(message, payload)
        bob.receive_data(sent(alice))
    bob.events()
    asked = [message for number in range(1, 9) for message in exchange(number)]
    for message, payload in asked:
        alice.send(message, payload)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_incoming.Incoming, "receive", None)
        bob.receive_data(sent(alice))
    assert bob.events() == [Received(message, payload) for message, payload in asked]


def test_a_read_is_one_message_or_for_those_who_take_all() -> None:
    alice, bob = connected_pair()
    early = connected_pair()[0]
    reads: list[bytes] = []
    for number in range(4):
        alice.send(SendSender(PID, BOB), [Atom("ok"), number])
        reads.append(sent(alice))
    assert bob.receive_message(reads[0]) is None  # its header has the atoms' texts
    bob.receive_data(reads[0])
    assert bob.receive_message(reads[1]) is None  # nothing has begun with that header
    bob.receive_data(reads[1])
    for nothing in (b"", bytes(4), reads[2][:-1], reads[2] + reads[3], reads[2] + b"\0"):
        assert bob.receive_message(nothing) is None
    bob.receive_data(reads[2][:-1])
    assert bob.receive_message(reads[3]) is None  # that is not where a packet begins
    bob.receive_data(reads[2][-1:])
    assert bob.receive_message(reads[3]) == (SendSender(PID, BOB), [Atom("ok"), 3])
    assert bob.events() == [Received(SendSender(PID, BOB), [Atom("ok"), number]) for number in range(3)]
    bob.close()
    assert bob.receive_message(reads[3]) is None
    assert early.receive_message(reads[3]) is None


def test_a_message_taken_alone_shows_that_the_peer_lives() -> None:
    alice, bob = connected_pair()
    now = 0.0
    for number in range(40):
        alice.send(SendSender(PID, BOB), number)
        read = sent(alice)
        if bob.receive_message(read) is None:
            bob.receive_data(read)
        else:
            bob.ticker.read = True
        now += 15.0
        bob.handle_time(now)
    assert bob.state is State.CONNECTED


CAROL = Pid("carol@host", 1, 0, 1)


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        (((1, CAROL, BOB),), "carol@host"),
        (((19, CAROL, BOB, REF),), "carol@host"),
        (((99, PID),), "unknown operation 99"),
        (((33, PID),), "a tuple of 2 elements"),
        (((33, PID, PID), 1), "alias is of type Pid"),
        (((35, 0, PID, BOB),), "id must be"),
        (((33, PID, REF),), "corrupted external term"),
        (((1, PID, BOB), 1), "2 bytes too many after Link"),
        (((33, PID, REF), 1, 1), "2 bytes too many after AliasSend"),
        ((33,), "no tuple"),
        (((33.0, PID, REF), 1), "no tuple that begins with an operation"),
        (((33, PID, REF), Atom("unheard")), ""),
    ],
)
@pytest.mark.parametrize("before", [0, 3])
def test_what_is_wrong_behind_a_known_header_is_said_as_ever(
    terms: tuple[Term, ...], reason: str, before: int
) -> None:
    body = b"".join(encode_bare(terms, None))
    good = b"".join(encode_bare(((33, PID, REF), 7), None))
    # The header lists an atom that is not needed; the first packet fills its slot, the second makes it known.
    opened = [b"\x83D\1\x08\0\2ok" + good, *[b"\x83D\1\0\0" + good] * (1 + before)]
    last = b"\x83D\1\0\0" + body
    data = b"".join(len(packet).to_bytes(4) + packet for packet in [*opened, last, *opened])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_incoming, "PacketReader", LeftToPackets)
        expected = events(data, [], ConnectionLimits())
    found = events(data, [], ConnectionLimits())
    assert repr(found) == repr(expected)
    assert repr(one_by_one(data, ConnectionLimits())) == repr(expected)
    assert reason in repr(found[-1])
    assert len(found) == len(opened) + 1 + (0 if reason else len(opened))


class NoPackets:
    """Instead of `PacketWriter`: every message is put together from its parts."""

    def __init__(self, headers: object, size: int, operations: dict[type, int], **options: Any) -> None:
        self.operations = operations
        self.options = options

    def write(self, terms: tuple[Term, ...]) -> object:
        return encode_referring(terms, **self.options)

    def write_message(self, sender: Pid, to: Pid | Reference | Atom, message: Term) -> object:
        op = self.operations.get(type(to))
        return None if op is None else self.write(((op, sender, to), message))


MESSAGES = st.lists(
    st.one_of(
        st.integers(0, 3).flatmap(lambda number: st.sampled_from(exchange(number))),
        st.tuples(
            st.sampled_from([SendSender(PID, BOB), RegSend(PID, Atom("echo"))]),
            st.sampled_from(
                [1, Atom("a"), [Atom("b"), Atom("a")], bytes(20_000), bytes(70_000), "x" * 70_000]
            ),
        ),
    ),
    max_size=12,
)


@given(MESSAGES, st.lists(st.integers(0, 12), max_size=3))
def test_a_packet_at_once_is_what_its_parts_would_be(
    messages: list[tuple[ControlMessage, Term]], asks: list[int]
) -> None:
    def written() -> bytes:
        alice, _ = connected_pair()
        data = b""
        for index, (message, payload) in enumerate(messages):
            alice.send(message, payload)
            if index in asks:
                data += b"".join(alice.data_to_send())
        return data + sent(alice)

    at_once = written()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_outgoing, "PacketWriter", NoPackets)
        assert written() == at_once


@pytest.mark.parametrize(
    "flags",
    [
        DEFAULT_FLAGS,
        MANDATORY_FLAGS,
        DEFAULT_FLAGS & ~DistFlags.ALIAS,
        DEFAULT_FLAGS & ~DistFlags.DIST_MONITOR_NAME,
    ],
)
@given(MESSAGES, st.lists(st.integers(0, 12), max_size=3))
def test_who_is_in_a_hurry_sends_the_same(
    flags: DistFlags, messages: list[tuple[ControlMessage, Term]], asks: list[int]
) -> None:
    def written(hurry: bool) -> tuple[bytes, list[str]]:
        alice, _ = connected_pair(flags)
        data = b""
        errors: list[str] = []
        for index, (message, payload) in enumerate(messages):
            try:
                if hurry and isinstance(message, SendSender):
                    alice.send_message(message.from_pid, message.to_pid, payload)
                elif hurry and isinstance(message, AliasSend):
                    alice.send_message(message.from_pid, message.alias, payload)
                elif hurry and isinstance(message, RegSend):
                    alice.send_message(message.from_pid, message.to_name, payload)
                elif hurry and isinstance(message, MonitorP | DemonitorP):
                    alice.send_quickly(type(message), message.from_pid, message.to_proc, message.ref)
                else:
                    alice.send(message, payload)
            except LocalProtocolError as error:
                errors.append(str(error))
            before = alice.bytes_pending
            if index in asks:
                taken = b"".join(alice.data_to_send())
                # The headers of fragments are not counted before they are written.
                assert len(taken) >= before - alice.bytes_pending
                data += taken
        data += sent(alice)
        assert alice.bytes_pending == 0
        return data, errors

    assert written(True) == written(False)


def test_a_message_in_a_hurry_on_a_closed_connection() -> None:
    alice, _ = connected_pair()
    alice.close()
    with pytest.raises(LocalProtocolError, match="SendSender cannot be sent: the connection is closed"):
        alice.send_message(PID, BOB, 1)
    with pytest.raises(LocalProtocolError, match="MonitorP cannot be sent: the connection is closed"):
        alice.send_quickly(MonitorP, PID, BOB, REF)


@pytest.mark.parametrize("kind", [MonitorP, DemonitorP])
@pytest.mark.parametrize("known", [0, 1, 3])
def test_a_monitor_of_a_third_node_ends_the_connection_however_it_is_read(
    kind: type[MonitorP | DemonitorP], known: int
) -> None:
    alice, bob = connected_pair()
    for number in range(known):
        alice.send_quickly(kind, PID, BOB, Reference("carol@host", 1, (number, 2, 3)))
        bob.receive_data(sent(alice))
        assert [type(event) for event in bob.events()] == [Received]
    alice.send_quickly(kind, Pid("carol@host", 1, 0, 1), BOB, REF)
    data = sent(alice)
    assert bob.receive_message(data) is None
    bob.receive_data(data)
    (closed,) = bob.events()
    assert isinstance(closed, Closed)
    assert closed.text.endswith(f"{kind.__name__} for a process of carol@host, but from alice@host")
