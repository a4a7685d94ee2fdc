"""Links: bidirectional, at most one per pair, with the unlink protocol of OTP 23 and later between nodes.

Follows "Link Protocol" in the ERTS distribution protocol. Inside a node a link is made and removed on both
sides at once; between nodes each side keeps its half, which is inactive from `unlink` until its
acknowledgement.
"""

from __future__ import annotations

from collections.abc import Callable

from etf_codec import Pid, Term

from otp_behaviors._bonds import Link
from otp_behaviors._process_table import ProcessRecord, ProcessTable
from otp_behaviors._reasons import NOPROC
from otp_behaviors._signals import ExitSignal, LinkSignal, Signal, UnlinkAckSignal, UnlinkSignal


class Links:
    """The link operations of a kernel.

    Args:
        table: the local processes.
        emit: takes signals for other nodes.
        exit_signal: hands an exit signal to a local process: (record, sender, reason, linked).
    """

    def __init__(
        self,
        table: ProcessTable,
        emit: Callable[[Signal], None],
        exit_signal: Callable[[ProcessRecord, Pid, Term, bool], None],
    ) -> None:
        self._table = table
        self._emit = emit
        self._exit_signal = exit_signal
        self._last_unlink_id = 0
        self._by_node: dict[str, dict[tuple[Pid, Pid], None]] = {}

    def __len__(self) -> int:
        """How many links to other nodes there are."""
        return sum(map(len, self._by_node.values()))

    def count(self, node: str) -> int:
        """How many of these are with one node."""
        return len(self._by_node.get(node, ()))

    def link(self, record: ProcessRecord, pid: Pid) -> None:
        """Link a local process with another one (`erlang:link/1`); nothing changes if they are linked."""
        if pid == record.pid or not record.alive:
            return
        entry = (record.links or {}).get(pid)
        if entry is not None and entry.active:
            return
        if pid.node == self._table.node:
            other = self._table.by_pid.get(pid)
            if other is None:
                self._exit_signal(record, pid, NOPROC, True)
                return
            self._add(other, record.pid)
        else:
            self._by_node.setdefault(pid.node, {})[record.pid, pid] = None
            self._emit(LinkSignal(record.pid, pid))
        self._add(record, pid)

    def unlink(self, record: ProcessRecord, pid: Pid) -> None:
        """Remove a link (`erlang:unlink/1`); exit signals of it that are still on their way are dropped."""
        entry = (record.links or {}).get(pid)
        if entry is None or not entry.active:
            return
        if pid.node == self._table.node:
            self._drop(record, pid)
            other = self._table.by_pid.get(pid)
            if other is not None:
                self._drop(other, record.pid)
            return
        self._last_unlink_id += 1
        entry.active = False
        entry.unlink_id = self._last_unlink_id
        self._emit(UnlinkSignal(record.pid, pid, entry.unlink_id))

    def link_received(self, signal: LinkSignal) -> None:
        """A process of another node linked itself with one of ours."""
        record = self._table.by_pid.get(signal.to)
        if record is None:
            self._emit(ExitSignal(signal.to, signal.sender, NOPROC, True))
        elif record.links is None or signal.sender not in record.links:
            self._by_node.setdefault(signal.sender.node, {})[signal.to, signal.sender] = None
            self._add(record, signal.sender)

    def unlink_received(self, signal: UnlinkSignal) -> None:
        """A process of another node unlinked itself. The acknowledgement goes out before anything else."""
        record = self._table.by_pid.get(signal.to)
        if record is not None:
            entry = (record.links or {}).get(signal.sender)
            if entry is not None and entry.active:
                self._drop(record, signal.sender)
        self._emit(UnlinkAckSignal(signal.to, signal.sender, signal.id))

    def ack_received(self, signal: UnlinkAckSignal) -> None:
        """Another node has carried out our unlink."""
        record = self._table.by_pid.get(signal.to)
        if record is None:
            return
        entry = (record.links or {}).get(signal.sender)
        if entry is not None and not entry.active and entry.unlink_id == signal.id:
            self._drop(record, signal.sender)

    def exit_received(self, signal: ExitSignal) -> None:
        """A linked process of another node has ended; ignored unless the link is active."""
        record = self._table.by_pid.get(signal.to)
        entry = None if record is None else (record.links or {}).get(signal.sender)
        if record is not None and entry is not None and entry.active:
            self._drop(record, signal.sender)
            self._exit_signal(record, signal.sender, signal.reason, True)

    def process_exited(self, record: ProcessRecord, reason: Term) -> None:
        """Send the exit signals of a process that has just ended."""
        links, record.links = record.links, None
        for pid, entry in (links or {}).items():
            if pid.node == self._table.node:
                other = self._table.by_pid.get(pid)
                if other is not None:
                    self._drop(other, record.pid)
                    self._exit_signal(other, record.pid, reason, True)
            else:
                self._forget(record.pid, pid)
                if entry.active:
                    self._emit(ExitSignal(record.pid, pid, reason, True))

    def take_node(self, node: str) -> list[tuple[ProcessRecord, Pid]]:
        """The connection to a node is lost: forget its links, and return those that break by that."""
        broken = []
        for local, remote in self._by_node.pop(node, {}):
            record = self._table.by_pid.get(local)
            entry = None if record is None or record.links is None else record.links.pop(remote, None)
            if record is not None and entry is not None and entry.active:
                broken.append((record, remote))
        return broken

    @staticmethod
    def _add(record: ProcessRecord, pid: Pid) -> None:
        if record.links is None:
            record.links = {}
        entry = record.links.get(pid)
        if entry is None:
            record.links[pid] = Link()
        else:
            entry.active, entry.unlink_id = True, 0

    def _drop(self, record: ProcessRecord, pid: Pid) -> None:
        if record.links is not None:
            record.links.pop(pid, None)
        if pid.node != self._table.node:
            self._forget(record.pid, pid)

    def _forget(self, local: Pid, remote: Pid) -> None:
        pairs = self._by_node.get(remote.node)
        if pairs is not None:
            pairs.pop((local, remote), None)
            if not pairs:
                del self._by_node[remote.node]
