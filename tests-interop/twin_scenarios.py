"""The scenarios of the twin tests: generated data, played under OTP and under otp_behaviors.

Combinations first, then random walks with fixed seeds. Strings stand for atoms, times are milliseconds, and
the vocabulary of steps is that of `twins.erl`.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Final

from twin_logs import Scenario

STRATEGIES: Final = ("one_for_one", "one_for_all", "rest_for_one")
RESTARTS: Final = ("permanent", "transient", "temporary")
REASONS: Final = ("normal", "shutdown", ("shutdown", "moved"), "boom")
ENDS: Final = (
    *(("stop", reason) for reason in REASONS),
    *(("exit", reason) for reason in REASONS),
    "crash",
    ("signal", "kill"),
    ("signal", "shutdown"),
)
LONG: Final = 5000
FAILURES: Final = ("ignore", ("stop", "refused"), ("exit", "refused"), "crash")


# Supervisors


def worker(
    id: str,
    restart: str = "permanent",
    shutdown: Any = LONG,
    significant: bool = False,
    *,
    init: Sequence[Any] = ("ok",),
    trap: bool = False,
    stop: Any = "ok",
) -> tuple[Any, ...]:
    """A worker as a child; `init` says how each start of it goes, the last entry how all further ones do."""
    plan = {"init": list(init), "trap": trap, "stop": stop}
    return (id, ("worker", plan), restart, shutdown, significant)


def tree(
    *children: Any, name: str = "top", strategy: str = "one_for_one", intensity: int = 10, auto: str = "never"
) -> tuple[Any, ...]:
    """A supervisor; the period is so long that only the intensity counts."""
    return ("sup", name, strategy, intensity, 1000, auto, list(children))


def label(*parts: Any) -> str:
    return "/".join("_".join(map(str, part)) if isinstance(part, tuple) else str(part) for part in parts)


def supervised(group: str, parts: Sequence[Any], *steps: Any, unordered: bool = False) -> Scenario:
    return Scenario(label(group, *parts), "supervisor", steps, unordered)


STOP: Final = ("exit", "top", "shutdown")


def restarts() -> Iterator[Scenario]:
    """Every strategy, restart type, way to end, and place of the child that ends."""
    for strategy, restart, how, place in product(STRATEGIES, RESTARTS, ENDS, "abc"):
        children = [worker(id, restart if id == place else "permanent", trap=id == "b") for id in "abc"]
        start = ("start", tree(*children, strategy=strategy))
        yield supervised("restart", (strategy, restart, how, place), start, ("end", place, how), STOP)


def intensities() -> Iterator[Scenario]:
    """As many restarts as are allowed, and one more."""
    for strategy, intensity, how in product(STRATEGIES, range(4), ("crash", ("stop", "normal"))):
        start = ("start", tree(*map(worker, "abc"), strategy=strategy, intensity=intensity))
        ends = [("end", "b", how)] * (intensity + 1)
        yield supervised("intensity", (strategy, intensity, how), start, *ends)


def shutdowns() -> Iterator[Scenario]:
    """How children stop: in which order, in time, too late, or by force."""
    stops = [STOP, ("stop", "top", "normal"), ("stop", "top", "boom"), ("ask", "top", "terminate_child", "b")]
    stops += [("exit", "top", "kill"), ("exit", "top", "boom"), ("exit", "top", "normal")]
    behaviors: list[tuple[Any, bool, Any]] = [
        (shutdown, trap, stop)
        for shutdown, trap, stop in product(("brutal_kill", 0, 20, LONG, "infinity"), (False, True), STOPS)
        if not (stop == "hang" and trap and shutdown in (LONG, "infinity"))
        and not (isinstance(stop, tuple) and stop[0] == "slow" and shutdown in (0, 20))
    ]
    every = list(product(behaviors, stops))
    for (shutdown, trap, stop), how in random.Random(7).sample(every, 160):
        middle = worker("b", "transient", shutdown, trap=trap, stop=stop)
        start = ("start", tree(worker("a", trap=True), middle, worker("c", "temporary", trap=True)))
        killed = how == ("exit", "top", "kill")  # Then the children learn it at once, in any order.
        yield supervised("shutdown", (shutdown, trap, stop, how), start, how, unordered=killed)


STOPS: Final = ("ok", "hang", "crash", ("slow", 30), ("exit", "normal"), ("exit", "late"))


def significant() -> Iterator[Scenario]:
    """Children whose end may end their supervisor."""
    for auto, strategy, restart, how in product(
        ("any_significant", "all_significant"), STRATEGIES, ("transient", "temporary"), ENDS
    ):
        children = [
            worker("a", restart, significant=True),
            worker("b"),
            worker("c", restart, significant=True),
        ]
        nested = tree(*children, name="inner", strategy=strategy, auto=auto)
        start = ("start", tree(("inner", nested, "transient", "infinity", False), worker("d")))
        yield supervised(
            "significant", (auto, strategy, restart, how), start, ("end", "a", how), ("end", "c", how), STOP
        )


def failures() -> Iterator[Scenario]:
    """Children that do not start: the first time, or when they are restarted."""
    for failure, place, restart in product(FAILURES, "abc", RESTARTS):
        children = [worker(id, restart, init=[failure if id == place else "ok"], trap=True) for id in "abc"]
        yield supervised("failure/first", (failure, place, restart), ("start", tree(*children)), STOP)
    for failure, strategy, place, times in product(FAILURES, STRATEGIES, "abc", (1, 2, 9)):
        inits = ["ok", *[failure] * times, "ok"]
        children = [worker(id, init=inits if id == place else ["ok"], trap=id == "a") for id in "abc"]
        start = ("start", tree(*children, strategy=strategy, intensity=3))
        yield supervised(
            "failure/again", (failure, strategy, place, times), start, ("end", "b", "crash"), STOP
        )
    for failure, strategy in product(FAILURES, STRATEGIES):
        nested = tree(worker("a"), worker("b", init=["ok", failure]), name="inner", strategy=strategy)
        start = ("start", tree(("inner", nested, "permanent", "infinity", False), worker("c"), intensity=2))
        yield supervised("failure/nested", (failure, strategy), start, ("end", "b", "crash"), STOP)


COMMANDS: Final = ("terminate_child", "restart_child", "delete_child", "get_childspec")
STATES: Final[dict[str, tuple[Any, ...]]] = {
    "running": (),
    "terminated": (("ask", "top", "terminate_child", "b"),),
    "ended": (("end", "b", ("stop", "normal")),),
    "deleted": (("ask", "top", "terminate_child", "b"), ("ask", "top", "delete_child", "b")),
}


def management() -> Iterator[Scenario]:
    """Management calls, on children in every state."""
    for command, state, restart in product(COMMANDS, STATES, RESTARTS):
        start = ("start", tree(worker("a"), worker("b", restart), worker("c")))
        call = ("ask", "top", command, "b")
        yield supervised("management", (command, state, restart), start, *STATES[state], call, STOP)
    for state, restart, init in product(STATES, RESTARTS, ("ok", *FAILURES)):
        start = ("start", tree(worker("a"), worker("b"), worker("c")))
        added = ("ask", "top", "start_child", worker("b", restart, 20, init=[init]))
        yield supervised("management/start", (state, restart, init), start, *STATES[state], added, STOP)
    for failure, strategy in product(FAILURES, STRATEGIES):
        start = ("start", tree(worker("a"), worker("b", init=["ok", failure, "ok"]), strategy=strategy))
        stop, again = (("ask", "top", command, "b") for command in ("terminate_child", "restart_child"))
        yield supervised("management/restart", (failure, strategy), start, stop, again, again, STOP)
    spec = worker("b", "transient", significant=True)
    yield supervised("management", ("significant",), ("start", tree()), ("ask", "top", "start_child", spec))


def simple() -> Iterator[Scenario]:
    """`simple_one_for_one`: its children stop all at once, so their events have no order."""

    def template(restart: str = "transient", shutdown: Any = LONG, **options: Any) -> tuple[Any, ...]:
        id, (_, plan), *rest = worker("x", restart, shutdown, trap=True, **options)
        child = (id, ("template", plan), *rest)
        return ("start", tree(child, strategy="simple_one_for_one", intensity=2))

    add = [("ask", "top", "start_child", [name]) for name in "abc"]
    for restart, how, place in product(RESTARTS, ENDS, "ab"):
        steps = (template(restart), *add, ("end", place, how), STOP)
        yield supervised("simple", (restart, how, place), *steps, unordered=True)
    for restart, how in product(RESTARTS, ("crash", ("signal", "kill"))):
        steps = (template(restart), *add, *[("end", "a", how), ("end", "b", how)] * 2)
        yield supervised("simple/intensity", (restart, how), *steps[:-1], unordered=True)
    for failure in FAILURES:
        steps = (template(init=[failure]), add[0], STOP)
        yield supervised("simple/failure", (failure,), *steps, unordered=True)
    for failure, times in product(FAILURES[1:], (1, 5)):
        steps = (template(init=["ok", *[failure] * times, "ok"]), *add, ("end", "b", "crash"), STOP)
        yield supervised("simple/again", (failure, times), *steps, unordered=True)
    for command, argument in product(COMMANDS, ("a", "x", ("pid", "a"), ("pid", "b"))):
        gone = ("end", "b", ("stop", "normal"))
        steps = (template(), *add, gone, ("ask", "top", command, argument), STOP)
        yield supervised("simple/management", (command, argument), *steps, unordered=True)
    for shutdown, stop in product(("brutal_kill", 20, "infinity"), ("ok", "crash", ("exit", "late"))):
        steps = (template(shutdown=shutdown, stop=stop), *add, STOP)
        yield supervised("simple/shutdown", (shutdown, stop), *steps, unordered=True)
    for how in (STOP, ("stop", "top", "normal")):
        steps = (template(shutdown=20, stop="hang"), *add, how)
        yield supervised("simple/shutdown", ("hang", how), *steps, unordered=True)


def walks(count: int = 120) -> Iterator[Scenario]:
    """Random trees, and random things that happen to them."""
    for seed in range(count):
        chance = random.Random(seed)
        names = [f"w{number}" for number in range(chance.randint(2, 5))]
        children: list[Any] = [random_child(chance, name) for name in names]
        if chance.random() < 0.5:
            inner = [random_child(chance, name) for name in ("x", "y", "z")]
            nested = tree(
                *inner, name="inner", strategy=chance.choice(STRATEGIES), intensity=chance.randint(0, 2)
            )
            place = chance.randrange(len(children) + 1)
            children.insert(place, ("inner", nested, chance.choice(RESTARTS), "infinity", False))
            names += ["x", "y", "z"]
        start = ("start", tree(*children, strategy=chance.choice(STRATEGIES), intensity=chance.randint(1, 5)))
        steps = [random_step(chance, names) for _ in range(chance.randint(3, 9))]
        yield supervised("walk", (str(seed),), start, *steps)


def random_child(chance: random.Random, name: str) -> tuple[Any, ...]:
    inits = ["ok", *chance.choices(["ok", *FAILURES], [12, 1, 1, 1, 1], k=6)]
    return worker(
        name,
        chance.choice(RESTARTS),
        chance.choice(["brutal_kill", LONG, "infinity"]),
        init=inits,
        trap=chance.random() < 0.5,
    )


def random_step(chance: random.Random, names: Sequence[str]) -> tuple[Any, ...]:
    name = chance.choice(names)
    if chance.random() < 0.6:
        return ("end", name, chance.choice(ENDS))
    top = chance.choice(["top", "top", "inner"]) if "x" in names else "top"
    if chance.random() < 0.2:
        return ("ask", top, "start_child", random_child(chance, chance.choice([name, "new"])))
    return ("ask", top, chance.choice(COMMANDS), chance.choice([name, "inner", "nobody"]))


SUPERVISORS: Final = {
    group.__name__: list(group())
    for group in (restarts, intensities, shutdowns, significant, failures, management, simple, walks)
}


# Servers: a message is the program of the callback it causes, `(acts, result)`

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
    results += ["ignore", "crash", *(end for end in ENDS if isinstance(end, tuple) and end[0] != "signal")]
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
        if stop in ("hang", "crash"):
            continue
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
    group.__name__: list(group()) for group in (results, starts, ends, calls, timeouts, server_walks)
}
