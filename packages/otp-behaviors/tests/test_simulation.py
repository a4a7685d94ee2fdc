"""Clusters in virtual time: what a test can do to them, and what it is told."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any, Literal

import anyio
import pytest
from etf_codec import Atom
from otp_behaviors import (
    NOCONNECTION,
    NOPROC,
    SHUTDOWN,
    Application,
    CallTimeout,
    Child,
    Down,
    ExitError,
    GenServer,
    MessageSignal,
    NameTaken,
    NoConnection,
    NoProcess,
    Process,
    RemoteName,
    Stop,
    Supervisor,
    testing,
)
from otp_behaviors.testing import Chance, SimulatedNode, Simulation, Stuck

GET, BOOM = Atom("get"), Atom("boom")


class Counter(GenServer):
    def init(self, start: int = 0) -> None:
        self.count = start
        self.trap_exit = True

    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == BOOM:
            raise Stop(BOOM)
        return self.count

    async def handle_cast(self, seconds: float) -> None:
        try:
            await self.receive(lambda message: False, timeout=seconds)
        except TimeoutError:
            self.count += 1


class Sleeper(GenServer):
    async def handle_call(self, request: Any, caller: Any) -> Any:
        await anyio.sleep_forever()


class Threaded(GenServer):
    async def handle_call(self, request: Any, caller: Any) -> Any:
        return await self.run_in_thread(sum, request)


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    with Simulation(seed=1) as simulation:
        yield simulation
        simulation.run()
        simulation.check()


@pytest.fixture
def a(simulation: Simulation) -> SimulatedNode:
    return simulation.node("a@host")


@pytest.fixture
def b(simulation: Simulation) -> SimulatedNode:
    return simulation.node("b@host", start_counter)


def start_counter(node: SimulatedNode) -> None:
    node.begin(Counter, 7, name="counter")


COUNTER = RemoteName("counter", "b@host")


def test_calls_take_virtual_time(simulation: Simulation, a: SimulatedNode, b: SimulatedNode) -> None:
    assert a.call(COUNTER, GET) == 7
    assert 0.0002 <= simulation.now < 0.1
    a.cast(COUNTER, 600.0)
    a.send(COUNTER, GET)
    assert a.call(COUNTER, GET, timeout=None) == 8
    assert simulation.now > 600.0


def test_a_timeout_is_exact_when_turns_take_no_time() -> None:
    with Simulation(turn_time=(0.0, 0.0)) as simulation:
        node = simulation.node("a@host")
        pid = node.start(Counter)
        node.cast(pid, 10.0)
        with pytest.raises(CallTimeout):
            node.call(pid, GET, timeout=1.5)
        assert simulation.now == 1.5


def test_a_lost_connection_fires_monitors_and_calls(
    simulation: Simulation, a: SimulatedNode, b: SimulatedNode
) -> None:
    async def watch(process: Process) -> Any:
        ref = process.monitor(COUNTER)
        await process.call(COUNTER, GET)
        simulation.after(0.5, partial(simulation.disconnect, a, b))
        return await process.receive(lambda message: type(message) is Down and message.ref == ref)

    down = a.play(watch)
    assert (down.who, down.reason) == ((Atom("counter"), Atom("b@host")), NOCONNECTION)
    simulation.run()
    assert not simulation.connected(a, b)
    assert a.call(COUNTER, GET) == 7
    assert simulation.connected(a, b)
    assert simulation.disconnect(a, b)
    assert not simulation.disconnect(a, b)


def test_a_cut_keeps_nodes_apart_until_it_heals(
    simulation: Simulation, a: SimulatedNode, b: SimulatedNode
) -> None:
    simulation.cut(a, b)
    with pytest.raises(NoConnection):
        a.call(COUNTER, GET)
    simulation.heal("a@host", "b@host")
    assert a.call(COUNTER, GET) == 7


def test_processes_are_told_of_nodes(simulation: Simulation, a: SimulatedNode, b: SimulatedNode) -> None:
    async def watch(process: Process) -> Any:
        a.subscribe(process.pid)
        await process.call(COUNTER, GET)
        simulation.disconnect(a, b)
        return [await process.receive() for _ in range(2)]

    assert a.play(watch) == [(Atom("nodeup"), Atom("b@host")), (Atom("nodedown"), Atom("b@host"))]


def test_an_attempt_that_fails_is_no_nodedown(
    simulation: Simulation, a: SimulatedNode, b: SimulatedNode
) -> None:
    async def watch(process: Process) -> Any:
        a.subscribe(process.pid)
        with pytest.raises(NoConnection):
            await process.call(COUNTER, GET)
        with pytest.raises(TimeoutError):
            await process.receive(timeout=1.0)

    simulation.cut(a, b)
    a.play(watch)
    assert [event.what[0] for event in simulation.events("unreachable")] == ["b@host"]


class Teller(GenServer):
    def handle_info(self, message: Any) -> None:
        self.send(RemoteName("nobody", "b@host"), message)


def told(simulation: Simulation, kind: Literal["send", "deliver"]) -> list[Any]:
    signals = [event.what[0] for event in simulation.events(kind)]
    to = RemoteName("nobody", "b@host")
    return [each.message for each in signals if isinstance(each, MessageSignal) and each.to == to]


def test_who_sends_to_a_congested_node_waits(
    simulation: Simulation, a: SimulatedNode, b: SimulatedNode
) -> None:
    teller = a.start(Teller)
    assert not simulation.congest(a, b, 10.0)
    assert a.call(COUNTER, GET) == 7
    assert simulation.congest(a, b, 10.0)
    start = simulation.now
    a.send(teller, 1)
    simulation.run(1.0)
    a.send(teller, 2)
    simulation.run(1.0)
    assert told(simulation, "send") == [1]
    simulation.run()
    assert told(simulation, "send") == told(simulation, "deliver") == [1, 2]
    (held,), (let_go,) = simulation.events("hold"), simulation.events("let_go")
    assert held.what == let_go.what == (teller,)
    assert let_go.time == start + 10.0 > held.time


def test_nobody_answers_for_an_unknown_node(a: SimulatedNode) -> None:
    with pytest.raises(NoConnection):
        a.call(RemoteName("counter", "nowhere@host"), GET)


def test_a_restarted_node_is_another_one(simulation: Simulation, a: SimulatedNode, b: SimulatedNode) -> None:
    old = b.whereis("counter")
    assert old is not None
    assert a.call(old, GET) == 7
    b.restart()
    assert (b.creation, b.alive(old)) == (2, False)
    simulation.run()
    with pytest.raises(NoProcess):
        a.call(old, GET)
    assert a.call(COUNTER, GET) == 7
    assert b.whereis("counter") != old


def test_a_crashed_node_says_nothing(simulation: Simulation, a: SimulatedNode, b: SimulatedNode) -> None:
    assert a.call(COUNTER, GET) == 7
    b.crash()
    b.crash()
    assert repr(b) == "<SimulatedNode b@host down>"
    with pytest.raises(NoConnection):
        a.call(COUNTER, GET)
    assert [event.what for event in simulation.events("crash")] == [(1,)]


def test_supervisors_and_applications_run(simulation: Simulation, a: SimulatedNode) -> None:
    tree = Supervisor(Child(Counter, 1, name="one"), Child(Counter, 2, name="two"), strategy="one_for_all")
    pid = a.start(Application("shop", tree, env={"unit": "m"}))
    two = a.whereis("two")
    with pytest.raises(ExitError):
        a.call("one", BOOM)
    simulation.run()
    assert a.whereis("two") not in (two, None)
    assert a.call("two", GET) == 2
    a.stop(pid, SHUTDOWN)
    assert a.whereis("one") is None


def test_names_belong_to_one(a: SimulatedNode) -> None:
    pid = a.start(Counter, name="counter")
    with pytest.raises(NameTaken):
        a.start(Counter, name="counter")
    a.exit(pid, SHUTDOWN)
    with pytest.raises(ExitError, match="shutdown"):
        a.stop(pid)
    with pytest.raises(NoProcess):
        a.stop(pid)


def test_stop_tells_when_it_did_not(simulation: Simulation, a: SimulatedNode) -> None:
    pid = a.start(Counter)
    a.cast(pid, 60.0)
    with pytest.raises(CallTimeout):
        a.stop(pid, timeout=1.0)


def test_the_environment_of_a_node_is_inherited(a: SimulatedNode) -> None:
    async def read(process: Process) -> Any:
        return process.env["unit"], process.runtime

    a.env["unit"] = "m"
    assert a.play(read) == ("m", a)


def test_who_waits_for_ever_is_stuck(simulation: Simulation, a: SimulatedNode) -> None:
    with pytest.raises(Stuck, match="everybody waits"):
        a.play(Process.receive)
    simulation.after(100.0, lambda: None)
    with pytest.raises(Stuck, match="not so after"):
        simulation.run_until(lambda: False, seconds=1.0)


def test_play_raises_what_the_function_raised(a: SimulatedNode) -> None:
    async def fail(process: Process) -> None:
        raise LookupError("lost")

    async def kill_itself(process: Process) -> None:
        process.exit(process.pid, Atom("kill"))
        await process.receive()

    with pytest.raises(LookupError, match="lost"):
        a.play(fail)
    with pytest.raises(ExitError, match="ended from outside"):
        a.play(kill_itself)


def test_run_takes_seconds(simulation: Simulation, a: SimulatedNode) -> None:
    done: list[float] = []
    simulation.after(2.0, lambda: done.append(simulation.now))
    simulation.run(1.0)
    assert (simulation.now, done) == (1.0, [])
    simulation.run()
    assert done == [2.0]


def test_what_needs_an_event_loop_is_told_what_to_do(simulation: Simulation, a: SimulatedNode) -> None:
    pid = a.start(Sleeper)
    with pytest.raises(ExitError):
        a.call(pid, GET)
    _, event = simulation.events("report")
    assert "there is none" in "".join(event.what[0].error.__notes__)


def test_the_same_inside_a_running_event_loop() -> None:
    async def main() -> None:
        with Simulation() as simulation:
            node = simulation.node("a@host")
            pid = node.start(Sleeper)
            with pytest.raises(ExitError):
                node.call(pid, GET)
            _, event = simulation.events("report")
            assert "there is none" in str(event.what[0].error)

    asyncio.run(main())


def test_blocking_functions_are_called_in_place(a: SimulatedNode) -> None:
    assert a.call(a.start(Threaded), [1, 2]) == 3


def test_an_ended_process_cleans_up_even_if_it_tries_to_wait(a: SimulatedNode) -> None:
    steps: list[str] = []

    async def stubborn(process: Process) -> None:
        try:
            await process.receive()
        finally:
            try:
                await process.receive()
            finally:
                steps.append("cleaned up")

    pid = a.spawn(stubborn)
    a.kernel.run()
    a.exit(pid, Atom("kill"))
    assert steps == ["cleaned up"]


def test_only_processes_wait(a: SimulatedNode) -> None:
    with pytest.raises(RuntimeError, match=r"node\.call"):
        a.waiter()


def test_two_nodes_cannot_share_a_name(simulation: Simulation, a: SimulatedNode) -> None:
    with pytest.raises(ValueError, match="a@host"):
        simulation.node("a@host")


def test_the_log_tells_the_story(simulation: Simulation, a: SimulatedNode, b: SimulatedNode) -> None:
    simulation.note("before")
    a.call(COUNTER, GET)
    kinds: list[str] = [event.kind for event in simulation.log]
    for earlier, later in [("boot", "note"), ("note", "connect"), ("connect", "send"), ("send", "deliver")]:
        assert kinds.index(earlier) < kinds.index(later)
    assert "0.000000 a@host boot 1" in simulation.transcript().splitlines()
    assert str(simulation.events("note")[0]) == "0.000000  note 'before'"


def test_the_log_shows_no_addresses(simulation: Simulation) -> None:
    simulation.note(object())
    assert str(simulation.events("note")[0]) == "0.000000  note <object object>"


def test_an_error_tells_the_seed() -> None:
    with pytest.raises(LookupError) as info, Simulation(seed=77):
        raise LookupError
    assert info.value.__notes__ == ["in a simulation with seed 77, at 0.000000 s"]


def test_monitors_of_what_never_was(a: SimulatedNode, b: SimulatedNode) -> None:
    async def watch(process: Process) -> Any:
        for node in ("a@host", "b@host"):
            process.monitor(RemoteName("nobody", node))
        return [(await process.receive(lambda message: type(message) is Down))[4] for _ in range(2)]

    assert a.play(watch) == [NOPROC, NOPROC]


def test_chance_is_the_published_generator() -> None:
    """SplitMix64's reference output for the seed 1234567."""
    chance = Chance(1234567)
    assert [chance.bits() for _ in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_chance_keeps_within_its_limits() -> None:
    chance = Chance(0)
    assert {chance.below(3) for _ in range(100)} == {0, 1, 2}
    assert all(2.0 <= chance.between(2.0, 3.0) < 3.0 for _ in range(100))
    assert {chance.choice("xy") for _ in range(100)} == {"x", "y"}
    assert 0 < sum(chance.happens(0.2) for _ in range(1000)) < 400
    with pytest.raises(IndexError):
        chance.choice(())


def test_the_public_names() -> None:
    assert testing.__all__ == [
        "Chance", "Event", "Probe", "RecordingRuntime", "SimulatedNode", "Simulation", "Stuck", "Workload",
        "tables", "violations",
    ]  # fmt: skip
    classes = [each for each in vars(testing).values() if isinstance(each, type)]
    assert {each.__module__ for each in classes} == {"otp_behaviors.testing"}
