"""F1, F2: clusters of Python and Erlang that fall apart, wholly or in part, and come together again."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import epmd_server
import pytest
from ergo_node import Node, NodeDown
from ergo_node.testing import FaultProxy
from erlang_peer import Erl, StartErl
from etf_codec import Atom, Pid
from invariants import Bonded, Bonds, Invariants, Numbered, Numbers, eventually, handled_by, told
from links import COOKIE, HOST

pytestmark = pytest.mark.anyio

TICK_TIME = 2.0
TARGET = "spawn(fun() -> process_flag(trap_exit, true), receive stop -> ok end end)"
TICKING = ["-kernel", "net_ticktime", "2"]
LEFT, RIGHT = f"left@{HOST}", f"right@{HOST}"
ERL_LEFT, ERL_RIGHT = f"erlleft@{HOST}", f"erlright@{HOST}"


class Cluster:
    """Nodes of ours, hidden, and the proxies through which each of them reaches the others."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.bonds: dict[str, Bonds] = {}
        self.proxies: dict[frozenset[str], FaultProxy] = {}

    def cut(self, one: str, other: str) -> None:
        """Let nothing pass between two nodes, and tell neither."""
        self.proxies[frozenset((one, other))].stall()

    def heal(self) -> None:
        """Let everything pass."""
        for proxy in self.proxies.values():
            proxy.heal()


@asynccontextmanager
async def cluster(epmd_port: int, ours: list[str], erls: list[Erl]) -> AsyncIterator[Cluster]:
    """Every node of ours is connected to every other node, linked with a process there, and watches it."""
    made = Cluster()
    async with AsyncExitStack() as stack:
        ports = {
            erl.name: (await epmd_server.look_up(erl.name.partition("@")[0], HOST, epmd_port=epmd_port)).port
            for erl in erls
        }
        targets = {erl.name: await erl.eval(TARGET) for erl in erls}
        for name in ours:
            node = await stack.enter_async_context(
                Node(name, COOKIE, epmd=None, hidden=True, tick_time=TICK_TIME)
            )
            bonds = made.bonds[name] = Bonds()
            bonded = await node.start(Bonded, bonds)
            for other, port in ports.items():
                proxy = await stack.enter_async_context(FaultProxy(port))
                made.proxies[frozenset((name, other))] = proxy
                node.add_route(other, HOST, proxy.port)
                pid = targets[other]
                assert isinstance(pid, Pid)
                await bonded.call([pid])
                await handled_by(node, other)
            made.nodes[name] = node
            ports[name] = node.port
            targets[name] = (await node.start(Numbered, Numbers())).pid
        print(*made.proxies.values())
        yield made


async def connected_erlangs(erls: list[Erl]) -> None:
    first, second = erls
    assert await first.eval(f"net_adm:ping('{second.name}')") == Atom("pong")


async def test_a_netsplit_of_a_mixed_cluster_heals(
    start_erl: StartErl, epmd_port: int, invariants: Invariants
) -> None:
    """F1: {left, erlleft} against {right, erlright}. Only what crosses the split is lost, and each once."""
    left, right = [await start_erl(each, args=TICKING) for each in (ERL_LEFT, ERL_RIGHT)]
    async with cluster(epmd_port, [LEFT, RIGHT], [left, right]) as made:
        monitors = {name: node.monitor_nodes() for name, node in made.nodes.items()}
        for one, other in ((LEFT, RIGHT), (LEFT, ERL_RIGHT), (RIGHT, ERL_LEFT)):
            made.cut(one, other)
        await eventually(lambda: made.nodes[LEFT].nodes("all") == [ERL_LEFT])
        await eventually(lambda: made.nodes[RIGHT].nodes("all") == [ERL_RIGHT])
        # The right one made its link with the left one's process; the left one is only linked to Erlang's.
        await eventually(lambda: made.bonds[LEFT].resolved.total() == 2)
        await eventually(lambda: made.bonds[RIGHT].resolved.total() == 4)
        for bonds in made.bonds.values():
            assert set(bonds.resolved.values()) == {1}
            assert bonds.reasons.keys() == {Atom("noconnection")}
        await handled_by(made.nodes[LEFT], ERL_LEFT)
        await handled_by(made.nodes[RIGHT], ERL_RIGHT)
        made.heal()
        for one, other in ((LEFT, ERL_RIGHT), (RIGHT, ERL_LEFT), (RIGHT, LEFT)):
            await handled_by(made.nodes[one], other)
        assert sorted(made.nodes[LEFT].nodes("all")) == sorted([ERL_LEFT, ERL_RIGHT, RIGHT])
        assert sorted(made.nodes[RIGHT].nodes("all")) == sorted([ERL_LEFT, ERL_RIGHT, LEFT])
        # What was not cut was never lost, nor is anything resolved again.
        lost = {
            name: sorted(each.node for each in await told(monitor) if isinstance(each, NodeDown))
            for name, monitor in monitors.items()
        }
        assert lost == {LEFT: sorted([RIGHT, ERL_RIGHT]), RIGHT: sorted([LEFT, ERL_LEFT])}
        assert [each.resolved.total() for each in made.bonds.values()] == [2, 4]


async def test_a_hidden_node_stays_with_both_halves_of_a_partial_split(
    start_erl: StartErl, epmd_port: int, invariants: Invariants
) -> None:
    """F2: two Erlang nodes lose each other, and we see both; then we lose one that the other one sees."""
    left, right = [await start_erl(each, args=TICKING) for each in (ERL_LEFT, ERL_RIGHT)]
    async with cluster(epmd_port, [LEFT], [left, right]) as made:
        node, bonds = made.nodes[LEFT], made.bonds[LEFT]
        await connected_erlangs([left, right])
        await left.eval("net_kernel:monitor_nodes(true, #{node_type => all})")
        assert await left.eval(f"erlang:disconnect_node('{ERL_RIGHT}')") is True
        down = "receive {nodedown, Node, _} -> Node after 5000 -> none end"
        assert await left.eval(down) == Atom(ERL_RIGHT)
        await handled_by(node, ERL_LEFT)
        await handled_by(node, ERL_RIGHT)
        assert sorted(node.nodes("all")) == sorted([ERL_LEFT, ERL_RIGHT])
        await connected_erlangs([left, right])
        made.cut(LEFT, ERL_LEFT)
        await eventually(lambda: node.nodes("all") == [ERL_RIGHT])
        assert await left.eval("nodes()") == [Atom(ERL_RIGHT)]
        assert await right.eval("nodes()") == [Atom(ERL_LEFT)]
        assert await right.eval("nodes(hidden)") == [Atom(LEFT)]
        await eventually(lambda: bonds.resolved.total() == 2)
        made.heal()
        await handled_by(node, ERL_LEFT)
        assert bonds.resolved.total() == 2
