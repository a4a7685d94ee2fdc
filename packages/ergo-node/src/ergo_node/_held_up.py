"""Processes that sent to a node which does not read: they get no turns until it does (`busy_dist_port`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from etf_codec import Pid
from otp_behaviors import Kernel


class HeldUp:
    """The processes that wait, by the node they wait for.

    Args:
        kernel: has the processes.
        relieved: returns when a node is busy no more.
    """

    def __init__(self, kernel: Kernel, relieved: Callable[[str], Awaitable[None]]) -> None:
        self._kernel = kernel
        self._relieved = relieved
        self._waiting: dict[str, list[Pid]] = {}

    def __contains__(self, node: str) -> bool:
        return node in self._waiting

    def add(self, pid: Pid, node: str) -> bool:
        """Hold a process up; true if it is the first for the node, and `let_go` is to be run."""
        if not self._kernel.suspend(pid):
            return False
        first = node not in self._waiting
        self._waiting.setdefault(node, []).append(pid)
        return first

    async def let_go(self, node: str) -> None:
        """Wait for the node, then give the processes their turns again."""
        await self._relieved(node)
        for pid in self._waiting.pop(node):
            self._kernel.resume(pid)
