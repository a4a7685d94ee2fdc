"""The server on real sockets.

Threats of an EPMD, and the tests that meet them (here unless a file is named):

    remote orders            test_other_hosts_may_only_ask, test_session: test_what_other_hosts_may_ask
    kill beside nodes        test_kill_ends_the_server_and_frees_the_port, test_kill_can_be_forbidden
    garbage                  test_garbage_is_met_with_silence, test_session: test_arbitrary_bytes_...
    idle connections         test_silent_clients_are_dropped_and_registered_ones_kept
    names that break rules   test_messages: test_bad_requests, test_registry: test_refused_names_...
    duplicate names          test_client: test_a_taken_name_and_how_it_comes_free
    floods of registrations  test_load, test_main: test_running_out_of_file_descriptors_is_survived
    names told to the world  test_loopback_of_both_families_is_the_default
    answers that lie         test_client: test_answers_that_are_not_epmds, test_messages: test_any_answer_...
    creations given twice    test_registry: test_creations_are_never_reserved_ones_nor_repeated

tests-interop compares all of it with the C `epmd`.
"""

import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketStream
from epmd_server import (
    AddressInUse,
    Alive2Request,
    CannotListen,
    DumpRequest,
    KillRequest,
    NameEntry,
    NamesRequest,
    Port2Request,
    Request,
    Server,
    StopRequest,
    encode_request,
    serve,
)

pytestmark = pytest.mark.anyio

NODE = Alive2Request(4000, 77, 0, 6, 5, b"py", b"extra")


async def ask(server: Server, request: Request, *, host: str = "127.0.0.1") -> bytes:
    async with await anyio.connect_tcp(host, server.port) as stream:
        await stream.send(encode_request(request))
        return await read_to_end(stream)


async def read_to_end(stream: SocketStream) -> bytes:
    answer = b""
    with anyio.fail_after(5):
        while True:
            try:
                answer += await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return answer


async def registered(server: Server, node: Alive2Request = NODE) -> SocketStream:
    stream = await anyio.connect_tcp("127.0.0.1", server.port)
    await stream.send(encode_request(node))
    with anyio.fail_after(5):
        assert (await stream.receive())[1] == 0
    return stream


async def has_names(server: Server, expected: list[str]) -> None:
    await becomes(lambda: [entry.name for entry in server.names()] == expected)


async def becomes(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not condition():  # noqa: ASYNC110  a condition seen from outside has no event
            await anyio.sleep(0.005)


async def test_loopback_of_both_families_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ERL_EPMD_ADDRESS", raising=False)
    async with serve(port=0) as server:
        assert "127.0.0.1" in server.addresses
        for host in server.addresses:
            assert await ask(server, NamesRequest(), host=host) == server.port.to_bytes(4)


async def test_address_and_port_from_the_environment(
    free_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERL_EPMD_PORT", str(free_tcp_port))
    monkeypatch.setenv("ERL_EPMD_ADDRESS", "127.0.0.1")
    async with serve() as server:
        assert server.port == free_tcp_port
        assert server.addresses[0] == "127.0.0.1"


async def test_explicit_addresses_are_taken_exactly() -> None:
    async with serve("127.0.0.1", 0) as server:
        assert server.addresses == ("127.0.0.1",)
    with pytest.raises(CannotListen, match=r"192\.0\.2\.77"):
        async with serve(["127.0.0.1", "192.0.2.77"], 0):
            pytest.fail("192.0.2.77 is reserved for documentation")


async def test_nodes_come_and_go() -> None:
    async with serve(port=0) as server:
        node = await registered(server)
        assert server.names() == [NameEntry("py", 4000)]
        assert await ask(server, Port2Request(b"py")) == bytes.fromhex(
            "77 00 0fa0 4d 00 0006 0005 0002 7079 0005 6578747261"
        )
        assert (await ask(server, DumpRequest()))[4:].startswith(b"active name     <py> at port 4000, fd = ")
        await node.aclose()
        await has_names(server, [])
        assert await ask(server, Port2Request(b"py")) == b"w\x01"


async def test_a_reset_connection_frees_the_name() -> None:
    async with serve(port=0) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.sendall(encode_request(NODE))
            await has_names(server, ["py"])
        await has_names(server, [])


async def test_clients_that_vanish_at_once_harm_nobody() -> None:
    """Reset before they are accepted, or before their task runs: their descriptors are used again at once."""
    async with serve(port=0) as server:
        node = await registered(server)
        for _ in range(20):
            vanishing = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(20)]
            for number, sock in enumerate(vanishing):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                if number % 2:
                    sock.sendall(encode_request(NamesRequest()))
                sock.close()
            assert (await ask(server, NamesRequest()))[4:] == b"name py at port 4000\n"
        await becomes(lambda: len(server._connections) == 1)
        await node.aclose()


async def test_one_byte_at_a_time() -> None:
    async with serve(port=0) as server, await anyio.connect_tcp("127.0.0.1", server.port) as stream:
        for byte in encode_request(NODE):
            await stream.send(bytes([byte]))
        with anyio.fail_after(5):
            assert (await stream.receive())[:2] == b"v\0"


@pytest.mark.parametrize("wire", [b"\0\0", b"\xff\xff", b"\0\1w", b"\0\1nn"])
async def test_garbage_is_met_with_silence(wire: bytes) -> None:
    async with serve(port=0) as server, await anyio.connect_tcp("127.0.0.1", server.port) as stream:
        await stream.send(wire)
        assert await read_to_end(stream) == b""


async def test_silent_clients_are_dropped_and_registered_ones_kept() -> None:
    async with serve(port=0, packet_timeout=0.2) as server:
        node = await registered(server)
        async with await anyio.connect_tcp("127.0.0.1", server.port) as idle:
            await idle.send(b"\0")
            started = anyio.current_time()
            assert await read_to_end(idle) == b""
            assert 0.15 < anyio.current_time() - started < 4.0
        assert server.names() == [NameEntry("py", 4000)]
        await node.aclose()


async def test_a_client_that_does_not_read_its_answer_stops_nobody() -> None:
    async with serve(port=0, packet_timeout=0.2) as server:
        for number in range(20_000):
            # As 20,000 nodes would have left it: more names than the socket buffers of both sides hold.
            name = f"{number:05}".encode() + b"x" * 250
            assert server._registry.register(Alive2Request(1, 77, 0, 6, 5, name), connection=0, now=0.0)
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", server.port))
            slow.sendall(encode_request(NamesRequest()))
            assert await ask(server, Port2Request(b"py")) == b"w\x01"
            assert len(server._connections) == 1
            await becomes(lambda: not server._connections)


async def test_stop_closes_the_connection_of_the_node() -> None:
    async with serve(port=0, relaxed_command_check=True) as server:
        async with await registered(server) as node:
            assert await ask(server, StopRequest(b"py")) == b"STOPPED"
            assert await read_to_end(node) == b""
        assert server.names() == []
        assert await ask(server, StopRequest(b"py")) == b"NOEXISTSTOPPED"


async def test_kill_ends_the_server_and_frees_the_port() -> None:
    async with serve("127.0.0.1", 0) as server:
        async with await registered(server) as node:
            assert await ask(server, KillRequest()) == b"NO"
            await node.aclose()
            await has_names(server, [])
        assert await ask(server, KillRequest()) == b"OK"
        with anyio.fail_after(5):
            await server.wait_closed()
        with pytest.raises(OSError, match=r"failed|refused"):
            await anyio.connect_tcp("127.0.0.1", server.port)
        async with serve("127.0.0.1", server.port):
            pass


async def test_orders_are_obeyed_though_nobody_waits_for_the_answer() -> None:
    async with serve("127.0.0.1", 0, relaxed_command_check=True, delay_write=0.05) as server:
        async with await registered(server) as node:
            for order in (StopRequest(b"py"), KillRequest()):
                with socket.create_connection(("127.0.0.1", server.port)) as client:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    client.sendall(encode_request(order))
                    await becomes(lambda: len(server._connections) > 1 or server._killed.is_set())
                if isinstance(order, StopRequest):
                    assert await read_to_end(node) == b""
        with anyio.fail_after(5):
            await server.wait_closed()


async def test_kill_can_be_forbidden() -> None:
    async with serve(port=0, allow_kill=False) as server:
        assert await ask(server, KillRequest()) == b"NO"
        assert await ask(server, NamesRequest()) == server.port.to_bytes(4)


async def test_a_second_server_is_told_that_the_port_is_in_use() -> None:
    async with serve(port=0) as server:
        with pytest.raises(AddressInUse, match=f"port {server.port}"):
            async with serve(port=server.port):
                pytest.fail("two servers on one port")


async def test_the_port_can_be_taken_over_again_and_again() -> None:
    async with serve(port=0) as server:
        port = server.port
        first = await registered(server)
    for _ in range(10):
        async with serve(port=port) as server:
            node = await registered(server)
            assert [entry.name for entry in server.names()] == ["py"]
        assert await read_to_end(node) == b""
        await node.aclose()
    await first.aclose()


async def test_leaving_closes_every_connection_at_once() -> None:
    async with AsyncExitStack() as clients:
        async with serve(port=0) as server:
            streams = [
                await clients.enter_async_context(await anyio.connect_tcp("127.0.0.1", server.port))
                for _ in range(20)
            ]
            streams.append(await clients.enter_async_context(await registered(server)))
            started = anyio.current_time()
        assert anyio.current_time() - started < 2.0
        for stream in streams:
            assert await read_to_end(stream) == b""


async def test_who_connects_in_the_moment_of_leaving_is_told_so() -> None:
    # The event loop sees the client in the very iteration in which the server is left: asyncio's own
    # `sock_accept` keeps such a client's socket open, where nobody will ever find it.
    async with serve("127.0.0.1", 0) as server:
        await anyio.wait_all_tasks_blocked()
        client = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        await anyio.lowlevel.checkpoint()
    with client, suppress(ConnectionResetError):
        assert client.recv(1) == b"", "it was accepted first, and then closed"


async def test_an_error_of_the_caller_is_not_wrapped() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with serve(port=0):
            raise KeyError("mine")


async def test_cancelling_the_caller_ends_the_server() -> None:
    with anyio.move_on_after(0.05) as scope:
        async with serve("127.0.0.1", 0) as server:
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    async with serve("127.0.0.1", server.port):
        pass


async def test_delays_simulate_a_busy_server() -> None:
    async with serve(port=0, delay_accept=0.1, delay_write=0.1) as server:
        started = anyio.current_time()
        await ask(server, NamesRequest())
        assert anyio.current_time() - started >= 0.15


async def test_other_hosts_may_only_ask() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: asks the routing table for our own address
        except OSError:
            pytest.skip("this host has no address but loopback")
        own = probe.getsockname()[0]
    async with serve("127.0.0.1", 0, relaxed_command_check=True) as server:
        node = await registered(server)
        expected: dict[Request, bool] = {
            NamesRequest(): True,
            Port2Request(b"py"): True,
            Alive2Request(1, 77, 0, 6, 5, b"remote"): False,
            DumpRequest(): False,
            StopRequest(b"py"): False,
            KillRequest(): False,
        }
        for request, answered in expected.items():
            async with await anyio.connect_tcp("127.0.0.1", server.port, local_host=own) as stream:
                await stream.send(encode_request(request))
                assert bool(await read_to_end(stream)) is answered, request
        assert server.names() == [NameEntry("py", 4000)]
        await node.aclose()
