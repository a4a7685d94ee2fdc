"""Scenarios of supervisors: generated data, played under OTP and under otp_behaviors.

Combinations first, then random walks with fixed seeds. Strings stand for atoms, times are milliseconds, and
the vocabulary of steps is that of `twins.erl`.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Final

from twin_logs import REASONS, Scenario, chosen, label

STRATEGIES: Final = ("one_for_one", "one_for_all", "rest_for_one")
RESTARTS: Final = ("permanent", "transient", "temporary")
ENDS: Final = (
    *(("stop", reason) for reason in REASONS),
    *(("exit", reason) for reason in REASONS),
    "crash",
    ("signal", "kill"),
    ("signal", "shutdown"),
)
LONG: Final = 5000
FAILURES: Final = ("ignore", ("stop", "refused"), ("exit", "refused"), "crash")


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
        # A loaded machine may need longer than that for what is not meant to take time.
        and not (stop != "hang" and trap and shutdown == 20)
        and not (isinstance(stop, tuple) and stop[0] == "slow" and shutdown in (0, 20))
    ]
    for (shutdown, trap, stop), how in product(behaviors, stops):
        middle = worker("b", "transient", shutdown, trap=trap, stop=stop)
        start = ("start", tree(worker("a", trap=True), middle, worker("c", "temporary", trap=True)))
        killed = how == ("exit", "top", "kill")  # Then the children learn it at once, in any order.
        step = how
        if killed and trap and stop == ("slow", 30):
            step = ("until", 4, how)  # With nobody to wait for it, b takes its time: three learn it, b ends.
        yield supervised("shutdown", (shutdown, trap, stop, how), start, step, unordered=killed)


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
    for shutdown, stop in product(("brutal_kill", LONG, "infinity"), ("ok", "crash", ("exit", "late"))):
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
    group.__name__: chosen(group())
    for group in (restarts, intensities, shutdowns, significant, failures, management, simple, walks)
}
