"""What the synchronisation of `global` has done outside: messages, connections, names, locks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from etf_codec import Pid, Term

from ergo_node._global_names import External, Operation
from ergo_node._global_terms import LockId


@dataclass(frozen=True, slots=True)
class Cast:
    """A cast to the name server of a node, connecting to it if need be."""

    node: str
    message: Term


@dataclass(frozen=True, slots=True)
class Tell:
    """A plain message to the name server of a node, if it is connected."""

    node: str
    message: Term


@dataclass(frozen=True, slots=True)
class Him:
    """For the locker: a node that wants to exchange names, and its locker."""

    node: str
    locker: Pid
    version: int
    my_tag: int
    his_tag: Term


@dataclass(frozen=True, slots=True)
class Cancel:
    """For the locker: the synchronisation `tag` with a node is over; send the casts, then unlock."""

    node: str
    tag: int
    casts: tuple[Cast, ...] = ()


@dataclass(frozen=True, slots=True)
class LockSet:
    """For the locker: whether another one has locked its partition; `tag` is ours, None of old peers."""

    locker: Pid
    is_set: bool
    tag: int | None


@dataclass(frozen=True, slots=True)
class Known:
    """For the locker: nodes that have become known."""

    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """For the locker: a node that is known no more."""

    node: str


@dataclass(frozen=True, slots=True)
class Resolve:
    """Compare a node's names with ours and settle conflicts; `Synchronisation.settled` takes the outcome."""

    node: str
    tag: int
    names: Term


@dataclass(frozen=True, slots=True)
class Abandon:
    """Stop resolving names with a node."""

    node: str
    tag: int


@dataclass(frozen=True, slots=True)
class Operate:
    """Carry out operations on the table of names, if the lock is still set."""

    operations: list[Operation]
    externals: list[External]
    lock: LockId | None


@dataclass(frozen=True, slots=True)
class Join:
    """Connect to nodes that others know, and say to each that we are in sync."""

    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Leave:
    """Close the connection to a node."""

    node: str


@dataclass(frozen=True, slots=True)
class Synced:
    """Our names and those of a node are the same now."""

    node: str


@dataclass(frozen=True, slots=True)
class Report:
    """A line for the log."""

    level: int
    text: str


Effect: TypeAlias = (
    Cast
    | Tell
    | Him
    | Cancel
    | LockSet
    | Known
    | Unknown
    | Resolve
    | Abandon
    | Operate
    | Join
    | Leave
    | Synced
    | Report
)
