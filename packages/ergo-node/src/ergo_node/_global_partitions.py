"""Overlapping partitions, and how they are prevented.

With overlapping partitions (A sees B, B sees C, A has lost C) the tables of `global` would no longer be the
same on all nodes. So whoever loses a connection tells all others, and they leave the lost node too: what
remains are partitions that do not overlap. See `prevent_overlapping_partitions` of KERNEL.
"""

from __future__ import annotations

from itertools import count
from typing import Final

from etf_codec import Atom, Term

LOST_CONNECTION: Final = Atom("lost_connection")
REMOVE_CONNECTION: Final = Atom("remove_connection")

LEAST_SMALL: Final = -(2**59)
"""The run of a node is told by an integer that is a small one for OTP, which begin here."""

KEPT: Final = 3600.0
"""Seconds that a report is remembered, as OTP does: copies of it may still be under way."""

MAX_REPORTS: Final = 100_000
"""Reports remembered at once: 300 nodes that have all lost each other."""


class Partitions:
    """What this node reports of its own connections, and has seen of reports of others.

    Args:
        own: this node.
        run: 27 random bits, which tell this name server from an earlier one.
        creation: the node's.
        prevented: whether overlapping partitions are prevented at all.
    """

    def __init__(self, own: str, run: int, creation: int, prevented: bool) -> None:
        self._own = own
        self._run = (run << 32) + creation + LEAST_SMALL
        self._numbers = count(1)
        self._prevented = prevented
        self._leaving: set[str] = set()
        # In the order they came, the last at the end.
        self._reports: dict[tuple[str, str], tuple[int, int, float]] = {}

    def leave(self, node: str) -> None:
        """A node is left on purpose: its end is nothing to report."""
        self._leaving.add(node)

    def lost(self, node: str) -> Term | None:
        """A node is gone: return what to tell all others; None if it was left, or nothing is prevented."""
        if node in self._leaving:
            self._leaving.discard(node)
            return None
        if not self._prevented:
            return None
        return (LOST_CONNECTION, Atom(self._own), self._run, next(self._numbers), Atom(node))

    def reported(self, reporter: str, lost: str, creation: int, number: int, now: float) -> str | None:
        """A node reports a lost connection: return whom to leave; None if that is no news.

        Args are those of `is_news`.
        """
        if not self._prevented or not self.is_news(reporter, lost, creation, number, now):
            return None
        return reporter if lost == self._own else lost

    def is_news(self, reporter: str, lost: str, creation: int, number: int, now: float) -> bool:
        """Take a report; False if it has been seen.

        Args:
            reporter: the node that has lost a connection.
            lost: the node it was with.
            creation: tells runs of the reporter apart.
            number: grows from each report of that run to the next.
            now: the present in seconds.
        """
        self._forget(now)
        pair = (reporter, lost)
        known = self._reports.get(pair)
        if known is not None and known[0] == creation and number <= known[1]:
            return False
        self._reports.pop(pair, None)
        self._reports[pair] = (creation, number, now)
        return True

    def _forget(self, now: float) -> None:
        while self._reports:
            oldest = next(iter(self._reports))
            if len(self._reports) < MAX_REPORTS and now - self._reports[oldest][2] < KEPT:
                return
            del self._reports[oldest]
