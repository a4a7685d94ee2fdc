"""What the commands print; that the C `epmd` prints the same is shown in tests-interop."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from epmd_server import _commands as commands
from epmd_server import register, serve

pytestmark = pytest.mark.anyio

Command = Callable[[int], Awaitable[int]]
STOP: Command = partial(commands.stop_node, name="né")


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """The port of something that gives this answer, and is no EPMD."""

    async def serve_one(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            if answer:
                await stream.send(answer)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, serve_one)
            yield listener.extra(SocketAttribute.local_port)
            tasks.cancel_scope.cancel()


async def test_lists_are_bytes_whatever_the_terminal_is(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    async with serve(port=0) as server, register("né", 4000, epmd_port=server.port):
        heading = f"epmd: up and running on port {server.port} with data:\n".encode()
        assert await commands.run(commands.print_names, server.port) == 0
        assert capsysbinary.readouterr() == (heading + "name né at port 4000\n".encode(), b"")
        assert await commands.run(commands.print_dump, server.port) == 0
        assert capsysbinary.readouterr().out == (
            heading + "active name     <né> at port 4000, fd = 1\n\0".encode()
        )
        assert await commands.run(commands.check_started, server.port) == 0
        assert capsysbinary.readouterr() == (b"", b"")


@pytest.mark.parametrize(
    ("relaxed", "command", "exit_code", "text"),
    [
        (False, commands.kill_epmd, 1, "Killing not allowed - living nodes in database.\n"),
        (False, STOP, 1, "epmd: local epmd responded with <>\n"),
        (True, commands.kill_epmd, 0, "Killed\n"),
        (True, STOP, 0, "STOPPED\n"),
        (True, partial(commands.stop_node, name="x"), 0, "NOEXIST\n"),
    ],
)
async def test_orders(
    relaxed: bool, command: Command, exit_code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serve(port=0, relaxed_command_check=relaxed) as server:
        async with register("né", 4000, epmd_port=server.port):
            assert await commands.run(command, server.port) == exit_code
    assert capsys.readouterr() == (text, "")


async def test_only_one_family_of_loopback_is_enough(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    async with serve(port=0) as probe:
        if "::1" not in probe.addresses:
            pytest.skip("this host has no IPv6 loopback")
    async with serve("::1", 0) as server:
        assert await commands.run(commands.print_names, server.port) == 0
    assert b"up and running" in capsysbinary.readouterr().out


@pytest.mark.parametrize("command", [commands.print_names, commands.print_dump, commands.kill_epmd, STOP])
async def test_nobody_there(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    async with serve("127.0.0.1", 0) as server:
        pass
    assert await commands.run(command, server.port) == 1
    assert capsys.readouterr() == ("", "epmd: Cannot connect to local epmd\n")
    assert await commands.run(commands.check_started, server.port) == 1


@pytest.mark.parametrize(
    ("command", "answer", "text"),
    [
        (commands.print_names, b"", "epmd: no response from local epmd\n"),
        (commands.print_dump, b"\0\0\x11", "epmd: no response from local epmd\n"),
        (commands.kill_epmd, b"", "epmd: local epmd responded with <>\n"),
        (commands.kill_epmd, b"x\xff\0", "epmd: local epmd responded with <x\\xff\0>\n"),
        (STOP, b"what", "epmd: local epmd responded with <what>\n"),
        (commands.check_started, b"\0", ""),
    ],
)
async def test_answers_that_are_none(
    command: Command, answer: bytes, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with answering(answer) as port:
        assert await commands.run(command, port) == 1
    assert capsys.readouterr() == (text, "")
