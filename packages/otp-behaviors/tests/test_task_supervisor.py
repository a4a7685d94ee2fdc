"""TaskSupervisor: what it starts, restarts and ends, and what it makes of requests from elsewhere."""

from typing import Any

import anyio
import pytest
from etf_codec import Atom, Pid
from otp_behaviors import (
    KILLED,
    NOCONNECTION,
    NORMAL,
    SHUTDOWN,
    TIMEOUT,
    Down,
    ExitError,
    LocalRuntime,
    NoProcess,
    Process,
    RemoteName,
    Supervisor,
    SupervisorReport,
    TaskSupervisor,
    process_info,
    start_task,
)
from otp_behaviors._shutdown import end_children
from otp_behaviors.testing import SimulatedNode, Simulation

OK, ERROR, BADARG, UNDEF, BOOM, MONITOR = map(Atom, ("ok", "error", "badarg", "undef", "boom", "monitor"))
START_TASK, TEMPORARY, NIL, TASK = map(Atom, ("start_task", "temporary", "nil", "Task"))
MAX_CHILDREN, SIMPLE, NOT_FOUND = map(Atom, ("max_children", "simple_one_for_one", "not_found"))


async def pause(self: Process, seconds: float) -> None:
    with pytest.raises(TimeoutError):
        await self.receive(lambda message: False, seconds)


async def slow(self: Process, seconds: float, result: Any) -> Any:
    await pause(self, seconds)
    return result


async def obedient(self: Process) -> None:
    await self.receive(lambda message: False)


async def stubborn(self: Process) -> None:
    self.trap_exit = True
    await self.receive(lambda message: False)


async def lingering(self: Process, seconds: float) -> None:
    self.trap_exit = True
    await self.receive()
    await pause(self, seconds)


async def down_of(self: Process, pid: Pid) -> Any:
    ref = self.monitor(pid)
    down = await self.receive(lambda message: type(message) is Down and message.ref == ref)
    return down.reason


def ends(simulation: Simulation) -> dict[Pid, Any]:
    return dict(event.what for event in simulation.events("exit"))


def reports(simulation: Simulation) -> list[SupervisorReport]:
    effects = [event.what[0] for event in simulation.events("report")]
    return [effect for effect in effects if isinstance(effect, SupervisorReport)]


def who(pid: Pid) -> Any:
    return (Atom(pid.node), pid, pid)


# Children


def test_it_tells_of_its_tasks_as_any_supervisor_does(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        first = await start_task(self, "tasks", obedient)
        second = (await self.supervised_task("tasks", obedient)).pid
        row = (Atom("worker"), [TASK])
        rows = [(Atom("undefined"), pid, *row) for pid in (second, first)]
        assert await self.call("tasks", Atom("which_children")) == rows
        counts = [("specs", 1), ("active", 2), ("supervisors", 0), ("workers", 2)]
        answer = await self.call("tasks", Atom("count_children"))
        assert answer == [(Atom(name), count) for name, count in counts]
        assert await self.call("tasks", (Atom("which_child"), first)) == (OK, rows[1])
        self.unlink(second)
        assert await self.call("tasks", (Atom("terminate_child"), second)) == OK
        assert await self.call("tasks", Atom("which_children")) == rows[1:]
        assert await self.call("tasks", (Atom("terminate_child"), 1)) == (ERROR, SIMPLE)
        assert await self.call("tasks", (Atom("terminate_child"), self.pid)) == (ERROR, NOT_FOUND)
        assert node.alive(first)
        assert not node.alive(second)

    node.start(TaskSupervisor(name="tasks"))
    node.play(scenario)


@pytest.mark.parametrize("limit", [0, 2])
def test_no_more_tasks_than_allowed(node: SimulatedNode, limit: int) -> None:
    async def scenario(self: Process) -> None:
        for seconds in range(1, limit + 1):
            await start_task(self, "tasks", slow, seconds, None)
        for starting in (start_task(self, "tasks", obedient), self.supervised_task("tasks", obedient)):
            with pytest.raises(ExitError, match="max_children") as caught:
                await starting
            assert caught.value.reason == MAX_CHILDREN
        await pause(self, 1.5)
        for _ in range(min(limit, 1)):
            await start_task(self, "tasks", obedient)
        with pytest.raises(ExitError):
            await start_task(self, "tasks", obedient)

    node.start(TaskSupervisor(name="tasks", max_children=limit))
    node.play(scenario)


def test_options_that_make_no_sense() -> None:
    for options in ({"max_children": -1}, {"intensity": -1}, {"period": 0}):
        with pytest.raises(ValueError, match=r"counts from 0 up|more than 0"):
            TaskSupervisor(**options)  # type: ignore[arg-type]  # each has its own type


def test_who_does_not_supervise_tasks_is_told_so(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        with pytest.raises(ExitError, match="was not started") as caught:
            await self.supervised_task("other", obedient)
        assert caught.value.reason[0] == Atom("bad_request")
        with pytest.raises(NoProcess):
            await start_task(self, "nobody", obedient)

    node.start(Supervisor(name="other"))
    node.play(scenario)


def test_its_tasks_end_when_it_ends_each_in_the_time_it_has(
    simulation: Simulation, node: SimulatedNode
) -> None:
    async def scenario(self: Process) -> list[Pid]:
        kinds: list[Any] = [
            (obedient, (), 5.0),
            (stubborn, (), 1.0),
            (obedient, (), "brutal_kill"),
            (stubborn, (), 2.5),
            (stubborn, (), "brutal_kill"),
            (lingering, (7,), "infinity"),
            (lingering, (0.5,), 1.0),
            (stubborn, (), 0),
        ]
        return [await start_task(self, "tasks", kind, *args, shutdown=time) for kind, args, time in kinds]

    supervisor = node.start(TaskSupervisor(name="tasks"))
    pids = node.play(scenario)
    simulation.run()
    node.stop(supervisor, SHUTDOWN)
    times = {event.what[0]: event.time for event in simulation.events("exit")}
    assert [times[pid] for pid in pids] == [0, 1, 0, 2.5, 0, 7, 0.5, 0]
    reasons = ends(simulation)
    expected = [SHUTDOWN, KILLED, KILLED, KILLED, KILLED, NORMAL, NORMAL, KILLED]
    assert [reasons[pid] for pid in pids] == expected
    [report] = reports(simulation)
    # The killed one of brutal_kill did as it was told.
    assert (report.context, report.reason, dict(report.offender)["nb_children"]) == (
        "shutdown_error",
        KILLED,
        3,
    )


def test_awaited_tasks_have_a_time_to_end_too(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> list[Any]:
        supervisor = await self.start(TaskSupervisor())
        tasks = [
            await self.supervised_task(supervisor, stubborn, link=False),
            await self.supervised_task(supervisor, stubborn, link=False, shutdown=0.5),
            await self.supervised_task(supervisor, stubborn, link=False, shutdown="brutal_kill"),
        ]
        await pause(self, 1)
        self.exit(supervisor, SHUTDOWN)
        ended = []
        for task in reversed(tasks):
            response = await task.poll(None)
            assert response is not None
            assert isinstance(response.error, ExitError)
            ended.append((response.error.reason, self._kernel.now() - 1))
        return ended

    assert node.play(scenario) == [(KILLED, 0), (KILLED, 0.5), (KILLED, 5)]


def test_of_the_times_that_children_had_nothing_is_left(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> None:
        self.trap_exit = True
        times: list[Any] = [(obedient, 3.0), (stubborn, 1.0), (obedient, 2), (obedient, "infinity")]
        shutdowns = {self.spawn(kind, link=True): time for kind, time in times}
        await pause(self, 1)
        reasons = await end_children(self, shutdowns)
        assert [reasons[pid] for pid in shutdowns] == [SHUTDOWN, KILLED, SHUTDOWN, SHUTDOWN]
        assert self._kernel.now() == 2
        await pause(self, 10)
        assert await end_children(self, {self.spawn(obedient, link=True): 0}) != {}
        info = self.process_info(items=("messages", "monitors", "links"))
        assert info == {"messages": [], "monitors": [], "links": []}

    node.play(scenario)


# Restarts


@pytest.mark.parametrize(
    ("restart", "runs"), [("temporary", 1), ("transient", 3), ("permanent", 4)], ids=lambda value: str(value)
)
def test_a_task_is_run_again_as_told(
    simulation: Simulation, node: SimulatedNode, restart: Any, runs: int
) -> None:
    begun: list[tuple[Pid, str]] = []

    async def work(self: Process, argument: str) -> None:
        begun.append((self.pid, argument))
        if len(begun) < 3:
            raise ExitError(BOOM)
        if len(begun) > 3:
            await self.receive()

    async def scenario(self: Process) -> Any:
        pid = await start_task(self, "tasks", work, "again", restart=restart)
        await pause(self, 1)
        assert begun[0] == (pid, "again")
        return len(await self.call("tasks", Atom("which_children")))

    node.start(TaskSupervisor(name="tasks", intensity=3))
    assert node.play(scenario) == (restart == "permanent")
    assert len(begun) == runs == len(dict(begun))
    assert {argument for _, argument in begun} == {"again"}
    told = [dict(report.offender) for report in reports(simulation)]
    shown = {(each["id"], each["restart_type"], each["mfargs"][2]) for each in told}
    assert shown == {(TASK, Atom(restart), ())}


def test_too_many_restarts_end_the_supervisor_and_its_tasks(node: SimulatedNode) -> None:
    begun: list[float] = []

    async def work(self: Process) -> None:
        begun.append(self._kernel.now())
        await pause(self, 1)
        raise ExitError(BOOM)

    async def scenario(self: Process, intensity: int, period: float) -> Any:
        supervisor = await self.start(TaskSupervisor(intensity=intensity, period=period))
        other = await start_task(self, supervisor, obedient)
        await start_task(self, supervisor, work, restart="transient")
        ref = self.monitor(supervisor)
        try:
            down = await self.receive(lambda message: type(message) is Down and message.ref == ref, 20)
        except TimeoutError:
            self.exit(supervisor, SHUTDOWN)
            return None
        assert isinstance(down, Down)
        assert not node.alive(other)
        return down.reason

    assert node.play(scenario, 2, 10) == SHUTDOWN
    assert begun == [0, 1, 2]
    assert node.play(scenario, 2, 0.5) is None
    assert len(begun) > 20


# Owners


def test_a_task_ends_if_its_owner_does_before_it_says_what_to_do(node: SimulatedNode) -> None:
    async def owner(self: Process, started: list[Pid]) -> None:
        request = (START_TASK, [who(self.pid), MONITOR], TEMPORARY, NIL)
        started.append((await self.call("tasks", request))[1])
        await pause(self, 1)
        raise ExitError(BOOM)

    async def scenario(self: Process) -> Any:
        started: list[Pid] = []
        self.spawn(owner, started)
        await pause(self, 0.5)
        reason = await down_of(self, started[0])
        assert self._kernel.now() == 1
        return reason

    node.start(TaskSupervisor(name="tasks"))
    assert node.play(scenario) == (SHUTDOWN, BOOM)


def test_a_task_ends_if_it_is_never_told_what_to_do(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> Any:
        request = (START_TASK, [who(self.pid), MONITOR], TEMPORARY, NIL)
        _, pid = await self.call("tasks", request)
        reason = await down_of(self, pid)
        return reason, self._kernel.now()

    node.start(TaskSupervisor(name="tasks"))
    assert node.play(scenario) == (TIMEOUT, 5)


def test_a_task_ends_if_the_connection_to_its_owner_is_lost(simulation: Simulation) -> None:
    a, b = simulation.node("a@host"), simulation.node("b@host")
    b.start(TaskSupervisor(name="tasks"))
    started: list[Pid] = []

    async def owner(self: Process) -> None:
        to, request = RemoteName("tasks", "b@host"), (START_TASK, [who(self.pid), MONITOR], TEMPORARY, NIL)
        started.append((await self.call(to, request))[1])
        await self.receive()

    a.spawn(owner)
    simulation.run(1)
    assert b.alive(started[0])
    simulation.disconnect(a, b)
    simulation.run()
    assert ends(simulation)[started[0]] == (SHUTDOWN, NOCONNECTION)


def test_a_task_that_nobody_is_linked_with_outlives_who_asked_for_it(node: SimulatedNode) -> None:
    async def owner(self: Process) -> tuple[Pid, Pid]:
        task = await self.supervised_task("tasks", slow, 10, None, link=False)
        return task.pid, await start_task(self, "tasks", slow, 10, None)

    async def scenario(self: Process, pids: tuple[Pid, Pid]) -> list[Any]:
        await pause(self, 6)
        assert [node.alive(pid) for pid in pids] == [True, True]
        return [await down_of(self, pid) for pid in pids]

    node.start(TaskSupervisor(name="tasks"))
    assert node.play(scenario, node.play(owner)) == [NORMAL, NORMAL]


@pytest.mark.anyio
async def test_a_task_is_started_by_a_runtime_and_by_a_process(runtime: LocalRuntime) -> None:
    told: dict[str, Any] = {}
    process_told = anyio.Event()

    async def work(self: Process, key: str) -> None:
        told[key] = (self.pid, self.dictionary[Atom("$callers")], self.ancestors[0])
        if key == "process":
            process_told.set()

    async def asks(self: Process) -> None:
        told["asks"] = (self.pid, await start_task(self, "tasks", work, "process"))

    await runtime.start(TaskSupervisor(name="tasks"))
    with anyio.fail_after(5):
        pid = await start_task(runtime, "tasks", work, "runtime")
        await runtime.monitor(pid)
        assert told.pop("runtime") == (pid, [runtime.program], Atom("tasks"))
        await runtime.monitor(runtime.spawn(asks))
        asker, pid = told["asks"]
        await process_told.wait()
        assert told["process"] == (pid, [asker], Atom("tasks"))


@pytest.mark.anyio
async def test_a_plain_function_runs_in_a_thread_and_ends_with_the_supervisor(runtime: LocalRuntime) -> None:
    done: list[int] = []
    supervisor = await runtime.start(TaskSupervisor())
    with anyio.fail_after(5):
        pid = await start_task(runtime, supervisor, done.append, 7)
        assert (await runtime.monitor(pid)).reason in (NORMAL, Atom("noproc"))
        assert done == [7]
        waiting = await start_task(runtime, supervisor, obedient)
        await supervisor.stop()
        assert process_info(runtime.kernel, waiting) is None
