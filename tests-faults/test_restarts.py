"""D3: a node of the same name comes back again and again, and nobody takes it for the one before."""

from typing import Any

import anyio
import pytest
from ergo_node import Epmd, Node, NodeDown, NodeUp
from erlang_peer import StartErl
from etf_codec import Atom, Pid, Term
from invariants import Bonded, Bonds, Invariants, Numbered, Numbers, eventually
from otp_behaviors import KILL, GenServer, RemoteName

pytestmark = pytest.mark.anyio

HOST, COOKIE = "127.0.0.1", "secret"
NAME = f"again@{HOST}"
NOPROC = Atom("noproc")


@pytest.mark.parametrize("times", [8, pytest.param(100, marks=pytest.mark.slow)])
async def test_a_node_restarts_again_and_again(times: int, epmd: Epmd, invariants: Invariants) -> None:
    """Each has a new creation; the old pid is nobody's, and what watched it fired once."""
    bonds, old = Bonds(), list[Pid]()
    async with Node(f"watcher@{HOST}", COOKIE, epmd=epmd) as watcher:
        bonded = await watcher.start(Bonded, bonds)
        invariants.watch(watcher)
        with watcher.monitor_nodes() as events, anyio.fail_after(20 + times):
            for round in range(times):
                numbers = Numbers()
                async with Node(NAME, COOKIE, epmd=epmd) as node:
                    numbered = await node.start(Numbered, numbers, name="numbered")
                    assert numbered.pid.creation not in {pid.creation for pid in old}
                    await bonded.call([numbered.pid])
                    assert await anext(events) == NodeUp(NAME, hidden=False)
                    for pid in old[-3:]:
                        await watcher.send(pid, (b"old", 1))
                        assert (await watcher.monitor(pid)).reason == NOPROC
                    await watcher.send(numbered.pid, (b"new", 1))
                    assert await watcher.call(RemoteName("numbered", NAME), Atom("count")) == 1
                    old.append(numbered.pid)
                assert isinstance(await anext(events), NodeDown)
                assert numbers.last == {b"new": 1}
                await eventually(lambda: bonds.all_resolved)
                assert len(bonds.expected) == 2 * (round + 1)
        assert set(bonds.resolved.values()) == {1}
        await invariants.settled()


class Witness(GenServer):
    """Notes each message, and of nodeup and nodedown whether `nodes()` has the node at that moment."""

    def init(self, node: Node, seen: list[Term]) -> None:
        self.node = node
        self.seen = seen

    def handle_info(self, message: Any) -> None:
        """Called as soon as the message is there."""
        if isinstance(message, tuple):
            self.seen.append((str(message[0]), NAME in self.node.nodes()))
        else:
            self.seen.append(message)


async def test_nodeup_comes_first_and_nodedown_last(epmd: Epmd, invariants: Invariants) -> None:
    """G9: all messages of a node come between the two, of each of its incarnations."""
    seen: list[Term] = []
    messages = list(range(50))
    async with Node(f"watcher@{HOST}", COOKIE, epmd=epmd) as watcher:
        witness = await watcher.start(Witness, watcher, seen)
        watcher.subscribe(witness.pid)
        invariants.watch(watcher)
        with anyio.fail_after(30):
            for round in range(3):
                expected = (round + 1) * (len(messages) + 2)
                async with Node(NAME, COOKIE, epmd=epmd) as node:
                    for message in messages:
                        await node.send(witness.pid, message)
                    # Who leaves while it still connects takes what it had to say along.
                    await eventually(lambda: len(seen) == expected - 1)  # noqa: B023  # awaited here
                await eventually(lambda: len(seen) == expected)  # noqa: B023  # awaited here
        assert seen == [("nodeup", True), *messages, ("nodedown", False)] * 3
        await invariants.settled()


async def test_erlang_sees_us_restart(start_erl: StartErl, epmd_port: int) -> None:
    erl = await start_erl(f"erl@{HOST}")
    await erl.eval("net_kernel:monitor_nodes(true)")
    for round in range(5):
        numbers = Numbers()
        async with Node(NAME, COOKIE) as node:
            numbered = await node.start(Numbered, numbers, name="numbered")
            await node.send(RemoteName("evaluator", erl.name), numbered.pid)
            this, before = f"P{round}", f"P{round - 1}"
            assert await erl.eval(f"receive {{nodeup, '{NAME}'}} -> up end") == Atom("up")
            await erl.eval(f"{this} = receive Pid{round} when is_pid(Pid{round}) -> Pid{round} end")
            if round:
                assert await erl.eval(f"{this} =/= {before}") is True
                watched = f"Old{round} = monitor(process, {before})"
                await erl.eval(f"{before} ! {{old, 1}}, exit({before}, kill), {watched}")
                assert await erl.eval(f"receive {{'DOWN', Old{round}, _, _, Why}} -> Why end") == NOPROC
            await erl.eval(f"Ref{round} = monitor(process, {this}), {this} ! {{new, 1}}")
            assert await erl.eval(f"gen_server:call({this}, count)") == 1
            assert numbers.last == {Atom("new"): 1}
        down = f"receive {{'DOWN', Ref{round}, process, {this}, _}} -> down end"
        assert await erl.eval(f"{down}, receive {{nodedown, '{NAME}'}} -> nodedown end") == Atom("nodedown")
        assert await erl.eval("receive Any -> Any after 0 -> nothing end") == Atom("nothing")


async def test_we_see_erlang_restart(start_erl: StartErl, epmd_port: int, invariants: Invariants) -> None:
    bonds = Bonds()
    async with Node(f"watcher@{HOST}", COOKIE) as watcher:
        bonded = await watcher.start(Bonded, bonds)
        invariants.watch(watcher)
        old: list[Pid] = []
        with watcher.monitor_nodes() as events:
            for _ in range(3):
                erl = await start_erl(NAME)
                pid = await erl.eval("Pid = spawn(fun() -> receive stop -> ok end end)")
                assert isinstance(pid, Pid)
                assert pid.creation not in {each.creation for each in old}
                await bonded.call([pid])
                assert await anext(events) == NodeUp(NAME, hidden=False)
                for each in old:
                    watcher.exit(each, KILL)
                    assert (await watcher.monitor(each)).reason == NOPROC
                assert await erl.eval("is_process_alive(Pid)") is True
                old.append(pid)
                await erl.kill()
                assert isinstance(await anext(events), NodeDown)
                await eventually(lambda: bonds.all_resolved)
        bonds.assert_exactly_once()
        await invariants.settled()
