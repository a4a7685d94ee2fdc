"""Task: work in a process of its own, seen from the process that owns it."""

import functools
from typing import Any

import pytest
from etf_codec import Atom, Pid
from otp_behaviors import (
    NO_REPLY,
    TIMEOUT,
    CallTimeout,
    Down,
    Exit,
    ExitError,
    LocalRuntime,
    Process,
    Response,
    Task,
    TaskSupervisor,
)
from otp_behaviors.testing import SimulatedNode

BOOM, GO = Atom("boom"), Atom("go")


@pytest.fixture
def node(node: SimulatedNode) -> SimulatedNode:
    node.start(TaskSupervisor(name="tasks"))
    return node


async def pause(self: Process, seconds: float) -> None:
    with pytest.raises(TimeoutError):
        await self.receive(lambda message: False, seconds)


async def slow(self: Process, seconds: float, result: Any) -> Any:
    await pause(self, seconds)
    return result


async def fails(self: Process, seconds: float = 0.0, reason: Any = BOOM) -> None:
    await pause(self, seconds)
    raise ExitError(reason)


async def obedient(self: Process) -> None:
    await self.receive(lambda message: False)


async def ends(self: Process, pid: Pid) -> Any:
    """Wait for the end of a process, and return the reason."""
    ref = self.monitor(pid)
    down = await self.receive(lambda message: type(message) is Down and message.ref == ref)
    return down.reason


def nothing_is_left(self: Process) -> bool:
    info = self.process_info(items=("messages", "monitors", "links"))
    return info == {"messages": [], "monitors": [], "links": []} and not self._record.aliases


# The result


def test_the_result_of_an_async_and_of_a_plain_function(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        tasks = [self.task(slow, 0.5, "done"), self.task(divmod, 7, 2)]
        assert tasks[0].pid != tasks[1].pid != self.pid
        assert repr(tasks[0]) == f"Task({tasks[0].pid!r})"
        assert [await task.result() for task in tasks] == ["done", (3, 1)]
        assert nothing_is_left(self)

    node.play(scenario)


def test_functions_of_other_kinds(node: SimulatedNode) -> None:
    async def scenario(self: Process, function: Any, *args: Any) -> Any:
        return await self.task(function, *args).result()

    assert node.play(scenario, functools.partial(slow, result=1), 0) == 1
    assert node.play(scenario, functools.partial(divmod, 7), 2) == (3, 1)
    assert node.play(scenario, "abc".upper) == "ABC"


def test_a_function_with_a_long_name(node: SimulatedNode) -> None:
    async def named(process: Process) -> str:
        return "done"

    # As in a class within a function within a test; an atom has at most 255 characters.
    named.__qualname__ = "Outer.<locals>." * 20 + "named"

    async def scenario(self: Process) -> Any:
        self.trap_exit = True
        return await self.task(named).result()

    assert node.play(scenario) == "done"


def test_an_object_whose_call_is_async(node: SimulatedNode) -> None:
    class Adds:
        async def __call__(self, process: Process, number: int) -> int:
            return number + 1

    async def scenario(self: Process) -> Any:
        self.trap_exit = True
        return await self.task(Adds(), 1).result()

    assert node.play(scenario) == 2


def test_a_result_that_comes_too_late_is_dropped(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        task = self.task(slow, 2, "late")
        began = self._kernel.now()
        with pytest.raises(CallTimeout) as caught:
            await task.result(0.5)
        assert caught.value.reason == TIMEOUT
        assert self._kernel.now() - began == 0.5
        assert node.alive(task.pid)
        await pause(self, 3)
        assert not node.alive(task.pid)
        assert nothing_is_left(self)

    node.play(scenario)


def test_a_task_without_a_timeout_may_take_its_time(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> Any:
        return await self.task(slow, 1000, "at last").result(None)

    assert node.play(scenario) == "at last"


# Failure


@pytest.mark.anyio
async def test_the_owner_of_a_task_that_fails_ends_too(runtime: LocalRuntime) -> None:
    async def owner(self: Process) -> None:
        await self.task(fails).result()

    assert (await runtime.monitor(runtime.spawn(owner))).reason == BOOM


def test_an_owner_that_traps_exits_gets_the_exit_and_the_error(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        self.trap_exit = True
        task = self.task(fails)
        with pytest.raises(ExitError) as caught:
            await task.result()
        assert caught.value.reason == BOOM
        assert await self.receive(timeout=0) == Exit(task.pid, BOOM)
        assert nothing_is_left(self)

    node.play(scenario)


def test_an_owner_that_is_not_linked_gets_the_error_only(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        task = await self.supervised_task("tasks", fails, link=False)
        assert self.process_info(items=("links",)) == {"links": []}
        with pytest.raises(ExitError) as caught:
            await task.result()
        assert caught.value.reason == BOOM
        assert nothing_is_left(self)

    node.play(scenario)


def test_a_supervised_task_is_linked_unless_told_otherwise(node: SimulatedNode) -> None:
    async def owner(self: Process) -> None:
        await (await self.supervised_task("tasks", fails)).result()

    async def scenario(self: Process) -> Any:
        return await ends(self, self.spawn(owner))

    assert node.play(scenario) == BOOM


# Waiting again and again


def test_polling_is_repeated_until_the_task_has_ended(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        task = self.task(slow, 1, "done")
        assert await task.poll(0) is None
        assert await task.poll(0.4) is None
        began = self._kernel.now()
        assert await task.poll() == Response(task, "done", None)
        assert self._kernel.now() - began == pytest.approx(0.6)
        assert await task.poll(1) is None
        assert nothing_is_left(self)

    node.play(scenario)


def test_polling_a_task_that_fails_gives_the_error(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> Any:
        task = await self.supervised_task("tasks", fails, link=False)
        response = await task.poll()
        assert response is not None
        assert (response.label, response.reply) == (task, NO_REPLY)
        assert nothing_is_left(self)
        return response.result()

    with pytest.raises(ExitError) as caught:
        node.play(scenario)
    assert caught.value.reason == BOOM


def test_several_tasks_are_polled_together(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        began = self._kernel.now()
        tasks = [self.task(slow, seconds, seconds) for seconds in (3, 1, 2)]
        assert await Task.poll_many(tasks, limit=0) == [None, None, None]
        first = await Task.poll_many(tasks, limit=1)
        assert (first, self._kernel.now() - began) == ([None, Response(tasks[1], 1, None), None], 1)
        some = await Task.poll_many([tasks[0], tasks[2]], 1.5)
        assert (some, self._kernel.now() - began) == ([None, Response(tasks[2], 2, None)], 2.5)
        last = await Task.poll_many(tasks[:1], limit=7)
        assert (last, self._kernel.now() - began) == ([Response(tasks[0], 3, None)], 3)
        assert await Task.poll_many([]) == []
        assert nothing_is_left(self)

    node.play(scenario)


# The results of several tasks


def test_the_results_come_in_the_order_of_the_tasks(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        tasks = [self.task(slow, seconds, seconds) for seconds in (3, 1, 2)]
        assert await Task.results(iter(tasks)) == [3, 1, 2]
        assert self._kernel.now() == 3
        assert await Task.results([]) == []
        assert nothing_is_left(self)

    node.play(scenario)


def test_a_task_may_be_among_those_to_wait_for_twice(node: SimulatedNode) -> None:
    # As with `Task.await_many/2`.
    async def scenario(self: Process) -> Any:
        task = self.task(slow, 1, "done")
        return await Task.results([task, task])

    assert node.play(scenario) == ["done", "done"]


def test_one_of_the_tasks_fails_and_the_others_go_on(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        tasks = [
            await self.supervised_task("tasks", slow, 0.1, "early", link=False),
            await self.supervised_task("tasks", fails, 1, link=False),
            await self.supervised_task("tasks", slow, 2, "late", link=False),
        ]
        with pytest.raises(ExitError) as caught:
            await Task.results(tasks)
        assert (caught.value.reason, self._kernel.now()) == (BOOM, 1)
        assert [node.alive(task.pid) for task in tasks] == [False, False, True]
        await pause(self, 2)
        assert nothing_is_left(self)

    node.play(scenario)


def test_one_of_the_tasks_is_late(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        tasks = [self.task(slow, seconds, seconds) for seconds in (1, 3, 2)]
        with pytest.raises(CallTimeout, match="no result of 1 of 3 tasks"):
            await Task.results(tasks, 2.5)
        assert self._kernel.now() == 2.5
        await pause(self, 1)
        assert nothing_is_left(self)

    node.play(scenario)
