"""Probes over HTTP: `/livez` and `/readyz`, as Kubernetes asks for them.

    async with Node("app@10.0.0.4") as node, serve_health(node, host="0.0.0.0", port=8080):
        ...

Answers 200 or 503, with the node's `Health` as JSON. Needs `h11`: `pip install 'ergo-node[health]'`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Final

import anyio
from anyio.abc import SocketAttribute, SocketStream

from ergo_node._errors import CannotStart
from ergo_node._health import Health
from ergo_node._network import serve_streams
from ergo_node._node import Node

try:
    import h11
except ImportError as error:
    raise ImportError("ergo_node.health needs h11: pip install 'ergo-node[health]'") from error

__all__ = ["Health", "HealthServer", "serve_health"]

logger: Final = logging.getLogger("ergo_node")

MAX_REQUEST: Final = 8192
"""Bytes of a request's head; probes need some hundred."""

REQUEST_SECONDS: Final = 5.0
"""For a connection from first to last: probes give up after one second, unless told otherwise."""

MAX_CONNECTIONS: Final = 32
"""At once: a kubelet has one or two, and what is here must not use up the file descriptors of the node."""

READ_BYTES: Final = 4096


class HealthServer:
    """Answers probes of one node. `port` is where it listens."""

    def __init__(self, node: Node, port: int) -> None:
        self.port = port
        self._node = node
        self._connections = 0

    async def take(self, stream: SocketStream) -> None:
        """Answer one request; the connection is closed after it."""
        async with stream:
            if self._connections >= MAX_CONNECTIONS:
                return
            self._connections += 1
            try:
                with anyio.move_on_after(REQUEST_SECONDS):
                    await self._serve(stream)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                logger.debug("a health probe has gone before its answer")
            finally:
                self._connections -= 1

    async def _serve(self, stream: SocketStream) -> None:
        protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST)
        with_body = True
        try:
            request = await _request(protocol, stream)
            if request is None:
                return
            with_body = request.method != b"HEAD"
            status, body = self._answer(request)
        except h11.RemoteProtocolError as error:
            status, body = error.error_status_hint, {"error": str(error)}
        if protocol.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await stream.send(_response(protocol, status, body, with_body))

    def _answer(self, request: h11.Request) -> tuple[int, dict[str, object]]:
        if request.method not in (b"GET", b"HEAD"):
            return 405, {"error": "only GET and HEAD are answered"}
        health = self._node.health()
        paths = {b"/livez": health.live, b"/readyz": health.ready}
        path = request.target.partition(b"?")[0]
        if path not in paths:
            return 404, {"error": "there are /livez and /readyz"}
        summary = {"live": health.live, "ready": health.ready, "reasons": health.reasons}
        return 200 if paths[path] else 503, summary | asdict(health)


async def _request(protocol: h11.Connection, stream: SocketStream) -> h11.Request | None:
    """Read the head of a request; None if it ends before. A body, if there is one, is left unread."""
    while True:
        event = protocol.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        try:
            protocol.receive_data(await stream.receive(READ_BYTES))
        except anyio.EndOfStream:
            protocol.receive_data(b"")


def _response(protocol: h11.Connection, status: int, body: dict[str, object], with_body: bool) -> bytes:
    data = json.dumps(body).encode() + b"\n"
    headers = [
        ("content-type", "application/json"),
        ("content-length", str(len(data))),
        ("cache-control", "no-store"),
        ("connection", "close"),
    ]
    response = h11.Response(status_code=status, headers=headers)
    events = [response, *([h11.Data(data=data)] if with_body else []), h11.EndOfMessage()]
    return b"".join(protocol.send(event) or b"" for event in events)


@asynccontextmanager
async def serve_health(node: Node, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[HealthServer]:
    """Answer probes for as long as the block lasts.

    Args:
        node: whose health is asked for.
        host: where to listen. Loopback unless told otherwise, for whoever can connect learns the names of the
            connected nodes; the kubelet needs the address of the pod, or `0.0.0.0`.
        port: where; 0 lets the system choose.

    Raises:
        CannotStart: the port is not to be had.
    """
    try:
        listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
    except OSError as error:
        raise CannotStart(
            f"health probes of {node.name}: cannot listen on {host}, port {port}: {error}"
        ) from error
    server = HealthServer(node, int(listener.extra(SocketAttribute.local_port)))
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(serve_streams, listener, server.take)
        try:
            yield server
        finally:
            tasks.cancel_scope.cancel()
