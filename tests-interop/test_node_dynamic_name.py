"""Dynamic node names beside real Erlang, both ways: `erl -sname undefined` and `Node("undefined@host")`."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from ergo_node import Node, NodeDown, RemoteName
from erlang_peer import StartErl
from etf_codec import Atom, Pid
from otp_behaviors import Down, GenServer, Process

pytestmark = pytest.mark.anyio

HOST, COOKIE = "localhost", "secret"
PY, ERL, OTHER = f"py@{HOST}", f"erl@{HOST}", f"other@{HOST}"
ANYBODY = f"undefined@{HOST}"
NO_NAME = "nonode@nohost"


class Echo(GenServer):
    def handle_call(self, request: Any, caller: Any) -> Any:
        return request


async def until(condition: Callable[[], Any]) -> None:
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await anyio.sleep(0.01)


async def test_we_name_erlang(start_erl: StartErl, epmd_port: int) -> None:
    async with Node(PY, COOKIE) as node:
        await node.start(Echo, name="echo")
        erl = await start_erl(ANYBODY)
        assert await erl.eval("node()") == Atom(NO_NAME)
        # `gen`, and so a ping, calls nobody without a name.
        assert await erl.eval(f"net_kernel:connect_node('{PY}')") is True
        name = await erl.eval("node()")
        assert isinstance(name, Atom)
        assert node.nodes("hidden") == [name.name]
        assert node.nodes() == []
        # Its process is older than the name.
        assert await erl.eval(f"gen_server:call({{echo, '{PY}'}}, self()) =:= self()") is True
        assert await node.rpc(name.name, "erlang", "node", []) == name
        # It loses the name with us, and gets one again.
        await erl.eval(f"erlang:disconnect_node('{PY}')")
        await until(lambda: not node.nodes("all"))
        assert await erl.eval(f"net_kernel:connect_node('{PY}')") is True
        assert await erl.eval("node()") != Atom(NO_NAME)


async def test_erlang_names_us(start_erl: StartErl) -> None:
    erl, other = await start_erl(ERL), await start_erl(OTHER)
    async with Node(ANYBODY, COOKIE) as node:
        echo = await node.start(Echo, name="echo")
        assert node.name == NO_NAME
        assert await node.rpc(ERL, "lists", "reverse", [[1, 2, 3]]) == [3, 2, 1]
        name = node.name
        assert name.endswith(f"@{HOST}")
        assert await erl.eval("{nodes(), nodes(hidden)}") == ([], [Atom(name)])
        assert await node.rpc(ERL, "erlang", "node", [echo.pid]) == Atom(name)  # a pid older than the name
        assert await erl.eval(f"gen_server:call({{echo, '{name}'}}, {{self(), make_ref()}})") is not None
        assert await erl.eval(f"P = self(), gen_server:call({{echo, '{name}'}}, P) =:= P") is True
        assert await erl.eval(f"net_adm:ping('{name}')") == Atom("pong")
        # A second connection, under the same name; a third node hears of us.
        assert await node.ping(OTHER)
        assert node.name == name
        assert await other.eval("nodes(hidden)") == [Atom(name)]
        # The name goes with the node that gave it, and all connections with the name.
        with node.monitor_nodes() as events:
            await erl.eval(f"erlang:disconnect_node('{name}')")
            with anyio.fail_after(10):
                lost = [await anext(events), await anext(events)]
        assert {event.node for event in lost if isinstance(event, NodeDown)} == {ERL, OTHER}
        assert node.name == NO_NAME
        # OTP gives the same host the same name again, with another creation.
        assert await node.ping(ERL)
        assert node.name == name
        assert await erl.eval(f"gen_server:call({{echo, '{name}'}}, again)") == Atom("again")


async def test_links_and_monitors(start_erl: StartErl) -> None:
    erl = await start_erl(ERL)
    async with Node(ANYBODY, COOKIE) as node:
        seen: list[Any] = []

        async def keeper(process: Process) -> None:
            process.trap_exit = True
            pid = await process.spawn_remote(ERL, "timer", "sleep", [60_000], link=True)
            ref = process.monitor(pid)
            process.exit(pid, Atom("boom"))
            messages = [await process.receive(timeout=10) for _ in range(2)]
            seen.extend(message for message in messages if isinstance(message, Down))
            assert seen[0].ref == ref

        with anyio.fail_after(20):
            assert (await node.monitor(node.spawn(keeper))).reason == Atom("normal")
        assert seen[0].reason == Atom("boom")

        async def watched(process: Process) -> None:
            process.exit(process.pid, await process.receive())

        node.spawn(watched, name="watched")
        name = node.name
        await erl.eval(f"R = monitor(process, {{watched, '{name}'}})")
        await erl.eval(f"{{watched, '{name}'}} ! bang")
        down = await erl.eval("receive {'DOWN', R, process, W, Why} -> {W, Why} after 5000 -> none end")
        assert down == ((Atom("watched"), Atom(name)), Atom("bang"))


async def test_spawn_on_us(start_erl: StartErl) -> None:
    erl = await start_erl(ERL)
    async with Node(ANYBODY, COOKIE) as node:
        node.provide("py", "double", lambda number: 2 * number)
        assert await node.connect(ERL)
        assert await erl.eval(f"rpc:call('{node.name}', py, double, [21])") == 42
        assert await erl.eval(f"erpc:call('{node.name}', py, double, [4])") == 8
        pid = await erl.eval(f"spawn('{node.name}', py, double, [1])")
        assert isinstance(pid, Pid)
        assert await node.call(RemoteName("net_kernel", node.name), (Atom("is_auth"), 1)) == Atom("yes")
