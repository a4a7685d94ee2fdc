"""Scenarios of the timeouts of state machines: of no time, of some, and those that never end.

A timeout of no time that has not come yet is not set anew to some time: OTP 25 forgets that timer, and its
message arrives as `info` (`loop_timeouts_register/16` of gen_statem keeps the reference 0).
"""

from collections.abc import Iterator
from itertools import combinations, permutations, product
from typing import Any, Final

from twin_logs import Scenario
from twin_statem_programs import (
    INSERTED,
    MODES,
    NEVER,
    TIMEOUTS,
    Acts,
    Step,
    cast,
    caused,
    in_both_modes,
    insert,
    machine,
    mode_of,
    program,
    statem,
    timeout,
    to,
    zero,
)

NEXT: Final = ("next_state", "b")
SOON: Final = 3
LATER: Final = 8
"""Milliseconds. What ends later never begins earlier, so that the order is the same on a busy machine."""


def until(events: int, step: Step) -> Step:
    """The step is over when so many events have been written, and every process waits."""
    return ("until", events, step)


def never(key: str) -> Any:
    return timeout(key, NEVER, program("never"))


def soon(key: str, milliseconds: int = SOON, *acts: Any, name: str | None = None) -> Any:
    return timeout(key, milliseconds, program(name or f"{key}_is_over", *acts))


def at_once() -> Iterator[Scenario]:
    """Timeouts of no time that one callback sets: their order, and which of several for one key counts."""
    for count in range(1, 5):
        orders = permutations(TIMEOUTS, count)
        steps = [cast("set", *(zero(key) for key in order)) for order in orders]
        yield from in_both_modes("zero", f"order_{count}", *steps)
    numbered = [
        cast("set", *(zero(key, f"{key}{number}") for number, key in enumerate(keys)))
        for keys in product(TIMEOUTS, repeat=3)
    ]
    yield from in_both_modes("zero", "last", *numbered)
    for key in TIMEOUTS:
        kinds: dict[str, Any] = {
            "zero": zero(key),
            "never": never(key),
            "cancel": timeout(key, "cancel"),
            "other": zero("u" if key == "t" else "t", "other"),
        }
        several = [cast("set", *acts) for acts in product(kinds.values(), repeat=2)]
        yield from in_both_modes("zero", f"several_{key}", *several)
        pairs = [
            cast(name, kinds[name]) for name in ("never", "zero", "never", "cancel", "zero", "never", "never")
        ]
        yield from in_both_modes("zero", f"one_after_the_other_{key}", *pairs, to("b"), to("a"))


def meanwhile() -> Iterator[Scenario]:
    """What an event does to timeouts of no time that wait behind it."""
    does: dict[str, Acts] = {
        "nothing": [],
        "same": [("next_state", "a")],
        "next": [NEXT],
        "repeat": ["repeat_state"],
        "insert": [insert("more"), insert("and_more", NEXT)],
        "postpone": ["postpone"],
        "postpone_next": [NEXT, "postpone"],
        "mail": [("cast_self", program("mail"))],
        "hibernate": ["hibernate"],
        "stop": [("stop", "boom")],
        "crash": ["crash"],
        **{f"cancel_{key}": [timeout(key, "cancel")] for key in TIMEOUTS},
        **{f"anew_{key}": [zero(key, "anew")] for key in TIMEOUTS},
        **{f"anew_next_{key}": [zero(key, "anew"), NEXT] for key in TIMEOUTS},
        "cancel_all": [timeout(key, "cancel") for key in TIMEOUTS],
        "event_timeout_never": [never("event_timeout")],
        "state_timeout_never_next": [never("state_timeout"), NEXT],
    }
    orders = [TIMEOUTS, TIMEOUTS[::-1], *combinations(TIMEOUTS, 2)]
    for (name, acts), (number, order) in product(does.items(), enumerate(orders)):
        timeouts = [zero(key) for key in order]
        first = cast("set", *timeouts, insert("inserted", *acts))
        yield from in_both_modes("meanwhile", f"{name}_{number}", first, cast("after"), to("c"))
        # The first of the timeouts is the event.
        key, *others = order
        second = cast("set", zero(key, None, *acts), *(zero(other) for other in others))
        yield from in_both_modes("meanwhile", f"over_{name}_{number}", second, cast("after"), to("c"))
    for type_ in ("internal", *INSERTED):
        inserted = ("next_event", type_, program("inserted"))
        step = caused("call", program("set", zero("state_timeout"), zero("event_timeout"), inserted))
        yield from in_both_modes("meanwhile", f"type_{type_}", step, cast("after"))
    nested = cast(
        "set", zero("t", "t1", zero("t", "t2", zero("t", "t3")), zero("u")), zero("u", "u1", zero("u"))
    )
    yield from in_both_modes("meanwhile", "nested", nested)
    moves = zero("state_timeout", "on", NEXT, zero("state_timeout", "on", ("next_state", "c")))
    postponed = cast("p1", a=["postpone"], b=["postpone", zero("event_timeout")])
    yield from in_both_modes("meanwhile", "moves", postponed, cast("set", moves, zero("t")), to("a"))


def busy(*acts: Any) -> Any:
    """The act that inserts an event whose handling lasts longer than any timeout."""
    return insert("busy", ("sleep", 4 * SOON), *acts)


KEPT: Final = frozenset(("state_timeout", "t", "u"))
"""The timeouts that outlast an event."""


def fates(key: str) -> dict[str, tuple[Acts, bool, int]]:
    """What an event does while a timeout runs, whether that comes nevertheless, and what else comes of it."""
    return {
        "nothing": ([], key in KEPT, 0),
        "same": ([("next_state", "a")], key in KEPT, 0),
        "repeat": (["repeat_state"], key in KEPT, 1),
        "next": ([NEXT], key in KEPT - {"state_timeout"}, 1),
        "cancel": ([timeout(key, "cancel")], False, 0),
        "cancel_next": ([timeout(key, "cancel"), NEXT], False, 1),
        "never": ([never(key)], False, 0),
        "zero": ([zero(key, "anew")], True, 0),
        "anew": ([soon(key, name="anew")], True, 0),
        "anew_next": ([soon(key, name="anew"), NEXT], True, 1),
    }


def in_time() -> Iterator[Scenario]:
    """Timeouts of some time: they come, unless something cancels them. The last event always comes."""
    last = soon("m", LATER)
    for key, enter in product(TIMEOUTS, MODES):
        mode = mode_of(enter)
        plan = machine(enter=enter)
        for name, (acts, comes, entered) in fates(key).items():
            events = 3 + comes + (entered if enter is not None else 0)
            for group, act in (("time", insert("inserted", *acts, last)), ("overdue", busy(*acts, last))):
                step = cast("set", soon(key), act)
                yield statem(group, (key, name, mode), until(events, step), to("c"), plan=plan)
        step = cast("set", soon(key), last, ("send_self", "word"))
        yield statem("time", (key, "mail", mode), until(3 + (key in KEPT), step), plan=plan)
        step = cast("set", "hibernate", soon(key, SOON, "hibernate"), last)
        yield statem("time", (key, "alone", mode), until(3, step), to("b"), plan=plan)
        mail = [("cast_self", program(name)) for name in ("before", "after")]
        step = cast("set", soon(key), mail[0], busy(mail[1]))
        yield statem("overdue", (key, "mail", mode), until(4 + (key in KEPT), step), plan=plan)
        start = machine(soon(key), enter=enter)
        events = 3 + (enter is not None)
        yield statem("time", (key, "init", mode), cast("after", NEXT), plan=start, events=events)
    for key in TIMEOUTS:
        start = machine(never(key), enter={"a": [[soon(key)]], "b": [[soon(key)]]})
        yield statem("time", (key, "entering"), until(3, to("b")), to("a"), plan=start, events=4)
    order = [soon("t", 2 * SOON), soon("u", SOON), soon("state_timeout", 3 * SOON)]
    yield from in_both_modes("time", "order", until(4, cast("set", *order)))
    late = [*order, busy(zero("v", "zero"), insert("inserted"))]
    yield from in_both_modes("overdue", "order", until(7, cast("set", *late)))
    yield from in_both_modes("overdue", "stop", until(3, cast("set", soon("t"), busy(("stop", "boom")))))
    postponed = [cast("p1", a=["postpone"]), until(4, cast("set", soon("t"), busy(NEXT)))]
    yield statem("overdue", ("postponed",), *postponed)
