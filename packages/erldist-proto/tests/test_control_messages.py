from inspect import get_annotations

import pytest
from erldist_proto import (
    ALTACT_ALIAS,
    ALTACT_NAME,
    ALTACT_PRIO,
    ALTACT_TOKEN,
    OPS,
    AliasSend,
    AliasSendTt,
    AltactSigSend,
    ControlMessage,
    DemonitorP,
    Exit,
    Exit2,
    Exit2Tt,
    ExitTt,
    GroupLeader,
    Link,
    LocalProtocolError,
    MonitorP,
    MonitorPExit,
    PayloadExit,
    PayloadExit2,
    PayloadExit2Tt,
    PayloadExitTt,
    PayloadMonitorPExit,
    RegSend,
    RegSendTt,
    RemoteProtocolError,
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
from erldist_proto._control import parse, serialize
from erldist_proto._flags import DEFAULT_FLAGS
from erldist_proto._incoming import Incoming
from erldist_proto._limits import ConnectionLimits
from etf_codec import Atom, Pid, Reference, Term, encode_bare

A = Pid("alice@host", 85, 0, 1)
B = Pid("bob@host", 90, 0, 2)
NAME = Atom("name")
REF = Reference("alice@host", 1, (1, 2, 3))
MFA = (Atom("m"), Atom("f"), 1)
TOKEN = (0, 1, 2, A, 3)
REASON = (Atom("shutdown"), [1, 2])

# The table of the ERTS document: the class, its tuple, whether a payload follows.
TABLE: list[tuple[ControlMessage, tuple[Term, ...], bool]] = [
    (Link(A, B), (1, A, B), False),
    (Send(B), (2, Atom(""), B), True),
    (Exit(A, B, REASON), (3, A, B, REASON), False),
    (Unlink(A, B), (4, A, B), False),
    (RegSend(A, NAME), (6, A, Atom(""), NAME), True),
    (GroupLeader(A, B), (7, A, B), False),
    (Exit2(A, B, REASON), (8, A, B, REASON), False),
    (SendTt(B, TOKEN), (12, Atom(""), B, TOKEN), True),
    (ExitTt(A, B, TOKEN, REASON), (13, A, B, TOKEN, REASON), False),
    (RegSendTt(A, NAME, TOKEN), (16, A, Atom(""), NAME, TOKEN), True),
    (Exit2Tt(A, B, TOKEN, REASON), (18, A, B, TOKEN, REASON), False),
    (MonitorP(A, NAME, REF), (19, A, NAME, REF), False),
    (DemonitorP(A, B, REF), (20, A, B, REF), False),
    (MonitorPExit(NAME, B, REF, REASON), (21, NAME, B, REF, REASON), False),
    (SendSender(A, B), (22, A, B), True),
    (SendSenderTt(A, B, TOKEN), (23, A, B, TOKEN), True),
    (PayloadExit(A, B), (24, A, B), True),
    (PayloadExitTt(A, B, TOKEN), (25, A, B, TOKEN), True),
    (PayloadExit2(A, B), (26, A, B), True),
    (PayloadExit2Tt(A, B, TOKEN), (27, A, B, TOKEN), True),
    (PayloadMonitorPExit(A, B, REF), (28, A, B, REF), True),
    (SpawnRequest(REF, A, B, MFA, [Atom("link")]), (29, REF, A, B, MFA, [Atom("link")]), True),
    (SpawnRequestTt(REF, A, B, MFA, [], TOKEN), (30, REF, A, B, MFA, [], TOKEN), True),
    (SpawnReply(REF, B, 3, A), (31, REF, B, 3, A), False),
    (SpawnReplyTt(REF, B, 0, Atom("badopt"), TOKEN), (32, REF, B, 0, Atom("badopt"), TOKEN), False),
    (AliasSend(A, REF), (33, A, REF), True),
    (AliasSendTt(A, REF, TOKEN), (34, A, REF, TOKEN), True),
    (UnlinkId(7, A, B), (35, 7, A, B), False),
    (UnlinkIdAck(7, A, B), (36, 7, A, B), False),
    (AltactSigSend(ALTACT_ALIAS, A, REF), (37, 4, A, REF), True),
]
each_row = pytest.mark.parametrize(
    ("message", "term", "has_payload"), TABLE, ids=lambda value: type(value).__name__
)


def test_the_table_is_complete() -> None:
    assert [type(message) for message, _, _ in TABLE] == list(OPS.values())
    assert list(OPS) == sorted(OPS)


@each_row
def test_each_row(message: ControlMessage, term: tuple[Term, ...], has_payload: bool) -> None:
    assert serialize(message) == term
    assert parse(term) == message
    assert message.has_payload == has_payload
    assert OPS[term[0]] is type(message)


@each_row
def test_arities_beside_the_right_one_are_refused(
    message: ControlMessage, term: tuple[Term, ...], has_payload: bool
) -> None:
    with pytest.raises(RemoteProtocolError, match="a tuple of"):
        parse(term[:-1])
    if not isinstance(message, AltactSigSend):
        with pytest.raises(RemoteProtocolError, match="a tuple of"):
            parse((*term, 1))


OWNED = [message for message, _, _ in TABLE if message.owned]


def test_what_must_come_from_a_process_of_the_peer() -> None:
    kinds = {type(message) for message in OWNED}
    assert kinds == {
        *(Link, Unlink, UnlinkId, UnlinkIdAck, MonitorP, DemonitorP, SpawnRequest, SpawnRequestTt),
        *(Exit, ExitTt, PayloadExit, PayloadExitTt, MonitorPExit, PayloadMonitorPExit),
    }


@pytest.mark.parametrize("message", OWNED, ids=lambda message: type(message).__name__)
def test_forged_senders_close(message: ControlMessage) -> None:
    incoming = Incoming("alice@host", DEFAULT_FLAGS, ConnectionLimits(), None)
    term = serialize(message)
    payload = (REASON,) if message.has_payload else ()
    received = incoming.receive(b"\x83D\0" + b"".join(encode_bare((term, *payload), Inline())))
    assert received == (message, REASON if message.has_payload else None)
    forged = list(term)
    forged[1 + list(get_annotations(type(message))).index(message.owned)] = Pid("eve@host", 1, 0, 1)
    with pytest.raises(RemoteProtocolError, match="a process of eve@host, but from alice@host"):
        incoming.receive(b"\x83D\0" + b"".join(encode_bare((tuple(forged), *payload), Inline())))


class Inline(dict[Atom, bytes]):
    def __missing__(self, atom: Atom) -> bytes:
        return atom.wire


@pytest.mark.parametrize("id", [0, -1, 1 << 64])
@pytest.mark.parametrize("kind", [UnlinkId, UnlinkIdAck])
def test_unlink_ids_are_of_64_bits_and_not_0(kind: type[UnlinkId | UnlinkIdAck], id: int) -> None:
    with pytest.raises(RemoteProtocolError, match="id must be"):
        parse((kind.op, id, A, B))
    with pytest.raises(LocalProtocolError, match="id must be"):
        serialize(kind(id, A, B))


@pytest.mark.parametrize("mfa", [(), (NAME, NAME), (NAME, NAME, -1), (NAME, 1, 1), (NAME, NAME, NAME)])
def test_an_mfa_is_checked(mfa: tuple[Term, ...]) -> None:
    with pytest.raises(RemoteProtocolError, match="mfa must be"):
        parse((29, REF, A, B, mfa, []))
    with pytest.raises(RemoteProtocolError, match="mfa must be"):
        parse((30, REF, A, B, mfa, [], TOKEN))


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ((37, 0, A, B), AltactSigSend(0, A, B)),
        ((37, ALTACT_NAME | ALTACT_PRIO, A, NAME), AltactSigSend(9, A, NAME)),
        ((37, ALTACT_TOKEN, A, B, TOKEN), AltactSigSend(2, A, B, TOKEN)),
        ((37, ALTACT_TOKEN, A, B, TOKEN, 1, 2), AltactSigSend(2, A, B, TOKEN)),
        ((37, 1 << 80, A, B), AltactSigSend(1 << 80, A, B)),
    ],
)
def test_altact_takes_what_later_versions_append(term: tuple[Term, ...], message: AltactSigSend) -> None:
    assert parse(term) == message
    assert serialize(message) == term[: len(serialize(message))]


@pytest.mark.parametrize(
    "term",
    [
        (37, ALTACT_ALIAS | ALTACT_NAME, A, NAME),
        (37, ALTACT_ALIAS, A, B),
        (37, ALTACT_NAME, A, REF),
        (37, 0, A, NAME),
        (37, ALTACT_TOKEN, A, B),
        (37, 0, A),
        (37, NAME, A, B),
        (37, 0, NAME, B),
    ],
)
def test_altact_faults(term: tuple[Term, ...]) -> None:
    with pytest.raises(RemoteProtocolError, match="AltactSigSend"):
        parse(term)
