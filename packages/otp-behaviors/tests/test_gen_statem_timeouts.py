"""GenStatem: the timeout of the event, that of the state and named ones, in virtual time."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from etf_codec import Atom
from otp_behaviors import (
    TIMEOUT,
    CrashReport,
    Enter,
    Event,
    GenStatem,
    Internal,
    Kernel,
    Stop,
    state_function,
)

A, B = Atom("a"), Atom("b")

Act = Callable[[Any], Any]
Timer = Callable[..., None]


class Patient(GenStatem):
    """Does what a message, which is a function here, tells it; writes down what else comes, and when."""

    state_enter = True
    entering: Act | None = None

    def init(self, act: Act | None = None) -> None:
        self.log: list[Any] = []
        self.next_state(A)
        if act is not None:
            act(self)

    @state_function
    def a(self, event: Event) -> Any:
        self.obey(event)

    @state_function
    def b(self, event: Event) -> Any:
        self.obey(event)

    def obey(self, event: Event) -> None:
        type_, content = event.term
        if type(event) is Enter:
            act, self.entering = self.entering, None
            if act is not None:
                act(self)
        elif callable(content):
            content(self)
        else:
            self.log.append((self._kernel.now(), type_, content))


class Machine:
    """A machine of a bare kernel, which is told what to do and what time it is."""

    def __init__(self, kernel: Kernel, act: Act | None = None) -> None:
        self.kernel = kernel
        self.pid = kernel.spawn(Patient.__process__(kernel, (act,)))
        record: Any = kernel.table.by_pid[self.pid]
        kernel.run()
        self.log: list[Any] = record.instance.log

    def send(self, *messages: Any) -> None:
        """Put messages into the mailbox, and let the machine handle them."""
        for message in messages:
            self.kernel.send(self.pid, self.pid, message)
        self.kernel.run()

    def at(self, now: float) -> None:
        """Have timers fire at a time, and let the machine handle them."""
        self.kernel.handle_time(now)
        self.kernel.run()

    @property
    def events(self) -> list[Any]:
        """What has come, without the times."""
        return [event[1:] for event in self.log]


@pytest.fixture
def machine(kernel: Kernel) -> Machine:
    return Machine(kernel)


def event(machine: Patient, *args: Any) -> None:
    machine.set_event_timeout(*args)


def state(machine: Patient, *args: Any) -> None:
    machine.set_state_timeout(*args)


def named(machine: Patient, *args: Any) -> None:
    machine.set_timeout("x", *args)


TYPES: dict[Timer, Any] = {event: TIMEOUT, state: Atom("state_timeout"), named: (TIMEOUT, "x")}


@pytest.fixture(params=TYPES, ids=lambda timer: str(timer.__name__))
def timer(request: pytest.FixtureRequest) -> Timer:
    timer: Timer = request.param
    return timer


def nothing(machine: Patient) -> None:
    pass


def to_a(machine: Patient) -> None:
    machine.next_state(A)


def to_b(machine: Patient) -> None:
    machine.next_state(B)


def repeat(machine: Patient) -> None:
    machine.repeat_state()


def insert(machine: Patient) -> None:
    machine.next_event(Internal("inserted"))


# What is the same for all three


def test_a_timeout_comes_once_in_its_time(machine: Machine, timer: Timer) -> None:
    machine.send(lambda machine: timer(machine, 2.0, "content"))
    machine.at(1.9)
    assert machine.log == []
    machine.at(2.0)
    machine.at(9.0)
    assert machine.log == [(2.0, TYPES[timer], "content")]
    assert machine.kernel.deadline() is None


def test_its_content_is_the_word_unless_told_otherwise(machine: Machine, timer: Timer) -> None:
    machine.send(lambda machine: timer(machine, 1))
    machine.at(1.0)
    assert machine.log == [(1.0, TYPES[timer], TIMEOUT)]


def test_the_same_timeout_begins_anew(machine: Machine, timer: Timer) -> None:
    machine.send(lambda machine: timer(machine, 2.0, "first"))
    machine.at(1.5)
    machine.send(lambda machine: timer(machine, 2.0, "second"))
    machine.at(3.4)
    assert machine.log == []
    machine.at(9.0)
    assert machine.events == [(TYPES[timer], "second")]


def test_the_last_of_one_callback_counts(machine: Machine, timer: Timer) -> None:
    def thrice(machine: Patient) -> None:
        timer(machine, 0, "first")
        timer(machine, 1.0, "second")
        timer(machine, 3.0, "third")

    def twice(machine: Patient) -> None:
        timer(machine, 0, "first")
        timer(machine, None)

    machine.send(thrice)
    machine.at(9.0)
    machine.send(twice)
    assert machine.log == [(9.0, TYPES[timer], "third")]


def test_none_cancels(machine: Machine, timer: Timer) -> None:
    machine.send(lambda machine: timer(machine, 2.0))
    assert machine.kernel.deadline() == 2.0
    machine.send(lambda machine: timer(machine, None))
    assert machine.kernel.deadline() is None
    machine.send(lambda machine: timer(machine, None))
    machine.at(9.0)
    assert machine.log == []


def test_one_that_waits_in_the_mailbox_is_cancelled_too(machine: Machine, timer: Timer) -> None:
    machine.send(lambda machine: timer(machine, 2.0))
    machine.kernel.send(machine.pid, machine.pid, lambda machine: timer(machine, None))
    machine.at(2.0)
    assert machine.log == []


def test_one_that_waits_in_the_mailbox_is_not_the_one_that_began_anew(machine: Machine, timer: Timer) -> None:
    machine.send(lambda machine: timer(machine, 2.0, "old"))
    machine.kernel.send(machine.pid, machine.pid, lambda machine: timer(machine, 2.0, "new"))
    machine.at(2.0)
    assert machine.log == []
    machine.at(4.0)
    assert machine.log == [(4.0, TYPES[timer], "new")]


def test_init_and_enter_set_timeouts_too(kernel: Kernel, timer: Timer) -> None:
    def both(machine: Patient) -> None:
        timer(machine, 1.0, "of init")
        machine.entering = lambda machine: machine.set_timeout("y", 2.0, "of Enter")

    machine = Machine(kernel, both)
    machine.at(1.0)
    machine.at(2.0)
    assert machine.log == [(1.0, TYPES[timer], "of init"), (2.0, (TIMEOUT, "y"), "of Enter")]


def test_enter_has_the_last_word(machine: Machine, timer: Timer) -> None:
    def go(machine: Patient) -> None:
        timer(machine, 1.0, "of the event")
        machine.entering = lambda machine: timer(machine, 2.0, "of Enter")
        machine.next_state(B)

    machine.send(go)
    machine.at(9.0)
    assert machine.events == [(TYPES[timer], "of Enter")]


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, math.inf])
def test_a_time_that_is_none_crashes_who_sets_it(kernel: Kernel, timer: Timer, seconds: float) -> None:
    machine = Machine(kernel)
    machine.send(lambda machine: timer(machine, seconds))
    report = kernel.effects[-1]
    assert isinstance(report, CrashReport)
    (name, text), stack = report.reason
    assert name == Atom("ValueError")
    assert text.startswith(b"a timeout is a number of seconds from 0 up")
    assert Atom(timer.__name__) in [frame[1] for frame in stack]
    assert machine.pid not in kernel.table.by_pid


def test_a_time_that_is_none_is_no_start(kernel: Kernel, timer: Timer) -> None:
    machine = Machine(kernel, lambda machine: timer(machine, math.inf))
    assert machine.pid not in kernel.table.by_pid


def test_timeouts_end_with_their_machine(machine: Machine, timer: Timer) -> None:
    def end(machine: Patient) -> None:
        raise Stop

    machine.send(lambda machine: timer(machine, 2.0))
    assert machine.kernel.deadline() == 2.0
    machine.send(end)
    assert machine.kernel.deadline() is None
    assert machine.kernel.timers.owned == {}


# What cancels which


@pytest.mark.parametrize(
    ("act", "left"),
    [
        (nothing, [state, named]),
        (to_a, [state, named]),
        (repeat, [state, named]),
        (insert, [state, named]),
        (to_b, [named]),
    ],
)
def test_events_and_changes_of_state_cancel(machine: Machine, act: Act, left: list[Timer]) -> None:
    def set_all(machine: Patient) -> None:
        for timer in TYPES:
            timer(machine, 1.0, "over")

    machine.send(set_all)
    machine.send(act)
    machine.at(1.0)
    assert machine.events[act is insert :] == [(TYPES[timer], "over") for timer in left]


def test_any_event_cancels_that_of_the_event(machine: Machine) -> None:
    def patiently(machine: Patient) -> None:
        event(machine, 1.0)

    def with_another(machine: Patient) -> None:
        event(machine, 2.0)
        named(machine, 1.0)

    def with_an_inserted_one(machine: Patient) -> None:
        event(machine, 1.0)
        insert(machine)

    machine.send(with_another)
    machine.at(3.0)
    assert machine.events == [(TYPES[named], TIMEOUT)]
    machine.send(with_an_inserted_one)
    machine.at(9.0)
    assert machine.events[1:] == [(Atom("internal"), "inserted")]
    machine.send(patiently, "message")
    machine.at(19.0)
    assert machine.events[2:] == [(Atom("info"), "message")]


def test_that_of_the_next_state_is_set_with_the_change(machine: Machine) -> None:
    def change(machine: Patient) -> None:
        state(machine, 3.0, "of b")
        machine.next_state(B)

    machine.send(lambda machine: state(machine, 1.0, "of a"))
    machine.send(change)
    machine.at(9.0)
    assert machine.events == [(TYPES[state], "of b")]


def test_named_ones_are_many_and_names_are_any_terms(machine: Machine) -> None:
    names = ["x", b"x", Atom("x"), 1, (1, "x"), None]

    def set_all(machine: Patient) -> None:
        for number, name in enumerate(names):
            machine.set_timeout(name, 1.0 + number, number)

    def cancel(machine: Patient) -> None:
        machine.set_timeout(b"x", None)
        machine.next_state(B)

    machine.send(set_all)
    machine.send(cancel)
    for now in range(10):
        machine.at(float(now))
    assert machine.log == [
        (1.0 + number, (TIMEOUT, name), number) for number, name in enumerate(names) if name != b"x"
    ]


def test_a_name_that_cannot_be_one_crashes_who_gives_it(kernel: Kernel) -> None:
    machine = Machine(kernel)
    machine.send(lambda machine: machine.set_timeout(["x"], 1.0))
    report = kernel.effects[-1]
    assert isinstance(report, CrashReport)
    assert report.reason[0][0] == Atom("TypeError")


def test_a_timeout_can_be_postponed_as_any_event(machine: Machine, timer: Timer) -> None:
    def not_in_a(machine: Patient) -> None:
        if machine.state == A:
            machine.postpone()
        else:
            machine.log.append("at last")

    machine.send(lambda machine: timer(machine, 1.0, not_in_a))
    machine.at(1.0)
    assert machine.log == []
    machine.send(to_b)
    assert machine.log == ["at last"]


# No time


def test_those_of_no_time_come_in_their_order_before_messages(machine: Machine) -> None:
    def set_all(machine: Patient) -> None:
        named(machine, 0, 1)
        state(machine, 0, 2)
        machine.set_timeout("y", 0.0, 3)
        insert(machine)
        named(machine, 0, 4)

    machine.send(set_all, "message")
    assert machine.events == [
        (Atom("internal"), "inserted"),
        (TYPES[state], 2),
        ((TIMEOUT, "y"), 3),
        (TYPES[named], 4),
        (Atom("info"), "message"),
    ]


def test_one_of_no_time_comes_after_what_was_postponed(machine: Machine) -> None:
    def not_in_a(machine: Patient) -> None:
        if machine.state == A:
            machine.postpone()
        else:
            insert(machine)

    def change(machine: Patient) -> None:
        named(machine, 0)
        machine.next_state(B)

    machine.send(not_in_a, change)
    assert machine.events == [(Atom("internal"), "inserted"), (TYPES[named], TIMEOUT)]


def test_that_of_the_event_comes_at_once_if_nothing_else_does(machine: Machine) -> None:
    def alone(machine: Patient) -> None:
        event(machine, 0, "alone")

    def second(machine: Patient) -> None:
        named(machine, 0, "first")
        event(machine, 0, "second")

    machine.send(alone, "message")
    assert machine.events == [(TYPES[event], "alone"), (Atom("info"), "message")]
    machine.send(second)
    assert machine.events[2:] == [(TYPES[named], "first")]


def test_one_of_no_time_is_cancelled_before_it_comes(machine: Machine, timer: Timer) -> None:
    def at_once(machine: Patient) -> None:
        timer(machine, 0, "never")
        machine.set_timeout("y", 0, "y")
        machine.next_event(Internal(cancel))

    def cancel(machine: Patient) -> None:
        timer(machine, None)

    machine.send(at_once)
    assert machine.events == [((TIMEOUT, "y"), "y")]


def test_one_of_no_time_is_set_anew_before_it_comes(machine: Machine, timer: Timer) -> None:
    def at_once(machine: Patient) -> None:
        timer(machine, 0, "never")
        machine.next_event(Internal(later))

    def later(machine: Patient) -> None:
        timer(machine, 2.0, "later")

    machine.send(at_once)
    assert machine.log == []
    machine.at(2.0)
    assert machine.events == [(TYPES[timer], "later")]
