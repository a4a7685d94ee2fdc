"""The short way of a message and the long one: what they lead to is the same."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from ergo_node import Epmd, Node
from ergo_node._arrivals import Arrivals
from ergo_node._transport import Transport
from ergo_node._transport_stream import StreamTransport
from erldist_proto import ALTACT_ALIAS, AltactSigSend
from etf_codec import Atom, Reference
from otp_behaviors import (
    NO_REPLY,
    CallTimeout,
    Down,
    ExitError,
    GenServer,
    NoConnection,
    NoProcess,
    Process,
    Stop,
)

pytestmark = pytest.mark.anyio

HOST = "127.0.0.1"
ROUNDS = 20
Pair = tuple[Node, Node]


@pytest.fixture(params=["asyncio", "uvloop", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    if request.param == "trio":
        return "trio", {}
    if request.param == "uvloop":
        pytest.importorskip("uvloop", exc_type=ImportError)
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture(params=["short", "long"])
async def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which way the messages of this test take."""
    if request.param == "long":
        monkeypatch.setattr(Arrivals, "connected", lambda self, transport: None)
    chosen: str = request.param
    return chosen


@pytest.fixture
async def pair(way: str, epmd: Epmd) -> AsyncIterator[Pair]:
    """Two nodes that were made after the way was chosen."""
    async with (
        Node(f"a@{HOST}", "secret", epmd=epmd) as a,
        Node(f"b@{HOST}", "secret", epmd=epmd) as b,
    ):
        yield a, b


def transport(node: Node, peer: Node) -> Transport:
    """The transport of the connection from one to the other."""
    connections = node._connections
    assert connections is not None
    return connections.departures.up[peer.name].transport


def break_socket(end: Transport) -> None:
    """Break it as a network does: before the event loop tells of it."""
    broken: Any = end
    if isinstance(end, StreamTransport):
        broken._socket.shutdown(socket.SHUT_RDWR)
    else:
        broken._io.abort()


class Worker(GenServer):
    """Does with a request what it says."""

    def init(self) -> None:
        self.heard: list[Any] = []

    def handle_call(self, request: Any, caller: Any) -> Any:
        match request.decode() if isinstance(request, bytes) else request:
            case "later":
                self.continue_with(caller)
                return NO_REPLY
            case "never":
                return NO_REPLY
            case "wait":
                return self.wait()
            case "time out":
                self.set_timeout(0.01, "timed out")
            case "stop":
                raise Stop(Atom("enough"), reply="stopped")
            case "crash":
                raise ValueError("crash")
            case "kill":
                self.exit(self.pid, Atom("kill"))
            case "heard":
                return [*self.heard, "and so on"]
        return request

    async def wait(self) -> str:
        await anyio.lowlevel.checkpoint()
        return "waited"

    def handle_continue(self, token: Any) -> None:
        self.reply(token, "later")

    def handle_cast(self, message: Any) -> None:
        self.heard.append(message)

    def handle_info(self, message: Any) -> None:
        self.heard.append(message)


async def outcome(node: Node, to: Any, request: Any) -> Any:
    """The reply to a request, or the error that there is instead."""
    try:
        return await node.call(to, request, timeout=0.3)
    except ExitError as error:
        return type(error)


EXPECTED = [
    ("plain", b"plain"),
    (None, None),
    ("later", b"later"),
    ("wait", b"waited"),
    ("never", CallTimeout),
    ("time out", b"time out"),
    ("plain", b"plain"),
]


@pytest.mark.parametrize(("end", "answer"), [("stop", b"stopped"), ("crash", ExitError), ("kill", b"kill")])
async def test_a_server_answers_in_the_same_way(
    epmd: Epmd, way: str, end: str, answer: object, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        Node(f"a@{HOST}", "secret", epmd=epmd, none=Atom("nil")) as near,
        Node(f"b@{HOST}", "secret", epmd=epmd, none=Atom("nil")) as far,
    ):
        worker = await far.start(Worker)
        asked = [*EXPECTED, (end, answer)]
        with anyio.fail_after(20):
            assert [(request, await outcome(near, worker.pid, request)) for request, _ in asked] == asked
            await far.monitor(worker.pid)
            await near.ping(far.name)
            assert await outcome(near, worker.pid, "plain") is NoProcess


async def test_what_is_no_request_comes_in_its_order(pair: Pair, way: str) -> None:
    near, far = pair
    worker = await far.start(Worker)
    sent: list[Any] = []
    with anyio.fail_after(20):
        for number in range(ROUNDS):
            odd: list[Any] = [number, (1, 2), (1, 2, 3), {}, (), (Atom("$gen_call"), number), [number]]
            for message in odd:
                await near.send(worker.pid, message)
            sent += odd
            await near.cast(worker.pid, ("cast", number))
            sent.append((b"cast", number))
            if number % 3 == 0:
                assert await near.call(worker.pid, number) == number
        assert await near.call(worker.pid, "heard") == [*sent, b"and so on"]


async def test_messages_to_an_alias_come_as_long_as_it_is_one(pair: Pair, way: str) -> None:
    near, far = pair
    heard: list[Any] = []
    aliases: list[Reference] = []
    ready = anyio.Event()

    async def listen(process: Process) -> None:
        alias = process.alias()
        aliases.append(alias)
        ready.set()
        for number in range(ROUNDS):
            heard.append(await process.receive())
            if number == ROUNDS - 2:
                process.unalias(alias)

    with anyio.fail_after(20):
        down = near.monitor(near.spawn(listen))
        await ready.wait()
        (alias,) = aliases
        strangers = [
            Reference(alias.node, alias.creation + 1, alias.ids),
            Reference(alias.node, alias.creation, (1, 2, 3)),
        ]
        for number in range(ROUNDS):
            for stranger in strangers:
                await far.send(stranger, "nobody")
            await far.send(alias, number)
            await far.ping(near.name)
        assert heard == list(range(ROUNDS - 1))
        assert not down.done


async def test_answers_come_as_otp_28_sends_them(pair: Pair, way: str) -> None:
    near, far = pair
    callers: list[Any] = []

    class Keeper(GenServer):
        def init(self) -> None: ...

        def handle_call(self, request: Any, caller: Any) -> Any:
            callers.append(caller)
            return NO_REPLY

    keeper = await far.start(Keeper)
    with anyio.fail_after(20):
        for number in range(ROUNDS):
            async with anyio.create_task_group() as tasks:

                async def reply(number: int = number) -> None:
                    while not callers:
                        await anyio.lowlevel.checkpoint()
                    _, tag = callers.pop()
                    wire = transport(far, near)
                    wire.connection.send(AltactSigSend(ALTACT_ALIAS, keeper.pid, tag.tail), (tag, number))
                    wire.flush()

                tasks.start_soon(reply)
                assert await near.call(keeper.pid, "anything") == number
    # All but those that brought atoms, or came with others.
    read = transport(near, far).messages_read
    assert read <= 4 if way == "short" else read >= ROUNDS
    assert len(near.kernel.aliases) == 0


async def test_many_callers_and_one(pair: Pair, way: str) -> None:
    near, far = pair
    worker = await far.start(Worker)
    answers: dict[int, list[int]] = {}

    async def caller(number: int) -> None:
        answers[number] = [await near.call(worker.pid, count) for count in range(ROUNDS)]

    with anyio.fail_after(20):
        for callers in (1, 30, 1):
            async with anyio.create_task_group() as tasks:
                for number in range(callers):
                    tasks.start_soon(caller, number)
            assert answers == {number: list(range(ROUNDS)) for number in range(callers)}
            answers.clear()
    assert len(near.kernel.aliases) == len(near.kernel.timeouts) == 0
    callee = near.kernel.callees.last
    assert callee is not None
    assert list(callee.callers) == [callee.spare]  # one call that is over, to be the next


@pytest.mark.parametrize("anyio_backend", ["asyncio", "uvloop"], indirect=True)
async def test_a_call_that_is_cancelled_as_its_answer_comes_leaves_nothing(pair: Pair, way: str) -> None:
    near, far = pair
    worker = await far.start(Worker)

    with anyio.fail_after(20):
        # A scope of anyio would leave it alone, since it has been woken.
        task = asyncio.get_running_loop().create_task(near.call(worker.pid, "never"))
        while not near.kernel.aliases:
            await anyio.lowlevel.checkpoint()
        for ids, pending in list(near.kernel.aliases.items()):
            alias = Reference(near.name, near.kernel.table.creation, ids)
            pending.alias_message(alias, (None, "too late"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        callee = near.kernel.callees.last
        assert callee is not None
        assert callee.callers == {}
        assert len(near.kernel.aliases) == len(near.kernel.timeouts) == 0
        assert await near.call(worker.pid, "plain") == b"plain"


async def test_calls_show_each_node_that_the_other_lives(pair: Pair, way: str) -> None:
    near, far = pair
    worker = await far.start(Worker)
    await near.call(worker.pid, 0)
    tickers = [end.connection.ticker for end in (transport(near, far), transport(far, near))]
    for _ in range(ROUNDS):
        for ticker in tickers:
            ticker.read = ticker.written = False
        await near.call(worker.pid, 1)
        assert all(ticker.read and ticker.written for ticker in tickers)


async def test_the_short_way_is_taken_and_leaves_the_rest_to_the_long_one(pair: Pair, way: str) -> None:
    near, far = pair
    worker = await far.start(Worker)
    await near.call(worker.pid, 0)
    ends = [transport(near, far), transport(far, near)]
    before = [end.messages_read for end in ends]
    for number in range(ROUNDS):
        await near.call(worker.pid, number)
    counted = [end.messages_read - earlier for end, earlier in zip(ends, before, strict=True)]
    # What is not handled at once is counted, for it may pile up; there are some other messages, too.
    if way == "short":
        assert max(counted) < ROUNDS // 2
    else:
        assert min(counted) >= ROUNDS
    await near.send(worker.pid, "no request")
    await near.call(worker.pid, 0)
    assert ends[1].messages_read - before[1] > counted[1]


async def test_a_socket_that_has_just_broken_is_no_error_of_the_sender(pair: Pair, way: str) -> None:
    near, far = pair
    worker = await far.start(Worker)
    with anyio.fail_after(20):
        for _ in range(3):
            assert await near.call(worker.pid, "plain") == b"plain"
            break_socket(transport(near, far))
            with pytest.raises(NoConnection):
                await near.call(worker.pid, "plain")


async def test_a_monitor_of_the_callee_tells_of_its_end(pair: Pair, way: str) -> None:
    near, far = pair
    worker = await far.start(Worker)
    watch = near.monitor(worker.pid)
    with anyio.fail_after(20):
        assert await near.call(worker.pid, "stop") == b"stopped"
        down = await watch
    assert isinstance(down, Down)
    assert down.reason == Atom("enough")
