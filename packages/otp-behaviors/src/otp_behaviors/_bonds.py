"""What ties a process to others: the entries of its tables of links and monitors."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from etf_codec import Atom, Pid, Reference, Term

from otp_behaviors._signals import RemoteName


class Link:
    """One side of a link. `unlink_id` is set while an unlink waits for its acknowledgement."""

    __slots__ = ("active", "unlink_id")

    def __init__(self) -> None:
        self.active = True
        self.unlink_id = 0


Target: TypeAlias = Pid | RemoteName


class Watched(Protocol):
    """A process of this node that can be watched."""

    monitored_by: dict[Reference, Watcher] | None


class Monitor:
    """The watching side: what is monitored, and the record of it if it is a process of this node."""

    __slots__ = ("record", "target")

    def __init__(self, target: Target, record: Watched | None) -> None:
        self.target = target
        self.record = record

    def who(self) -> Pid | tuple[Atom, Atom]:
        """Return what a `Down` calls it."""
        target = self.target
        return target if isinstance(target, Pid) else (Atom(target.name), Atom(target.node))


class LocalWatcher(Protocol):
    """Something of this node that is told when what it watches ends."""

    def monitoring(self, ref: Reference, monitor: Monitor) -> None:
        """The watch under `ref` has begun."""

    def down(self, ref: Reference, reason: Term) -> None:
        """What was watched under `ref` has ended, and with it the watch."""


class RemoteWatcher:
    """A process of another node, and how it named what it watches (the answer must repeat that)."""

    __slots__ = ("pid", "target")

    def __init__(self, pid: Pid, target: Target) -> None:
        self.pid = pid
        self.target = target


Watcher: TypeAlias = LocalWatcher | RemoteWatcher
