"""The facade without async beside real Erlang: what a script does in a few lines."""

from collections.abc import Callable
from typing import Any

import pytest
from anyio import to_thread
from ergo_node import CookieMismatch
from ergo_node.sync import RemoteName, SyncNode, connect
from erlang_peer import StartErl
from etf_codec import Atom
from otp_behaviors import Down

pytestmark = pytest.mark.anyio

ERL = "erl@127.0.0.1"
ECHO = (
    "fun F() -> receive {'$gen_call', From, Term} -> gen_server:reply(From, Term), F();"
    " {To, Term} -> To ! Term, F() end end"
)


async def script(commands: Callable[[SyncNode], Any], cookie: str = "secret") -> Any:
    """Run a script that is connected to the Erlang node in a thread of its own."""

    def run() -> Any:
        with connect(ERL, cookie) as node:
            return commands(node)

    return await to_thread.run_sync(run)


async def test_a_script_calls_erlang(start_erl: StartErl, epmd_port: int) -> None:
    erl = await start_erl(ERL)
    await erl.eval(f"register(echo, spawn({ECHO}))")

    def commands(node: SyncNode) -> Any:
        to = RemoteName("echo", node.peer)
        assert node.call(to, (Atom("a"), 1.5)) == (Atom("a"), 1.5)
        node.send(to, (node.pid, b"back"))
        assert node.receive(timeout=5) == b"back"
        assert node.rpc(ERL, "lists", "reverse", [[1, 2, 3]]) == [3, 2, 1]
        assert node.rpc(ERL, "erlang", "nodes", [Atom("hidden")]) == [Atom(node.name)]
        ref = node.monitor(to)
        node.rpc(ERL, "erlang", "exit", [node.rpc(ERL, "erlang", "whereis", [Atom("echo")]), Atom("kill")])
        down = node.receive(timeout=5)
        assert isinstance(down, Down)
        return (down.ref == ref, down.reason)

    assert await script(commands) == (True, Atom("killed"))
    assert await erl.eval("nodes(connected)") == []


async def test_a_script_with_another_cookie(start_erl: StartErl, epmd_port: int) -> None:
    await start_erl(ERL)
    with pytest.raises(CookieMismatch):
        await script(SyncNode.nodes, cookie="other")
