"""Random programs for state machines, each of them an event that may cause more, down to a certain depth."""

import random
from collections.abc import Iterator
from typing import Any, Final

from twin_logs import REASONS, Scenario
from twin_statem_programs import (
    INSERTED,
    NEVER,
    Acts,
    Enters,
    Program,
    Step,
    caused,
    machine,
    program,
    statem,
    timeout,
)

STATES: Final = ("a", "b", "c")
UPWARDS: Final = {"a": ("b", "c"), "b": ("c",), "c": ("c",), "_": ("c",)}
DEPTH: Final = 2
ALWAYS_ZERO: Final = ("z0", "z1")
NEVER_ZERO: Final = ("n0", "n1")
"""Named timeouts. Which of both the state timeout is like is chosen for each machine, for what
`twin_statem_timeouts.py` says."""


class Dice:
    """Throws programs.

    They end: events are caused down to a certain depth only; what postpones itself may cause only such as do
    nothing, and changes the state only upwards, from `a` to `c`.
    """

    def __init__(self, seed: int, *, replies: bool = True) -> None:
        self.replies = replies
        self.chance = random.Random(seed)
        self.labels = 0
        self.state_timeout = self.chance.choice((0, NEVER))
        self.enters = self.chance.random() < 0.5

    def often(self, probability: float) -> bool:
        return self.chance.random() < probability

    def plan(self) -> dict[str, Any]:
        enter: Enters = {
            state: [self.entering() for _ in range(self.chance.randint(0, 4))] for state in STATES
        }
        return machine(
            *self.extras(DEPTH),
            state=self.chance.choice(STATES),
            enter=enter if self.enters else None,
            trap=self.often(0.5),
            stop=self.chance.choice(["ok", "ok", ("exit", "late"), "crash"]),
        )

    def step(self, client: str) -> Step:
        return caused(self.chance.choice(("call", "cast", "info")), self.program(DEPTH), client)

    def program(self, depth: int) -> Program:
        self.labels += 1
        if depth < 0:
            return program(f"e{self.labels}")
        state = self.chance.choice(STATES)
        return program(f"e{self.labels}", *self.acts("_", depth), **{state: self.acts(state, depth)})

    def acts(self, state: str, depth: int) -> Acts:
        if self.often(0.02):
            return self.end()
        change = self.change(state)
        acts = [*self.extras(0 if "postpone" in change else depth), *change]
        self.chance.shuffle(acts)
        return acts

    def end(self) -> Acts:
        reason = self.chance.choice(REASONS)
        ends: list[Any] = [
            ("stop", reason),
            ("stop_and_reply", reason, "bye"),
            ("exit", reason),
            "crash",
            ("return", 5),
        ]
        return [("note", "end"), self.chance.choice(ends)]

    def change(self, state: str) -> list[Any]:
        changes: list[list[Any]] = [
            *(4 * [[]]),
            *([("next_state", other)] for other in STATES),
            *(2 * [["postpone"]]),
            ["repeat_state"],
            ["repeat_state", "postpone"],
            *([("next_state", other), "postpone"] for other in UPWARDS[state]),
        ]
        return self.chance.choice(changes)

    def extras(self, depth: int) -> list[Any]:
        """Acts that may go with any change of state."""
        acts = self.timeouts(depth)
        acts += [self.inserted(depth) for _ in range(self.chance.choice((0, 0, 0, 0, 1, 1, 2)))]
        if self.often(0.1):
            acts.append(("cast_self", self.program(depth - 1)))
        return acts + self.others()

    def others(self) -> list[Any]:
        acts = [("send_self", "word"), "hibernate", *([("reply", "yes")] if self.replies else [])]
        return [act for act in acts if self.often(0.15)]

    def inserted(self, depth: int) -> Any:
        type_ = self.chance.choice(("internal", "internal", *INSERTED[1:]))
        return ("next_event", type_, self.program(depth - 1))

    def timeouts(self, depth: int) -> list[Any]:
        return [self.timeout(depth) for _ in range(self.chance.choice((0, 0, 0, 1, 2)))]

    def timeout(self, depth: int) -> Any:
        key = self.chance.choice(
            ("event_timeout", "state_timeout", "state_timeout", *ALWAYS_ZERO, *NEVER_ZERO)
        )
        if self.often(0.2):
            return timeout(key, "cancel")
        times = {"event_timeout": self.chance.choice((0, 0, NEVER)), "state_timeout": self.state_timeout}
        time = times.get(key, 0 if key in ALWAYS_ZERO else NEVER)
        return timeout(key, time, self.program(depth - 1))

    def entering(self) -> Acts:
        forbidden = self.chance.choice(
            ("postpone", ("next_event", "internal", self.program(0)), ("next_state", "d"))
        )
        if self.often(0.02):
            return [("note", "forbidden"), forbidden]
        if self.often(0.02):
            return self.end()
        acts = self.timeouts(1) + self.others()
        acts += ["repeat_state"] if self.often(0.3) else []
        return acts


def walks(count: int = 240) -> Iterator[Scenario]:
    """Random programs, one after the other."""
    for seed in range(count):
        dice = Dice(seed)
        plan = dice.plan()
        steps = [dice.step(f"c{number}") for number in range(dice.chance.randint(3, 8))]
        yield statem("walk", (seed,), *steps, plan=plan)


def logged_walks(count: int = 40) -> Iterator[Scenario]:
    """The log of `sys` after each of some random programs.

    None of them replies: our method replies at once, where an action of OTP has its place among the others.
    """
    for seed in range(count):
        dice = Dice(seed, replies=False)
        plan = dice.plan()
        steps: list[Step] = [("sys", ("log", 1000))]
        for number in range(dice.chance.randint(3, 5)):
            steps += [dice.step(f"c{number}"), ("sys", "log"), ("sys", "waiting")]
        yield statem("log", (seed,), *steps, plan=plan)
