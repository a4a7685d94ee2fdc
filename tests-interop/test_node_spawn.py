"""Spawn requests both ways, process aliases over the wire, node monitors: rows of the parity table."""

from typing import Any

import anyio
import pytest
from ergo_node import Node
from erlang_peer import Erl, StartErl
from etf_codec import Atom, Pid, Reference, Term
from otp_behaviors import NO_REPLY, CallTimeout, Exit, ExitError, GenServer, NoConnection, Process, RemoteName
from witness import StartWitness

pytestmark = pytest.mark.anyio

PY, ERL = "py@127.0.0.1", "erl@127.0.0.1"
DOWN, NORMAL, BOOM = Atom("DOWN"), Atom("normal"), Atom("boom")


async def serve(self: Process, parent: Pid) -> None:
    """Tells its parent who it is, then ends as it is told; `echo` comes back before."""
    self.send(parent, (Atom("hello"), self.pid))
    while True:
        match await self.receive():
            case (Atom("echo"), term):
                self.send(parent, term)
            case reason:
                raise ExitError(reason)


async def ask(erl: Erl, expression: str) -> str:
    return await erl.text(f"receive {expression} after 5000 -> nothing end")


@pytest.fixture
def served(node: Node) -> Node:
    node.provide("py", "serve", serve, process=True)
    return node


@pytest.mark.usefixtures("served")
async def test_spawn_request_spawn(start_erl: StartErl) -> None:
    erl = await start_erl(ERL)
    pid = await erl.eval(f"Pid = spawn('{PY}', py, serve, [self()])")
    assert isinstance(pid, Pid)
    assert pid.node == PY
    assert await erl.eval("receive {hello, Pid} -> Pid after 5000 -> nothing end") == pid
    await erl.eval("Pid ! {echo, 42}")
    assert await ask(erl, "42 -> ok") == "ok"


@pytest.mark.usefixtures("served")
async def test_spawn_request_link_and_monitor(start_erl: StartErl) -> None:
    erl = await start_erl(ERL)
    for number, reason in enumerate(["boom", "{shutdown, why}", "normal"]):
        pid = f"Pid{number}"
        await erl.eval(f"{pid} = spawn_link('{PY}', py, serve, [self()])")
        await erl.eval(f"{pid} ! {reason}")
        assert await ask(erl, f"{{'EXIT', {pid}, Reason}} -> Reason =:= {reason}") == "true"
        monitored = f"{{M{number}, Ref{number}}}"
        await erl.eval(f"{monitored} = spawn_monitor('{PY}', py, serve, [self()])")
        await erl.eval(f"M{number} ! {reason}")
        down = f"{{'DOWN', Ref{number}, process, M{number}, Reason}} -> Reason =:= {reason}"
        assert await ask(erl, down) == "true"


@pytest.mark.usefixtures("served")
async def test_spawn_request_options(start_erl: StartErl) -> None:
    erl = await start_erl(ERL)
    options = "[link, monitor, {priority, high}, {min_heap_size, 1000}, {message_queue_data, off_heap}]"
    await erl.eval(f"{{P, R}} = spawn_opt('{PY}', py, serve, [self()], {options}), P ! boom")
    assert await ask(erl, "{'EXIT', P, Reason} -> Reason") == "boom"
    assert await ask(erl, "{'DOWN', R, process, P, Reason} -> Reason") == "boom"
    # The reply comes first, whatever the process does.
    await erl.eval(f"Id = spawn_request('{PY}', py, none, [], [link, monitor])")
    assert await ask(erl, "{spawn_reply, Id, ok, Q} when is_pid(Q) -> ok") == "ok"
    assert await ask(erl, "{'EXIT', Q, {undef, [{py, none, [], []}]}} -> ok") == "ok"
    assert await ask(erl, "{'DOWN', Id, process, Q, {undef, [{py, none, [], []}]}} -> ok") == "ok"


async def test_spawn_request_errors_are_those_of_erlang(start_erl: StartErl, node: Node) -> None:
    """The same bad options, asked of an Erlang node and of ours."""
    erl, _ = await start_erl(ERL), await start_erl("other@127.0.0.1")
    answer = (
        "receive {spawn_reply, I, error, Why} -> Why; {spawn_reply, I, ok, _} -> started after 5000 -> x end"
    )
    for options in ["[{name, x}]", "[nonsense]", "[{link, true}]", "[link, 1]", "[{monitor, []}]"]:
        answers = [
            await erl.text(
                f"try I = spawn_request('{node}', erlang, now, [], {options}), {answer}"
                " catch error:R -> R end"
            )
            for node in ("other@127.0.0.1", PY)
        ]
        assert answers[0] == answers[1], options


async def test_spawn_request_of_what_is_not_provided(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    for call in ('os, cmd, ["id"]', 'builtins, print, [<<"x">>]', "erlang, apply, [fun() -> ok end, []]"):
        module, function, args = call.split(", ", 2)
        reason = f"{{undef, [{{{module}, {function}, A, []}}]}}"
        assert (
            await erl.text(
                f"A = {args}, {{P, R}} = spawn_monitor('{PY}', {module}, {function}, A),"
                f" receive {{'DOWN', R, process, P, Reason}} -> Reason =:= {reason} after 5000 -> nothing end"
            )
            == "true"
        )
    assert node.nodes() == [ERL]


async def test_spawn_request_crash_has_the_shape_of_erlang(start_erl: StartErl, node: Node) -> None:
    async def crash(self: Process) -> None:
        raise ValueError("no good")

    node.provide("py", "crash", crash, process=True)
    erl = await start_erl(ERL)
    reason = await erl.text(
        f"{{P, R}} = spawn_monitor('{PY}', py, crash, []),"
        " receive {'DOWN', R, process, P, {Reason, [{M, F, A, L} | _]}} when is_atom(M), is_atom(F),"
        " is_integer(A), is_list(L) -> {Reason, F} after 5000 -> nothing end"
    )
    assert reason == "{{'ValueError',<<\"no good\">>},crash}"


async def test_spawn_request_of_ours(start_erl: StartErl, start_witness: StartWitness, node: Node) -> None:
    erl = await start_erl(ERL)
    await erl.eval("true")
    witness = await start_witness()

    async def parent(self: Process) -> None:
        self.trap_exit = True
        linked = await self.spawn_remote(ERL, "timer", "sleep", [60_000], link=True)
        self.exit(linked, BOOM)
        assert await self.receive(timeout=5) == Exit(linked, BOOM)
        watched, ref = await self.spawn_monitor_remote(ERL, "lists", "seq", [1, 3])
        assert await self.receive(timeout=5) == (DOWN, ref, Atom("process"), watched, NORMAL)
        lost, ref = await self.spawn_monitor_remote(ERL, "nobody", "none", [])
        down: Any = await self.receive(timeout=5)
        assert down[:4] == (DOWN, ref, Atom("process"), lost)
        assert down[4] == (Atom("undef"), [(Atom("nobody"), Atom("none"), [], [])])
        with pytest.raises(NoConnection):
            await self.spawn_remote("none@127.0.0.1", "lists", "seq", [1, 3])
        self.send(witness.pid, Atom("done"))

    node.spawn(parent)
    assert await witness.next() == Atom("done")


async def test_spawn_request_of_ours_dies_with_its_link(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    spawned: list[Pid] = []

    async def parent(self: Process) -> None:
        spawned.append(await self.spawn_remote(ERL, "timer", "sleep", [60_000], link=True))
        raise ExitError(BOOM)

    assert (await node.monitor(node.spawn(parent))).reason == BOOM
    with anyio.fail_after(5):
        while await node.rpc(ERL, "erlang", "is_process_alive", spawned):  # noqa: ASYNC110  # it tells nobody
            await anyio.sleep(0.01)
    assert await erl.text("nodes()") == f"['{PY}']"


async def test_aliases_erlang_sends_to_ours(
    start_erl: StartErl, start_witness: StartWitness, node: Node
) -> None:
    erl = await start_erl(ERL)
    witness = await start_witness(name="witness")
    alias = await witness.do(lambda me: me.alias())
    assert isinstance(alias, Reference)
    await node.rpc(ERL, "erlang", "send", [alias, Atom("one")])
    assert await witness.next() == Atom("one")
    assert await witness.do(lambda me: me.unalias(alias))
    await node.rpc(ERL, "erlang", "send", [alias, Atom("two")])
    await erl.eval(f"{{witness, '{PY}'}} ! three")
    assert await witness.next() == Atom("three")


async def test_aliases_we_send_to_those_of_erlang(
    start_erl: StartErl, start_witness: StartWitness, node: Node
) -> None:
    erl = await start_erl(ERL)
    alias = await erl.eval("Alias = alias([reply])")
    assert isinstance(alias, Reference)
    await node.send(alias, Atom("one"))
    assert await ask(erl, "Got -> Got") == "one"
    # An alias made with `reply` ends with its first message.
    await node.send(alias, Atom("two"))
    await node.send(RemoteName("evaluator", ERL), Atom("three"))
    assert await ask(erl, "Got -> Got") == "three"


class Late(GenServer):
    """Keeps its caller until it is told to answer."""

    def init(self) -> None:
        self.waiting: list[Any] = []

    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == Atom("slow"):
            self.waiting.append(caller)
            return NO_REPLY
        self.reply(self.waiting.pop(), Atom("late"))
        return Atom("quick")


async def test_aliases_a_late_reply_is_dropped(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    await node.start(Late, name="late")
    tried = f"try gen_server:call({{late, '{PY}'}}, slow, 50) catch exit:{{R, _}} -> R end"
    assert await erl.text(tried) == "timeout"
    assert await erl.text(f"gen_server:call({{late, '{PY}'}}, now)") == "quick"
    assert await erl.text("receive M -> M after 0 -> nothing end") == "nothing"
    await erl.eval("echo_server:start(echo)")
    with pytest.raises(CallTimeout):
        await node.call(RemoteName("echo", ERL), Atom("silence"), timeout=0.05)


async def test_node_monitors_in_erlang(start_erl: StartErl, epmd_port: int) -> None:
    erl = await start_erl(ERL)
    await erl.eval("ok = net_kernel:monitor_nodes(true)")
    async with Node("b@127.0.0.1", "secret") as node:
        assert await node.connect(ERL)
        assert await ask(erl, "{nodeup, Node} -> Node") == "'b@127.0.0.1'"
        await erl.eval("true = erlang:monitor_node('b@127.0.0.1', true)")
        names = await erl.text("{ok, Names} = net_adm:names(), lists:sort([N || {N, _} <- Names])")
        assert names == '["b","erl"]'
    assert await ask(erl, "{nodedown, 'b@127.0.0.1'} -> once") == "once"
    assert await ask(erl, "{nodedown, 'b@127.0.0.1'} -> twice") == "twice"
    terms: Term = await erl.eval("nodes()")
    assert terms == []
