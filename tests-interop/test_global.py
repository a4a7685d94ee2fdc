"""`global` with Python nodes among Erlang ones: the same names and locks everywhere, nobody thrown out."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
from ergo_node import Node, RemoteName
from erlang_peer import Erl, StartErl
from etf_codec import Atom, Pid, Term
from global_cluster import (
    COOKIE,
    HOST,
    PY,
    A,
    B,
    Z,
    all_know,
    assert_quiet,
    connected_to,
    erl_pid,
    forever,
    known_there,
    meshed,
    started,
    there,
    unknown_there,
    until,
)
from otp_behaviors import NoProcess, Process
from witness import PATIENCE, StartWitness, Witnessed

pytestmark = pytest.mark.anyio

MEMBER = f"""
import anyio
from ergo_node import Node
from etf_codec import Atom
from otp_behaviors import GenServer

async def main():
    async with Node({PY!r}, {COOKIE!r}) as node:
        for other in {[A, Z]!r}:
            await node.connect(other)
        await node.global_names.sync()
        await node.global_names.start(GenServer, name="of_py")
        print("ready", flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@pytest.fixture
async def cluster(start_erl: StartErl, node: Node) -> tuple[Erl, Erl, Node]:
    """Two Erlang nodes and ours, each connected with each: one of them we only hear of."""
    a, z = await start_erl(A), await start_erl(Z)
    await a.eval(f"net_kernel:connect_node('{Z}')")
    await node.connect(A)
    await meshed([a, z], [node])
    return a, z, node


async def test_a_name_registered_anywhere_is_known_everywhere(
    cluster: tuple[Erl, Erl, Node], start_witness: StartWitness
) -> None:
    a, z, node = cluster
    names = node.global_names
    ours = await start_witness()
    assert await names.register("ours", ours.pid)
    assert not await names.register("ours", node.spawn(forever))
    theirs = {"of_a": (a, await started(a)), "of_z": (z, await started(z))}
    for name, (erl, pid) in theirs.items():
        await erl.eval(f"yes = global:register_name({name}, {erl_pid(pid)})")
        assert names.whereis(name) == pid
        # global:register_name returns when all have been told.
    for erl in (a, z):
        assert await there(erl, "ours") == ours.pid
        assert await erl.eval("gen_server:call({global, ours}, hi)") == (Atom("echo"), Atom("hi"))
        assert await erl.eval("lists:sort(global:registered_names())") == [
            Atom(name) for name in sorted(["ours", *theirs])
        ]
        await erl.eval("global:send(ours, {hello, node()})")
        assert await ours.next() == (Atom("hello"), Atom(erl.name))
        await erl.eval("gen_server:cast({global, ours}, {hello, node()})")
        assert await ours.next() == (Atom("cast"), (Atom("hello"), Atom(erl.name)))
    for name, (erl, pid) in theirs.items():
        assert await node.call(names.ref(name), 7) == (Atom(erl.name), 7)
        assert await names.send(name, Atom("stop")) == pid
        await all_know(name, None, [a, z], [node])
    with pytest.raises(NoProcess):
        await node.call(names.ref("of_a"), 7)
    await z.eval("global:unregister_name(ours)")
    await all_know("ours", None, [a, z], [node])
    assert_quiet(a, z)


async def test_a_name_moves_and_goes(cluster: tuple[Erl, Erl, Node], start_witness: StartWitness) -> None:
    a, z, node = cluster
    names = node.global_names
    ours, theirs = await start_witness(), await started(z)
    assert await names.register("shop", ours.pid)
    await a.eval(f"yes = global:re_register_name(shop, {erl_pid(theirs)})")
    await all_know("shop", theirs, [a, z], [node])
    assert await names.re_register("shop", ours.pid, "notify_all_name")
    await all_know("shop", ours.pid, [a, z], [node])
    await names.unregister("shop")
    await all_know("shop", None, [a, z], [node])
    assert await names.register("shop", ours.pid)
    node.exit(ours.pid, Atom("kill"))
    await all_know("shop", None, [a, z], [node])
    assert await names.register("shop", theirs), "a process of another node, registered here"
    await all_know("shop", theirs, [a, z], [node])
    await node.send(theirs, Atom("stop"))
    await all_know("shop", None, [a, z], [node])
    assert_quiet(a, z)


@pytest.mark.parametrize("name", ["{shop, 1}", '"shop"', '<<"shop">>', "#{a => 1}", "1.0"])
async def test_a_name_is_any_term(name: str, start_erl: StartErl, start_witness: StartWitness) -> None:
    erl, ours = await start_erl(A), await start_witness()
    node = ours_of(ours)
    await node.connect(A)
    await node.global_names.sync()
    term = await erl.eval(name)
    assert await node.global_names.register(term, ours.pid)
    assert await there(erl, name) == ours.pid
    assert await erl.eval("global:whereis_name(1)") == Atom("undefined")
    await erl.eval(f"global:unregister_name({name})")
    assert node.global_names.names() == []


async def test_each_node_is_killed_and_comes_back(
    start_erl: StartErl, epmd_port: int, tmp_path: Path
) -> None:
    erls = {A: await start_erl(A), Z: await start_erl(Z)}
    await erls[A].eval(f"net_kernel:connect_node('{Z}')")
    for turn in range(2):
        async with member(tmp_path) as process:
            for name, erl in erls.items():
                await known_there(erl, "of_py")
                await erl.eval(f"yes = global:re_register_name({short(name)}, {erl_pid(await started(erl))})")
            killed = (A, Z)[turn]
            await erls[killed].kill()
            other = erls[Z if killed == A else A]
            await until(partial(unknown_there, other, short(killed)))
            assert await other.eval("global:trans({r, self()}, fun() -> done end)") == Atom("done")
            erls[killed] = await start_erl(killed)
            await erls[killed].eval(f"net_kernel:connect_node('{other.name}')")
            await erls[killed].eval("global:sync()")
            await known_there(erls[killed], "of_py")
            for erl in erls.values():
                await until(partial(connected_to, erl, 2))
            os.kill(process.pid, signal.SIGKILL)
        for erl in erls.values():
            await until(partial(unknown_there, erl, "of_py"))
    for erl in erls.values():
        assert await erl.eval("global:trans({r, self()}, fun() -> length(nodes()) end)") == 1
        # Whoever notices a killed node first may have others leave it; nobody is asked to leave the living.
        assert not [line for line in erl.output if "disconnected node" in line]


@asynccontextmanager
async def member(folder: Path) -> AsyncIterator[anyio.abc.Process]:
    """Our node in a program of its own, so that it can be killed."""
    script = folder / "member.py"
    script.write_text(MEMBER)
    async with await anyio.open_process([sys.executable, str(script)], stderr=None) as process:
        assert process.stdout is not None
        with anyio.fail_after(2 * PATIENCE):
            assert b"ready" in await process.stdout.receive()
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()


async def test_names_are_changed_from_all_sides_at_once(cluster: tuple[Erl, Erl, Node]) -> None:
    a, z, node = cluster
    names = node.global_names

    async def change_there(erl: Erl) -> None:
        kept = f"{{kept, '{erl.name}', N}}"
        # Each name is fought for, and one of each is kept.
        await erl.eval(
            "[begin P = spawn(fun() -> receive stop -> ok end end), global:register_name({fought_for, N}, P),"
            f" global:unregister_name({{fought_for, N}}), yes = global:register_name({kept}, P) end"
            " || N <- [1, 2, 3]], ok",
            60.0,
        )

    async def change_here() -> None:
        for number in (1, 2, 3):
            pid = node.spawn(forever)
            await names.register((Atom("fought_for"), number), pid)
            await names.unregister((Atom("fought_for"), number))
            assert await names.register((Atom("kept"), Atom(PY), number), pid)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(change_there, a)
        tasks.start_soon(change_there, z)
        tasks.start_soon(change_here)
    kept = [(Atom("kept"), Atom(name), number) for name in (A, PY, Z) for number in (1, 2, 3)]
    assert sorted(map(repr, names.names())) == sorted(map(repr, kept))
    for erl in (a, z):
        assert await erl.eval("lists:sort(global:registered_names())") == kept
    assert_quiet(a, z)


async def test_nodes_that_meet_all_at_once_agree(start_erl: StartErl, node: Node) -> None:
    erls = [await start_erl(name) for name in (A, B, Z)]
    async with Node(f"q@{HOST}", COOKIE) as second:
        nodes = [node, second]
        for erl in erls:
            await erl.eval(f"yes = global:register_name('{erl.name}', {erl_pid(await started(erl))})")
        for each in nodes:
            assert await each.global_names.register(each.name, each.spawn(forever))
        async with anyio.create_task_group() as tasks:
            for erl in erls:
                tasks.start_soon(erl.eval, f"net_kernel:connect_node('{PY}')")
            tasks.start_soon(second.connect, A)
            tasks.start_soon(node.connect, second.name)
        await meshed(erls, nodes)
        names = sorted([*(erl.name for erl in erls), node.name, second.name])
        for each in nodes:
            assert sorted(str(name) for name in each.global_names.names()) == names
        for erl in erls:
            assert await erl.eval("lists:sort(global:registered_names())") == [Atom(name) for name in names]
        assert_quiet(*erls)


# Conflicts


KEPT = {"random_exit_name": "smaller", "random_notify_name": "smaller", "notify_all_name": None}


@pytest.mark.parametrize("method", KEPT)
@pytest.mark.parametrize("peer", [A, Z])
async def test_two_clusters_with_the_same_name_join(
    peer: str, method: str, start_erl: StartErl, start_witness: StartWitness
) -> None:
    erl, ours = await start_erl(peer), await start_witness()
    node = ours_of(ours)
    theirs = await erl.eval("self()")
    assert isinstance(theirs, Pid)
    if method == "random_exit_name":
        theirs = await started(erl)
    assert await node.global_names.register("shop", ours.pid, method)  # type: ignore[arg-type]  # a key of KEPT
    await erl.eval(f"yes = global:register_name(shop, {erl_pid(theirs)}, fun global:{method}/3)")
    await erl.eval(f"Theirs = {erl_pid(theirs)}")
    await node.connect(peer)
    await node.global_names.sync()
    smaller, larger = (theirs, ours.pid) if peer < PY else (ours.pid, theirs)
    await all_know("shop", smaller if KEPT[method] else None, [erl], [node])
    if method == "random_exit_name":
        assert (await node.monitor(larger)).reason in (Atom("noproc"), Atom("killed"))
    else:
        await assert_told(method, erl, theirs, ours, larger)
    assert_quiet(erl)


async def assert_told(method: str, erl: Erl, theirs: Pid, ours: Witnessed, larger: Pid) -> None:
    """Those who lose the name have been told so."""
    conflict, shop = Atom("global_name_conflict"), Atom("shop")
    if method == "notify_all_name":
        assert await ours.next() == (conflict, shop, theirs)
        told = await erl.eval("receive {global_name_conflict, shop, Other} -> Other after 5000 -> none end")
        assert told == ours.pid
    elif larger == ours.pid:
        assert await ours.next() == (conflict, shop)
    else:
        assert await erl.eval("receive {global_name_conflict, shop} -> told after 5000 -> no end") == Atom(
            "told"
        )


@pytest.mark.parametrize("peer", [A, Z])
async def test_an_own_function_settles_a_conflict(
    peer: str, start_erl: StartErl, start_witness: StartWitness
) -> None:
    erl, ours = await start_erl(peer), await start_witness()
    node = ours_of(ours)
    asked: list[Term] = []

    async def the_other(name: Term, pid1: Pid, pid2: Pid) -> Pid | None:
        await anyio.lowlevel.checkpoint()
        asked.append(name)
        return pid1 if pid1 != ours.pid else pid2

    theirs = await started(erl)
    assert await node.global_names.register("shop", ours.pid, the_other)
    # Of the two functions the one at the smaller node is asked: there a closure of a module of this node.
    fun = "fun(shop, P1, P2) -> case node(P1) =:= node() of true -> P2; false -> P1 end end"
    await erl.eval(f"yes = global:register_name(shop, {erl_pid(theirs)}, {fun})")
    await node.connect(peer)
    await node.global_names.sync()
    await all_know("shop", ours.pid if peer < PY else theirs, [erl], [node])
    assert asked == ([] if peer < PY else [Atom("shop")])
    assert_quiet(erl)


async def test_an_erlang_node_has_our_function_settle_a_conflict(
    start_erl: StartErl, start_witness: StartWitness
) -> None:
    a, z, ours = await start_erl(A), await start_erl(Z), await start_witness()
    node = ours_of(ours)
    asked: list[Term] = []

    def nobody(name: Term, pid1: Pid, pid2: Pid) -> None:
        asked.append((name, {pid1, pid2}))

    await node.connect(A)
    await meshed([a], [node])
    assert await node.global_names.register("shop", ours.pid, nobody)
    theirs = await started(z)
    await z.eval(f"yes = global:register_name(shop, {erl_pid(theirs)})")
    # `a` meets `z` and is the smaller one; the process of its partition, and so the function, is ours.
    await a.eval(f"net_kernel:connect_node('{Z}')")
    await meshed([a, z], [node])
    await all_know("shop", None, [a, z], [node])
    assert asked == [(Atom("shop"), {ours.pid, theirs})]
    assert_quiet(a, z)


# Locks


async def test_a_lock_is_had_by_one_of_both_sides(cluster: tuple[Erl, Erl, Node]) -> None:
    a, z, node = cluster
    names = node.global_names
    lock = (Atom("resource"), Atom("py"))
    assert await names.set_lock(lock)
    assert await names.set_lock(lock, retries=0), "the same requester may, once more"
    for erl in (a, z):
        assert await erl.eval("global:set_lock({resource, self()}, [node() | nodes()], 0)") is False
    await names.del_lock(lock)
    assert await a.eval("global:set_lock({resource, self()}, [node() | nodes()], 0)") is True
    assert not await names.set_lock(lock, retries=0)
    assert await names.trans(lock, lambda: 1, retries=0) == Atom("aborted")
    await a.eval("global:del_lock({resource, self()})")
    assert await names.trans(lock, lambda: 1, [A], retries=0) == 1
    assert_quiet(a, z)


async def test_transactions_of_both_sides_exclude_each_other(
    cluster: tuple[Erl, Erl, Node], start_witness: StartWitness
) -> None:
    a, z, node = cluster
    ours = await start_witness("ours")
    await a.eval(
        "Counter = spawn(fun() -> register(counter, self()), (fun L(N) -> receive"
        " {'$gen_call', F, get} -> gen_server:reply(F, N), L(N);"
        " {'$gen_call', F, {put, M}} -> gen_server:reply(F, ok), L(M) end end)(0) end), ok"
    )
    add = (
        f"[ok = global:trans({{count, self()}}, fun() -> N = gen_server:call({{counter, '{A}'}}, get),"
        f" gen_server:call({{counter, '{A}'}}, {{put, N + 1}}) end) || _ <- lists:seq(1, 3)], done"
    )
    counter = RemoteName("counter", A)

    async def add_ours() -> None:
        for _ in range(3):
            assert await node.global_names.trans((Atom("count"), ours.pid), add_one) == Atom("ok")

    async def add_one() -> Term:
        reply: Term = await node.call(counter, (Atom("put"), await node.call(counter, Atom("get")) + 1))
        return reply

    async with anyio.create_task_group() as tasks:
        for erl in (a, z):
            tasks.start_soon(erl.eval, add, 60.0)
        tasks.start_soon(add_ours)
    assert await node.call(counter, Atom("get")) == 9
    assert_quiet(a, z)


async def test_a_lock_goes_with_the_process_that_has_it(
    cluster: tuple[Erl, Erl, Node], start_witness: StartWitness
) -> None:
    a, z, node = cluster
    ours = await start_witness()

    async def lock_and_wait(process: Process) -> None:
        assert await node.global_names.by(process).set_lock((Atom("resource"), process.pid))
        process.send(ours.pid, Atom("locked"))
        await forever(process)

    holder = node.spawn(lock_and_wait)
    assert await ours.next() == Atom("locked")
    assert await a.eval("global:set_lock({resource, self()}, [node() | nodes()], 0)") is False
    node.exit(holder, Atom("kill"))
    assert await z.eval("global:trans({resource, self()}, fun() -> mine end)") == Atom("mine")
    assert_quiet(a, z)


def short(node: str) -> str:
    return node.partition("@")[0]


def ours_of(witness: object) -> Node:
    node = getattr(getattr(witness, "handle", None), "_runtime", None)
    assert isinstance(node, Node)
    return node
