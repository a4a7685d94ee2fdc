"""Sockets of asyncio: what is written when, on asyncio and uvloop, in programs anyio did not start too."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import pytest
from anyio.abc import SocketStream
from ergo_node import Epmd, Node, RemoteName
from ergo_node._network import Reception
from ergo_node._transport import BUSY_BYTES, Transport, Wiring
from ergo_node._transport_asyncio import ProtocolNetwork, ProtocolTransport, on_asyncio
from erldist_proto import Closed, Connection, ControlMessage, Event, Received, SendSender
from erldist_proto.testing import connected_pair
from etf_codec import Atom, Pid, Reference, Term
from otp_behaviors import GenServer

HOST = "127.0.0.1"
SENDER, TO = Pid("alice@host", 1, 0, 1), Pid("bob@host", 1, 0, 2)
REF = Reference("alice@host", 1, (1, 2, 3))


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    if request.param:
        pytest.importorskip("uvloop", exc_type=ImportError)
    return "asyncio", {"use_uvloop": request.param}


class Party(Reception):
    """Takes connections for one end of a connected pair, and writes down what they bring."""

    def __init__(self, connection: Connection, welcome: bool = True) -> None:
        self.connection = connection
        self.welcome = welcome
        self.events: list[Event] = []
        self.arrived = anyio.Event()
        self.transport: Transport | None = None
        self.answer: Callable[[Transport, list[Event]], None] = lambda transport, events: None

    @property
    def wiring(self) -> Wiring:
        return Wiring(self.connection, self.deliver, self.handle)

    @property
    def payloads(self) -> list[Any]:
        return [event.payload for event in self.events if isinstance(event, Received)]

    def deliver(self, transport: Transport, messages: list[tuple[ControlMessage, Term]]) -> None:
        self.handle(transport, [Received(*message) for message in messages])

    def handle(self, transport: Transport, events: list[Event]) -> None:
        self.events += events
        self.answer(transport, events)
        self.arrived.set()

    def admit(self, host: str) -> Wiring | None:
        assert host == HOST
        return self.wiring if self.welcome else None

    async def run(self, transport: Transport) -> None:
        self.transport = transport
        self.arrived.set()
        await transport.run()

    async def running(self) -> Transport:
        await self.arrived.wait()
        assert self.transport is not None
        return self.transport


@asynccontextmanager
async def talking(alice: Party, bob: Party, reads: list[list[Any]]) -> AsyncIterator[Transport]:
    """Bob's transport to Alice, who listens; each read of his is noted."""
    bob.answer = lambda transport, events: reads.append(
        [event.payload for event in events if isinstance(event, Received)]
    )
    with anyio.fail_after(10):
        listener = await ProtocolNetwork().listen(HOST, 0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, alice, tasks)
            transport = await ProtocolNetwork().connect(HOST, listener.port, bob.wiring)
            tasks.start_soon(transport.run)
            yield transport
            tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_messages_there_and_answers_back() -> None:
    alice, bob = (Party(connection) for connection in connected_pair())

    def answer(transport: Transport, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Received):
                transport.connection.send(SendSender(TO, SENDER), event.payload + 1)
                transport.flush()

    bob.answer = answer
    assert on_asyncio()
    network = ProtocolNetwork()
    with anyio.fail_after(10):
        listener = await network.listen(HOST, 0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, bob, tasks)
            transport = await network.connect(HOST, listener.port, alice.wiring)
            tasks.start_soon(transport.run)
            for number in range(100):
                transport.connection.send(SendSender(SENDER, TO), number)
                transport.flush()
            while len(alice.payloads) < 100:
                alice.arrived = anyio.Event()
                await alice.arrived.wait()
            transport.connection.send(SendSender(SENDER, TO), 100)
            transport.close()  # what was sent before still arrives
            while not any(isinstance(event, Closed) for event in bob.events):
                bob.arrived = anyio.Event()
                await bob.arrived.wait()
            tasks.cancel_scope.cancel()
    assert bob.payloads == list(range(101))
    assert alice.payloads == list(range(1, 101))


@pytest.mark.anyio
@pytest.mark.parametrize("count", [1, 3])
async def test_the_answer_to_one_message_leaves_at_once_and_to_several_together(count: int) -> None:
    alice, bob = (Party(connection) for connection in connected_pair())
    left: list[bool] = []
    reads: list[list[Any]] = []

    def answer(transport: Transport, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Received):
                transport.connection.send(SendSender(SENDER, TO), event.payload)
                transport.flush()
                left.append(not transport.connection.bytes_pending)

    alice.answer = answer
    async with talking(alice, bob, reads) as transport:
        for _ in range(2):
            for number in range(count):
                transport.connection.send(SendSender(TO, SENDER), number)
            transport.flush()
            bob.arrived = anyio.Event()
            await bob.arrived.wait()
    assert [read for read in reads if read][-1] == list(range(count))
    # The first ones fill the atom cache, and are no messages of a usual read.
    assert left[-count:] == [count == 1] * count


@pytest.mark.anyio
@pytest.mark.parametrize("follows", [False, True])
async def test_what_nobody_waits_for_goes_with_what_follows(follows: bool) -> None:
    alice, bob = (Party(connection) for connection in connected_pair())
    reads: list[list[Any]] = []

    def send(transport: Transport, number: int, *, hurried: bool) -> None:
        transport.connection.send(SendSender(SENDER, TO), number)
        transport.flush(hurried=hurried)

    def answer(transport: Transport, events: list[Event]) -> None:
        if any(isinstance(event, Received) for event in events):
            if follows:
                # As the task does that waited for what came.
                asyncio.get_running_loop().call_soon(lambda: send(transport, 2, hurried=True))
            send(transport, 1, hurried=False)

    alice.answer = answer
    async with talking(alice, bob, reads) as transport:
        transport.connection.send(SendSender(TO, SENDER), 0)
        transport.flush()
        while not bob.payloads:
            bob.arrived = anyio.Event()
            await bob.arrived.wait()
    assert [read for read in reads if read] == [[1, 2] if follows else [1]]


@pytest.mark.anyio
async def test_who_is_not_admitted_is_closed_unread() -> None:
    _, bob = (Party(connection, welcome=False) for connection in connected_pair())
    with anyio.fail_after(10):
        listener = await ProtocolNetwork().listen(HOST, 0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, bob, tasks)
            async with await anyio.connect_tcp(HOST, listener.port) as stream:
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await stream.receive()
            tasks.cancel_scope.cancel()
    assert bob.events == []


@pytest.mark.anyio
async def test_a_fault_of_ours_is_raised_where_the_transport_runs() -> None:
    alice, bob = (Party(connection) for connection in connected_pair())

    def fail(transport: Transport, events: list[Event]) -> None:
        if any(isinstance(event, Received) for event in events):
            raise RuntimeError("a bug")

    async def take(stream: SocketStream) -> None:
        async with stream:
            bob.connection.send(SendSender(TO, SENDER), 1)
            for piece in bob.connection.data_to_send():
                await stream.send(bytes(piece))
            await stream.receive()

    alice.answer = fail
    with anyio.fail_after(10):
        async with await anyio.create_tcp_listener(local_host=HOST) as listener:
            port = listener.extra(anyio.abc.SocketAttribute.local_port)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, take)
                transport = await ProtocolNetwork().connect(HOST, port, alice.wiring)
                with pytest.raises(RuntimeError, match="a bug"):
                    await transport.run()
                tasks.cancel_scope.cancel()
    assert isinstance(alice.events[-1], Closed)


@pytest.mark.anyio
@pytest.mark.parametrize("error", [RuntimeError("a bug"), SystemExit(3)], ids=repr)
async def test_a_fault_of_ours_is_raised_though_the_connection_is_closed(error: BaseException) -> None:
    alice, bob = (Party(connection) for connection in connected_pair())
    with anyio.fail_after(10):
        listener = await ProtocolNetwork().listen(HOST, 0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, bob, tasks)
            transport = await ProtocolNetwork().connect(HOST, listener.port, alice.wiring)
            assert isinstance(transport, ProtocolTransport)
            transport.fail(error)
            transport.close()
            with pytest.raises(type(error)) as raised:
                await transport.run()
            tasks.cancel_scope.cancel()
    assert raised.value is error


@pytest.mark.anyio
async def test_a_peer_that_does_not_read_makes_the_transport_busy() -> None:
    alice, bob = (Party(connection) for connection in connected_pair())
    chunk = bytes(65_536)
    with anyio.fail_after(20):
        listener = await ProtocolNetwork().listen(HOST, 0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, alice, tasks)
            async with await anyio.connect_tcp(HOST, listener.port) as stream:
                transport = await alice.running()
                sent = 0
                while not transport.busy:
                    transport.connection.send(SendSender(SENDER, TO), (sent, chunk))
                    transport.flush()
                    sent += 1
                    await anyio.lowlevel.checkpoint()
                assert BUSY_BYTES < transport.bytes_waiting < BUSY_BYTES + 3 * len(chunk)
                # What goes another way finds it busy, and waits.
                assert not transport.transmit(SENDER, TO, "more")
                assert not transport.monitor(SENDER, TO, REF)
                assert not transport.demonitor(SENDER, TO, REF)
                tasks.start_soon(transport.relieved)
                while len(bob.payloads) < sent:
                    bob.connection.receive_data(await stream.receive(262_144))
                    bob.events += bob.connection.events()
                assert transport.bytes_waiting <= BUSY_BYTES
            tasks.cancel_scope.cancel()
    assert [number for number, _ in bob.payloads] == list(range(sent))


class Slow(GenServer):
    """Answers from a coroutine, so that a task has to be started for it."""

    def init(self) -> None:
        pass

    async def handle_call(self, request: Any, caller: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return request


def test_a_program_that_asyncio_runs(free_tcp_port: int) -> None:
    """Callbacks of sockets run in no task: what they start must not have to guess which library runs."""

    async def main() -> None:
        epmd = Epmd(free_tcp_port)
        async with Node(f"a@{HOST}", "secret", epmd=epmd) as a, Node(f"b@{HOST}", "secret", epmd=epmd) as b:
            await b.start(Slow, name="slow")
            assert await a.call(RemoteName("slow", b.name), Atom("hello")) == Atom("hello")

    asyncio.run(main())


def test_trio_is_not_asyncio() -> None:
    async def ask() -> bool:
        return on_asyncio()

    assert not anyio.run(ask, backend="trio")
    assert anyio.run(ask, backend="asyncio")
    assert not on_asyncio()
