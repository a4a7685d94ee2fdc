"""GenStatem: timeouts that end while the machine is amid a callback, or suspended. In virtual time."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from etf_codec import Atom, Pid
from otp_behaviors import TIMEOUT, Event, GenStatem, Process, sys
from otp_behaviors.testing import SimulatedNode, Simulation

A, B = Atom("a"), Atom("b")

Act = Callable[[Any], Any]
Timer = Callable[..., None]


class Patient(GenStatem):
    """Does what a message, which is a function here, tells it; writes down what else comes, and when."""

    def init(self, act: Act | None = None) -> None:
        self.log: list[Any] = []
        self.next_state(A)
        if act is not None:
            act(self)

    def handle_event(self, event: Event, state: Any) -> Any:
        type_, content = event.term
        if callable(content):
            content(self)
        else:
            self.log.append((self._kernel.now(), type_, content))


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


def to_b(machine: Patient) -> None:
    machine.next_state(B)


@pytest.fixture
def node() -> Iterator[SimulatedNode]:
    with Simulation(seed=3, turn_time=(0.0, 0.0)) as simulation:
        yield simulation.node("a@host")
        simulation.run()
        simulation.check()


class Slow(Patient):
    """Takes five seconds for an event that is a function, which it calls at the beginning."""

    async def handle_event(self, event: Event, state: Any) -> None:
        super().handle_event(event, state)
        if callable(event.term[1]):
            await rest(self, 5.0)


async def rest(process: Process, seconds: float) -> None:
    with pytest.raises(TimeoutError):
        await process.receive(lambda message: False, timeout=seconds)


def log_of(node: SimulatedNode, pid: Pid) -> list[Any]:
    record: Any = node.kernel.table.by_pid[pid]
    log: list[Any] = record.instance.log
    return log


def test_the_time_begins_when_the_callback_is_over(node: SimulatedNode, timer: Timer) -> None:
    slow = node.start(Slow)
    node.send(slow, lambda machine: timer(machine, 1.0))
    node.play(rest, 9.0)
    assert log_of(node, slow) == [(6.0, TYPES[timer], TIMEOUT)]


@pytest.mark.parametrize(("act", "left"), [(nothing, [state, named]), (to_b, [named])])
def test_one_that_ends_amid_a_callback_comes_after_it_if_it_is_not_cancelled(
    node: SimulatedNode, act: Act, left: list[Timer]
) -> None:
    def set_two(machine: Patient) -> None:
        state(machine, 2.0)
        named(machine, 3.0)

    slow = node.start(Slow, set_two)

    async def send(process: Process) -> None:
        await rest(process, 1.0)
        process.send(slow, act)

    node.play(send)
    node.play(rest, 9.0)
    assert log_of(node, slow) == [(6.0, TYPES[timer], TIMEOUT) for timer in left]


def test_a_machine_that_takes_its_time_to_end_gets_no_timeout_meanwhile(
    node: SimulatedNode, timer: Timer
) -> None:
    waiting: list[Any] = []

    class Dawdling(Patient):
        async def terminate(self, reason: Any) -> None:
            await rest(self, 5.0)
            waiting.append(self.process_info(items=["message_queue_len"]))

    machine = node.start(Dawdling, lambda machine: timer(machine, 1.0))
    node.stop(machine)
    assert waiting == [{"message_queue_len": 0}]


def test_a_suspended_machine_gets_its_timeouts_with_its_mail(node: SimulatedNode, timer: Timer) -> None:
    machine = node.start(Patient)

    async def suspend(process: Process) -> None:
        process.send(machine, lambda machine: timer(machine, 1.0))
        await sys.suspend(process, machine)
        await rest(process, 3.0)
        process.send(machine, "mail")
        await rest(process, 1.0)
        assert log_of(node, machine) == []
        assert (await sys.get_state(process, machine))[0] == A
        await sys.resume(process, machine)

    node.play(suspend)
    node.play(rest, 9.0)
    assert log_of(node, machine) == [(4.0, TYPES[timer], TIMEOUT), (4.0, Atom("info"), "mail")]


def test_what_a_suspended_machine_has_in_its_mailbox_can_still_be_cancelled(
    node: SimulatedNode, timer: Timer
) -> None:
    machine = node.start(Patient)

    async def suspend(process: Process) -> None:
        process.send(machine, lambda machine: timer(machine, 1.0))
        await sys.suspend(process, machine)
        process.send(machine, lambda machine: timer(machine, None))
        await rest(process, 2.0)
        await sys.resume(process, machine)

    node.play(suspend)
    node.play(rest, 9.0)
    assert log_of(node, machine) == []


def test_system_messages_are_no_events(node: SimulatedNode, timer: Timer) -> None:
    """A GenServer begins its timeout anew then, as in OTP; a GenStatem does not."""
    machine = node.start(Patient)

    async def look(process: Process) -> None:
        process.send(machine, lambda machine: timer(machine, 2.0))
        await rest(process, 1.5)
        await sys.get_state(process, machine)
        await sys.replace_state(process, machine, lambda state: (B, state[1]))

    node.play(look)
    node.play(rest, 9.0)
    assert log_of(node, machine) == [(2.0, TYPES[timer], TIMEOUT)]
