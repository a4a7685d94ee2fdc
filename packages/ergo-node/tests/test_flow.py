"""Back-pressure: senders wait for a peer that does not read, reading waits for processes that are slow."""

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketStream
from ergo_node import Epmd, Node, NodeDown, NodeUp, RemoteName
from ergo_node import _departures as departures_file
from ergo_node import _flow as flow_file
from ergo_node._transport import BUSY_BYTES
from erldist_proto import Connected, Connection, LocalNode, Received, RegSend
from etf_codec import Atom, Pid, Term
from otp_behaviors import GenServer, Process

pytestmark = pytest.mark.anyio

HOST, COOKIE, PEER = "127.0.0.1", "secret", "p@127.0.0.1"
ME = Pid(PEER, 1, 0, 9)
CHUNK = bytes(65_536)
MANY = 1000
"""Chunks that neither a busy connection nor the buffers of TCP hold."""


class Peer:
    """A node by hand: it reads and writes when the test says so."""

    def __init__(self, stream: SocketStream, connection: Connection) -> None:
        self.stream = stream
        self.connection = connection
        self.received: list[Term] = []

    @classmethod
    async def connect(cls, node: Node) -> "Peer":
        connection = Connection.initiator(LocalNode(PEER, 9), node.name, COOKIE, monotonic())
        peer = cls(await anyio.connect_tcp(HOST, node.port), connection)
        while not await peer.read():
            pass
        return peer

    async def read(self) -> bool:
        """Read once; whether that ended the handshake."""
        await self.write()
        self.connection.receive_data(await self.stream.receive())
        events = self.connection.events()
        messages = [event for event in events if isinstance(event, Received)]
        self.received += [each.payload for each in messages if not _is_from_global(each)]
        return any(isinstance(event, Connected) for event in events)

    async def write(self) -> None:
        await self.stream.send(b"".join(self.connection.data_to_send()))

    def send(self, name: str, message: Term) -> None:
        self.connection.send(RegSend(ME, Atom(name)), message)


def _is_from_global(event: Received) -> bool:
    """Whether that is what `global` says to every node it meets."""
    message = event.message
    return isinstance(message, RegSend) and message.to_name == Atom("global_name_server")


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nothing tells."""
    while not condition():  # noqa: ASYNC110 (buffers fill and empty without a word)
        await anyio.sleep(0.005)


async def stalled(count: Callable[[], int]) -> int:
    """Wait until a count no longer grows: for a while, TCP takes more into its buffers."""
    while True:
        before = count()
        with anyio.move_on_after(0.3) as unchanged:
            await until(lambda: count() != before)  # noqa: B023 (it is awaited in this turn)
        if unchanged.cancelled_caught:
            return before


async def test_a_sender_waits_for_a_peer_that_does_not_read(epmd: Epmd) -> None:
    sent: list[int] = []

    async def pour(node: Node) -> None:
        for number in range(MANY):
            await node.send(RemoteName("sink", PEER), (number, CHUNK))
            sent.append(number)

    async with Node(f"a@{HOST}", COOKIE, epmd=epmd) as a:
        with anyio.fail_after(20):
            peer = await Peer.connect(a)
            async with peer.stream, anyio.create_task_group() as tasks:
                tasks.start_soon(pour, a)
                assert a._connections is not None
                busy = a._connections.busy
                await until(lambda: PEER in busy)
                stopped = await stalled(lambda: len(sent))
                assert PEER in busy
                waiting = a._connections._up[PEER].transport.bytes_waiting
                # Senders wait from BUSY_BYTES on until half of that is left; TCP takes some meanwhile.
                assert BUSY_BYTES // 2 < waiting < BUSY_BYTES + 8 * len(CHUNK)
                assert stopped < MANY
                assert await a.call("net_kernel", (Atom("is_auth"), 1)) == Atom("yes")  # others go on
                assert len(sent) == stopped
                while len(peer.received) < MANY:
                    await peer.read()
            assert [number for number, _ in peer.received] == list(range(MANY))
            assert not busy


async def test_waiting_senders_hear_that_the_peer_is_gone(epmd: Epmd) -> None:
    async with Node(f"a@{HOST}", COOKIE, epmd=epmd) as a:
        with anyio.fail_after(20), a.monitor_nodes() as events:
            peer = await Peer.connect(a)
            assert await anext(events) == NodeUp(PEER, hidden=False)
            async with anyio.create_task_group() as tasks:

                async def pour() -> None:
                    while a.nodes():
                        await a.send(RemoteName("sink", PEER), CHUNK)
                    tasks.cancel_scope.cancel()

                tasks.start_soon(pour)
                assert a._connections is not None
                connections = a._connections
                await until(lambda: PEER in connections.busy)
                await anyio.aclose_forcefully(peer.stream)
                await anyio.sleep_forever()
            assert isinstance(await anext(events), NodeDown)


async def test_a_process_that_never_waits_cannot_fill_the_memory(
    epmd: Epmd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "ergo_node")
    monkeypatch.setattr(departures_file, "MAX_WAITING_BYTES", 8 * BUSY_BYTES)

    async def pour(process: Process) -> None:
        for _ in range(1000):
            process.send(RemoteName("sink", PEER), CHUNK)
            await anyio.lowlevel.checkpoint()

    async with Node(f"a@{HOST}", COOKIE, epmd=epmd) as a:
        with anyio.fail_after(20), a.monitor_nodes() as events:
            peer = await Peer.connect(a)
            await anext(events)
            async with peer.stream:
                a.spawn(pour)
                assert await anext(events) == NodeDown(PEER, "connection_closed")
                assert f"{PEER} does not read" in caplog.text


class Pourer(GenServer):
    """Sends something large for each message it gets."""

    def init(self) -> None:
        self.sent = 0

    def handle_info(self, message: Any) -> None:
        self.send(RemoteName("sink", PEER), (self.sent, CHUNK))
        self.sent += 1


async def test_a_server_gets_no_turns_while_the_peer_does_not_read(epmd: Epmd) -> None:
    async with Node(f"a@{HOST}", COOKIE, epmd=epmd) as a:
        with anyio.fail_after(20):
            pourer = await a.start(Pourer)
            peer = await Peer.connect(a)
            async with peer.stream:
                for _ in range(MANY):
                    await a.send(pourer, 1)
                await until(lambda: PEER in a._held_up)
                mailbox = a.kernel.table.by_pid[pourer.pid].mailbox
                waiting = MANY - await stalled(lambda: MANY - len(mailbox))
                assert 0 < waiting < MANY
                await a.send(pourer, 1)
                assert await a.call("net_kernel", (Atom("is_auth"), 1)) == Atom("yes")
                assert len(mailbox) == waiting + 1
                while len(peer.received) < MANY + 1:
                    await peer.read()
            assert [number for number, _ in peer.received] == list(range(MANY + 1))
            assert not mailbox


async def test_a_server_that_was_held_up_goes_on_when_the_peer_is_gone(epmd: Epmd) -> None:
    async with Node(f"a@{HOST}", COOKIE, epmd=epmd) as a:
        with anyio.fail_after(20):
            pourer = await a.start(Pourer)
            peer = await Peer.connect(a)
            for _ in range(1000):
                await a.send(pourer, 1)
            await until(lambda: PEER in a._held_up)
            await anyio.aclose_forcefully(peer.stream)
            mailbox = a.kernel.table.by_pid[pourer.pid].mailbox
            await until(lambda: not mailbox)
            await pourer.stop()


class Slow(GenServer):
    """Handles one message each time the test lets it."""

    def init(self, turns: list[anyio.Event]) -> None:
        self.turns = turns
        self.seen: list[int] = []

    async def handle_info(self, message: Any) -> None:
        await self.turns[0].wait()
        self.seen.append(message[0])

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.seen


async def test_reading_pauses_while_a_process_is_slow(epmd: Epmd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_file, "HIGH_BYTES", 4 * BUSY_BYTES)
    monkeypatch.setattr(flow_file, "SAMPLE", 10)
    total, poured = 1000, [0]

    async def pour(peer: Peer) -> None:
        for number in range(total):
            peer.send("slow", (number, CHUNK))
            await peer.write()
            poured[0] = number + 1

    turns = [anyio.Event()]
    async with Node(f"a@{HOST}", COOKIE, epmd=epmd, tick_time=1.0) as a:
        slow = await a.start(Slow, turns, name="slow")
        with anyio.fail_after(30):
            peer = await Peer.connect(a)
            async with peer.stream, anyio.create_task_group() as tasks:
                tasks.start_soon(pour, peer)
                await until(lambda: bool(a._arrivals.flow._full))
                mailbox = a.kernel.table.by_pid[slow.pid].mailbox
                assert len(mailbox) < 10 * 4 * BUSY_BYTES // len(CHUNK)
                assert poured[0] < total
                # Longer than its ticks may be away: silence that we cause is not held against the peer.
                with anyio.move_on_after(1.6):
                    await until(lambda: not a.nodes())
                assert a.nodes() == [PEER]
                turns[0].set()
                seen: list[int] = []
                while len(seen) < total:
                    seen = await slow.call(Atom("seen"), timeout=20)
                assert seen == list(range(total))
            assert not a._arrivals.flow._full


class Busy(GenServer):
    """Counts."""

    def init(self) -> None:
        self.count = 0

    def handle_info(self, message: Any) -> None:
        self.count += 1

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.count


async def test_reading_pauses_while_the_kernel_is_behind(epmd: Epmd, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Node(f"a@{HOST}", COOKIE, epmd=epmd) as a:
        busy = await a.start(Busy, name="busy")
        pauses: list[None] = []
        with anyio.fail_after(30):
            peer = await Peer.connect(a)
            assert a._connections is not None
            transport = a._connections._up[PEER].transport
            pause = transport.pause_reading
            monkeypatch.setattr(transport, "pause_reading", lambda: pauses.append(pause()))
            async with peer.stream:
                for _ in range(20_000):
                    peer.send("busy", 1)
                await peer.write()
                count = 0
                while count < 20_000:
                    count = await busy.call(Atom("count"))
        assert pauses
        assert not a._arrivals.flow._backlog
