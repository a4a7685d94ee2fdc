"""task_stream: tasks that take too long, blocks that are left early, owners that end."""

import threading
from typing import Any

import anyio
import pytest
from etf_codec import Atom, Pid
from otp_behaviors import (
    KILL,
    KILLED,
    NORMAL,
    TIMEOUT,
    CallTimeout,
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


# Time


@pytest.mark.parametrize("ordered", [True, False])
def test_a_task_that_takes_too_long_ends_the_stream(
    node: SimulatedNode, simulation: Simulation, ordered: bool
) -> None:
    async def scenario(self: Process) -> None:
        got: list[Any] = []
        with pytest.raises(CallTimeout, match="no result for 9 within 2 s") as caught:
            await collect(self.task_stream(slow, [1, 9, 8], timeout=2, ordered=ordered), got)
        assert caught.value.reason == TIMEOUT
        assert (got, self._kernel.now()) == ([1], 2)
        assert nothing_is_left(self)

    node.play(scenario)
    assert [event.what[1] for event in simulation.events("exit")].count(KILLED) == 2


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("supervisor", [None, "tasks"])
def test_or_is_killed_and_the_others_go_on(
    node: SimulatedNode, simulation: Simulation, ordered: bool, supervisor: str | None
) -> None:
    async def scenario(self: Process) -> None:
        stream = self.task_stream(
            slow,
            [9, 1, 8, 0.5],
            supervisor=supervisor,
            timeout=2,
            on_timeout="kill_task",
            ordered=ordered,
            max_concurrency=2,
        )
        async with stream as responses:
            got = {response.label: response async for response in responses}
        # Each has two seconds from its own start.
        assert self._kernel.now() == 3
        assert list(got) == ([9, 1, 8, 0.5] if ordered else [1, 9, 0.5, 8])
        assert [got[1].result(), got[0.5].result()] == [-1, -0.5]
        for item in (9, 8):
            with pytest.raises(CallTimeout, match=f"no result for {item} within 2 s"):
                got[item].result()
        assert nothing_is_left(self)

    node.play(scenario)
    assert [event.what[1] for event in simulation.events("exit")].count(KILLED) == 2


def test_a_result_that_waits_to_be_taken_is_not_too_late(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        async with self.task_stream(slow, [1, 0.5, 9], timeout=2, max_concurrency=2) as responses:
            assert (await anext(responses)).result() == -1
            await pause(self, 60)
            assert (await anext(responses)).result() == -0.5

    node.play(scenario)


def test_without_a_timeout_the_stream_waits(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        async with self.task_stream(slow, [100, 1], timeout=None) as responses:
            assert [response.result() async for response in responses] == [-100, -1]

    node.play(scenario)


# Leaving early


@pytest.mark.parametrize("supervisor", [None, "tasks"])
@pytest.mark.parametrize("fails", [False, True])
def test_tasks_are_killed_when_the_block_is_left(
    node: SimulatedNode, simulation: Simulation, supervisor: str | None, fails: bool
) -> None:
    tasks: list[Pid] = []

    async def work(self: Process, item: int) -> None:
        self.trap_exit = True
        tasks.append(self.pid)
        await pause(self, item)

    async def leave(self: Process) -> None:
        async with self.task_stream(work, iter([1, 2, 3, 4]), supervisor=supervisor) as responses:
            assert (await anext(responses)).label == 1
            assert sum(map(node.alive, tasks)) == 3
            if fails:
                raise KeyError("left")

    async def scenario(self: Process) -> None:
        if fails:
            with pytest.raises(KeyError, match="left"):
                await leave(self)
        else:
            await leave(self)
        assert self._kernel.now() == 1
        assert not any(map(node.alive, tasks))
        assert nothing_is_left(self)

    node.play(scenario)
    reasons = [event.what[1] for event in simulation.events("exit") if event.what[0] in tasks]
    assert reasons == [NORMAL, KILLED, KILLED, KILLED]


def test_results_that_nobody_has_taken_are_dropped(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        async with self.task_stream(slow, [1, 2, 9], max_concurrency=3) as responses:
            assert (await anext(responses)).result() == -1
            await pause(self, 3)
        assert nothing_is_left(self)

    node.play(scenario)


def test_a_stream_that_is_not_begun_starts_nothing(node: SimulatedNode, simulation: Simulation) -> None:
    async def scenario(self: Process) -> None:
        before = len(simulation.events("spawn"))
        async with self.task_stream(slow, [1, 2]):
            pass
        assert len(simulation.events("spawn")) == before

    node.play(scenario)


def test_an_owner_that_traps_exits_is_not_told_of_tasks_that_ended_well(node: SimulatedNode) -> None:
    # `Task.async_stream` has a process between, which gets them.
    async def scenario(self: Process) -> None:
        self.trap_exit = True
        async with self.task_stream(slow, [1, 2]) as responses:
            assert [response.result() async for response in responses] == [-1, -2]
        assert nothing_is_left(self)

    node.play(scenario)


# On an event loop


@pytest.mark.anyio
@pytest.mark.parametrize(("supervisor", "link"), [(None, True), ("tasks", True), ("tasks", False)])
async def test_the_tasks_end_with_an_owner_that_is_killed(
    runtime: LocalRuntime, supervisor: str | None, link: bool
) -> None:
    begun: list[Pid] = []
    all_begun = anyio.Event()

    async def work(self: Process, item: int) -> None:
        begun.append(self.pid)
        if len(begun) == 3:
            all_begun.set()
        await anyio.sleep_forever()

    async def owner(self: Process) -> None:
        stream = self.task_stream(work, range(9), max_concurrency=3, supervisor=supervisor, link=link)
        await collect(stream, [])

    await runtime.start(TaskSupervisor(name="tasks"))
    with anyio.fail_after(5):
        pid = runtime.spawn(owner)
        await all_begun.wait()
        watches = [runtime.monitor(pid) for pid in begun]
        runtime.exit(pid, KILL)
        assert [(await watch).reason for watch in watches] == [KILLED] * 3
    assert [process_info(runtime.kernel, pid) for pid in begun] == [None] * 3


@pytest.mark.anyio
async def test_plain_functions_run_in_threads_together(runtime: LocalRuntime) -> None:
    # None passes before all have come.
    barrier = threading.Barrier(3, timeout=5)
    got: list[Any] = []

    def work(item: int) -> int:
        barrier.wait()
        return -item

    async def owner(self: Process) -> None:
        async with self.task_stream(work, range(6), max_concurrency=3) as responses:
            got.extend([response.result() async for response in responses])

    with anyio.fail_after(5):
        assert (await runtime.monitor(runtime.spawn(owner))).reason == NORMAL
    assert got == [0, -1, -2, -3, -4, -5]
