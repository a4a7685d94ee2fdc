"""Control messages of the wire and signals of the kernel: the one file that knows both vocabularies.

Two tables, one for each direction. The choice among older and newer forms of a message is the connection's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import erldist_proto as dist
from erldist_proto import Connection, ControlMessage, DistFlags
from etf_codec import Atom, EtfError, Pid, Reference, Term
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

from ergo_node._identifiers import Identifiers

Wired = tuple[ControlMessage, Term]


class NotSupported(EtfError):
    """The peer has no form for a signal: it lacks the capability flag."""


def _named(to: Pid | RemoteName) -> Pid | Atom:
    return to if isinstance(to, Pid) else Atom(to.name)


def _message(signal: MessageSignal) -> Wired:
    to = signal.to
    if type(to) is Pid:
        return dist.SendSender(signal.sender, to), signal.message
    return dist.RegSend(signal.sender, Atom(to.name)), signal.message


def _alias(signal: AliasSignal) -> Wired:
    return dist.AliasSend(signal.sender, signal.alias), signal.message


def _alias_unknown(signal: AliasSignal) -> Wired:
    if signal.owner is None:
        return _alias(signal)
    return dist.SendSender(signal.sender, signal.owner), signal.message


def _exit(signal: ExitSignal) -> Wired:
    kind = dist.PayloadExit if signal.linked else dist.PayloadExit2
    return kind(signal.sender, signal.to), signal.reason


def _spawn_unknown(signal: SpawnSignal) -> Wired:
    raise NotSupported(f"{signal.node} takes no spawn requests")


def _spawn(signal: SpawnSignal) -> Wired:
    request = dist.SpawnRequest(signal.ref, signal.sender, signal.group_leader, signal.mfa, signal.options)
    return request, signal.args


def _spawn_reply(signal: SpawnReplySignal) -> Wired:
    reply_flags = signal.linked | signal.monitored << 1
    return dist.SpawnReply(signal.ref, signal.to, reply_flags, signal.result), None


Writers: TypeAlias = dict[type[Signal], Callable[[Any], Wired]]

TO_WIRE: Final[Writers] = {
    MessageSignal: _message,
    AliasSignal: _alias,
    LinkSignal: lambda s: (dist.Link(s.sender, s.to), None),
    UnlinkSignal: lambda s: (dist.UnlinkId(s.id, s.sender, s.to), None),
    UnlinkAckSignal: lambda s: (dist.UnlinkIdAck(s.id, s.sender, s.to), None),
    ExitSignal: _exit,
    MonitorSignal: lambda s: (dist.MonitorP(s.sender, _named(s.to), s.ref), None),
    DemonitorSignal: lambda s: (dist.DemonitorP(s.sender, _named(s.to), s.ref), None),
    DownSignal: lambda s: (dist.PayloadMonitorPExit(_named(s.sender), s.to, s.ref), s.reason),
    GroupLeaderSignal: lambda s: (dist.GroupLeader(s.leader, s.to), None),
    SpawnSignal: _spawn,
    SpawnReplySignal: _spawn_reply,
}


def _send_message(connection: Connection, signal: MessageSignal) -> None:
    connection.send_message(signal.sender, _named(signal.to), signal.message)


def _send_to_alias(connection: Connection, signal: AliasSignal) -> None:
    connection.send_message(signal.sender, signal.alias, signal.message)


def _send_monitor(connection: Connection, signal: MonitorSignal) -> None:
    connection.send_quickly(dist.MonitorP, signal.sender, _named(signal.to), signal.ref)


def _send_demonitor(connection: Connection, signal: DemonitorSignal) -> None:
    connection.send_quickly(dist.DemonitorP, signal.sender, _named(signal.to), signal.ref)


Senders: TypeAlias = dict[type[Signal], Callable[[Connection, Any], None]]

DIRECT: Final[Senders] = {
    MessageSignal: _send_message,
    AliasSignal: _send_to_alias,
    MonitorSignal: _send_monitor,
    DemonitorSignal: _send_demonitor,
}
"""What sends the signals of calls, of which no control message need be made."""


def direct(flags: DistFlags) -> Senders:
    """Return what of `DIRECT` there is for a peer with these flags."""
    if flags & (DistFlags.ALIAS | DistFlags.ALTACT_SIG):
        return DIRECT
    return {kind: send for kind, send in DIRECT.items() if kind is not AliasSignal}


def to_wire(flags: DistFlags) -> Writers:
    """Return what writes each kind of signal to a peer with these flags."""
    writers = dict(TO_WIRE)
    if not flags & (DistFlags.ALIAS | DistFlags.ALTACT_SIG):
        writers[AliasSignal] = _alias_unknown
    if DistFlags.SPAWN not in flags:
        writers[SpawnSignal] = _spawn_unknown
    return writers


class FromWire:
    """Turns what a peer sends into signals for our kernel.

    Args:
        node: our name; a registered name in a message means a process of ours.
        peer: the other node's name; a name it reports on means a process of its own.
        identifiers: rewrites those of this node, if its name is another one for the peer.
    """

    __slots__ = ("_node", "_peer", "identifiers")

    def __init__(self, node: str, peer: str, identifiers: Identifiers | None = None) -> None:
        self._node = node
        self._peer = peer
        self.identifiers = identifiers

    def signal(self, message: ControlMessage, payload: Term) -> Signal | None:
        """Return the signal of a control message; None for one that asks nothing of the kernel."""
        convert = FROM_WIRE.get(type(message))
        signal = None if convert is None else convert(self, message, payload)
        return signal if signal is None or self.identifiers is None else self.identifiers.inward(signal)

    def _target(self, to: Pid | Atom) -> Pid | RemoteName:
        return to if isinstance(to, Pid) else RemoteName(to.name, self._node)

    def _reporter(self, who: Pid | Atom) -> Pid | RemoteName:
        return who if isinstance(who, Pid) else RemoteName(who.name, self._peer)

    def _send(self, m: dist.Send, payload: Term) -> Signal:
        return MessageSignal(m.to_pid, m.to_pid, payload)

    def _send_sender(self, m: dist.SendSender, payload: Term) -> Signal:
        return MessageSignal(m.from_pid, m.to_pid, payload)

    def _reg_send(self, m: dist.RegSend, payload: Term) -> Signal:
        return MessageSignal(m.from_pid, RemoteName(m.to_name.name, self._node), payload)

    def _alias_send(self, m: dist.AliasSend, payload: Term) -> Signal:
        return AliasSignal(m.from_pid, m.alias, payload)

    def _altact(self, m: dist.AltactSigSend, payload: Term) -> Signal | None:
        if m.flags & dist.ALTACT_EXIT:
            return ExitSignal(m.from_pid, m.to, payload, False) if isinstance(m.to, Pid) else None
        if isinstance(m.to, Reference):
            return AliasSignal(m.from_pid, m.to, payload)
        return MessageSignal(m.from_pid, self._target(m.to), payload)

    def _exit(self, m: dist.Exit, payload: Term) -> Signal:
        return ExitSignal(m.from_pid, m.to_pid, m.reason, True)

    def _payload_exit(self, m: dist.PayloadExit, payload: Term) -> Signal:
        return ExitSignal(m.from_pid, m.to_pid, payload, True)

    def _exit2(self, m: dist.Exit2, payload: Term) -> Signal:
        return ExitSignal(m.from_pid, m.to_pid, m.reason, False)

    def _payload_exit2(self, m: dist.PayloadExit2, payload: Term) -> Signal:
        return ExitSignal(m.from_pid, m.to_pid, payload, False)

    def _link(self, m: dist.Link, payload: Term) -> Signal:
        return LinkSignal(m.from_pid, m.to_pid)

    def _unlink(self, m: dist.Unlink, payload: Term) -> Signal:
        # OTP 22 knows no ids; the acknowledgement that our side makes is not sent to it.
        return UnlinkSignal(m.from_pid, m.to_pid, 0)

    def _unlink_id(self, m: dist.UnlinkId, payload: Term) -> Signal:
        return UnlinkSignal(m.from_pid, m.to_pid, m.id)

    def _unlink_ack(self, m: dist.UnlinkIdAck, payload: Term) -> Signal:
        return UnlinkAckSignal(m.from_pid, m.to_pid, m.id)

    def _monitor(self, m: dist.MonitorP, payload: Term) -> Signal:
        return MonitorSignal(m.from_pid, self._target(m.to_proc), m.ref)

    def _demonitor(self, m: dist.DemonitorP, payload: Term) -> Signal:
        return DemonitorSignal(m.from_pid, self._target(m.to_proc), m.ref)

    def _down(self, m: dist.MonitorPExit, payload: Term) -> Signal:
        return DownSignal(self._reporter(m.from_proc), m.to_pid, m.ref, m.reason)

    def _payload_down(self, m: dist.PayloadMonitorPExit, payload: Term) -> Signal:
        return DownSignal(self._reporter(m.from_proc), m.to_pid, m.ref, payload)

    def _group_leader(self, m: dist.GroupLeader, payload: Term) -> Signal:
        return GroupLeaderSignal(None, m.to_pid, m.from_pid)

    def _spawn(self, m: dist.SpawnRequest, payload: Term) -> Signal:
        return SpawnSignal(m.from_pid, self._node, m.ref, m.group_leader, m.mfa, m.options, payload)

    def _spawn_reply(self, m: dist.SpawnReply, payload: Term) -> Signal:
        return SpawnReplySignal(m.to_pid, m.ref, bool(m.flags & 1), bool(m.flags & 2), m.result)


FROM_WIRE: Final[dict[type[ControlMessage], Callable[[FromWire, Any, Term], Signal | None]]] = {
    dist.Link: FromWire._link,
    dist.Send: FromWire._send,
    dist.Exit: FromWire._exit,
    dist.Unlink: FromWire._unlink,
    dist.RegSend: FromWire._reg_send,
    dist.GroupLeader: FromWire._group_leader,
    dist.Exit2: FromWire._exit2,
    dist.SendTt: FromWire._send,
    dist.ExitTt: FromWire._exit,
    dist.RegSendTt: FromWire._reg_send,
    dist.Exit2Tt: FromWire._exit2,
    dist.MonitorP: FromWire._monitor,
    dist.DemonitorP: FromWire._demonitor,
    dist.MonitorPExit: FromWire._down,
    dist.SendSender: FromWire._send_sender,
    dist.SendSenderTt: FromWire._send_sender,
    dist.PayloadExit: FromWire._payload_exit,
    dist.PayloadExitTt: FromWire._payload_exit,
    dist.PayloadExit2: FromWire._payload_exit2,
    dist.PayloadExit2Tt: FromWire._payload_exit2,
    dist.PayloadMonitorPExit: FromWire._payload_down,
    dist.AliasSend: FromWire._alias_send,
    dist.AliasSendTt: FromWire._alias_send,
    dist.UnlinkId: FromWire._unlink_id,
    dist.UnlinkIdAck: FromWire._unlink_ack,
    dist.AltactSigSend: FromWire._altact,
    dist.SpawnRequest: FromWire._spawn,
    dist.SpawnRequestTt: FromWire._spawn,
    dist.SpawnReply: FromWire._spawn_reply,
    dist.SpawnReplyTt: FromWire._spawn_reply,
}

FLAGS: Final = dist.DEFAULT_FLAGS
"""What this node offers: all that the connection and the tables above can do."""
