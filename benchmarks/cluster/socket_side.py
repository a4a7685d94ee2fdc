"""The floor: the bytes of a call and of its reply, back and forth on a blocking socket between two cores.

Each of its two processes is kept on a core of its own, where the system can do that. The nodes beside them
look for an answer before they sleep, by which they are on two cores. These two sleep, and now and then the
system has both on one core for seconds, where neither has to wake another core: its choice would be measured.

`python socket_side.py` counts what bytes a remote call takes on the wire, then drives a process that answers.
`python socket_side.py answer PORT FORTH BACK [CORE]` connects to the port, and answers. Run by contenders.py.
"""

import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
from anyio.abc import ByteStream, SocketAttribute, SocketStream
from ergo_node import Node, RemoteName
from python_side import HOST, REQUESTS, SHARE, Server, say

COUNTED: Final = 50
"""Calls over which the bytes are averaged."""


class Relay:
    """Passes bytes on between two nodes and counts them."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.forth = self.back = 0

    async def connected(self, near: SocketStream) -> None:
        """Relay one connection."""
        async with (
            near,
            await anyio.connect_tcp(HOST, self.target) as far,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(self.move, near, far, "forth")
            tasks.start_soon(self.move, far, near, "back")

    async def move(self, source: ByteStream, target: ByteStream, direction: str) -> None:
        """Pass on one direction, until either side closes."""
        try:
            async for data in source:
                setattr(self, direction, getattr(self, direction) + len(data))
                await target.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass
        await target.aclose()


@asynccontextmanager
async def relayed() -> AsyncIterator[tuple[Node, RemoteName, Relay]]:
    """A node, a server on another one, and the relay between them."""
    async with (
        Node(f"forth@{HOST}", "bench", epmd=None) as near,
        Node(f"back@{HOST}", "bench", epmd=None) as far,
        await anyio.create_tcp_listener(local_host=HOST) as listener,
        anyio.create_task_group() as tasks,
    ):
        await far.start(Server, name="server")
        relay = Relay(far.port)
        tasks.start_soon(listener.serve, relay.connected)
        near.add_route(far.name, HOST, listener.extra(SocketAttribute.local_port))
        yield near, RemoteName("server", far.name), relay
        await near.disconnect(far.name)
        tasks.cancel_scope.cancel()


async def bytes_of_calls() -> dict[str, tuple[int, int]]:
    """The bytes of a call, and of its reply, by row."""
    sizes = {}
    async with relayed() as (node, server, relay):
        for row, request in REQUESTS.items():
            await node.call(server, request)  # the connection, and what is in the atom cache after it
            forth, back = relay.forth, relay.back
            for _ in range(COUNTED):
                await node.call(server, request)
            sizes[row] = ((relay.forth - forth) // COUNTED, (relay.back - back) // COUNTED)
    return sizes


def received(end: socket.socket, buffer: bytearray) -> bool:
    """Fill the buffer; False at the end of the stream."""
    return end.recv_into(buffer, 0, socket.MSG_WAITALL) == len(buffer)


def cores() -> list[int]:
    """The cores that this process may use; none where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []


def stay_on(*core: int) -> None:
    """Keep this process on a core, if one is given."""
    if sys.platform == "linux" and core:
        os.sched_setaffinity(0, core)


def answer(port: str, forth: str, back: str, *core: str) -> None:
    """Answer until the other side closes."""
    stay_on(*map(int, core))
    request, reply = bytearray(int(forth)), bytes(int(back))
    with socket.create_connection((HOST, int(port))) as end:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while received(end, request):
            end.sendall(reply)


def turns(end: socket.socket, request: bytes, reply: bytearray, count: int) -> float:
    """Seconds for so many requests, each sent when the one before was answered."""
    start = time.perf_counter()
    for _ in range(count):
        end.sendall(request)
        received(end, reply)
    return time.perf_counter() - start


def measure(sizes: tuple[int, int], seconds: float, *core: int) -> dict[str, Any]:
    """Fill the seconds; the core is that of the process that answers."""
    request, reply = bytes(sizes[0]), bytearray(sizes[1])
    with socket.create_server((HOST, 0)) as listener:
        port = str(listener.getsockname()[1])
        command = [sys.executable, __file__, "answer", port, *map(str, (*sizes, *core))]
        with subprocess.Popen(command) as other:
            with listener.accept()[0] as end:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                count, took = 1, turns(end, request, reply, 1)
                while took < seconds / SHARE:
                    count = math.ceil(count * min(10.0, seconds / SHARE / took * 1.2))
                    took = turns(end, request, reply, count)
                count = max(1, int(count * seconds / took))
                took = turns(end, request, reply, count)
            other.wait()
    return {"count": count, "seconds": took}


def driven() -> None:
    """Answer requests until they end."""
    sizes = anyio.run(bytes_of_calls)
    usable = cores()
    stay_on(*usable[:1])
    say({"ready": True, "bytes": sizes})
    for line in sys.stdin:
        _, row, _, seconds = json.loads(line)
        say(measure(sizes[row], seconds, *usable[-1:]))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["answer", *args]:
            answer(*args)
        case _:
            driven()
