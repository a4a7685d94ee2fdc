"""A TaskSupervisor of ours for nodes of Elixir: its children, its limits, and owners that are lost."""

from typing import Any

import pytest
from elixir_peer import Elixir, needs_elixir, start_elixir, until, within
from ergo_node import Node
from erlang_peer import StartErl
from etf_codec import Atom, Pid
from otp_behaviors import NOCONNECTION, NORMAL, SHUTDOWN, TaskSupervisor
from task_functions import SUP, Lives, begun, no_tasks, serve_tasks, task

pytestmark = [pytest.mark.anyio, needs_elixir]

BALL = Atom("ball")
OK, NIL, EXIT, ERROR = Atom("ok"), Atom("nil"), Atom("exit"), Atom("error")


@pytest.fixture
async def lives(node: Node) -> Lives:
    return await serve_tasks(node)


@pytest.fixture
async def elixir(start_erl: StartErl, lives: Lives, elixir_folders: list[str]) -> Elixir:
    return await start_elixir(start_erl, elixir_folders)


async def test_max_children(elixir: Elixir, lives: Lives) -> None:
    text = await elixir(
        f"Process.put(:held, for(n <- 1..4, do: {task('hold', '[n]')}));"
        f" try do {task('double', '[1]')} rescue e in RuntimeError -> e.message end"
    )
    assert b"reached the maximum number of tasks" in text
    start = f"Task.Supervisor.start_child({SUP}, :math_py, :double, [1])"
    assert await elixir(start) == (ERROR, Atom("max_children"))
    assert await elixir("[t | _] = Process.get(:held); Task.shutdown(t)") == NIL
    assert await elixir(f"{task('double', '[1]')} |> Task.await()") == 2


async def test_children_of_the_supervisor(elixir: Elixir, node: Node, lives: Lives) -> None:
    start = f"Task.Supervisor.start_child({SUP}, :math_py, :hold, "
    pids = await elixir(
        f"for {{n, options}} <- [{{1, []}}, {{2, [shutdown: :brutal_kill]}}, {{3, [shutdown: 50]}}] do"
        f" how = if(n == 1, do: :obedient, else: :stubborn);"
        f" {{:ok, pid}} = {start} [n, how], options); pid end"
    )
    watches = [node.monitor(await begun(lives, n)) for n in (1, 2, 3)]
    assert pids == [lives[n][0] for n in (1, 2, 3)]
    assert sorted(await elixir(f"Task.Supervisor.children({SUP})"), key=repr) == sorted(pids, key=repr)
    count = await elixir(f"DynamicSupervisor.count_children({SUP})")
    assert (count[Atom("active")], count[Atom("workers")]) == (3, 3)
    terminate = f"for pid <- Task.Supervisor.children({SUP}), do: Task.Supervisor.terminate_child({SUP}, pid)"
    assert await elixir(terminate) == [OK] * 3
    reasons = [(await within(watch)).reason for watch in watches]
    assert reasons == [NORMAL, Atom("killed"), Atom("killed")]
    await no_tasks(elixir)


async def test_terminating_who_is_no_child(elixir: Elixir) -> None:
    not_found = (ERROR, Atom("not_found"))
    assert await elixir(f"Task.Supervisor.terminate_child({SUP}, self())") == not_found
    ended = await elixir(
        f"t = {task('double', '[1]')}; m = Process.monitor(t.pid); receive do {{:DOWN, ^m, _, _, _}} -> 0 end"
        f"; Task.Supervisor.terminate_child({SUP}, t.pid)"
    )
    assert ended == not_found


async def test_restarts(elixir: Elixir, node: Node) -> None:
    runs: list[Any] = []

    def attempt(name: Atom, times: int) -> None:
        runs.append(name)
        if runs.count(name) < times:
            raise ValueError

    node.provide("math_py", "attempt", attempt)
    start = f"Task.Supervisor.start_child({SUP}, :math_py, :attempt, "
    for restart in ("transient", "temporary"):
        await elixir(f"{{:ok, _}} = {start} [:{restart}, 3], restart: :{restart})")
    await until(lambda: runs.count(Atom("transient")) == 3)
    await no_tasks(elixir)
    assert runs.count(Atom("temporary")) == 1
    # One that always ends is started again too often in the end, and takes its supervisor with it.
    await node.start(TaskSupervisor(name="others"))
    watch = node.monitor("others")
    start = start.replace("tasks", "others")
    assert (await elixir(f"{start} [:permanent, 1], restart: :permanent)"))[0] == OK
    assert (await within(watch)).reason == SHUTDOWN
    assert runs.count(Atom("permanent")) == 4


async def test_the_owner_ends(elixir: Elixir, node: Node, lives: Lives) -> None:
    pid, _ = await elixir(
        "ElixirTasks.owner(fn ->"
        f" {{{task('hold', '[:linked]', 'async')}, {task('hold', '[:alone]')}}}; :ok end)"
    )
    linked, alone = [node.monitor(await begun(lives, Atom(name))) for name in ("linked", "alone")]
    node.exit(pid, BALL)
    assert (await within(linked)).reason == BALL
    await until(lambda: lives[Atom("linked")][1] == "ended")
    assert lives[Atom("alone")][1] == "running"
    await node.send(lives[Atom("alone")][0], Atom("go"))
    assert (await within(alone)).reason == NORMAL
    # An owner that ends before it has said what to do.
    request = "{:start_task, [{node(), self(), self()}, :monitor], :temporary, 5000}"
    pid, task_pid = await elixir(
        f"ElixirTasks.owner(fn -> {{:ok, pid}} = GenServer.call({SUP}, {request}); pid end)"
    )
    watch = node.monitor(task_pid)
    node.exit(pid, BALL)
    assert (await within(watch)).reason == (SHUTDOWN, BALL)
    await no_tasks(elixir)


async def test_the_node_is_killed(
    elixir: Elixir, node: Node, lives: Lives, start_erl: StartErl, elixir_folders: list[str]
) -> None:
    await elixir(
        "ElixirTasks.owner(fn ->"
        f" {{{task('hold', '[:linked]', 'async')}, {task('hold', '[:alone]')}}}; :ok end)"
    )
    linked, alone = [node.monitor(await begun(lives, Atom(name))) for name in ("linked", "alone")]
    request = "{:start_task, [{node(), self(), self()}, :monitor], :temporary, 5000}"
    waiting = node.monitor(await elixir(f"{{:ok, pid}} = GenServer.call({SUP}, {request}); pid"))
    await elixir.met()
    await elixir.erl.kill()
    assert (await within(linked)).reason == NOCONNECTION
    assert (await within(waiting)).reason == (SHUTDOWN, NOCONNECTION)
    # The result of one that goes on is for nobody.
    assert lives[Atom("alone")][1] == "running"
    other = await start_elixir(start_erl, elixir_folders, "other@127.0.0.1")
    assert await other(f"Task.Supervisor.children({SUP})") == [lives[Atom("alone")][0]]
    assert await other(f"{task('double', '[21]', 'async')} |> Task.await()") == 42
    await node.send(lives[Atom("alone")][0], Atom("go"))
    assert (await within(alone)).reason == NORMAL
    await no_tasks(other)


@pytest.mark.parametrize(
    "request_",
    [
        "{:start_task, :bad, :temporary, 5000}",
        "{:start_task, [], :temporary, 5000}",
        "{:start_task, [:bad, :monitor], :temporary, 5000}",
        "{:start_task, [{node(), self(), self()}, :monitor], :sometimes, 5000}",
        "{:start_task, [{node(), self(), self()}, :monitor], :temporary, -1}",
        "{:start_task, [{node(), self(), self()}, :monitor], :temporary, %{}}",
        "{:start_task, [{node(), self(), self()}, [], :bad], :temporary, 5000}",
    ],
)
async def test_requests_that_make_no_sense(elixir: Elixir, request_: str) -> None:
    answer = await elixir(f"GenServer.call({SUP}, {request_})")
    assert answer[0] in (OK, ERROR)
    await no_tasks(elixir)
    assert await elixir(f"{task('double', '[21]')} |> Task.await()") == 42


async def test_the_supervisor_ends(elixir: Elixir, node: Node, lives: Lives) -> None:
    started = ", ".join(task("hold", f"[:{how}, :{how}]") for how in ("plain", "obedient"))
    await elixir(f"Process.put(:held, [{started}]); :ok")
    pid = node.whereis("tasks")
    assert isinstance(pid, Pid)
    for how in ("plain", "obedient"):
        await begun(lives, Atom(how))
    assert await elixir(f"Supervisor.stop({SUP}, :shutdown)") == OK
    ended = await elixir("for t <- Process.get(:held), do: Task.yield(t)")
    assert ended == [(EXIT, SHUTDOWN), (OK, (Atom("told"), SHUTDOWN))]
    assert pid not in node.kernel.table.by_pid
