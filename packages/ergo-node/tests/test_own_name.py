"""Nodes with a dynamic name: `undefined@host`, named by the first node they connect to."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from ergo_node import Epmd, Node, NodeDown, NotConnected, RemoteName
from ergo_node._identifiers import NO_NAME
from ergo_node._own_name import DYNAMIC, DynamicName, new_creation
from erldist_proto import Connected, DistFlags
from etf_codec import Atom, Pid, Term
from otp_behaviors import Exit, GenServer, NoConnection, Process

pytestmark = pytest.mark.anyio

HOST, COOKIE = "127.0.0.1", "secret"
ANYBODY = f"{DYNAMIC}@{HOST}"


class Echo(GenServer):
    def handle_call(self, request: Any, caller: Any) -> Any:
        return request


async def until(condition: Callable[[], Any]) -> None:
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await anyio.sleep(0.01)


def up(name: str, ours: str) -> Connected:
    return Connected(name, 1, DistFlags(0), True, ours, 5)


def test_the_first_connection_names_it() -> None:
    own = DynamicName("host", 77)
    assert (own.name, own.inside, own.local.is_dynamic, own.identifiers) == (NO_NAME, NO_NAME, True, None)
    own.connected(up("a@host", "x@host"))
    own.connected(up("b@host", "x@host"))
    assert (own.name, own.inside, own.local.creation, own.local.hidden) == ("x@host", NO_NAME, 5, True)
    assert not own.lost("b@host")
    assert own.lost("a@host")
    assert (own.name, own.local.is_dynamic, own.identifiers) == (NO_NAME, True, None)


def test_creations_are_none_of_the_reserved() -> None:
    assert all(4 <= new_creation() < 1 << 32 for _ in range(100))


async def test_before_its_first_connection(epmd: Epmd) -> None:
    async with Node(ANYBODY, COOKIE, epmd=epmd) as node:
        assert (node.name, node.port, node.ports) == (NO_NAME, 0, [])
        assert node.health().ready
        echo = await node.start(Echo, name="echo")
        assert echo.pid.node == NO_NAME
        assert await node.call("echo", 1) == 1
        assert await node.call(RemoteName("echo", node.name), 2) == 2
        assert await node.ping(NO_NAME)


async def test_it_is_named_and_found(pair: tuple[Node, Node], epmd: Epmd) -> None:
    a, b = pair
    await a.start(Echo, name="echo")
    async with Node(ANYBODY, COOKIE, epmd=epmd) as node:
        echo = await node.start(Echo, name="echo")  # before there is a name
        assert await node.call(RemoteName("echo", a.name), echo.pid) == echo.pid
        name = node.name
        assert name.endswith(f"@{HOST}")
        assert name != ANYBODY
        assert (a.nodes(), a.nodes("hidden")) == ([], [name])
        assert node.nodes("hidden") == [a.name]
        # By the name others know, from both sides; and its pids by that name, too.
        assert await a.call(RemoteName("echo", name), 7) == 7
        assert await node.call(RemoteName("echo", name), 8) == 8
        assert await node.ping(name)
        assert await a.ping(name)
        outside = await a.call(RemoteName("echo", name), (Atom("me"), a._client.pid))
        assert outside == (Atom("me"), a._client.pid)
        # A second connection, by the same name.
        assert await node.ping(b.name)
        assert (node.name, b.nodes("hidden")) == (name, [name])


async def test_links_cross(pair: tuple[Node, Node], epmd: Epmd) -> None:
    a, _ = pair
    seen: list[Term] = []

    async def there(process: Process) -> None:
        process.trap_exit = True
        pid = await process.receive(timeout=10)
        assert isinstance(pid, Pid)
        process.link(pid)
        process.send(pid, process.pid)
        seen.append(await process.receive(timeout=10))

    async def here(process: Process) -> None:
        process.send(RemoteName("there", a.name), process.pid)
        peer = await process.receive(timeout=10)
        assert isinstance(peer, Pid)
        process.exit(process.pid, Atom("boom"))
        await process.receive()

    pid = a.spawn(there, name="there")
    watch = a.monitor(pid)
    async with Node(ANYBODY, COOKIE, epmd=epmd) as node:
        node.spawn(here)
        with anyio.fail_after(10):
            await watch
        (exit_,) = seen
        assert isinstance(exit_, Exit)
        assert (exit_[1].node, exit_.reason) == (node.name, Atom("boom"))


async def test_the_name_is_lost_with_the_node_that_gave_it(pair: tuple[Node, Node], epmd: Epmd) -> None:
    a, b = pair
    async with Node(ANYBODY, COOKIE, epmd=epmd) as node:
        assert await node.connect(a.name)
        assert await node.connect(b.name)
        first = node.name
        echo = await node.start(Echo, name="echo")
        await node.disconnect(b.name)
        await until(lambda: node.nodes("hidden") == [a.name])
        assert node.name == first
        assert await node.connect(b.name)
        with node.monitor_nodes() as events:
            await node.disconnect(a.name)
            with anyio.fail_after(10):
                down = [await anext(events), await anext(events)]
        assert {event.node for event in down if isinstance(event, NodeDown)} == {a.name, b.name}
        assert node.name == NO_NAME
        assert await node.connect(b.name)
        assert node.name not in (first, NO_NAME)
        assert await b.call(RemoteName("echo", node.name), 1) == 1
        assert await b.call(RemoteName("echo", node.name), (1, 2)) == (1, 2)
        assert await node.call(echo, 3) == 3


async def test_two_first_connections_at_once_bring_one_name(pair: tuple[Node, Node], epmd: Epmd) -> None:
    a, b = pair
    async with Node(ANYBODY, COOKIE, epmd=epmd) as node, anyio.create_task_group() as tasks:
        for name in (a.name, b.name, f"nobody@{HOST}"):
            tasks.start_soon(node.connect, name)
        await until(lambda: len(node.nodes("hidden")) == 2)
        assert a.nodes("hidden") == b.nodes("hidden") == [node.name]


async def test_when_the_first_is_not_there_the_next_one_names_it(pair: tuple[Node, Node], epmd: Epmd) -> None:
    a, _ = pair
    async with Node(ANYBODY, COOKIE, epmd=epmd) as node:
        with pytest.raises(NotConnected):
            await node.reach(f"nobody@{HOST}")
        with pytest.raises(NoConnection):
            await node.call(RemoteName("echo", f"nobody@{HOST}"), 1)
        assert node.name == NO_NAME
        assert await node.ping(a.name)


async def test_a_dynamic_node_keeps_connected(pair: tuple[Node, Node], epmd: Epmd) -> None:
    a, _ = pair
    async with Node(ANYBODY, COOKIE, epmd=epmd) as node:
        node.keep_connected(a.name)
        await until(lambda: a.nodes("hidden"))
        first = node.name
        await a.disconnect(first)
        await until(lambda: node.name not in (first, NO_NAME))
        await until(lambda: a.nodes("hidden") == [node.name])


async def test_messages_that_wait_for_the_name_arrive_in_order(pair: tuple[Node, Node], epmd: Epmd) -> None:
    a, _ = pair
    got: list[Term] = []

    async def taker(process: Process) -> None:
        got.extend([await process.receive(timeout=10) for _ in range(100)])

    watch = a.monitor(a.spawn(taker, name="taker"))
    async with Node(ANYBODY, COOKIE, epmd=epmd) as node:
        for number in range(100):
            await node.send(RemoteName("taker", a.name), number)
        with anyio.fail_after(10):
            await watch
    assert got == list(range(100))
