"""Sockets of anyio: who is let in, and by what address."""

import anyio
import pytest
from ergo_node._network import Reception, StreamNetwork
from ergo_node._transport import Transport, Wiring
from erldist_proto.testing import connected_pair

pytestmark = pytest.mark.anyio

HOST = "127.0.0.1"


def ignore(transport: Transport, what: object) -> None:
    """Take messages, or events."""


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
