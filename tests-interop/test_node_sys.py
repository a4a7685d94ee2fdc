"""`sys` both ways: Erlang looks into our behaviors, and we into Erlang's."""

from typing import Any

import pytest
from ergo_node import Node
from erlang_peer import StartErl
from etf_codec import Atom, EncodeError
from otp_behaviors import Child, ExitError, GenServer, RemoteName, Supervisor, sys

pytestmark = pytest.mark.anyio

PY, ERL = "py@127.0.0.1", "erl@127.0.0.1"
COUNTER = f"{{counter, '{PY}'}}"


class Counter(GenServer):
    def init(self) -> None:
        self.count = 1
        self.lock = object()

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.count

    def handle_cast(self, message: Any) -> None:
        self.count += message


def get_state(server: str, otp_release: int) -> str:
    """The expression for the state of a server of ours, which answers as OTP 26.1 and later.

    Like a server of theirs it gives shells of older releases the answer as it is, `{ok, State}`.
    """
    asked = f"sys:get_state({server})"
    return asked if otp_release >= 26 else f"begin {{ok, State}} = {asked}, State end"


async def test_erlang_looks_into_a_server_of_ours(start_erl: StartErl, node: Node, otp_release: int) -> None:
    state = get_state(COUNTER, otp_release)
    counter = await node.start(Counter, name="counter")
    erl = await start_erl(ERL)
    assert await erl.eval(f"maps:get(count, {state})") == 1
    assert await erl.eval(f"is_binary(maps:get(lock, {state}))") is True
    assert await erl.eval(
        f"{{status, _, {{module, M}}, [_, S, _, _, _]}} = sys:get_status({COUNTER}), [M, S]"
    ) == [
        Atom("gen_server"),
        Atom("running"),
    ]
    assert await erl.eval(f"[sys:suspend({COUNTER}), gen_server:cast({COUNTER}, 1)]") == [
        Atom("ok"),
        Atom("ok"),
    ]
    assert await erl.eval(f"maps:get(count, {state})") == 1
    assert await erl.eval(f"sys:change_code({COUNTER}, counter, 1, [])") == Atom("ok")
    assert await erl.eval(f"[sys:resume({COUNTER}), gen_server:call({COUNTER}, get)]") == [Atom("ok"), 2]
    assert await erl.eval(f"sys:log({COUNTER}, true)") == Atom("ok")
    assert await erl.eval(f"gen_server:call({COUNTER}, get)") == 2
    events = "{ok, Events} = sys:log(" + COUNTER + ", get), [element(1, E) || E <- Events]"
    assert await erl.eval(events) == [Atom("in"), Atom("out")]
    assert await erl.eval(f"sys:statistics({COUNTER}, true)") == Atom("ok")
    assert await erl.eval(f"length(element(2, sys:statistics({COUNTER}, get)))") == 5
    replaced = (
        f"try sys:replace_state({COUNTER}, fun(S) -> S end) catch _:{{callback_failed, MF, _}} -> MF end"
    )
    assert await erl.eval(replaced) == (Atom("gen_server"), Atom("system_replace_state"))
    watch = counter.monitor()
    assert await erl.eval(f"gen_server:stop({COUNTER}, shutdown, 5000)") == Atom("ok")
    assert (await watch).reason == Atom("shutdown")


async def test_erlang_looks_into_a_supervisor_of_ours(
    start_erl: StartErl, node: Node, otp_release: int
) -> None:
    state = get_state(f"{{tree, '{PY}'}}", otp_release)
    await node.start(Supervisor(Child(Counter, name="counter"), name="tree"))
    erl = await start_erl(ERL)
    assert await erl.eval(f"element(3, {state})") == Atom("one_for_one")
    assert await erl.eval(f"element(1, sys:get_status({{tree, '{PY}'}}))") == Atom("status")


async def test_we_look_into_a_server_of_erlang(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    await erl.eval("echo_server:start(echo)")
    echo = RemoteName("echo", ERL)
    state = await erl.eval("sys:get_state(echo)")
    assert await sys.get_state(node, echo) == state
    await sys.suspend(node, echo)
    status = await sys.get_status(node, echo)
    assert status[3][1] == Atom("suspended")
    await sys.resume(node, echo)
    await sys.statistics(node, echo, True)
    counts = await sys.statistics(node, echo, "get")
    assert counts is not None
    assert counts["messages_in"] == 0
    with pytest.raises(ExitError):
        await sys.change_code(node, echo, Atom("echo_server"), 1, [])
    # A function of ours cannot run there, and that is known at once: nobody waits for an answer.
    with pytest.raises(EncodeError):
        await sys.replace_state(node, echo, lambda state: state, None)
    assert await node.multi_call([PY, ERL], "nobody", 1, timeout=5.0) == ({}, [PY, ERL])


async def test_tracing_switched_on_by_erlang(
    start_erl: StartErl, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    await node.start(Counter, name="counter")
    erl = await start_erl(ERL)
    assert await erl.eval(f"[sys:trace({COUNTER}, true), gen_server:call({COUNTER}, get)]") == [Atom("ok"), 1]
    assert await erl.eval(f"[gen_server:cast({COUNTER}, 2), gen_server:call({COUNTER}, get)]") == [
        Atom("ok"),
        3,
    ]
    assert await erl.eval(f"[sys:no_debug({COUNTER}), gen_server:call({COUNTER}, get)]") == [Atom("ok"), 3]
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" from ")[0].partition(" to ")[0] for line in lines if " state " not in line] == [
        "*DBG* counter got call get",
        "*DBG* counter got cast 2",
        "*DBG* counter got call get",
    ]
    assert [line.partition(" sent ")[2][:1] for line in lines if " sent " in line] == ["1", "3"]
