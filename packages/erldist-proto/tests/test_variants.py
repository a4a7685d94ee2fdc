import pytest
from erldist_proto import (
    ALTACT_ALIAS,
    ALTACT_EXIT,
    ALTACT_NAME,
    ALTACT_PRIO,
    ALTACT_TOKEN,
    DEFAULT_FLAGS,
    MANDATORY_FLAGS,
    OPS,
    AliasSend,
    AliasSendTt,
    AltactSigSend,
    ControlMessage,
    DemonitorP,
    DistFlags,
    Exit,
    Exit2,
    Exit2Tt,
    ExitTt,
    LocalProtocolError,
    MonitorP,
    MonitorPExit,
    PayloadExit,
    PayloadExit2,
    PayloadExit2Tt,
    PayloadExitTt,
    PayloadMonitorPExit,
    Received,
    RegSend,
    RegSendTt,
    Send,
    SendSender,
    SendSenderTt,
    SendTt,
    SpawnReply,
    SpawnReplyTt,
    SpawnRequest,
    SpawnRequestTt,
    Unlink,
    UnlinkId,
    UnlinkIdAck,
)
from erldist_proto.testing import connected_pair, exchange
from etf_codec import Atom, Pid, Reference, Term

A = Pid("alice@host", 85, 0, 1)
B = Pid("bob@host", 90, 0, 2)
NAME = Atom("name")
REF = Reference("alice@host", 1, (1, 2, 3))
MFA = (Atom("m"), Atom("f"), 1)
TOKEN = (0, 1, 2, A, 3)
REASON = (Atom("shutdown"), [1, 2])
ALTACT = DistFlags.ALTACT_SIG


def over_the_wire(without: DistFlags, message: ControlMessage, payload: Term = None) -> list[Received]:
    """What arrives at a peer that does not have these flags."""
    alice, bob = connected_pair(second_flags=DEFAULT_FLAGS & ~without)
    alice.send(message, payload)
    exchange(alice, bob)
    return [event for event in bob.events() if isinstance(event, Received)]


@pytest.mark.parametrize(
    ("without", "meant", "payload", "arrives", "with_payload"),
    [
        (DistFlags.SEND_SENDER, SendSender(A, B), 1, Send(B), 1),
        (DistFlags.SEND_SENDER, SendSenderTt(A, B, TOKEN), 1, SendTt(B, TOKEN), 1),
        (DistFlags.EXIT_PAYLOAD, PayloadExit(A, B), REASON, Exit(A, B, REASON), None),
        (DistFlags.EXIT_PAYLOAD, PayloadExitTt(A, B, TOKEN), REASON, ExitTt(A, B, TOKEN, REASON), None),
        (DistFlags.EXIT_PAYLOAD, PayloadExit2(A, B), REASON, Exit2(A, B, REASON), None),
        (DistFlags.EXIT_PAYLOAD, PayloadExit2Tt(A, B, TOKEN), REASON, Exit2Tt(A, B, TOKEN, REASON), None),
        (
            *(DistFlags.EXIT_PAYLOAD, PayloadMonitorPExit(NAME, B, REF), REASON),
            *(MonitorPExit(NAME, B, REF, REASON), None),
        ),
        (DistFlags.UNLINK_ID, UnlinkId(7, A, B), None, Unlink(A, B), None),
        (DistFlags.ALIAS, AliasSend(A, REF), 1, AltactSigSend(ALTACT_ALIAS, A, REF), 1),
        (DistFlags.ALIAS, AliasSendTt(A, REF, TOKEN), 1, AltactSigSend(6, A, REF, TOKEN), 1),
        (ALTACT, AliasSend(A, REF), 1, AliasSend(A, REF), 1),
        (ALTACT, AltactSigSend(ALTACT_PRIO, A, B), 1, SendSender(A, B), 1),
        (ALTACT | DistFlags.SEND_SENDER, AltactSigSend(ALTACT_PRIO, A, B), 1, Send(B), 1),
        (ALTACT, AltactSigSend(ALTACT_PRIO | ALTACT_NAME, A, NAME), 1, RegSend(A, NAME), 1),
        (ALTACT, AltactSigSend(ALTACT_PRIO | ALTACT_ALIAS, A, REF), 1, AliasSend(A, REF), 1),
        (ALTACT, AltactSigSend(ALTACT_EXIT, A, B), REASON, PayloadExit2(A, B), REASON),
        (ALTACT, AltactSigSend(ALTACT_TOKEN, A, B, TOKEN), 1, SendSenderTt(A, B, TOKEN), 1),
        (ALTACT, AltactSigSend(10, A, NAME, TOKEN), 1, RegSendTt(A, NAME, TOKEN), 1),
        (ALTACT, AltactSigSend(6, A, REF, TOKEN), 1, AliasSendTt(A, REF, TOKEN), 1),
        (ALTACT, AltactSigSend(18, A, B, TOKEN), REASON, PayloadExit2Tt(A, B, TOKEN), REASON),
    ],
    ids=str,
)
def test_what_arrives_at_an_older_peer(
    without: DistFlags, meant: ControlMessage, payload: Term, arrives: ControlMessage, with_payload: Term
) -> None:
    assert over_the_wire(without, meant, payload) == [Received(arrives, with_payload)]


@pytest.mark.parametrize(
    ("without", "meant", "payload"),
    [
        (DistFlags.UNLINK_ID, UnlinkIdAck(7, A, B), None),
        (ALTACT, AltactSigSend(ALTACT_EXIT | ALTACT_ALIAS, A, REF), REASON),
        (ALTACT, AltactSigSend(ALTACT_EXIT | ALTACT_NAME, A, NAME), REASON),
    ],
)
def test_what_an_older_peer_is_not_told(without: DistFlags, meant: ControlMessage, payload: Term) -> None:
    assert over_the_wire(without, meant, payload) == []


@pytest.mark.parametrize(
    ("without", "message", "payload"),
    [
        (DistFlags(0), Unlink(A, B), None),
        (DistFlags.DIST_MONITOR, MonitorP(A, B, REF), None),
        (DistFlags.DIST_MONITOR, DemonitorP(A, B, REF), None),
        (DistFlags.DIST_MONITOR_NAME, MonitorP(A, NAME, REF), None),
        (DistFlags.DIST_MONITOR_NAME, DemonitorP(A, NAME, REF), None),
        (DistFlags.SPAWN, SpawnRequest(REF, A, B, MFA, []), [1]),
        (DistFlags.SPAWN, SpawnRequestTt(REF, A, B, MFA, [], TOKEN), [1]),
        (DistFlags.SPAWN, SpawnReply(REF, B, 0, A), None),
        (DistFlags.SPAWN, SpawnReplyTt(REF, B, 0, A, TOKEN), None),
        (ALTACT | DistFlags.ALIAS, AliasSend(A, REF), 1),
        (ALTACT | DistFlags.ALIAS, AliasSendTt(A, REF, TOKEN), 1),
    ],
)
def test_what_has_no_older_form_is_refused(
    without: DistFlags, message: ControlMessage, payload: Term
) -> None:
    with pytest.raises(LocalProtocolError, match="was not negotiated"):
        over_the_wire(without, message, payload)


def test_a_process_may_be_monitored_where_a_name_may_not() -> None:
    message = MonitorP(A, B, REF)
    assert over_the_wire(DistFlags.DIST_MONITOR_NAME, message) == [Received(message, None)]


def test_aliases_go_by_altact_where_only_that_was_negotiated() -> None:
    arrived = over_the_wire(DistFlags.ALIAS, AliasSend(A, REF), 1)
    assert arrived == [Received(AltactSigSend(ALTACT_ALIAS, A, REF), 1)]


def test_a_peer_with_the_least_flags_is_sent_only_what_it_knows() -> None:
    """Each message arrives in an old form, is dropped, or is refused: none closes the connection."""
    old = MANDATORY_FLAGS | DistFlags.DIST_MONITOR | DistFlags.DIST_MONITOR_NAME
    alice, bob = connected_pair(second_flags=old)
    fields: dict[str, Term] = {
        "from_pid": A,
        "to_pid": B,
        "to_name": NAME,
        "to_proc": B,
        "from_proc": A,
        "ref": REF,
        "to": B,
    }
    fields |= {"reason": REASON, "token": TOKEN, "mfa": MFA, "options": [], "group_leader": A, "id": 1}
    fields |= {"flags": 0, "result": A, "alias": REF}
    for kind in OPS.values():
        message = kind(**{name: fields[name] for name in fields if name in kind.__slots__})
        try:
            alice.send(message, REASON if kind.has_payload else None)
        except LocalProtocolError as refused:
            assert "not negotiated" in str(refused)  # noqa: PT017  # most kinds are not refused
    exchange(alice, bob)
    arrived = {event.message.op for event in bob.events() if isinstance(event, Received)}
    assert arrived == {1, 2, 3, 4, 6, 7, 8, 12, 13, 16, 18, 19, 20, 21}
