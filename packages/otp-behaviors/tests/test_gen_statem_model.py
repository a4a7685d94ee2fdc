"""Any program of a GenStatem against a plain model of what OTP's documentation says of `gen_statem`.

A program says, for each event, what is done the first time it is handled, the second time and so on, so that
every run comes to an end. The model has one list for events and one for mail; a timeout that is cancelled is
taken out of wherever it is.
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from etf_codec import Atom
from hypothesis import given, settings
from hypothesis import strategies as st
from otp_behaviors import KILLED, Event, GenStatem, Internal, Kernel

EXAMPLES = int(os.environ.get("ERGO_STATEM_EXAMPLES", "400"))

INFO, INTERNAL, ENTER = Atom("info"), Atom("internal"), Atom("enter")
STATES = ("a", "b", "c")
EVENTS = range(6)
TIMERS = {"event": Atom("timeout"), "state": Atom("state_timeout")} | {
    name: (Atom("timeout"), name) for name in "xy"
}
PARTS = dict(zip(TIMERS, (0.1, 0.2, 0.3, 0.4), strict=True))
"""What each adds to whole seconds, so that no two end at the same time: OTP promises no order there."""

Action: TypeAlias = tuple[Any, ...]
Program: TypeAlias = dict[Any, list[list[Action]]]


@dataclass
class Script:
    """A program that is run, once by the machine and once by the model."""

    program: Program
    seen: Counter[Any] = field(default_factory=Counter)

    def next(self, key: Any) -> list[Action]:
        """What to do this time."""
        runs, count = self.program[key], self.seen[key]
        self.seen[key] += 1
        return runs[count] if count < len(runs) else []


class Programmed(GenStatem):
    def init(self, script: Script, log: list[Any]) -> None:
        self.script, self.log = script, log
        self.next_state("a")
        self.follow("init")

    def handle_event(self, event: Event, state: Any) -> Any:
        assert state == self.state
        type_, content = event.term
        self.log.append((state, type_, content))
        self.follow((ENTER, state) if type_ == ENTER else content)

    def follow(self, key: Any) -> None:
        for name, *args in self.script.next(key):
            getattr(self, name)(*args)

    def insert(self, content: int) -> None:
        self.next_event(Internal(content))

    def begin(self, timer: str, seconds: float | None, content: int) -> None:
        match timer:
            case "event":
                self.set_event_timeout(seconds, content)
            case "state":
                self.set_state_timeout(seconds, content)
            case _:
                self.set_timeout(timer, seconds, content)


class Awaiting(Programmed):
    async def handle_event(self, event: Event, state: Any) -> None:
        super().handle_event(event, state)


@dataclass
class Happening:
    """An event of the model, and the timeout it is, if it is one."""

    type: Any
    content: int
    timer: str | None = None


@dataclass
class Wishes:
    """What a callback of the model wants to happen."""

    state: str
    repeat: bool = False
    postpone: bool = False
    inserted: list[Happening] = field(default_factory=list)
    timers: dict[str, tuple[float | None, int]] = field(default_factory=dict)

    def take(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case ("next_state", state):
                    self.state = state
                case ("repeat_state",):
                    self.repeat = True
                case ("postpone",):
                    self.postpone = True
                case ("insert", content):
                    self.inserted.append(Happening(INTERNAL, content))
                case ("begin", timer, seconds, content):
                    self.timers.pop(timer, None)
                    self.timers[timer] = (seconds, content)


class Model:
    """`gen_statem` as its documentation has it: "Transition actions" and "Transition options"."""

    def __init__(self, script: Script, enters: bool) -> None:
        self.script = script
        self.enters = enters
        self.now = 0.0
        self.state = ""
        self.log: list[Any] = []
        self.mail: list[Happening] = []
        self.queue: list[Happening] = []
        self.postponed: list[Happening] = []
        self.timers: dict[str, tuple[float, int]] = {}
        wishes = Wishes("a")
        wishes.take(script.next("init"))
        # "The initial state is entered, too", and there is no event to postpone.
        self.state, wishes.repeat, wishes.postpone = wishes.state, True, False
        self.transit(Happening(None, -1), wishes)

    def run(self) -> None:
        while self.queue or self.mail:
            event = (self.queue or self.mail).pop(0)
            self.log.append((self.state, event.type, event.content))
            wishes = Wishes(self.state)
            wishes.take(self.script.next(event.content))
            self.transit(event, wishes)

    def transit(self, event: Happening, wishes: Wishes) -> None:
        old, self.state = self.state, wishes.state
        changed = old != self.state
        while self.enters and (changed or wishes.repeat):
            self.log.append((self.state, ENTER, old))
            wishes.repeat = False
            wishes.take(self.script.next((ENTER, self.state)))
            if not wishes.repeat:
                break
        # "The event is postponed"; "if the state changes, the queue starts with the oldest postponed event".
        if wishes.postpone:
            self.postponed.append(Happening(event.type, event.content))
        if changed:
            self.queue[:0] = self.postponed
            self.postponed = []
        # "Inserted events go before queued ones."
        self.queue[:0] = wishes.inserted
        # "Any event cancels an event timeout"; "a state change cancels a state timeout".
        self.cancel("event")
        if changed:
            self.cancel("state")
        for timer, (seconds, content) in wishes.timers.items():
            self.cancel(timer)
            if seconds == 0:
                # "Enqueued as the newest received event, after already queued ones."
                self.queue.append(Happening(TIMERS[timer], content, timer))
            elif seconds is not None:
                self.timers[timer] = (self.now + seconds, content)

    def cancel(self, timer: str) -> None:
        self.timers.pop(timer, None)
        self.queue = [event for event in self.queue if event.timer != timer]
        self.mail = [event for event in self.mail if event.timer != timer]

    def elapse(self, seconds: float) -> None:
        self.now += seconds
        due = [(deadline, timer) for timer, (deadline, _) in self.timers.items() if deadline <= self.now]
        for _, timer in sorted(due):
            _, content = self.timers.pop(timer)
            self.mail.append(Happening(TIMERS[timer], content, timer))


class Trial:
    """A machine on a bare kernel beside the model of it."""

    def __init__(self, program: Program, machine_class: type[Programmed]) -> None:
        self.kernel = Kernel()
        self.model = Model(Script(program), machine_class.state_enter)
        self.log: list[Any] = []
        process = machine_class.__process__(self.kernel, (Script(program), self.log))
        process.driven = True
        self.machine: Any = process
        self.pid = self.kernel.spawn(process)
        self.run()

    def run(self) -> None:
        self.kernel.run(1_000_000)
        self.model.run()

    def send(self, content: int) -> None:
        self.kernel.send(self.pid, self.pid, content)
        self.model.mail.append(Happening(INFO, content))

    def elapse(self, seconds: int) -> None:
        self.model.elapse(seconds)
        self.kernel.handle_time(self.model.now)

    def compare(self) -> None:
        assert self.log == self.model.log
        assert self.machine.state == self.model.state
        postponed = [event.term for event in self.machine.postponed]
        assert postponed == [(event.type, event.content) for event in self.model.postponed]
        running = {running.event.term for running in self.machine.timeouts.values()}
        assert running == {(TIMERS[timer], content) for timer, (_, content) in self.model.timers.items()}

    def end(self) -> None:
        self.kernel.exit(self.machine, KILLED)
        assert self.kernel.deadline() is None


CLASSES = [
    type("Variant", (base,), {"state_enter": enters, "debug_options": options})
    for base in (Programmed, Awaiting)
    for enters in (False, True)
    for options in ((), ("statistics",))
]

contents = st.sampled_from(EVENTS)
timer_names = st.sampled_from(list(TIMERS))


@st.composite
def timeouts(draw: st.DrawFn) -> Action:
    timer, seconds = draw(timer_names), draw(st.sampled_from((0, 0, 0, 1, 2, None)))
    return ("begin", timer, seconds + PARTS[timer] if seconds else seconds, draw(contents))


entering = timeouts() | st.just(("repeat_state",))
anything = (
    entering
    | st.tuples(st.just("next_state"), st.sampled_from(STATES))
    | st.just(("postpone",))
    | st.tuples(st.just("insert"), contents)
)
scripts: dict[Any, st.SearchStrategy[list[list[Action]]]] = {
    "init": st.lists(st.lists(anything, max_size=3), max_size=1),
    **{content: st.lists(st.lists(anything, max_size=4), max_size=4) for content in EVENTS},
    **{(ENTER, state): st.lists(st.lists(entering, max_size=2), max_size=3) for state in STATES},
}
steps = st.lists(
    st.tuples(st.just("send"), contents)
    | st.tuples(st.just("elapse"), st.integers(1, 2))
    | st.just(("run",)),
    max_size=20,
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(program=st.fixed_dictionaries(scripts), machine_class=st.sampled_from(CLASSES), steps=steps)
def test_machines_do_what_the_documentation_says(
    program: Program, machine_class: type[Programmed], steps: list[Action]
) -> None:
    trial = Trial(program, machine_class)
    trial.compare()
    for name, *args in steps:
        getattr(trial, name)(*args)
        if name == "run":
            trial.compare()
    for _ in range(4):
        trial.run()
        trial.compare()
        trial.elapse(1)
    trial.end()
