"""G2: processes come and go, linked and watched across nodes; none is forgotten, no pid comes twice."""

import pytest
from ergo_node import Epmd, Node
from erlang_peer import StartErl
from etf_codec import Atom, Pid, Term
from invariants import Invariants, Numbered, Numbers, eventually, memory_within
from otp_behaviors import KILL, Process, RemoteName

pytestmark = pytest.mark.anyio

HOST, COOKIE = "127.0.0.1", "secret"
AT_ONCE = 100
MIB_OF_GROWTH = 40


async def brief(process: Process, target: Pid, born: list[Pid]) -> None:
    """Bind itself to a process of another node in every way there is, tell it so, and end."""
    born.append(process.pid)
    process.link(target)
    process.monitor(target)
    process.alias()
    process.send(target, (process.pid, 1))


@pytest.mark.parametrize("times", [3, pytest.param(100, marks=pytest.mark.slow)])
async def test_processes_come_and_go_across_nodes(times: int, epmd: Epmd, invariants: Invariants) -> None:
    numbers, born = Numbers(), list[Pid]()
    async with Node(f"a@{HOST}", COOKIE, epmd=epmd) as a, Node(f"b@{HOST}", COOKIE, epmd=epmd) as b:
        target = await b.start(Numbered, numbers)
        assert await a.ping(b.name)
        invariants.watch(a)
        invariants.watch(b)
        with memory_within(MIB_OF_GROWTH):
            for round in range(times):
                for _ in range(AT_ONCE):
                    a.spawn(brief, target.pid, born)
                await eventually(lambda: numbers.received == (round + 1) * AT_ONCE)  # noqa: B023  # awaited here
        assert len(set(born)) == times * AT_ONCE
        assert numbers.last.keys() == set(born)
        await invariants.settled()


async def test_a_thousand_links_across_nodes(epmd: Epmd, invariants: Invariants) -> None:
    """One process with very many links: each of the others ends with it, once."""
    links, ended = 1_000, list[Pid]()

    async def linked(process: Process, target: Pid) -> None:
        process.trap_exit = True
        process.link(target)
        await process.receive()
        ended.append(process.pid)

    async with Node(f"a@{HOST}", COOKIE, epmd=epmd) as a, Node(f"b@{HOST}", COOKIE, epmd=epmd) as b:
        assert await a.ping(b.name)
        invariants.watch(a)
        invariants.watch(b)
        target = await b.start(Numbered, Numbers())
        pids = [a.spawn(linked, target.pid) for _ in range(links)]
        await eventually(lambda: len(b.kernel.links) == links)
        b.exit(target.pid, KILL)
        await eventually(lambda: len(ended) == links)
        assert len(ended) == len(set(ended))
        assert set(ended) == set(pids)
        await invariants.settled()


async def test_erlang_spawns_processes_that_link_to_ours(
    start_erl: StartErl, epmd_port: int, invariants: Invariants
) -> None:
    numbers = Numbers()
    erl = await start_erl(f"erl@{HOST}")
    async with Node(f"py@{HOST}", COOKIE) as node:
        target = await node.start(Numbered, numbers, name="numbered")
        assert await node.ping(erl.name)
        invariants.watch(node)
        await node.send(RemoteName("evaluator", erl.name), target.pid)
        one = "link(Target), monitor(process, Target), Target ! {self(), 1}"
        await erl.eval("Target = receive Pid when is_pid(Pid) -> Pid end")
        count: Term = await erl.eval(f"length([spawn(fun() -> {one} end) || _ <- lists:seq(1, 2000)])")
        assert count == 2000
        await eventually(lambda: numbers.received == 2000)
        assert len(numbers.last) == 2000
        await invariants.settled()
        assert await erl.eval("nodes()") == [Atom(node.name)]
