"""A3, A4: programs that are stopped for longer than the tick time, and go on."""

import os
import signal
from collections.abc import Callable
from time import monotonic

import anyio
import pytest
from epmd_server import serve
from ergo_node import Epmd, Node, NodeDown, NodeUp
from erlang_peer import StartErl
from etf_codec import Atom
from invariants import Invariants, Numbered, Numbers, eventually, handled_by, told
from links import COOKIE, ERL, PY
from python_peer import python_peer

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system stops no programs"),
]

TICK_TIME = 2.0
LATEST = 1.25 * TICK_TIME + 3
NODE = "peer@127.0.0.1"


async def stopped_and_continued(node: Node, peer: str, send: Callable[[signal.Signals], None]) -> None:
    """Stop a peer until it is taken for lost, let it go on, and meet it again: down, then up."""
    events = node.monitor_nodes()
    send(signal.SIGSTOP)
    began = monotonic()
    try:
        with anyio.fail_after(30):
            assert await anext(events) == NodeDown(peer, "net_tick_timeout")
        assert 0.75 * TICK_TIME <= monotonic() - began <= LATEST
    finally:
        send(signal.SIGCONT)
    await node.reach(peer)
    assert await anext(events) == NodeUp(peer, False)
    await handled_by(node, peer)
    assert await told(events) == []


async def test_erlang_is_stopped(start_erl: StartErl, epmd_port: int, invariants: Invariants) -> None:
    erl = await start_erl(ERL, args=["-kernel", "net_ticktime", str(int(TICK_TIME))])
    numbers = Numbers()
    async with Node(PY, COOKIE, tick_time=TICK_TIME) as node:
        await node.start(Numbered, numbers, name="numbered")
        # An answer means that Erlang has told its own processes of us: what they are told later is new.
        assert await node.ping(ERL)
        await erl.eval(
            f"net_kernel:monitor_nodes(true), [{{numbered, '{PY}'}} ! {{1, N}} || N <- [1, 2, 3]], ok"
        )
        await handled_by(node, ERL)
        await stopped_and_continued(node, ERL, lambda number: os.kill(erl.os_pid, number))
        await erl.eval(f"[{{numbered, '{PY}'}} ! {{1, N}} || N <- [4, 5, 6]], ok")
        await eventually(lambda: numbers.received == 6)
        numbers.assert_in_order()
        heard = "[receive M -> M after 5000 -> none end || _ <- [1, 2]]"
        assert await erl.eval(heard) == [(Atom(each), Atom(PY)) for each in ("nodedown", "nodeup")]


async def test_a_node_of_ours_is_stopped(
    free_tcp_port: int, invariants: Invariants, anyio_backend: str
) -> None:
    numbers = Numbers()
    async with (
        serve("127.0.0.1", free_tcp_port),
        python_peer(NODE, free_tcp_port, backend=anyio_backend, tick_time=TICK_TIME) as peer,
        Node(PY, COOKIE, epmd=Epmd(free_tcp_port), tick_time=TICK_TIME) as node,
    ):
        numbered = await node.start(Numbered, numbers)
        await node.reach(NODE)
        invariants.watch(node)
        await node.call(peer.hatch, (numbered.pid, 3))
        await stopped_and_continued(node, NODE, peer.signal)
        assert numbers.received == 3
        await invariants.settled()


async def test_we_are_stopped(
    start_erl: StartErl, epmd_port: int, invariants: Invariants, anyio_backend: str
) -> None:
    """A4: both peers have given us up when we go on; we see that once each, and both are met again."""
    erl = await start_erl(ERL, args=["-kernel", "net_ticktime", str(int(TICK_TIME))])
    async with (
        python_peer(NODE, epmd_port, backend=anyio_backend, tick_time=TICK_TIME) as peer,
        Node(PY, COOKIE, tick_time=TICK_TIME) as node,
    ):
        await erl.eval("net_kernel:monitor_nodes(true)")
        assert await erl.eval(f"net_adm:ping('{NODE}')") == Atom("pong")
        await node.reach(NODE)
        await stopped_and_continued(node, NODE, peer.signal)
        assert await erl.eval(f"net_adm:ping('{NODE}')") == Atom("pong")
        heard = "[receive M -> M after 10000 -> none end || _ <- [1, 2, 3]]"
        changes = [(Atom(each), Atom(NODE)) for each in ("nodeup", "nodedown", "nodeup")]
        assert await erl.eval(heard, 40) == changes
        assert await erl.eval("receive More -> More after 0 -> none end") == Atom("none")
