"""Our node and Erlang's meet: names, visibility, EPMDs, and those who should not get in."""

from collections.abc import Callable

import anyio
import pytest
from anyio.abc import SocketStream
from epmd_server import look_up
from ergo_node import NameInUse, Node, NodeError
from erlang_peer import StartErl
from etf_codec import Atom

pytestmark = pytest.mark.anyio

PY, ERL = "py@127.0.0.1", "erl@127.0.0.1"


async def test_erlang_pings_us(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    assert await erl.eval(f"net_adm:ping('{PY}')") == Atom("pong")
    assert await erl.eval("nodes()") == [Atom(PY)]
    assert list(node.nodes()) == [ERL]


async def test_we_ping_erlang(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    assert await node.ping(ERL)
    assert list(node.nodes()) == [ERL]
    assert await erl.eval("nodes()") == [Atom(PY)]


async def test_nobody_answers_a_ping(start_erl: StartErl, node: Node) -> None:
    assert not await node.ping("nobody@127.0.0.1")
    erl = await start_erl(ERL)
    assert await erl.eval("net_adm:ping('nobody@127.0.0.1')") == Atom("pang")


async def test_short_names(start_erl: StartErl, epmd_port: int) -> None:
    async with Node("py@localhost", cookie="secret") as node:
        erl = await start_erl("erl@localhost")
        assert await erl.eval("net_adm:ping('py@localhost')") == Atom("pong")
        assert await node.ping("erl@localhost")


async def test_a_hidden_node_is_seen_as_hidden(start_erl: StartErl, epmd_port: int) -> None:
    async with Node("shy@127.0.0.1", cookie="secret", hidden=True):
        erl = await start_erl(ERL)
        assert await erl.eval("net_adm:ping('shy@127.0.0.1')") == Atom("pong")
        assert await erl.eval("{nodes(), nodes(hidden)}") == ([], [Atom("shy@127.0.0.1")])


async def test_our_embedded_epmd_serves_erlang(
    start_erl: StartErl, free_tcp_port_factory: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_tcp_port_factory()
    monkeypatch.setenv("ERL_EPMD_PORT", str(port))
    async with Node(PY, cookie="secret") as node:
        erl = await start_erl(ERL, epmd_port=port)
        assert await erl.eval(f"net_adm:ping('{PY}')") == Atom("pong")
        names = await erl.eval("lists:sort(element(2, erl_epmd:names({127,0,0,1})))")
        assert isinstance(names, list)
        assert [bytes(name).decode() for name, _ in names] == ["erl", "py"]
        assert await node.ping(ERL)


async def test_we_leave_and_erlang_sees_it(start_erl: StartErl, epmd_port: int) -> None:
    erl = await start_erl(ERL)
    async with Node(PY, cookie="secret") as node:
        assert await node.connect(ERL)
        await erl.eval(f"monitor_node('{PY}', true)")
    assert await erl.eval("receive {nodedown, N} -> N end") == Atom(PY)
    assert await erl.eval("element(2, erl_epmd:names({127,0,0,1}))") == [
        (list(b"erl"), (await look_up("erl", "127.0.0.1", epmd_port=epmd_port)).port)
    ]


async def test_disconnect(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    assert await node.connect(ERL)
    await erl.eval(f"monitor_node('{PY}', true)")
    await node.disconnect(ERL)
    assert await erl.eval("receive {nodedown, N} -> N end") == Atom(PY)
    assert list(node.nodes()) == []
    assert await node.ping(ERL)


async def test_erlang_with_another_cookie_stays_out(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL, cookie="other")
    assert await erl.eval(f"net_adm:ping('{PY}')") == Atom("pang")
    assert list(node.nodes()) == []


async def test_we_stay_out_with_another_cookie(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL, cookie="other")
    with anyio.fail_after(10):
        assert not await node.ping(ERL)
    assert list(node.nodes()) == []
    assert await erl.eval("nodes()") == []


async def test_a_name_in_use_says_so(node: Node) -> None:
    with pytest.raises(NameInUse, match="py"):
        async with Node(PY, cookie="secret"):
            pytest.fail("a second node took the name of the first")


@pytest.mark.parametrize("name", ["py", "py@", "@127.0.0.1", "a@b@c"])
async def test_a_bad_name_says_what_to_do(name: str, epmd_port: int) -> None:
    with pytest.raises((ValueError, NodeError), match="node name"):
        async with Node(name, cookie="secret"):
            pytest.fail(f"{name!r} is no node name")


async def closed_by_peer(stream: SocketStream) -> bool:
    """Read what may still come until the other side has closed."""
    try:
        while True:
            await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return True


@pytest.mark.parametrize(
    "greeting",
    [
        b"GET / HTTP/1.1\r\nHost: py\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS client's hello
        b"\x00\x00",
        b"\x00\x01N",
        b"\x00\x09n\x00\x05\x00\x00\x00\x00py",
    ],
    ids=["http", "tls", "empty", "short", "old"],
)
async def test_a_stranger_at_our_port_is_shown_the_door(
    greeting: bytes, start_erl: StartErl, node: Node, epmd_port: int
) -> None:
    entry = await look_up("py", "127.0.0.1", epmd_port=epmd_port)
    with anyio.fail_after(20):
        async with await anyio.connect_tcp("127.0.0.1", entry.port) as stream:
            await stream.send(greeting)
            assert await closed_by_peer(stream)
    erl = await start_erl(ERL)
    assert await erl.eval(f"net_adm:ping('{PY}')") == Atom("pong")
