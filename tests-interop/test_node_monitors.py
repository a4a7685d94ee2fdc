"""Monitors between an Erlang and a Python process: one DOWN each, with OTP's reason."""

import sys
from subprocess import PIPE

import anyio
import pytest
from ergo_node import Node
from erlang_peer import Erl, StartErl
from etf_codec import Atom, Pid
from otp_behaviors import Down, Process, RemoteName
from witness import StartWitness, Witnessed

pytestmark = pytest.mark.anyio

PY, ERL = "py@127.0.0.1", "erl@127.0.0.1"
NOCONNECTION = Atom("noconnection")

SLEEPER = (
    "Sleeper = spawn(fun() -> register(sleeper, self()), receive {exit, Reason} -> exit(Reason) end end)"
)

# Longer than a second DOWN would take to come on the loopback interface.
SETTLE = 0.2


async def sleeper(erl: Erl) -> Pid:
    pid = await erl.eval(SLEEPER)
    assert isinstance(pid, Pid)
    return pid


async def mortal(process: Process) -> None:
    """Ends as it is told to."""
    reason = await process.receive()
    process.exit(process.pid, reason)
    await process.receive()


async def assert_silence(witness: Witnessed) -> None:
    with anyio.move_on_after(SETTLE):
        message = await witness.next()
        pytest.fail(f"a second message: {message}")


async def test_we_monitor_a_pid_and_a_name(
    start_erl: StartErl, start_witness: StartWitness, node: Node
) -> None:
    erl = await start_erl(ERL)
    pid = await sleeper(erl)
    witness = await start_witness()
    by_pid = await witness.do(lambda me: me.monitor(pid))
    by_name = await witness.do(lambda me: me.monitor(RemoteName("sleeper", ERL)))
    await node.send(pid, (Atom("exit"), Atom("boom")))
    downs = [await witness.next(), await witness.next()]
    assert all(isinstance(down, Down) for down in downs)
    assert Down(by_pid, pid, Atom("boom")) in downs
    assert Down(by_name, (Atom("sleeper"), Atom(ERL)), Atom("boom")) in downs
    await assert_silence(witness)


async def test_we_monitor_who_is_not_there(
    start_erl: StartErl, start_witness: StartWitness, node: Node
) -> None:
    erl = await start_erl(ERL)
    pid = await erl.eval(
        "P = spawn(fun() -> ok end), M = monitor(process, P), receive {'DOWN', M, _, _, _} -> P end"
    )
    assert isinstance(pid, Pid)
    witness = await start_witness()
    ref = await witness.do(lambda me: me.monitor(RemoteName("nobody", ERL)))
    assert await witness.next() == Down(ref, (Atom("nobody"), Atom(ERL)), Atom("noproc"))
    ref = await witness.do(lambda me: me.monitor(pid))
    assert await witness.next() == Down(ref, pid, Atom("noproc"))
    ref = await witness.do(lambda me: me.monitor(RemoteName("any", "nobody@127.0.0.1")))
    assert await witness.next() == Down(ref, (Atom("any"), Atom("nobody@127.0.0.1")), NOCONNECTION)


async def test_erlang_monitors_a_pid_and_a_name(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    pid = node.spawn(mortal, name="mortal")
    await erl.eval(f"ByName = monitor(process, {{mortal, '{PY}'}})")
    evaluator = await erl.eval("self()")
    assert isinstance(evaluator, Pid)
    await node.send(evaluator, pid)
    await erl.eval("receive Pid when is_pid(Pid) -> ByPid = monitor(process, Pid) end")
    await erl.eval("Pid ! {because, 1}")
    because = (Atom("because"), 1)
    by_pid = "receive {'DOWN', ByPid, process, PidWho, PidReason} -> {PidWho, PidReason} end"
    assert await erl.eval(by_pid) == (pid, because)
    by_name = "receive {'DOWN', ByName, process, NameWho, NameReason} -> {NameWho, NameReason} end"
    assert await erl.eval(by_name) == ((Atom("mortal"), Atom(PY)), because)


async def test_erlang_monitors_who_is_not_there(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    await erl.eval(f"M = monitor(process, {{nobody, '{PY}'}})")
    assert await erl.text("receive {'DOWN', M, process, _, Reason} -> Reason end") == "noproc"
    pid = node.spawn(mortal)
    watch = node.monitor(pid)
    await node.send(pid, Atom("kill"))
    assert (await watch).reason == Atom("killed")
    evaluator = await erl.eval("self()")
    assert isinstance(evaluator, Pid)
    await node.send(evaluator, pid)
    await erl.eval("receive Pid when is_pid(Pid) -> Late = monitor(process, Pid) end")
    assert await erl.text("receive {'DOWN', Late, process, Pid, Why} -> Why end") == "noproc"


async def test_after_demonitor_nothing_comes(
    start_erl: StartErl, start_witness: StartWitness, node: Node
) -> None:
    erl = await start_erl(ERL)
    pid = await sleeper(erl)
    witness = await start_witness()
    ref = await witness.do(lambda me: me.monitor(pid))
    assert await witness.do(lambda me: me.demonitor(ref))
    await node.send(pid, (Atom("exit"), Atom("boom")))
    await assert_silence(witness)

    ours = node.spawn(mortal, name="mortal")
    await erl.eval(f"M = monitor(process, {{mortal, '{PY}'}}), true = demonitor(M)")
    await erl.eval(f"M2 = monitor(process, {{mortal, '{PY}'}})")
    await node.send(ours, Atom("boom"))
    assert await erl.text("receive {'DOWN', R, _, _, _} -> R =:= M2 end") == "true"
    assert (
        await erl.text("receive {'DOWN', _, _, _, _} = Second -> Second after 200 -> silence end")
        == "silence"
    )


async def test_a_killed_erlang_node_is_down_once(
    start_erl: StartErl, start_witness: StartWitness, node: Node
) -> None:
    erl = await start_erl(ERL)
    pid = await sleeper(erl)
    witness = await start_witness()
    by_pid = await witness.do(lambda me: me.monitor(pid))
    by_name = await witness.do(lambda me: me.monitor(RemoteName("sleeper", ERL)))
    assert await node.ping(ERL)
    await erl.kill()
    downs = [await witness.next(), await witness.next()]
    assert Down(by_pid, pid, NOCONNECTION) in downs
    assert Down(by_name, (Atom("sleeper"), Atom(ERL)), NOCONNECTION) in downs
    await assert_silence(witness)


PROGRAM = """
import anyio
from ergo_node import Node
from otp_behaviors import GenServer

class Counter(GenServer):
    def handle_call(self, request, caller):
        return 42

async def main():
    async with Node("py@127.0.0.1", cookie="secret") as node:
        await node.start(Counter, name="counter")
        print("ready", flush=True)
        await anyio.sleep_forever()

anyio.run(main, backend="{backend}")
"""


async def test_our_program_is_killed_and_erlang_gets_one_down(
    start_erl: StartErl, anyio_backend_name: str
) -> None:
    erl = await start_erl(ERL)
    command = [sys.executable, "-c", PROGRAM.replace("{backend}", anyio_backend_name)]
    async with await anyio.open_process(command, stdin=PIPE, stdout=PIPE, stderr=None) as program:
        try:
            assert program.stdout is not None
            with anyio.fail_after(20):
                assert (await program.stdout.receive()).startswith(b"ready")
            assert await erl.eval(f"gen_server:call({{counter, '{PY}'}}, get)") == 42
            await erl.eval(f"M = monitor(process, {{counter, '{PY}'}})")
            assert await erl.eval(f"gen_server:call({{counter, '{PY}'}}, get)") == 42
        finally:
            program.kill()
    down = "receive {'DOWN', M, process, Who, Reason} -> {Who, Reason} end"
    assert await erl.eval(down) == ((Atom("counter"), Atom(PY)), NOCONNECTION)
    assert (
        await erl.text("receive {'DOWN', _, _, _, _} = Second -> Second after 200 -> silence end")
        == "silence"
    )
