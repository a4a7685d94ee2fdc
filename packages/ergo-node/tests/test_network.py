"""Sockets of anyio: who is let in, and by what address."""

import socket
import tracemalloc
from typing import Any

import anyio
import pytest
from ergo_node import Epmd, Node
from ergo_node._event_loop import READ_BYTES
from ergo_node._network import Reception, StreamNetwork
from ergo_node._transport import Transport, Wiring
from erldist_proto.testing import connected_pair
from otp_behaviors import Caller, GenServer, RemoteName

pytestmark = pytest.mark.anyio

HOST = "127.0.0.1"


def ignore(transport: Transport, what: object) -> None:
    """Take messages, or events."""


class Echo(GenServer):
    def handle_call(self, request: Any, caller: Caller) -> Any:
        return request


class Door(Reception):
    """Lets in the first who comes, and writes down from where they come."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.inside = anyio.Event()

    def admit(self, host: str) -> Wiring | None:
        self.hosts.append(host)
        if len(self.hosts) > 1:
            return None
        return Wiring(connected_pair(now=anyio.current_time())[0], ignore, ignore, host=host)

    async def run(self, transport: Transport) -> None:
        self.inside.set()
        await transport.run()


async def test_the_first_is_let_in_and_the_second_closed() -> None:
    door = Door()
    with anyio.fail_after(10):
        listener = await StreamNetwork().listen(HOST, 0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, door, tasks)
            async with await anyio.connect_tcp(HOST, listener.port):
                await door.inside.wait()
                async with await anyio.connect_tcp(HOST, listener.port) as second:
                    with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                        await second.receive()
            tasks.cancel_scope.cancel()
    assert door.hosts == [HOST, HOST]


async def test_nobody_listens() -> None:
    listener = await StreamNetwork().listen(HOST, 0)
    port = listener.port
    await listener.aclose()
    wiring = Wiring(connected_pair()[0], ignore, ignore)
    with pytest.raises(ConnectionRefusedError):
        await StreamNetwork().connect(HOST, port, wiring)


async def test_a_small_read_takes_little_memory(pair: tuple[Node, Node]) -> None:
    """Whatever a read could bring: the system would be asked for so much, and given it back, each time."""
    near, far = pair
    await far.start(Echo, name="echo")
    echo = RemoteName("echo", far.name)
    large = bytes(4 * READ_BYTES)
    with anyio.fail_after(20):
        for _ in range(2):
            # The second time after reads that brought much.
            assert await near.call(echo, b"small") == b"small"
            tracemalloc.start()
            try:
                before = tracemalloc.get_traced_memory()[0]
                assert await near.call(echo, b"small") == b"small"
                assert tracemalloc.get_traced_memory()[1] - before < READ_BYTES / 4
            finally:
                tracemalloc.stop()
            assert await near.call(echo, large) == large


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_no_end_of_a_connection_waits_to_send_what_is_small(backend: str, free_tcp_port: int) -> None:
    if backend == "uvloop":
        pytest.importorskip("uvloop", exc_type=ImportError)

    async def told() -> list[int]:
        epmd = Epmd(free_tcp_port)
        async with Node("a@127.0.0.1", "s", epmd=epmd) as a, Node("b@127.0.0.1", "s", epmd=epmd) as b:
            assert await a.ping(b.name)
            ends = []
            for node, peer in ((a, b), (b, a)):
                assert node._connections is not None
                transport: Any = node._connections.departures.up[peer.name].transport
                raw = transport._socket if backend == "trio" else transport._io.get_extra_info("socket")
                ends.append(raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            return ends

    if backend == "trio":
        ends = anyio.run(told, backend="trio")
    else:
        ends = anyio.run(told, backend_options={"use_uvloop": backend == "uvloop"})
    assert all(ends)
