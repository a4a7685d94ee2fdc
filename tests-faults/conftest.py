"""Nodes of Python and of Erlang for the fault tests, and the invariants that are checked after each."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ergo_node import Epmd, Tls
from erlang_nodes import epmd_port, erlang, erlang_code, start_erl
from invariants import Invariants
from links import made_certificates, tls_of

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


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of certificates for 127.0.0.1, ours and Erlang's."""
    return made_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(params=["tcp", pytest.param("tls", marks=pytest.mark.slow)])
def tls(request: pytest.FixtureRequest) -> Tls | None:
    """For tests of nodes of ours over both; TLS has no fault of its own there, so it can wait."""
    return tls_of(request.getfixturevalue("certificates")) if request.param == "tls" else None
