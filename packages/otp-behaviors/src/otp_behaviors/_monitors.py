"""Monitors: one way, any number per pair, exactly one `Down` each.

Follows "Monitors" in the Erlang reference manual, and MONITOR_P, DEMONITOR_P, MONITOR_P_EXIT of the
distribution protocol. A watcher is a local process, a pending request (which needs to know that its callee is
gone), or a process of another node.
"""

from __future__ import annotations

from collections.abc import Callable

from etf_codec import Atom, Pid, Reference, Term

from otp_behaviors._bonds import LocalWatcher, Monitor, RemoteWatcher, Target, Watcher
from otp_behaviors._channel import Channel
from otp_behaviors._process_table import ProcessRecord, ProcessTable
from otp_behaviors._reasons import NOPROC
from otp_behaviors._signals import DemonitorSignal, DownSignal, MonitorSignal, Signal


class Monitors:
    """The monitor operations of a kernel.

    Args:
        table: the local processes.
        emit: takes signals for other nodes.
        channel: returns what sends to a node at once, if anything does.
    """

    def __init__(
        self,
        table: ProcessTable,
        emit: Callable[[Signal], None],
        channel: Callable[[str], Channel | None],
    ) -> None:
        self._table = table
        self._emit = emit
        self._channel = channel
        self._of_node: dict[str, dict[Reference, LocalWatcher]] = {}
        # An empty table stays until the connection is lost: the next call of that node needs it again.
        self._from_node: dict[str, dict[Reference, ProcessRecord]] = {}

    def __len__(self) -> int:
        """How many monitors cross to or from other nodes."""
        return sum(map(len, self._of_node.values())) + sum(map(len, self._from_node.values()))

    def count(self, node: str) -> int:
        """How many a node has set here."""
        return len(self._from_node.get(node, ()))

    def add(
        self, watcher: LocalWatcher, sender: Pid, target: Target, ref: Reference, *, followed: bool = False
    ) -> None:
        """Watch a target; a watcher of what is not there is told so at once, with `noproc`.

        Args:
            watcher: is told of the end.
            sender: the process it belongs to.
            target: a process, or a name.
            ref: what the watch is called.
            followed: whether a message to the same node is sent next.
        """
        if target.node != self._table.node:
            name = _on_node(target)
            self._watch_remote(watcher, target, ref)
            channel = self._channel(target.node)
            if channel is None or not channel.monitor(sender, name, ref):
                self._emit(MonitorSignal(sender, target, ref))
            elif not followed:
                channel.flush()
            return
        record = self.local(target)
        watcher.monitoring(ref, Monitor(target, record))
        if record is None:
            watcher.down(ref, NOPROC)
        else:
            self._watch(record, ref, watcher)

    def watching(self, watcher: LocalWatcher, sender: Pid, pid: Pid, ref: Reference) -> None:
        """The node of a process has set up a monitor, as the spawn request asked it to."""
        if pid.node == self._table.node:
            self.add(watcher, sender, pid, ref)
        else:
            self._watch_remote(watcher, pid, ref)

    def remove(self, sender: Pid, ref: Reference, monitor: Monitor) -> None:
        """Stop watching (`erlang:demonitor/1`)."""
        if monitor.record is not None:
            if monitor.record.monitored_by is not None:
                monitor.record.monitored_by.pop(ref, None)
        elif self._take(ref, monitor.target.node) is not None:
            channel = self._channel(monitor.target.node)
            if channel is not None and channel.demonitor(sender, _on_node(monitor.target), ref):
                channel.flush(hurried=False)
            else:
                self._emit(DemonitorSignal(sender, monitor.target, ref))

    def local(self, target: Target) -> ProcessRecord | None:
        """Return the local process a pid or a name of this node stands for."""
        if isinstance(target, Pid):
            return self._table.by_pid.get(target)
        return self._table.by_name.get(target.name)

    def monitor_received(self, sender: Pid, to: Target, ref: Reference) -> None:
        """A process of another node starts to watch one of ours."""
        record = self.local(to)
        if record is None:
            self._emit(DownSignal(to, sender, ref, NOPROC))
            return
        # A reference stands for one monitor: a peer that uses it twice would leave entries nobody counts.
        self.demonitor_received(sender, ref)
        if record.monitored_by is None:
            record.monitored_by = {}
        record.monitored_by[ref] = RemoteWatcher(sender, to)
        self._from_node.setdefault(sender.node, {})[ref] = record

    def demonitor_received(self, sender: Pid, ref: Reference) -> None:
        """A process of another node no longer watches one of ours; an unknown reference is no error."""
        refs = self._from_node.get(sender.node)
        record = None if refs is None else refs.pop(ref, None)
        if record is not None and record.monitored_by is not None:
            record.monitored_by.pop(ref, None)

    def down_received(self, signal: DownSignal) -> None:
        """What one of ours watches on another node has ended."""
        watcher = self._take(signal.ref, signal.sender.node)
        if watcher is not None:
            watcher.down(signal.ref, signal.reason)

    def process_exited(self, record: ProcessRecord, reason: Term) -> None:
        """Tell all who watch a process that has just ended, and take back its own monitors."""
        watchers, record.monitored_by = record.monitored_by, None
        for ref, watcher in (watchers or {}).items():
            if isinstance(watcher, RemoteWatcher):
                self._from_node.get(watcher.pid.node, {}).pop(ref, None)
                self._emit(DownSignal(watcher.target, watcher.pid, ref, reason))
            else:
                watcher.down(ref, reason)
        callers, record.callers = record.callers, None
        for caller in callers or ():
            caller.callee_exited(reason)
        monitors, record.monitors = record.monitors, None
        for ref, monitor in (monitors or {}).items():
            self.remove(record.pid, ref, monitor)

    def take_node(self, node: str) -> list[tuple[Reference, LocalWatcher]]:
        """The connection to a node is lost: forget its monitors, and return those that fire by that."""
        for ref, record in self._from_node.pop(node, {}).items():
            if record.monitored_by is not None:
                record.monitored_by.pop(ref, None)
        return list(self._of_node.pop(node, {}).items())

    def _watch_remote(self, watcher: LocalWatcher, target: Target, ref: Reference) -> None:
        watcher.monitoring(ref, Monitor(target, None))
        self._of_node.setdefault(target.node, {})[ref] = watcher

    @staticmethod
    def _watch(record: ProcessRecord, ref: Reference, watcher: Watcher) -> None:
        if record.monitored_by is None:
            record.monitored_by = {}
        record.monitored_by[ref] = watcher

    def _take(self, ref: Reference, node: str) -> LocalWatcher | None:
        entries = self._of_node.get(node)
        watcher = None if entries is None else entries.pop(ref, None)
        if entries is not None and not entries:
            del self._of_node[node]
        return watcher


def _on_node(target: Target) -> Pid | Atom:
    """What a target is called on its own node."""
    return target if type(target) is Pid else Atom(target.name)
