"""Clusters without an EPMD: every node at one port (`erl -erl_epmd_port`), routes, a resolver."""

import sys
from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest
from ergo_node import Listen, Node, StaticNodes
from erlang_peer import StartErl
from etf_codec import Atom

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no 127.0.0.2 unless it is set up"),
]


@pytest.fixture
def port(free_tcp_port_factory: Callable[[], int]) -> int:
    """The port of the whole cluster, another one than that of the EPMD that other tests use."""
    return free_tcp_port_factory()


PY, ERL = "py@127.0.0.2", "erl@127.0.0.1"


def arguments(port: int) -> list[str]:
    """Erlang listens at the port where it expects every other node; so each has an address of its own."""
    return ["-erl_epmd_port", str(port)]


async def test_erlang_and_we_meet_at_one_port(start_erl: StartErl, port: int) -> None:
    listen = Listen("127.0.0.2", [port])
    routes = {ERL: ("127.0.0.1", port)}
    async with Node(PY, cookie="secret", epmd=None, listen=listen, routes=routes) as node:
        erl = await start_erl(ERL, args=arguments(port))
        assert await erl.eval(f"net_adm:ping('{PY}')") == Atom("pong")
        assert await node.disconnect(ERL)
        with anyio.fail_after(10):
            while node.nodes():
                await anyio.lowlevel.checkpoint()
        assert await node.ping(ERL)


async def test_several_listeners(start_erl: StartErl, port: int) -> None:
    listen = [Listen("127.0.0.3"), Listen("127.0.0.2", [port])]
    async with Node(PY, cookie="secret", epmd=None, listen=listen) as node:
        assert node.ports == [node.port, port]
        erl = await start_erl(ERL, args=arguments(port))
        assert await erl.eval(f"net_adm:ping('{PY}')") == Atom("pong")  # by the second
        routes = {PY: ("127.0.0.3", node.port)}
        async with Node("other@127.0.0.1", cookie="secret", epmd=None, routes=routes) as other:
            assert await other.ping(PY)  # by the first
            assert sorted(node.nodes()) == [ERL, other.name]


async def test_a_resolver_finds_erlang(start_erl: StartErl, port: int) -> None:
    asked: list[str] = []

    async def resolver(name: str) -> tuple[str, int] | None:
        asked.append(name)
        return ("127.0.0.1", port) if name == ERL else None

    async with Node(PY, cookie="secret", epmd=None, resolver=resolver) as node:
        await start_erl(ERL, args=arguments(port))
        assert await node.ping(ERL)
        assert not await node.ping("nobody@127.0.0.1")
    assert asked == [ERL, "nobody@127.0.0.1"]


async def test_a_whole_cluster_at_one_port(start_erl: StartErl, port: int) -> None:
    """Two Python nodes and an Erlang one, each with an address of its own; every host listens at one port."""

    async def everywhere(name: str) -> tuple[str, int] | None:
        return name.partition("@")[2], port

    class Loopbacks:
        """What a headless Service would answer."""

        interval = 0.05

        async def find(self) -> dict[str, tuple[str, int] | None]:
            return {f"py@127.0.0.{last}": None for last in (2, 3)}

    def member(host: str) -> Node:
        return Node(
            f"py@{host}",
            "secret",
            epmd=None,
            listen=Listen(host, [port]),
            resolver=everywhere,
            cluster=[Loopbacks(), StaticNodes([ERL])],
        )

    async with member("127.0.0.2") as second, member("127.0.0.3") as third:
        erl = await start_erl(ERL, args=arguments(port))
        expected = {
            second: {third.name, ERL},
            third: {second.name, ERL},
        }
        with anyio.fail_after(20):
            for node, others in expected.items():
                while set(node.nodes()) != others:  # noqa: ASYNC110  # what is waited for has no event
                    await anyio.sleep(0.01)
                assert await node.ping(ERL)  # so that it knows of the connection, too
        assert set(await erl.eval("nodes()")) == {Atom(second.name), Atom(third.name)}
        assert second.health().missing == ()
