"""What an `Overlay` wants to be done, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from etf_codec import Atom, Pid, Term
from otp_behaviors import RemoteName

from ergo_node._pg_groups import Key


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a message, unless that would make a connection."""

    to: Pid | RemoteName
    message: Term


@dataclass(frozen=True, slots=True)
class Cast:
    """Send a cast, unless that would make a connection."""

    to: Pid
    message: Term


@dataclass(frozen=True, slots=True)
class Watch:
    """Monitor a process, and call `gone` when it ends."""

    pid: Pid


@dataclass(frozen=True, slots=True)
class Unwatch:
    """Monitor a process no longer."""

    pid: Pid


@dataclass(frozen=True, slots=True)
class Change:
    """Processes have joined a group, or left it: whoever monitors it is to be told.

    Args:
        action: the atom join or leave.
        group: the group.
        pids: who.
        key: the group's key.
    """

    action: Atom
    group: Term
    pids: list[Pid]
    key: Key


Effect: TypeAlias = Tell | Cast | Watch | Unwatch | Change
