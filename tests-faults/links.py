"""Two nodes with a proxy of network faults between them, over TCP or TLS, of Python or one of them a BEAM."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import epmd_server
from ergo_node import Epmd, Node, Tls
from ergo_node.testing import FaultProxy

COOKIE = "secret"
HOST = "127.0.0.1"
A, B, PY, ERL = f"a@{HOST}", f"b@{HOST}", f"py@{HOST}", f"erl@{HOST}"


def made_certificates(folder: Path) -> Path:
    """The folder, with what `ergo-node certs` makes for our host in it."""
    command = [sys.executable, "-m", "ergo_node", "certs", str(folder), PY]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    return folder


def tls_of(folder: Path) -> Tls:
    """What a node of ours is given."""
    return Tls(folder / f"{HOST}.pem", ca=folder / "ca.pem")


def erl_tls_args(folder: Path) -> list[str]:
    """What `erl` is given."""
    return ["-proto_dist", "inet_tls", "-ssl_dist_optfile", str(folder / f"{HOST}.conf")]


@asynccontextmanager
async def linked_pair(
    epmd: Epmd, *, tls: Tls | None = None, seed: int | None = None, **options: Any
) -> AsyncIterator[tuple[Node, Node, FaultProxy]]:
    """Two nodes; the first is connected to the second, through the proxy: `out` is from it."""
    async with (
        Node(A, COOKIE, epmd=epmd, tls=tls, **options) as a,
        Node(B, COOKIE, epmd=epmd, tls=tls, **options) as b,
        FaultProxy(b.port, seed=seed) as proxy,
    ):
        print(proxy)
        a.add_route(B, HOST, proxy.port)
        await a.reach(B)
        yield a, b, proxy


@asynccontextmanager
async def linked_with_erl(
    epmd_port: int, name: str = ERL, *, seed: int | None = None, **options: Any
) -> AsyncIterator[tuple[Node, FaultProxy, FaultProxy]]:
    """A node of ours that is connected to an Erlang node, and reached by it, through proxies.

    The first proxy takes our connections and has the one there is (`out` is from us). The second one takes
    Erlang's: its port is what EPMD knows of us.
    """
    short = name.partition("@")[0]
    entry = await epmd_server.look_up(short, HOST, epmd_port=epmd_port)
    async with (
        FaultProxy(entry.port, seed=seed) as ours,
        Node(PY, COOKIE, epmd=None, routes={name: (HOST, ours.port)}, **options) as node,
        FaultProxy(node.port, seed=seed) as theirs,
        epmd_server.register("py", theirs.port, epmd_port=epmd_port),
    ):
        print(ours, theirs)
        await node.reach(name)
        yield node, ours, theirs
