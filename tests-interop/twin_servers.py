"""Scenarios of servers: a message is the program of the callback it causes, `(acts, result)`."""

import random
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Final

from twin_logs import REASONS, Scenario, chosen, label

LONG: Final = 5000
STOPS: Final = ("ok", ("slow", 300), ("exit", "normal"), ("exit", "late"))
"""What `terminate` does; slow is slower than a busy machine is in seeing that everybody waits."""

NOTE: Final[Any] = ("note", "here")
DONE: Final[Any] = ([], "noreply")
CALLBACKS: Final = ("call", "cast", "info", "continue")
RESULTS: Final[tuple[Any, ...]] = (
    "noreply",
    "hibernate",
    ("continue", ([NOTE], "noreply")),
    ("continue", ([NOTE], ("continue", ([NOTE], "noreply")))),
    *(("stop", reason) for reason in REASONS),
    *(("exit", reason) for reason in REASONS),
    ("exit", "kill"),
    "crash",
)
REPLIES: Final[tuple[Any, ...]] = (
    ("reply", "yes"),
    ("reply", "yes", "hibernate"),
    ("reply", "yes", ("continue", ([NOTE], "noreply"))),
    ("reply", "yes", ("continue", ([NOTE], ("stop", "boom")))),
    *(("stop", reason, "yes") for reason in REASONS),
)


def server(init: Any = ([], "ok"), *, trap: bool = False, stop: Any = "ok") -> dict[str, Any]:
    return {"init": init, "trap": trap, "stop": stop}


def served(group: str, parts: Sequence[Any], *steps: Any, plan: Any = None, how: str = "link") -> Scenario:
    begin = ("start", how, server() if plan is None else plan)
    return Scenario(label("server", group, *parts), "server", (begin, *steps), unordered=True)


WATCHERS: Final = (
    ("watch", "linked", "link", False),
    ("watch", "trapping", "link", True),
    ("watch", "watching", "monitor", False),
    ("watch", "by_name", "monitor_name", False),
)


def message(callback: str, program: Any, client: str = "client") -> tuple[Any, ...]:
    """The step that has a callback run a program."""
    match callback:
        case "call":
            return ("call", client, "server", program, LONG)
        case "continue":
            return ("cast", ([], ("continue", program)))
        case "info":
            return ("info", ("do", program))
    return (callback, program)


def results() -> Iterator[Scenario]:
    """Everything a callback may return, or end with, seen by callers, links and monitors."""
    after: Any = ("call", "second", "server", ([], ("reply", "here")), LONG)
    for callback, result, trap in product(CALLBACKS, RESULTS, (False, True)):
        step = message(callback, ([NOTE], result))
        yield served("result", (callback, result, trap), *WATCHERS, step, after, plan=server(trap=trap))
    for result, stop in product(REPLIES, ("ok", "crash", ("exit", "late"))):
        step = message("call", ([NOTE], result))
        yield served("reply", (result, stop), *WATCHERS, step, after, plan=server(stop=stop))


def starts() -> Iterator[Scenario]:
    """Everything `init` may return, or end with."""
    results: list[Any] = [
        "ok",
        "hibernate",
        ("continue", ([NOTE], "noreply")),
        ("continue", ([NOTE], ("stop", "boom"))),
    ]
    results += ["ignore", "crash", *((how, reason) for how, reason in product(("stop", "exit"), REASONS))]
    for result, trap, how in product(results, (False, True), ("link", "alone")):
        plan = server(([NOTE], result), trap=trap)
        yield served(
            "start", (result, trap, how), ("cast", ([NOTE], "noreply")), ("info", "hello"), plan=plan, how=how
        )
    again = ("start", "alone", server())
    yield served("start", ("twice",), again, ("cast", ([NOTE], "noreply")))


def ends() -> Iterator[Scenario]:
    """How a server ends, whether `terminate` runs, and what that may do."""
    for stop, trap, reason in product(STOPS, (False, True), (*REASONS, "kill")):
        plan = server(trap=trap, stop=stop)
        yield served("end/signal", (stop, trap, reason), *WATCHERS, ("signal", reason), plan=plan)
        for how in ("link", "alone"):
            step = ("stop", "stopper", reason)
            yield served("end/stop", (stop, trap, reason, how), *WATCHERS, step, plan=plan, how=how)
    for reason, trap in product((*REASONS, "kill"), (False, True)):
        plan = server(trap=trap, stop="crash")
        yield served("end/crash", (reason, trap), ("stop", "stopper", reason), plan=plan)
        other = [("watch", "linked", "link", True), ("signal_client", "linked", reason)]
        yield served(
            "end/link", (reason, trap), *other, ("exit_client", "linked", reason), plan=server(trap=trap)
        )


def calls() -> Iterator[Scenario]:
    """Replies that come early, later, twice, too late or never."""
    waits = ("call", "client", "server", ([NOTE], "noreply"), LONG)
    late = ("until", 3, ("call", "client", "server", ([NOTE], "noreply"), 20))
    yield served("call", ("deferred",), waits, ("answer", "later"), ("answer", "again"))
    yield served("call", ("late",), late, ("answer", "late"), message("call", ([], ("reply", 1)), "next"))
    # A second reply may find the caller still listening: whether it does is a race in OTP.
    for ending in ("noreply", "hibernate", ("stop", "boom"), ("exit", "boom"), "crash"):
        yield served("call", ("early", ending), message("call", ([("reply", "first")], ending)))
    for reason in (*REASONS, "kill"):
        for trap in (False, True):
            plan = server(trap=trap)
            yield served("call", ("ended", reason, trap), waits, ("signal", reason), plan=plan)
            yield served("call", ("stopped", reason, trap), waits, ("stop", "other", reason), plan=plan)
            yield served(
                "call", ("left", reason, trap), waits, ("signal_client", "client", reason), ("answer", 1)
            )
        gone = [("signal", "kill"), ("call", "by_pid", "pid", DONE, LONG)]
        yield served("call", ("dead", reason), *gone, ("call", "by_name", "server", DONE, 7))
        yield served("call", ("stop_dead", reason), ("signal", "kill"), ("stop", "stopper", reason))
    yield served("call", ("nobody",), ("call", "client", "nobody", DONE, LONG))
    yield served("call", ("nobody", "infinity"), ("call", "client", "nobody", DONE, "infinity"))
    order = [("send_self", "one"), ("cast_self", ([("note", "two")], "noreply")), ("send_self", "three")]
    for callback, result in product(CALLBACKS, RESULTS[:3]):
        yield served("order", (callback, result), message(callback, (order, result)))


def timeouts() -> Iterator[Scenario]:
    """The timeout of a callback: it comes, unless a message comes first."""
    for callback in CALLBACKS:
        step = message(callback, ([], ("timeout", 10)))
        expected = {"call": 2, "cast": 2, "info": 2, "continue": 3}[callback]
        yield served("timeout", (callback,), ("until", expected, step))
        first = message(callback, ([("send_self", "first")], ("timeout", 30)))
        yield served("timeout", (callback, "cancelled"), first, message("cast", ([], "noreply")))
        zero = message(callback, ([("send_self", "first")], ("timeout", 0)))
        yield served("timeout", (callback, "zero", "mail"), zero)
        yield served(
            "timeout", (callback, "zero"), ("until", expected, message(callback, ([], ("timeout", 0))))
        )
    yield served("timeout", ("reply",), ("until", 3, message("call", ([], ("reply", 1, ("timeout", 10))))))
    yield served("timeout", ("init",), plan=server(([], ("timeout", 0))))


def server_walks(count: int = 60) -> Iterator[Scenario]:
    """Random programs, one after the other."""
    for seed in range(count):
        chance = random.Random(seed)
        clients = (f"c{number}" for number in range(100))
        steps = [random_message(chance, next(clients)) for _ in range(chance.randint(3, 8))]
        plan = server(trap=chance.random() < 0.5, stop=chance.choice(["ok", ("exit", "late"), "crash"]))
        yield served("walk", (str(seed),), *WATCHERS, *steps, plan=plan)


def random_message(chance: random.Random, client: str) -> tuple[Any, ...]:
    callback = chance.choice(CALLBACKS)
    acts: list[Any] = chance.choices([NOTE, ("send_self", "word"), ("trap", chance.random() < 0.5)], k=2)
    usual: list[Any] = ["noreply", "hibernate", ("continue", ([NOTE], "noreply"))]
    if callback == "call":
        usual = list(REPLIES[:3])
    result = chance.choice(RESULTS) if chance.random() < 0.2 else chance.choice(usual)
    return message(callback, (acts, result), client)


SERVERS: Final = {
    group.__name__: chosen(group()) for group in (results, starts, ends, calls, timeouts, server_walks)
}
