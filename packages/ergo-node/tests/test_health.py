"""What a node says of its health, and probes over HTTP."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import reload
from math import inf
from time import monotonic
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketStream
from ergo_node import CannotStart, Epmd, Health, Node, StaticNodes, health
from ergo_node.health import MAX_CONNECTIONS, MAX_REQUEST, serve_health

pytestmark = pytest.mark.anyio

COOKIE = "secret"


def a_health(**changes: Any) -> Health:
    facts: dict[str, Any] = {
        "node": "a@x", "running": True, "listening": True, "registered": True, "lag": 0.0, "max_lag": 15.0
    }  # fmt: skip
    return Health(**(facts | changes))


def test_a_healthy_node_has_no_reasons() -> None:
    well = a_health(connected=("b@x",))
    assert (well.live, well.ready, well.reasons) == (True, True, ())
    assert a_health(registered=None, listening=None).ready


@pytest.mark.parametrize(
    ("changes", "live", "word"),
    [
        ({"running": False}, False, "not running"),
        ({"listening": False}, True, "not listening"),
        ({"registered": False}, True, "not registered"),
        ({"lag": 15.1}, True, "late by 15.1 s"),
    ],
)
def test_what_makes_it_unready(changes: dict[str, Any], live: bool, word: str) -> None:
    ill = a_health(**changes)
    assert (ill.live, ill.ready) == (live, False)
    assert len(ill.reasons) == 1
    assert word in ill.reasons[0]


def test_missing_nodes_are_told_but_do_not_count() -> None:
    alone = a_health(connected=("d@x",), wanted=("b@x", "c@x", "d@x"))
    assert alone.ready
    assert alone.reasons == ("not connected to b@x", "not connected to c@x")


@asynccontextmanager
async def lone_node(**options: Any) -> AsyncIterator[Node]:
    async with Node("a@127.0.0.1", COOKIE, epmd=None, **options) as node:
        yield node


async def test_a_node_from_start_to_end(epmd: Epmd) -> None:
    node = Node("a@127.0.0.1", COOKIE, epmd=epmd, cluster=StaticNodes(["b@127.0.0.1"]))
    assert not node.health().live
    async with node:
        async with Node("b@127.0.0.1", COOKIE, epmd=epmd):
            with anyio.fail_after(10):
                while node.health().missing:  # noqa: ASYNC110  # what is waited for has no event
                    await anyio.sleep(0.01)
            state = node.health()
            assert (state.live, state.ready, state.reasons) == (True, True, ())
            assert (state.registered, state.connected) == (True, ("b@127.0.0.1",))
    assert not node.health().live


async def test_the_loss_of_the_registration_shows(epmd: Epmd) -> None:
    async with Node("first@127.0.0.1", COOKIE, epmd=epmd) as first:
        lonely = Epmd(epmd.port, embedded=False)
        async with Node("a@127.0.0.1", COOKIE, epmd=lonely) as node:
            assert first.health().ready
            assert node.health().ready
            await first.closing()  # it was the EPMD
            with anyio.fail_after(10):
                while node.health().ready:  # noqa: ASYNC110  # what is waited for has no event
                    await anyio.sleep(0.01)
            assert "not registered" in node.health().reasons[0]
            assert node.health().live


async def test_a_blocked_event_loop_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async with lone_node(tick_time=0.4) as node:
        with anyio.fail_after(10):
            while node._lag._due == inf:
                await anyio.lowlevel.checkpoint()
        end = monotonic() + 0.2
        while monotonic() < end:
            pass  # this is what blocks
        assert node.health().lag > node.health().max_lag
        assert "the event loop is late" in node.health().reasons[0]
        with anyio.fail_after(10):
            while "stood still for" not in caplog.text:  # noqa: ASYNC110  # a log has no event
                await anyio.sleep(0.01)
            while not node.health().ready:  # noqa: ASYNC110  # nor has the clock
                await anyio.sleep(0.01)


# Probes


async def ask(port: int, request: bytes) -> tuple[int, Any]:
    """Send a request, return the status of the answer and its JSON; 0 if there is no answer."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(request)
        return answer(await rest(stream))


async def rest(stream: SocketStream) -> bytes:
    data = b""
    with anyio.fail_after(10):
        try:
            async for piece in stream:
                data += piece
        except anyio.BrokenResourceError:
            pass  # closed with something of ours unread
    return data


def answer(data: bytes) -> tuple[int, Any]:
    if not data:
        return 0, None
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head.lower()
    return int(head.split()[1]), json.loads(body) if body else None


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode()


async def test_probes_of_a_healthy_node() -> None:
    async with lone_node() as node, serve_health(node) as server:
        for path in ("/livez", "/readyz", "/readyz?verbose"):
            status, body = await ask(server.port, get(path))
            assert status == 200
            assert (body["live"], body["ready"], body["node"]) == (True, True, "a@127.0.0.1")
        status, body = await ask(server.port, b"HEAD /livez HTTP/1.0\r\n\r\n")
        assert (status, body) == (200, None)
        assert (await ask(server.port, get("/")))[0] == 404
        assert (await ask(server.port, b"POST /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx"))[
            0
        ] == 405


async def test_probes_of_one_that_is_not() -> None:
    node = Node("a@127.0.0.1", COOKIE, epmd=None)
    async with serve_health(node) as server:
        status, body = await ask(server.port, get("/livez"))
        assert (status, body["live"]) == (503, False)
        assert "not running" in body["reasons"][0]
        assert (await ask(server.port, get("/readyz")))[0] == 503


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 2 * MAX_REQUEST, 431),
    ],
)
async def test_requests_that_are_none(request_: bytes, status: int) -> None:
    async with lone_node() as node, serve_health(node) as server:
        assert (await ask(server.port, request_))[0] in (
            status,
            0,
        )  # 0: the system drops what follows unread bytes
        assert (await ask(server.port, get("/livez")))[0] == 200


async def test_who_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "REQUEST_SECONDS", 0.1)
    async with lone_node() as node, serve_health(node) as server:
        for words in (b"", b"GET /livez HT"):
            assert await ask(server.port, words) == (0, None)
        async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
            await stream.send_eof()
            assert await rest(stream) == b""


async def test_a_flood_does_not_pile_up() -> None:
    async with lone_node() as node, serve_health(node) as server:
        streams = [await anyio.connect_tcp("127.0.0.1", server.port) for _ in range(MAX_CONNECTIONS)]
        with anyio.fail_after(10):
            while server._connections < MAX_CONNECTIONS:  # noqa: ASYNC110  # what is waited for has no event
                await anyio.sleep(0.01)
        assert (await ask(server.port, get("/livez")))[0] == 0
        for stream in streams:
            await stream.aclose()
        with anyio.fail_after(10):
            while (await ask(server.port, get("/livez")))[0] != 200:  # noqa: ASYNC110  # the server tells nobody
                await anyio.sleep(0.01)


async def test_a_port_that_is_taken() -> None:
    async with lone_node() as node, serve_health(node) as server:
        with pytest.raises(CannotStart, match=r"health probes of a@127\.0\.0\.1: cannot listen"):
            async with serve_health(node, port=server.port):
                pass


def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h11", None)
    with pytest.raises(ImportError, match=r"pip install 'ergo-node\[health\]'"):
        reload(health)
