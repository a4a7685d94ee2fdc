"""task_stream: a task for each item, some at once."""

from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from etf_codec import Atom
from hypothesis import given, settings
from hypothesis import strategies as st
from otp_behaviors import (
    KILLED,
    NO_REPLY,
    NORMAL,
    ExitError,
    LocalRuntime,
    Process,
    TaskStream,
    TaskSupervisor,
    process_info,
)
from otp_behaviors.testing import SimulatedNode, Simulation

BOOM, MAX_CHILDREN, UNDEF = Atom("boom"), Atom("max_children"), Atom("undef")


@pytest.fixture
def node(node: SimulatedNode) -> SimulatedNode:
    node.start(TaskSupervisor(name="tasks"))
    return node


async def pause(self: Process, seconds: float) -> None:
    with pytest.raises(TimeoutError):
        await self.receive(lambda message: False, seconds)


async def slow(self: Process, seconds: float) -> float:
    await pause(self, seconds)
    return -seconds


async def picky(self: Process, item: int) -> int:
    if item < 0:
        raise ExitError((BOOM, item))
    return item * item


async def endless(self: Process, item: Any) -> None:
    await self.receive(lambda message: False)


async def collect(stream: TaskStream, got: list[Any]) -> None:
    async with stream as responses:
        async for response in responses:
            got.append(response.label)


def nothing_is_left(self: Process) -> bool:
    info = self.process_info(items=("messages", "monitors", "links"))
    return info == {"messages": [], "monitors": [], "links": []} and not self._record.aliases


class Gauge:
    """Counts how many tasks are at work at once."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.begun: list[tuple[float, Any]] = []

    async def work(self, process: Process, seconds: float) -> float:
        self.begun.append((process._kernel.now(), seconds))
        self.now += 1
        self.most = max(self.most, self.now)
        await pause(process, seconds)
        self.now -= 1
        return seconds


# Responses


@pytest.mark.parametrize("supervisor", [None, "tasks"])
def test_responses_come_in_the_order_of_the_items(node: SimulatedNode, supervisor: str | None) -> None:
    async def scenario(self: Process) -> None:
        async with self.task_stream(slow, iter([3, 1, 2]), supervisor=supervisor) as responses:
            got = [response async for response in responses]
        assert [(response.label, response.result()) for response in got] == [(3, -3), (1, -1), (2, -2)]
        assert self._kernel.now() == 3
        assert nothing_is_left(self)

    node.play(scenario)


@pytest.mark.parametrize("supervisor", [None, "tasks"])
def test_or_as_they_are_ready(node: SimulatedNode, supervisor: str | None) -> None:
    async def scenario(self: Process) -> None:
        got = []
        stream = self.task_stream(slow, [3, 1, 2], supervisor=supervisor, ordered=False)
        async with stream as responses:
            async for response in responses:
                got.append((self._kernel.now(), response.label, response.result()))
        assert got == [(1, 1, -1), (2, 2, -2), (3, 3, -3)]
        assert nothing_is_left(self)

    node.play(scenario)


def test_further_arguments_and_plain_functions(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        async with self.task_stream(divmod, [7, 9], 4) as responses:
            assert [response.result() async for response in responses] == [(1, 3), (2, 1)]

    node.play(scenario)


@pytest.mark.parametrize("ordered", [True, False])
def test_no_items_give_no_responses(node: SimulatedNode, ordered: bool) -> None:
    async def scenario(self: Process) -> None:
        async with self.task_stream(slow, [], ordered=ordered) as responses:
            assert [response async for response in responses] == []
            assert [response async for response in responses] == []

    node.play(scenario)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.integers(), st.integers(0, 9)), max_size=20),
    st.integers(1, 6),
    st.booleans(),
    st.booleans(),
    st.integers(0, 1000),
)
def test_it_is_a_map(
    items: list[tuple[int, int]], limit: int, ordered: bool, supervised: bool, seed: int
) -> None:
    async def negative(self: Process, item: tuple[int, int], plus: int) -> int:
        await pause(self, item[1] / 10)
        return plus - item[0]

    async def scenario(self: Process) -> list[Any]:
        stream = self.task_stream(
            negative,
            iter(items),
            1,
            supervisor="tasks" if supervised else None,
            max_concurrency=limit,
            ordered=ordered,
        )
        async with stream as responses:
            got = [(response.label, response.result()) async for response in responses]
        assert nothing_is_left(self)
        return got

    with Simulation(seed=seed) as simulation:
        node = simulation.node("a@host")
        node.start(TaskSupervisor(name="tasks", max_children=limit))
        got = node.play(scenario)
        expected = list(map(lambda item: (item, 1 - item[0]), items))  # noqa: C417  # as the name says
        assert got == expected if ordered else sorted(got) == sorted(expected)
        simulation.run()
        simulation.check()


# How many at once


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(("limit", "seconds"), [(1, 10), (3, 4), (10, 1), (99, 1)])
def test_so_many_tasks_are_at_work_at_once(
    node: SimulatedNode, ordered: bool, limit: int, seconds: float
) -> None:
    gauge = Gauge()

    async def scenario(self: Process) -> None:
        stream = self.task_stream(gauge.work, [1] * 10, max_concurrency=limit, ordered=ordered)
        async with stream as responses:
            assert [response.result() async for response in responses] == [1] * 10
        assert self._kernel.now() == seconds

    node.play(scenario)
    assert gauge.most == min(limit, 10)


def test_eight_are_at_work_unless_told_otherwise(node: SimulatedNode) -> None:
    gauge = Gauge()

    async def scenario(self: Process) -> None:
        async with self.task_stream(gauge.work, [1] * 20) as responses:
            assert len([response async for response in responses]) == 20

    node.play(scenario)
    assert gauge.most == 8


def test_the_next_item_is_taken_when_its_task_can_start(node: SimulatedNode) -> None:
    gauge, taken = Gauge(), []

    def items(self: Process) -> Iterator[int]:
        for seconds in (1, 3, 1, 1):
            taken.append(self._kernel.now())
            yield seconds

    async def scenario(self: Process) -> None:
        stream = self.task_stream(gauge.work, items(self), max_concurrency=2, ordered=False)
        assert taken == []
        async with stream as responses:
            assert len([response async for response in responses]) == 4

    node.play(scenario)
    assert taken == [0, 0, 1, 2]
    assert sorted(gauge.begun) == [(0, 1), (0, 3), (1, 1), (2, 1)]


def test_a_slow_first_item_does_not_keep_the_others_from_starting(node: SimulatedNode) -> None:
    # `Task.async_stream` starts a task as soon as one has ended, and keeps its response for later.
    gauge = Gauge()

    async def scenario(self: Process) -> None:
        async with self.task_stream(gauge.work, [4, 1, 1, 1, 1], max_concurrency=2) as responses:
            assert [response.result() async for response in responses] == [4, 1, 1, 1, 1]
        assert self._kernel.now() == 4

    node.play(scenario)


@pytest.mark.parametrize("limit", [0, -1])
def test_less_than_one_at_once_makes_no_sense(node: SimulatedNode, limit: int) -> None:
    async def scenario(self: Process) -> None:
        with pytest.raises(ValueError, match="1 or more"):
            self.task_stream(slow, [1], max_concurrency=limit)
        wrong: Any = "kill"
        with pytest.raises(ValueError, match="exit or kill_task"):
            self.task_stream(slow, [1], on_timeout=wrong)

    node.play(scenario)


# Failures


def test_a_task_that_fails_is_an_error_with_the_item_as_its_label(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        async with self.task_stream(picky, [2, -1, 3], supervisor="tasks", link=False) as responses:
            got = [response async for response in responses]
        assert [response.label for response in got] == [2, -1, 3]
        assert [response.reply for response in got] == [4, NO_REPLY, 9]
        with pytest.raises(ExitError) as caught:
            got[1].result()
        assert caught.value.reason == (BOOM, -1)
        assert nothing_is_left(self)

    node.play(scenario)


@pytest.mark.anyio
@pytest.mark.parametrize("supervisor", [None, "tasks"])
async def test_a_linked_task_that_fails_ends_the_owner_and_the_other_tasks(
    runtime: LocalRuntime, supervisor: str | None
) -> None:
    begun, all_begun = [], anyio.Event()

    async def work(self: Process, item: int) -> None:
        begun.append(self.pid)
        if len(begun) == 3:
            all_begun.set()
        if item == 2:
            await all_begun.wait()
            raise ExitError(BOOM)
        await anyio.sleep_forever()

    async def owner(self: Process) -> None:
        async with self.task_stream(work, [1, 2, 3], supervisor=supervisor) as responses:
            async for _ in responses:
                raise AssertionError("no task has a result")

    await runtime.start(TaskSupervisor(name="tasks"))
    with anyio.fail_after(5):
        watch = runtime.monitor(runtime.spawn(owner))
        await all_begun.wait()
        watches = [runtime.monitor(pid) for pid in begun]
        assert (await watch).reason == BOOM
        assert {(await each).reason for each in watches} <= {BOOM, Atom("noproc"), KILLED}
    assert [process_info(runtime.kernel, pid) for pid in begun] == [None] * 3


def test_an_owner_that_traps_exits_gets_the_error(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        self.trap_exit = True
        async with self.task_stream(picky, [-1, 2]) as responses:
            first, second = [response async for response in responses]
        assert isinstance(first.error, ExitError)
        assert (first.label, first.error.reason) == (-1, (BOOM, -1))
        assert second.result() == 4

    node.play(scenario)


def test_items_that_raise(node: SimulatedNode, simulation: Simulation) -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("items")

    async def scenario(self: Process, limit: int) -> None:
        got: list[Any] = []
        with pytest.raises(KeyError, match="items"):
            await collect(self.task_stream(slow, items(), max_concurrency=limit), got)
        assert got == ([1] if limit == 2 else [])
        assert nothing_is_left(self)

    node.play(scenario, 2)
    node.play(scenario, 3)
    # The second one of the first stream; of the second stream, both.
    assert [event.what[1] for event in simulation.events("exit")].count(KILLED) == 3


def test_a_supervisor_with_too_many_children(node: SimulatedNode, simulation: Simulation) -> None:
    async def scenario(self: Process) -> None:
        got: list[Any] = []
        with pytest.raises(ExitError, match="max_children") as caught:
            await collect(self.task_stream(slow, [1, 2, 3], supervisor="few"), got)
        assert caught.value.reason == MAX_CHILDREN
        assert got == []
        assert nothing_is_left(self)
        counts = await self.call("few", Atom("count_children"))
        assert dict(counts)[Atom("active")] == 0

    node.start(TaskSupervisor(name="few", max_children=2))
    node.play(scenario)
    assert [event.what[1] for event in simulation.events("exit")] == [KILLED, KILLED, NORMAL]


def test_only_a_supervisor_starts_a_function_by_its_name(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        with pytest.raises(TypeError, match="only a supervisor"):
            await collect(self.task_stream(("math", "fib"), [1]), [])
        async with self.task_stream(("math", "fib"), [1], 2, supervisor="tasks", link=False) as responses:
            [response] = [response async for response in responses]
        assert isinstance(response.error, ExitError)
        assert response.error.reason == (UNDEF, [(Atom("math"), Atom("fib"), [1, 2], [])])

    node.play(scenario)
