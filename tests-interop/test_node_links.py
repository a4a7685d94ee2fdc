"""Links and exit signals between an Erlang and a Python process."""

import pytest
from ergo_node import Node
from erlang_peer import Erl, StartErl
from etf_codec import Atom, Pid
from otp_behaviors import Exit, Process
from witness import StartWitness

pytestmark = pytest.mark.anyio

ERL = "erl@127.0.0.1"
BOOM = Atom("boom")

# A process that says `linked` by being asked, links with a pid it is sent, and ends with a reason it is sent.
PARTNER = """
Partner = spawn(fun Loop() ->
    receive
        {link, Pid, From} -> link(Pid), From ! linked, Loop();
        {unlink, Pid, From} -> unlink(Pid), From ! unlinked, Loop();
        {exit, Reason} -> exit(Reason)
    end
end)
"""


async def partner(erl: Erl) -> Pid:
    pid = await erl.eval(PARTNER)
    assert isinstance(pid, Pid)
    return pid


async def doomed(process: Process) -> None:
    """Ends when somebody makes it."""
    await process.receive()


async def test_erlang_links_and_we_exit(start_erl: StartErl, start_witness: StartWitness, node: Node) -> None:
    witness = await start_witness(name="witness")
    erl = await start_erl(ERL)
    await erl.eval("{witness, 'py@127.0.0.1'} ! self()")
    evaluator = await witness.next()
    assert isinstance(evaluator, Pid)
    await witness.do(lambda me: me.send(evaluator, me.pid))
    await erl.eval("receive Pid when is_pid(Pid) -> link(Pid) end")
    # The link travels before this question, so it is in place when the answer comes.
    await erl.eval("gen_server:call(Pid, hi)")
    node.exit(witness.pid, Atom("kill"))
    assert await erl.text("receive {'EXIT', Pid, Reason} -> Reason end") == "killed"


async def test_erlang_links_and_exits(start_erl: StartErl, start_witness: StartWitness, node: Node) -> None:
    witness = await start_witness(name="witness")
    erl = await start_erl(ERL)
    pid = await partner(erl)
    await erl.eval("{echo, _} = gen_server:call({witness, 'py@127.0.0.1'}, hi)")
    await witness.do(lambda me: me.send(pid, (Atom("link"), me.pid, me.pid)))
    assert await witness.next() == Atom("linked")
    await erl.eval("Partner ! {exit, {because, 1}}")
    message = await witness.next()
    assert message == Exit(pid, (Atom("because"), 1))
    assert isinstance(message, Exit)


async def test_we_link_and_erlang_exits(start_erl: StartErl, start_witness: StartWitness, node: Node) -> None:
    witness = await start_witness()
    erl = await start_erl(ERL)
    pid = await partner(erl)
    await witness.do(lambda me: me.link(pid))
    # The signals of one process arrive in their order: first the link, then the request to end.
    await witness.do(lambda me: me.send(pid, (Atom("exit"), BOOM)))
    assert await witness.next() == Exit(pid, BOOM)


async def test_we_link_and_exit(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    pid = await partner(erl)
    await erl.eval("Watched = monitor(process, Partner)")

    async def linked(process: Process) -> None:
        process.link(pid)
        process.exit(process.pid, BOOM)
        await process.receive()

    node.spawn(linked)
    assert await erl.text("receive {'DOWN', Watched, process, Partner, Reason} -> Reason end") == "boom"


async def test_who_does_not_trap_dies_along(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    pid = await partner(erl)

    async def linked(process: Process) -> None:
        process.link(pid)
        process.send(pid, (Atom("exit"), BOOM))
        await process.receive()

    watch = node.monitor(node.spawn(linked))
    assert (await watch).reason == BOOM


async def test_a_normal_exit_harms_nobody(
    start_erl: StartErl, node: Node, start_witness: StartWitness
) -> None:
    erl = await start_erl(ERL)
    pid = await partner(erl)
    witness = await start_witness()

    async def linked(process: Process) -> None:
        process.link(pid)
        await process.receive()
        process.send(pid, (Atom("exit"), Atom("normal")))
        process.send(witness.pid, await process.receive())

    await erl.eval("Watched = monitor(process, Partner)")
    survivor = node.spawn(linked)
    await node.send(survivor, Atom("go"))
    await erl.eval("receive {'DOWN', Watched, process, _, normal} -> ok end")
    # The exit signal has been sent to us before this answer, by the same connection.
    assert await node.ping(ERL)
    await node.send(survivor, Atom("still_here"))
    assert await witness.next() == Atom("still_here")


async def test_a_link_to_nobody(start_erl: StartErl, start_witness: StartWitness, node: Node) -> None:
    witness = await start_witness()
    erl = await start_erl(ERL)
    pid = await partner(erl)
    await erl.eval(
        "M = monitor(process, Partner), exit(Partner, kill), receive {'DOWN', M, _, _, _} -> ok end"
    )
    await witness.do(lambda me: me.link(pid))
    assert await witness.next() == Exit(pid, Atom("noproc"))

    gone = node.spawn(doomed, name="gone")
    watch = node.monitor(gone)
    node.exit(gone, Atom("kill"))
    await watch
    await node.send(await evaluator(erl), gone)
    assert await erl.text(
        "receive Gone when is_pid(Gone) -> link(Gone) end, receive {'EXIT', Gone, R} -> R end"
    ) == ("noproc")


async def evaluator(erl: Erl) -> Pid:
    pid = await erl.eval("self()")
    assert isinstance(pid, Pid)
    return pid


async def test_after_unlink_nothing_comes(
    start_erl: StartErl, start_witness: StartWitness, node: Node
) -> None:
    witness = await start_witness()
    erl = await start_erl(ERL)
    pid = await partner(erl)
    await witness.do(lambda me: me.link(pid))
    await witness.do(lambda me: me.unlink(pid))
    ref = await witness.do(lambda me: me.monitor(pid))
    await witness.do(lambda me: me.send(pid, (Atom("exit"), BOOM)))
    down = await witness.next()
    assert isinstance(down, tuple)
    assert down[1] == ref
    assert witness.unread() == 0

    pid = await partner(await start_erl("other@127.0.0.1"))
    await witness.do(lambda me: me.send(pid, (Atom("link"), me.pid, me.pid)))
    assert await witness.next() == Atom("linked")
    await witness.do(lambda me: me.send(pid, (Atom("unlink"), me.pid, me.pid)))
    assert await witness.next() == Atom("unlinked")
    await witness.do(lambda me: me.monitor(pid))
    await witness.do(lambda me: me.exit(pid, BOOM))
    assert "DOWN" in repr(await witness.next())
    assert witness.unread() == 0


@pytest.mark.parametrize(("reason", "seen"), [("kill", "killed"), ("boom", "boom")])
async def test_exit_signals_by_hand(reason: str, seen: str, start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    ours = node.spawn(doomed)
    watch = node.monitor(ours)
    await node.send(await evaluator(erl), ours)
    await erl.eval(f"receive Ours when is_pid(Ours) -> exit(Ours, {reason}) end")
    assert (await watch).reason == Atom(seen)

    theirs = await partner(erl)
    await erl.eval("Watched = monitor(process, Partner)")
    node.exit(theirs, Atom(reason))
    assert await erl.text("receive {'DOWN', Watched, process, _, Reason} -> Reason end") == seen


async def test_a_trapper_gets_exit_signals_as_messages(
    start_erl: StartErl, start_witness: StartWitness, node: Node
) -> None:
    witness = await start_witness(name="witness")
    erl = await start_erl(ERL)
    me = await evaluator(erl)
    await node.send(me, witness.pid)
    await erl.eval("receive Pid when is_pid(Pid) -> exit(Pid, boom) end")
    assert await witness.next() == Exit(me, BOOM)


async def test_a_killed_node_breaks_its_links_once(
    start_erl: StartErl, start_witness: StartWitness, node: Node
) -> None:
    witness = await start_witness()
    erl = await start_erl(ERL)
    pid = await partner(erl)
    await witness.do(lambda me: me.link(pid))
    assert await node.ping(ERL)
    await erl.kill()
    assert await witness.next() == Exit(pid, Atom("noconnection"))
    # Once more through the connection's end: a link to a lost node breaks at once, and again only once.
    await witness.do(lambda me: me.link(pid))
    assert await witness.next() == Exit(pid, Atom("noconnection"))
    assert witness.unread() == 0
