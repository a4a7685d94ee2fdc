from inspect import get_annotations

import pytest
from erldist_proto import (
    OPS,
    ControlMessage,
    Link,
    LocalProtocolError,
    MonitorP,
    RegSend,
    RemoteProtocolError,
    Send,
    SendSender,
)
from erldist_proto._control import parse, serialize
from etf_codec import Atom, ImproperList, Pid, Reference, Term

ALICE = Pid("alice@host", 85, 0, 1)
BOB = Pid("bob@host", 90, 0, 2)
REF = Reference("alice@host", 1, (1, 2, 3))


def test_fields_are_in_wire_order() -> None:
    assert serialize(MonitorP(ALICE, Atom("x"), REF)) == (19, ALICE, Atom("x"), REF)
    assert serialize(RegSend(ALICE, Atom("x"))) == (6, ALICE, Atom(""), Atom("x"))
    assert serialize(Send(BOB)) == (2, Atom(""), BOB)


def test_what_old_nodes_put_into_unused_is_not_kept() -> None:
    assert parse((2, Atom("cookie"), BOB)) == Send(BOB)


def test_messages_are_values() -> None:
    assert Link(ALICE, BOB) == Link(ALICE, BOB) != Link(BOB, ALICE)
    assert len({Link(ALICE, BOB), SendSender(ALICE, BOB)}) == 2
    assert len({Link(ALICE, BOB), Link(ALICE, BOB)}) == 1
    assert repr(Send(BOB)) == f"Send(to_pid={BOB!r})"
    match parse((1, ALICE, BOB)):
        case Link(from_pid, to_pid):
            assert (from_pid, to_pid) == (ALICE, BOB)
        case other:
            pytest.fail(f"parsed as {other}")


@pytest.mark.parametrize(
    ("term", "hint"),
    [
        ((), "no tuple"),
        ([1, ALICE, BOB], "no tuple"),
        (Atom("x"), "no tuple"),
        (7, "no tuple"),
        (ImproperList([1], 2), "no tuple"),
        ((Atom("x"), ALICE, BOB), "no tuple"),
        ((True, ALICE, BOB), "no tuple"),
        ((1.0, ALICE, BOB), "no tuple"),
        (([], ALICE, BOB), "no tuple"),
        ((0,), "unknown operation 0"),
        ((5,), "unknown operation 5"),
        ((-1, ALICE), "unknown operation -1"),
        ((1 << 100_000, ALICE), "unknown operation of 100001 bits"),
        ((1, ALICE), "Link: a tuple of 2 elements, it must have 3"),
        ((1, ALICE, BOB, 1), "Link: a tuple of 4 elements, it must have 3"),
        ((1, ALICE, Atom("x")), "Link: to_pid is of type Atom, it must be Pid"),
        ((19, ALICE, 7, REF), "MonitorP: to_proc is of type int, it must be Pid or Atom"),
        ((19, ALICE, BOB, BOB), "MonitorP: ref is of type Pid, it must be Reference"),
    ],
)
def test_faults_of_the_peer_say_what_is_wrong(term: Term, hint: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        parse(term)
    assert hint in str(caught.value)


@pytest.mark.parametrize("message", OPS.values(), ids=lambda cls: cls.__name__)
def test_our_own_faults_are_found_before_they_are_sent(message: type[ControlMessage]) -> None:
    names = [name for name in get_annotations(message) if name != "unused"]
    with pytest.raises(LocalProtocolError):
        serialize(message(*[object] * len(names)))
