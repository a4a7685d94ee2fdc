"""Which form of a signal a peer understands, by the flags that were negotiated.

The node says what it means with the newest message; this table finds what to send.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from etf_codec import Atom, Pid, Reference, Term

from erldist_proto._control import ControlMessage
from erldist_proto._control_messages import (
    ALTACT_ALIAS,
    ALTACT_EXIT,
    ALTACT_TOKEN,
    AliasSend,
    AliasSendTt,
    AltactSigSend,
    DemonitorP,
    Exit,
    Exit2,
    Exit2Tt,
    ExitTt,
    MonitorP,
    MonitorPExit,
    PayloadExit,
    PayloadExit2,
    PayloadExit2Tt,
    PayloadExitTt,
    PayloadMonitorPExit,
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
from erldist_proto._errors import LocalProtocolError
from erldist_proto._flags import DistFlags

Signal = tuple[ControlMessage, Term]
Convert = Callable[[Any, Term], Signal | None]
"""Takes a message and its payload; returns what to send in its place, None for nothing."""


def _plain_altact(message: AltactSigSend, payload: Term) -> Signal | None:
    """A priority signal as an ordinary one; an exit through an alias or a name has no ordinary form."""
    sender, to, token = message.from_pid, message.to, message.token
    traced = message.flags & ALTACT_TOKEN
    match message.flags & ALTACT_EXIT, to:
        case 0, Pid():
            return (SendSenderTt(sender, to, token) if traced else SendSender(sender, to)), payload
        case 0, Atom():
            return (RegSendTt(sender, to, token) if traced else RegSend(sender, to)), payload
        case 0, Reference():
            return (AliasSendTt(sender, to, token) if traced else AliasSend(sender, to)), payload
        case _, Pid():
            return (PayloadExit2Tt(sender, to, token) if traced else PayloadExit2(sender, to)), payload
    return None


def _refuse(message: ControlMessage, payload: Term) -> Signal | None:
    raise LocalProtocolError(
        f"{type(message).__name__} was not negotiated: the peer would close the connection"
    )


def _nothing(message: ControlMessage, payload: Term) -> Signal | None:
    return None


def _monitor_by_name(message: MonitorP | DemonitorP, payload: Term) -> Signal | None:
    return _refuse(message, payload) if isinstance(message.to_proc, Atom) else (message, payload)


OLDER: Final[Mapping[type[ControlMessage], tuple[DistFlags, Convert]]] = {
    MonitorP: (DistFlags.DIST_MONITOR, _refuse),
    DemonitorP: (DistFlags.DIST_MONITOR, _refuse),
    SendSender: (DistFlags.SEND_SENDER, lambda m, payload: (Send(m.to_pid), payload)),
    SendSenderTt: (DistFlags.SEND_SENDER, lambda m, payload: (SendTt(m.to_pid, m.token), payload)),
    PayloadExit: (DistFlags.EXIT_PAYLOAD, lambda m, reason: (Exit(m.from_pid, m.to_pid, reason), None)),
    PayloadExitTt: (
        DistFlags.EXIT_PAYLOAD,
        lambda m, reason: (ExitTt(m.from_pid, m.to_pid, m.token, reason), None),
    ),
    PayloadExit2: (DistFlags.EXIT_PAYLOAD, lambda m, reason: (Exit2(m.from_pid, m.to_pid, reason), None)),
    PayloadExit2Tt: (
        DistFlags.EXIT_PAYLOAD,
        lambda m, reason: (Exit2Tt(m.from_pid, m.to_pid, m.token, reason), None),
    ),
    PayloadMonitorPExit: (
        DistFlags.EXIT_PAYLOAD,
        lambda m, reason: (MonitorPExit(m.from_proc, m.to_pid, m.ref, reason), None),
    ),
    SpawnRequest: (DistFlags.SPAWN, _refuse),
    SpawnRequestTt: (DistFlags.SPAWN, _refuse),
    SpawnReply: (DistFlags.SPAWN, _refuse),
    SpawnReplyTt: (DistFlags.SPAWN, _refuse),
    AliasSend: (DistFlags.ALIAS, _refuse),
    AliasSendTt: (DistFlags.ALIAS, _refuse),
    UnlinkId: (DistFlags.UNLINK_ID, lambda m, _: (Unlink(m.from_pid, m.to_pid), None)),
    UnlinkIdAck: (DistFlags.UNLINK_ID, _nothing),
    AltactSigSend: (DistFlags.ALTACT_SIG, _plain_altact),
}
"""A message's flag, and what to do without it."""

NEWER: Final[Mapping[type[ControlMessage], tuple[DistFlags, Convert]]] = {
    Unlink: (DistFlags.UNLINK_ID, _refuse),
}
"""A message's successor's flag, and what to do where it was negotiated."""

ALTACT: Final[Mapping[type[ControlMessage], Convert]] = {
    AliasSend: lambda m, payload: (AltactSigSend(ALTACT_ALIAS, m.from_pid, m.alias), payload),
    AliasSendTt: lambda m, payload: (
        AltactSigSend(ALTACT_ALIAS | ALTACT_TOKEN, m.from_pid, m.alias, m.token),
        payload,
    ),
}
"""What a peer gets that knows aliases by ALTACT_SIG only. One that knows ALIAS, too, gets the older message,
which costs both sides half as much: OTP 28 and 29 take either."""


def conversions(flags: DistFlags) -> dict[type[ControlMessage], Convert]:
    """What must be converted on a connection with these flags; the other messages go as they are."""
    table: dict[type[ControlMessage], Convert] = {}
    if DistFlags.DIST_MONITOR_NAME not in flags:
        table[MonitorP] = table[DemonitorP] = _monitor_by_name
    for message, (flag, convert) in OLDER.items():
        if flag not in flags:
            table[message] = convert
    for message, (flag, convert) in NEWER.items():
        if flag in flags:
            table[message] = convert
    if DistFlags.ALTACT_SIG in flags and DistFlags.ALIAS not in flags:
        table.update(ALTACT)
    return table
