"""The I/O protocol: processes there whose group leader is here, and processes here that print there."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from ergo_node import Node, put_chars
from erlang_peer import StartErl
from etf_codec import Atom
from otp_behaviors import ExitError, GenServer, Process

pytestmark = pytest.mark.anyio

PY, ERL = "py@127.0.0.1", "erl@127.0.0.1"
OK = Atom("ok")


class Screen:
    """What a node has printed."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    async def shows(self, text: str) -> None:
        with anyio.fail_after(5):
            while text not in self.text:  # noqa: ASYNC110  # whoever prints tells nobody
                await anyio.sleep(0.01)


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
async def node(epmd_port: int, screen: Screen) -> AsyncIterator[Node]:
    async with Node("py@127.0.0.1", cookie="secret", output=screen.write) as node:
        yield node


FORMATS = [
    ("hello~n", "[]"),
    ("~~ ~3~ ~2n|", "[]"),
    ("~w ~w ~w", '[a, "abc", <<"abc">>]'),
    ("~p ~p ~p ~p", '[a, "abc", <<"abc">>, [1, 2]]'),
    ("~p|~tp|~p", "[<<195,169>>, <<195,169>>, <<255,0>>]"),
    ("~p ~p ~p", '[[], "", <<>>]'),
    ("~p", '["a\\"b\\\\c\\n"]'),
    ("~p ~w", "[{ok, [a | b], #{a => 1}, 'A b'}, {1.0, -0.0, 1.0e100, 1.5e-7}]"),
    ("~10w|~-10w|~3w|~3p", "[abc, abc, abcdef, abcdef]"),
    ("~10..*w|~*w|~*.*.*w", "[$+, x, 5, y, 6, 1, $-, z]"),
    ("~s ~s ~s ~s", '["abc", <<"abc">>, abc, ["a", <<"b">>, $c]]'),
    ("~10s|~-10s|~2s|~5.2s|~.2s|~.5s|", '["abc", "abc", "abc", "abc", "abc", "abc"]'),
    ("~ts ~ts", "[[233, 8364], <<195,169>>]"),
    ("~c~c~3c|~5.2c|~tc", "[$a, 256 + $b, $c, $d, 8364]"),
    ("~f ~.2f ~10.3f ~.1f", "[1.5, 2.345, 3.14159, 2.0]"),
    ("~e ~.3e ~12.4e", "[1.5, 12345.678, -0.00012]"),
    ("~g ~g ~g ~g ~.3g ~g", "[1.5, 123.456, 0.01, 12345.678, 1234.5, 0.5]"),
    ("~b ~B ~.16b ~.16B ~.2b", "[10, -10, 255, 255, 5]"),
    ("~8.16.0B|~-8.10B|~2B", "[255, 7, 12345]"),
    ("~.16x ~.16X ~.16+ ~.16# ~#", '[255, "0x", -255, "0x", 255, 255, 7]'),
    ("~i~w", "[a, b]"),
    ("~W ~W ~W", "[[a, b, c, d, e], 3, {a, b, c, d}, 3, #{a => 1}, 3]"),
    ("~P", '[[1, 2, 3, "abc"], 4]'),
    ("~0p ~lp", '[{a}, ["abc", <<"abc">>]]'),
    ("~p", "[" + "[" * 20 + "]" * 20 + "]"),
]


BAD_FORMATS = [
    ("~w", "[]"),
    ("x", "[1]"),
    ("~", "[]"),
    ("~y", "[1]"),
    ("~s", "[{a}]"),
    ("~b", "[1.5]"),
    ("~f", "[a]"),
    ("~c", "[a]"),
    ("~.99b", "[1]"),
]


async def test_group_leader_formats_print_as_in_erlang(
    start_erl: StartErl, node: Node, screen: Screen
) -> None:
    erl = await start_erl(ERL)
    node.provide("py", "user", lambda: node.whereis("user"))
    await erl.eval(f"User = rpc:call('{PY}', py, user, [])")
    for template, args in FORMATS:
        screen.text = ""
        call = f"format({to_erlang(template)}, {args})"
        expected = await erl.eval(f"unicode:characters_to_binary(io_lib:{call})")
        assert isinstance(expected, bytes)
        assert await erl.eval(f"io:format(User, {to_erlang(template)}, {args})") == OK
        assert (template, screen.text) == (template, expected.decode())


async def test_group_leader_formats_that_are_badarg_in_erlang(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    node.provide("py", "user", lambda: node.whereis("user"))
    await erl.eval(f"User = rpc:call('{PY}', py, user, [])")
    tried = "try io:format({}, {}, {}) catch error:badarg -> badarg end"
    for template, args in BAD_FORMATS:
        for device in ("group_leader()", "User"):
            assert await erl.text(tried.format(device, to_erlang(template), args)) == "badarg", template


def to_erlang(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


async def test_group_leader_io_protocol_of_what_we_start(
    start_erl: StartErl, node: Node, screen: Screen
) -> None:
    await start_erl(ERL)
    await node.rpc(ERL, "io", "format", [list(b"~s, ~p~n"), [b"hello", [Atom("world")]]])
    await node.rpc(ERL, "io", "put_chars", ["é\n".encode()])
    assert screen.text == "hello, [world]\né\n"
    await node.spawn_remote(ERL, "io", "format", [list(b"spawned~n")])
    await screen.shows("spawned\n")


async def test_group_leader_io_protocol_user(start_erl: StartErl, node: Node, screen: Screen) -> None:
    erl = await start_erl(ERL)
    node.provide("erlang", "whereis", node.whereis)
    assert await erl.eval(f"User = rpc:call('{PY}', erlang, whereis, [user])") == node.whereis("user")
    assert await erl.eval('io:format(User, <<"~w~n">>, [1])') == OK
    assert await erl.eval('io:put_chars(User, [$a, <<"b">>, [$c]])') == OK
    assert await erl.eval("io:nl(User)") == OK
    assert await erl.eval('io:write(User, {x, "y"})') == OK
    assert screen.text == "1\nabc\n{x,[121]}"
    assert await erl.text('io:get_line(User, "? ")') == "{error,enotsup}"
    assert await erl.text("io:columns(User)") == "{error,enotsup}"
    assert await erl.text("io:getopts(User)") == "[{binary,false},{encoding,unicode}]"
    assert await erl.text("io:setopts(User, [binary])") == "ok"
    assert await erl.text('catch io:format(User, "~w", [])') != "ok"
    assert await erl.text('io:requests(User, [{put_chars, unicode, "1"}, nl])') == "ok"


async def test_group_leader_of_a_function_run_for_erlang(start_erl: StartErl, node: Node) -> None:
    async def greet(self: Process, name: bytes) -> None:
        await put_chars(self, f"Hello, {name.decode()}!\n")

    node.provide("py", "greet", greet, process=True)
    erl = await start_erl(ERL)
    assert await erl.eval(f"rpc:call('{PY}', py, greet, [<<\"Jörg\"/utf8>>])") == OK
    assert await erl.eval(f"rpc:block_call('{PY}', py, greet, [<<\"you\">>])") == OK
    with anyio.fail_after(5):
        while "Hello, you!" not in erl.output:  # noqa: ASYNC110  # the node's output is read elsewhere
            await anyio.sleep(0.01)
    assert any("Hello, J" in line for line in erl.output)


class Printer(GenServer):
    async def handle_call(self, request: Any, caller: Any) -> Any:
        try:
            await put_chars(self, request)
        except ExitError as error:
            return error.reason
        return OK


async def test_group_leader_set_by_erlang(start_erl: StartErl, node: Node, screen: Screen) -> None:
    printer = await node.start(Printer, name="printer")
    assert await printer.call("one\n") == OK
    assert screen.text == "one\n"
    erl = await start_erl(ERL)
    user = await node.rpc(ERL, "erlang", "whereis", [Atom("user")])
    await node.rpc(ERL, "erlang", "group_leader", [user, printer.pid])
    assert await printer.call("three\n") == OK
    with anyio.fail_after(5):
        while "three" not in erl.output:  # noqa: ASYNC110  # the node's output is read elsewhere
            await anyio.sleep(0.01)
    await erl.kill()
    assert await printer.call("four\n") == Atom("terminated")
    assert screen.text == "one\n"


async def test_group_leader_logger_proxy(
    start_erl: StartErl, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    await start_erl(ERL)
    caplog.set_level(logging.INFO, "ergo_node.remote")
    await node.spawn_remote(ERL, "erlang", "error", [Atom("boom")])
    await node.rpc(ERL, "logger", "warning", [list(b"low on ~p"), [Atom("paper")]])
    await node.rpc(ERL, "logger", "error", [b"a text"])
    wanted = {"low on paper", "a text", "boom"}
    with anyio.fail_after(5):
        while not all(each in caplog.text for each in wanted):  # noqa: ASYNC110  # a log tells nobody
            await anyio.sleep(0.01)
    assert {record.levelname for record in caplog.records if "paper" in record.message} == {"WARNING"}
