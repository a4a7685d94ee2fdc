"""B3 to B6: readers that are slow or stop, floods, and messages as large as may be."""

import time

import anyio
import pytest
from ergo_node import Epmd, Node, NodeDown, RemoteName, Tls
from erlang_peer import StartErl
from erldist_proto import ConnectionLimits
from etf_codec import Atom, Limits, Pid, Term
from invariants import Invariants, Numbered, Numbers, eventually, handled_by, memory_within, told
from links import COOKIE, ERL, PY, A, B, linked_pair, linked_with_erl
from otp_behaviors import KILL, GenServer, Process

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

KIB, MIB = 1024, 1024 * 1024
SYSTEM_BYTES = 12 * MIB
"""What the proxy and the sockets on the way may hold: Linux lets those that send have 4 MiB each."""

BUSY_BYTES = MIB
"""Beyond which senders wait, as for OTP's +zdbbl."""

FLOOD = [pytest.param(20_000, id="20k"), pytest.param(1_000_000, id="1M", marks=pytest.mark.slow)]


async def test_a_slow_reader_holds_senders_up(epmd: Epmd, tls: Tls | None, invariants: Invariants) -> None:
    """B3: what waits is bounded, ticks go on, order holds, and a send that is cancelled tears no packet."""
    senders, each, size = 20, 15, 100 * KIB
    numbers, sent, cancelled = Numbers(), 0, 0
    async with linked_pair(epmd, tls=tls, tick_time=1.0) as (a, b, proxy):
        numbered = await b.start(Numbered, numbers)
        await handled_by(a, B)
        events = a.monitor_nodes()
        proxy.limit(8 * MIB, "out")

        async def send(sender: int) -> None:
            nonlocal sent, cancelled
            for number in range(1, each + 1):
                # Every fourth sender gives up again and again; the message itself has been sent for good.
                with anyio.CancelScope() as scope:
                    if sender % 4 == 0:
                        scope.deadline = anyio.current_time() + 0.01
                    await a.send(numbered.pid, (sender, number, bytes(size)))
                cancelled += scope.cancelled_caught
                sent += 1
                under_way = (sent - numbers.received) * size
                # Who gave up waiting may have sent again since.
                assert under_way <= BUSY_BYTES + (senders + cancelled) * size + SYSTEM_BYTES

        with memory_within(120):
            async with anyio.create_task_group() as tasks:
                for sender in range(senders):
                    tasks.start_soon(send, sender)
            await eventually(lambda: numbers.received == senders * each)
        assert cancelled
        numbers.assert_in_order()
        assert await told(events) == []


class Reluctant(GenServer):
    """Handles nothing until it may."""

    def init(self, numbers: Numbers, may: anyio.Event) -> None:
        self.numbers, self.may = numbers, may

    async def handle_info(self, message: tuple[Term, int, bytes]) -> None:
        if not self.may.is_set():
            await self.may.wait()
        self.numbers.take(message[0], message[1])


async def test_a_process_that_stops_receiving_holds_erlang_up(
    start_erl: StartErl, epmd_port: int, invariants: Invariants
) -> None:
    """B4: reading pauses, Erlang's sender is suspended, no tick is missed; then all comes, in order."""
    count = 8_000
    numbers, may = Numbers(), anyio.Event()
    erl = await start_erl(ERL)
    async with linked_with_erl(epmd_port, tick_time=2.0) as (node, _, _):
        await node.start(Reluctant, numbers, may, name="reluctant")
        events = node.monitor_nodes()
        await erl.eval("Me = self(), Busy = spawn(fun() -> erlang:system_monitor(self(), [busy_dist_port]),"
            " Me ! ready, receive {monitor, Who, busy_dist_port, _} -> Me ! {busy, Who} end end),"
            " receive ready -> ok end")  # fmt: skip
        await erl.eval(
            f"Flood = spawn(fun() -> B = binary:copy(<<0>>, 10000),"
            f" [{{reluctant, '{PY}'}} ! {{1, N, B}} || N <- lists:seq(1, {count})], Me ! done end)"
        )
        with memory_within(400):
            assert await erl.eval("receive {busy, Flood} -> busy after 60000 -> never end", 70) == Atom(
                "busy"
            )
            # As long as two tick times without a message handled, and no one is taken for lost.
            began = time.monotonic()
            await eventually(lambda: time.monotonic() - began > 4.0)
            assert await erl.eval("receive done -> true after 0 -> false end") is False
            may.set()
            await eventually(lambda: numbers.received == count, 120)
        numbers.assert_in_order()
        assert await told(events) == []


@pytest.mark.parametrize("count", FLOOD)
async def test_floods_between_our_nodes(epmd: Epmd, tls: Tls | None, count: int) -> None:
    """B5."""
    numbers = Numbers()
    async with linked_pair(epmd, tls=tls) as (a, b, _):
        numbered = await b.start(Numbered, numbers)
        with memory_within(300):
            for number in range(1, count + 1):
                await a.send(numbered.pid, (1, number))
            await eventually(lambda: numbers.received == count, 200)
        numbers.assert_in_order()


@pytest.mark.parametrize("count", FLOOD)
async def test_floods_to_erlang_and_from_it(
    start_erl: StartErl, epmd_port: int, invariants: Invariants, count: int
) -> None:
    """B5: both at once."""
    numbers = Numbers()
    erl = await start_erl(ERL)
    async with linked_with_erl(epmd_port) as (node, _, _):
        await node.start(Numbered, numbers, name="numbered")
        await erl.eval(
            "Me = self(), Counter = spawn(fun() -> (fun Loop(Last) -> receive"
            " {1, N} when N =:= Last + 1 -> Loop(N);"
            " {1, N} -> Me ! {Last, then, N};"
            " {count, From} -> From ! {count, Last}, Loop(Last) end end)(0) end)"
        )
        counter = await erl.eval("Counter")
        assert isinstance(counter, Pid)
        await erl.eval(
            f"spawn(fun() -> lists:foreach(fun(N) -> {{numbered, '{PY}'}} ! {{2, N}} end,"
            f" lists:seq(1, {count})) end), ok"
        )
        with memory_within(300):
            for number in range(1, count + 1):
                await node.send(counter, (1, number))
            await eventually(lambda: numbers.received == count, 200)
        numbers.assert_in_order()
        await handled_by(node, ERL, 200)
        assert (
            await erl.eval("Counter ! {count, self()}, receive {count, C} -> C after 60000 -> 0 end", 70)
            == count
        )


class Echo(GenServer):
    def handle_call(self, request: Term, caller: object) -> Term:
        return len(request) if isinstance(request, bytes) else request


async def test_small_messages_pass_a_large_one(epmd: Epmd, tls: Tls | None) -> None:
    """B6: what other processes send does not wait until a message of 60 MB is over."""
    waits: list[float] = []

    async def asks(process: Process) -> None:
        while True:
            began = time.monotonic()
            await process.call(RemoteName("echo", B), "small", timeout=60)
            waits.append(time.monotonic() - began)

    async with linked_pair(epmd, tls=tls) as (a, b, proxy):
        await b.start(Echo, name="echo")
        await handled_by(a, B)
        proxy.limit(40 * MIB, "out")
        began = time.monotonic()
        asker = a.spawn(asks)
        assert await a.call(RemoteName("echo", B), bytes(60 * MIB), timeout=60) == 60 * MIB
        took = time.monotonic() - began
        a.exit(asker, KILL)
    # What the sockets and the proxy hold goes first: less than a fifth of all that is under way.
    assert max(waits) < took / 2, f"small ones took up to {max(waits):.2f} s of {took:.2f} s"


async def test_a_message_beyond_the_limit_ends_the_connection(epmd: Epmd, tls: Tls | None) -> None:
    """B6: with a reason, after what was sent before it, and only that connection."""
    numbers = Numbers()
    small = ConnectionLimits(max_message_bytes=32 * MIB, terms=Limits(max_bytes=32 * MIB))
    async with (
        Node(A, COOKIE, epmd=epmd, tls=tls) as a,
        Node(B, COOKIE, epmd=epmd, tls=tls, limits=small) as b,
    ):
        numbered = await b.start(Numbered, numbers)
        await handled_by(a, B)
        events = b.monitor_nodes()
        await a.send(numbered.pid, (1, 1))
        await a.send(numbered.pid, (1, 2, bytes(40 * MIB)))
        with anyio.fail_after(60):
            event = await anext(events)
        assert isinstance(event, NodeDown)
        assert (numbers.received, b.nodes()) == (1, [])
        await eventually(lambda: not a.nodes())
        await handled_by(a, B)
