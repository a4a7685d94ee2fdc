"""`pg` beside that of OTP: the same groups on both sides, whatever happens to processes, scopes and nodes."""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest
from ergo_node import Node
from erlang_peer import Erl, StartErl
from etf_codec import Atom, Pid, Term
from otp_behaviors import NORMAL, GenServer, Process, Stop
from witness import StartWitness

pytestmark = pytest.mark.anyio

PY, ERL = "py@127.0.0.1", "erl@127.0.0.1"
JOIN, LEAVE = Atom("join"), Atom("leave")
WORKERS = Atom("workers")

CROWD = 10_000
# Of this program's own time, which other tests that run beside this one do not stretch.
CROWD_SECONDS = 2.0

WORKER = "fun Loop() -> receive stop -> ok; _ -> Loop() end end"


async def worker(process: Process) -> None:
    """Lives until it is told anything."""
    await process.receive()


class Idler(GenServer):
    """Lives until it is told anything, without a task of its own."""

    def handle_info(self, message: Term) -> None:
        raise Stop(NORMAL)


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until something holds here."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110  # it polls what another node does
            await anyio.sleep(0.005)


async def until_erl(erl: Erl, condition: str) -> None:
    """Wait until an expression is true there."""
    value = await erl.eval(
        "(fun Until(0) -> false;"
        f" Until(N) -> case {condition} of true -> true; _ -> timer:sleep(5), Until(N - 1) end end)(2000)"
    )
    assert value is True, condition


async def pids(erl: Erl, expression: str) -> list[Pid]:
    """Pids of the other node."""
    value: Any = await erl.eval(expression)
    assert isinstance(value, list)
    return value


def same(left: list[Pid], right: Term) -> bool:
    """Whether these are the same members, in any order, as often."""
    assert isinstance(right, list)
    return sorted(map(repr, left)) == sorted(map(repr, right))


def faults(erl: Erl) -> list[str]:
    """The reports of crashes in the log of a node."""
    return [line for line in erl.output if "ERROR" in line or "CRASH" in line or "SUPERVISOR" in line]


@pytest.fixture
async def erl(start_erl: StartErl) -> AsyncIterator[Erl]:
    """An Erlang node with the scope `pg`, none of whose processes crashes."""
    erl = await start_erl(ERL, args=["-kernel", "start_pg", "true"])
    yield erl
    assert faults(erl) == [], "\n".join(erl.output)


async def test_members_of_both_nodes(erl: Erl, node: Node) -> None:
    await node.pg.start()
    ours = node.spawn(worker)
    node.pg.join(WORKERS, ours)
    await erl.eval(f"Theirs = spawn({WORKER}), pg:join(workers, [Theirs, Theirs])")
    assert await node.ping(ERL)
    theirs = (await pids(erl, "[Theirs]"))[0]
    await until(lambda: same(node.pg.members(WORKERS), [ours, theirs, theirs]))
    assert node.pg.local_members(WORKERS) == [ours]
    await until_erl(erl, "length(pg:get_members(workers)) =:= 3")
    assert same([ours, theirs, theirs], await erl.eval("pg:get_members(workers)"))
    assert await erl.eval("pg:get_local_members(workers)") == [theirs, theirs]

    late = node.spawn(worker)
    node.pg.join({b"a": [1, 1.0]}, [late, late])
    await until_erl(erl, 'length(pg:get_members(#{<<"a">> => [1, 1.0]})) =:= 2')
    assert node.pg.leave({b"a": [1, 1.0]}, late)
    await until_erl(erl, 'length(pg:get_members(#{<<"a">> => [1, 1.0]})) =:= 1')
    await node.send(late, Atom("stop"))
    await until_erl(erl, 'pg:get_members(#{<<"a">> => [1, 1.0]}) =:= []')
    assert await erl.eval("pg:which_groups()") == [WORKERS]
    await erl.eval("pg:leave(workers, Theirs)")
    await until(lambda: same(node.pg.members(WORKERS), [ours, theirs]))
    await erl.eval("Theirs ! stop")
    await until(lambda: node.pg.members(WORKERS) == [ours])


async def test_a_crowd_of_erlang_is_seen_in_time(erl: Erl, node: Node) -> None:
    await node.pg.start()
    await erl.eval(f"pg:join(crowd, [spawn({WORKER}) || _ <- lists:seq(1, {CROWD})])", 30)
    began = time.process_time()
    assert await node.ping(ERL)
    await until(lambda: len(node.pg.members(Atom("crowd"))) == CROWD)
    took = time.process_time() - began
    assert took < CROWD_SECONDS, f"{CROWD} members took {took:.2f} s"
    assert same(node.pg.members(Atom("crowd")), await erl.eval("pg:get_members(crowd)"))
    # One by one they go, and so do ours.
    await erl.eval("[Pid ! stop || Pid <- pg:get_members(crowd)], ok")
    await until(lambda: node.pg.which_groups() == [], 30)


async def test_our_crowd_is_seen_in_time(erl: Erl, node: Node) -> None:
    await node.pg.start()
    crowd = [(await node.start(Idler)).pid for _ in range(CROWD)]
    node.pg.join(Atom("crowd"), crowd)
    began = time.process_time()
    assert await node.ping(ERL)
    await until_erl(erl, f"length(pg:get_members(crowd)) =:= {CROWD}")
    took = time.process_time() - began
    assert took < CROWD_SECONDS, f"{CROWD} members took {took:.2f} s"
    assert same(crowd, await erl.eval("pg:get_members(crowd)"))
    for pid in crowd:
        await node.send(pid, Atom("stop"))
    assert node.pg.which_groups() == []
    await until_erl(erl, "pg:which_groups() =:= []")


async def test_the_scope_of_erlang_starts_again(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL, args=["-kernel", "start_pg", "true"])
    await node.pg.start()
    ours = node.spawn(worker)
    node.pg.join(WORKERS, ours)
    await erl.eval(f"Theirs = spawn({WORKER}), pg:join(workers, Theirs), pg:join(other, Theirs)")
    assert await node.ping(ERL)
    await until(lambda: len(node.pg.members(WORKERS)) == 2)
    # Killed, so that it can say nothing; kernel's supervisor starts it again, without members.
    await erl.eval("exit(whereis(pg), kill)")
    await until(lambda: node.pg.members(WORKERS) == [ours])
    assert node.pg.which_groups() == [WORKERS]
    await until_erl(erl, "pg:get_members(workers) =/= [] andalso pg:get_local_members(workers) =:= []")
    await erl.eval("pg:join(workers, Theirs)")
    await until(lambda: len(node.pg.members(WORKERS)) == 2)
    assert node.pg.leave(WORKERS, ours)
    await until_erl(erl, "pg:get_members(workers) =:= [Theirs]")
    # Its supervisor reports the kill; a crash of the scope itself would be one more.
    assert [line for line in faults(erl) if "SUPERVISOR" not in line] == [], "\n".join(erl.output)


async def test_our_scope_starts_again(erl: Erl, node: Node) -> None:
    await node.pg.start()
    ours = node.spawn(worker)
    node.pg.join(WORKERS, ours)
    await erl.eval(f"Theirs = spawn({WORKER}), pg:join(workers, Theirs)")
    assert await node.ping(ERL)
    await until_erl(erl, "length(pg:get_members(workers)) =:= 2")
    scope = node.whereis("pg")
    assert scope is not None
    node.exit(scope, Atom("kill"))
    await until_erl(erl, "pg:get_members(workers) =:= [Theirs]")
    theirs = await erl.eval("Theirs")
    await until(lambda: node.pg.members(WORKERS) == [theirs])
    node.pg.join(WORKERS, ours)
    await until_erl(erl, "length(pg:get_members(workers)) =:= 2")


async def test_a_killed_node_leaves_no_ghosts(start_erl: StartErl, erl: Erl, node: Node) -> None:
    await node.pg.start()
    ours = node.spawn(worker)
    node.pg.join(WORKERS, ours)
    other = await start_erl("other@127.0.0.1", args=["-kernel", "start_pg", "true"])
    await other.eval(f"pg:join(workers, [spawn({WORKER}) || _ <- [1, 2, 3]]), pg:join(alone, self())")
    assert await node.ping(ERL)
    assert await node.ping(other.name)
    await until(lambda: len(node.pg.members(WORKERS)) == 4)
    await until_erl(other, "length(pg:get_members(workers)) =:= 4")
    await other.kill()
    await until(lambda: node.pg.members(WORKERS) == [ours])
    assert node.pg.which_groups() == [WORKERS]
    again = await start_erl("other@127.0.0.1", args=["-kernel", "start_pg", "true"])
    await again.eval(f"net_adm:ping('{PY}')")
    await until_erl(again, "length(pg:get_members(workers)) =:= 1")
    await again.eval("pg:join(alone, self())")
    await until(lambda: len(node.pg.members(Atom("alone"))) == 1)


async def test_when_we_leave_erlang_has_no_ghosts(erl: Erl, epmd_port: int) -> None:
    async with Node("gone@127.0.0.1", cookie="secret") as node:
        await node.pg.start()
        node.pg.join(WORKERS, [node.spawn(worker) for _ in range(3)])
        assert await node.ping(ERL)
        await until_erl(erl, "length(pg:get_members(workers)) =:= 3")
    await until_erl(erl, "pg:which_groups() =:= []")


async def test_erlang_monitors_groups_of_ours(erl: Erl, node: Node, otp_release: int) -> None:
    await node.pg.start()
    ours = node.spawn(worker)
    node.pg.join(WORKERS, ours)
    assert await node.ping(ERL)
    # The functions of `pg` take what `gen_server:call` takes, so they work from afar.
    assert await erl.eval(f"{{R1, G}} = pg:monitor_scope({{pg, '{PY}'}}), G") == {WORKERS: [ours]}
    assert await erl.eval(f"{{R2, M}} = pg:monitor({{pg, '{PY}'}}, workers), M") == [ours]
    assert await erl.eval(f"{{R3, N}} = pg:monitor({{pg, '{PY}'}}, [1.0]), N") == []
    node.pg.join([1], [ours, ours])
    node.pg.leave(WORKERS, ours)
    told = "receive {R1, A1, G1, P1} -> {A1, G1, P1} after 5000 -> nothing end"
    assert await erl.eval(told) == (JOIN, [1], [ours, ours])
    assert await erl.eval(told.replace("1,", "4,").replace("1}", "4}").replace("R4", "R1")) == (
        LEAVE,
        WORKERS,
        [ours],
    )
    assert await erl.eval("receive {R2, A2, G2, P2} -> {A2, G2, P2} end") == (LEAVE, WORKERS, [ours])
    assert await erl.eval(f"pg:demonitor({{pg, '{PY}'}}, R2)") == Atom("ok")
    # OTP 29 sends another request, whose answer is the same for what is no monitor any more.
    again = Atom("ok") if otp_release >= 29 else False
    assert await erl.eval(f"pg:demonitor({{pg, '{PY}'}}, R2)") == again
    # What OTP 29 calls.
    assert await erl.eval(f"gen_server:call({{pg, '{PY}'}}, {{unsubscribe, R3}})") == Atom("ok")
    assert await erl.eval(f"element(2, gen_server:call({{pg, '{PY}'}}, {{subscribe, {{group, [1]}}}}))") == [
        ours,
        ours,
    ]


async def test_we_monitor_groups_of_erlang(erl: Erl, node: Node, start_witness: StartWitness) -> None:
    await node.pg.start()
    witness = await start_witness()
    ref, members = node.pg.monitor(WORKERS, witness.pid)
    assert members == []
    every, groups = node.pg.monitor_scope(witness.pid)
    assert groups == {}
    await erl.eval(f"Theirs = spawn({WORKER}), pg:join(workers, [Theirs, Theirs])")
    assert await node.ping(ERL)
    theirs = await erl.eval("Theirs")
    assert await witness.next() == (every, JOIN, WORKERS, [theirs, theirs])
    assert await witness.next() == (ref, JOIN, WORKERS, [theirs, theirs])
    assert node.pg.demonitor(every)
    assert not node.pg.demonitor(every)
    await erl.eval("pg:leave(workers, Theirs)")
    assert await witness.next() == (ref, LEAVE, WORKERS, [theirs])
    await erl.eval("Theirs ! stop")
    assert await witness.next() == (ref, LEAVE, WORKERS, [theirs])


async def test_a_scope_answers_requests_as_otp_does(erl: Erl, node: Node) -> None:
    await node.pg.start("shared")
    await erl.eval("{ok, _} = pg:start(shared)")
    ours = node.spawn(worker)
    assert await node.ping(ERL)
    node.pg.join("shared", WORKERS, ours)
    await until_erl(erl, "length(pg:get_members(shared, workers)) =:= 1")
    theirs = await erl.eval(f"Theirs = spawn({WORKER}), Theirs")
    await erl.eval("[Ours] = pg:get_members(shared, workers), ok")
    for request, reply in [
        ("{join_local, g, Ours}", "ok"),
        ("{join_local, g, [Ours, Ours]}", "ok"),
        ("{leave_local, g, [Ours, Ours]}", "ok"),
        ("{leave_local, g, Ours}", "ok"),
        ("{leave_local, g, Ours}", "not_joined"),
        ("{demonitor, make_ref()}", "false"),
    ]:
        assert await erl.text(f"gen_server:call({{shared, '{PY}'}}, {request})") == reply, request
    # OTP's server would end by these; ours says what is wrong.
    assert await erl.eval(f"gen_server:call({{shared, '{PY}'}}, {{join_local, g, Theirs}})") == (
        Atom("error"),
        (Atom("nolocal"), theirs),
    )
    for request in ["nonsense", "{join_local, g, [1]}", "{update, []}"]:
        answer = await erl.text(f"gen_server:call({{shared, '{PY}'}}, {request})")
        assert answer == "{error,badarg}", request


async def test_a_hidden_node_stays_out(erl: Erl, epmd_port: int) -> None:
    # So does one of OTP: it has no visible connections, and pg looks at those only.
    async with Node("shy@127.0.0.1", cookie="secret", hidden=True) as shy:
        await shy.pg.start()
        shy.pg.join(WORKERS, shy.spawn(worker))
        assert await shy.ping(ERL)
        await erl.eval("pg:join(workers, self())")
        assert await shy.ping(ERL)
        assert await erl.eval("length(pg:get_members(workers))") == 1
        assert len(shy.pg.members(WORKERS)) == 1
        # But asked by name it answers.
        await erl.eval("{pg, 'shy@127.0.0.1'} ! {discover, whereis(pg)}")
        await until_erl(erl, "length(pg:get_members(workers)) =:= 2")
        await until(lambda: len(shy.pg.members(WORKERS)) == 2)
