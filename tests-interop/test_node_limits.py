"""Policies beside real Erlang: lists, addresses and ports, IPv6, and links that are kept."""

import socket
from collections.abc import Callable
from contextlib import closing

import anyio
import pytest
from epmd_server import look_up
from ergo_node import HandshakeRefused, Listen, Node, NodeDown, NodeUp, NotAllowed, Policy
from erlang_peer import StartErl
from etf_codec import Atom, encode
from otp_behaviors import Process

pytestmark = pytest.mark.anyio

PY, ERL = "py@127.0.0.1", "erl@127.0.0.1"
PONG, PANG = Atom("pong"), Atom("pang")


async def test_our_list_keeps_erlang_out(start_erl: StartErl, epmd_port: int) -> None:
    erl, other = await start_erl(ERL), await start_erl("other@127.0.0.1")
    async with Node(PY, "secret", policy=Policy(allow=[other.name])) as node:
        assert await erl.eval(f"net_adm:ping('{PY}')") == PANG
        assert await other.eval(f"net_adm:ping('{PY}')") == PONG
        with pytest.raises(NotAllowed):
            await node.reach(ERL)
        assert node.nodes() == [other.name]


async def test_erlangs_list_keeps_us_out(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    await erl.eval("net_kernel:allow(['friend@127.0.0.1'])")
    with pytest.raises(HandshakeRefused) as refused:
        await node.reach(ERL)
    assert refused.value.status == "not_allowed"


async def test_our_networks_keep_erlang_out(start_erl: StartErl, epmd_port: int) -> None:
    erl = await start_erl(ERL)
    async with Node(PY, "secret", policy=Policy(networks=["10.0.0.0/8"])) as node:
        assert await erl.eval(f"net_adm:ping('{PY}')") == PANG
        assert await node.ping(ERL)


async def test_a_range_of_ports(
    start_erl: StartErl, epmd_port: int, free_tcp_port_factory: Callable[[], int]
) -> None:
    """The first that is free is taken, as `inet_dist_listen_min` and `_max` have it."""
    erl, port = await start_erl(ERL), free_tcp_port_factory()
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        async with Node(PY, "secret", listen=Listen(ports=(taken.getsockname()[1], port))) as node:
            assert node.port == port
            assert (await look_up("py", "127.0.0.1", epmd_port=epmd_port)).port == port
            assert await erl.eval(f"net_adm:ping('{PY}')") == PONG


async def test_ipv6(
    erlang: None, free_tcp_port_factory: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this host has no IPv6 loopback")
    # Our own EPMD, and an erl started by hand: those of the fixtures listen on IPv4 alone.
    monkeypatch.setenv("ERL_EPMD_PORT", str(free_tcp_port_factory()))
    command = ["erl", "-noshell", "-name", "erl@::1", "-setcookie", "secret", "-start_epmd", "false"]
    command += [
        "-proto_dist",
        "inet6_tcp",
        "-eval",
        "io:put_chars(atom_to_list(net_adm:ping('py@::1'))), halt().",
    ]
    async with Node("py@::1", "secret") as node, Node("py2@::1", "secret") as other:
        with anyio.fail_after(30):
            assert await node.ping(other.name)
            result = await anyio.run_process(command)
    assert result.stdout == b"pong"


async def test_a_kept_connection_comes_back(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    with anyio.fail_after(30), node.monitor_nodes() as events:
        node.keep_connected(ERL)
        assert await anext(events) == NodeUp(ERL, hidden=False)
        await erl.eval(f"erlang:disconnect_node('{PY}')")
        assert isinstance(await anext(events), NodeDown)
        assert await anext(events) == NodeUp(ERL, hidden=False)
        await erl.kill()
        assert isinstance(await anext(events), NodeDown)
        await start_erl(ERL)
        assert await anext(events) == NodeUp(ERL, hidden=False)


async def test_erlang_is_held_up_by_a_slow_process_and_resumes(start_erl: StartErl, node: Node) -> None:
    """A flood to a process that stands still: OTP sees a busy port, nothing is lost, the link lives."""
    go = anyio.Event()
    count = 0

    async def slow(process: Process) -> None:
        nonlocal count
        await go.wait()
        while count < 3000:
            number, _ = await process.receive()
            assert number == count
            count += 1

    done = node.monitor(node.spawn(slow, name="slow"))
    erl = await start_erl(ERL)
    assert await erl.eval(f"net_adm:ping('{PY}')") == PONG
    await erl.eval(
        "Main = self(), erlang:system_monitor(Main, [busy_dist_port]), Chunk = binary:copy(<<1>>, 65536),"
        f"spawn(fun() -> [{{slow, '{PY}'}} ! {{N, Chunk}} || N <- lists:seq(0, 2999)], Main ! sent end), ok"
    )
    with anyio.fail_after(50):
        assert await erl.eval("receive {monitor, _, busy_dist_port, _} -> busy end") == Atom("busy")
        assert await erl.eval("receive sent -> sent after 1500 -> held end") == Atom("held")
        assert await erl.eval("nodes()") == [Atom(PY)]
        go.set()
        assert (await done).reason == Atom("normal")
    assert count == 3000


async def test_erlang_monitors_without_end(start_erl: StartErl, epmd_port: int) -> None:
    erl = await start_erl(ERL)
    async with Node(PY, "secret", policy=Policy(max_links_monitors=100)) as node:
        assert await erl.eval(f"net_adm:ping('{PY}')") == PONG
        grasp = "[monitor(process, {net_kernel, 'PY'}) || _ <- lists:seq(1, N)]".replace("PY", PY)
        await erl.eval(grasp.replace("N)", "100)"))
        assert await node.ping(ERL)
        assert node.kernel.nodes.bonds_with(ERL) == 100
        with node.monitor_nodes() as events, anyio.fail_after(10):
            await erl.eval(grasp.replace("N)", "50)"))
            assert await anext(events) == NodeDown(ERL, "connection_closed")
        # Those that Erlang makes after it has heard of that connect it again.
        flush = "(fun F(N) -> receive {'DOWN', _, _, _, noconnection} -> F(N + 1) after 0 -> N end end)(0)"
        lost = 0
        with anyio.fail_after(10):
            while lost + node.kernel.nodes.bonds_with(ERL) != 150:
                count = await erl.eval(flush)
                assert isinstance(count, int)
                lost += count
        assert lost > 100
        assert await erl.eval(f"net_adm:ping('{PY}')") == PONG


async def test_erlang_cannot_end_system_processes(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    assert await erl.eval(f"net_adm:ping('{PY}')") == PONG
    for name in ("net_kernel", "rex", "user", "net_sup"):
        record = node.kernel.whereis(name)
        assert record is not None
        # Our pids, as a term that anybody can make.
        pid = f"binary_to_term(<<{','.join(map(str, encode(record.pid)))}>>)"
        await erl.eval(f"[exit({pid}, Why) || Why <- [kill, boom, shutdown], _ <- lists:seq(1, 20)]")
        assert await erl.eval(f"net_adm:ping('{PY}')") == PONG
        assert node.kernel.whereis(name) is record
