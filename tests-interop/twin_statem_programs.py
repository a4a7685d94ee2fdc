"""What scenarios of state machines are made of: programs, acts, and steps that cause an event.

A program is an event: `(label, cases)`, the cases being pairs of a state and the acts that are carried out
when the event is handled in it; the state `_` stands for all others. `twin_statem.erl` knows all acts.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from twin_logs import Scenario, label
from twin_servers import LONG

NEVER: Final = 1_000_000
"""Milliseconds that no scenario lasts."""

Acts = Sequence[Any]
Enters = Mapping[str, Sequence[Acts]]
Program = tuple[str, list[tuple[str, Acts]]]
Step = tuple[Any, ...]

TYPES: Final = ("call", "cast", "info", "internal", "event_timeout", "state_timeout", "t")
INSERTED: Final = ("call", "cast", "info", "timeout", "state_timeout", ("timeout", "t"))
"""Types of events that a machine may insert, besides `internal`."""

TIMEOUTS: Final = ("event_timeout", "state_timeout", "t", "u")
"""The timeouts of a machine, the last two by the names they are given."""

MODES: Final[tuple[Enters | None, ...]] = (None, {})
"""Of machines that get no `Enter`, and of those that do and want nothing of it."""


def program(name: str, *acts: Any, **cases: Acts) -> Program:
    """An event with this label: in some states it has the acts of their cases, in all others `acts`."""
    return (name, [*cases.items(), ("_", list(acts))])


def timeout(key: str, *arguments: Any) -> Any:
    """The act that sets a timeout, `(milliseconds, program)`, or cancels it, `("cancel",)`."""
    return (key, *arguments) if key.endswith("timeout") else ("timeout", key, *arguments)


def zero(key: str, name: str | None = None, *acts: Any, **cases: Acts) -> Any:
    """The act that sets a timeout of no time."""
    return timeout(key, 0, program(name or f"{key}_is_over", *acts, **cases))


def insert(name: str, *acts: Any, **cases: Acts) -> Any:
    """The act that inserts an internal event."""
    return ("next_event", "internal", program(name, *acts, **cases))


def cast(name: str, *acts: Any, **cases: Acts) -> Step:
    return ("cast", program(name, *acts, **cases))


def call(client: str, what: Program) -> Step:
    return ("call", client, "server", what, LONG)


def to(state: Any) -> Step:
    return cast("go", ("next_state", state))


def caused(type_: Any, what: Program, client: str = "client") -> Step:
    """The step that causes an event of a type, directly or by that of another event."""
    match type_:
        case "call":
            return call(client, what)
        case "cast":
            return ("cast", what)
        case "info":
            return ("info", ("do", what))
        case "internal":
            return cast("insert", ("next_event", "internal", what))
        case ("inserted", "call"):
            return call(client, program("insert", ("next_event", "call", what)))
        case ("inserted", inserted):
            return cast("insert", ("next_event", inserted, what))
    return cast("set", timeout(type_, 0, what))


def machine(
    *acts: Any, state: str = "a", enter: Enters | None = None, trap: bool = False, stop: Any = "ok"
) -> dict[str, Any]:
    """The plan of a machine: what `init` does, what states do when they are entered, and `terminate`."""
    return {
        "init": [("next_state", state), *acts],
        "enter": "none" if enter is None else enter,
        "trap": trap,
        "stop": stop,
    }


def statem(
    group: str, parts: Sequence[Any], *steps: Step, plan: Any = None, how: str = "link", events: int = 0
) -> Scenario:
    """The scenario of a machine; its start is over when so many events have been written."""
    begin: Step = ("start", how, machine() if plan is None else plan)
    if events:
        begin = ("until", events, begin)
    return Scenario(label("statem", group, *parts), "statem", (begin, *steps), unordered=True)


def in_both_modes(group: str, name: str, *steps: Step, inits: Acts = ()) -> list[Scenario]:
    """The scenario of a machine that gets no `Enter`, and of one that does."""
    return [
        statem(group, (name, mode_of(enter)), *steps, plan=machine(*inits, enter=enter)) for enter in MODES
    ]


def mode_of(enter: Enters | None) -> str:
    return "plain" if enter is None else "enter"
