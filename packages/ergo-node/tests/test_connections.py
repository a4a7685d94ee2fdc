"""Two nodes: messages, links and monitors between them, and connections that come and go."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from ergo_node import CookieMismatch, Epmd, Node, NodeDown, NodeUp, NotConnected, RemoteName
from ergo_node._config import MAX_HANDSHAKES
from erldist_proto import (
    Accept,
    AliveAsked,
    AnswerAlive,
    Closed,
    Connected,
    Connection,
    ConnectionRequested,
    LocalNode,
    RegSend,
)
from etf_codec import Atom, Pid, Term
from otp_behaviors import Down, Exit, ExitError, GenServer, NoConnection, NoProcess, Process, ServerRef

pytestmark = pytest.mark.anyio

HOST, COOKIE = "127.0.0.1", "secret"
BOOM, GET, NOCONNECTION = Atom("boom"), Atom("get"), Atom("noconnection")
Pair = tuple[Node, Node]


class Book(GenServer):
    """Writes down what it is told; answers with that."""

    def init(self) -> None:
        self.pages: list[Any] = []

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.pages if request == GET else request

    def handle_cast(self, message: Any) -> None:
        self.pages.append((Atom("cast"), message))

    def handle_info(self, message: Any) -> None:
        self.pages.append((Atom("info"), message))


async def idle(process: Process) -> None:
    """Ends when somebody makes it."""
    await process.receive()


async def witness(process: Process, act: Callable[[Process], Any], seen: list[Term]) -> None:
    """Does something, then writes down what it gets until that is `end`."""
    process.trap_exit = True
    act(process)
    while (message := await process.receive()) != Atom("end"):
        seen.append(message)


async def shake_hands(stream: SocketStream, connection: Connection, lost: bool = False) -> Connected | Closed:
    """Take part in a handshake by hand, until it is over; `lost` says whether an older connection is."""
    outcome: Connected | Closed | None = None
    while True:
        for piece in connection.data_to_send():
            await stream.send(bytes(piece))
        if outcome is not None:
            return outcome
        try:
            connection.receive_data(await stream.receive())
        except anyio.EndOfStream:
            connection.receive_eof()
        for event in connection.events():
            if isinstance(event, ConnectionRequested):
                connection.send(Accept(COOKIE))
            elif isinstance(event, AliveAsked):
                connection.send(AnswerAlive(lost))
            elif isinstance(event, Connected | Closed):
                outcome = event


async def test_messages_by_name_pid_and_handle(pair: Pair) -> None:
    a, b = pair
    book = await b.start(Book, name="book")
    name = RemoteName("book", b.name)
    with anyio.fail_after(10):
        references: list[ServerRef] = [name, book.pid, book]
        for number, to in enumerate(references):
            assert await a.call(to, number) == number
            await a.cast(to, number)
            await a.send(to, number)
        cast, info = Atom("cast"), Atom("info")
        expected = [(kind, number) for number in range(3) for kind in (cast, info)]
        assert await a.call(name, GET) == expected
        with pytest.raises(NoProcess):
            await a.call(RemoteName("nobody", b.name), GET)


async def test_a_large_message_among_small_ones(pair: Pair) -> None:
    a, b = pair
    await b.start(Book, name="book")
    name = RemoteName("book", b.name)
    large = bytes(range(256)) * 4096
    with anyio.fail_after(20):
        for message in (1, large, 2):
            await a.cast(name, message)
        assert await a.call(name, GET) == [(Atom("cast"), each) for each in (1, large, 2)]


async def test_links_and_monitors_fire_at_the_end_of_a_process(pair: Pair) -> None:
    a, b = pair
    seen: list[Term] = []
    there = b.spawn(idle)
    refs: list[Any] = []

    def act(process: Process) -> None:
        process.link(there)
        refs.append(process.monitor(there))
        process.exit(there, BOOM)

    done = a.monitor(here := a.spawn(witness, act, seen))
    with anyio.fail_after(10):
        await b.monitor(there)
        assert await b.ping(a.name)  # what b sent before has arrived with its answer
        await a.send(here, Atom("end"))
        await done
    assert {type(each) for each in seen} == {Exit, Down}
    assert Exit(there, BOOM) in seen
    assert Down(refs[0], there, BOOM) in seen


async def test_unlinked_and_demonitored_stays_silent(pair: Pair) -> None:
    a, b = pair
    seen: list[Term] = []
    there = b.spawn(idle)

    def act(process: Process) -> None:
        process.link(there)
        process.demonitor(process.monitor(there))
        process.unlink(there)
        process.exit(there, BOOM)

    done = a.monitor(here := a.spawn(witness, act, seen))
    with anyio.fail_after(10):
        await b.monitor(there)
        assert await b.ping(a.name)
        await a.send(here, Atom("end"))
        await done
    assert seen == []


async def test_a_monitor_of_nobody(pair: Pair) -> None:
    a, b = pair
    with anyio.fail_after(10):
        down = await a.monitor(RemoteName("nobody", b.name))
        assert (down.who, down.reason) == ((Atom("nobody"), Atom(b.name)), Atom("noproc"))
        down = await a.monitor(RemoteName("nobody", "nobody@127.0.0.1"))
        assert down.reason == NOCONNECTION


async def test_a_lost_node_is_noconnection_once(pair: Pair) -> None:
    a, b = pair
    await b.start(Book, name="book")
    there, seen = b.spawn(idle), list[Term]()

    def act(process: Process) -> None:
        process.link(there)
        process.monitor(there)
        process.monitor(RemoteName("book", b.name))

    done = a.monitor(here := a.spawn(witness, act, seen))
    with anyio.fail_after(10), a.monitor_nodes() as events:
        assert await anext(events) == NodeUp(b.name, hidden=False)
        assert await a.ping(b.name)
        assert await b.disconnect(a.name)
        assert await anext(events) == NodeDown(b.name, "connection_closed")
        assert await a.ping(b.name)  # connected again: whatever the lost connection still brings is here
        await a.send(here, Atom("end"))
        await done
    assert len(seen) == 3
    assert [each[-1] for each in seen if isinstance(each, tuple)] == [NOCONNECTION] * 3


async def test_a_call_ends_when_the_connection_does(pair: Pair) -> None:
    a, b = pair
    failures: list[ExitError] = []

    async def wait(process: Process) -> None:
        try:
            await process.call(there, GET, timeout=None)
        except NoConnection as error:
            failures.append(error)

    there = b.spawn(idle_for_ever)
    done = a.monitor(a.spawn(wait))
    with anyio.fail_after(10):
        assert await a.ping(b.name)
        await a.disconnect(b.name)
        await done
    assert len(failures) == 1


async def idle_for_ever(process: Process) -> None:
    while True:
        await process.receive()


async def ask(node: Node, other: Node, number: int, answers: list[Any]) -> None:
    answers.append(await node.call(RemoteName("book", other.name), number))


async def test_both_connect_at_once(pair: Pair) -> None:
    """Twenty times: one connection comes out of it, and no first message is lost."""
    await pair[0].start(Book, name="book")
    await pair[1].start(Book, name="book")
    with anyio.fail_after(30), pair[0].monitor_nodes() as of_a, pair[1].monitor_nodes() as of_b:
        for round in range(20):
            answers: list[int] = []
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask, pair[0], pair[1], round, answers)
                tasks.start_soon(ask, pair[1], pair[0], round, answers)
            assert answers == [round, round]
            assert [node.nodes() for node in pair] == [[pair[1].name], [pair[0].name]]
            await pair[round % 2].disconnect(pair[(round + 1) % 2].name)
            for events in (of_a, of_b):
                assert isinstance(await anext(events), NodeUp)
                assert isinstance(await anext(events), NodeDown)
            assert [node.nodes() for node in pair] == [[], []]


@pytest.mark.parametrize("peer", ["0@127.0.0.1", "z@127.0.0.1"])
async def test_the_connection_of_the_greater_name_survives(pair: Pair, peer: str) -> None:
    """We connect to a peer that has not answered yet, and it connects to us."""
    a, arrived = pair[0], anyio.Event()
    ours: list[SocketStream] = []
    connected: list[list[str]] = []

    async def take(stream: SocketStream) -> None:
        async with stream:
            ours.append(stream)
            arrived.set()
            await anyio.sleep_forever()

    async def reach() -> None:
        await a.reach(peer)
        connected.append(a.nodes())
        tasks.cancel_scope.cancel()

    with anyio.fail_after(10):
        async with (
            await anyio.create_tcp_listener(local_host=HOST) as listener,
            await anyio.connect_tcp(HOST, a.port) as theirs,
            anyio.create_task_group() as tasks,
        ):
            a.add_route(peer, HOST, listener.extra(SocketAttribute.local_port))
            tasks.start_soon(listener.serve, take)
            tasks.start_soon(reach)
            await arrived.wait()
            local = LocalNode(peer, 9)
            outcome = await shake_hands(theirs, Connection.initiator(local, a.name, COOKIE, monotonic()))
            if peer > a.name:
                assert isinstance(outcome, Connected)
            else:
                assert isinstance(outcome, Closed)
                assert outcome.status == "nok"
                acceptor = Connection.acceptor(local, now=monotonic())
                assert isinstance(await shake_hands(ours[0], acceptor), Connected)
            await anyio.sleep_forever()
    assert connected == [[peer]]


async def test_many_signals_wait_for_one_connection(pair: Pair) -> None:
    a, b = pair
    await b.start(Book, name="book")
    name = RemoteName("book", b.name)
    with anyio.fail_after(10), a.monitor_nodes() as events:
        for number in range(1000):
            await a.cast(name, number)
        assert a.nodes() == []
        assert await a.call(name, GET) == [(Atom("cast"), number) for number in range(1000)]
        events.close()
        assert [event async for event in events] == [NodeUp(b.name, hidden=False)]


async def test_a_wrong_cookie(pair: Pair, epmd: Epmd) -> None:
    a, _ = pair
    with anyio.fail_after(10):
        async with Node("c@127.0.0.1", "another", epmd=epmd) as c:
            for node, other in ((a, c), (c, a)):
                with pytest.raises(CookieMismatch, match=rf"cookie mismatch with {other.name}.*same cookie"):
                    await node.reach(other.name)
                assert not await node.connect(other.name)
                assert not await node.ping(other.name)
                with pytest.raises(NoConnection, match="cookie mismatch"):
                    await node.call(RemoteName("book", other.name), GET)
            a.set_cookie(c.name, "another")
            await a.reach(c.name)
            assert (a.nodes(), c.nodes()) == ([c.name], [a.name])


async def test_a_node_does_not_connect_to_itself(pair: Pair) -> None:
    a, _ = pair
    await a.start(Book, name="book")
    with anyio.fail_after(10):
        assert await a.ping(a.name)
        assert await a.call(RemoteName("book", a.name), 1) == 1
        with pytest.raises(NotConnected, match="is this node itself"):
            await a.reach(a.name)
        assert not await a.connect(a.name)


async def test_a_peer_of_our_own_name_is_refused(pair: Pair) -> None:
    a, b = pair
    twin = Connection.initiator(LocalNode(a.name, 9), "x@127.0.0.1", COOKIE, monotonic())
    with anyio.fail_after(10):
        async with await anyio.connect_tcp(HOST, a.port) as stream:
            closed = await shake_hands(stream, twin)
        assert isinstance(closed, Closed)
        assert closed.status == "nok"
        assert await b.ping(a.name)


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\xff\xff", b"\0\0", b"\0\x05hello", bytes(range(256))]
)
async def test_a_stranger_at_our_port_is_closed(
    pair: Pair, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = pair
    with anyio.fail_after(10):
        async with await anyio.connect_tcp(HOST, a.port) as stream:
            await stream.send(data)
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()
        assert await b.ping(a.name)
        assert "connection from" in caplog.text


async def test_strangers_are_limited(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    a, b = pair
    assert await a.ping(b.name)
    with anyio.fail_after(20):
        async with AsyncExitStack() as strangers:
            for _ in range(MAX_HANDSHAKES):
                await strangers.enter_async_context(await anyio.connect_tcp(HOST, a.port))
            async with await anyio.connect_tcp(HOST, a.port) as stream:
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await stream.receive()
            assert caplog.text.count("in their handshake already") == 1
            assert await b.ping(a.name)


async def test_disconnect_and_connect_again(pair: Pair) -> None:
    a, b = pair
    with anyio.fail_after(10), a.monitor_nodes() as events:
        assert not await a.disconnect(b.name)
        for _ in range(3):
            assert await a.connect(b.name)
            assert await a.connect(b.name)
            assert await a.disconnect(b.name)
            assert not await a.disconnect(b.name)
        expected = [NodeUp(b.name, hidden=False), NodeDown(b.name, "disconnect")] * 3
        assert [await anext(events) for _ in expected] == expected


async def test_a_silent_peer_is_given_up(epmd: Epmd) -> None:
    with anyio.fail_after(10):
        async with Node("a@127.0.0.1", COOKIE, epmd=epmd, tick_time=0.4) as a:
            silent = Connection.initiator(LocalNode("s@127.0.0.1", 9), a.name, COOKIE, monotonic())
            async with await anyio.connect_tcp(HOST, a.port) as stream:
                with a.monitor_nodes() as events:
                    assert isinstance(await shake_hands(stream, silent), Connected)
                    watch = a.monitor(Pid("s@127.0.0.1", 1, 0, 9))
                    assert await anext(events) == NodeUp("s@127.0.0.1", hidden=False)
                    assert await anext(events) == NodeDown("s@127.0.0.1", "net_tick_timeout")
                    assert (await watch).reason == NOCONNECTION


@pytest.mark.parametrize("lost", [True, False])
async def test_a_peer_that_connects_twice_says_which_connection_it_means(pair: Pair, lost: bool) -> None:
    a, peer = pair[0], "p@127.0.0.1"
    up, down = NodeUp(peer, hidden=False), NodeDown(peer, "connection_closed")
    with anyio.fail_after(10), a.monitor_nodes() as events:
        async with await anyio.connect_tcp(HOST, a.port) as old:
            first = Connection.initiator(LocalNode(peer, 8), a.name, COOKIE, monotonic())
            assert isinstance(await shake_hands(old, first), Connected)
            assert await anext(events) == up
            async with await anyio.connect_tcp(HOST, a.port) as new:
                again = Connection.initiator(LocalNode(peer, 9), a.name, COOKIE, monotonic())
                outcome = await shake_hands(new, again, lost=lost)
                assert isinstance(outcome, Connected if lost else Closed)
                if lost:
                    assert [await anext(events), await anext(events)] == [down, up]
                assert a.nodes() == [peer]
                events.close()
                assert [event async for event in events] == []


class Answering(GenServer):
    """Answers each pid that it is sent."""

    def handle_info(self, message: Term) -> None:
        assert isinstance(message, Pid)
        self.send(message, "answer")

    def handle_call(self, request: Term, caller: object) -> Term:
        return request


async def test_who_answers_a_peer_that_breaks_the_protocol_next_lives_on(pair: Pair) -> None:
    """Message and nonsense come in one read: the answer is lost with the connection, and nothing else."""
    a, peer = pair[0], "p@127.0.0.1"
    with anyio.fail_after(10), a.monitor_nodes() as events:
        server = await a.start(Answering, name="answering")
        async with await anyio.connect_tcp(HOST, a.port) as stream:
            connection = Connection.initiator(LocalNode(peer, 8), a.name, COOKIE, monotonic())
            assert isinstance(await shake_hands(stream, connection), Connected)
            assert await anext(events) == NodeUp(peer, hidden=False)
            me = Pid(peer, 1, 0, 8)
            connection.send(RegSend(me, Atom("answering")), me)
            nonsense = b"\x00\x00\x00\x02\xff\xff"
            await stream.send(b"".join([*connection.data_to_send(), nonsense]))
            event = await anext(events)
            assert isinstance(event, NodeDown)
        assert await a.call(server, 1) == 1
