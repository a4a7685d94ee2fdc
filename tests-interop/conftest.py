"""Real Erlang peers for the tests: an EPMD of its own per test, and `erl` nodes that never outlive it."""

import math
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import anyio
import ergo_node
import pytest
from erlang_peer import Erl, StartErl
from etf_codec import Term
from witness import StartWitness, Witness, Witnessed

INSTALL_ERLANG = (
    "no `erl` on PATH: apt install erlang-base erlang-ssl erlang-runtime-tools elixir (Debian, Ubuntu),"
    " dnf install erlang elixir (Fedora), brew install erlang elixir (macOS)"
)
EPMD_DEADLINE = 10.0


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def erlang() -> None:
    """Asks for Erlang: skips the test, or fails it when ERGO_REQUIRE_ERLANG=1."""
    if shutil.which("erl") is None:
        if os.environ.get("ERGO_REQUIRE_ERLANG") == "1":
            pytest.fail(f"ERGO_REQUIRE_ERLANG=1, but {INSTALL_ERLANG}", pytrace=False)
        pytest.skip(INSTALL_ERLANG)


@pytest.fixture(scope="session")
def erlang_code(erlang: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the compiled Erlang modules of this directory."""
    folder = tmp_path_factory.mktemp("erlang")
    sources = [str(path) for path in Path(__file__).parent.glob("*.erl")]
    subprocess.run(["erlc", "-o", str(folder), *sources], check=True, timeout=60)
    return folder


@pytest.fixture
def epmd_port(erlang: None, free_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of OTP's own `epmd`, started for this test; ERL_EPMD_PORT points our nodes to it as well."""
    monkeypatch.setenv("ERL_EPMD_PORT", str(free_tcp_port))
    epmd = subprocess.Popen(["epmd", "-port", str(free_tcp_port), "-address", "127.0.0.1"])
    try:
        wait_until_listening(free_tcp_port)
        yield free_tcp_port
    finally:
        epmd.kill()
        epmd.wait(EPMD_DEADLINE)


def wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + EPMD_DEADLINE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@pytest.fixture
async def start_erl(erlang_code: Path, epmd_port: int) -> AsyncIterator[StartErl]:
    """Starts Erlang nodes; each is killed after the test, and its log is shown when the test failed."""
    nodes: list[Erl] = []

    async def start(
        name: str,
        *,
        cookie: str = "secret",
        epmd_port: int = epmd_port,
        args: Sequence[str] = (),
        env: Mapping[str, str] = {},
    ) -> Erl:
        erl = await Erl.start(name, cookie=cookie, epmd_port=epmd_port, code=erlang_code, args=args, env=env)
        nodes.append(erl)
        tasks.start_soon(erl.listen)
        await erl.booted()
        return erl

    async with anyio.create_task_group() as tasks:
        try:
            yield start
        finally:
            with anyio.CancelScope(shield=True):
                for erl in nodes:
                    await erl.aclose()
    for erl in nodes:
        print(f"-- {erl.name}", *erl.output, sep="\n")


@pytest.fixture
async def node(epmd_port: int) -> AsyncIterator["ergo_node.Node"]:
    """Our node, known to the EPMD of the test."""
    async with ergo_node.Node("py@127.0.0.1", cookie="secret") as node:
        yield node


@pytest.fixture
async def start_witness(node: "ergo_node.Node") -> AsyncIterator[StartWitness]:
    """Starts processes on our node that report to the test."""
    with ExitStack() as streams:

        async def start(name: str | None = None) -> Witnessed:
            told, messages = anyio.create_memory_object_stream[Term](math.inf)
            streams.enter_context(told)
            streams.enter_context(messages)
            return Witnessed(await node.start(Witness, told, name=name), messages)

        yield start
