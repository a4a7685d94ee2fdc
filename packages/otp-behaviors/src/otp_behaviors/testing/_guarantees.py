"""What the Erlang reference manual guarantees of signals and processes, checked over the log of a `Workload`.

Each check reads the notes of all actors and yields what broke its guarantee.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from etf_codec import Pid, Reference

from otp_behaviors._effects import CrashReport, UnexpectedMessage
from otp_behaviors._errors import ExitError, Stop
from otp_behaviors._reasons import KILL, NOCONNECTION, NORMAL
from otp_behaviors.testing._actor import Broken
from otp_behaviors.testing._events import Event
from otp_behaviors.testing._history import History


def violations(log: Sequence[Event]) -> list[str]:
    """Return what in the log of a `Workload` breaks a guarantee, a line each; none is as it must be."""
    history = History(log)
    return [f"{check.__name__}: {complaint}" for check in CHECKS for complaint in check(history)]


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
    yield from _loss_by_alias(history)


def _loss_by_alias(history: History) -> Iterator[str]:
    makers = {alias: pid for pid, _, (alias,) in history.having("alias")}
    ended = {alias for _, _, (alias, _) in history.having("unalias")}
    arrived = {message for _, _, message in history.having("got_alias")} | history.lost_by_alias
    for pid, _, (alias, token) in history.having("send_alias"):
        if alias not in ended and history.lives(makers[alias]) and (alias, token) not in arrived:
            yield f"{makers[alias]!r} lives and never got {token} of {pid!r} by its alias"


def links(history: History) -> Iterator[str]:
    """G3, for pairs of which one side alone acts on the link, so that its notes say when there is one."""
    acting = {(pid, args[0]) for pid, _, args in history.having("link", "unlink", "exit_2")}
    for pid, partner in {(pid, args[0]): None for pid, _, args in history.having("link")}:
        if (partner, pid) not in acting and pid != partner:
            yield from _one_link(history, pid, partner)
    linked = {frozenset((pid, args[0])) for pid, _, args in history.having("link")}
    sent = {(pid, *args) for pid, _, args in history.having("exit_2")}
    for pid, _, (who, reason, *_) in history.having("exit_message"):
        if frozenset((pid, who)) not in linked and (who, pid, reason) not in sent:
            yield f"{pid!r} was told the end of {who!r}, and they were never linked"


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
                inactive[args[0]] = list(args[1])
            elif verb == "got_alias" and args[0] in inactive:
                if args[1] in inactive[args[0]]:
                    inactive[args[0]].remove(args[1])
                else:
                    yield f"{pid!r} got {args[1]} by an alias it had deactivated"
        for alias, queued in inactive.items():
            if queued and history.lives(pid):
                yield f"{pid!r} had {queued} in its mailbox when it deactivated {alias!r}, and never got it"


def suspension(history: History) -> Iterator[str]:
    """G8: who sent to a node that does not read does nothing until it does, and goes on then."""
    held: set[Pid] = set()
    for event in history.log[: history.rest]:
        if event.kind == "hold":
            held.add(event.what[0])
        elif event.kind == "let_go":
            held.discard(event.what[0])
        elif event.kind == "note" and event.what[0] in held:
            yield f"it was to wait: {event}"
    for pid in held:
        if history.lives(pid):
            yield f"{pid!r} was held up, and never let go"


def connections(history: History) -> Iterator[str]:
    """G9: all signals of a connection come between its nodeup and its nodedown, and the next is up after."""
    up: dict[tuple[str, str], int] = {}
    for event in history.log:
        if event.kind == "boot":
            up = {pair: number for pair, number in up.items() if pair[0] != event.node}
        elif event.kind == "nodeup":
            if (event.node, event.what[0]) in up:
                yield f"a second nodeup without a nodedown: {event}"
            up[event.node, event.what[0]] = event.what[1]
        elif event.kind == "nodedown":
            if up.pop((event.node, event.what[0]), None) != event.what[1]:
                yield f"a nodedown without its nodeup: {event}"
        elif event.kind == "deliver":
            signal, number = event.what
            if up.get((event.node, signal.sender.node)) != number:
                yield f"not between its nodeup and its nodedown: {event}"


def nodes(history: History) -> Iterator[str]:
    """G9, as processes see it: nodeup and nodedown take turns, and a node is heard of between them alone."""
    for pid, notes in history.notes.items():
        state: dict[str, str] = {}
        for _, verb, args in notes:
            if verb in ("nodeup", "nodedown"):
                if state.get(args[0]) == verb:
                    yield f"{pid!r} got {verb} of {args[0]} twice in a row"
                state[args[0]] = verb
            elif verb == "got" and state.get(args[0].node) == "nodedown":
                yield f"{pid!r} heard {args[2]} of {args[0]!r} between nodedown and nodeup"


def incarnations(history: History) -> Iterator[str]:
    """G10: no pid twice, and nothing that was meant for an earlier incarnation."""
    if len(set(history.spawned)) != len(history.spawned):
        yield "two processes had the same pid"
    for pid, _, (_, target, _) in history.having("got"):
        if target not in (pid, None):
            yield f"{pid!r} got a message for {target!r}"
    makers = {alias: pid for pid, _, (alias,) in history.having("alias")}
    for pid, _, (alias, _) in history.having("got_alias"):
        if makers[alias] != pid:
            yield f"{pid!r} got a message for an alias of {makers[alias]!r}"


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


def crashes(history: History) -> Iterator[str]:
    """Nobody crashes but who is told to, and nobody gets what it cannot know."""
    for event in history.log:
        match event.kind, event.what:
            case "report", (CrashReport(error=error),) if not isinstance(
                error, ExitError | Stop | Broken | None
            ):
                yield f"{event.what[0].pid!r} crashed: {error!r}"
            case "report", (UnexpectedMessage(message=message),):
                yield f"{event.what[0].record!r} got {message!r}, which it does not understand"


CHECKS: Final[tuple[Check, ...]] = (
    order,
    order_across_kinds,
    loss,
    links,
    monitors,
    names,
    kill,
    aliases,
    suspension,
    connections,
    nodes,
    incarnations,
    calls,
    crashes,
)
