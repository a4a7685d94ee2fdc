"""G5 beside Erlang, both ways: what becomes of a call when time runs out, or one of the two, or its node.

Each side ends with a reason that OTP gives, late replies are in no mailbox, and the next call is answered.
`packages/otp-behaviors/tests/test_faults.py` and `test_gen_call.py` have the same inside one node.
"""

from typing import Any

import anyio
import pytest
from ergo_node import Node
from erlang_peer import Erl, StartErl
from etf_codec import Atom, Term
from invariants import Invariants, eventually, holdings
from otp_behaviors import (
    NO_REPLY,
    Caller,
    CallTimeout,
    ExitError,
    GenServer,
    NoConnection,
    NoProcess,
    Process,
    RemoteName,
)

pytestmark = pytest.mark.anyio

HOST, COOKIE = "127.0.0.1", "secret"
PY, ERL = f"py@{HOST}", f"erl@{HOST}"
SLOW = f"{{slow, '{PY}'}}"
NOTHING = Atom("nothing")
MAIL = "receive Any -> {mail, Any} after 50 -> nothing end"
CALL = "catch gen_server:call({}, {}, {})"

SERVER = """
    Server = spawn(fun Loop() -> receive
        {'$gen_call', From, wait} -> receive go -> gen_server:reply(From, late) end, Loop();
        {'$gen_call', From, Term} -> gen_server:reply(From, {echo, Term}), Loop()
    end end), register(server, Server)
"""


class Slow(GenServer):
    """Answers at once, or when told to."""

    def init(self) -> None:
        self.waiting: list[Caller] = []

    def handle_call(self, request: Any, caller: Caller) -> Term:
        """`wait` waits for a cast, `stop` ends the server amid the call."""
        if request == Atom("wait"):
            self.waiting.append(caller)
            return NO_REPLY
        if request == Atom("stop"):
            raise ExitError(Atom("stopped"))
        return (Atom("echo"), request)

    def handle_cast(self, message: Any) -> None:
        """Answer all who wait."""
        for caller in self.waiting:
            self.reply(caller, Atom("late"))
        self.waiting.clear()


async def test_erlang_calls_and_time_runs_out(start_erl: StartErl, invariants: Invariants) -> None:
    erl = await start_erl(ERL)
    async with Node(PY, COOKIE) as node:
        slow = await node.start(Slow, name="slow")
        invariants.watch(node)
        reason = await erl.text("element(1, element(2, " + CALL.format(SLOW, "wait", 50) + "))")
        assert reason == "timeout"
        await slow.cast(None)  # the late reply, and after it one that is not
        assert await erl.eval(f"gen_server:call({SLOW}, hi)") == (Atom("echo"), Atom("hi"))
        assert await erl.eval(MAIL) == NOTHING
        await node.disconnect(ERL)
        await invariants.settled()


async def test_erlang_calls_and_dies(start_erl: StartErl, invariants: Invariants) -> None:
    """The caller alone, then its whole node."""
    erl = await start_erl(ERL)
    async with Node(PY, COOKIE) as node:
        slow = await node.start(Slow, name="slow")
        invariants.watch(node)
        held = holdings(node)
        await erl.eval(f"Caller = spawn(fun() -> gen_server:call({SLOW}, wait) end)")
        await eventually(lambda: holdings(node)["monitors across nodes"] == 1)
        await erl.eval("exit(Caller, kill)")
        await eventually(lambda: holdings(node)["monitors across nodes"] == 0)
        assert holdings(node) == {**held, "connections": 1}
        await erl.eval(f"spawn(fun() -> gen_server:call({SLOW}, wait) end), ok")
        await eventually(lambda: holdings(node)["monitors across nodes"] == 1)
        await erl.kill()
        await invariants.settled()
        await slow.cast(None)
        assert await slow.call(Atom("hi")) == (Atom("echo"), Atom("hi"))
        assert node.nodes() == []  # the answer to nobody makes no connection


async def test_erlang_calls_and_we_die(start_erl: StartErl, invariants: Invariants) -> None:
    """The server amid the call, then before it, then the connection amid one."""
    invariants.expected_errors.append("stopped")
    erl = await start_erl(ERL)
    async with Node(PY, COOKIE) as node:
        slow = await node.start(Slow, name="slow")
        reason = "element(1, element(2, {}))"
        assert await erl.text(reason.format(CALL.format(SLOW, "stop", 5000))) == "stopped"
        assert await erl.text(reason.format(CALL.format(SLOW, "hi", 5000))) == "noproc"
        slow = await node.start(Slow, name="slow")
        answer = reason.format(CALL.format(SLOW, "wait", 5000))
        await erl.eval(f"Me = self(), spawn(fun() -> Me ! {{answer, {answer}}} end), ok")
        await eventually(lambda: holdings(node)["monitors across nodes"] == 1)
        await node.disconnect(ERL)
        assert await erl.text("receive {answer, Answer} -> Answer end") == f"{{nodedown,'{PY}'}}"
        await slow.cast(None)
        assert await erl.eval(f"gen_server:call({SLOW}, hi)") == (Atom("echo"), Atom("hi"))
        assert await erl.eval(MAIL) == NOTHING


async def caller(process: Process, results: list[Any]) -> None:
    """Times out, sees the late reply in no mailbox, and calls again."""
    server = RemoteName("server", ERL)
    with pytest.raises(CallTimeout):
        await process.call(server, Atom("wait"), timeout=0.05)
    process.send(server, Atom("go"))
    results.append(await process.call(server, Atom("hi")))
    with pytest.raises(TimeoutError):
        await process.receive(timeout=0.05)
    results.append("nothing")


async def test_we_call_and_time_runs_out(start_erl: StartErl, invariants: Invariants) -> None:
    erl = await start_erl(ERL)
    await erl.eval(SERVER)
    results: list[Any] = []
    async with Node(PY, COOKIE) as node:
        assert await node.ping(ERL)
        invariants.watch(node)
        node.spawn(caller, results)
        await eventually(lambda: len(results) == 2)
        assert results == [(Atom("echo"), Atom("hi")), "nothing"]
        await invariants.settled()
        assert await erl.eval("process_info(Server, monitored_by)") == (Atom("monitored_by"), [])


async def waits(process: Process) -> None:
    """Calls and is never answered."""
    await process.call(RemoteName("server", ERL), Atom("wait"), timeout=None)


async def test_we_call_and_die(start_erl: StartErl, invariants: Invariants) -> None:
    erl = await start_erl(ERL)
    await erl.eval(SERVER)
    async with Node(PY, COOKIE) as node:
        assert await node.ping(ERL)
        invariants.watch(node)
        pid = node.spawn(waits)
        await monitors_of(erl, 1)
        node.exit(pid, Atom("kill"))
        await monitors_of(erl, 0)
        await erl.eval("Server ! go, ok")
        assert await node.call(RemoteName("server", ERL), 1) == (Atom("echo"), 1)
        await invariants.settled()


async def monitors_of(erl: Erl, count: int) -> None:
    """Wait until so many processes watch the server."""
    with anyio.fail_after(10):
        watchers = "length(element(2, process_info(Server, monitored_by)))"
        while await erl.eval(watchers) != count:  # noqa: ASYNC110  # Erlang is asked, and tells nobody
            await anyio.sleep(0.01)


@pytest.mark.parametrize(
    ("end", "error", "reason"),
    [
        ("exit(Server, kill)", ExitError, "killed"),
        ("exit(Server, stopped)", ExitError, "stopped"),
        (f"erlang:disconnect_node('{PY}')", NoConnection, "n"),
        ("unregister(server), exit(Server, kill)", ExitError, "killed"),
    ],
)
async def test_we_call_and_erlang_dies(
    end: str, error: type[ExitError], reason: str, start_erl: StartErl, invariants: Invariants
) -> None:
    erl = await start_erl(ERL)
    await erl.eval(SERVER)
    raised: list[ExitError] = []

    async def ask() -> None:
        with pytest.raises(error) as info:
            await node.call(RemoteName("server", ERL), Atom("wait"), timeout=None)
        raised.append(info.value)

    async with Node(PY, COOKIE) as node:
        invariants.watch(node)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await monitors_of(erl, 1)
            await erl.eval(end)
        assert reason in repr(raised[0].reason)
        if error is ExitError:
            with pytest.raises(NoProcess):
                await node.call(RemoteName("server", ERL), Atom("hi"))
        await node.disconnect(ERL)
        await invariants.settled()
