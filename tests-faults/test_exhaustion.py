"""G7: no file left to open, nobody who reads what is printed, no memory, no answer of DNS.

What fails is told, and only that fails: the node lives on, and works again when there is room again.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import anyio
import epmd_server
import pytest
from ergo_node import Epmd, Node, NotConnected
from etf_codec import Atom, Term
from invariants import Invariants, Numbered, Numbers, eventually
from otp_behaviors import ExitError, GenServer, RemoteName

resource = pytest.importorskip("resource", reason="limits of POSIX")
pytestmark = pytest.mark.anyio

HOST, COOKIE = "127.0.0.1", "secret"
STRANGERS = 5


@contextmanager
def strangers() -> Iterator[Callable[[int], None]]:
    """Sockets that need no file any more; the function connects them all to a port."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(STRANGERS)]

        def connect(port: int) -> None:
            for each in sockets:
                each.setblocking(False)
                each.connect_ex((HOST, port))

        yield connect


@contextmanager
def no_free_files() -> Iterator[None]:
    """The process has no file descriptor left."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    try:
        taken.append(os.dup(0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 1, hard))
        with suppress(OSError):
            while True:  # the free numbers below
                taken.append(os.dup(0))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in taken:
            os.close(each)


async def test_a_listener_survives_that_no_file_is_free(
    epmd: Epmd, invariants: Invariants, caplog: pytest.LogCaptureFixture
) -> None:
    invariants.expected_errors.append("no connection is accepted")
    async with (
        Node(f"a@{HOST}", COOKIE, epmd=epmd) as a,
        Node(f"b@{HOST}", COOKIE, epmd=epmd) as b,
        Node(f"c@{HOST}", COOKIE, epmd=epmd) as c,
    ):
        assert await a.ping(b.name)
        b.add_route(c.name, HOST, c.port)
        with strangers() as connect:
            with no_free_files():
                connect(a.port)
                await eventually(lambda: "Too many open files" in caplog.text)
                assert await b.ping(a.name)  # the connection there is
                with pytest.raises(NotConnected, match="Too many open files"):
                    await b.reach(c.name)
            assert caplog.text.count("accept") < 2 * STRANGERS  # no flood of it
            with anyio.fail_after(10):
                assert await c.ping(a.name)
                assert await b.ping(c.name)


async def test_an_epmd_survives_that_no_file_is_free(caplog: pytest.LogCaptureFixture) -> None:
    async with epmd_server.serve(HOST, 0) as server:
        with strangers() as connect:
            with no_free_files():
                connect(server.port)
                await eventually(lambda: "Too many open files" in caplog.text)
                with pytest.raises(epmd_server.EpmdUnreachable, match="Too many open files"):
                    await epmd_server.names(epmd_port=server.port)
            with anyio.fail_after(10):
                async with epmd_server.register("a", 5000, epmd_port=server.port):
                    assert [each.name for each in await epmd_server.names(epmd_port=server.port)] == ["a"]


async def test_a_node_survives_that_nobody_reads_its_output(epmd: Epmd) -> None:
    printed: list[str] = []

    def output(text: str) -> None:
        if not printed:
            printed.append(text)
            raise BrokenPipeError(32, "Broken pipe")
        printed.append(text)

    put = (Atom("put_chars"), Atom("unicode"), b"hello")
    async with (
        Node(f"a@{HOST}", COOKIE, epmd=epmd, output=output) as a,
        Node(f"b@{HOST}", COOKIE, epmd=epmd) as b,
    ):
        for _ in range(2):
            ref = b.kernel.make_ref()
            user = RemoteName("user", a.name)
            await b.send(user, (Atom("io_request"), b._client.pid, ref, put))
        await eventually(lambda: len(printed) == 2)
        assert await b.ping(a.name)


class Greedy(GenServer):
    """Asks for more than there is."""

    def handle_call(self, request: Term, caller: object) -> Term:
        """As an allocation that fails."""
        raise MemoryError("no memory")


async def test_no_memory_is_the_end_of_who_asked_for_it(epmd: Epmd, invariants: Invariants) -> None:
    invariants.expected_errors.append("MemoryError")
    async with (
        Node(f"a@{HOST}", COOKIE, epmd=epmd) as a,
        Node(f"b@{HOST}", COOKIE, epmd=epmd) as b,
    ):
        await a.start(Greedy, name="greedy")
        await a.start(Numbered, Numbers(), name="numbered")
        with pytest.raises(ExitError, match="MemoryError"):
            await b.call(RemoteName("greedy", a.name), Atom("more"))
        assert await b.call(RemoteName("numbered", a.name), Atom("count")) == 0


async def test_a_host_that_dns_does_not_know(epmd: Epmd) -> None:
    async with Node(f"a@{HOST}", COOKIE, epmd=epmd) as a:
        with pytest.raises(NotConnected, match=r"no-such-host\.invalid"), anyio.fail_after(20):
            await a.reach("b@no-such-host.invalid")
        assert await a.connect(f"b@{HOST}") is False
