"""The command, as a user runs it: what it prints, how it ends, and no traceback, whatever happens."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import epmd_server
import pytest
from anyio import to_thread
from anyio.abc import SocketAttribute, SocketStream
from ergo_node import Epmd, Node
from ergo_node.cli import main
from etf_codec import Atom, from_text
from otp_behaviors import GenServer

HOST, COOKIE = "127.0.0.1", "secret"
STORY = (
    "till@127.0.0.1 pings shop@127.0.0.1: pong",
    "call get           -> 10",
    "cast {add, 5}, get -> 15",
    "Down, counter on shop@127.0.0.1",
    "the supervisor has restarted it: get -> 10",
    "Both nodes have stopped",
)
CTRL_C_AS_A_SCOPE_IS_LEFT = """
import signal
import sys

from ergo_node.cli import main


def strike(frame, event, argument):
    if frame.f_code.co_name == "__exit__" and frame.f_back.f_code.co_name == "fail_at":
        sys.settrace(None)
        signal.raise_signal(signal.SIGINT)


sys.settrace(strike)
sys.exit(main(sys.argv[1:]))
"""


class Doubler(GenServer):
    def handle_call(self, request: int, caller: object) -> tuple[Atom, int]:
        return (Atom("double"), 2 * request)


def run(*arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ) if path is None else {**os.environ, "PATH": path}
    return subprocess.run(
        [sys.executable, "-m", "ergo_node", *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        env=environment,
    )


async def command(epmd: Epmd, *arguments: str, cookie: str = COOKIE) -> subprocess.CompletedProcess[str]:
    """Run a command beside nodes of this process."""
    name, *rest = arguments
    return await to_thread.run_sync(run, name, "--cookie", cookie, "--epmd-port", str(epmd.port), *rest)


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """The error of a command that failed as it should: one line on stderr, nothing else."""
    assert result.returncode == 1
    assert result.stdout == ""
    line = result.stderr.removesuffix("\n")
    assert "\n" not in line
    assert line.startswith("ergo-node: ")
    return line


@pytest.fixture
async def there(epmd: Epmd) -> AsyncIterator[Node]:
    async with Node("there@127.0.0.1", COOKIE, epmd=epmd) as node:
        await node.start(Doubler, name="doubler")
        yield node


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("path", [None, ""], ids=["as_it_is", "without_erl"])
def test_the_demo(backend: str, path: str | None) -> None:
    result = run("demo", "--backend", backend, path=path)
    assert (result.returncode, result.stderr) == (0, "")
    positions = [result.stdout.find(part) for part in STORY]
    assert -1 not in positions, result.stdout
    assert positions == sorted(positions)
    assert ("There is no `erl` on PATH" in result.stdout) or ("Erlang: net_adm:ping" in result.stdout)
    if path == "":
        assert "There is no `erl` on PATH" in result.stdout


@pytest.mark.anyio
async def test_ping_and_call(there: Node, epmd: Epmd) -> None:
    with anyio.fail_after(30):
        result = await command(epmd, "ping", there.name)
        assert (result.returncode, result.stdout, result.stderr) == (0, "pong\n", "")
        result = await command(epmd, "call", "--backend", "trio", there.name, "doubler", "21")
        assert (result.returncode, result.stdout, result.stderr) == (0, "{double,42}\n", "")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("arguments", "cookie", "text"),
    [
        (("ping", "nobody@127.0.0.1"), COOKIE, "nobody@127.0.0.1 is not to be found"),
        (("ping", "b@nowhere.invalid"), COOKIE, "b@nowhere.invalid is not to be found"),
        (("ping", "there@127.0.0.1"), "another", "cookie mismatch with there@127.0.0.1"),
        (("ping", "there@127.0.0.1"), "", "the cookie is empty"),
        (("ping", "there"), COOKIE, "node name 'there' has no host part: use 'there@host'"),
        (("ping", "--name", "me", "there@127.0.0.1"), COOKIE, "node name 'me' has no host part"),
        (("ping", "--name", "there@127.0.0.1", "x@127.0.0.1"), COOKIE, "there@127.0.0.1 is in use"),
        (("call", "there@127.0.0.1", "nobody", "get"), COOKIE, "nobody"),
        (("call", "there@127.0.0.1", "doubler", "{get"), COOKIE, "ergo-node: "),
        (("call", "there@127.0.0.1", "doubler", "oops"), COOKIE, "TypeError"),
    ],
)
async def test_one_line_says_what_is_wrong(
    there: Node, epmd: Epmd, arguments: tuple[str, ...], cookie: str, text: str
) -> None:
    assert text in one_line(await command(epmd, *arguments, cookie=cookie))


@pytest.mark.parametrize("arguments", [[], ["dance"], ["ping"], ["ping", "--backend", "twisted", "a@b"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: ergo-node" in capsys.readouterr().err


def test_a_backend_that_is_not_installed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trio", None)
    assert main(["demo", "--backend", "trio"]) == 1
    assert capsys.readouterr() == ("", "ergo-node: trio is not installed: pip install trio\n")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("ergo-node 0.")


@asynccontextmanager
async def mute(epmd: Epmd) -> AsyncIterator[anyio.Event]:
    """A node, mute@127.0.0.1, that accepts connections and says nothing; the event tells of the first."""
    connected = anyio.Event()

    async def say_nothing(stream: SocketStream) -> None:
        async with stream:
            connected.set()
            await anyio.sleep_forever()

    async with (
        await anyio.create_tcp_listener(local_host=HOST) as listener,
        epmd_server.serve(HOST, epmd.port),
        epmd_server.register("mute", listener.extra(SocketAttribute.local_port), epmd_port=epmd.port),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, say_nothing)
        yield connected
        tasks.cancel_scope.cancel()


def ping_mute(epmd: Epmd, backend: str) -> list[str]:
    return ["ping", "--backend", backend, "--cookie", COOKIE, "--epmd-port", str(epmd.port), "mute@127.0.0.1"]


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C of another process is a POSIX signal")
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_ctrl_c(epmd: Epmd, backend: str) -> None:
    """While it waits for a node that accepts connections and says nothing."""
    async with mute(epmd) as connected:
        command = [sys.executable, "-m", "ergo_node", *ping_mute(epmd, backend)]
        async with await anyio.open_process(command) as process:
            with anyio.fail_after(15):
                await connected.wait()
                begun = anyio.current_time()
                process.send_signal(signal.SIGINT)
                assert await process.wait() == 130
            assert anyio.current_time() - begun < 3
            assert process.stderr is not None
            assert b"".join([data async for data in process.stderr]) == b""


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_ctrl_c_as_a_scope_is_left(epmd: Epmd, backend: str) -> None:
    """Were it raised there, the scope would stay open: trio has no way on from that."""
    async with mute(epmd):
        with anyio.fail_after(15):
            command = [sys.executable, "-c", CTRL_C_AS_A_SCOPE_IS_LEFT, *ping_mute(epmd, backend)]
            result = await anyio.run_process(command, check=False)
    assert (result.returncode, result.stderr) == (130, b"")


def test_certs_makes_what_erlang_and_python_need(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "certs"
    assert main(["certs", str(folder), "py@10.0.0.4", "db.example.com"]) == 0
    assert {path.name for path in folder.iterdir()} == {
        *("ca.pem", "ca-key.pem"),
        *("10.0.0.4.pem", "10.0.0.4.conf", "db.example.com.pem", "db.example.com.conf"),
    }
    conf = (folder / "10.0.0.4.conf").read_text()
    options = from_text(conf.partition("\n")[2])
    assert [side[0] for side in options] == [Atom("server"), Atom("client")]
    assert dict(options[0][1])[Atom("certfile")] == [*map(ord, str(folder / "10.0.0.4.pem"))]
    authority = (folder / "ca.pem").read_bytes()
    assert main(["certs", str(folder), "other"]) == 0
    assert (folder / "ca.pem").read_bytes() == authority
    assert f'Tls("{folder}/other.pem", ca="{folder}/ca.pem")' in capsys.readouterr().out


def test_certs_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["certs", str(tmp_path / "file"), "host"]) == 1
    assert main(["certs", str(tmp_path / "new"), "host", "--days", "0"]) == 1
    (tmp_path / "ca-key.pem").touch()
    assert main(["certs", str(tmp_path), "host"]) == 1
    assert capsys.readouterr().err.count("ergo-node: ") == 3
