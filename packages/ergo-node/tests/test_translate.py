"""Signals and control messages, both ways: `A` is a process of the peer, `B` one of ours."""

import erldist_proto as dist
import pytest
from ergo_node._translate import FLAGS, FROM_WIRE, TO_WIRE, FromWire, NotSupported, to_wire
from erldist_proto import ControlMessage, DistFlags
from etf_codec import Atom, Pid, Reference, Term
from otp_behaviors import (
    AliasSignal,
    DemonitorSignal,
    DownSignal,
    ExitSignal,
    GroupLeaderSignal,
    LinkSignal,
    MessageSignal,
    MonitorSignal,
    RemoteName,
    Signal,
    SpawnReplySignal,
    SpawnSignal,
    UnlinkAckSignal,
    UnlinkSignal,
)

US, PEER = "us@host", "peer@host"
A, B = Pid(PEER, 1, 0, 7), Pid(US, 2, 0, 8)
REF = Reference(PEER, 7, (1, 2, 3))
OURS = Reference(US, 8, (4, 5, 6))
MFA, LINK = (Atom("m"), Atom("f"), 1), Atom("link")
REG, TOKEN, WHY, HELLO = Atom("reg"), Atom("token"), Atom("why"), [Atom("hello"), 1]
OTP_22 = FLAGS & ~(DistFlags.ALIAS | DistFlags.ALTACT_SIG | DistFlags.UNLINK_ID | DistFlags.V4_NC)

RECEIVED: list[tuple[ControlMessage, Term, Signal | None]] = [
    (dist.Link(A, B), None, LinkSignal(A, B)),
    (dist.Send(B), HELLO, MessageSignal(B, B, HELLO)),
    (dist.Exit(A, B, WHY), None, ExitSignal(A, B, WHY, linked=True)),
    (dist.Unlink(A, B), None, UnlinkSignal(A, B, 0)),
    (dist.RegSend(A, REG), HELLO, MessageSignal(A, RemoteName("reg", US), HELLO)),
    (dist.GroupLeader(A, B), None, GroupLeaderSignal(None, B, A)),
    (dist.Exit2(A, B, WHY), None, ExitSignal(A, B, WHY, linked=False)),
    (dist.SendTt(B, TOKEN), HELLO, MessageSignal(B, B, HELLO)),
    (dist.ExitTt(A, B, TOKEN, WHY), None, ExitSignal(A, B, WHY, linked=True)),
    (dist.RegSendTt(A, REG, TOKEN), HELLO, MessageSignal(A, RemoteName("reg", US), HELLO)),
    (dist.Exit2Tt(A, B, TOKEN, WHY), None, ExitSignal(A, B, WHY, linked=False)),
    (dist.MonitorP(A, B, REF), None, MonitorSignal(A, B, REF)),
    (dist.MonitorP(A, REG, REF), None, MonitorSignal(A, RemoteName("reg", US), REF)),
    (dist.DemonitorP(A, B, REF), None, DemonitorSignal(A, B, REF)),
    (dist.DemonitorP(A, REG, REF), None, DemonitorSignal(A, RemoteName("reg", US), REF)),
    (dist.MonitorPExit(A, B, OURS, WHY), None, DownSignal(A, B, OURS, WHY)),
    (dist.MonitorPExit(REG, B, OURS, WHY), None, DownSignal(RemoteName("reg", PEER), B, OURS, WHY)),
    (dist.SendSender(A, B), HELLO, MessageSignal(A, B, HELLO)),
    (dist.SendSenderTt(A, B, TOKEN), HELLO, MessageSignal(A, B, HELLO)),
    (dist.PayloadExit(A, B), WHY, ExitSignal(A, B, WHY, linked=True)),
    (dist.PayloadExitTt(A, B, TOKEN), WHY, ExitSignal(A, B, WHY, linked=True)),
    (dist.PayloadExit2(A, B), WHY, ExitSignal(A, B, WHY, linked=False)),
    (dist.PayloadExit2Tt(A, B, TOKEN), WHY, ExitSignal(A, B, WHY, linked=False)),
    (dist.PayloadMonitorPExit(A, B, OURS), WHY, DownSignal(A, B, OURS, WHY)),
    (dist.PayloadMonitorPExit(REG, B, OURS), WHY, DownSignal(RemoteName("reg", PEER), B, OURS, WHY)),
    (dist.AliasSend(A, OURS), HELLO, AliasSignal(A, OURS, HELLO)),
    (dist.AliasSendTt(A, OURS, TOKEN), HELLO, AliasSignal(A, OURS, HELLO)),
    (dist.UnlinkId(9, A, B), None, UnlinkSignal(A, B, 9)),
    (dist.UnlinkIdAck(9, A, B), None, UnlinkAckSignal(A, B, 9)),
    (dist.AltactSigSend(0, A, B), HELLO, MessageSignal(A, B, HELLO)),
    (
        dist.AltactSigSend(dist.ALTACT_NAME, A, REG),
        HELLO,
        MessageSignal(A, RemoteName("reg", US), HELLO),
    ),
    (dist.AltactSigSend(0, A, OURS), HELLO, AliasSignal(A, OURS, HELLO)),
    (dist.AltactSigSend(dist.ALTACT_EXIT, A, B), WHY, ExitSignal(A, B, WHY, linked=False)),
    (dist.AltactSigSend(dist.ALTACT_EXIT | dist.ALTACT_NAME, A, REG), WHY, None),
    (dist.SpawnRequest(REF, A, A, MFA, [LINK]), [1], SpawnSignal(A, US, REF, A, MFA, [LINK], [1])),
    (dist.SpawnRequestTt(REF, A, A, MFA, [], TOKEN), [1], SpawnSignal(A, US, REF, A, MFA, [], [1])),
    (dist.SpawnReply(OURS, B, 0, REG), None, SpawnReplySignal(B, OURS, False, False, REG)),
    (dist.SpawnReply(OURS, B, 1, A), None, SpawnReplySignal(B, OURS, True, False, A)),
    (dist.SpawnReplyTt(OURS, B, 2, A, TOKEN), None, SpawnReplySignal(B, OURS, False, True, A)),
]

SENT: list[tuple[Signal, DistFlags, ControlMessage, Term]] = [
    (MessageSignal(A, B, HELLO), FLAGS, dist.SendSender(A, B), HELLO),
    (MessageSignal(A, RemoteName("reg", US), HELLO), FLAGS, dist.RegSend(A, REG), HELLO),
    (AliasSignal(A, OURS, HELLO, B), FLAGS, dist.AliasSend(A, OURS), HELLO),
    (AliasSignal(A, OURS, HELLO, B), OTP_22, dist.SendSender(A, B), HELLO),
    (AliasSignal(A, OURS, HELLO, B), OTP_22 | DistFlags.ALTACT_SIG, dist.AliasSend(A, OURS), HELLO),
    (AliasSignal(A, OURS, HELLO), OTP_22, dist.AliasSend(A, OURS), HELLO),
    (LinkSignal(A, B), FLAGS, dist.Link(A, B), None),
    (UnlinkSignal(A, B, 9), FLAGS, dist.UnlinkId(9, A, B), None),
    (UnlinkAckSignal(A, B, 9), FLAGS, dist.UnlinkIdAck(9, A, B), None),
    (ExitSignal(A, B, WHY, linked=True), FLAGS, dist.PayloadExit(A, B), WHY),
    (ExitSignal(A, B, WHY, linked=False), FLAGS, dist.PayloadExit2(A, B), WHY),
    (MonitorSignal(A, B, REF), FLAGS, dist.MonitorP(A, B, REF), None),
    (MonitorSignal(A, RemoteName("reg", US), REF), FLAGS, dist.MonitorP(A, REG, REF), None),
    (DemonitorSignal(A, B, REF), FLAGS, dist.DemonitorP(A, B, REF), None),
    (DemonitorSignal(A, RemoteName("reg", US), REF), FLAGS, dist.DemonitorP(A, REG, REF), None),
    (DownSignal(A, B, OURS, WHY), FLAGS, dist.PayloadMonitorPExit(A, B, OURS), WHY),
    (
        DownSignal(RemoteName("reg", PEER), B, OURS, WHY),
        FLAGS,
        dist.PayloadMonitorPExit(REG, B, OURS),
        WHY,
    ),
    (GroupLeaderSignal(None, B, A), FLAGS, dist.GroupLeader(A, B), None),
    (SpawnSignal(A, US, REF, A, MFA, [LINK], [1]), FLAGS, dist.SpawnRequest(REF, A, A, MFA, [LINK]), [1]),
    (SpawnReplySignal(B, OURS, True, True, A), FLAGS, dist.SpawnReply(OURS, B, 3, A), None),
    (SpawnReplySignal(B, OURS, False, False, REG), FLAGS, dist.SpawnReply(OURS, B, 0, REG), None),
]


@pytest.mark.parametrize(("message", "payload", "signal"), RECEIVED, ids=lambda each: type(each).__name__)
def test_from_wire(message: ControlMessage, payload: Term, signal: Signal | None) -> None:
    assert FromWire(US, PEER).signal(message, payload) == signal


@pytest.mark.parametrize(("signal", "flags", "message", "payload"), SENT)
def test_to_wire(signal: Signal, flags: DistFlags, message: ControlMessage, payload: Term) -> None:
    assert to_wire(flags)[type(signal)](signal) == (message, payload)


@pytest.mark.parametrize(("signal", "flags"), [row[:2] for row in SENT])
def test_what_is_sent_arrives(signal: Signal, flags: DistFlags) -> None:
    """The two tables are inverse, but for the alias's owner, who does not travel."""
    arrived = FromWire(US, PEER).signal(*to_wire(flags)[type(signal)](signal))
    if isinstance(signal, AliasSignal):
        assert isinstance(arrived, AliasSignal | MessageSignal)
        assert (arrived.sender, arrived.message) == (signal.sender, signal.message)
    else:
        assert arrived == signal


def test_every_row_is_tested() -> None:
    assert {type(message) for message, _, _ in RECEIVED} == FROM_WIRE.keys()
    assert {type(signal) for signal, _, _, _ in SENT} == TO_WIRE.keys()


def test_a_peer_without_spawn_requests() -> None:
    with pytest.raises(NotSupported, match="us@host takes no spawn requests"):
        to_wire(FLAGS & ~DistFlags.SPAWN)[SpawnSignal](SpawnSignal(A, US, REF, A, MFA, [], []))


def test_all_that_erldist_proto_can_do_is_offered() -> None:
    assert FLAGS == dist.DEFAULT_FLAGS
