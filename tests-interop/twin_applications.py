"""Scenarios of applications: starts, phases, ends and their reach, stops and their order."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, Final

from twin_logs import REASONS, Scenario, chosen, label

TYPES: Final = ("permanent", "transient", "temporary")
OUTCOMES: Final = ("ok", ("error", "refused"), ("exit", "refused"), "crash")
LONG: Final = 5000


def worker(trap: bool = True, init: Any = "ok", stop: Any = "ok") -> tuple[Any, ...]:
    return ("worker", {"init": [init], "trap": trap, "stop": stop})


def application(name: str, tree: Any = None, **options: Any) -> tuple[Any, ...]:
    """An application whose tree is one worker, named after it, so that its end is the application's."""
    return (name, {"tree": tree or worker(), "worker": f"{name}_worker", **options})


def played(group: str, parts: Sequence[Any], *steps: Any, fatal: bool = False) -> Scenario:
    return Scenario(label("application", group, *parts), "application", steps, fatal=fatal)


def ends() -> Iterator[Scenario]:
    """An application that ends by itself, and what else ends with it."""
    hows = (*(("stop", reason) for reason in REASONS), ("exit", "boom"), "crash", ("signal", "kill"))
    for type, how in product(TYPES, hows):
        fatal = type == "permanent" or (type == "transient" and how != ("stop", "normal"))
        load = ("load", [application("one"), application("two", depends=["one"]), application("three")])
        starts = [("start", "two", type), ("start", "three", "temporary")]
        yield played("end", (type, how), load, *starts, ("end", "two_worker", how), fatal=fatal)
    for how in hows:
        load = ("load", [application("one"), application("two", depends=["one"])])
        steps = [("start", "two", "permanent"), ("end", "one_worker", how), ("stop", "two")]
        yield played("end/dependency", (how,), load, *steps)


def stops() -> Iterator[Scenario]:
    """Stopping: callbacks before and after the tree, whatever they do, and in which order."""
    for type, prep, last in product(TYPES, OUTCOMES[::3], OUTCOMES[::3]):
        load = ("load", [application("one", prep_stop=prep, stop=last)])
        steps = [("start", "one", type), ("stop", "one"), ("stop", "one")]
        yield played("stop", (type, prep, last), load, *steps)
    for prep, how in product(OUTCOMES[::3], (("stop", "normal"), "crash")):
        load = ("load", [application("one", prep_stop=prep)])
        yield played(
            "stop/ended", (prep, how), load, ("start", "one", "temporary"), ("end", "one_worker", how)
        )
    children = [
        ("a", worker(), "permanent", LONG, False),
        ("b", worker(stop="crash"), "permanent", LONG, False),
    ]
    for strategy, how in product(("one_for_one", "rest_for_one"), ("stop", "end")):
        tree = ("sup", "top", strategy, 0, 5, "never", children)
        load = ("load", [application("one", tree)])
        finish = ("stop", "one") if how == "stop" else ("end", "a", "crash")
        yield played("tree", (strategy, how), load, ("start", "one", "temporary"), finish)
    for trap in (False, True):
        chain = [application("one", worker(trap)), application("two", worker(trap), depends=["one"])]
        chain += [application("three", worker(trap), depends=["two", "one"])]
        stops = [("stop", name) for name in ("two", "three", "one")]
        starts = [("start", "three", "temporary"), ("start", "two", "temporary")]
        yield played("order", (trap,), ("load", chain), *starts, *stops, ("start", "two", "temporary"))


def starts() -> Iterator[Scenario]:
    """Trees that do not start, and start phases."""
    for init, depends in product(
        ("ignore", ("stop", "refused"), ("exit", "refused"), "crash"), (False, True)
    ):
        load = ("load", [application("one", worker(init=init)), application("two", depends=["one"])])
        yield played("start", (init, depends), load, ("start", "two" if depends else "one", "temporary"))
    for first, second in product(OUTCOMES, repeat=2):
        phases = [("warm", first), ("open", second)]
        load = ("load", [application("one", worker(trap=False), phases=phases)])
        yield played("phases", (first, second), load, ("start", "one", "temporary"), ("stop", "one"))
    for init in ("ok", ("stop", "refused")):
        load = ("load", [application("one", worker(init=init), phases=[("warm", "ok")])])
        yield played("phases", (init,), load, ("start", "one", "temporary"), ("start", "one", "temporary"))
    lives = application("one", lifespan=30, prep_stop="ok")
    begin = ("until", 6, ("start", "one", "transient"))
    yield played("lifespan", (), ("load", [lives]), begin)


APPLICATIONS: Final = {group.__name__: chosen(group()) for group in (ends, stops, starts)}
