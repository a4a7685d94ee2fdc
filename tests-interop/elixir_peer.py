"""A node of Elixir that a test asks to evaluate Elixir."""

import shutil
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from erlang_peer import Erl, StartErl

PY, EX = "py@127.0.0.1", "ex@127.0.0.1"
PATIENCE = 10.0
SOURCES = ("elixir_tasks.ex", "twin_tasks.ex")

needs_elixir = pytest.mark.skipif(
    shutil.which("elixir") is None, reason="no `elixir` on PATH: apt install elixir"
)


class Elixir:
    """Evaluates Elixir on a node; one process evaluates everything, and traps exits."""

    def __init__(self, erl: Erl) -> None:
        self.erl = erl

    async def __call__(self, source: str) -> Any:
        """The value of an expression, as a Python term."""
        code = source.encode().hex()
        return await self.erl.eval(
            f"element(1, 'Elixir.Code':eval_string(binary:decode_hex(<<\"{code}\">>)))", 30
        )

    async def until(self, condition: str) -> None:
        """Wait until an expression is true."""
        with anyio.fail_after(PATIENCE):
            while await self(condition) is not True:  # noqa: ASYNC110  # nothing tells of it
                await anyio.sleep(0.01)

    async def met(self) -> None:
        """Wait until this node knows of its connection with ours, which is ready on our side before."""
        await self.until(f'Node.list() == [:"{PY}"]')


@pytest.fixture(scope="session")
def elixir_folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The folders of Elixir's own modules, and of those of this directory that are for tasks."""
    found = subprocess.run(
        ["elixir", "-e", "IO.write(:code.lib_dir(:elixir))"], capture_output=True, check=True, timeout=60
    )
    folder = tmp_path_factory.mktemp("elixir")
    paths = [str(Path(__file__).with_name(source)) for source in SOURCES]
    subprocess.run(["elixirc", "-o", str(folder), *paths], check=True, timeout=120)
    return [found.stdout.decode() + "/ebin", str(folder)]


async def start_elixir(
    start_erl: StartErl, folders: Sequence[str], name: str = EX, *, args: Sequence[str] = ()
) -> Elixir:
    """Start a node of Elixir."""
    erl = await start_erl(name, args=["-pa", *folders, *args])
    # Elixir has standard input read as binaries, the evaluator reads lists.
    await erl.eval("{ok, _} = application:ensure_all_started(elixir), io:setopts([{binary, false}])")
    return Elixir(erl)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is true here."""
    with anyio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110  # it polls what another node does
            await anyio.sleep(0.005)


async def within(awaitable: Awaitable[Any]) -> Any:
    """What is awaited, unless it takes too long."""
    with anyio.fail_after(PATIENCE):
        return await awaitable
