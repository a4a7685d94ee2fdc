"""A sender's signals stay in order; other senders do not wait for its large messages."""

from hashlib import md5

import pytest
from erldist_proto import (
    Closed,
    Connection,
    ControlMessage,
    Link,
    PayloadMonitorPExit,
    Received,
    RegSend,
    Send,
    SendSender,
    SpawnReply,
    Ticked,
    UnlinkIdAck,
)
from erldist_proto._control import OPS
from erldist_proto._fragments import FRAGMENT_BYTES
from erldist_proto._turns import HANDOUT_BYTES, Turns
from erldist_proto.testing import connected_pair
from etf_codec import Atom, Pid, Reference, Term
from hypothesis import given
from hypothesis import strategies as st

ALICE, CAROL, DAVE = (Pid("alice@host", number, 0, 1) for number in (85, 86, 87))
BOB = Pid("bob@host", 90, 0, 2)
REF = Reference("alice@host", 1, (1, 2, 3))
ECHO = Atom("echo")
LARGE = bytes(5_000_000)


def written(sender: Connection) -> bytes:
    """All there is to write, however often one has to ask."""
    data = b""
    while buffers := sender.data_to_send():
        data += b"".join(buffers)
    return data


def arrived(sender: Connection, receiver: Connection) -> list[tuple[ControlMessage, Term]]:
    receiver.receive_data(written(sender))
    events = receiver.events()
    assert all(isinstance(event, Received) for event in events), events
    return [(event.message, event.payload) for event in events if isinstance(event, Received)]


def test_others_do_not_wait_for_a_large_message() -> None:
    alice, bob = connected_pair()
    alice.send(RegSend(ALICE, ECHO), LARGE)
    bob.receive_data(b"".join(alice.data_to_send()))
    alice.send(RegSend(CAROL, ECHO), Atom("small"))
    assert arrived(alice, bob) == [(RegSend(CAROL, ECHO), Atom("small")), (RegSend(ALICE, ECHO), LARGE)]


def test_what_the_sender_of_a_large_message_sends_next_waits_for_it() -> None:
    alice, bob = connected_pair()
    expected = [
        (RegSend(ALICE, ECHO), LARGE),
        (SendSender(ALICE, BOB), Atom("new")),
        (Link(ALICE, BOB), None),
        (RegSend(ALICE, ECHO), LARGE + b"second"),
        (UnlinkIdAck(7, ALICE, BOB), None),
        (SpawnReply(REF, BOB, 0, ALICE), None),
        (PayloadMonitorPExit(ALICE, BOB, REF), Atom("normal")),
    ]
    for message, payload in expected:
        alice.send(message, payload)
    assert arrived(alice, bob) == expected
    alice.send(Link(ALICE, BOB))
    assert len(alice.data_to_send()) == 1


def test_large_messages_take_turns() -> None:
    alice, bob = connected_pair()
    for sender in (ALICE, CAROL, DAVE):
        alice.send(RegSend(sender, ECHO), bytes(20 * FRAGMENT_BYTES))
    alice.send(RegSend(DAVE, ECHO), 1)
    started = b"".join(alice.data_to_send())
    assert HANDOUT_BYTES <= len(started) <= HANDOUT_BYTES + FRAGMENT_BYTES
    assert started.count(b"\x83E\0\0\0\0\0\0\0") == 3
    bob.receive_data(started)
    order = [message for message, _ in arrived(alice, bob)]
    assert order == [RegSend(sender, ECHO) for sender in (ALICE, CAROL, DAVE, DAVE)]


@pytest.mark.parametrize(
    "anonymous", [Send(BOB), PayloadMonitorPExit(ECHO, BOB, REF), SpawnReply(REF, BOB, 0, Atom("badopt"))]
)
def test_a_signal_of_an_unknown_sender_keeps_its_place(anonymous: ControlMessage) -> None:
    alice, bob = connected_pair()
    payload = 1 if anonymous.has_payload else None
    expected: list[tuple[ControlMessage, Term]] = [
        (RegSend(ALICE, ECHO), LARGE),
        (anonymous, payload),
        (anonymous, payload),
        (RegSend(CAROL, ECHO), 2),
        (RegSend(DAVE, ECHO), LARGE),
        (RegSend(DAVE, ECHO), 3),
    ]
    for message, content in expected:
        alice.send(message, content)
    assert arrived(alice, bob) == expected


def test_a_large_message_of_an_unknown_sender_holds_up_all() -> None:
    alice, bob = connected_pair()
    expected = [(Send(BOB), LARGE), (RegSend(CAROL, ECHO), 2), (Send(BOB), 3)]
    for message, content in expected:
        alice.send(message, content)
    assert arrived(alice, bob) == expected


def test_a_large_binary_is_still_not_copied() -> None:
    alice, _ = connected_pair()
    alice.send(RegSend(ALICE, ECHO), LARGE)
    own = 0
    while buffers := alice.data_to_send():
        own += sum(len(piece) for piece in buffers if isinstance(piece, memoryview) and piece.obj is LARGE)
    assert own == len(LARGE)


def test_closing_writes_all_of_it_in_order() -> None:
    alice, bob = connected_pair()
    alice.send(RegSend(ALICE, ECHO), LARGE)
    alice.send(RegSend(ALICE, ECHO), 1)
    alice.close()
    assert isinstance(alice.events()[-1], Closed)
    bob.receive_data(b"".join(alice.data_to_send()))
    assert [event.payload for event in bob.events() if isinstance(event, Received)] == [LARGE, 1]
    assert alice.bytes_pending == 0
    assert alice.data_to_send() == []


def test_no_tick_while_fragments_wait() -> None:
    alice, bob = connected_pair()
    alice.send(RegSend(ALICE, ECHO), LARGE)
    for second in range(15, 120, 15):
        alice.receive_data(bytes(4))
        alice.handle_time(float(second))
        bob.handle_time(float(second))
        bob.receive_data(b"".join(alice.data_to_send()))
    bob.receive_data(written(alice))
    assert [type(event) for event in bob.events()] == [Received]
    alice.handle_time(120.0)
    assert alice.data_to_send() == []
    alice.handle_time(135.0)
    bob.receive_data(written(alice))
    assert bob.events() == [Ticked()]


def test_every_message_knows_its_sender() -> None:
    nameless = {cls.__name__ for cls in OPS.values() if not cls.sender}
    assert nameless == {"Send", "SendTt"}


def test_nothing_waits_without_a_message() -> None:
    turns = Turns()
    assert not turns.holds(ALICE)
    assert not turns.holds(None)
    assert turns.take() == turns.take(None) == []


SENDERS = st.sampled_from([ALICE, CAROL, DAVE, None])
SIZES = st.sampled_from([1, 100, FRAGMENT_BYTES, 3 * FRAGMENT_BYTES, 9 * FRAGMENT_BYTES])


@given(st.lists(st.tuples(SENDERS, SIZES, st.integers(0, 40), st.booleans()), max_size=25))
def test_any_interleaving_keeps_the_order_of_each_sender(
    steps: list[tuple[Pid | None, int, int, bool]],
) -> None:
    alice, bob = connected_pair()
    expected: dict[Pid | None, list[int]] = {}
    seen: dict[Pid | None, list[int]] = {}
    for number, (sender, size, atom, hands_out) in enumerate(steps):
        message = Send(BOB) if sender is None else SendSender(sender, BOB)
        # New atoms in every other message: headers must go out in the order in which they were written.
        alice.send(message, (number, Atom(f"a{atom}"), bytes(size)))
        expected.setdefault(sender, []).append(number)
        if hands_out:
            bob.receive_data(b"".join(alice.data_to_send()))
    bob.receive_data(written(alice))
    events = [event for event in bob.events() if isinstance(event, Received)]
    for event in events:
        number, atom_seen, content = event.payload
        _, size, atom, _ = steps[number]
        assert (atom_seen, len(content)) == (Atom(f"a{atom}"), size)
        seen.setdefault(event.message.sent_by(), []).append(number)
    assert seen == expected
    order = [event.payload[0] for event in events]
    for number, (sender, *_) in enumerate(steps):
        if sender is None:  # it may be anybody's, so it keeps its place among all
            assert set(order[: order.index(number)]) == set(range(number))


def test_md5_of_interleaved_large_messages() -> None:
    alice, bob = connected_pair()
    contents = {sender: bytes(range(256)) * (4000 + sender.id) for sender in (ALICE, CAROL, DAVE)}
    for sender, content in contents.items():
        alice.send(SendSender(sender, BOB), content)
    for message, payload in arrived(alice, bob):
        author = message.sent_by()
        assert author is not None
        assert md5(payload).digest() == md5(contents.pop(author)).digest()
    assert not contents
