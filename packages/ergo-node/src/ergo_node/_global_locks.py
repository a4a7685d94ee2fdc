"""The table of global locks: who has locked what on this node, and by which processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from etf_codec import Pid, Reference

from ergo_node._global_terms import GLOBAL, Key, LockId, key


@dataclass(slots=True)
class Lock:
    """A resource, who has it, and the processes that hold it for that one, each with its monitor."""

    requester: Key
    holders: dict[Pid, Reference] = field(default_factory=dict)


class LockTable:
    """The locks of this node.

    One requester may have a lock by several processes; it is gone when the last of them gives it up or ends.

    Args:
        monitor: begins to watch a process.
        demonitor: ends that.
    """

    def __init__(self, monitor: Callable[[Pid], Reference], demonitor: Callable[[Reference], object]) -> None:
        self._monitor = monitor
        self._demonitor = demonitor
        self._locks: dict[Key, Lock] = {}
        self._refs: dict[Reference, tuple[Key, Pid]] = {}
        # Whether the last lock of `global` itself ended because who held it did.
        self.holder_died = False

    def __contains__(self, resource: object) -> bool:
        return key(resource) in self._locks

    def can_set(self, id: LockId) -> bool:
        """Tell whether nobody but the requester has the resource."""
        lock = self._locks.get(key(id[0]))
        return lock is None or lock.requester == key(id[1])

    def set(self, id: LockId, pid: Pid) -> bool:
        """Lock a resource for a requester, by a process; False if another requester has it."""
        resource, requester = key(id[0]), key(id[1])
        lock = self._locks.get(resource)
        if lock is None:
            lock = self._locks[resource] = Lock(requester)
        if lock.requester != requester:
            return False
        if pid not in lock.holders:
            ref = lock.holders[pid] = self._monitor(pid)
            self._refs[ref] = (resource, pid)
        return True

    def delete(self, id: LockId, pid: Pid) -> None:
        """Give a lock up; nothing happens if the requester, or the process, does not have it."""
        resource = key(id[0])
        lock = self._locks.get(resource)
        if lock is not None and lock.requester == key(id[1]) and pid in lock.holders:
            self._remove(resource, pid, died=False)

    def down(self, ref: Reference) -> bool:
        """A watched process has ended; False if the reference is of no lock."""
        entry = self._refs.get(ref)
        if entry is not None:
            self._remove(*entry, died=True)
        return entry is not None

    def still_set(self, pid: Pid) -> bool:
        """Tell whether a process that registers a name has the lock of `global`, or needs none."""
        lock = self._locks.get(GLOBAL)
        return not self.holder_died if lock is None else pid in lock.holders

    def still_set_by(self, id: LockId | None) -> bool:
        """Tell whether the lock under which partitions joined is still there."""
        lock = self._locks.get(GLOBAL)
        if lock is None:
            return not self.holder_died
        return id is not None and key(id[0]) == GLOBAL and key(id[1]) == lock.requester

    def _remove(self, resource: Key, pid: Pid, *, died: bool) -> None:
        lock = self._locks[resource]
        ref = lock.holders.pop(pid)
        del self._refs[ref]
        self._demonitor(ref)
        if not lock.holders:
            del self._locks[resource]
            if resource == GLOBAL:
                self.holder_died = died
