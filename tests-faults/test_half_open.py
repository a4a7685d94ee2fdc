"""B1, B2: a network that loses everything, or one direction of it, and tells nobody."""

import time

import anyio
import pytest
from ergo_node import Epmd, NodeDown, NodeMonitor, Tls
from ergo_node.testing import Way
from erlang_peer import StartErl
from etf_codec import Atom, Pid
from invariants import Bonded, Bonds, Invariants, Numbered, Numbers, eventually, handled_by
from links import ERL, PY, A, B, linked_pair, linked_with_erl
from otp_behaviors import NoConnection

pytestmark = pytest.mark.anyio

TICK_TIME = 2.0
SOONEST = 0.75 * TICK_TIME
"""Silence may have begun just before a check: the first three quarters after it are certain."""

LATEST = 1.25 * TICK_TIME + 3
"""One interval later than the tick time; the rest is for a busy machine."""


async def down(events: NodeMonitor) -> NodeDown:
    with anyio.fail_after(30):
        async for event in events:
            if isinstance(event, NodeDown):
                return event
    raise AssertionError("the node was left")


async def test_silence_is_found_by_ticks(epmd: Epmd, tls: Tls | None, invariants: Invariants) -> None:
    bonds = Bonds()
    async with linked_pair(epmd, tls=tls, tick_time=TICK_TIME) as (a, b, proxy):
        bonded = await a.start(Bonded, bonds)
        target = await b.start(Numbered, Numbers())
        await bonded.call([target.pid])
        await handled_by(a, B)
        events, others = a.monitor_nodes(), b.monitor_nodes()
        proxy.stall()
        began = time.monotonic()
        assert (await down(events)).reason == "net_tick_timeout"
        assert (await down(others)).reason == "net_tick_timeout"
        assert SOONEST <= time.monotonic() - began <= LATEST
        await eventually(lambda: bonds.all_resolved)
        bonds.assert_exactly_once()
        proxy.heal()
        await handled_by(a, B)
        assert (a.nodes(), b.nodes()) == ([B], [A])


async def test_erlang_and_we_find_silence(
    start_erl: StartErl, epmd_port: int, invariants: Invariants
) -> None:
    """Both sides, whichever way bytes are lost; OTP's own ticker is the measure of ours."""
    erl = await start_erl(ERL, args=["-kernel", "net_ticktime", str(int(TICK_TIME) + 2)])
    bonds = Bonds()
    async with linked_with_erl(epmd_port, tick_time=TICK_TIME + 2) as (node, ours, theirs):
        await erl.eval("net_kernel:monitor_nodes(true), Target = spawn(fun() -> receive stop -> ok end end)")
        pid = await erl.eval("Target")
        assert isinstance(pid, Pid)
        bonded = await node.start(Bonded, bonds)
        await bonded.call([pid])
        await erl.eval(f"Ref = monitor(process, {{net_kernel, '{PY}'}})")
        await handled_by(node, ERL)
        events = node.monitor_nodes()
        for proxy in (ours, theirs):  # who gives up first may connect again, to a network that is still lost
            proxy.drop()
        assert (await down(events)).reason == "net_tick_timeout"
        await eventually(lambda: bonds.all_resolved)
        bonds.assert_exactly_once()
        assert await erl.eval("receive {nodedown, N} -> N after 15000 -> timeout end", 20) == Atom(PY)
        why = "receive {'DOWN', Ref, process, _, Why} -> Why after 5000 -> timeout end"
        assert await erl.eval(why) == Atom("noconnection")
        assert await erl.eval("receive More -> More after 0 -> none end") == Atom("none")


@pytest.mark.parametrize("way", ["out", "in"])
async def test_one_direction_is_lost(epmd: Epmd, tls: Tls | None, way: Way) -> None:
    """The side that hears nothing gives up after the tick time, and the other one within a tick of it."""
    async with linked_pair(epmd, tls=tls, tick_time=TICK_TIME) as (a, b, proxy):
        deaf, hearing = (b, a) if way == "out" else (a, b)
        first, second = deaf.monitor_nodes(), hearing.monitor_nodes()
        proxy.stall(way)
        began = time.monotonic()
        assert (await down(first)).reason == "net_tick_timeout"
        assert time.monotonic() - began >= SOONEST
        # Its end of the connection is closed, which passes the other way, where bytes do.
        assert (await down(second)).reason == "connection_closed"
        assert time.monotonic() - began <= LATEST
        assert (a.nodes(), b.nodes()) == ([], [])


async def test_senders_that_wait_go_on_when_the_connection_is_given_up(
    epmd: Epmd, tls: Tls | None, invariants: Invariants
) -> None:
    """A send that was held up by a peer that reads no more returns; what it sent is lost with the rest."""
    async with linked_pair(epmd, tls=tls, tick_time=TICK_TIME) as (a, b, proxy):
        invariants.watch(a)
        target = await b.start(Numbered, Numbers())
        await handled_by(a, B)
        proxy.stall()
        sent = 0

        async def flood(number: int) -> None:
            nonlocal sent
            for _ in range(20):
                await a.send(target.pid, (number, 1, bytes(1_000_000)))
                sent += 1
                if B not in a.nodes():
                    return

        # The policy would have them connect again, and flood a node that is well.
        events = a.monitor_nodes()
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(flood, number)
            await down(events)
            held_up = sent
            proxy.heal()
        assert held_up < 100, "nobody was held up"
        await target.stop()


async def test_calls_under_way_end_with_noconnection(epmd: Epmd, invariants: Invariants) -> None:
    async with linked_pair(epmd, tick_time=TICK_TIME) as (a, b, proxy):
        target = await b.start(Numbered, Numbers())
        proxy.stall()
        with pytest.raises(NoConnection):
            await a.call(target.pid, "anybody there?", timeout=None)
