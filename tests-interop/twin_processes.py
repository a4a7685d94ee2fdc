"""Scenarios of plain processes: links, monitors, exit signals, names and aliases.

A process is sent lists of operations; what a list does to another process reaches that one in order, but two
processes are not ordered, so one list avoids what OTP leaves to chance.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Final

from twin_logs import REASONS, Scenario, chosen, label

KILLS: Final = (*REASONS, "kill", "killed")
NAMES: Final = ("a", "b", "c")


def processes(group: str, parts: Sequence[Any], *steps: Any) -> Scenario:
    return Scenario(label(group, *parts), "process", (("spawn", list(NAMES)), *steps), unordered=True)


def do(name: str, *operations: Any) -> tuple[Any, ...]:
    return ("do", name, list(operations))


TIES: Final[dict[str, tuple[Any, ...]]] = {
    "link": (("link", "b"),),
    "link_twice": (("link", "b"), ("link", "b")),
    "monitor": (("monitor", "b"),),
    "monitor_twice": (("monitor", "b"), ("monitor", "b")),
    "both": (("monitor", "b"), ("link", "b")),
    "name": (("register", "bee", "b"), ("monitor_name", "bee")),
    "alias": (("monitor_alias", "b", "demonitor"),),
}
ENDS: Final = (*(("end", reason) for reason in KILLS), "crash", *(("exit_self", reason) for reason in KILLS))


def ties() -> Iterator[Scenario]:
    """What a linked or watching process learns, and whether it survives."""
    for tie, trap, how in product(TIES, (False, True), ENDS):
        ready = [do("a", ("trap", trap), *TIES[tie]), do("c", ("link", "a"), ("trap", True))]
        yield processes("tie", (tie, trap, how), *ready, do("b", how), do("c", ("alive", "a")))
    for tie, trap, reason in product(TIES, (False, True), KILLS):
        ready = [do("a", ("trap", trap), *TIES[tie]), do("b", ("trap", trap))]
        yield processes("signal", (tie, trap, reason), *ready, do("c", ("exit", "b", reason)))
        yield processes("signal/own", (tie, trap, reason), *ready, do("a", ("exit", "b", reason)))
    for trap, how in product((False, True), ENDS):
        yield processes("self", (trap, how), do("a", ("trap", trap)), do("a", how), do("b", ("alive", "a")))


UNDO: Final[dict[str, Any]] = {
    "link": ("unlink", "b"),
    "monitor": ("demonitor", "b"),
    "both": ("unlink", "b"),
    "alias": ("demonitor_info", "b"),
    "name": ("demonitor_info", "bee"),
}


def undone() -> Iterator[Scenario]:
    """Ties that are cut before the end of the other, at once with it, or after it."""
    for (tie, undo), trap, reason in product(UNDO.items(), (False, True), KILLS):
        ready = do("a", ("trap", trap), *TIES[tie])
        end = do("b", ("end", reason))
        yield processes("undone/before", (tie, trap, reason), ready, do("a", undo), do("a", undo), end)
        yield processes("undone/after", (tie, trap, reason), ready, end, do("a", undo))
    for trap, reason in product((False, True), KILLS):
        exit = ("exit", "b", reason)
        cut = do("a", ("trap", True), ("link", "b"), exit, ("unlink", "b"), ("flush", "b"), ("trap", trap))
        yield processes("race/unlink", (trap, reason), do("b", ("trap", trap)), cut)
        flush = do("a", ("monitor", "b"), exit, ("demonitor_flush", "b"))
        yield processes("race/demonitor", (trap, reason), do("b", ("trap", trap)), flush)
        for later in (("link", "b"), ("monitor", "b"), ("alive", "b"), ("send", "b", "word")):
            lists: list[Any] = [("trap", True), exit, later]
            yield processes("race", (later, trap, reason), do("b", ("trap", trap)), do("a", *lists))
    for first, second in product((("link", "b"), ("monitor", "b"), ("send", "b", "word")), repeat=2):
        steps = [do("b", ("trap", True)), do("a", first, second, ("exit", "b", "boom"), ("end", "done"))]
        yield processes("race/order", (first, second), *steps)


def chains() -> Iterator[Scenario]:
    """Exits that run along links, as far as somebody traps them."""
    for trapping, reason, start in product(("", *NAMES, "d"), KILLS, ("a", "b")):
        steps: list[Any] = [do("a", ("link", "b")), do("b", ("link", "c")), do("c", ("spawn_link", "d"))]
        steps += [do(trapping, ("trap", True))] if trapping else []
        yield processes("chain", (trapping or "none", reason, start), *steps, do(start, ("end", reason)))
    for spawn, trap, how in product(("spawn", "spawn_link", "spawn_monitor"), (False, True), ENDS):
        steps = [do("a", ("trap", trap)), do("a", (spawn, "d")), do("d", how)]
        yield processes("spawned", (spawn, trap, how), *steps, do("b", ("alive", "a")))


def names() -> Iterator[Scenario]:
    """Registered names: taken, given back, and released before anybody learns of an end."""
    take = ("register", "bee", "b")
    for later in (take, ("register", "bee", "c"), ("register", "other", "b"), ("unregister", "bee")):
        yield processes("name", (later,), do("a", take, later, ("whereis", "bee"), ("whereis", "other")))
    for reason in KILLS:
        again = [("whereis", "bee"), ("register", "bee", "c"), ("send_name", "bee", "word")]
        yield processes("name/end", (reason,), do("a", take), do("b", ("end", reason)), do("a", *again))
        dead = [do("b", ("end", reason)), do("a", take, ("send_name", "bee", "word"))]
        yield processes("name/dead", (reason,), *dead, do("a", ("monitor_name", "bee"), ("monitor", "b")))
        yield processes("name/dead/link", (reason,), *dead, do("a", ("trap", True), ("link", "b")))
        yield processes("name/dead/dies", (reason,), *dead, do("a", ("link", "b")))
    moved: list[Any] = [take, ("monitor_name", "bee"), ("unregister", "bee"), ("register", "bee", "c")]
    yield processes("name/moved", (), do("a", *moved), do("c", ("end", "boom")), do("b", ("end", "boom")))


def aliases() -> Iterator[Scenario]:
    """Aliases: what reaches their owner, and until when."""
    word, again = (("send_alias", "b", what) for what in ("word", "again"))
    for mode in ("explicit_unalias", "demonitor", "reply_demonitor"):
        make = do("a", ("monitor_alias", "b", mode))
        middles: dict[str, tuple[Any, ...]] = {
            "nothing": (),
            "unalias": (do("a", ("unalias", "b"), ("unalias", "b")),),
            "demonitor": (do("a", ("demonitor", "b")),),
            "end": (do("b", ("end", "boom")),),
        }
        for middle, steps in middles.items():
            after = do("b", ("end", "later"))
            yield processes(
                "alias", (mode, middle), make, *steps, do("c", word, again), do("c", again), after
            )
            yield processes("alias/first", (mode, middle), make, do("c", word), *steps, do("c", again), after)
    own = [("alias", "mine"), ("send_alias", "mine", "word")]
    for later in (("unalias", "mine"), ("alias", "more")):
        send = ("send_alias", "mine", "again")
        yield processes("alias/own", (later,), do("a", *own), do("a", later), do("b", send), do("a", send))
    late = [do("a", *own), do("a", ("end", "boom")), do("b", ("send_alias", "mine", "late"))]
    yield processes("alias/dead", (), *late)


def process_walks(count: int = 100) -> Iterator[Scenario]:
    """Random operations, one at a time."""
    for seed in range(count):
        chance = random.Random(seed)
        steps: list[Any] = []
        watched: set[tuple[str, str]] = set()
        for _ in range(chance.randint(6, 16)):
            name, other = chance.sample(NAMES, 2)
            operation = random_operation(chance, name, other, watched)
            steps.append(do(name, operation))
        yield processes("walk", (str(seed),), *steps)


def random_operation(chance: random.Random, name: str, other: str, watched: set[tuple[str, str]]) -> Any:
    kind = chance.choice(WALK)
    if kind in ("demonitor", "demonitor_info", "demonitor_flush") and (name, other) not in watched:
        kind = "monitor"
    watched |= {(name, other)} if kind == "monitor" else set()
    match kind:
        case "exit":
            return ("exit", other, chance.choice(KILLS))
        case "end":
            return chance.choice(ENDS) if chance.random() < 0.4 else ("trap", True)
        case "trap":
            return ("trap", chance.random() < 0.6)
        case "send" | "send_name":
            return (kind, other if kind == "send" else "bee", "word")
        case "register":
            return ("register", "bee", chance.choice(NAMES))
        case "unregister" | "whereis":
            return (kind, "bee")
    return (kind, other)


WALK: Final = (
    *("link", "link", "unlink", "monitor", "demonitor", "demonitor_info", "demonitor_flush", "exit", "end"),
    *("trap", "send", "send_name", "register", "unregister", "whereis", "alive"),
)

PROCESSES: Final = {
    group.__name__: chosen(group()) for group in (ties, undone, chains, names, aliases, process_walks)
}
