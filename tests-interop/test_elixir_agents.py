"""Agents of Elixir and of ours, each used by the other side."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from elixir_peer import EX, PY, Elixir, needs_elixir, start_elixir, until, within
from ergo_node import ErlangError, ErlangExit, Node
from erlang_peer import StartErl
from etf_codec import Atom, EncodeError
from otp_behaviors import (
    NORMAL,
    SHUTDOWN,
    Agent,
    CallTimeout,
    ExitError,
    NoConnection,
    NoProcess,
    Process,
    RemoteName,
    agent,
)

pytestmark = [pytest.mark.anyio, needs_elixir]

OURS = f'{{:counts, :"{PY}"}}'
THEIRS = RemoteName("Elixir.Counts", EX)
OK, NIL, BALL, A, B = map(Atom, ("ok", "nil", "ball", "a", "b"))

GET = ("Elixir.Map", "get")
PUT = ("Elixir.Map", "put")
POP = ("Elixir.Map", "pop")


async def add(counts: dict[Any, int], name: Any, more: int) -> dict[Any, int]:
    await anyio.lowlevel.checkpoint()
    return {**counts, name: counts.get(name, 0) + more}


async def keep(process: Process, counts: dict[Any, int]) -> Any:
    """The state as it is, and who holds it."""
    return (process.pid, counts)


def fail(state: Any, kind: Atom, reason: Any) -> None:
    kinds: dict[str, type[Exception]] = {"exit": ErlangExit, "error": ErlangError, "value": ValueError}
    raise kinds[str(kind)](reason)


@pytest.fixture
async def served(epmd_port: int) -> AsyncIterator[Node]:
    """A node that provides functions as module `counts_py`, and has an agent."""
    async with Node(PY, cookie="secret", none=NIL) as node:
        node.provide("counts_py", "get", lambda counts, name: counts.get(name))
        node.provide("counts_py", "size", len)
        node.provide("counts_py", "put", lambda counts, name, count: {**counts, name: count})
        node.provide("counts_py", "put_in_thread", lambda counts, n, count: {**counts, n: count}, thread=True)
        node.provide("counts_py", "add", add)
        node.provide("counts_py", "pop", lambda counts, name: (counts[name], {}))
        node.provide("counts_py", "keep", keep, process=True)
        node.provide("counts_py", "fail", fail)
        node.provide("counts_py", "secret", len, nodes=[EX])
        await node.start(Agent, dict, name="counts")
        yield node


@pytest.fixture
async def elixir(start_erl: StartErl, served: Node, elixir_folders: list[str]) -> Elixir:
    return await start_elixir(start_erl, elixir_folders)


def ask(what: str, function: str, args: str = "[]") -> str:
    return f"Agent.{what}({OURS}, :counts_py, :{function}, {args})"


async def died(elixir: Elixir, call: str) -> Any:
    """Why a call ends its caller, and a stack trace aside the agent."""
    return await elixir(
        f"try do {call} catch :exit, {{{{r, s}}, {{GenServer, :call, _}}}} when is_list(s) -> {{:error, r}};"
        " :exit, {r, {GenServer, :call, _}} -> {:exit, r} end"
    )


async def test_elixir_uses_our_agent(elixir: Elixir, served: Node) -> None:
    assert await elixir(ask("get", "size")) == 0
    assert await elixir(ask("update", "put", "[:a, 1]")) == OK
    assert await elixir(ask("update", "put_in_thread", "[:b, 2]")) == OK
    assert await elixir(ask("cast", "add", "[:a, 5]")) == OK
    assert await elixir(ask("get", "get", "[:a]")) == 6
    assert await elixir(ask("get", "get", "[:none]")) == NIL
    pid, counts = await elixir(ask("get", "keep"))
    assert (pid, counts) == (served.whereis("counts"), {A: 6, B: 2})
    assert await elixir(ask("get_and_update", "pop", "[:a]")) == 6
    assert await elixir(ask("get", "size")) == 0
    added = ask("update", "add", "[:a, 1]")
    await elixir(
        f"for _ <- 1..50, do: Task.async(fn -> {added} end)) |> Task.await_many()".replace("for", "(for")
    )
    assert await agent.get(served, "counts", lambda counts: counts) == {A: 50}
    watch = served.monitor("counts")
    assert await elixir(f"Agent.stop({OURS})") == OK
    assert (await within(watch)).reason == NORMAL
    assert await died(elixir, ask("get", "size")) == (Atom("exit"), Atom("noproc"))


@pytest.mark.parametrize("what", ["get", "update", "get_and_update"])
async def test_functions_that_fail_in_our_agent(elixir: Elixir, served: Node, what: str) -> None:
    """The agent ends, as one of Elixir's does, and the caller gets the reason."""

    async def fails(call: str) -> Any:
        watch = served.monitor("counts")
        reason = await died(elixir, call)
        await within(watch)
        await served.start(Agent, dict, name="counts")
        return reason

    assert await fails(ask(what, "fail", "[:exit, :ball]")) == (Atom("exit"), BALL)
    assert await fails(ask(what, "fail", "[:exit, :shutdown]")) == (Atom("exit"), SHUTDOWN)
    assert await fails(ask(what, "fail", "[:error, :ball]")) == (Atom("error"), BALL)
    assert await fails(ask(what, "fail", "[:value, :ball]")) == (Atom("error"), (Atom("ValueError"), b"ball"))
    for missing in ("none", "secret"):
        assert await fails(ask(what, missing, "[]")) == (Atom("error"), Atom("undef"))
    assert await fails(f"Agent.{what}({OURS}, fn state -> state end)") != OK
    if what == "get_and_update":
        bad = (Atom("exit"), (Atom("bad_return_value"), 0))
        assert await fails(ask(what, "size")) == bad
    watch = served.monitor("counts")
    assert await elixir(ask("cast", "fail", "[:exit, :ball]")) == OK
    assert (await within(watch)).reason == BALL
    await elixir.met()
    assert served.nodes() == [EX]


async def test_what_our_agent_does_not_expect(elixir: Elixir, served: Node) -> None:
    """A message is dropped; a state may be anything, for instance nil."""
    pid = served.whereis("counts")
    assert await elixir(f"send({OURS}, :hello)") == Atom("hello")
    served.provide("counts_py", "nothing", lambda counts: None)
    assert await elixir(ask("update", "nothing")) == OK
    served.provide("counts_py", "itself", lambda counts: counts)
    assert await elixir(ask("get", "itself")) == NIL
    assert served.whereis("counts") == pid
    text = await elixir(
        f"try do Agent.get({OURS}, :counts_py, :itself, [], 0) catch :exit, r -> elem(r, 0) end"
    )
    assert text in (Atom("timeout"), NIL)


async def test_we_use_an_agent_of_elixir(elixir: Elixir, served: Node) -> None:
    await elixir("{:ok, _} = Agent.start(fn -> %{} end, name: Counts)")
    await agent.update(served, THEIRS, PUT, A, 1)
    assert await agent.get(served, THEIRS, GET, A) == 1
    assert await agent.get(served, THEIRS, GET, B) is None
    assert await agent.get_and_update(served, THEIRS, POP, A) == 1
    await agent.cast(served, THEIRS, PUT, B, b"x")
    assert await agent.get(served, THEIRS, ("Elixir.Map", "keys")) == [B]
    results: list[Any] = []

    async def asks(process: Process) -> None:
        agent.cast(process, THEIRS, PUT, A, 2)
        await agent.update(process, THEIRS, ("Elixir.Map", "delete"), B)
        results.append(await agent.get(process, THEIRS, ("Elixir.Enum", "to_list")))
        results.append(await agent.get_and_update(process, THEIRS, POP, A, timeout=None))

    assert (await within(served.monitor(served.spawn(asks)))).reason == NORMAL
    assert results == [[(A, 2)], 2]
    handle = await elixir("Process.whereis(Counts)")
    assert await agent.get(served, handle, ("erlang", "map_size")) == 0


async def test_functions_that_fail_in_an_agent_of_elixir(elixir: Elixir, served: Node) -> None:
    async def start() -> None:
        await elixir("{:ok, _} = Agent.start(fn -> [1, 2] end, name: Counts)")

    async def fails(*function: Any, how: Any = agent.get) -> Any:
        await start()
        with pytest.raises(ExitError) as caught:
            await how(served, THEIRS, *function)
        await elixir.until("Process.whereis(Counts) == nil")
        reason: Any = caught.value.reason
        return reason[0]

    assert await fails(("erlang", "exit")) == [1, 2]
    assert (await fails(("erlang", "error")))[0] == [1, 2]
    assert (await fails(("Elixir.Nothing", "at_all")))[0] == Atom("undef")
    bad = await fails(("Elixir.Enum", "sum"), how=agent.get_and_update)
    assert bad == (Atom("bad_return_value"), 3)
    with pytest.raises(NoProcess):
        await agent.get(served, THEIRS, ("Elixir.Enum", "sum"))
    await start()
    with pytest.raises(EncodeError):
        await agent.get(served, THEIRS, len)
    with pytest.raises(EncodeError):
        await agent.update(served, THEIRS, PUT, object(), 1)
    with pytest.raises(CallTimeout):
        await agent.get(served, THEIRS, ("Elixir.ElixirTasks", "wait_with"), timeout=0.05)
    await elixir("send(Counts, :go)")
    assert await agent.get_and_update(served, THEIRS, ("Elixir.ElixirTasks", "pop")) == 1
    assert await agent.get(served, THEIRS, ("Elixir.Enum", "sum")) == 2
    lost: list[Exception] = []

    async def lose() -> None:
        with pytest.raises(NoConnection) as caught:
            await agent.get(served, THEIRS, ("Elixir.ElixirTasks", "wait_with"), timeout=None)
        lost.append(caught.value)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lose)
        await elixir.until(
            "Process.info(Process.whereis(Counts), :current_function) |> elem(1) |> elem(0) == ElixirTasks"
        )
        await elixir.erl.kill()
        await until(lambda: lost)
