"""The processes every node has, and that other nodes cannot end them."""

from typing import Any

import pytest
from ergo_node import Node, RemoteName
from ergo_node._system_processes import NAMES
from etf_codec import Atom, Pid
from otp_behaviors import ExitError, ExitSignal, GroupLeaderSignal, Process

pytestmark = pytest.mark.anyio

Pair = tuple[Node, Node]


def pids(node: Node) -> dict[str, Pid]:
    records = {name: node.kernel.whereis(name) for name in NAMES}
    return {name: record.pid for name, record in records.items() if record is not None}


async def ask(node: Node, other: Node, act: Any) -> None:
    """Let a process of a node do something, and wait until the other node has seen it."""

    async def actor(process: Process) -> None:
        act(process)

    await node.monitor(node.spawn(actor))
    assert await node.ping(other.name)


@pytest.mark.parametrize("reason", ["kill", "boom", "shutdown", "normal"])
async def test_exits_of_other_nodes_are_refused(pair: Pair, reason: str) -> None:
    a, b = pair
    before = pids(b)
    assert before.keys() == set(NAMES)
    targets = [*before.values(), b._client.pid]

    def act(process: Process) -> None:
        for pid in targets:
            for _ in range(12):  # more than the supervisor would restart
                process.exit(pid, Atom(reason))

    await ask(a, b, act)
    assert pids(b) == before
    assert await b.call(RemoteName("net_kernel", a.name), (Atom("is_auth"), Atom(b.name))) == Atom("yes")


async def test_links_of_other_nodes_do_not_end_them(pair: Pair) -> None:
    a, b = pair
    before = pids(b)

    def act(process: Process) -> None:
        for pid in before.values():
            process.link(pid)

    await ask(a, b, act)  # the actor has ended, normally

    def act_and_fail(process: Process) -> None:
        act(process)
        raise ExitError(Atom("boom"), "as a peer may")

    await ask(a, b, act_and_fail)
    assert pids(b) == before
    assert b.kernel.links.count(a.name) == 0


async def test_their_group_leader_stays(pair: Pair) -> None:
    a, b = pair
    record = b.kernel.whereis("rex")
    assert record is not None
    before = record.group_leader
    victim = b.spawn(lambda process: process.receive())
    a.route([GroupLeaderSignal(None, pid, a._client.pid) for pid in (record.pid, victim)])
    assert await a.ping(b.name)
    assert record.group_leader == before
    assert (
        b.kernel.table.by_pid[victim].group_leader == a._client.pid
    )  # others can be given one, as in Erlang


async def test_others_can_be_ended(pair: Pair) -> None:
    a, b = pair
    victim = b.spawn(lambda process: process.receive())
    watch = b.monitor(victim)
    a.route([ExitSignal(a._client.pid, victim, Atom("boom"), False)])
    assert (await watch).reason == Atom("boom")
