"""A1, A2, A5: a node that dies, and one that leaves; who was linked to it or watched it hears of it once."""

import time

import anyio
import pytest
from epmd_server import names, serve
from ergo_node import Epmd, Node, NodeDown, NodeUp
from erlang_peer import StartErl
from etf_codec import Atom, Pid
from invariants import Bonded, Bonds, Invariants, Numbered, Numbers, eventually, handled_by
from python_peer import python_peer

pytestmark = pytest.mark.anyio

COOKIE = "secret"
PY, ERL = "py@127.0.0.1", "erl@127.0.0.1"
MANY = [
    pytest.param(1_000, id="1k"),
    pytest.param(10_000, id="10k", marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
]

SOON = 1.0
"""Seconds of the processor for 20,000 bonds; of the clock, on a machine that has nothing else to do."""


@pytest.mark.parametrize("count", MANY)
async def test_killed_erlang(start_erl: StartErl, epmd_port: int, invariants: Invariants, count: int) -> None:
    erl = await start_erl(ERL)
    bonds = Bonds()
    async with Node(PY, COOKIE) as node:
        bonded = await node.start(Bonded, bonds)
        invariants.watch(node)
        pids = await erl.eval(f"[spawn(fun() -> receive stop -> ok end end) || _ <- lists:seq(1, {count})]")
        events = node.monitor_nodes()
        await bonded.call(pids, timeout=30)
        await handled_by(node, ERL)
        await eventually(lambda: (len(node.kernel.links), len(node.kernel.monitors)) == (count, count))
        await erl.kill()
        began = time.process_time()
        await eventually(lambda: bonds.all_resolved)
        assert time.process_time() - began < SOON
        bonds.assert_exactly_once()
        assert [await anext(events), await anext(events)] == [
            NodeUp(ERL, False),
            NodeDown(ERL, "connection_closed"),
        ]
        await invariants.settled()


@pytest.mark.parametrize("count", MANY)
async def test_killed_python(
    free_tcp_port: int, invariants: Invariants, anyio_backend: str, count: int
) -> None:
    bonds = Bonds()
    async with (
        serve("127.0.0.1", free_tcp_port),
        python_peer("peer@127.0.0.1", free_tcp_port, backend=anyio_backend) as peer,
        Node(PY, COOKIE, epmd=Epmd(free_tcp_port)) as node,
    ):
        bonded = await node.start(Bonded, bonds)
        invariants.watch(node)
        await bonded.call(await node.call(peer.hatch, count, timeout=30), timeout=30)
        await handled_by(node, peer.name)
        await peer.kill()
        began = time.process_time()
        await eventually(lambda: bonds.all_resolved)
        assert time.process_time() - began < SOON
        bonds.assert_exactly_once()
        await invariants.settled()


async def test_erlang_hears_that_we_were_killed(
    start_erl: StartErl, epmd_port: int, anyio_backend: str
) -> None:
    """A2: one 'DOWN' a monitor, one 'EXIT' a link, and the name is free again."""
    erl = await start_erl(ERL)
    async with python_peer("peer@127.0.0.1", epmd_port, backend=anyio_backend) as peer:
        await erl.eval(
            "Pids = gen_server:call({hatch, 'peer@127.0.0.1'}, 1000), net_kernel:monitor_nodes(true)"
        )
        await erl.eval("Refs = [begin link(P), monitor(process, P) end || P <- Pids]")
        await erl.eval("pong = net_adm:ping('peer@127.0.0.1')")
        await peer.kill()
    assert await erl.eval("receive {nodedown, Node} -> Node after 10000 -> timeout end") == Atom(peer.name)
    downs = (
        "[receive {'DOWN', R, process, P, noconnection} -> ok after 5000 -> P end"
        " || {P, R} <- lists:zip(Pids, Refs)]"
    )
    assert await erl.eval(downs) == [Atom("ok")] * 1000
    exits = "[receive {'EXIT', P, noconnection} -> ok after 5000 -> P end || P <- Pids]"
    assert await erl.eval(exits) == [Atom("ok")] * 1000
    assert await erl.eval("receive More -> More after 0 -> none end") == Atom("none")
    with anyio.fail_after(5):
        # EPMD tells nobody that a name is free.
        while "peer" in [each.name for each in await names("127.0.0.1", epmd_port=epmd_port)]:  # noqa: ASYNC110  # as said
            await anyio.sleep(0.01)


async def test_a_node_that_leaves_says_all_it_has_to_say_first(epmd: Epmd, invariants: Invariants) -> None:
    """A5: what was sent before the node was left arrives, more than a socket takes at once."""
    numbers, payload = Numbers(), bytes(100_000)
    async with Node("a@127.0.0.1", COOKIE, epmd=epmd) as a:
        events = a.monitor_nodes()
        numbered = await a.start(Numbered, numbers)
        bonds = Bonds()
        bonded = await a.start(Bonded, bonds)
        invariants.watch(a)
        async with Node("b@127.0.0.1", COOKIE, epmd=epmd) as b:
            stays = await b.start(Numbered, Numbers())
            await bonded.call([stays.pid])
            await eventually(lambda: len(b.kernel.links) == 1)
            for number in range(1, 101):
                b.kernel.send(stays.pid, numbered.pid, (1, number, payload))
        assert await anext(events) == NodeUp("b@127.0.0.1", False)
        assert await anext(events) == NodeDown("b@127.0.0.1", "connection_closed")
        numbers.assert_in_order()
        assert numbers.received == 100
        bonds.assert_exactly_once("shutdown")
        await invariants.settled()
        assert a.nodes("all") == []


async def test_erlang_stops(start_erl: StartErl, epmd_port: int, invariants: Invariants) -> None:
    erl = await start_erl(ERL)
    numbers, bonds = Numbers(), Bonds()
    async with Node(PY, COOKIE) as node:
        await node.start(Numbered, numbers, name="numbered")
        bonded = await node.start(Bonded, bonds)
        invariants.watch(node)
        pid = await erl.eval("spawn(fun() -> receive stop -> ok end end)")
        assert isinstance(pid, Pid)
        await bonded.call([pid])
        await handled_by(node, ERL)
        events = node.monitor_nodes()
        await erl.eval(
            "lists:foreach(fun(N) -> {numbered, 'py@127.0.0.1'} ! {1, N, binary:copy(<<0>>, 100000)} end,"
            " lists:seq(1, 100))"
        )
        await erl.stop()
        assert await anext(events) == NodeDown(ERL, "connection_closed")
        numbers.assert_in_order()
        assert numbers.received == 100
        await eventually(lambda: bonds.all_resolved)
        bonds.assert_exactly_once()
        await invariants.settled()


async def test_we_leave_erlang(start_erl: StartErl, epmd_port: int) -> None:
    """Our processes end before the connection does, with the reason that a supervisor would give."""
    erl = await start_erl(ERL)
    await erl.eval("net_kernel:monitor_nodes(true)")
    async with Node(PY, COOKIE) as node:
        numbered = await node.start(Numbered, Numbers(), name="numbered")
        await erl.eval("Ref = monitor(process, {numbered, 'py@127.0.0.1'})")
        assert await node.ping(ERL)
        evaluator = await erl.eval("self()")
        assert isinstance(evaluator, Pid)
        for number in range(1, 101):
            node.kernel.send(numbered.pid, evaluator, (number, bytes(100_000)))
    # All in turn: the evaluator's `receive` is erl_eval's, which puts back what it skips.
    heard = "[receive M -> element(1, M) after 5000 -> none end || _ <- lists:seq(1, 103)]"
    told = [Atom("nodeup"), *range(1, 101), Atom("DOWN"), Atom("nodedown")]
    assert await erl.eval(heard) == told
