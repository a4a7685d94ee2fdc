"""Who monitors a scope of `pg`, or one of its groups: `pg:monitor_scope/1` and `pg:monitor/2`."""

from __future__ import annotations

from collections.abc import Iterator

from etf_codec import Pid, Reference

from ergo_node._pg_groups import Key


class GroupMonitors:
    """Monitors by their references. The key None stands for all groups of the scope."""

    __slots__ = ("_by_key", "_by_ref")

    def __init__(self) -> None:
        self._by_ref: dict[Reference, Key | None] = {}
        self._by_key: dict[Key | None, dict[Reference, Pid]] = {}

    def add(self, ref: Reference, pid: Pid, key: Key | None) -> None:
        """Tell a process of the changes of a group, or of all."""
        self._by_ref[ref] = key
        self._by_key.setdefault(key, {})[ref] = pid

    def remove(self, ref: Reference) -> Pid | None:
        """Tell it no longer; return who it was, None if there is no such monitor."""
        if ref not in self._by_ref:
            return None
        key = self._by_ref.pop(ref)
        monitors = self._by_key[key]
        pid = monitors.pop(ref)
        if not monitors:
            del self._by_key[key]
        return pid

    def of(self, key: Key) -> Iterator[tuple[Reference, Pid]]:
        """Return whom to tell of a change of a group: monitors of the scope first, as OTP."""
        for each in (None, key):
            yield from self._by_key.get(each, {}).items()
