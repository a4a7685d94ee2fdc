"""Nodes of Python and of Erlang for the fault tests, and the invariants that are checked after each."""

import logging
from collections.abc import AsyncIterator

import pytest
from ergo_node import Epmd
from erlang_nodes import epmd_port, erlang, erlang_code, start_erl
from invariants import Invariants

__all__ = ["epmd_port", "erlang", "erlang_code", "start_erl"]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(autouse=True)
async def invariants(anyio_backend: str) -> AsyncIterator[Invariants]:
    """Checked when the test and everything it started are over."""
    invariants = Invariants()
    root = logging.getLogger()
    root.addHandler(invariants.errors)
    try:
        yield invariants
        await invariants.check()
    finally:
        root.removeHandler(invariants.errors)


@pytest.fixture
def epmd(free_tcp_port: int) -> Epmd:
    """An EPMD that nobody else knows; the first node of the test becomes it."""
    return Epmd(free_tcp_port)
