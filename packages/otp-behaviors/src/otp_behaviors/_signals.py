"""Signals between processes, as they cross from node to node, and the messages some of them become.

The names follow "Signals" in the Erlang reference manual. A signal that stays inside a node is a method call
of the kernel; one of these is made only for another node (`Kernel.outgoing`) or by one (`Kernel.deliver`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, TypeAlias

from etf_codec import Atom, Pid, Reference, Term

DOWN: Final = Atom("DOWN")
EXIT: Final = Atom("EXIT")
PROCESS: Final = Atom("process")


@dataclass(frozen=True, slots=True, init=False)
class RemoteName:
    """A registered name on a node: Erlang's `{Name, Node}` where a process may be given."""

    name: str
    node: str

    def __init__(self, name: str | Atom, node: str | Atom) -> None:
        object.__setattr__(self, "name", str(name))
        object.__setattr__(self, "node", str(node))


class Down(tuple[Term, ...]):
    """The message a monitor sends when it fires: `{'DOWN', Ref, process, Pid | {Name, Node}, Reason}`.

    A tuple in that shape, so it can be passed on; `case Down(ref, who, reason)` takes it apart.
    """

    __slots__ = ()
    __match_args__ = ("ref", "who", "reason")

    def __new__(cls, ref: Reference, who: Pid | tuple[Atom, Atom], reason: Term) -> Down:
        return super().__new__(cls, (DOWN, ref, PROCESS, who, reason))

    @property
    def ref(self) -> Reference:
        """The reference `monitor` returned."""
        ref: Reference = self[1]
        return ref

    @property
    def who(self) -> Pid | tuple[Atom, Atom]:
        """What was monitored: a pid, or `(name, node)`."""
        who: Pid | tuple[Atom, Atom] = self[3]
        return who

    @property
    def reason(self) -> Term:
        """Why it ended; `noproc` if it was not there, `noconnection` if its node was lost."""
        return self[4]


class Exit(tuple[Term, ...]):
    """The message a process that traps exits gets for an exit signal: `{'EXIT', Pid, Reason}`."""

    __slots__ = ()
    __match_args__ = ("pid", "reason")

    def __new__(cls, pid: Pid, reason: Term) -> Exit:
        return super().__new__(cls, (EXIT, pid, reason))

    @property
    def pid(self) -> Pid:
        """The process that ended, or that asked for the end."""
        pid: Pid = self[1]
        return pid

    @property
    def reason(self) -> Term:
        """The exit reason."""
        return self[2]


@dataclass(slots=True)
class MessageSignal:
    """A message for a process or a registered name."""

    sender: Pid
    to: Pid | RemoteName
    message: Term


@dataclass(slots=True)
class AliasSignal:
    """A message for an alias. `owner` gets it instead when the peer knows no aliases."""

    sender: Pid
    alias: Reference
    message: Term
    owner: Pid | None = None


@dataclass(slots=True)
class LinkSignal:
    """Link `sender` and `to`."""

    sender: Pid
    to: Pid


@dataclass(slots=True)
class UnlinkSignal:
    """Remove the link; to be acknowledged under the same `id`."""

    sender: Pid
    to: Pid
    id: int


@dataclass(slots=True)
class UnlinkAckSignal:
    """The unlink `id` has been carried out."""

    sender: Pid
    to: Pid
    id: int


@dataclass(slots=True)
class ExitSignal:
    """An exit signal: of a broken link if `linked`, else of `exit/2`."""

    sender: Pid
    to: Pid
    reason: Term
    linked: bool


@dataclass(slots=True)
class MonitorSignal:
    """`sender` watches `to` under `ref`."""

    sender: Pid
    to: Pid | RemoteName
    ref: Reference


@dataclass(slots=True)
class DemonitorSignal:
    """`sender` no longer watches `to` under `ref`."""

    sender: Pid
    to: Pid | RemoteName
    ref: Reference


@dataclass(slots=True)
class DownSignal:
    """What `to` watched under `ref` has ended. `sender` repeats what was monitored: a pid or a name."""

    sender: Pid | RemoteName
    to: Pid
    ref: Reference
    reason: Term


@dataclass(slots=True)
class GroupLeaderSignal:
    """Make `leader` the group leader of `to`."""

    sender: Pid | None
    to: Pid
    leader: Pid


@dataclass(slots=True)
class SpawnSignal:
    """Start a process that applies `mfa`, `(module, function, arity)`, to `args` on `node`.

    `options` are those of `spawn_opt/4` as they travel; `ref` names the request, and the monitor if there is
    to be one.
    """

    sender: Pid
    node: str
    ref: Reference
    group_leader: Pid
    mfa: tuple[Atom, Atom, int]
    options: Term
    args: Term


@dataclass(slots=True)
class SpawnReplySignal:
    """The answer to the spawn request `ref` of `to`: the new process, or an atom that says why not."""

    to: Pid
    ref: Reference
    linked: bool
    monitored: bool
    result: Pid | Atom

    @property
    def sender(self) -> Pid | None:
        """The new process."""
        return self.result if isinstance(self.result, Pid) else None


Signal: TypeAlias = (
    MessageSignal
    | AliasSignal
    | LinkSignal
    | UnlinkSignal
    | UnlinkAckSignal
    | ExitSignal
    | MonitorSignal
    | DemonitorSignal
    | DownSignal
    | GroupLeaderSignal
    | SpawnSignal
    | SpawnReplySignal
)


DESTINATIONS: Final[dict[type, Callable[[Any], str]]] = {
    AliasSignal: attrgetter("alias.node"),
    SpawnSignal: attrgetter("node"),
    **dict.fromkeys(
        (
            MessageSignal,
            LinkSignal,
            UnlinkSignal,
            UnlinkAckSignal,
            ExitSignal,
            MonitorSignal,
            DemonitorSignal,
            DownSignal,
            GroupLeaderSignal,
            SpawnReplySignal,
        ),
        attrgetter("to.node"),
    ),
}
"""For each kind of signal, what returns the name of the node it goes to."""


def destination(signal: Signal) -> str:
    """Return the name of the node a signal goes to."""
    return DESTINATIONS[type(signal)](signal)
