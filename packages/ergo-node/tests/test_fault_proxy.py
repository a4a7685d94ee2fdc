"""What each fault of the proxy does to a stream, and what it leaves alone."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketAttribute, SocketStream
from ergo_node.testing import FaultProxy, Way

pytestmark = pytest.mark.anyio

DEADLINE = 10
ROUND_TRIP = 0.02
"""Seconds in which nothing must come back: the way through the proxy takes a fraction of a millisecond."""


@pytest.fixture(params=["asyncio", "uvloop", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    if request.param == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop does not install here")
        return "asyncio", {"use_uvloop": True}
    return request.param, {}


class Ends:
    """Both ends of a connection through a proxy."""

    def __init__(self, proxy: FaultProxy, near: SocketStream, far: SocketStream) -> None:
        self.proxy = proxy
        self.near = near
        self.far = far

    def way(self, way: Way) -> tuple[SocketStream, SocketStream]:
        """Sender and receiver of a direction."""
        return (self.near, self.far) if way == "out" else (self.far, self.near)


@asynccontextmanager
async def connected(seed: int = 1) -> AsyncIterator[Ends]:
    arrived, arrivals = anyio.create_memory_object_stream[SocketStream](1)
    async with arrived, arrivals, await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        async with anyio.create_task_group() as tasks:

            async def take(stream: SocketStream) -> None:
                async with stream:
                    await arrived.send(stream)
                    await anyio.sleep_forever()

            tasks.start_soon(listener.serve, take)
            async with FaultProxy(listener.extra(SocketAttribute.local_port), seed=seed) as proxy:
                with anyio.fail_after(DEADLINE):
                    near = await anyio.connect_tcp("127.0.0.1", proxy.port)
                    async with near, await arrivals.receive() as far:
                        yield Ends(proxy, near, far)
            tasks.cancel_scope.cancel()


async def receive(stream: SocketStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += await stream.receive(size - len(data))
    return data


async def is_silent(stream: SocketStream) -> bool:
    with anyio.move_on_after(ROUND_TRIP):
        await stream.receive()
        return False
    return True


@pytest.fixture(params=["out", "in"])
def way(request: pytest.FixtureRequest) -> Way:
    return "out" if request.param == "out" else "in"


async def test_without_faults_bytes_and_ends_pass(way: Way) -> None:
    async with connected() as ends:
        sender, receiver = ends.way(way)
        data = bytes(range(256)) * 2000
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sender.send, data)
            assert await receive(receiver, len(data)) == data
        assert (ends.proxy.carried(way), ends.proxy.carried()) == (len(data), len(data))
        assert (ends.proxy.accepted, ends.proxy.connections) == (1, 1)
        await sender.send_eof()
        with pytest.raises(anyio.EndOfStream):
            await receiver.receive()
        await receiver.send(b"and back")
        assert await receive(sender, 8) == b"and back"


async def test_a_stalled_direction_keeps_what_is_sent(way: Way) -> None:
    async with connected() as ends:
        sender, receiver = ends.way(way)
        ends.proxy.stall(way)
        await sender.send(b"abc")
        await sender.send_eof()
        assert await is_silent(receiver)
        await receiver.send(b"x")
        assert await receive(sender, 1) == b"x"
        ends.proxy.heal()
        assert await receive(receiver, 3) == b"abc"
        with pytest.raises(anyio.EndOfStream):
            await receiver.receive()


async def test_a_stalled_direction_holds_the_sender_up(way: Way) -> None:
    async with connected() as ends:
        sender, _ = ends.way(way)
        ends.proxy.stall(way)
        with anyio.move_on_after(0.3) as scope:
            while True:
                await sender.send(bytes(1_000_000))
        assert scope.cancelled_caught
        assert ends.proxy.carried() == 0


async def test_a_reset_does_not_pass_a_stall() -> None:
    async with connected() as ends:
        ends.proxy.stall()
        await anyio.aclose_forcefully(ends.near)
        assert await is_silent(ends.far)
        ends.proxy.heal()
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await ends.far.receive()


async def test_dropped_bytes_never_come(way: Way) -> None:
    async with connected() as ends:
        sender, receiver = ends.way(way)
        ends.proxy.drop(way)
        await sender.send(b"lost")
        while ends.proxy.swallowed(way) < 4:  # noqa: ASYNC110  # the proxy counts, and tells nobody
            await anyio.sleep(0.001)
        ends.proxy.heal()
        await sender.send(b"found")
        assert await receive(receiver, 5) == b"found"


async def test_delay_keeps_the_order(way: Way) -> None:
    async with connected() as ends:
        sender, receiver = ends.way(way)
        ends.proxy.delay(0.05, jitter=0.05, way=way)
        began = time.monotonic()
        for number in range(20):
            await sender.send(bytes([number]))
        assert await receive(receiver, 20) == bytes(range(20))
        assert time.monotonic() - began >= 0.05


async def test_a_limit_takes_its_time(way: Way) -> None:
    async with connected() as ends:
        sender, receiver = ends.way(way)
        ends.proxy.limit(100_000, way)
        began = time.monotonic()
        await sender.send(bytes(20_000))
        assert await receive(receiver, 20_000) == bytes(20_000)
        assert time.monotonic() - began >= 0.2


async def test_split_bytes_come_in_order(way: Way) -> None:
    async with connected() as ends:
        sender, receiver = ends.way(way)
        ends.proxy.split(way=way)
        await sender.send(bytes(range(200)))
        assert len(first := await receiver.receive()) < 200
        assert first + await receive(receiver, 200 - len(first)) == bytes(range(200))


async def test_coalesced_bytes_come_at_once(way: Way) -> None:
    async with connected() as ends:
        sender, receiver = ends.way(way)
        ends.proxy.coalesce(0.1, way)
        for number in range(10):
            await sender.send(bytes([number]))
            await anyio.lowlevel.checkpoint()
        assert await receiver.receive() == bytes(range(10))


async def test_one_bit_is_corrupted_where_it_was_asked_for(way: Way) -> None:
    async with connected(seed=7) as ends:
        sender, receiver = ends.way(way)
        ends.proxy.corrupt(way, after=5)
        ends.proxy.corrupt(way, after=1, mask=0x80)
        await sender.send(bytes(4))
        assert await receive(receiver, 4) == b"\0\x80\0\0"
        await sender.send(bytes(4))
        received = await receive(receiver, 4)
        assert (received[1].bit_count(), received[0], received[2:]) == (1, 0, b"\0\0")
        await sender.send(bytes(100))
        assert await receive(receiver, 100) == bytes(100)


async def test_the_same_seed_corrupts_the_same_bit() -> None:
    async def corrupted(seed: int) -> bytes:
        async with connected(seed) as ends:
            for after in range(8):
                ends.proxy.corrupt("out", after=after)
            await ends.near.send(bytes(8))
            return await receive(ends.far, 8)

    assert await corrupted(3) == await corrupted(3) != await corrupted(4)


async def test_half_close_ends_one_direction(way: Way) -> None:
    async with connected() as ends:
        sender, receiver = ends.way(way)
        await sender.send(b"before")
        assert await receive(receiver, 6) == b"before"
        ends.proxy.half_close(way)
        with pytest.raises(anyio.EndOfStream):
            await receiver.receive()
        await sender.send(b"after")
        await receiver.send(b"x")
        assert await receive(sender, 1) == b"x"


async def test_reset_breaks_both_sides() -> None:
    async with connected() as ends:
        ends.proxy.reset()
        for stream in (ends.near, ends.far):
            with pytest.raises(anyio.BrokenResourceError):
                await stream.receive()


async def test_reset_of_one_direction_tells_one_side(way: Way) -> None:
    async with connected() as ends:
        sender, receiver = ends.way(way)
        ends.proxy.reset(way)
        with pytest.raises(anyio.BrokenResourceError):
            await receiver.receive()
        await sender.send(b"into the void")
        assert await is_silent(sender)


async def test_cut_refuses_until_it_is_healed() -> None:
    async with connected() as ends:
        ends.proxy.cut()
        with pytest.raises(anyio.BrokenResourceError):
            await ends.near.receive()
        async with await anyio.connect_tcp("127.0.0.1", ends.proxy.port) as refused:
            with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
                await refused.receive()
        ends.proxy.heal()
        async with await anyio.connect_tcp("127.0.0.1", ends.proxy.port) as taken:
            assert await is_silent(taken)


async def test_who_connects_to_a_target_that_is_not_there_is_reset(free_tcp_port: int) -> None:
    async with FaultProxy(free_tcp_port) as proxy:
        async with await anyio.connect_tcp("127.0.0.1", proxy.port) as stream:
            with anyio.fail_after(DEADLINE), pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
                await stream.receive()
        assert f"to 127.0.0.1:{free_tcp_port}, seed {proxy.seed}" in repr(proxy)


async def test_an_error_in_the_block_is_raised_as_it_is(free_tcp_port: int) -> None:
    with pytest.raises(ZeroDivisionError):
        async with FaultProxy(free_tcp_port):
            raise ZeroDivisionError


async def test_who_has_just_connected_is_reset_when_the_proxy_is_left() -> None:
    """The proxy itself is still connecting then."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        with anyio.fail_after(DEADLINE):
            async with FaultProxy(listener.extra(SocketAttribute.local_port)) as proxy:
                near = await anyio.connect_tcp("127.0.0.1", proxy.port)
                while not proxy.accepted:
                    await anyio.lowlevel.checkpoint()
            async with near:
                with pytest.raises(anyio.BrokenResourceError):
                    await near.receive()
