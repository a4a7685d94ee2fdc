"""E1, E4: an EPMD that goes, comes back, or lies. The rest of E is tested elsewhere:

E1 (killed ten times; names come back with their creation), E2 (who becomes the EPMD): tests-interop,
test_epmd_failover.py. E2 (ours and C's take turns): tests-interop, test_epmd_server.py. E3: epmd-server,
test_load.py and test_server.py. E4 (answers that are none): epmd-server, test_client.py. E5: tests-interop,
test_node_without_epmd.py, and ergo-node, test_names.py.
"""

import anyio
import epmd_server
import pytest
from ergo_node import Epmd, Node, NotConnected
from erlang_peer import StartErl
from etf_codec import Atom
from invariants import Bonded, Bonds, Invariants, Numbered, Numbers, eventually

pytestmark = pytest.mark.anyio

HOST, COOKIE = "127.0.0.1", "secret"
AT_ONCE = 2.0
"""Seconds: far below the timeouts of EPMD (5) and of a connection that is being set up (7)."""


async def registered(names: set[str], port: int) -> None:
    """Wait until an EPMD knows these nodes; OTP's try every 2 s."""
    with anyio.fail_after(15):
        while {each.name for each in await epmd_server.names(epmd_port=port)} != names:  # noqa: ASYNC110  # it is asked, and tells nobody
            await anyio.sleep(0.02)


async def test_links_stay_and_look_ups_fail_fast(free_tcp_port: int, invariants: Invariants) -> None:
    """E1: our nodes, none of which becomes the EPMD."""
    epmd = Epmd(free_tcp_port, embedded=False)
    bonds = Bonds()
    async with epmd_server.serve(HOST, free_tcp_port, relaxed_command_check=True) as first:
        async with Node(f"a@{HOST}", COOKIE, epmd=epmd) as a, Node(f"b@{HOST}", COOKIE, epmd=epmd) as b:
            bonded = await a.start(Bonded, bonds)
            target = await b.start(Numbered, Numbers())
            await bonded.call([target.pid])
            await epmd_server.kill(epmd_port=free_tcp_port)
            await first.wait_closed()
            with anyio.fail_after(AT_ONCE), pytest.raises(NotConnected, match="cannot be reached"):
                await a.reach(f"c@{HOST}")
            assert await a.call(target.pid, Atom("count")) == 0
            assert a.nodes() == [b.name]
            async with epmd_server.serve(HOST, free_tcp_port):
                await registered({"a", "b"}, free_tcp_port)
                async with Node(f"c@{HOST}", COOKIE, epmd=epmd) as c:
                    assert await c.ping(a.name)
                assert not bonds.resolved
                await target.stop()
                await eventually(lambda: bonds.all_resolved)
                bonds.assert_exactly_once("normal")


async def test_an_epmd_that_names_another_nodes_port(epmd: Epmd) -> None:
    """E4: whoever listens there is not who was asked for, and says so in the handshake."""
    async with Node(f"a@{HOST}", COOKIE, epmd=epmd) as a, Node(f"b@{HOST}", COOKIE, epmd=epmd) as b:
        async with epmd_server.register("c", b.port, epmd_port=epmd.port):
            with pytest.raises(NotConnected, match=b.name):
                await a.reach(f"c@{HOST}")
            assert a.nodes("all") == b.nodes("all") == []
            assert await a.ping(b.name)
            assert a.nodes("all") == [b.name]


async def test_an_epmd_that_names_a_port_of_erlang(start_erl: StartErl, epmd_port: int) -> None:
    """E4, and the other way: Erlang is sent to us for another node."""
    erl = await start_erl(f"erl@{HOST}")
    port = (await epmd_server.look_up("erl", epmd_port=epmd_port)).port
    async with Node(f"py@{HOST}", COOKIE) as node, epmd_server.register("liar", port, epmd_port=epmd_port):
        with pytest.raises(NotConnected, match=erl.name):
            await node.reach(f"liar@{HOST}")
        assert node.nodes("all") == []
        async with epmd_server.register("fraud", node.port, epmd_port=epmd_port):
            assert await erl.eval(f"net_adm:ping('fraud@{HOST}')") == Atom("pang")
        assert node.nodes("all") == []
        assert await erl.eval(f"net_adm:ping('{node.name}')") == Atom("pong")
