"""Every control message by number (ERTS: Distribution Protocol, Protocol between Connected Nodes).

To add one: write the class with `op`, `has_payload` and its fields; add a row to `_variants` if older peers
need another form; export it in `__init__`; give it an example in `tests/test_control_messages.py`.

`owned` follows OTP (`erts_net_message`): links, monitors, exits and spawns must come from a process of the
peer; the sender named in a message need not.
"""

from typing import ClassVar, Final

from etf_codec import Atom, Pid, Reference, Term

from erldist_proto._control import UNUSED, ControlMessage, control_message, wrong_arity

MAX_UNLINK_ID: Final = (1 << 64) - 1

ALTACT_PRIO: Final = 1
ALTACT_TOKEN: Final = 2
ALTACT_ALIAS: Final = 4
ALTACT_NAME: Final = 8
ALTACT_EXIT: Final = 16


@control_message
class Link(ControlMessage):
    """`{1, FromPid, ToPid}`: FromPid links to ToPid."""

    op = 1
    owned = "from_pid"
    from_pid: Pid
    to_pid: Pid


@control_message
class Send(ControlMessage):
    """`{2, Unused, ToPid}` and a message."""

    op = 2
    has_payload = True
    unused: ClassVar[Atom] = UNUSED
    to_pid: Pid


@control_message
class Exit(ControlMessage):
    """`{3, FromPid, ToPid, Reason}`: a linked process ended."""

    op = 3
    owned = "from_pid"
    from_pid: Pid
    to_pid: Pid
    reason: Term


@control_message
class Unlink(ControlMessage):
    """`{4, FromPid, ToPid}`: obsolete since UNLINK_ID."""

    op = 4
    owned = "from_pid"
    from_pid: Pid
    to_pid: Pid


@control_message
class RegSend(ControlMessage):
    """`{6, FromPid, Unused, ToName}` and a message to a registered name."""

    op = 6
    has_payload = True
    from_pid: Pid
    unused: ClassVar[Atom] = UNUSED
    to_name: Atom


@control_message
class GroupLeader(ControlMessage):
    """`{7, FromPid, ToPid}`: FromPid becomes the group leader of ToPid."""

    op = 7
    from_pid: Pid
    to_pid: Pid


@control_message
class Exit2(ControlMessage):
    """`{8, FromPid, ToPid, Reason}`: FromPid called `exit(ToPid, Reason)`."""

    op = 8
    from_pid: Pid
    to_pid: Pid
    reason: Term


@control_message
class SendTt(ControlMessage):
    """`{12, Unused, ToPid, TraceToken}` and a message."""

    op = 12
    has_payload = True
    unused: ClassVar[Atom] = UNUSED
    to_pid: Pid
    token: Term


@control_message
class ExitTt(ControlMessage):
    """`{13, FromPid, ToPid, TraceToken, Reason}`: a linked process ended."""

    op = 13
    owned = "from_pid"
    from_pid: Pid
    to_pid: Pid
    token: Term
    reason: Term


@control_message
class RegSendTt(ControlMessage):
    """`{16, FromPid, Unused, ToName, TraceToken}` and a message to a registered name."""

    op = 16
    has_payload = True
    from_pid: Pid
    unused: ClassVar[Atom] = UNUSED
    to_name: Atom
    token: Term


@control_message
class Exit2Tt(ControlMessage):
    """`{18, FromPid, ToPid, TraceToken, Reason}`: FromPid called `exit(ToPid, Reason)`."""

    op = 18
    from_pid: Pid
    to_pid: Pid
    token: Term
    reason: Term


@control_message
class MonitorP(ControlMessage):
    """`{19, FromPid, ToProc, Ref}`: FromPid starts to monitor ToProc, a pid or a registered name."""

    op = 19
    owned = "from_pid"
    from_pid: Pid
    to_proc: Pid | Atom
    ref: Reference


@control_message
class DemonitorP(ControlMessage):
    """`{20, FromPid, ToProc, Ref}`: FromPid stops monitoring ToProc."""

    op = 20
    owned = "from_pid"
    from_pid: Pid
    to_proc: Pid | Atom
    ref: Reference


@control_message
class MonitorPExit(ControlMessage):
    """`{21, FromProc, ToPid, Ref, Reason}`: the monitored FromProc ended; it repeats what was monitored."""

    op = 21
    owned = "from_proc"
    from_proc: Pid | Atom
    to_pid: Pid
    ref: Reference
    reason: Term


@control_message
class SendSender(ControlMessage):
    """`{22, FromPid, ToPid}` and a message."""

    op = 22
    has_payload = True
    from_pid: Pid
    to_pid: Pid


@control_message
class SendSenderTt(ControlMessage):
    """`{23, FromPid, ToPid, TraceToken}` and a message."""

    op = 23
    has_payload = True
    from_pid: Pid
    to_pid: Pid
    token: Term


@control_message
class PayloadExit(ControlMessage):
    """`{24, FromPid, ToPid}` and a reason: a linked process ended."""

    op = 24
    has_payload = True
    owned = "from_pid"
    from_pid: Pid
    to_pid: Pid


@control_message
class PayloadExitTt(ControlMessage):
    """`{25, FromPid, ToPid, TraceToken}` and a reason: a linked process ended."""

    op = 25
    has_payload = True
    owned = "from_pid"
    from_pid: Pid
    to_pid: Pid
    token: Term


@control_message
class PayloadExit2(ControlMessage):
    """`{26, FromPid, ToPid}` and a reason: FromPid called `exit(ToPid, Reason)`."""

    op = 26
    has_payload = True
    from_pid: Pid
    to_pid: Pid


@control_message
class PayloadExit2Tt(ControlMessage):
    """`{27, FromPid, ToPid, TraceToken}` and a reason: FromPid called `exit(ToPid, Reason)`."""

    op = 27
    has_payload = True
    from_pid: Pid
    to_pid: Pid
    token: Term


@control_message
class PayloadMonitorPExit(ControlMessage):
    """`{28, FromProc, ToPid, Ref}` and a reason: the monitored FromProc ended."""

    op = 28
    has_payload = True
    owned = "from_proc"
    from_proc: Pid | Atom
    to_pid: Pid
    ref: Reference


Mfa = tuple[Atom, Atom, int]


def _mfa_fault(mfa: tuple[Term, ...]) -> str:
    match mfa:
        case (Atom(), Atom(), int(arity)) if arity >= 0:
            return ""
    return "mfa must be {Module, Function, Arity}"


@control_message
class SpawnRequest(ControlMessage):
    """`{29, ReqId, From, GroupLeader, {Module, Function, Arity}, OptList}` and the argument list."""

    op = 29
    has_payload = True
    owned = "from_pid"
    ref: Reference
    from_pid: Pid
    group_leader: Pid
    mfa: Mfa
    options: Term

    def fault(self) -> str:
        """A malformed MFA; the options are the node's to judge, a bad one is answered with `badopt`."""
        return _mfa_fault(self.mfa)


@control_message
class SpawnRequestTt(ControlMessage):
    """`{30, ReqId, From, GroupLeader, {Module, Function, Arity}, OptList, TraceToken}` and arguments."""

    op = 30
    has_payload = True
    owned = "from_pid"
    ref: Reference
    from_pid: Pid
    group_leader: Pid
    mfa: Mfa
    options: Term
    token: Term

    def fault(self) -> str:
        """A malformed MFA."""
        return _mfa_fault(self.mfa)


@control_message
class SpawnReply(ControlMessage):
    """`{31, ReqId, To, Flags, Result}`: flag 1 linked, 2 monitored by ReqId; Result is a pid or an error.

    It is a signal of the new process, of which the requester must hear nothing else before.
    """

    op = 31
    sender = "result"
    ref: Reference
    to_pid: Pid
    flags: int
    result: Pid | Atom


@control_message
class SpawnReplyTt(ControlMessage):
    """`{32, ReqId, To, Flags, Result, TraceToken}`."""

    op = 32
    sender = "result"
    ref: Reference
    to_pid: Pid
    flags: int
    result: Pid | Atom
    token: Term


@control_message
class AliasSend(ControlMessage):
    """`{33, FromPid, Alias}` and a message to the process that has the alias."""

    op = 33
    has_payload = True
    from_pid: Pid
    alias: Reference


@control_message
class AliasSendTt(ControlMessage):
    """`{34, FromPid, Alias, TraceToken}` and a message to the process that has the alias."""

    op = 34
    has_payload = True
    from_pid: Pid
    alias: Reference
    token: Term


def _unlink_id_fault(id: int) -> str:
    return "" if 0 < id <= MAX_UNLINK_ID else "id must be 1 to 2^64-1"


@control_message
class UnlinkId(ControlMessage):
    """`{35, Id, FromPid, ToPid}`: FromPid unlinks; the peer must acknowledge with the same Id."""

    op = 35
    owned = "from_pid"
    id: int
    from_pid: Pid
    to_pid: Pid

    def fault(self) -> str:
        """An Id out of range."""
        return _unlink_id_fault(self.id)


@control_message
class UnlinkIdAck(ControlMessage):
    """`{36, Id, FromPid, ToPid}`: FromPid has seen the unlink Id of ToPid."""

    op = 36
    owned = "from_pid"
    id: int
    from_pid: Pid
    to_pid: Pid

    def fault(self) -> str:
        """An Id out of range."""
        return _unlink_id_fault(self.id)


@control_message
class AltactSigSend(ControlMessage):
    """`{37, Flags, SenderPid, To}` or `{37, Flags, SenderPid, To, TraceToken}`, and a message or exit reason.

    Flags: ALTACT_PRIO a priority message; ALTACT_TOKEN the tuple has a token; ALTACT_ALIAS `to` is an alias;
    ALTACT_NAME `to` is a registered name; ALTACT_EXIT the payload is the reason of `exit(To, Reason)`.
    Unknown flags and elements after the token are ignored.
    """

    op = 37
    has_payload = True
    flags: int
    from_pid: Pid
    to: Pid | Atom | Reference
    token: Term = None

    @classmethod
    def adjusted(cls, term: tuple[Term, ...]) -> tuple[Term, ...]:
        """Without the token it may lack, or without what later versions appended."""
        if len(term) < 4 or (len(term) == 4 and type(term[1]) is int and term[1] & ALTACT_TOKEN):
            raise wrong_arity(cls, term)
        return (*term, None)[:5]

    def to_term(self) -> tuple[Term, ...]:
        """Four elements, or five with a token."""
        term = self.to_tuple(self)
        flags: object = self.flags
        # Flags of another type are found by the check of the whole tuple.
        return term[:-1] if isinstance(flags, int) and not flags & ALTACT_TOKEN else term

    def fault(self) -> str:
        """Flags that contradict each other or the type of `to`."""
        addressed = self.flags & (ALTACT_ALIAS | ALTACT_NAME)
        wanted = {0: Pid, ALTACT_ALIAS: Reference, ALTACT_NAME: Atom}.get(addressed)
        if wanted is None:
            return "flags say both alias and name"
        return "" if isinstance(self.to, wanted) else f"flags say that `to` is a {wanted.__name__.lower()}"
