"""Real Erlang peers for the tests, and a node of ours beside them, on asyncio and on trio."""

import math
from collections.abc import AsyncIterator
from contextlib import ExitStack

import anyio
import ergo_node
import pytest
from elixir_peer import elixir_folders
from erlang_nodes import epmd_port, erlang, erlang_code, otp_release, start_erl
from etf_codec import Term
from witness import StartWitness, Witness, Witnessed

__all__ = ["elixir_folders", "epmd_port", "erlang", "erlang_code", "otp_release", "start_erl"]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


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
