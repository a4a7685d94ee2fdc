"""Requests and casts between an Erlang and a Python process, and what a caller learns without an answer."""

from typing import Any

import pytest
from ergo_node import Node
from erlang_peer import Erl, StartErl
from etf_codec import Atom, Pid, Term
from otp_behaviors import (
    NO_REPLY,
    CallTimeout,
    ExitError,
    GenServer,
    NoConnection,
    NoProcess,
    RemoteName,
    Stop,
)
from witness import StartWitness

pytestmark = pytest.mark.anyio

PY, ERL = "py@127.0.0.1", "erl@127.0.0.1"
COUNTER = f"{{counter, '{PY}'}}"


class Counter(GenServer):
    """Its callbacks show each way to answer."""

    def init(self, start: int = 0) -> None:
        self.count = start
        self.waiting: Any = None

    async def handle_call(self, request: Any, caller: Any) -> Any:
        match request:
            case Atom("get"):
                return self.count
            case Atom("pid"):
                return self.pid
            case (Atom("stop"), reason):
                raise Stop(reason, reply=Atom("stopping"))
            case (Atom("crash"), reason):
                raise Stop(reason)
            case Atom("later"):
                self.send(self.pid, (Atom("answer"), caller))
            case _:
                raise ValueError("bad request")
        return NO_REPLY

    def handle_cast(self, message: Any) -> None:
        self.count += message

    def handle_info(self, message: Any) -> None:
        match message:
            case (Atom("answer"), caller):
                self.reply(caller, Atom("at_last"))
            case int(number):
                self.count += number


async def remote_echo(erl: Erl) -> Pid:
    pid = await erl.eval("{ok, Echo} = echo_server:start(echo), Echo")
    assert isinstance(pid, Pid)
    return pid


async def test_erlang_calls_us_by_name_and_by_pid(start_erl: StartErl, node: Node) -> None:
    counter = await node.start(Counter, 41, name="counter")
    erl = await start_erl(ERL)
    assert await erl.eval(f"gen_server:call({COUNTER}, get)") == 41
    assert await erl.eval(f"Pid = gen_server:call({COUNTER}, pid)") == counter.pid
    assert await erl.eval("gen_server:call(Pid, get)") == 41
    assert await erl.eval(f"gen_server:call({COUNTER}, later)") == Atom("at_last")


async def test_erlang_casts_and_sends_by_name_and_by_pid(start_erl: StartErl, node: Node) -> None:
    await node.start(Counter, 0, name="counter")
    erl = await start_erl(ERL)
    await erl.eval(f"Pid = gen_server:call({COUNTER}, pid)")
    await erl.eval(f"gen_server:cast({COUNTER}, 1), gen_server:cast(Pid, 10)")
    await erl.eval(f"{COUNTER} ! 100, Pid ! 1000")
    assert await erl.eval("gen_server:call(Pid, get)") == 1111


async def test_erlang_calls_many_nodes_at_once(start_erl: StartErl, node: Node) -> None:
    await node.start(Counter, 7, name="counter")
    erl = await start_erl(ERL)
    answers = await erl.eval(f"gen_server:multi_call(['{PY}', node()], counter, get, 5000)")
    assert answers == ([(Atom(PY), 7)], [Atom(ERL)])


async def test_erlang_learns_why_there_is_no_answer(start_erl: StartErl, node: Node) -> None:
    await node.start(Counter, 0, name="counter")
    erl = await start_erl(ERL)
    tried = "try gen_server:call({0}, {1}, {2}) catch exit:{{Reason, {{gen_server, call, _}}}} -> Reason end"
    assert await erl.eval(f"{{counter, Node}} = {COUNTER}") == (Atom("counter"), Atom(PY))
    assert await erl.text(tried.format("{nobody, Node}", "get", 5000)) == "noproc"
    assert await erl.text(tried.format("{counter, Node}", "{crash, boom}", 5000)) == "boom"


async def test_erlang_stops_us_by_a_call(start_erl: StartErl, node: Node) -> None:
    counter = await node.start(Counter, 0, name="counter")
    watch = counter.monitor()
    erl = await start_erl(ERL)
    assert await erl.eval(f"gen_server:call({COUNTER}, {{stop, {{shutdown, why}}}})") == Atom("stopping")
    assert (await watch).reason == (Atom("shutdown"), Atom("why"))


async def test_an_exception_here_is_a_reason_there(start_erl: StartErl, node: Node) -> None:
    await node.start(Counter, 0, name="counter")
    erl = await start_erl(ERL)
    reason = await erl.text(f"try gen_server:call({COUNTER}, bad) catch exit:{{R, _}} -> R end")
    assert "bad request" in reason
    assert "handle_call" in reason


async def test_we_call_erlang_by_name_and_by_pid(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    pid = await remote_echo(erl)
    assert await node.call(RemoteName("echo", ERL), Atom("hi")) == (Atom("echo"), Atom("hi"))
    assert await node.call(pid, [b"hi", 2.5]) == (Atom("echo"), [b"hi", 2.5])


async def test_we_cast_and_send_to_erlang_by_name_and_by_pid(
    start_erl: StartErl, start_witness: StartWitness, node: Node
) -> None:
    erl = await start_erl(ERL)
    pid = await remote_echo(erl)
    name = RemoteName("echo", ERL)
    # One process, so that the order is defined.
    witness = await start_witness()
    await witness.do(lambda me: me.cast(name, 1))
    await witness.do(lambda me: me.cast(pid, 2))
    await witness.do(lambda me: me.send(name, 3))
    await witness.do(lambda me: me.send(pid, 4))
    cast, info = Atom("cast"), Atom("info")
    expected: Term = [(cast, 1), (cast, 2), (info, 3), (info, 4)]

    # The call comes from another process and may overtake: ask until all four are there.
    while (seen := await node.call(name, Atom("taken"))) != expected:
        assert len(seen) < 4, seen


async def test_a_process_of_ours_calls_erlang(
    start_erl: StartErl, start_witness: StartWitness, node: Node
) -> None:
    await remote_echo(await start_erl(ERL))
    witness = await start_witness()

    async def ask(process: Any) -> None:
        process.send(witness.pid, await process.call(RemoteName("echo", ERL), Atom("hi")))

    node.spawn(ask)
    assert await witness.next() == (Atom("echo"), Atom("hi"))


async def test_we_learn_why_there_is_no_answer(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    name = RemoteName("echo", ERL)
    with pytest.raises(NoProcess):
        await node.call(name, Atom("hi"))
    await remote_echo(erl)
    with pytest.raises(CallTimeout):
        await node.call(name, Atom("silence"), timeout=0.1)
    with pytest.raises(ExitError) as crash:
        await node.call(name, (Atom("crash"), Atom("boom")))
    assert "boom" in repr(crash.value.reason)
    with pytest.raises(NoConnection):
        await node.call(RemoteName("echo", "nobody@127.0.0.1"), Atom("hi"))


async def test_a_call_ends_when_its_node_dies(
    start_erl: StartErl, start_witness: StartWitness, node: Node
) -> None:
    erl = await start_erl(ERL)
    await remote_echo(erl)
    witness = await start_witness()

    async def ask(process: Any) -> None:
        try:
            await process.call(RemoteName("echo", ERL), Atom("silence"), timeout=None)
        except NoConnection as error:
            process.send(witness.pid, error.reason)

    node.spawn(ask)
    # A second call that is answered shows that the first has been sent.
    assert await node.call(RemoteName("echo", ERL), Atom("hi"))
    await erl.kill()
    reason = await witness.next()
    assert "nodedown" in repr(reason) or "noconnection" in repr(reason)
