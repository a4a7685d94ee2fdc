"""Scenarios of state machines: events, states, postponed and inserted events, starts and ends."""

from collections.abc import Iterator
from itertools import product
from typing import Any, Final

from twin_logs import REASONS, Scenario, chosen
from twin_servers import STOPS, WATCHERS
from twin_statem_programs import (
    INSERTED,
    MODES,
    NEVER,
    TIMEOUTS,
    TYPES,
    Acts,
    Enters,
    Step,
    call,
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
from twin_statem_timeouts import at_once, in_time, meanwhile
from twin_statem_walks import STATES, logged_walks, walks

NEXT: Final = ("next_state", "b")
SAME: Final = ("next_state", "a")
NOTE: Final = ("note", "here")
ALL_TYPES: Final = (*TYPES, *(("inserted", type_) for type_ in INSERTED))

CHANGES: Final[dict[str, Acts]] = {
    "nothing": [],
    "same": [SAME],
    "next": [NEXT],
    "repeat": ["repeat_state"],
    "hibernate": ["hibernate"],
    "hibernate_next": ["hibernate", NEXT],
    "postpone": ["postpone"],
    "postpone_same": ["postpone", SAME],
    "postpone_next": ["postpone", NEXT],
    "postpone_repeat": ["postpone", "repeat_state"],
    "insert": [insert("one"), insert("two")],
    "insert_next": [insert("one"), NEXT, insert("two")],
    "insert_postpone": [insert("one"), "postpone", insert("two", NEXT)],
    "reply": [("reply", "yes")],
    "reply_next": [("reply", "yes"), NEXT],
    "reply_repeat": ["repeat_state", ("reply", "yes")],
    **{key: [zero(key)] for key in TIMEOUTS},
    **{f"{key}_next": [zero(key), NEXT] for key in TIMEOUTS},
    **{f"{key}_never": [timeout(key, NEVER, program("never"))] for key in TIMEOUTS},
    **{f"{key}_cancel": [timeout(key, "cancel")] for key in TIMEOUTS},
    "mail": [("send_self", "word"), ("cast_self", program("mail")), insert("first"), zero("t")],
    "all": [("reply", "yes"), NEXT, "postpone", "hibernate", insert("one"), zero("t"), zero("event_timeout")],
}
"""What a state function may want, short of an end."""

ENDS: Final[tuple[Any, ...]] = (
    *(("stop", reason) for reason in REASONS),
    *(("stop_and_reply", reason, "bye") for reason in REASONS),
    *(("exit", reason) for reason in (*REASONS, "kill")),
    "crash",
    ("return", 5),
)


def results() -> Iterator[Scenario]:
    """All that may come of an event of each type: one machine goes through them, and back to its state."""
    back = cast("back", ("next_state", "c"), ("cast_self", program("home", SAME)))
    for type_, enter in product(ALL_TYPES, MODES):
        steps: list[Step] = []
        for number, (name, acts) in enumerate(CHANGES.items()):
            what = program(name, a=acts, c=[("reply", "late")])
            steps += [caused(type_, what, f"client{number}"), back]
        yield statem("result", (type_, mode_of(enter)), *steps, plan=machine(enter=enter))


def endings() -> Iterator[Scenario]:
    """Everything that ends a machine, in the handling of each type of event."""
    after = call("second", program("after", ("reply", "here")))
    for type_, end, trap in product(TYPES, ENDS, (False, True)):
        for early in ([NOTE], [NOTE, ("reply_now", "early")])[: 1 + (type_ == "call")]:
            # A second reply may find the caller still listening: whether it does is a race in OTP.
            if len(early) == 2 and end[0] == "stop_and_reply":
                continue
            step = caused(type_, program("end", *early, end))
            yield statem(
                "end", (type_, end, trap, len(early)), *WATCHERS, step, after, plan=machine(trap=trap)
            )
    for type_, end, stop in product(("call", "cast", "t"), ENDS, (("exit", "late"), "crash")):
        step = caused(type_, program("end", end))
        yield statem("end", (type_, end, stop), *WATCHERS, step, after, plan=machine(stop=stop))


def terminations() -> Iterator[Scenario]:
    """How a machine is ended by others, whether `terminate` runs, and what that may do."""
    for stop, trap, reason in product((*STOPS, "crash"), (False, True), (*REASONS, "kill")):
        for enter in (None, {"b": [[timeout("state_timeout", NEVER, program("never"))]]}):
            plan = machine(zero("t", "start", NEXT), enter=enter, trap=trap, stop=stop)
            name = (stop, trap, reason, mode_of(enter))
            # From its parent, from somebody who wants it to stop, and from another process it is linked to.
            yield statem("signal", name, *WATCHERS, ("signal", reason), plan=plan)
            for how in ("link", "alone"):
                step = ("stop", "stopper", reason)
                yield statem("stop", (*name, how), *WATCHERS, step, plan=plan, how=how)
            linked = ("watch", "linked", "link", True)
            sent = [linked, ("signal_client", "linked", reason), ("exit_client", "linked", reason)]
            yield statem("linked", name, *sent, to("c"), plan=plan)


def starts() -> Iterator[Scenario]:
    """Everything `init` may do, or end with."""
    acts: dict[str, Acts] = {
        "nothing": [],
        "note": [NOTE],
        "hibernate": ["hibernate"],
        "postpone": ["postpone"],
        "mail": [("cast_self", program("mail")), ("send_self", "word")],
        "insert": [insert("one"), ("next_event", "cast", program("two")), insert("three", NEXT)],
        "postponed": [insert("one", a=["postpone"]), insert("two", NEXT)],
        "state_timeout_cancelled": [zero("state_timeout"), insert("go", NEXT)],
        "event_timeout_cancelled": [zero("event_timeout"), insert("go")],
        "last": [zero("t", "first"), zero("t", "last"), zero("u"), timeout("u", "cancel")],
        "never": [timeout(key, NEVER, program("never")) for key in TIMEOUTS],
        "all": [("cast_self", program("mail")), *map(zero, TIMEOUTS), insert("one"), "hibernate"],
        **{key: [zero(key)] for key in TIMEOUTS},
    }
    ends: list[Any] = ["ignore", "crash", *product(("stop", "exit"), REASONS)]
    after: list[Step] = [cast("after", NEXT), ("info", "hello")]
    for name, some in acts.items():
        yield from in_both_modes("start", name, *after, inits=some)
    for end, trap, how in product(ends, (False, True), ("link", "alone")):
        plan = {**machine(trap=trap), "init": [NOTE, end]}
        yield statem("start", (end, trap, how), *after, plan=plan, how=how)
    for how in ("link", "alone"):
        yield statem("start", ("no_state", how), *after, plan={**machine(), "init": [NOTE]}, how=how)
    yield statem("start", ("twice",), ("start", "alone", machine()), cast("after"))


P1, P2, P3 = (cast(name, a=["postpone"]) for name in ("p1", "p2", "p3"))
AGAIN: Final = cast("again", a=["postpone"], b=["postpone"])

POSTPONED: Final[dict[str, list[Step]]] = {
    "order": [P1, P2, P3, to("b"), to("a"), to("b")],
    "again": [AGAIN, P1, cast("again_too", a=["postpone"], b=["postpone"]), to("b"), AGAIN, to("c")],
    "back": [AGAIN, P1, to("b"), to("a"), P2, to("b"), to("c")],
    "same": [P1, to("a"), cast("repeat", "repeat_state"), cast("keep"), to("b")],
    "before_inserted": [P1, P2, cast("go", NEXT, insert("i1"), ("next_event", "cast", program("i2")))],
    "before_pending": [
        cast(
            "burst",
            insert("p1", a=["postpone"]),
            insert("p2", a=["postpone"]),
            insert("go", NEXT, insert("i1")),
            insert("rest"),
            insert("on", ("next_state", "c")),
            insert("end"),
        )
    ],
    "before_mail": [
        P1,
        cast("burst", *(("cast_self", program(name)) for name in ("m1", "m2")), insert("go", NEXT)),
    ],
    "mail": [
        cast(
            "burst",
            ("cast_self", program("p1", a=["postpone"])),
            ("send_self", "word"),
            ("cast_self", program("go", NEXT)),
            ("cast_self", program("rest")),
        )
    ],
    "first_moves_on": [cast("p1", a=["postpone"], b=[("next_state", "c")]), AGAIN, P2, to("b")],
    "second_moves_on": [AGAIN, cast("p1", a=["postpone"], b=[("next_state", "c")]), P2, to("b")],
    "moves_on_postponed": [cast("p1", a=["postpone"], b=[("next_state", "c"), "postpone"]), AGAIN, to("b")],
    "moves_back": [cast("p1", a=["postpone"], b=[SAME]), AGAIN, P2, to("b"), to("c")],
    "moves_itself": [cast("p1", a=[NEXT, "postpone"], b=[("next_state", "c"), "postpone"])],
    "moves_itself_first": [P1, cast("p2", a=[NEXT, "postpone"], b=[insert("i")]), P3, to("a"), to("b")],
    "inserts": [cast("p1", a=["postpone"], b=[insert("i1"), insert("i2")]), P2, to("b")],
    "inserts_and_postpones": [
        cast("p1", a=["postpone", insert("i1")], b=["postpone", insert("i2")]),
        to("b"),
    ],
    "inserted_moves_on": [
        AGAIN,
        cast("p1", a=["postpone"], b=[insert("on", ("next_state", "c"))]),
        P2,
        to("b"),
    ],
    "stops": [P1, cast("p2", a=["postpone"], b=[("stop", "boom")]), P3, to("b")],
    "crashes": [P1, cast("p2", a=["postpone"], b=["crash"]), P3, to("b")],
    "event_timeout": [P1, cast("go", NEXT, zero("event_timeout"))],
    "state_timeout": [P1, P2, cast("go", NEXT, zero("state_timeout"), zero("t"))],
    "state_timeout_moves_on": [P1, AGAIN, cast("go", NEXT, zero("state_timeout", "on", ("next_state", "c")))],
    "sets_timeouts": [
        cast("p1", a=["postpone", zero("t"), zero("state_timeout")], b=[zero("u"), zero("event_timeout")]),
        cast("p2", a=["postpone", zero("state_timeout")], b=[zero("t"), zero("state_timeout")]),
        to("b"),
    ],
    "types": [*(caused(type_, program(str(type_), a=["postpone"])) for type_ in TYPES), to("b")],
    "calls": [
        *(call(f"c{n}", program(f"c{n}", a=["postpone"], b=[("reply", f"r{n}")])) for n in range(3)),
        to("b"),
        call("after", program("after", ("reply", "here"))),
    ],
    "inserted_call": [
        call("c", program("c", ("next_event", "call", program("i", a=["postpone"], b=[("reply", "yes")])))),
        to("b"),
    ],
    "timeouts": [
        cast("set", *(zero(key, None, a=["postpone"], b=[insert(f"{key}_again")]) for key in TIMEOUTS)),
        cast("set", zero("event_timeout", None, a=["postpone"])),
        to("b"),
    ],
}


def postponing() -> Iterator[Scenario]:
    """Postponed events: their order among themselves, and among inserted ones, timeouts and messages."""
    for name, steps in POSTPONED.items():
        yield from in_both_modes("postpone", name, *steps)
        entered: Enters = {
            "b": [[zero("t")], ["repeat_state"]],
            "c": [["repeat_state", zero("state_timeout")]],
        }
        yield statem("postpone", (name, "entering"), *steps, plan=machine(enter=entered))


INSERTED_EVENTS: Final[dict[str, list[Step]]] = {
    "order": [cast("burst", *(insert(name) for name in ("i1", "i2", "i3")))],
    "nested": [cast("burst", insert("i1", insert("i1a", insert("i1aa")), insert("i1b")), insert("i2"))],
    "types": [
        call(
            "c", program("burst", *(("next_event", type_, program("i")) for type_ in ("internal", *INSERTED)))
        ),
    ],
    "states": [
        cast("burst", insert("i1", NEXT), insert("i2", b=[("next_state", "c")]), insert("i3", c=[SAME])),
    ],
    "mail": [
        cast("burst", ("cast_self", program("m1")), insert("i1", ("cast_self", program("m2"))), insert("i2"))
    ],
    "timeouts": [
        cast("burst", zero("state_timeout"), insert("i1", insert("i2"), zero("t")), zero("u"), insert("i3")),
    ],
    "calls": [
        call("c", program("c", ("next_event", "call", program("i1")), insert("i2", ("reply", "yes")))),
        call("d", program("d", ("next_event", "call", program("i", ("reply", "inner"))))),
    ],
    "ends": [cast("burst", insert("i1"), insert("i2", ("stop", "boom")), insert("i3"))],
    "hibernates": [cast("burst", "hibernate", insert("i1", "hibernate"), insert("i2"))],
}


def inserting() -> Iterator[Scenario]:
    """Inserted events: before all that waits, each before what is inserted later."""
    for name, steps in INSERTED_EVENTS.items():
        yield from in_both_modes("insert", name, *steps)


ENTERING: Final[dict[str, Acts]] = {
    **{name: CHANGES[name] for name in ("nothing", "hibernate", "reply", "repeat", "reply_repeat")},
    **{name: acts for name, acts in CHANGES.items() if name.startswith(TIMEOUTS) and "next" not in name},
    "timeouts": [zero(key) for key in reversed(TIMEOUTS)],
    "timeouts_repeat": [*(zero(key) for key in TIMEOUTS), "repeat_state"],
    "mail": [("cast_self", program("mail")), ("send_self", "word"), zero("t")],
    "early_reply": [("reply_now", "early")],
    "next": [NOTE, ("next_state", "c")],
    "postpone": [NOTE, "postpone"],
    "insert": [NOTE, insert("one")],
    **{f"end_{number}": [NOTE, end] for number, end in enumerate(ENDS)},
}
"""What `Enter` may want, and what it may not: another state, to be postponed, to insert an event."""


def entering() -> Iterator[Scenario]:
    """What `Enter` does, in each way in which a state is entered."""
    after = call("second", program("after", ("reply", "here")))
    busy = program("go", insert("one"), NEXT, zero("t", "early"), "postpone", zero("state_timeout", "early"))
    ways: dict[str, tuple[str, list[Step]]] = {
        "start": ("a", []),
        "repeat": ("a", [call("client", program("go", "repeat_state"))]),
        **{type_: ("b", [caused(type_, program("go", NEXT))]) for type_ in TYPES},
        "postponed": ("b", [P1, cast("p2", a=["postpone"], b=[("next_state", "c")]), to("b")]),
        "busy": ("b", [P1, call("client", busy)]),
    }
    for (way, (state, steps)), (name, acts) in product(ways.items(), ENTERING.items()):
        first: list[Acts] = [[], acts] if way == "repeat" else [acts]
        plan = machine(enter={state: first}, trap=name.endswith("1"))
        yield statem("entering", (way, name), *WATCHERS, *steps, after, plan=plan)
        if name == "nothing":
            plan = machine(enter={state: [*first[:-1], [("next_state", state)]]})
            yield statem("entering", (way, "same"), *steps, after, plan=plan)


def merging() -> Iterator[Scenario]:
    """Timeouts that the event and `Enter` set: the last one counts, and has its place among the others."""
    for key, later in product(TIMEOUTS, (None, "zero", "cancel", "never", "repeat")):
        for change in (NEXT, SAME, "repeat_state"):
            acts: dict[str | None, list[Any]] = {
                None: [],
                "zero": [zero(key, "later")],
                "cancel": [timeout(key, "cancel")],
                "never": [timeout(key, NEVER, program("never"))],
                "repeat": ["repeat_state", zero(key, "later"), zero("u", "later_u")],
            }
            first = cast("go", *(zero(each, f"{each}_early") for each in TIMEOUTS), change, insert("one"))
            state = "b" if change == NEXT else "a"
            enter: Enters = {state: [*([] if state == "b" else [[]]), acts[later], [zero("t", "again")]]}
            name = (key, later, change)
            yield statem("merging", name, first, cast("after"), to("c"), plan=machine(enter=enter))


def observing() -> Iterator[Scenario]:
    """Machines that `sys` looks into, holds up, and gives another state."""
    look: list[Step] = [("sys", "waiting"), ("sys", "state"), ("sys", "waiting")]
    timeouts = [timeout(key, NEVER, program("never")) for key in TIMEOUTS]
    pending: list[Step] = [P1, P2, cast("set", *timeouts), *look]
    hold: list[Step] = [("sys", "suspend"), cast("m1", zero("t")), ("info", "word"), to("b"), cast("m2")]
    go: list[Step] = [("sys", "resume"), *look]
    yield from in_both_modes("sys", "look", *pending, cast("after"), *look, to("b"), *look)
    yield from in_both_modes("sys", "hold", *pending, *hold, *look, *go, to("c"), *look)
    yield from in_both_modes("sys", "stop", *pending, *hold, ("stop", "stopper", "boom"), *look)
    yield from in_both_modes("sys", "end", *pending, ("sys", "suspend"), ("signal", "shutdown"), *look)
    for state in STATES:
        changed: list[Step] = [("sys", ("state", state)), *look, cast("after"), *look, to("b"), *look]
        yield from in_both_modes("sys", f"replace_{state}", *pending, *changed)
        yield from in_both_modes("sys", f"replace_{state}_held", *pending, *hold, *changed, *go)
    for type_, (name, acts) in product(("call", "t", "internal"), CHANGES.items()):
        if name not in ("all", "insert_postpone"):  # Where a reply is an action, it has a place among them.
            step = caused(type_, program(name, a=acts, b=[("reply", "yes")]))
            yield from in_both_modes(
                "sys", f"log_{type_}_{name}", ("sys", ("log", 100)), P1, step, ("sys", "log")
            )


ODD: Final[tuple[Any, ...]] = (1, 1.0, True, ("n", 1), ("n", 1.0), ("n", True), ("n",), ())
"""States that are another one, `=/=`, though Python may call them equal."""


def odd_states() -> Iterator[Scenario]:
    """States of every kind: what is another state, and what is the same one."""
    steps = [cast("p", "postpone"), ("cast", program("set", zero("t", "timeout")))]
    for first, second in product(ODD, repeat=2):
        steps += [to(first), to(second)]
    yield from in_both_modes("odd", "states", *steps)


ODD_STATES: Final = frozenset([odd_states.__name__])
"""The groups whose states are not atoms."""

GROUPS: Final = (
    *(
        results,
        endings,
        terminations,
        starts,
        postponing,
        inserting,
        entering,
        merging,
        observing,
        odd_states,
    ),
    *(at_once, meanwhile, in_time),
)
STATEMS: Final = {
    **{group.__name__: chosen(group()) for group in GROUPS},
    **{group.__name__: list(group()) for group in (walks, logged_walks)},
}
