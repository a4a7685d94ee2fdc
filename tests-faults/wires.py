"""Visible nodes of Erlang and Python, each of which finds each other through a proxy: any wire can be cut.

An Erlang node has an EPMD of its own, which names the others by the ports of proxies; one of ours has routes.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import permutations
from typing import NamedTuple

import epmd_server
from ergo_node import Node
from ergo_node.testing import FaultProxy
from erlang_peer import Erl, StartErl
from etf_codec import Atom, Pid, Term
from links import COOKIE, HOST
from otp_behaviors import Process

TICK_TIME = 2.0
TICKING = ["-kernel", "net_ticktime", "2"]
GROUP, CONTESTED = Atom("group"), Atom("contested")

ERL_VIEW = """{nodes(), [{Name, global:whereis_name(Name)} || Name <- global:registered_names()],
    lists:sort(pg:get_members(group))}"""
ERL_STARTED = "spawn(fun() -> process_flag(trap_exit, true), receive stop -> ok end end)"


class View(NamedTuple):
    """What a node knows: the nodes it sees and itself, the global names, the members of the group."""

    nodes: frozenset[str]
    names: dict[Term, Pid]
    members: frozenset[Pid]


class Member:
    """A node of the cluster, of either kind."""

    def __init__(self, node: Node | Erl) -> None:
        self.node = node
        self.name = node.name

    async def started(self) -> Pid:
        """A process that lives until it is told `stop`, whatever it is linked with."""
        pid = await self.node.eval(ERL_STARTED) if isinstance(self.node, Erl) else self.node.spawn(stoppable)
        assert isinstance(pid, Pid)
        return pid

    async def stop(self, pid: Pid) -> None:
        """End a process of this node."""
        if isinstance(self.node, Erl):
            await self.node.eval(f"{erl_pid(pid)} ! stop")
        else:
            await self.node.send(pid, Atom("stop"))

    async def join(self, pid: Pid) -> None:
        """Put a process of this node into the group."""
        if isinstance(self.node, Erl):
            assert await self.node.eval(f"pg:join(group, {erl_pid(pid)})") == Atom("ok")
        else:
            self.node.pg.join(GROUP, pid)

    async def register(self, name: Atom, pid: Pid) -> None:
        """Give a process a global name."""
        if isinstance(self.node, Erl):
            assert await self.node.eval(f"global:register_name('{name}', {erl_pid(pid)})") == Atom("yes")
        else:
            assert await self.node.global_names.register(name, pid)

    async def connect(self, other: str) -> bool:
        """Connect with another node; a failure is an answer."""
        if isinstance(self.node, Erl):
            return await self.node.eval(f"net_kernel:connect_node('{other}')") is True
        return await self.node.ping(other)

    async def view(self) -> View:
        """What it knows now."""
        if isinstance(self.node, Erl):
            nodes, names, members = await self.node.eval(ERL_VIEW)
            return View(frozenset({self.name, *map(str, nodes)}), dict(names), frozenset(members))
        names = {name: self.node.global_names.whereis(name) for name in self.node.global_names.names()}
        living = {name: pid for name, pid in names.items() if pid is not None}
        nodes = frozenset({self.name, *self.node.nodes()})
        return View(nodes, living, frozenset(self.node.pg.members(GROUP)))


async def stoppable(process: Process) -> None:
    """What `ERL_STARTED` is."""
    process.trap_exit = True
    await process.receive(lambda message: message == Atom("stop"))


def erl_pid(pid: Pid) -> str:
    """An expression for a pid of the node that evaluates it."""
    return f'list_to_pid("<0.{pid.id}.{pid.serial}>")'


class Wires:
    """The members by name, and the proxies by (who connects, to whom)."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.proxies: dict[tuple[str, str], FaultProxy] = {}

    def between(self, some: Iterable[str], others: Iterable[str]) -> list[FaultProxy]:
        """The proxies between two halves."""
        pairs = [(one, other) for one in some for other in others]
        return [self.proxies[pair] for pair in [*pairs, *((other, one) for one, other in pairs)]]

    def heal(self) -> None:
        """Let everything pass."""
        for proxy in self.proxies.values():
            proxy.heal()

    async def views(self) -> dict[str, View]:
        """What each member knows."""
        return {name: await member.view() for name, member in self.members.items()}


@asynccontextmanager
async def wired(start_erl: StartErl, erls: dict[str, int], ours: Sequence[str]) -> AsyncIterator[Wires]:
    """Start the nodes of Erlang, whose own EPMDs listen at these ports, and ours."""
    wires = Wires()
    async with AsyncExitStack() as stack:
        ports: dict[str, int] = {}
        for name, epmd_port in erls.items():
            await stack.enter_async_context(epmd_server.serve(HOST, epmd_port))
            erl = await start_erl(name, epmd_port=epmd_port, args=TICKING)
            assert await erl.eval("element(1, pg:start(pg))") == Atom("ok")
            entry = await epmd_server.look_up(name.partition("@")[0], HOST, epmd_port=epmd_port)
            ports[name] = entry.port
            wires.members[name] = Member(erl)
        for name in ours:
            node = Node(name, COOKIE, epmd=None, tick_time=TICK_TIME)
            await stack.enter_async_context(node)
            await node.pg.start()
            ports[name] = node.port
            wires.members[name] = Member(node)
        for one, other in permutations(ports, 2):
            proxy = await stack.enter_async_context(FaultProxy(ports[other]))
            wires.proxies[one, other] = proxy
            node_or_erl = wires.members[one].node
            if isinstance(node_or_erl, Node):
                node_or_erl.add_route(other, HOST, proxy.port)
            else:
                short = other.partition("@")[0]
                known = epmd_server.register(short, proxy.port, epmd_port=erls[one])
                await stack.enter_async_context(known)
        yield wires
