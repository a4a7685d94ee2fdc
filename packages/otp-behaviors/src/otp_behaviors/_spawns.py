"""Spawn requests: processes that other nodes start here, and that we start there.

Follows SPAWN_REQUEST and SPAWN_REPLY of the distribution protocol. The answer is sent before anything the new
process does, so its link and its monitor stand when its first signal arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from etf_codec import Atom, Pid, Reference, Term

from otp_behaviors._bonds import LocalWatcher
from otp_behaviors._errors import ExitError
from otp_behaviors._links import Links
from otp_behaviors._monitors import Monitors
from otp_behaviors._process_table import ProcessTable
from otp_behaviors._signals import (
    DemonitorSignal,
    ExitSignal,
    LinkSignal,
    Signal,
    SpawnReplySignal,
    SpawnSignal,
)

LINK: Final = Atom("link")
MONITOR: Final = Atom("monitor")
BADOPT: Final = Atom("badopt")
NOTSUP: Final = Atom("notsup")
SYSTEM_LIMIT: Final = Atom("system_limit")
ABANDONED: Final = Atom("abandoned")

TUNING: Final = frozenset(
    Atom(name)
    for name in (
        "async_dist",
        "fullsweep_after",
        "max_heap_size",
        "message_queue_data",
        "min_bin_vheap_size",
        "min_heap_size",
        "priority",
        "scheduler",
    )
)
"""Options of `spawn_opt/4` that tune BEAM and mean nothing here."""


class Requester(LocalWatcher, Protocol):
    """Something of this node that has asked for a process on another one, and may watch it."""

    def spawned(self, ref: Reference, pid: Pid) -> None:
        """The process runs; its link and its monitor stand, if they were asked for."""

    def not_spawned(self, ref: Reference, error: Exception) -> None:
        """There will be no such process."""


class Spawns:
    """The spawn requests of a kernel.

    Args:
        table: the local processes.
        links: their links.
        monitors: their monitors.
        emit: takes signals for other nodes.
    """

    def __init__(
        self, table: ProcessTable, links: Links, monitors: Monitors, emit: Callable[[Signal], None]
    ) -> None:
        self.start: Callable[[SpawnSignal], Pid] | None = None
        """Starts what a request asks for; None refuses every request with `notsup`."""
        self._table = table
        self._links = links
        self._monitors = monitors
        self._emit = emit
        self._pending: dict[str, dict[Reference, Requester]] = {}

    def __len__(self) -> int:
        """How many requests wait for their answer."""
        return sum(map(len, self._pending.values()))

    def request(self, requester: Requester, signal: SpawnSignal) -> None:
        """Ask a node for a process (`erlang:spawn_request/5`); a node may ask itself."""
        self._pending.setdefault(signal.node, {})[signal.ref] = requester
        if signal.node == self._table.node:
            self.request_received(signal)
        else:
            self._emit(signal)

    def abandon(self, node: str, ref: Reference) -> None:
        """Forget a request (`erlang:spawn_request_abandon/1`): its process gets no link and no monitor."""
        self._take(node, ref)

    def refuse(self, signal: SpawnSignal, error: Exception) -> bool:
        """A request of ours cannot be sent; False if nobody waits for its answer."""
        requester = self._take(signal.node, signal.ref)
        if requester is not None:
            requester.not_spawned(signal.ref, error)
        return requester is not None

    def take_node(self, node: str) -> list[tuple[Reference, Requester]]:
        """The connection to a node is lost: forget its requests, and return them."""
        return list(self._pending.pop(node, {}).items())

    def request_received(self, signal: SpawnSignal) -> None:
        """A node asks for a process here: start it, set up what was asked for, answer."""
        link = monitor = False
        result: Pid | Atom
        if self.start is None:
            result = NOTSUP
        elif (options := _options(signal.options)) is None:
            result = BADOPT
        else:
            try:
                result = self.start(signal)
            except ExitError:
                # What keeps a process from starting is the process limit; all else is its own early end.
                result = SYSTEM_LIMIT
            else:
                link, monitor = options
        reply = SpawnReplySignal(signal.sender, signal.ref, link, monitor, result)
        if signal.node == self._table.node and signal.sender.node == self._table.node:
            self.reply_received(reply)
            return
        if link and isinstance(result, Pid):
            self._links.link_received(LinkSignal(signal.sender, result))
        if monitor and isinstance(result, Pid):
            self._monitors.monitor_received(signal.sender, result, signal.ref)
        self._emit(reply)

    def reply_received(self, reply: SpawnReplySignal) -> None:
        """A node has answered a request of ours."""
        pid = reply.result
        if isinstance(pid, Atom):
            for node in list(self._pending):
                requester = self._take(node, reply.ref)
                if requester is not None:
                    requester.not_spawned(reply.ref, ExitError(pid))
            return
        requester = self._take(pid.node, reply.ref)
        if requester is None:
            self._abandoned(reply, pid)
            return
        if reply.linked:
            self._linked(reply.to, pid)
        if reply.monitored:
            self._monitors.watching(requester, reply.to, pid, reply.ref)
        requester.spawned(reply.ref, pid)

    def _linked(self, ours: Pid, pid: Pid) -> None:
        record = self._table.by_pid.get(ours)
        if pid.node == self._table.node and record is not None:
            self._links.link(record, pid)
        else:
            self._links.link_received(LinkSignal(pid, ours))

    def _abandoned(self, reply: SpawnReplySignal, pid: Pid) -> None:
        if pid.node == self._table.node:
            return
        if reply.monitored:
            self._emit(DemonitorSignal(reply.to, pid, reply.ref))
        if reply.linked:
            self._emit(ExitSignal(reply.to, pid, ABANDONED, True))

    def _take(self, node: str, ref: Reference) -> Requester | None:
        requests = self._pending.get(node)
        requester = None if requests is None else requests.pop(ref, None)
        if requests is not None and not requests:
            del self._pending[node]
        return requester


def _options(options: Term) -> tuple[bool, bool] | None:
    """Return whether to link and to monitor; None if an option is none of `spawn_opt/4`."""
    if not isinstance(options, list):
        return None
    link = monitor = False
    for option in options:
        match option:
            case Atom("link"):
                link = True
            case Atom("monitor") | (Atom("monitor"), list()):
                monitor = True
            case (Atom() as name, _) if name in TUNING:
                pass
            case _:
                return None
    return link, monitor
