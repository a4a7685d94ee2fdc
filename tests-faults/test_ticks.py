"""C1, C2: links without traffic live, and a program that keeps its event loop is not the end of its links."""

import logging
import time

import anyio
import pytest
from epmd_server import look_up
from ergo_node import Epmd, Node, NodeDown, NodeUp
from erlang_peer import StartErl
from etf_codec import Atom
from invariants import Invariants, Numbered, Numbers, handled_by, told
from links import COOKIE, ERL, PY, A, B, linked_pair, linked_with_erl
from python_peer import python_peer

pytestmark = pytest.mark.anyio


def block(seconds: float) -> None:
    """Keep the event loop, as a callback does that computes, or a program that is stopped."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.slow
async def test_links_without_traffic_live(
    start_erl: StartErl, epmd_port: int, invariants: Invariants
) -> None:
    """C1: ten tick times and more, idle or with traffic one way, visible and hidden, of ours and Erlang's."""
    tick_time, erl_tick_time = 1.0, 4
    erl = await start_erl(ERL, args=["-kernel", "net_ticktime", str(erl_tick_time)])
    epmd, numbers = Epmd(epmd_port, embedded=False), Numbers()
    async with (
        Node(A, COOKIE, epmd=epmd, tick_time=tick_time) as a,
        Node(B, COOKIE, epmd=epmd, tick_time=tick_time) as b,
        Node("hidden@127.0.0.1", COOKIE, epmd=epmd, tick_time=tick_time, hidden=True) as hidden,
        Node(PY, COOKIE, epmd=epmd, tick_time=erl_tick_time) as py,
        Node("veiled@127.0.0.1", COOKIE, epmd=epmd, tick_time=erl_tick_time, hidden=True) as veiled,
    ):
        numbered = await b.start(Numbered, numbers)
        monitors = [each.monitor_nodes() for each in (a, b, hidden, py, veiled)]
        for one, other in ((a, B), (a, hidden.name), (hidden, B), (py, ERL), (veiled, ERL)):
            await one.reach(other)
        began, number = time.monotonic(), 0
        while time.monotonic() - began < max(10 * tick_time, 3 * erl_tick_time):
            number += 1
            await hidden.send(numbered.pid, (1, number))  # one way
            await anyio.sleep(0.05)
        numbers.assert_in_order()
        assert (sorted(a.nodes("all")), a.nodes()) == ([B, hidden.name], [B])
        assert await erl.eval("lists:sort(nodes(connected))") == [Atom(PY), Atom("veiled@127.0.0.1")]
        for monitor in monitors:
            assert NodeDown not in map(type, await told(monitor))


@pytest.mark.parametrize("share", [0.5, *(pytest.param(each, marks=pytest.mark.slow) for each in (1.0, 2.0))])
async def test_a_blocked_loop_is_no_reason_to_give_peers_up(
    epmd: Epmd, invariants: Invariants, caplog: pytest.LogCaptureFixture, share: float
) -> None:
    """C2: what the other one sent meanwhile is in the socket; here both share the loop."""
    tick_time = 1.0
    async with linked_pair(epmd, tick_time=tick_time) as (a, b, _):
        events = a.monitor_nodes()
        numbers = Numbers()
        numbered = await b.start(Numbered, numbers)
        with caplog.at_level(logging.WARNING, "ergo_node"):
            for number in range(1, 4):
                await a.send(numbered.pid, (1, number))
                block(share * tick_time)
                await handled_by(a, B)
        numbers.assert_in_order()
        assert await told(events) == []
        assert any(f"{A} stood still" in each.message for each in caplog.records)


async def test_a_quarter_of_the_tick_time_is_told_and_less_is_not(
    epmd: Epmd, caplog: pytest.LogCaptureFixture
) -> None:
    async with Node(A, COOKIE, epmd=epmd, tick_time=4.0):
        with caplog.at_level(logging.WARNING, "ergo_node"), anyio.fail_after(30):
            while not caplog.records:
                await anyio.sleep(0.01)
                block(1.05)
        assert "tick_time" in caplog.records[0].message
    caplog.clear()
    async with Node(A, COOKIE, epmd=epmd, tick_time=240.0):
        for _ in range(3):
            await anyio.sleep(0.01)
            block(0.3)
        assert not caplog.records


@pytest.mark.slow
async def test_erlang_bears_a_short_stall_and_gives_us_up_after_a_long_one(
    start_erl: StartErl, epmd_port: int, invariants: Invariants
) -> None:
    """C2: half a tick time is nothing to it; after two it has gone, we hear of it once, and meet again."""
    tick_time = 2
    erl = await start_erl(ERL, args=["-kernel", "net_ticktime", str(tick_time)])
    async with (
        python_peer("peer@127.0.0.1", epmd_port) as peer,  # has a tick time of a minute
        linked_with_erl(epmd_port, tick_time=float(tick_time)) as (node, _, _),
    ):
        node.add_route(peer.name, "127.0.0.1", await port_of("peer", epmd_port))
        await node.reach(peer.name)
        await erl.eval("net_kernel:monitor_nodes(true)")
        events = node.monitor_nodes()
        block(0.5 * tick_time)
        await handled_by(node, ERL)
        assert await erl.eval("receive A -> A after 0 -> none end") == Atom("none")
        block(2.5 * tick_time)
        with anyio.fail_after(30):
            assert await anext(events) == NodeDown(ERL, "connection_closed")
        # No cascade: the other peer, more patient than Erlang, is still connected.
        assert node.nodes() == [peer.name]
        assert await erl.eval("receive B -> B after 5000 -> none end") == (Atom("nodedown"), Atom(PY))
        await node.reach(ERL)
        assert await anext(events) == NodeUp(ERL, False)
        assert await node.call(peer.hatch, "still there?") == b"still there?"
        assert await erl.eval("receive C -> C after 5000 -> none end") == (Atom("nodeup"), Atom(PY))


async def port_of(name: str, epmd_port: int) -> int:
    return (await look_up(name, "127.0.0.1", epmd_port=epmd_port)).port
