"""A connection over a stream: what is written when, and how it ends."""

import math
from time import monotonic

import anyio
import anyio.abc
import pytest
import trio.testing
from anyio.streams.stapled import StapledObjectStream
from ergo_node._config import SHUTDOWN_GRACE
from ergo_node._transport import JOIN_BYTES, Transport, Wiring, joined
from ergo_node._transport_stream import StreamTransport
from erldist_proto import Closed, Connection, ControlMessage, Event, Received, SendSender
from erldist_proto.testing import connected_pair
from etf_codec import Pid, Term

SENDER, TO = Pid("alice@host", 1, 0, 1), Pid("bob@host", 1, 0, 2)
SMALL, LARGE = b"x" * 100, b"y" * (JOIN_BYTES + 1)


@pytest.mark.parametrize(
    ("pieces", "written"),
    [
        ([], []),
        ([SMALL], [SMALL]),
        ([SMALL, b"!", SMALL], [SMALL + b"!" + SMALL]),
        ([SMALL, SMALL, LARGE, SMALL, SMALL], [SMALL * 2, LARGE, SMALL * 2]),
        ([LARGE, LARGE], [LARGE, LARGE]),
        ([memoryview(SMALL), SMALL], [SMALL * 2]),
    ],
)
def test_small_pieces_arejoined(pieces: list[bytes | memoryview], written: list[bytes | memoryview]) -> None:
    assert joined(pieces) == written


def test_large_pieces_are_not_copied() -> None:
    assert joined([SMALL, LARGE, SMALL])[1] is LARGE


class Pipe(anyio.abc.ByteStream):
    """One end of a connection in memory. `room` is how many writes it takes before its reader reads."""

    def __init__(self, stream: StapledObjectStream[bytes]) -> None:
        self.stream = stream
        self.writes: list[int] = []

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return await self.stream.receive()

    async def send(self, item: bytes) -> None:
        self.writes.append(len(item))
        await self.stream.send(bytes(item))

    async def send_eof(self) -> None:
        await self.stream.send_eof()

    async def aclose(self) -> None:
        await self.stream.aclose()


def pipes(room: float) -> tuple[Pipe, Pipe]:
    there_send, there_receive = anyio.create_memory_object_stream[bytes](room)
    back_send, back_receive = anyio.create_memory_object_stream[bytes](math.inf)
    first = StapledObjectStream(there_send, back_receive)
    return Pipe(first), Pipe(StapledObjectStream(back_send, there_receive))


class End:
    """A transport and the events that its handler got."""

    def __init__(self, connection: Connection, pipe: anyio.abc.ByteStream) -> None:
        self.events: list[Event] = []
        self.arrived = anyio.Event()
        self.transport = StreamTransport(Wiring(connection, self._deliver, self._handle), pipe)

    def _deliver(self, transport: Transport, messages: list[tuple[ControlMessage, Term]]) -> None:
        self._handle(transport, [Received(*message) for message in messages])

    def _handle(self, transport: Transport, events: list[Event]) -> None:
        assert transport is self.transport
        self.events += events
        self.arrived.set()


@pytest.mark.anyio
async def test_messages_go_there_and_the_end_comes_last() -> None:
    connections, ends = connected_pair(), pipes(math.inf)
    alice, bob = (End(connection, pipe) for connection, pipe in zip(connections, ends, strict=True))
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(alice.transport.run)
            tasks.start_soon(bob.transport.run)
            for number in range(3):
                connections[0].send(SendSender(SENDER, TO), number)
            alice.transport.flush()
            await bob.arrived.wait()
            connections[0].send(SendSender(SENDER, TO), b"last")
            alice.transport.close()
    payloads = [event.payload for event in bob.events if isinstance(event, Received)]
    assert payloads == [0, 1, 2, b"last"]
    assert isinstance(bob.events[-1], Closed)
    assert bob.transport.closed is not None
    assert bob.transport.closed.reason == "connection_closed"
    assert alice.transport.closed is not None
    assert alice.transport.closed.reason == "disconnect"
    assert len(ends[0].writes) == 2  # what was sent together was written together


@pytest.mark.anyio
async def test_a_cancelled_transport_closes_its_connection() -> None:
    connection, _ = connected_pair()
    pipe, other = pipes(math.inf)
    end = End(connection, pipe)
    async with other:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(end.transport.run)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            assert isinstance(end.events[-1], Closed)
            async for _ in other:
                pass  # whatever was on its way; then the end, or the deadline above


@pytest.mark.anyio
@pytest.mark.parametrize(
    "anyio_backend", [("trio", {"clock": trio.testing.MockClock(autojump_threshold=0.01)})], ids=["trio"]
)
async def test_a_peer_that_does_not_read_is_given_up() -> None:
    """In virtual time; and while we wait to write to it, we read what it sends."""
    connections, (pipe, other) = connected_pair(), pipes(0)
    end = End(connections[0], pipe)
    async with other:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end.transport.run)
            connections[0].send(SendSender(SENDER, TO), b"never read")
            end.transport.flush()
            await anyio.wait_all_tasks_blocked()
            connections[1].send(SendSender(TO, SENDER), b"hello")
            await other.send(b"".join(connections[1].data_to_send()))
            await end.arrived.wait()
            assert [event.payload for event in end.events if isinstance(event, Received)] == [b"hello"]
            begun = anyio.current_time()
            end.transport.close()
        assert anyio.current_time() - begun == pytest.approx(SHUTDOWN_GRACE, abs=0.5)
    assert isinstance(end.events[-1], Closed)


async def sockets() -> tuple[anyio.abc.SocketStream, anyio.abc.SocketStream]:
    """Both ends of a connection over loopback."""
    ends: list[anyio.abc.SocketStream] = []
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        ends.append(await anyio.connect_tcp("127.0.0.1", port))

        async def meet(stream: anyio.abc.SocketStream) -> None:
            ends.append(stream)
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            await listener.serve(meet)
    return ends[0], ends[1]


async def read(connection: Connection, stream: anyio.abc.ByteStream, count: int) -> list[object]:
    """The payloads of so many messages."""
    payloads: list[object] = []
    while len(payloads) < count:
        connection.receive_data(await stream.receive())
        payloads += [event.payload for event in connection.events() if isinstance(event, Received)]
    return payloads


@pytest.mark.anyio
async def test_what_a_socket_does_not_take_at_once_follows_in_order(anyio_backend_name: str) -> None:
    """An answer to a read is in the socket when `flush` returns; the task writes what is too much for it."""
    connections, (stream, other) = connected_pair(now=monotonic()), await sockets()
    end = End(connections[0], stream)
    sent = [(number, bytes(size)) for number, size in enumerate([10, 50_000, 10, 3_000_000, 10, 50_000])]
    with anyio.fail_after(20):
        async with other, anyio.create_task_group() as tasks:
            tasks.start_soon(end.transport.run)
            connections[1].send(SendSender(TO, SENDER), b"hello")
            await other.send(b"".join(connections[1].data_to_send()))
            await end.arrived.wait()
            connections[0].send(SendSender(SENDER, TO), b"at once")
            end.transport.flush()
            if anyio_backend_name == "trio":  # asyncio lends its sockets to nobody
                assert end.transport.bytes_waiting == 0
            assert await read(connections[1], other, 1) == [b"at once"]
            for message in sent:
                connections[0].send(SendSender(SENDER, TO), message)
                end.transport.flush()
            assert end.transport.bytes_waiting > 0
            assert await read(connections[1], other, len(sent)) == sent
            assert end.transport.bytes_waiting == 0
            tasks.cancel_scope.cancel()
