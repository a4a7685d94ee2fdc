"""TaskSupervisor and its tasks: whatever comes from elsewhere, the supervisor answers and goes on."""

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from etf_codec import Atom, ImproperList, Pid
from hypothesis import given, settings
from hypothesis import strategies as st
from otp_behaviors import (
    NORMAL,
    Child,
    ExitError,
    GenServer,
    Kernel,
    LocalRuntime,
    Process,
    TaskSupervisor,
    start_child,
)
from otp_behaviors._work import run_named
from otp_behaviors.testing import SimulatedNode, Simulation

OK, ERROR, BADARG, UNDEF, BOOM, MONITOR = map(Atom, ("ok", "error", "badarg", "undef", "boom", "monitor"))
START_TASK, TEMPORARY, PERMANENT, NIL = map(Atom, ("start_task", "temporary", "permanent", "nil"))
GEN_CALL, TAG = Atom("$gen_call"), Atom("tag")

WORDS = (
    *("start_task", "start_child", "terminate_child", "restart_child", "delete_child", "get_childspec"),
    *("which_child", "which_children", "temporary", "nil", "brutal_kill", "infinity", "monitor", "EXIT"),
    *("undefined", "$gen_call", "system", "try_again_restart", "timeout", "DOWN"),
)
ATOMS = st.sampled_from(list(map(Atom, WORDS)))
ELSEWHERE = Pid("b@host", 1, 0, 7)
PIDS = st.sampled_from([Pid("a@host", 1, 0, 1), Pid("a@host", 999, 0, 1), ELSEWHERE])
TERMS = st.recursive(
    ATOMS | PIDS | st.integers() | st.floats() | st.text() | st.none() | st.booleans(),
    lambda terms: (
        st.lists(terms, max_size=6).map(tuple)
        | st.lists(terms)
        | st.dictionaries(ATOMS, terms)
        | st.lists(st.integers(), min_size=1).map(lambda items: ImproperList(items, 1))
    ),
    max_leaves=12,
)
STARTERS = st.tuples(ATOMS, TERMS, PIDS)
WORK = st.tuples(ATOMS, ATOMS, st.lists(TERMS, max_size=3)) | TERMS
ARGS = st.lists(TERMS, max_size=4) | TERMS
ARGS |= st.tuples(STARTERS, st.just(MONITOR) | TERMS).map(list)
ARGS |= st.tuples(STARTERS, st.lists(PIDS), WORK).map(list)
RESTARTS = st.sampled_from([TEMPORARY, NIL]) | TERMS
SHUTDOWNS = st.sampled_from([Atom("brutal_kill"), Atom("infinity"), NIL, 0, 5000, 10**300, -1]) | TERMS
REQUESTS = st.tuples(st.just(START_TASK), ARGS, RESTARTS, SHUTDOWNS) | TERMS | st.tuples(ATOMS, TERMS)


@pytest.fixture
def node(node: SimulatedNode) -> SimulatedNode:
    node.start(TaskSupervisor(name="tasks"))
    return node


def who(pid: Pid) -> Any:
    return (Atom(pid.node), pid, pid)


async def down_of(self: Process, pid: Pid) -> Any:
    ref = self.monitor(pid)
    down: Any = await self.receive(lambda message: message[1] == ref)
    return down.reason


async def waiting(self: Process, restart: Atom = TEMPORARY) -> Pid:
    """Start a task that waits to be told what to do."""
    ok, pid = await self.call("tasks", (START_TASK, [who(self.pid), MONITOR], restart, NIL))
    assert ok == OK
    assert isinstance(pid, Pid)
    return pid


@settings(deadline=None)
@given(st.lists(REQUESTS, max_size=8))
def test_each_request_is_answered_once(requests: list[Any]) -> None:
    with Simulation(turn_time=(0.0, 0.0)) as simulation:
        node = simulation.node("a@host")
        supervisor = node.start(TaskSupervisor())

        async def scenario(self: Process) -> list[Any]:
            for count, request in enumerate(requests):
                self.send(supervisor, (GEN_CALL, (self.pid, (TAG, count)), request))
            return [await self.receive(timeout=1) for _ in requests]

        answers = node.play(scenario)
        assert [tag for tag, _ in answers] == [(TAG, count) for count in range(len(requests))]
        for request, (_, answer) in zip(requests, answers, strict=True):
            if type(request) is tuple and len(request) == 4 and request[0] is START_TASK:
                assert answer == (ERROR, BADARG) or (answer[0] is OK and isinstance(answer[1], Pid))
        # Nobody tells the tasks what to do.
        simulation.run()
        assert node.alive(supervisor)
        assert dict(node.call(supervisor, Atom("count_children")))[Atom("active")] == 0


@settings(deadline=None)
@given(st.lists(TERMS | REQUESTS, max_size=8))
def test_no_message_ends_a_supervisor(messages: list[Any]) -> None:
    with Simulation(turn_time=(0.0, 0.0)) as simulation:
        node = simulation.node("a@host")
        supervisor = node.start(TaskSupervisor())
        for message in messages:
            node.send(supervisor, message)
        simulation.run()
        assert node.call(supervisor, Atom("which_children")) == []


STARTER = (Atom("a@host"), Pid("a@host", 1, 0, 1), Pid("a@host", 1, 0, 1))
WORKING: list[Any] = [STARTER, [], (Atom("m"), Atom("f"), [])]


@pytest.mark.parametrize(
    ("args", "restart", "shutdown"),
    [
        ([], TEMPORARY, 5000),
        ([STARTER], TEMPORARY, 5000),
        ([STARTER, Atom("nomonitor")], TEMPORARY, 5000),
        ([STARTER, "monitor"], TEMPORARY, 5000),
        ([(Atom("a@host"), 1, 2), MONITOR], TEMPORARY, 5000),
        ([STARTER[1:], MONITOR], TEMPORARY, 5000),
        ([STARTER, MONITOR, 1, 2], TEMPORARY, 5000),
        ([STARTER, Atom("callers"), WORKING[2]], TEMPORARY, 5000),
        ((STARTER, MONITOR), TEMPORARY, 5000),
        (ImproperList([STARTER], MONITOR), TEMPORARY, 5000),
        (None, PERMANENT, 5000),
        (WORKING, Atom("forever"), 5000),
        (WORKING, "temporary", 5000),
        (WORKING, [], 5000),
        (WORKING, TEMPORARY, -1),
        (WORKING, TEMPORARY, 5000.0),
        (WORKING, TEMPORARY, True),
        (WORKING, TEMPORARY, Atom("kill")),
        (WORKING, TEMPORARY, {}),
    ],
    ids=repr,
)
def test_a_task_that_makes_no_sense_is_refused(
    node: SimulatedNode, args: Any, restart: Any, shutdown: Any
) -> None:
    assert node.call("tasks", (START_TASK, args, restart, shutdown)) == (ERROR, BADARG)
    assert node.call("tasks", Atom("which_children")) == []


def test_no_number_of_milliseconds_ends_the_supervisor(node: SimulatedNode) -> None:
    # More than a float can hold; on the wire it takes some hundred bytes.
    answer = node.call("tasks", (START_TASK, [STARTER, MONITOR], TEMPORARY, 10**400))
    assert answer == (ERROR, BADARG) or answer[0] == OK


@pytest.mark.parametrize("request_", [(), (START_TASK,), (START_TASK, 1, 2), (START_TASK, 1, 2, 3, 4)])
def test_requests_of_other_sizes_are_unknown(node: SimulatedNode, request_: Any) -> None:
    assert node.call("tasks", request_) == (ERROR, (Atom("bad_request"), request_))


@pytest.mark.parametrize(
    "argument",
    [
        [],
        {},
        (),
        [1],
        Atom("Task"),
        Child(GenServer),
        [STARTER],
        [STARTER, [], (Atom("m"), Atom("f"), []), 1],
        ImproperList([STARTER], MONITOR),
    ],
    ids=repr,
)
def test_start_child_is_refused(node: SimulatedNode, argument: Any) -> None:
    assert node.call("tasks", (Atom("start_child"), argument)) == (ERROR, BADARG)
    assert node.call("tasks", Atom("which_children")) == []


def test_start_child_is_no_way_around_max_children(node: SimulatedNode) -> None:
    node.start(TaskSupervisor(name="full", max_children=0))

    async def scenario(self: Process) -> None:
        with pytest.raises(ExitError):
            await start_child(self, "full", [who(self.pid), MONITOR])

    node.play(scenario)


def test_other_requests_of_supervisors_are_answered(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> list[Any]:
        return [
            (await self.call("tasks", (Atom(request), self.pid)))[0]
            for request in ("restart_child", "delete_child", "get_childspec", "which_child", "what")
        ]

    assert node.play(scenario) == [ERROR] * 5


# What a task that waits is told


def test_a_task_waits_for_its_owner_whatever_else_comes(node: SimulatedNode) -> None:
    async def scenario(self: Process) -> Any:
        pid, stranger = await waiting(self), self.spawn(waiting)
        work = (Atom("m"), Atom("f"), [1])
        odd = [
            1,
            (),
            [],
            {},
            (self.pid,),
            (self.pid, 1, 2, 3),
            (1, 2, 3, 4, 5),
            (stranger, 1, self.pid, [], 1),
        ]
        for message in [*odd, [self.pid, 1, 2, 3, work], ("DOWN", 1, 2, 3, 4)]:
            self.send(pid, message)
        info = self.process_info(pid, ("message_queue_len", "monitors"))
        with pytest.raises(TimeoutError):
            await self.receive(timeout=1)
        info = self.process_info(pid, ("message_queue_len", "monitors"))
        assert info == {"message_queue_len": 10, "monitors": [(Atom("process"), self.pid)]}
        self.send(pid, (self.pid, "tag", self.pid, [], work))
        return await down_of(self, pid)

    assert node.play(scenario) == (UNDEF, [(Atom("m"), Atom("f"), [1], [])])


@pytest.mark.parametrize(
    ("reply_to", "work"),
    [
        (Atom("name"), (Atom("m"), Atom("f"), [])),
        (None, (Atom("m"), Atom("f"), [])),
        ([], 1),
        (ELSEWHERE, 1),
        (ELSEWHERE, (Atom("m"), Atom("f"))),
        (ELSEWHERE, (Atom("m"), "f", [])),
        (ELSEWHERE, ("m", Atom("f"), [])),
        (ELSEWHERE, (Atom("m"), Atom("f"), ())),
        (ELSEWHERE, (Atom("m"), Atom("f"), ImproperList([1], 2))),
        (ELSEWHERE, (Atom("m"), Atom("f"), 0)),
        (ELSEWHERE, (Atom("m"), Atom("f"), [], [])),
    ],
    ids=repr,
)
def test_a_task_that_is_told_nonsense_ends(node: SimulatedNode, reply_to: Any, work: Any) -> None:
    async def scenario(self: Process) -> Any:
        pid = await waiting(self)
        self.send(pid, (self.pid, 1, reply_to, [], work))
        return await down_of(self, pid)

    assert node.play(scenario) == BADARG


@settings(deadline=None)
@given(TERMS, PIDS | TERMS | st.none(), TERMS, WORK)
def test_whatever_a_task_is_told_it_ends_and_the_supervisor_does_not(
    tag: Any, reply_to: Any, callers: Any, work: Any
) -> None:
    with Simulation(turn_time=(0.0, 0.0)) as simulation:
        node = simulation.node("a@host")
        supervisor = node.start(TaskSupervisor(name="tasks"))

        async def scenario(self: Process) -> Any:
            pid = await waiting(self)
            self.send(pid, (self.pid, tag, reply_to, callers, work))
            assert self.process_info(pid, ("initial_call", "dictionary")) is not None
            return await down_of(self, pid)

        reason = node.play(scenario)
        assert reason == BADARG or reason[0] == UNDEF
        assert node.alive(supervisor)
        assert node.call(supervisor, Atom("which_children")) == []


# Functions that are named


class Providing(LocalRuntime):
    """Provides `math:double/1`, and `math:later/1` that waits."""

    def provided(self, module: str, function: str, arity: int) -> Callable[[Any, list[Any]], Any] | None:
        async def later(process: Process, args: list[Any]) -> Any:
            await anyio.lowlevel.checkpoint()
            return (process.pid, args[0])

        functions = {"double": lambda process, args: 2 * args[0], "later": later}
        return functions.get(function) if (module, arity) == ("math", 1) else None


@pytest.mark.anyio
async def test_functions_that_the_program_provides_are_run_by_their_names() -> None:
    told: list[Any] = []

    async def scenario(self: Process) -> None:
        names: list[Any] = [("math", "double"), (Atom("math"), Atom("later"))]
        tasks = [await self.supervised_task("tasks", name, 21) for name in names]
        assert await tasks[0].result() == 42
        assert await tasks[1].result() == (tasks[1].pid, 21)
        for name in [("math", "half"), ("double", "math")]:
            failed = await self.supervised_task("tasks", name, 21, link=False)
            told.append(await failed.poll())

    with anyio.fail_after(5):
        async with Providing() as runtime:
            await runtime.start(TaskSupervisor(name="tasks"))
            assert (await runtime.monitor(runtime.spawn(scenario))).reason == NORMAL
    called: list[Any] = [(Atom("math"), Atom("half"), [21], []), (Atom("double"), Atom("math"), [21], [])]
    assert [response.error.reason for response in told] == [(UNDEF, [call]) for call in called]


def test_where_no_functions_are_provided_none_is_found(node: SimulatedNode, kernel: Kernel) -> None:
    async def scenario(self: Process) -> Any:
        task = await self.supervised_task("tasks", ("os", "getpid"), link=False)
        return await task.result()

    undef: Any = (UNDEF, [(Atom("os"), Atom("getpid"), [], [])])
    with pytest.raises(ExitError) as caught:
        node.play(scenario)
    assert caught.value.reason == undef
    assert kernel.shell is None
    with pytest.raises(ExitError, match="os:getpid/0") as caught:
        run_named(kernel, None, (Atom("os"), Atom("getpid"), []))
    assert caught.value.reason == undef


def test_a_large_term_does_not_make_a_large_text(node: SimulatedNode) -> None:
    with pytest.raises(ExitError, match="neither a function nor") as caught:
        run_named(node.kernel, None, list(range(100_000)))
    assert len(str(caught.value)) < 400
