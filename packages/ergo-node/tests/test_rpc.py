"""Functions run between Python nodes: results, failures, spawned processes."""

import math
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from ergo_node import ErlangError, ErlangExit, ErlangThrow, Node, RpcError
from etf_codec import Atom, EncodeError, Term
from otp_behaviors import CallTimeout, Exit, ExitError, NoConnection, Process

pytestmark = pytest.mark.anyio

Pair = tuple[Node, Node]
WHY = Atom("why")


async def wait(term: Term = None) -> Term:
    await anyio.lowlevel.checkpoint()
    return term


@pytest.mark.parametrize("there", [True, False], ids=["another node", "itself"])
async def test_results_and_failures(pair: Pair, there: bool) -> None:
    a, b = pair
    node = b if there else a
    node.provide("py", "add", lambda x, y: x + y)
    node.provide("py", "wait", wait)
    for ask in (a.rpc, a.erpc):
        assert await ask(node.name, "py", "add", [1, 2]) == 3
        assert await ask(node.name, "py", "wait", [[b"x"]]) == [b"x"]
        assert await ask(node.name, "py", "wait") == Atom("ok")
        with pytest.raises(ErlangError, match="TypeError"):
            await ask(node.name, "py", "add", [1, []])
        with pytest.raises(ErlangError, match=rf"{node.name} has no py:add/1"):
            await ask(node.name, "py", "add", [1])


async def test_what_a_function_raises_arrives(pair: Pair) -> None:
    a, b = pair

    def fail(kind: int) -> None:
        raise [ErlangThrow(WHY), ErlangExit(WHY), ErlangError(WHY, []), ExitError(WHY)][kind]

    b.provide("py", "fail", fail)
    assert await a.rpc(b.name, "py", "fail", [0]) == WHY
    errors: list[type[RpcError]] = [ErlangThrow, ErlangExit, ErlangError, ErlangExit]
    for kind, error in enumerate(errors):
        with pytest.raises(error) as raised:
            await a.erpc(b.name, "py", "fail", [kind])
        assert raised.value.reason == WHY


async def test_a_result_without_external_form(pair: Pair) -> None:
    a, b = pair
    b.provide("py", "object", object)
    with pytest.raises(ErlangExit, match="no_external_form"):
        await a.erpc(b.name, "py", "object")
    with pytest.raises(EncodeError):
        await a.erpc(b.name, "py", "object", [object()])
    with pytest.raises(EncodeError):
        await a.rpc_cast(b.name, "py", "object", [object()])


async def test_no_answer(pair: Pair) -> None:
    a, b = pair
    b.provide("py", "never", lambda: anyio.sleep(math.inf))
    with pytest.raises(CallTimeout):
        await a.erpc(b.name, "py", "never", timeout=0.05)
    with pytest.raises(NoConnection, match="nobody@127"):
        await a.rpc("nobody@127.0.0.1", "py", "never")
    with anyio.fail_after(10):
        # Nothing tells when `global`, which has just met that of `b`, watches nobody any more.
        while len(a.kernel.spawns) or len(a.kernel.monitors):  # noqa: ASYNC110
            await anyio.sleep(0.01)


async def test_a_node_without_spawn_requests_is_asked_by_rex(pair: Pair) -> None:
    a, b = pair
    b.provide("py", "add", lambda x, y: x + y)
    b.kernel.spawns.start = None
    with pytest.raises(ExitError, match="does not take spawn requests"):
        await a.erpc(b.name, "py", "add", [1, 2])
    assert await a.rpc(b.name, "py", "add", [1, 2]) == 3
    with pytest.raises(ErlangError, match="has no py:add/1"):
        await a.rpc(b.name, "py", "add", [1])


async def test_spawn_remote_from_outside_of_a_process(pair: Pair) -> None:
    a, b = pair
    got = anyio.Event()

    async def serve(self: Process, number: int) -> None:
        assert await self.receive() == number
        got.set()
        raise ExitError(WHY)

    b.provide("py", "serve", serve, process=True)
    handle = await a.spawn_remote(b.name, "py", "serve", [7])
    assert handle.pid.node == b.name
    watch = handle.monitor()
    await handle.send(7)
    assert (await watch).reason == WHY
    assert got.is_set()
    with pytest.raises(NoConnection):
        await a.spawn_remote("nobody@127.0.0.1", "py", "serve", [7])


async def test_a_process_spawns_links_and_monitors(pair: Pair) -> None:
    a, b = pair
    seen: list[Any] = []

    async def end(self: Process) -> None:
        raise ExitError(await self.receive())

    async def parent(self: Process) -> None:
        self.trap_exit = True
        linked = await self.spawn_remote(b.name, "py", "end", [], link=True)
        watched, ref = await self.spawn_monitor_remote(b.name, "py", "end", [])
        for pid in (linked, watched):
            self.send(pid, WHY)
            seen.append(await self.receive())
        assert seen == [Exit(linked, WHY), (Atom("DOWN"), ref, Atom("process"), watched, WHY)]
        _, ref = await self.spawn_monitor_remote(b.name, "py", "nothing", [])
        down = await self.receive()
        assert isinstance(down, tuple)
        assert down[1] == ref
        assert down[4] == (Atom("undef"), [(Atom("py"), Atom("nothing"), [], [])])
        with pytest.raises(NoConnection):
            await self.spawn_remote("nobody@127.0.0.1", "py", "end", [])

    b.provide("py", "end", end, process=True)
    watch = a.monitor(a.spawn(parent))
    assert (await watch).reason == Atom("normal")


async def test_a_link_spawned_with_breaks_with_the_node(pair: Pair) -> None:
    a, b = pair
    spawned = anyio.Event()

    async def parent(self: Process) -> None:
        await self.spawn_remote(b.name, "py", "wait", [], link=True)
        spawned.set()
        await self.receive()

    async def forever(self: Process) -> None:
        await self.receive()

    b.provide("py", "wait", forever, process=True)
    watch = a.monitor(a.spawn(parent))
    await spawned.wait()
    await a.disconnect(b.name)
    assert (await watch).reason == Atom("noconnection")


async def test_on_several_nodes(pair: Pair) -> None:
    a, b = pair
    for node in pair:
        node.provide("py", "name", lambda node=node: Atom(node.name))
    answers = await a.rpc_multicall([a.name, b.name, "nobody@127.0.0.1"], "py", "name")
    assert [answers[node.name] for node in pair] == [Atom(node.name) for node in pair]
    assert isinstance(answers["nobody@127.0.0.1"], NoConnection)


async def test_a_cast(pair: Pair) -> None:
    a = pair[0]
    told, heard = anyio.create_memory_object_stream[Term](2)
    with told, heard:
        for node in pair:
            node.provide("py", "tell", told.send_nowait)
            await a.rpc_cast(node.name, "py", "tell", [Atom(node.name)])
            assert await heard.receive() == Atom(node.name)
