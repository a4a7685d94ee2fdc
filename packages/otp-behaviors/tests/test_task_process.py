"""The process of a task: ignored, shut down, asked about, in a thread; and its responses in a server."""

import functools
import threading
from typing import Any

import anyio
import anyio.to_thread
import pytest
from etf_codec import Atom, Pid
from otp_behaviors import (
    KILL,
    KILLED,
    NO_REPLY,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    Down,
    Exit,
    ExitError,
    GenServer,
    LocalRuntime,
    NoProcess,
    Process,
    Response,
    Task,
    TaskSupervisor,
    process_info,
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


async def stubborn(self: Process) -> None:
    self.trap_exit = True
    await self.receive(lambda message: False)


async def trapping(self: Process, result: Any) -> Any:
    """Is told to end, and has a result then."""
    self.trap_exit = True
    await self.receive()
    return result


async def ends(self: Process, pid: Pid) -> Any:
    """Wait for the end of a process, and return the reason."""
    ref = self.monitor(pid)
    down = await self.receive(lambda message: type(message) is Down and message.ref == ref)
    return down.reason


def nothing_is_left(self: Process) -> bool:
    info = self.process_info(items=("messages", "monitors", "links"))
    return info == {"messages": [], "monitors": [], "links": []} and not self._record.aliases


# Letting go, and ending


def test_a_task_that_is_ignored_goes_on_unlinked(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        task, failing = self.task(slow, 1, "unwanted"), self.task(fails, 2)
        assert await task.ignore() is None
        assert await failing.ignore() is None
        assert node.alive(task.pid)
        assert nothing_is_left(self)
        assert await ends(self, task.pid) == NORMAL
        assert await ends(self, failing.pid) == BOOM
        assert nothing_is_left(self)

    node.play(scenario)


def test_a_task_that_is_ignored_has_given_its_response_already(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        task = self.task(slow, 0, "done")
        failed = await self.supervised_task("tasks", fails, link=False)
        await pause(self, 1)
        assert await task.ignore() == Response(task, "done", None)
        response = await failed.ignore()
        assert response is not None
        assert isinstance(response.error, ExitError)
        assert response.error.reason == BOOM
        assert nothing_is_left(self)

    node.play(scenario)


@pytest.mark.parametrize(
    ("function", "args", "timeout", "seconds", "outcome"),
    [
        (obedient, (), 5.0, 0, None),
        (obedient, (), None, 0, None),
        (obedient, (), 0, 0, None),
        (obedient, (), "brutal_kill", 0, None),
        (stubborn, (), 0.5, 0.5, KILLED),
        (stubborn, (), "brutal_kill", 0, None),
        (trapping, ("done",), 5.0, 0, "done"),
        (slow, (0, "done"), 5.0, 0, "done"),
        (slow, (0, "done"), "brutal_kill", 0, "done"),
        (fails, (), 5.0, 0, BOOM),
        (fails, (), "brutal_kill", 0, BOOM),
        (fails, (0, SHUTDOWN), 5.0, 0, None),
        (fails, (0, NORMAL), 5.0, 0, NORMAL),
    ],
)
def test_shutdown(
    node: SimulatedNode, function: Any, args: Any, timeout: Any, seconds: float, outcome: Any
) -> None:
    async def scenario(self: Process) -> None:
        lasting = function in (obedient, stubborn)
        task = await self.supervised_task("tasks", function, *args, link=lasting)
        await pause(self, 1)
        began = self._kernel.now()
        response = await task.shutdown(timeout)
        assert self._kernel.now() - began == seconds
        assert not node.alive(task.pid)
        if response is not None and isinstance(response.error, ExitError):
            assert (response.label, response.reply, response.error.reason) == (task, NO_REPLY, outcome)
        else:
            assert response == (None if outcome is None else Response(task, outcome, None))
        assert nothing_is_left(self)

    node.play(scenario)


def test_shutdown_of_a_task_whose_result_was_taken_knows_no_more(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        task = self.task(slow, 0, "done")
        assert await task.result() == "done"
        response = await task.shutdown()
        assert response is not None
        assert isinstance(response.error, NoProcess)
        assert response.error.reason == NOPROC
        assert nothing_is_left(self)

    node.play(scenario)


def test_a_task_ends_with_its_owner(node: SimulatedNode) -> None:
    async def owner(self: Process, tasks: list[Task]) -> None:
        tasks.append(self.task(obedient))
        await self.receive()

    async def scenario(self: Process) -> None:
        tasks: list[Task] = []
        pid = self.spawn(owner, tasks)
        await pause(self, 1)
        ref = self.monitor(tasks[0].pid)
        self.exit(pid, BOOM)
        assert await self.receive() == Down(ref, tasks[0].pid, BOOM)

    node.play(scenario)


# In a server


class Asking(GenServer):
    """Takes the responses of its tasks in `handle_info`, and keeps all other messages."""

    def init(self, *functions: Any) -> None:
        self.trap_exit = True
        self.tasks = [self.task(function) for function in functions]
        self.responses: list[Any] = []
        self.others: list[Any] = []

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.responses, self.others, list(self._record.mailbox), self._record.monitors

    def handle_info(self, message: Any) -> None:
        responses = [response for task in self.tasks if (response := task.check(message))]
        self.responses.extend(responses)
        if not responses and type(message) is not Exit:
            self.others.append(message)


@pytest.mark.parametrize("function", [slow, fails], ids=["a result", "a crash"])
def test_a_server_gets_the_response_in_handle_info(node: SimulatedNode, function: Any) -> None:
    work = functools.partial(slow, seconds=1, result="done") if function is slow else fails
    server = node.start(Asking, work)
    node.play(pause, 2)
    responses, others, *left = node.call(server, GO)
    assert (others, left) == ([], [[], {}])
    [(label, reply, error)] = responses
    assert isinstance(label, Task)
    if function is slow:
        assert (reply, error) == ("done", None)
    else:
        assert reply is NO_REPLY
        assert error.reason == BOOM


class Array:
    """Compares item by item, as arrays do; what comes of that is neither true nor false."""

    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")


def test_other_messages_are_no_response(node: SimulatedNode) -> None:
    array: Any = Array()
    server = node.start(Asking, obedient, functools.partial(slow, seconds=1, result=array))
    ref, pid = node.kernel.make_ref(), node.pid
    messages: list[Any] = [1, "text", GO, [], {}, (), (ref, 1), (ref, 1, 2), (ref,), Down(ref, pid, BOOM)]
    messages += [[ref, 1], (GO, ref), (array, 1), (array, array), array, (1.0, array), ([ref], 1), ({}, 2)]
    for message in messages:
        node.send(server, message)
    node.play(pause, 2)
    responses, others, left, _ = node.call(server, GO)
    assert len(others) == len(messages)
    assert all(one is other for one, other in zip(others, messages, strict=True))
    assert [response.reply is array for response in responses] == [True]
    assert left == []


# What the task's process tells


def test_a_task_knows_its_callers_and_what_it_runs(node: SimulatedNode) -> None:
    async def inner(self: Process, *args: Any) -> Any:
        info = self.process_info(items=("initial_call", "current_function", "ancestors", "links", "monitors"))
        assert info is not None
        return self.dictionary[Atom("$callers")], info, self.pid

    async def outer(self: Process) -> Any:
        return await self.task(inner, 1, 2).result(), self.pid

    async def scenario(self: Process) -> None:
        (callers, info, _), outside = await self.task(outer).result()
        assert callers == [outside, self.pid]
        assert info["initial_call"] == (Atom(__name__), Atom(inner.__qualname__), 2)
        assert info["current_function"] == info["initial_call"]
        assert info["links"] == [outside]
        task = await self.supervised_task("tasks", inner, link=False)
        callers, info, pid = await task.result()
        assert (callers, pid, info["ancestors"][0]) == ([self.pid], task.pid, Atom("tasks"))
        assert info["initial_call"] == (Atom(__name__), Atom(inner.__qualname__), 0)
        # The owner is watched only until it has said what to do.
        assert (info["monitors"], self.pid in info["links"]) == ([], False)

    node.play(scenario)


# On an event loop


@pytest.mark.anyio
async def test_a_plain_function_runs_in_a_thread(runtime: LocalRuntime) -> None:
    results: list[Any] = []

    async def owner(self: Process) -> None:
        results.append(await self.task(threading.get_ident).result())
        self.trap_exit = True
        results.append(await self.task(int, "no number").poll())

    with anyio.fail_after(5):
        await runtime.monitor(runtime.spawn(owner))
    thread, response = results
    assert thread != threading.get_ident()
    (error, text), _ = response.error.reason
    assert error == Atom("ValueError")
    assert b"no number" in text


@pytest.mark.anyio
@pytest.mark.parametrize("timeout", [5.0, "brutal_kill"])
async def test_a_task_in_a_thread_is_shut_down_while_the_thread_goes_on(
    runtime: LocalRuntime, timeout: Any
) -> None:
    started, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    results: list[Any] = []

    def work() -> str:
        started.set()
        go_on.wait(10)
        ended.set()
        return "too late"

    async def owner(self: Process) -> None:
        task = self.task(work)
        await anyio.to_thread.run_sync(started.wait, 5)
        results.append(await task.shutdown(timeout))
        go_on.set()
        await anyio.to_thread.run_sync(ended.wait, 5)
        results.append(self.process_info(items=("messages",)))

    try:
        with anyio.fail_after(5):
            assert (await runtime.monitor(runtime.spawn(owner))).reason == NORMAL
    finally:
        go_on.set()
    assert results == [None, {"messages": []}]


@pytest.mark.anyio
async def test_a_task_is_cancelled_where_it_waits_when_its_owner_is_killed(runtime: LocalRuntime) -> None:
    begun, cancelled = anyio.Event(), anyio.Event()
    tasks: list[Task] = []

    async def waits(self: Process) -> None:
        begun.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    async def owner(self: Process) -> None:
        tasks.append(self.task(waits))
        await tasks[0].result(None)

    pid = runtime.spawn(owner)
    with anyio.fail_after(5):
        await begun.wait()
        watch = runtime.monitor(tasks[0].pid)
        runtime.exit(pid, KILL)
        assert (await watch).reason == KILLED
        await cancelled.wait()
    assert process_info(runtime.kernel, tasks[0].pid) is None
