"""`ergo-node demo`: the main job in ten seconds, with nothing installed but this package."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex
from subprocess import DEVNULL, PIPE, STDOUT
from typing import Any, Final

import anyio
import anyio.lowlevel
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream
from etf_codec import Atom
from otp_behaviors import Application, Caller, Child, ExitError, GenServer, RemoteName, Supervisor

from ergo_node._config import Epmd
from ergo_node._errors import NodeError
from ergo_node._node import Node

GET: Final = Atom("get")
ADD: Final = Atom("add")
ERLANG_TIMEOUT: Final = 20.0

ERLANG: Final = """
    Us = '{us}',
    io:format("ping ~p~n", [net_adm:ping(Us)]),
    io:format("call ~p~n", [gen_server:call({{counter, Us}}, get)]),
    ok = gen_server:cast({{counter, Us}}, {{add, 100}}),
    io:format("call ~p~n", [gen_server:call({{counter, Us}}, get)]),
    register(shell, self()),
    io:format("ready~n"),
    receive {{'$gen_call', From, {{square, N}}}} -> gen_server:reply(From, N * N) end,
    receive bye -> halt(0) after 15000 -> halt(1) end.
"""


class Counter(GenServer):
    """Counts; a string instead of a number crashes it."""

    def init(self, start: int) -> None:
        """Start counting from a number."""
        self.count = start

    def handle_call(self, request: Any, caller: Caller) -> int:
        """Answer with the number, whatever is asked."""
        return self.count

    def handle_cast(self, message: Any) -> None:
        """`{add, N}` adds."""
        _, number = message
        self.count += number


def say(text: str = "") -> None:
    """Tell the next part of the story."""
    print(text, flush=True)


async def demo(options: argparse.Namespace) -> None:
    """Tell the story."""
    cookie, epmd = token_hex(8), Epmd(_free_port())
    say(f"Two nodes in Python, over TCP on this machine; the first is the EPMD too (port {epmd.port}).")
    shop = Application("shop", Supervisor(Child(Counter, 10, name="counter"), intensity=3))
    async with (
        Node("shop@127.0.0.1", cookie, epmd=epmd) as server,
        Node("till@127.0.0.1", cookie, epmd=epmd) as client,
    ):
        await server.start_application(shop)
        say("  shop@127.0.0.1 runs the application `shop`: a supervisor and a counter that starts at 10")
        await _call_across(client)
        await _crash(client)
        if shutil.which("erl") is None:
            say("\nThere is no `erl` on PATH: with Erlang installed, a real Erlang node would join in here.")
        else:
            await _with_erlang(server, cookie, epmd)
    say("\nBoth nodes have stopped; no process and no port is left behind.")


async def _call_across(client: Node) -> None:
    counter = RemoteName("counter", "shop@127.0.0.1")
    say(f"\ntill@127.0.0.1 pings shop@127.0.0.1: {'pong' if await client.ping(counter.node) else 'pang'}")
    say(f"  call get           -> {await client.call(counter, GET)}")
    await client.cast(counter, (ADD, 5))
    say(f"  cast {{add, 5}}, get -> {await client.call(counter, GET)}")


async def _crash(client: Node) -> None:
    counter = RemoteName("counter", "shop@127.0.0.1")
    say("\ntill@127.0.0.1 monitors the counter, then makes it crash:")
    watch = client.monitor(counter)
    await client.cast(counter, (ADD, "five"))
    down = await watch
    (error, text), _stack = down.reason
    say(f"  Down, counter on shop@127.0.0.1: {error}: {text.decode()}")
    say(f"  the supervisor has restarted it: get -> {await _when_up(client, counter)}")


async def _when_up(client: Node, counter: RemoteName) -> Any:
    """Ask until the supervisor has restarted the server; the call itself says when it is not there."""
    with anyio.fail_after(5):
        while True:
            try:
                return await client.call(counter, GET)
            except ExitError:
                await anyio.lowlevel.checkpoint()


async def _with_erlang(node: Node, cookie: str, epmd: Epmd) -> None:
    say("\nA real Erlang node joins: erl -name erl@127.0.0.1")
    async with _erlang(node, cookie, epmd) as erl:
        assert erl.stdout is not None
        lines = _lines(TextReceiveStream(erl.stdout))
        with anyio.fail_after(ERLANG_TIMEOUT):
            async for line in lines:
                if line == "ready":
                    break
                say(STORY.get(line.split()[0], "  erl: {}").format(line.split()[-1]))
            else:
                raise NodeError("Erlang ended early: run with -v, and try `erl -name a@127.0.0.1` by hand")
            reply = await node.call(RemoteName("shell", "erl@127.0.0.1"), (Atom("square"), 12))
            say(f"  and we call Erlang:  {{square, 12}} -> {reply}")
            await node.send(RemoteName("shell", "erl@127.0.0.1"), Atom("bye"))
            await erl.wait()


STORY: Final = {
    "ping": "  Erlang: net_adm:ping('shop@127.0.0.1')                      -> {}",
    "call": "  Erlang: gen_server:call({{counter, 'shop@127.0.0.1'}}, get)   -> {}",
}


@asynccontextmanager
async def _erlang(node: Node, cookie: str, epmd: Epmd) -> AsyncIterator[Process]:
    expression = " ".join(ERLANG.format(us=node.name).split())
    command = ["erl", "-noshell", "-noinput", "-name", "erl@127.0.0.1", "-setcookie", cookie,
               "-start_epmd", "false", "-eval", expression]  # fmt: skip
    with tempfile.TemporaryDirectory() as home:
        # A home of its own: whatever ~/.erlang of the user does is not part of the story.
        environment = {**os.environ, "HOME": home, "ERL_EPMD_PORT": str(epmd.port)}
        async with await anyio.open_process(
            command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env=environment
        ) as process:
            try:
                yield process
            finally:
                if process.returncode is None:
                    process.kill()


async def _lines(stream: TextReceiveStream) -> AsyncIterator[str]:
    rest = ""
    async for text in stream:
        *whole, rest = (rest + text).split("\n")
        for line in whole:
            if line.strip():
                yield line.strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
