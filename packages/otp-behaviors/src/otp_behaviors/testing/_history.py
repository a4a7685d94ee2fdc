"""The log of a `Workload`, sorted by what the checks of its guarantees ask for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from etf_codec import Pid, Term

from otp_behaviors._reasons import NOCONNECTION, NOPROC
from otp_behaviors._signals import AliasSignal, MessageSignal
from otp_behaviors.testing._events import Event


class Note(NamedTuple):
    """What an actor noted, and where in the log that is."""

    place: int
    verb: str
    args: tuple[Any, ...]


class History:
    """A log, sorted by what the checks ask for."""

    def __init__(self, log: Sequence[Event]) -> None:
        self.log = log
        self.rest = len(log)
        self.spawned: list[Pid] = []
        self.ended: dict[Pid, int] = {}
        self.reasons: dict[Pid, Term] = {}
        self.notes: dict[Pid, list[Note]] = defaultdict(list)
        self.lost: set[tuple[Any, ...]] = set()
        self.lost_by_alias: set[tuple[Any, ...]] = set()
        self._nodedowns: dict[tuple[str, str], list[int]] = defaultdict(list)
        for index, event in enumerate(log):
            self._add(index, event)

    def _add(self, index: int, event: Event) -> None:
        match event.kind, event.what:
            case "spawn", (pid, *_):
                self.spawned.append(pid)
            case "exit", (pid, reason):
                self.ended[pid] = index
                self.reasons[pid] = reason
            case "crash", _:
                gone = [pid for pid in self.spawned if pid.node == event.node and pid not in self.ended]
                self.ended.update(dict.fromkeys(gone, index))
            case "nodedown" | "unreachable", (other, _):
                self._nodedowns[event.node, other].append(index)
            case "lose", (MessageSignal(message=("number" | "forward", sender, to, number, *_)), _):
                self.lost.add((sender, to, number))
            case "lose", (AliasSignal(message=("alias", *message)), _):
                self.lost_by_alias.add(tuple(message))
            case "note", (None, _):
                self.rest = index
            case "note", (pid, verb, *args):
                self.notes[pid].append(Note(index, verb, tuple(args)))

    def lives(self, pid: Pid) -> bool:
        """Whether it lived when the cluster had come to rest."""
        return self.ended.get(pid, self.rest) >= self.rest

    def disconnected(self, node: str, other: str, first: int, last: int) -> bool:
        """Whether a node noticed in this time that it lost another one."""
        return any(first <= index <= last for index in self._nodedowns[node, other])

    def explains(self, watcher: Pid, target: Pid, since: int, now: int, reason: Term) -> bool:
        """Whether a link or monitor made at `since` may have had this reason at `now`."""
        if reason == NOCONNECTION and self.disconnected(watcher.node, target.node, since, now):
            return True
        ended = self.ended.get(target, self.rest)
        return ended <= now and (reason == NOPROC or self.reasons.get(target) == reason)

    def having(self, *verbs: str) -> Iterator[tuple[Pid, str, tuple[Any, ...]]]:
        """Every note with one of these verbs: who, which, and its details."""
        for pid, notes in self.notes.items():
            yield from ((pid, note.verb, note.args) for note in notes if note.verb in verbs)
