"""What the Erlang reference manual guarantees of signals and processes, checked over the log of a `Workload`.

Each check reads the notes of all actors and yields what broke its guarantee.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from etf_codec import Pid, Reference, Term

from otp_behaviors._reasons import KILL, NOCONNECTION, NOPROC, NORMAL
from otp_behaviors._signals import MessageSignal
from otp_behaviors.testing._events import Event


def violations(log: Sequence[Event]) -> list[str]:
    """Return what in the log of a `Workload` breaks a guarantee, a line each; none is as it must be."""
    history = History(log)
    return [f"{check.__name__}: {complaint}" for check in CHECKS for complaint in check(history)]


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
            case "nodedown", (other,):
                self._nodedowns[event.node, other].append(index)
            case "lose", (MessageSignal(message=("number", *message)),):
                self.lost.add(tuple(message))
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


Check: TypeAlias = Callable[[History], Iterator[str]]


def order(history: History) -> Iterator[str]:
    """G1: what one process sends to a pid, or to a name, arrives in its order and once. No late replies."""
    last: dict[tuple[Pid, Pid, bool], int] = defaultdict(int)
    for pid, _, (sender, target, number) in history.having("got"):
        before = last[pid, sender, target is None]
        if number <= before:
            yield f"{pid!r} got {number} of {sender!r} after {before}"
        last[pid, sender, target is None] = number
    for pid, _, (message,) in history.having("surprise"):
        yield f"{pid!r} got {message!r}, a late reply or worse"


def order_across_kinds(history: History) -> Iterator[str]:
    """G1: the end of a process is the last thing heard of it."""
    for pid, notes in history.notes.items():
        over: set[Pid] = set()
        for index, verb, args in notes:
            if verb == "got" and args[0] in over:
                yield f"{pid!r} heard {args[2]} of {args[0]!r} after its end"
            elif verb in ("down", "exit_message"):
                who, reason = args[1:3] if verb == "down" else args[:2]
                # These two may have come of a process that lived on.
                if reason not in (NORMAL, NOCONNECTION) and history.explains(pid, who, index, index, reason):
                    over.add(who)


def loss(history: History) -> Iterator[str]:
    """G2: nothing is lost but with a connection, or with the receiver."""
    got = {(sender, pid, number) for pid, _, (sender, _, number) in history.having("got")}
    for pid, _, (target, number) in history.having("send"):
        if history.lives(target) and (pid, target, number) not in got | history.lost:
            yield f"{target!r} lives and never got {number} of {pid!r}"


def links(history: History) -> Iterator[str]:
    """G3, for pairs of which one side alone acts on the link, so that its notes say when there is one."""
    acting = {(pid, args[0]) for pid, _, args in history.having("link", "unlink", "exit_2")}
    for pid, partner in {(pid, args[0]): None for pid, _, args in history.having("link")}:
        if (partner, pid) not in acting and pid != partner:
            yield from _one_link(history, pid, partner)


def _one_link(history: History, pid: Pid, partner: Pid) -> Iterator[str]:
    """`stray` counts the exit messages that had come, and were not taken, at the latest link or unlink."""
    first, stray = 0, 0
    since: int | None = None
    for index, verb, args in history.notes[pid]:
        if args[:1] != (partner,):
            continue
        if verb == "link":
            first = first or index
            since, stray = (index if since is None or args[1] else since), args[1]
        elif verb == "unlink":
            since, stray = None, args[1]
        elif verb == "exit_message":
            if since is None and not stray:
                yield f"{pid!r} got an exit message of {partner!r} without a link"
            if not history.explains(pid, partner, first, index, args[1]):
                yield f"{pid!r} got {args[1]!r} for {partner!r}, which did not end so"
            since, stray = (since, stray - 1) if stray else (None, 0)
    # One that does not trap exits never hears of a partner that ended with `normal`.
    if since is not None and history.lives(pid) and history.reasons.get(partner) != NORMAL:
        if not history.lives(partner):
            yield f"{pid!r} is linked with {partner!r}, which has ended, and was not told"
        if history.disconnected(pid.node, partner.node, since, history.rest):
            yield f"{pid!r} was not told that its link with {partner!r} broke"


def monitors(history: History) -> Iterator[str]:
    """G4: each monitor fires once, or is removed."""
    for pid, notes in history.notes.items():
        watched: dict[Reference, tuple[int, Any]] = {}
        for index, verb, args in notes:
            if verb == "monitor":
                watched[args[0]] = (index, args[1])
            elif verb == "demonitor" and (args[1] or args[2]):
                if args[2] and args[0] not in watched:
                    yield f"{pid!r} removed {args[0]!r}, which had fired"
                watched.pop(args[0], None)
            elif verb == "down":
                since, target = watched.pop(args[0], (index, None))
                if target != args[1]:
                    yield f"{pid!r} got a Down of {args[1]!r} twice, or after demonitor, or for {target!r}"
                elif isinstance(target, Pid) and not history.explains(pid, target, since, index, args[2]):
                    yield f"{pid!r} got {args[2]!r} for {target!r}, which did not end so"
        if history.lives(pid):
            yield from _open_monitors(history, pid, watched)


def _open_monitors(history: History, pid: Pid, watched: dict[Reference, tuple[int, Any]]) -> Iterator[str]:
    for since, target in watched.values():
        node = target.node if isinstance(target, Pid) else str(target[1])
        if isinstance(target, Pid) and not history.lives(target):
            yield f"{pid!r} monitors {target!r}, which has ended, and was not told"
        if history.disconnected(pid.node, node, since, history.rest):
            yield f"{pid!r} was not told that its monitor of {target!r} broke"


def names(history: History) -> Iterator[str]:
    """G5: names are free before anyone is told."""
    for pid, _, (_, who, reason, held) in history.having("down"):
        if held and reason != NOCONNECTION:
            yield f"{pid!r} was told the end of {who!r}, which is still registered as {held}"
    for pid, _, (who, reason, direct, held) in history.having("exit_message"):
        if held and not direct and reason not in (NORMAL, NOCONNECTION):
            yield f"{pid!r} was told the end of {who!r}, which is still registered as {held}"


def kill(history: History) -> Iterator[str]:
    """G6: `kill` by exit/2 cannot be trapped and becomes `killed`; `normal` ends nobody but its sender."""
    own = {(pid, reason) for pid, _, (reason,) in history.having("end")}
    own |= {(pid, reason) for pid, _, (target, reason) in history.having("exit_2") if target == pid}
    for pid in history.notes:
        if history.reasons.get(pid) == NORMAL and (pid, NORMAL) not in own:
            yield f"{pid!r} ended with normal, which only it could have decided"
    ended_so = {pid for pid, reason in own if reason == KILL and history.reasons.get(pid) == KILL}
    for pid, _, (who, reason, *_) in history.having("exit_message"):
        if reason == KILL and history.reasons.get(who) != KILL:
            yield f"{pid!r} trapped a kill of {who!r}"
    for pid, reason in history.reasons.items():
        if reason == KILL and not ended_so:
            yield f"{pid!r} ended with kill, not killed, and nobody had ended with kill by itself"


def aliases(history: History) -> Iterator[str]:
    """G7: an inactive alias drops; what was queued stays."""
    for pid, notes in history.notes.items():
        inactive: dict[Reference, list[Any]] = {}
        for _, verb, args in notes:
            if verb == "unalias":
                inactive[args[0]] = args[1]
            elif verb == "got_alias" and args[1] not in inactive.get(args[0], [args[1]]):
                yield f"{pid!r} got {args[1]} by an alias it had deactivated"


def nodes(history: History) -> Iterator[str]:
    """G9: nothing of a connection arrives after its nodedown."""
    down: set[tuple[str, str]] = set()
    for event in history.log:
        if event.kind == "nodedown":
            down.add((event.node, event.what[0]))
        elif event.kind == "connect":
            down -= {(event.node, event.what[0]), (event.what[0], event.node)}
        elif event.kind == "deliver" and (event.node, event.what[0].sender.node) in down:
            yield f"after its nodedown: {event}"


def incarnations(history: History) -> Iterator[str]:
    """G10: no pid twice, and nothing that was meant for an earlier incarnation."""
    if len(set(history.spawned)) != len(history.spawned):
        yield "two processes had the same pid"
    for pid, _, (_, target, _) in history.having("got"):
        if target not in (pid, None):
            yield f"{pid!r} got a message for {target!r}"


def calls(history: History) -> Iterator[str]:
    """Each call has one end, and an answer is the answer to its own request."""
    ends: dict[tuple[Pid, int], int] = defaultdict(int)
    for pid, verb, (number, *details) in history.having("answered", "call_failed"):
        ends[pid, number] += 1
        if verb == "answered" and details[1] != (details[0], number):
            yield f"{pid!r} asked {details[0]}, {number} and was answered {details[1]!r}"
    for pid, _, (number,) in history.having("calling"):
        if ends[pid, number] != 1 and (ends[pid, number] or history.lives(pid)):
            yield f"call {number} of {pid!r} ended {ends[pid, number]} times"


CHECKS: Final[tuple[Check, ...]] = (
    order,
    order_across_kinds,
    loss,
    links,
    monitors,
    names,
    kill,
    aliases,
    nodes,
    incarnations,
    calls,
)
