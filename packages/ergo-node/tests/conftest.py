"""Nodes that meet at an EPMD of their own, on asyncio and on trio."""

from collections.abc import AsyncIterator

import pytest
from ergo_node import Epmd, Node

COOKIE = "secret"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def epmd(free_tcp_port: int) -> Epmd:
    """An EPMD that nobody else knows; the first node of the test becomes it."""
    return Epmd(free_tcp_port)


@pytest.fixture
async def pair(epmd: Epmd) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes, `a` (which is the EPMD) and `b`, that are not connected yet."""
    async with (
        Node("a@127.0.0.1", COOKIE, epmd=epmd) as a,
        Node("b@127.0.0.1", COOKIE, epmd=epmd) as b,
    ):
        yield a, b
