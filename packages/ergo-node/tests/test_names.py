"""Registration and look-up, with an EPMD that is one of the nodes."""

import anyio
import anyio.abc
import epmd_server
import pytest
from ergo_node import CannotStart, Epmd, Listen, NameInUse, Node, NotConnected

pytestmark = pytest.mark.anyio

HOST, COOKIE = "127.0.0.1", "secret"
Pair = tuple[Node, Node]


async def live(name: str, epmd: Epmd, leave: anyio.Event, *, task_status: anyio.abc.TaskStatus[Node]) -> None:
    """A node that is left when the event is set, whatever else runs."""
    async with Node(name, COOKIE, epmd=epmd) as node:
        task_status.started(node)
        await leave.wait()


async def wait_for_names(epmd: Epmd, names: set[str]) -> None:
    while True:
        try:
            if {entry.name for entry in await epmd_server.names(HOST, epmd_port=epmd.port)} == names:
                return
        except epmd_server.EpmdError:
            pass  # nobody is the EPMD yet
        await anyio.sleep(0.01)


async def test_the_first_node_is_the_epmd_of_the_second(pair: Pair, epmd: Epmd) -> None:
    a, b = pair
    entries = {entry.name: entry.port for entry in await epmd_server.names(HOST, epmd_port=epmd.port)}
    assert entries == {"a": a.port, "b": b.port}
    entry = await epmd_server.look_up("b", HOST, epmd_port=epmd.port)
    assert (entry.port, entry.highest_version, entry.lowest_version) == (b.port, 6, 5)
    assert await a.ping(b.name)


async def test_hidden_nodes_register_as_hidden(epmd: Epmd) -> None:
    async with Node("a@127.0.0.1", COOKIE, epmd=epmd, hidden=True):
        entry = await epmd_server.look_up("a", HOST, epmd_port=epmd.port)
        assert entry.node_type == epmd_server.NodeType.HIDDEN


async def test_an_epmd_that_runs_is_used(epmd: Epmd) -> None:
    async with epmd_server.serve(HOST, epmd.port) as server:
        async with (
            Node("a@127.0.0.1", COOKIE, epmd=epmd),
            Node("b@127.0.0.1", COOKIE, epmd=Epmd(epmd.port, embedded=False)),
        ):
            assert {entry.name for entry in server.names()} == {"a", "b"}


async def test_a_name_in_use(pair: Pair, epmd: Epmd) -> None:
    with anyio.fail_after(10):
        with pytest.raises(NameInUse, match=r"the name a@127\.0\.0\.1 is in use: stop the other node"):
            async with Node("a@127.0.0.1", COOKIE, epmd=epmd):
                pass
        assert await pair[1].ping("a@127.0.0.1")


async def test_no_epmd_and_none_to_become(epmd: Epmd) -> None:
    with anyio.fail_after(10), pytest.raises(CannotStart, match=r"a@127\.0\.0\.1 cannot be registered"):
        async with Node("a@127.0.0.1", COOKIE, epmd=Epmd(epmd.port, embedded=False)):
            pass


async def test_without_epmd_nodes_are_found_by_routes() -> None:
    with anyio.fail_after(10):
        async with (
            Node("b@127.0.0.1", COOKIE, epmd=None) as b,
            Node("c@127.0.0.1", COOKIE, epmd=None, listen=Listen("127.0.0.1")) as c,
            Node("a@127.0.0.1", COOKIE, epmd=None, routes={b.name: (HOST, b.port)}) as a,
        ):
            assert await a.ping(b.name)
            with pytest.raises(NotConnected, match=r"no route to c@127\.0\.0\.1, .*add_route"):
                await a.reach(c.name)
            a.add_route(c.name, HOST, c.port)
            await a.reach(c.name)
            assert a.nodes() == [b.name, c.name]


async def test_routes_come_before_the_epmd(pair: Pair) -> None:
    a, b = pair
    with anyio.fail_after(10):
        async with Node("far@nowhere.invalid", COOKIE, epmd=None, listen=Listen(HOST)) as far:
            a.add_route(far.name, HOST, far.port)
            assert await a.ping(far.name)
            with pytest.raises(NotConnected, match=r"far@nowhere\.invalid is not to be found"):
                await b.reach(far.name)


async def test_a_resolver_comes_after_routes_and_before_the_epmd(pair: Pair, epmd: Epmd) -> None:
    a, b = pair
    asked: list[str] = []

    async def resolver(name: str) -> tuple[str, int] | None:
        asked.append(name)
        return (HOST, a.port) if name == a.name else None

    with anyio.fail_after(10):
        async with Node("c@127.0.0.1", COOKIE, epmd=epmd, resolver=resolver, routes={}) as c:
            assert await c.ping(a.name)
            assert await c.ping(b.name), "what the resolver does not know is asked for at the EPMD"
            assert asked == [a.name, b.name]
            await c.disconnect(a.name)
            c.add_route(a.name, HOST, a.port)
            assert await c.ping(a.name)
            assert asked == [a.name, b.name], "a route needs no resolver"


async def test_unknown_node_and_unknown_host(pair: Pair) -> None:
    a, _ = pair
    with anyio.fail_after(20):
        with pytest.raises(NotConnected, match=r"nobody@127\.0\.0\.1 is not to be found: .*nobody"):
            await a.reach("nobody@127.0.0.1")
        with pytest.raises(NotConnected, match=r"b@nowhere\.invalid is not to be found: .*nowhere\.invalid"):
            await a.reach("b@nowhere.invalid")


async def test_a_node_that_is_registered_but_gone(pair: Pair, epmd: Epmd, free_tcp_port: int) -> None:
    a, _ = pair
    with anyio.fail_after(10):
        async with await anyio.create_tcp_listener(local_host=HOST) as listener:
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with epmd_server.register("gone", port, epmd_port=epmd.port):
            with pytest.raises(
                NotConnected, match=rf"gone@127\.0\.0\.1 does not listen at 127\.0\.0\.1:{port}"
            ):
                await a.reach("gone@127.0.0.1")


async def test_when_the_epmd_leaves_another_node_becomes_it(epmd: Epmd) -> None:
    leave = anyio.Event()
    with anyio.fail_after(15):
        async with anyio.create_task_group() as tasks:
            await tasks.start(live, "a@127.0.0.1", epmd, leave)
            async with (
                Node("b@127.0.0.1", COOKIE, epmd=epmd) as b,
                Node("c@127.0.0.1", COOKIE, epmd=epmd) as c,
            ):
                before = b.kernel.make_ref().creation
                leave.set()
                with anyio.fail_after(3):
                    await wait_for_names(epmd, {"b", "c"})
                assert await c.ping(b.name)
                assert b.kernel.make_ref().creation == before
                async with Node("d@127.0.0.1", COOKIE, epmd=epmd) as d:
                    assert await d.ping(b.name)
