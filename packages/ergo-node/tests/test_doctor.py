"""`ergo-node doctor`: each reason why a node cannot be reached, and the advice that goes with it."""

from collections.abc import AsyncIterator, Callable

import anyio
import epmd_server
import pytest
from anyio import to_thread
from anyio.abc import SocketStream
from ergo_node import Epmd, Listen, Node, Policy, Tls
from ergo_node._certificates import Authority, write_node
from ergo_node.cli import main

pytestmark = pytest.mark.anyio

HOST, COOKIE = "127.0.0.1", "secret"
THERE = f"there@{HOST}"


class Examination:
    """Runs the command beside nodes of this process."""

    def __init__(self, epmd: Epmd, capsys: pytest.CaptureFixture[str]) -> None:
        self._epmd = epmd
        self._capsys = capsys

    async def __call__(self, *arguments: str, cookie: str = COOKIE) -> tuple[int, list[str]]:
        command = ["doctor", "--cookie", cookie, "--epmd-port", str(self._epmd.port), *arguments]
        code = await to_thread.run_sync(main, command)
        out, err = self._capsys.readouterr()
        assert err.count("\n") == (1 if code else 0)
        return code, out.splitlines()


@pytest.fixture
async def examine(epmd: Epmd, capsys: pytest.CaptureFixture[str]) -> Examination:
    return Examination(epmd, capsys)


@pytest.fixture
async def there(epmd: Epmd) -> AsyncIterator[Node]:
    async with Node(THERE, COOKIE, epmd=epmd) as node:
        yield node


def failure(result: tuple[int, list[str]], step: str) -> str:
    """The failed step with its advice, which come last."""
    code, lines = result
    assert code == 1
    assert lines[-2].startswith(f"FAILED  {step}: ")
    assert all(line.startswith("ok ") for line in lines[:-2])
    return " ".join(lines[-2:])


async def test_all_is_well(examine: Examination, there: Node) -> None:
    code, lines = await examine(THERE)
    assert code == 0
    assert [line.split(":")[0].split()[-1] for line in lines[:-1]] == [
        "name",
        "host",
        "EPMD",
        "port",
        "handshake",
    ]
    assert lines[-1] == f"{THERE} can be reached from here"
    code, lines = await examine(THERE, "--port", str(there.port), "--name", f"doctor@{HOST}")
    assert code == 0
    assert f"it knows us as doctor@{HOST}" in lines[-2]
    assert not any("EPMD" in line for line in lines)


async def test_no_name(examine: Examination) -> None:
    assert "use 'there@host'" in failure(await examine("there"), "name")


async def test_no_host(examine: Examination) -> None:
    assert "/etc/hosts" in failure(await examine("there@nobody.invalid"), "host")


async def test_no_epmd(examine: Examination) -> None:
    assert "epmd -daemon" in failure(await examine(THERE), "EPMD")


async def test_not_registered(examine: Examination, there: Node) -> None:
    text = failure(await examine(f"their@{HOST}"), "EPMD")
    assert f"it knows {THERE}" in text


async def test_no_epmd_but_something_else(examine: Examination, epmd: Epmd) -> None:
    async def babble(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"SSH-2.0-OpenSSH_9.2\r\n")

    async with (
        await anyio.create_tcp_listener(local_host=HOST, local_port=epmd.port or 0) as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, babble)
        assert "is no EPMD" in failure(await examine(THERE), "EPMD")
        tasks.cancel_scope.cancel()


async def test_nobody_at_the_port(
    examine: Examination, epmd: Epmd, free_tcp_port_factory: Callable[[], int]
) -> None:
    port = free_tcp_port_factory()
    async with epmd_server.serve(HOST, epmd.port), epmd_server.register("there", port, epmd_port=epmd.port):
        assert f"open port {port}" in failure(await examine(THERE), "port")


async def test_another_cookie(examine: Examination, there: Node) -> None:
    assert "erlang:get_cookie()" in failure(await examine(THERE, cookie="other"), "handshake")


async def test_not_on_the_list(examine: Examination, epmd: Epmd) -> None:
    async with Node(THERE, COOKIE, epmd=epmd, policy=Policy(allow=["friend@host"])):
        assert "net_kernel:allow/1" in failure(await examine(THERE), "handshake")


async def test_another_node_at_the_port(examine: Examination, there: Node) -> None:
    text = failure(await examine(f"else@{HOST}", "--port", str(there.port)), "handshake")
    assert THERE in text


async def test_tls(examine: Examination, epmd: Epmd, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("certs")
    authority = Authority.create()
    authority.save(folder)
    write_node(folder, HOST, *authority.issue([HOST], 1))
    certificate, ca = str(folder / f"{HOST}.pem"), str(folder / "ca.pem")
    async with Node(THERE, COOKIE, epmd=epmd, tls=Tls(certificate, ca=ca), listen=Listen(HOST)):
        assert "--certificate" in failure(await examine(THERE), "handshake")
        assert (await examine(THERE, "--certificate", certificate, "--ca", ca))[0] == 0
    async with Node(THERE, COOKIE, epmd=epmd):
        assert "not if it does not" in failure(
            await examine(THERE, "--certificate", certificate, "--ca", ca), "handshake"
        )
