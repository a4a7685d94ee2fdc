"""What an Elixir program does with a Python node: deferred replies, supervision, monitors, erpc, structs."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from ergo_node import ErlangError, Node
from erlang_peer import Erl, StartErl
from etf_codec import Atom, Term
from otp_behaviors import NO_REPLY, Child, GenServer, RemoteName, Supervisor

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("elixir") is None, reason="no `elixir` on PATH: apt install elixir"),
]

PY, EX = "py@127.0.0.1", "ex@127.0.0.1"
SERVER = f'{{:embedder, :"{PY}"}}'
Elixir = Callable[[str], Awaitable[Term]]


class Embedder(GenServer):
    """Answers when the model is done, and takes further requests meanwhile."""

    async def handle_call(self, request: Any, caller: Any) -> Any:
        match request:
            case (Atom("embed"), list() as texts):
                self.spawn(embed, self.pid, caller, texts)
                return NO_REPLY
            case Atom("status"):
                return (Atom("ok"), self.pid)
            case Atom("struct"):
                return {
                    Atom("__struct__"): Atom("Elixir.Range"),
                    Atom("first"): 1,
                    Atom("last"): 3,
                    Atom("step"): 1,
                }
            case Atom("nothing"):
                return None
        raise ValueError(f"no model for {request!r}")

    def handle_info(self, message: Any) -> None:
        _, caller, vectors = message
        self.reply(caller, vectors)


async def embed(self: Any, embedder: Any, caller: Any, texts: list[bytes]) -> None:
    """The slow part."""
    await anyio.lowlevel.checkpoint()
    self.send(embedder, (Atom("embedded"), caller, [[float(len(text)), 1.0] for text in texts]))


@pytest.fixture
async def node(epmd_port: int) -> AsyncIterator[Node]:
    """Our node as Elixir users set it up: None is nil, and the embedder is supervised."""
    async with Node(PY, cookie="secret", none=Atom("nil")) as node:
        await node.start(Supervisor(Child(Embedder, name="embedder")))
        yield node


@pytest.fixture(scope="session")
def elixir_code() -> str:
    """The folder of Elixir's own modules."""
    found = subprocess.run(
        ["elixir", "-e", "IO.write(:code.lib_dir(:elixir))"], capture_output=True, check=True, timeout=60
    )
    return found.stdout.decode() + "/ebin"


@pytest.fixture
async def elixir(start_erl: StartErl, node: Node, elixir_code: str) -> Elixir:
    """Evaluates Elixir on a node of its own, and returns what it says."""
    erl: Erl = await start_erl(EX, args=["-pa", elixir_code])
    # Elixir has standard input read as binaries, the evaluator reads lists.
    await erl.eval("{ok, _} = application:ensure_all_started(elixir), io:setopts([{binary, false}])")

    async def evaluate(source: str) -> Term:
        code = source.encode().hex()
        return await erl.eval(f"element(1, 'Elixir.Code':eval_string(binary:decode_hex(<<\"{code}\">>)))", 30)

    return evaluate


async def test_genserver_call_with_a_deferred_reply(elixir: Elixir) -> None:
    assert await elixir(f'GenServer.call({SERVER}, {{:embed, ["a", "bcd"]}}, 5000)') == [
        [1.0, 1.0],
        [3.0, 1.0],
    ]
    one = f'fn n -> GenServer.call({SERVER}, {{:embed, [String.duplicate("x", n)]}}) end'
    lengths = await elixir(f"Task.async_stream(1..50, {one}) |> Enum.map(fn {{:ok, [[n, _]]}} -> n end)")
    assert lengths == [float(n) for n in range(1, 51)]


async def test_a_crash_restarts_the_server_and_the_caller_gets_the_reason(elixir: Elixir) -> None:
    before: Any = await elixir(f"{{:ok, pid}} = GenServer.call({SERVER}, :status); pid")
    reason: Any = await elixir(
        f"try do GenServer.call({SERVER}, :bad)"
        " catch :exit, {{reason, _stack}, {GenServer, :call, _}} -> reason end"
    )
    assert reason == (Atom("ValueError"), b"no model for Atom('bad')")
    after: Any = await elixir(
        "wait = fn wait -> case (try do GenServer.call("
        + SERVER
        + ", :status) catch :exit, _ -> :wait end) do"
        " {:ok, pid} -> pid; :wait -> wait.(wait) end end; wait.(wait)"
    )
    assert after != before
    assert after.node == PY


async def test_process_monitor(elixir: Elixir, node: Node) -> None:
    reason = await elixir(
        f"ref = Process.monitor({SERVER}); {{:ok, pid}} = GenServer.call({SERVER}, :status);"
        " Process.exit(pid, :kill);"
        f" receive do {{:DOWN, ^ref, :process, {SERVER}, reason}} -> reason after 5000 -> :nothing end"
    )
    assert reason == Atom("killed")


async def test_node_connect_and_ping(elixir: Elixir, node: Node) -> None:
    assert await elixir(f'Node.connect(:"{PY}")') is True
    assert await elixir(f'Node.ping(:"{PY}")') == Atom("pong")
    assert await elixir("Node.list()") == [Atom(PY)]
    assert node.nodes() == [EX]
    assert await elixir('Node.connect(:"none@127.0.0.1")') is False


async def test_erpc_call(elixir: Elixir, node: Node) -> None:
    node.provide("Elixir.Embedder", "length", lambda text: len(text.decode()))
    assert await elixir(f':erpc.call(:"{PY}", Embedder, :length, ["größe"])') == 5
    undef = await elixir(
        f'try do :erpc.call(:"{PY}", System, :halt, [1]) rescue e -> elem(e.original, 1) end'
    )
    assert undef == Atom("undef")
    assert await elixir(f'Node.spawn(:"{PY}", Embedder, :length, ["x"]) |> node()') == Atom(PY)


async def test_structs_and_nil(elixir: Elixir, node: Node) -> None:
    assert await elixir(f"Enum.to_list(GenServer.call({SERVER}, :struct))") == [1, 2, 3]
    assert await elixir(f"GenServer.call({SERVER}, :nothing) |> is_nil()") is True
    date: Any = await node.rpc(EX, "Elixir.Date", "new!", [2026, 11, 23])
    assert date[Atom("__struct__")] == Atom("Elixir.Date")
    assert (date[Atom("year")], date[Atom("month")], date[Atom("day")]) == (2026, 11, 23)
    assert await node.rpc(EX, "Elixir.Date", "to_string", [date]) == b"2026-11-23"
    assert await node.rpc(EX, "Elixir.List", "first", [[]]) is None


async def test_we_call_elixir(elixir: Elixir, node: Node) -> None:
    await elixir(
        "{:ok, _} = Agent.start(fn -> 7 end, name: Held);"
        " {:ok, _} = Task.Supervisor.start_link(name: Tasks); :ok"
    )
    get = (Atom("get"), await elixir("fn n -> n + 1 end"))
    assert await node.call(RemoteName("Elixir.Held", EX), get) == 8
    with pytest.raises(ErlangError) as raised:
        await node.rpc(EX, "Elixir.Map", "fetch!", [{1: 2}, 3])
    reason: Any = raised.value.reason
    assert reason[:2] == (Atom("badkey"), 3)
