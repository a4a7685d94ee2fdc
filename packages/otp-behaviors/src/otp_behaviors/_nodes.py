"""Other nodes, as a kernel sees them: what sends to them, and what ends when they are lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from etf_codec import Pid, Term

from otp_behaviors._channel import Channel
from otp_behaviors._errors import ExitError
from otp_behaviors._links import Links
from otp_behaviors._monitors import Monitors
from otp_behaviors._process_table import ProcessRecord
from otp_behaviors._reasons import NOCONNECTION
from otp_behaviors._spawns import Spawns

MAX_FAILURES: Final = 1000
"""Nodes of which is kept why they cannot be reached, for messages of errors."""


class Nodes:
    """The other nodes of a kernel.

    Args:
        links, monitors, spawns: those of the kernel.
        exit_signal: has a process receive an exit signal: record, sender, reason, whether by a link.

    Attributes:
        channels: by node, what sends there at once: the shell around the kernel enters them. Who uses one
            sees to it that no signal waits in `outbox`, and puts there what it does not take.
    """

    __slots__ = ("_exit_signal", "_failures", "_links", "_monitors", "_spawns", "channels")

    def __init__(
        self,
        links: Links,
        monitors: Monitors,
        spawns: Spawns,
        exit_signal: Callable[[ProcessRecord, Pid, Term, bool], None],
    ) -> None:
        self._links = links
        self._monitors = monitors
        self._spawns = spawns
        self._exit_signal = exit_signal
        self._failures: dict[str, str] = {}
        self.channels: dict[str, Channel] = {}

    def no_connection(self, node: str) -> str:
        """Return what to tell who cannot reach a node."""
        why = self._failures.get(node)
        return f"no connection to {node}: {why}" if why else f"no connection to {node}"

    def up(self, node: str) -> None:
        """There is a connection to a node."""
        self._failures.pop(node, None)

    def down(self, node: str, why: str = "") -> None:
        """The connection to a node is lost, or cannot be made: links and monitors fire with `noconnection`.

        Args:
            node: its name.
            why: for the texts of errors.
        """
        self._failures.pop(node, None)
        if why:
            self._failures[node] = why
            if len(self._failures) > MAX_FAILURES:
                del self._failures[next(iter(self._failures))]
        # All is forgotten before anything fires: who ends by it must not send to the lost node, which would
        # connect to it again.
        broken, fired = self._links.take_node(node), self._monitors.take_node(node)
        unanswered = self._spawns.take_node(node)
        for record, remote in broken:
            self._exit_signal(record, remote, NOCONNECTION, True)
        for ref, watcher in fired:
            watcher.down(ref, NOCONNECTION)
        for ref, requester in unanswered:
            requester.not_spawned(ref, ExitError(NOCONNECTION))

    def bonds_with(self, node: str) -> int:
        """Return how many links there are with processes of a node, and monitors that it set, together."""
        return self._links.count(node) + self._monitors.count(node)
