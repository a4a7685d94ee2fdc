"""`rpc` and `erpc` both ways: Erlang runs functions provided here, and we run those of Erlang."""

import math
import threading
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from ergo_node import ErlangError, ErlangExit, ErlangThrow, Node, Registry
from erlang_peer import Erl, StartErl
from etf_codec import Atom, EncodeError, Term
from otp_behaviors import CallTimeout, ExitError, NoConnection, Process

pytestmark = pytest.mark.anyio

PY, ERL = "py@127.0.0.1", "erl@127.0.0.1"
OK = Atom("ok")


def divide(a: int, b: int) -> int:
    return a // b


async def echo(term: Term) -> Term:
    await anyio.lowlevel.checkpoint()
    return term


async def never() -> None:
    await anyio.sleep(math.inf)


def end(kind: Atom, reason: Any) -> None:
    raise {"throw": ErlangThrow, "exit": ErlangExit, "error": ErlangError, "leave": ExitError}[str(kind)](
        reason
    )


def in_thread() -> bool:
    return threading.current_thread() is not threading.main_thread()


async def who(self: Process, greeting: Term) -> Term:
    return (greeting, self.pid)


@pytest.fixture
def functions(node: Node) -> Node:
    """The node provides the functions above as module `py`."""
    for function in (divide, echo, never, end):
        node.provide("py", function.__name__, function)
    node.provide("py", "in_thread", in_thread, thread=True)
    node.provide("py", "who", who, process=True)
    node.provide("py", "nothing", lambda: None)
    return node


async def ask(erl: Erl, call: str) -> str:
    """The class and the term of a call's end, as Erlang prints them; a stack trace is left out."""
    return await erl.text(f"try {{return, {call}}} catch C:R -> {{C, R}} end")


def remote(module: str, function: str, args: str, *more: str) -> str:
    arguments = ", ".join([f"'{PY}'", "py", function, args, *more])
    return f"{module}:call({arguments})"


@pytest.mark.usefixtures("functions")
@pytest.mark.parametrize("module", ["rpc", "erpc"])
async def test_rpc_erpc_server_results(start_erl: StartErl, module: str) -> None:
    erl = await start_erl(ERL)
    assert await ask(erl, remote(module, "divide", "[42, 2]")) == "{return,21}"
    assert (
        await ask(erl, remote(module, "echo", '[#{a => [1.5, <<"b">>]}]')) == '{return,#{a => [1.5,<<"b">>]}}'
    )
    assert await ask(erl, remote(module, "in_thread", "[]")) == "{return,true}"
    assert await ask(erl, remote(module, "nothing", "[]")) == "{return,ok}"
    who = await erl.eval(remote(module, "who", "[hi]"))
    assert isinstance(who, tuple)
    assert who[0] == Atom("hi")
    assert who[1].node == PY


@pytest.mark.usefixtures("functions")
async def test_rpc_erpc_server_exceptions(start_erl: StartErl) -> None:
    erl = await start_erl(ERL)
    expected = {
        "throw": ("{throw,ball}", "ball"),
        "exit": ("{exit,{exception,ball}}", "{badrpc,{'EXIT',ball}}"),
        "leave": ("{exit,{exception,ball}}", "{badrpc,{'EXIT',ball}}"),
        "error": ("{error,{exception,ball,[]}}", "{badrpc,{'EXIT',{ball,[]}}}"),
    }
    for kind, (by_erpc, by_rpc) in expected.items():
        assert await ask(erl, remote("erpc", "'end'", f"[{kind}, ball]")) == by_erpc
        assert await erl.text(remote("rpc", "'end'", f"[{kind}, ball]")) == by_rpc
        assert await erl.text(f"rpc:block_call('{PY}', py, 'end', [{kind}, ball])") == by_rpc
    with pytest.raises(ZeroDivisionError) as caught:
        divide(1, 0)  # Releases of Python word it differently.
    crash = await ask(erl, remote("erpc", "divide", "[1, 0]"))
    assert crash.startswith(f"{{error,{{exception,{{'ZeroDivisionError',<<\"{caught.value}\">>}}")
    assert "test_node_rpc" in crash
    assert crash.count("{line,") == 1


@pytest.mark.usefixtures("functions")
async def test_rpc_erpc_server_timeouts(start_erl: StartErl) -> None:
    erl = await start_erl(ERL)
    assert await ask(erl, remote("erpc", "never", "[]", "50")) == "{error,{erpc,timeout}}"
    assert await erl.text(remote("rpc", "never", "[]", "50")) == "{badrpc,timeout}"
    assert await ask(erl, remote("erpc", "divide", "[4, 2]")) == "{return,2}"


@pytest.mark.usefixtures("functions")
@pytest.mark.parametrize(
    "call",
    [
        "py, none, []",  # no such function
        "py, divide, [1]",  # nor with one argument
        'os, cmd, ["id"]',
        'os, system, [<<"id">>]',  # what Python has under such names
        'builtins, eval, [<<"1">>]',
        'subprocess, run, [<<"id">>]',
        "'py', '__class__', []",
        "erlang, apply, [fun() -> ok end, []]",
        "erlang, halt, []",
        "init, stop, []",
        "erpc, execute_call, [make_ref(), py, divide, [1, 1]]",
    ],
)
async def test_rpc_erpc_server_undef(start_erl: StartErl, call: str) -> None:
    """What is not provided is not there: the answer is, term for term, that of an Erlang node without it."""
    erl = await start_erl(ERL)
    module, function, args = call.split(", ", 2)
    undef = f"{{undef, [{{{module}, {function}, A, []}}]}}"
    assert (
        await erl.text(
            f"A = {args}, {undef} =:= try erpc:call('{PY}', {module}, {function}, A)"
            " catch error:{exception, R, S} -> {R, S} end"
        )
        == "true"
    )
    assert (
        await erl.text(
            f"A = {args}, {{badrpc, {{'EXIT', {undef}}}}} =:= rpc:call('{PY}', {module}, {function}, A)"
        )
        == "true"
    )
    assert (
        await erl.text(
            f"A = {args}, {{badrpc, {{'EXIT', {undef}}}}} =:= rpc:block_call('{PY}', {module}, {function}, A)"
        )
        == "true"
    )


async def test_rpc_erpc_server_a_function_itself_is_not_run(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    assert (
        await erl.text(f"try erpc:call('{PY}', fun() -> node() end) catch error:{{exception, R, _}} -> R end")
        == "undef"
    )
    assert node.nodes() == [ERL]


async def test_rpc_erpc_server_multicall(start_erl: StartErl, functions: Node) -> None:
    erl = await start_erl(ERL)
    functions.provide("erlang", "node", lambda: Atom(PY))
    nodes = f"['{PY}', node(), 'none@127.0.0.1']"
    assert await erl.text(f"rpc:multicall({nodes}, erlang, node, [])") == (
        f"{{['{PY}','{ERL}'],['none@127.0.0.1']}}"
    )
    assert await erl.text(f"erpc:multicall({nodes}, erlang, node, [])") == (
        f"[{{ok,'{PY}'}},{{ok,'{ERL}'}},{{error,{{erpc,noconnection}}}}]"
    )


async def test_rpc_erpc_server_asynchronous(start_erl: StartErl, functions: Node) -> None:
    erl = await start_erl(ERL)
    assert await erl.text(f"rpc:yield(rpc:async_call('{PY}', py, divide, [9, 3]))") == "3"
    assert await erl.text(f"erpc:receive_response(erpc:send_request('{PY}', py, divide, [9, 3]))") == "3"


async def test_rpc_erpc_server_cast(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    told, heard = anyio.create_memory_object_stream[Term](10)
    with told, heard:
        node.provide("py", "tell", told.send)
        node.provide("py", "tell_now", told.send_nowait)
        for number, call in enumerate(
            [
                f"rpc:cast('{PY}', py, tell_now, [0])",
                f"erpc:cast('{PY}', py, tell, [1])",
                f"erpc:multicast(['{PY}'], py, tell, [2])",
                f"gen_server:cast({{rex, '{PY}'}}, {{cast, py, tell, [3], group_leader()}})",
                f"rpc:eval_everywhere(['{PY}'], py, tell_now, [4])",
            ]
        ):
            await erl.eval(call)
            with anyio.fail_after(5):
                assert await heard.receive() == number
        assert await erl.text(f"erpc:cast('{PY}', py, none, [])") == "ok"


@pytest.mark.usefixtures("functions")
async def test_rpc_erpc_server_rex_as_otp_22_and_c_nodes_call_it(start_erl: StartErl) -> None:
    erl = await start_erl(ERL)
    await erl.eval(f"Rex = {{rex, '{PY}'}}")
    assert (
        await erl.text(f"gen_server:call({{rex, '{PY}'}}, {{call, py, divide, [8, 2], group_leader()}})")
        == "4"
    )
    assert await erl.text(f"gen_server:call({{rex, '{PY}'}}, {{call, py, echo, [x], user}})") == "x"
    await erl.eval("Ask = fun(What) -> Rex ! {self(), What}, receive A -> A end end")
    rex, py = Atom("rex"), Atom(PY)
    assert await erl.eval("Ask({call, py, divide, [8, 4], user})") == (rex, 2)
    assert await erl.eval("Ask(features_request)") == (Atom("features_reply"), py, [Atom("erpc")])
    assert await erl.eval("Ask({sbcast, net_kernel, hello})") == (rex, py, py)
    nobody = (rex, py, (Atom("nonexisting_name"), Atom("nobody")))
    assert await erl.eval("Ask({sbcast, nobody, hello})") == nobody
    assert await erl.eval("Ask({send, nobody, hello})") == nobody
    assert await erl.text(f"rpc:sbcast([node(), '{PY}'], nobody, hello)") == f"{{[],['{ERL}','{PY}']}}"


async def test_rpc_erpc_server_per_node_and_revoked(start_erl: StartErl, node: Node) -> None:
    erl, other = await start_erl(ERL), await start_erl("other@127.0.0.1")
    node.provide("py", "divide", divide, nodes=[ERL])
    assert await ask(erl, remote("erpc", "divide", "[4, 2]")) == "{return,2}"
    assert (await ask(other, remote("erpc", "divide", "[4, 2]"))).startswith("{error,{exception,undef,")
    # A caller's name is part of what rex gets: it could be anybody's.
    assert "undef" in await ask(erl, f"rpc:block_call('{PY}', py, divide, [4, 2])")
    assert node.revoke("py", "divide")
    assert not node.revoke("py", "divide")
    assert (await ask(erl, remote("erpc", "divide", "[4, 2]"))).startswith("{error,{exception,undef,")


async def test_rpc_erpc_client_results(start_erl: StartErl, node: Node) -> None:
    await start_erl(ERL)
    assert await node.rpc(ERL, "lists", "reverse", [[1, 2, 3]]) == [3, 2, 1]
    assert await node.erpc(ERL, Atom("erlang"), Atom("node")) == Atom(ERL)
    assert await node.rpc(ERL, "erlang", "map_size", [{1: 2}], timeout=None) == 1


async def test_rpc_erpc_client_exceptions(start_erl: StartErl, node: Node) -> None:
    await start_erl(ERL)
    ball = Atom("ball")
    with pytest.raises(ErlangThrow) as thrown:
        await node.erpc(ERL, "erlang", "throw", [ball])
    assert thrown.value.reason == ball
    assert await node.rpc(ERL, "erlang", "throw", [ball]) == ball
    with pytest.raises(ErlangExit, match=r"erlang:exit/1 on erl@127.0.0.1 exited: ball") as exited:
        await node.rpc(ERL, "erlang", "exit", [ball])
    assert exited.value.reason == ball
    with pytest.raises(
        ErlangError, match=r"erlang:binary_to_integer/1 on erl@127.0.0.1 failed: badarg"
    ) as failed:
        await node.rpc(ERL, "erlang", "binary_to_integer", [b"x"])
    assert failed.value.reason == Atom("badarg")
    assert isinstance(failed.value.stacktrace, list)
    with pytest.raises(ErlangError, match=r"erl@127.0.0.1 has no lists:nothing/2"):
        await node.rpc(ERL, "lists", "nothing", [1, 2])
    with pytest.raises(ErlangExit, match="killed"):
        await node.rpc(ERL, "erlang", "apply", [Atom("erlang"), Atom("exit"), [Atom("killed")]])


async def test_rpc_erpc_client_without_an_answer(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    with pytest.raises(CallTimeout):
        await node.rpc(ERL, "timer", "sleep", [60_000], timeout=0.1)
    with pytest.raises(NoConnection, match=r"none@127\.0\.0\.1"):
        await node.rpc("none@127.0.0.1", "erlang", "node")
    with pytest.raises(EncodeError):
        await node.rpc(ERL, "erlang", "display", [object()])
    # The connection, and the node, go on: the process of the timed-out call is no longer watched.
    assert await node.rpc(ERL, "lists", "sum", [[1, 2]]) == 3
    with anyio.fail_after(10):
        # Nothing tells when `global`, which has just met Erlang's, watches nobody any more.
        while len(node.kernel.monitors) or len(node.kernel.spawns):  # noqa: ASYNC110
            await anyio.sleep(0.01)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lose, node)
        with anyio.fail_after(5):
            while not len(node.kernel.monitors):  # noqa: ASYNC110  # nothing tells when the process runs
                await anyio.sleep(0.01)
        await erl.kill()


async def lose(node: Node) -> None:
    with pytest.raises(NoConnection):
        await node.erpc(ERL, "timer", "sleep", [60_000], timeout=None)


async def test_rpc_erpc_client_cast_and_multicall(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    await node.rpc_cast(ERL, "erlang", "send", [Atom("evaluator"), Atom("hello")])
    assert await erl.eval("receive Heard -> Heard after 5000 -> nothing end") == Atom("hello")
    answers = await node.rpc_multicall([ERL, "none@127.0.0.1"], "erlang", "node")
    assert answers[ERL] == Atom(ERL)
    assert isinstance(answers["none@127.0.0.1"], NoConnection)
    await erl.eval("echo_server:start(echo)")
    replies, bad = await node.multi_call([ERL, PY], "echo", 1)
    assert (replies, bad) == ({ERL: (Atom("echo"), 1)}, [PY])


async def test_rpc_between_python_nodes(node: Node) -> None:
    shared = Registry()
    shared.provide("py", "divide", divide)
    async with Node("b@127.0.0.1", "secret", rpc=shared) as b, Node("c@127.0.0.1", "secret", rpc=shared) as c:
        for asked in (b, c):
            assert await node.rpc(asked.name, "py", "divide", [6, 3]) == 2
            assert await asked.rpc(asked.name, "py", "divide", [6, 3]) == 2
        with pytest.raises(ErlangError, match="ZeroDivisionError"):
            await b.erpc(c.name, "py", "divide", [1, 0])
