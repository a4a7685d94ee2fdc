"""B1, B2: a network that loses everything and tells nobody."""

import anyio
import pytest
from ergo_node import Epmd, Node, NodeDown
from ergo_node.testing import FaultProxy
from invariants import Bonded, Bonds, Invariants, Numbered, Numbers, eventually

pytestmark = pytest.mark.anyio

TICK_TIME = 1.0


async def test_ticks_find_a_peer_that_is_silent(epmd: Epmd, invariants: Invariants) -> None:
    bonds = Bonds()
    async with (
        Node("a@127.0.0.1", "secret", epmd=epmd, tick_time=TICK_TIME) as a,
        Node("b@127.0.0.1", "secret", epmd=epmd, tick_time=TICK_TIME) as b,
        FaultProxy(b.port) as proxy,
    ):
        print(proxy)
        a.add_route(b.name, "127.0.0.1", proxy.port)
        bonded = await a.start(Bonded, bonds)
        invariants.watch(a)
        invariants.watch(b)
        target = await b.start(Numbered, Numbers())
        events = a.monitor_nodes()
        await bonded.call([target.pid])
        await eventually(lambda: len(b.kernel.links) == 1)
        proxy.stall()
        with anyio.fail_after(10):
            async for event in events:
                if isinstance(event, NodeDown):
                    break
        await eventually(lambda: bonds.all_resolved)
        bonds.assert_exactly_once()
        await target.stop()
        await invariants.settled()
