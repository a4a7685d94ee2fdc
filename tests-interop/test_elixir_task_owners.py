"""Processes of ours have tasks run by a Task.Supervisor of Elixir."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from elixir_peer import EX, Elixir, needs_elixir, start_elixir, within
from ergo_node import Node
from erlang_peer import StartErl
from etf_codec import Atom, EncodeError, Pid
from otp_behaviors import (
    NO_REPLY,
    NOCONNECTION,
    NORMAL,
    SHUTDOWN,
    CallTimeout,
    Exit,
    ExitError,
    NoConnection,
    NoProcess,
    Process,
    RemoteName,
    Response,
    Task,
    start_task,
)

pytestmark = [pytest.mark.anyio, needs_elixir]

TASKS = RemoteName("Elixir.Tasks", EX)
FEW = RemoteName("Elixir.Few", EX)
SLEEP, SUM, FAIL, HOLD = (
    ("timer", "sleep"),
    ("Elixir.Enum", "sum"),
    ("Elixir.ElixirTasks", "fail"),
    ("Elixir.ElixirTasks", "hold"),
)
BALL, BOOM, MAX_CHILDREN, FOREVER = map(Atom, ("ball", "boom", "max_children", "forever"))
TRAP_EXIT = Atom("trap_exit")
CHILDREN = "Task.Supervisor.children(Tasks)"
Does = Callable[[Process], Awaitable[Any]]


@pytest.fixture
async def elixir(start_erl: StartErl, node: Node, elixir_folders: list[str]) -> Elixir:
    """A node of Elixir with two supervisors of tasks; the second takes two."""
    elixir = await start_elixir(start_erl, elixir_folders)
    await elixir("{:ok, _} = Task.Supervisor.start_link(name: Tasks)")
    await elixir("{:ok, _} = Task.Supervisor.start_link(name: Few, max_children: 2)")
    return elixir


async def done(node: Node, does: Does, *, trap_exit: bool = False) -> Any:
    """What a process of ours returns, after which it has no message and watches nobody."""
    results: list[Any] = []

    async def run(process: Process) -> None:
        process.trap_exit = trap_exit
        results.append(await does(process))
        assert not [message for message in process._record.mailbox if type(message) is not Exit]
        assert not process._record.monitors

    assert await reason(node, run) == NORMAL
    return results[0]


async def reason(node: Node, does: Does) -> Any:
    """Why a process of ours ends."""
    return (await within(node.monitor(node.spawn(lambda process: _run(process, does))))).reason


async def _run(process: Process, does: Does) -> None:
    try:
        await does(process)
    except pytest.fail.Exception as failed:  # not an Exception: it would end the node
        raise AssertionError(str(failed)) from failed


async def no_tasks(elixir: Elixir) -> None:
    await elixir.until(f"{CHILDREN} == []")


async def failure(process: Process, kind: str, term: Any) -> Any:
    """How a task of Elixir that fails ends."""
    task = await process.supervised_task(TASKS, FAIL, Atom(kind), term, link=False)
    with pytest.raises(ExitError) as caught:
        await task.result()
    return caught.value.reason


async def test_results(elixir: Elixir, node: Node) -> None:
    async def asks(process: Process) -> Any:
        task = await process.supervised_task(TASKS, SUM, [1, 2, 3])
        assert task.pid.node == EX
        first = await task.result()
        named = await process.supervised_task(TASKS, (Atom("erlang"), Atom("node")))
        callers = await process.supervised_task(TASKS, ("Elixir.Process", "get"), Atom("$callers"))
        tasks = [await process.supervised_task(TASKS, SUM, [n, n], link=False) for n in range(20)]
        many = await Task.results(tasks)
        return first, await named.result(), await callers.result() == [process.pid], many

    assert await done(node, asks) == (6, Atom(EX), True, [2 * n for n in range(20)])
    await no_tasks(elixir)


async def test_a_task_that_fails(elixir: Elixir, node: Node) -> None:
    async def asks(process: Process) -> Any:
        assert await failure(process, "exit", BALL) == BALL
        (thrown, stack) = await failure(process, "throw", BALL)
        assert thrown == (Atom("nocatch"), BALL)
        assert stack[0][:2] == (Atom("Elixir.ElixirTasks"), Atom("fail"))
        assert (await failure(process, "error", BALL))[0] == BALL
        raised = (await failure(process, "raise", b"no"))[0]
        assert raised[Atom("__struct__")] == Atom("Elixir.RuntimeError")
        assert raised[Atom("message")] == b"no"
        missing = await process.supervised_task(TASKS, ("Elixir.Nothing", "at_all"), 1, link=False)
        polled = await missing.poll()
        assert polled is not None
        assert isinstance(polled.error, ExitError)
        assert polled.label is missing
        return polled.error.reason[0]

    assert await done(node, asks) == Atom("undef")

    async def linked(process: Process) -> None:
        await process.supervised_task(TASKS, FAIL, Atom("exit"), BALL)
        await process.receive(lambda message: False)

    assert await reason(node, linked) == BALL

    async def trapping(process: Process) -> Any:
        task = await process.supervised_task(TASKS, FAIL, Atom("exit"), BALL)
        assert await process.receive(lambda message: type(message) is Exit) == Exit(task.pid, BALL)
        with pytest.raises(ExitError) as caught:
            await task.result()
        return caught.value.reason

    assert await done(node, trapping, trap_exit=True) == BALL
    await no_tasks(elixir)


async def test_poll_and_shutdown(elixir: Elixir, node: Node) -> None:
    async def asks(process: Process) -> None:
        async def hold(how: Any, link: bool = True) -> Task:
            task = await process.supervised_task(TASKS, HOLD, how, link=link)
            assert await task.poll(0) is None
            return task

        task = await hold((Atom("gate"), process.pid, BALL))
        assert await process.receive() == (Atom("ready"), task.pid, BALL)
        assert await task.poll(0.01) is None
        process.send(task.pid, Atom("go"))
        assert await task.poll() == Response(task, BALL, None)
        assert await task.poll(0.01) is None

        assert await (await hold(FOREVER)).shutdown() is None
        assert await (await hold(FOREVER, link=False)).shutdown("brutal_kill") is None
        stubborn = await hold(Atom("stubborn"))
        await traps(stubborn.pid)
        killed: Any = await stubborn.shutdown(0.02)
        assert (killed.reply, killed.error.reason) == (NO_REPLY, Atom("killed"))
        obedient = await hold(Atom("obedient"))
        await traps(obedient.pid)
        assert await obedient.shutdown() == Response(obedient, (Atom("told"), SHUTDOWN), None)
        again: Any = await obedient.shutdown()
        assert isinstance(again.error, NoProcess)

        late = await hold((Atom("gate"), process.pid, BOOM))
        await process.receive()
        with pytest.raises(CallTimeout):
            await late.result(0.01)
        ignored = await hold((Atom("gate"), process.pid, BOOM))
        await process.receive()
        assert await ignored.ignore() is None
        watch = process.monitor(late.pid), process.monitor(ignored.pid)
        for task in (late, ignored):
            process.send(task.pid, Atom("go"))
        downs = [await process.receive(), await process.receive()]
        assert {message[1] for message in downs} == set(watch)

    async def traps(pid: Pid) -> None:
        await within(_traps(pid))

    async def _traps(pid: Pid) -> None:
        while (await node.erpc(EX, "erlang", "process_info", [pid, TRAP_EXIT]))[1] is not True:
            pass

    await done(node, asks)
    await no_tasks(elixir)


async def test_task_stream(elixir: Elixir, node: Node) -> None:
    async def asks(process: Process) -> None:
        lists = [[n, 1] for n in range(30)]
        sums = [(each, sum(each)) for each in lists]
        async with process.task_stream(SUM, lists, supervisor=TASKS) as responses:
            assert [(each.label, each.result()) async for each in responses] == sums
        unordered = process.task_stream(
            SUM, lists, supervisor=TASKS, link=False, ordered=False, max_concurrency=3
        )
        async with unordered as responses:
            assert sorted([(each.label, each.result()) async for each in responses]) == sums
        kinds = list(map(Atom, ("exit", "error", "throw")))
        async with process.task_stream(FAIL, kinds, BALL, supervisor=TASKS, link=False) as responses:
            errors: list[Any] = [response.error async for response in responses]
        reasons = [error.reason for error in errors]
        assert reasons[0] == BALL
        assert [each[0] for each in reasons[1:]] == [BALL, (Atom("nocatch"), BALL)]
        late = process.task_stream(SLEEP, [60_000, 0], supervisor=TASKS, timeout=0.5, on_timeout="kill_task")
        async with late as responses:
            ends = [response async for response in responses]
        assert isinstance(ends[0].error, CallTimeout)
        assert ends[1] == Response(0, Atom("ok"), None)
        with pytest.raises(CallTimeout):
            async with process.task_stream(SLEEP, [60_000] * 3, supervisor=TASKS, timeout=0.05) as responses:
                await anext(responses)
        with pytest.raises(ExitError) as refused:
            async with process.task_stream(
                SLEEP, [60_000] * 3, supervisor=FEW, max_concurrency=3
            ) as responses:
                await anext(responses)
        assert refused.value.reason == MAX_CHILDREN
        async with process.task_stream(SLEEP, [0, 60_000, 60_000], supervisor=TASKS) as responses:
            assert (await anext(responses)).label == 0

    await done(node, asks)
    await no_tasks(elixir)
    assert await elixir("Task.Supervisor.children(Few)") == []


async def test_start_task(elixir: Elixir, node: Node) -> None:
    tell = ("erlang", "send")

    async def asks(process: Process) -> None:
        pid = await start_task(process, TASKS, tell, process.pid, BALL)
        assert pid.node == EX
        assert await process.receive() == BALL

    await done(node, asks)
    await no_tasks(elixir)
    # A node asks as well; a task that is transient is run until it ends well.
    agent = await elixir("{:ok, pid} = Agent.start(fn -> 0 end); pid")
    counted = ("Elixir.ElixirTasks", "counted")
    await start_task(node, TASKS, counted, agent, 3, restart="transient")
    await elixir.until(f"Agent.get(:erlang.list_to_pid(~c'{_local(agent)}'), & &1) == 3")
    await no_tasks(elixir)
    for _ in range(2):
        await start_task(node, FEW, SLEEP, Atom("infinity"), shutdown="brutal_kill")
    with pytest.raises(ExitError) as refused:
        await start_task(node, FEW, SLEEP, 0)
    assert refused.value.reason == MAX_CHILDREN
    with pytest.raises(NoProcess):
        await start_task(node, RemoteName("Elixir.Nobody", EX), SLEEP, 0)


def _local(pid: Pid) -> str:
    return f"<0.{pid.id}.{pid.serial}>"


async def here(process: Process) -> None:
    """Only this program has it."""


FUNCTIONS = pytest.mark.parametrize("function", [here, len], ids=["coroutine function", "function"])
LINK = pytest.mark.parametrize("link", [True, False])


@FUNCTIONS
@LINK
async def test_a_function_of_this_program_for_another_node(
    elixir: Elixir, node: Node, function: Any, link: bool
) -> None:
    """Nothing of the attempt is left: no task there, no monitor, no link."""

    async def asks(process: Process) -> Any:
        with pytest.raises(EncodeError):
            await process.supervised_task(TASKS, function, link=link)
        with pytest.raises(EncodeError):
            async with process.task_stream(function, [1, 2], supervisor=TASKS, link=link) as responses:
                await anext(responses)
        with pytest.raises(EncodeError):
            await start_task(process, TASKS, function)
        assert not process._record.monitors
        assert not process._record.links
        # The task of Elixir, if it had been started, would wait five seconds for what to do.
        assert await node.rpc(EX, "Elixir.Task.Supervisor", "children", [Atom("Elixir.Tasks")]) == []
        task = await process.supervised_task(TASKS, SUM, [1, 2])
        return await task.result()

    assert await done(node, asks) == 3
    with pytest.raises(EncodeError):
        await start_task(node, TASKS, function)
    await no_tasks(elixir)


@LINK
@pytest.mark.parametrize("trap_exit", [True, False])
async def test_an_argument_without_an_external_form(
    elixir: Elixir, node: Node, link: bool, trap_exit: bool
) -> None:
    """It ends the process, as sending it does; the task of Elixir hears of that and ends at once."""

    async def asks(process: Process) -> None:
        process.trap_exit = trap_exit
        await (await process.supervised_task(TASKS, SUM, object(), link=link)).result()

    async def streams(process: Process) -> None:
        process.trap_exit = trap_exit
        async with process.task_stream(SUM, [object()] * 3, supervisor=TASKS, link=link) as responses:
            await anext(responses)

    for each in (asks, streams):
        (name, _), _stack = await reason(node, each)
        assert name == Atom("EncodeError")
        with anyio.fail_after(3):
            await no_tasks(elixir)
    with pytest.raises(EncodeError):
        await start_task(node, TASKS, SUM, object())
    assert await node.rpc(EX, "Elixir.Enum", "sum", [[1, 2]]) == 3


async def test_the_node_is_lost(elixir: Elixir, node: Node) -> None:
    async def asks(process: Process) -> None:
        tasks = [await process.supervised_task(TASKS, HOLD, FOREVER, link=False) for _ in range(4)]
        with pytest.raises(NoConnection):
            await tasks[0].result(None)
        polled = await tasks[1].poll()
        assert polled is not None
        assert isinstance(polled.error, NoConnection)
        shut = await tasks[2].shutdown()
        assert shut is not None
        assert isinstance(shut.error, NoConnection)
        with pytest.raises(NoConnection):
            await Task.results(tasks[3:])
        with pytest.raises(NoConnection):
            await process.supervised_task(TASKS, SUM, [1])

    async def linked(process: Process) -> None:
        task = await process.supervised_task(TASKS, HOLD, FOREVER)
        await task.result(None)

    async def streams(process: Process) -> None:
        async with process.task_stream(SLEEP, [60_000] * 3, supervisor=TASKS, link=False) as responses:
            for _ in range(3):
                assert isinstance((await anext(responses)).error, NoConnection)

    watches = [node.monitor(node.spawn(_run, each)) for each in (asks, linked, streams)]
    await elixir.until(f"length({CHILDREN}) == 8")
    await elixir.erl.kill()
    reasons = [(await within(watch)).reason for watch in watches]
    assert reasons == [NORMAL, NOCONNECTION, NORMAL]
