"""The fixtures of tests beside real Erlang: an EPMD per test, and `erl` nodes that never outlive it.

A conftest imports the fixtures it wants; all of this needs `erl` on PATH.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

import anyio
import pytest
from erlang_peer import Erl, StartErl

INSTALL_ERLANG = (
    "no `erl` on PATH: apt install erlang-base erlang-ssl erlang-runtime-tools elixir (Debian, Ubuntu),"
    " dnf install erlang elixir (Fedora), brew install erlang elixir (macOS)"
)
EPMD_DEADLINE = 10.0


@pytest.fixture(scope="session")
def erlang() -> None:
    """Asks for Erlang: skips the test, or fails it when ERGO_REQUIRE_ERLANG=1."""
    require_erlang()


def require_erlang() -> None:
    if shutil.which("erl") is None:
        if os.environ.get("ERGO_REQUIRE_ERLANG") == "1":
            pytest.fail(f"ERGO_REQUIRE_ERLANG=1, but {INSTALL_ERLANG}", pytrace=False)
        pytest.skip(INSTALL_ERLANG)


@pytest.fixture(scope="session")
def otp_release() -> int:
    """The major release of the Erlang on PATH, for what OTP itself does differently from one to the next."""
    require_erlang()
    ask = ["erl", "-noinput", "-eval", "io:put_chars(erlang:system_info(otp_release)), halt()."]
    answer = subprocess.run(ask, check=True, timeout=60, capture_output=True, text=True)
    return int(answer.stdout)


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
