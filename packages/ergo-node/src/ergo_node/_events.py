"""Nodes coming and going, as `net_kernel:monitor_nodes/1` reports them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final, TypeAlias

from etf_codec import Atom, Pid
from otp_behaviors import Kernel

from ergo_node._subscription import Subscription

NODEUP: Final = Atom("nodeup")
NODEDOWN: Final = Atom("nodedown")


@dataclass(frozen=True, slots=True)
class NodeUp:
    """A node has been connected."""

    node: str
    hidden: bool


@dataclass(frozen=True, slots=True)
class NodeDown:
    """The connection to a node is lost.

    `reason` is a word of `net_kernel:monitor_nodes/2`: connection_closed, disconnect, net_tick_timeout …
    """

    node: str
    reason: str
    hidden: bool = False


NodeEvent: TypeAlias = NodeUp | NodeDown


class Audience:
    """Who is told of nodes: tasks, which have a `NodeMonitor` each, and processes, which get messages.

    Args:
        kernel: has the processes.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._monitors: list[Subscription] = []
        self._processes: dict[Pid, bool] = {}

    def monitor(self) -> NodeMonitor:
        """Return a new subscription of a task."""
        monitor = NodeMonitor(self._monitors.remove)
        self._monitors.append(monitor)
        return monitor

    def subscribe(self, pid: Pid, hidden: bool) -> None:
        """Tell a process from now on; of hidden nodes as well if `hidden`."""
        self._processes[pid] = hidden

    def unsubscribe(self, pid: Pid) -> bool:
        """Tell a process no more; False if it was not told."""
        return self._processes.pop(pid, None) is not None

    def tell(self, event: NodeEvent, sender: Pid) -> None:
        """Tell all of an event."""
        for monitor in self._monitors:
            monitor.tell(event)
        if not self._processes:
            return
        message = (NODEUP if isinstance(event, NodeUp) else NODEDOWN, Atom(event.node))
        for pid, hidden in list(self._processes.items()):
            if pid not in self._kernel.table.by_pid:
                del self._processes[pid]
            elif hidden or not event.hidden:
                self._kernel.send(sender, pid, message)

    def close(self) -> None:
        """End the subscriptions of tasks."""
        for monitor in list(self._monitors):
            monitor.close()


class NodeMonitor(Subscription):
    """A subscription to nodes coming and going; `async for` it, leave the block or `close` it to end it."""

    def __init__(self, ended: Callable[[Subscription], None]) -> None:
        # There is no more to read than nodes came and went.
        super().__init__("nodes coming and going", ended, inf)

    async def __anext__(self) -> NodeEvent:
        event: NodeEvent = await super().__anext__()
        return event
