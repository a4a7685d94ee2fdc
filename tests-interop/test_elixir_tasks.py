"""Elixir's Task.Supervisor runs functions of a Python program, by a TaskSupervisor of ours."""

from typing import Any

import pytest
from elixir_peer import EX, PY, Elixir, needs_elixir, start_elixir, until, within
from ergo_node import Node
from erlang_peer import StartErl
from etf_codec import Atom
from otp_behaviors import NORMAL, SHUTDOWN
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


async def test_async_and_await(elixir: Elixir) -> None:
    assert await elixir(f"{task('double', '[21]', 'async')} |> Task.await()") == 42
    assert await elixir(f"{task('slowly', '[21]', 'async')} |> Task.await()") == 42
    assert await elixir(f"{task('in_thread', '[1]', 'async')} |> Task.await()") == (1, True)
    assert await elixir(f"{task('nothing', '[]')} |> Task.await()") == OK
    n, pid, callers = await elixir(f"{task('who', '[1]')} |> Task.await()")
    assert (n, pid.node) == (1, PY)
    assert callers == [await elixir("self()")]
    assert await elixir(
        f"t = for n <- 1..4, do: {task('slowly', '[n]', 'async')}; Task.await_many(t) ++"
        " Task.yield_many(t, 0) |> Enum.map(fn {_, nil} -> nil; n -> n end)"
    ) == [2, 4, 6, 8, *[NIL] * 4]
    await no_tasks(elixir)
    # As any linked process that ends well; a monitor is gone with the result.
    assert await elixir("receive do {:EXIT, _, :normal} -> true after 0 -> false end") is True
    assert await elixir("receive do {:DOWN, _, _, _, _} = down -> down after 0 -> :none end") == Atom("none")


@pytest.mark.parametrize("function", ["fail", "fail_slowly"])
async def test_the_reasons_of_tasks_that_fail(elixir: Elixir, function: str) -> None:
    async def ended(kind: str) -> Any:
        return await elixir(f"ElixirTasks.ended({task(function, f'[:{kind}, :ball]')})")

    async def ended_in_elixir(kind: str) -> Any:
        asked = f"Task.Supervisor.async_nolink(Tasks, ElixirTasks, :fail, [:{kind}, :ball])"
        return await elixir(f"ElixirTasks.ended({asked})")

    await elixir("Task.Supervisor.start_link(name: Tasks)")
    for kind in ("throw", "exit", "error"):
        assert await ended(kind) == await ended_in_elixir(kind)
    assert await ended("throw") == (ERROR, (Atom("nocatch"), BALL))
    assert await ended("leave") == (EXIT, BALL)
    assert await ended("value") == (ERROR, (Atom("ValueError"), b"ball"))
    reason, stack = await elixir(f"{{:exit, r}} = Task.yield({task(function, '[:value, 1]')}); r")
    assert reason == (Atom("ValueError"), b"1")
    assert stack[0][:3] == (Atom("task_functions"), Atom("fail"), 2)
    # Who awaits ends with the reason, as with a task of Elixir's own; so does who is linked.
    awaited = await elixir(f"ElixirTasks.awaited(fn -> {task(function, '[:exit, :ball]')} end)")
    assert awaited[0] == BALL
    assert awaited[1][:2] == (Atom("Elixir.Task"), Atom("await"))
    linked = await elixir(f"ElixirTasks.awaited(fn -> {task(function, '[:exit, :ball]', 'async')} end)")
    # The signals of the link and of the monitor come in any order.
    assert BALL in (linked, linked[0] if isinstance(linked, tuple) else None)
    await no_tasks(elixir)


@pytest.mark.parametrize(
    "call",
    [
        ":math_py, :none, [1]",  # no such function
        ":math_py, :double, [1, 2]",  # nor with so many arguments
        ":math_py, :secret, [1]",  # a task may be asked for in another node's name
        ":erlang, :halt, []",
        ":os, :cmd, [[?i, ?d]]",
        ':builtins, :eval, ["1"]',
        "fn -> 1 end",
        ":erlang, :apply, [fn -> 1 end, []]",
        ":erlang, :apply, [&:math_py.double/1, [1]]",
    ],
)
async def test_what_is_not_provided_is_not_there(elixir: Elixir, node: Node, call: str) -> None:
    """An anonymous function is not run, either: the task ends, and our node goes on."""
    mfa = f"[:erlang, :apply, [{call}, []]]" if call.startswith("fn") else f"[{call}]"
    assert await elixir(
        f"[m, f, a] = {mfa}; {{:undef, [{{m, f, a, []}}]}} =="
        f" elem(Task.yield(Task.Supervisor.async_nolink({SUP}, m, f, a)), 1)"
    )
    if call.startswith("fn"):
        reason = await elixir(f"elem(Task.yield(Task.Supervisor.async_nolink({SUP}, {call})), 1) |> elem(0)")
        assert reason == Atom("undef")
        assert (await elixir(f"Task.Supervisor.start_child({SUP}, {call})"))[0] == OK
    await elixir.met()
    assert node.nodes() == [EX]
    assert await elixir(f"{task('double', '[21]')} |> Task.await()") == 42
    await no_tasks(elixir)


async def test_yield_and_shutdown(elixir: Elixir, node: Node, lives: Lives) -> None:
    held = {"plain": ":plain", "killed": ":plain", "told": ":obedient", "stubborn": ":stubborn"}
    started = ", ".join(f"{name}: {task('hold', f'[:{name}, {how}]', 'async')}" for name, how in held.items())
    # Variables do not last from one evaluation to the next, the process dictionary does.
    await elixir(f"Process.put(:held, [{started}]); :ok")
    watches = {name: node.monitor(await begun(lives, Atom(name))) for name in held}
    assert await elixir("for {_, t} <- Process.get(:held), do: Task.yield(t, 1)") == [NIL] * 4
    pids = await elixir(f"Task.Supervisor.children({SUP})")
    assert sorted(pids, key=repr) == sorted((lives[Atom(name)][0] for name in held), key=repr)

    async def shut(name: str, how: str) -> Any:
        return await elixir(f"Task.shutdown(Process.get(:held)[:{name}], {how})")

    assert await shut("plain", "5000") == NIL
    assert await shut("killed", ":brutal_kill") == NIL
    assert await shut("told", "5000") == (OK, (Atom("told"), SHUTDOWN))
    assert await shut("stubborn", "20") == (EXIT, Atom("killed"))
    reasons = {name: (await within(watch)).reason for name, watch in watches.items()}
    killed = Atom("killed")
    assert reasons == {"plain": SHUTDOWN, "killed": killed, "told": NORMAL, "stubborn": killed}
    await until(lambda: all(state == "ended" for _, state in lives.values()))
    assert await shut("plain", "5000") == (EXIT, Atom("noproc"))
    # One that has finished, or failed, before.
    finished = "receive do {:DOWN, ^m, _, _, _} -> Task.shutdown(t) end"
    assert await elixir(f"t = {task('double', '[2]')}; m = Process.monitor(t.pid); {finished}") == (OK, 4)
    crashed = await elixir(f"t = {task('fail', '[:exit, :ball]')}; m = Process.monitor(t.pid); {finished}")
    assert crashed == (EXIT, BALL)
    # A task that is let go of goes on, and its late result is dropped.
    await elixir(f"Process.put(:held, {task('hold', '[:ignored]', 'async')}); :ok")
    pid = await begun(lives, Atom("ignored"))
    assert await elixir("Task.ignore(Process.get(:held))") == NIL
    await elixir(
        "m = Process.monitor(Process.get(:held).pid); send(Process.get(:held).pid, :go)"
        "; receive do {:DOWN, ^m, _, _, :normal} -> :ok end"
    )
    assert pid not in node.kernel.table.by_pid
    assert await elixir("receive do {ref, _} when is_reference(ref) -> :late after 0 -> :no end") == Atom(
        "no"
    )
    await no_tasks(elixir)


async def test_async_stream(elixir: Elixir, node: Node, lives: Lives) -> None:
    def stream(items: str, function: str, args: str, how: str = "async_stream", options: str = "") -> str:
        return (
            f"Task.Supervisor.{how}({SUP}, {items}, :math_py, :{function}, {args},"
            f" max_concurrency: 3{options}) |> Enum.to_list()"
        )

    doubled = [(OK, 2 * n) for n in range(1, 41)]
    assert await elixir(stream("1..40", "double", "[]")) == doubled
    assert await elixir(stream("1..40", "slowly", "[]", "async_stream_nolink")) == doubled
    unordered = await elixir(stream("1..40", "slowly", "[]", options=", ordered: false"))
    assert sorted(unordered) == doubled
    threads = await elixir(stream("1..3", "in_thread", "[]"))
    assert threads == [(OK, (n, True)) for n in (1, 2, 3)]
    # This process traps exits, so even linked tasks do not end it.
    for how in ("async_stream", "async_stream_nolink"):
        failed = await elixir(stream("[:exit, :leave]", "fail", "[:ball]", how))
        assert failed == [(EXIT, BALL)] * 2
        undefined = await elixir(stream("[1]", "none", "[]", how))
        assert undefined[0][1][0] == Atom("undef")
        late = await elixir(stream(f"[:{how}]", "hold", "[]", how, ", timeout: 50, on_timeout: :kill_task"))
        assert late == [(EXIT, Atom("timeout"))]
    await until(lambda: all(state == "ended" for _, state in lives.values()))
    await no_tasks(elixir)
    # Too many at once for the supervisor.
    text = await elixir(
        f"try do Task.Supervisor.async_stream_nolink({SUP}, 1..9, :math_py, :hold, [], max_concurrency: 5)"
        " |> Enum.to_list() rescue e in RuntimeError -> e.message end"
    )
    assert b"reached the maximum number of tasks" in text
    await no_tasks(elixir)
