"""Opening connections, and taking those that others open: the sockets of a node."""

from __future__ import annotations

import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, NoReturn, Protocol

import anyio
from anyio.abc import SocketAttribute, SocketListener, SocketStream, TaskGroup
from anyio.streams.stapled import MultiListener

from ergo_node._transport import Transport, Wiring
from ergo_node._transport_stream import StreamTransport

logger: Final = logging.getLogger("ergo_node")

ACCEPT_PAUSE: Final = 0.1
"""Seconds without accepting after the system ran out of files or memory; who connects waits meanwhile."""


class Reception(Protocol):
    """What takes the connections that others open."""

    def admit(self, host: str) -> Wiring | None:
        """Somebody has connected: with what to go on, or None to close at once."""

    async def run(self, transport: Transport) -> None:
        """Run the transport of somebody who was admitted; returns when it is over."""


class Listener(ABC):
    """A socket that listens; connections wait in it until `serve` takes them."""

    @property
    @abstractmethod
    def port(self) -> int:
        """Where it listens."""

    @abstractmethod
    async def serve(self, reception: Reception, tasks: TaskGroup) -> None:
        """Take connections for ever; each runs in a task of its own."""

    @abstractmethod
    async def aclose(self) -> None:
        """Listen no more."""


class Network(ABC):
    """Makes transports and listeners. Errors are OSErrors."""

    @abstractmethod
    async def connect(self, host: str, port: int, wiring: Wiring) -> Transport:
        """Open a connection; the transport is to be run."""

    @abstractmethod
    async def listen(self, host: str, port: int) -> Listener:
        """Listen at an address; port 0 lets the system choose."""


class StreamNetwork(Network):
    """Sockets of anyio, for any event loop."""

    async def connect(self, host: str, port: int, wiring: Wiring) -> Transport:
        """Open a connection; the transport is to be run."""
        try:
            return StreamTransport(wiring, await anyio.connect_tcp(host, port))
        except OSError as error:
            raise _cause(error) from error

    async def listen(self, host: str, port: int) -> Listener:
        """Listen at an address; port 0 lets the system choose."""
        return StreamListener(await anyio.create_tcp_listener(local_host=host, local_port=port))


class StreamListener(Listener):
    """A listener of anyio."""

    def __init__(self, listener: MultiListener[SocketStream]) -> None:
        self._listener = listener

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.extra(SocketAttribute.local_port))

    async def serve(self, reception: Reception, tasks: TaskGroup) -> None:
        """Take connections for ever; each runs in a task of its own."""

        async def run(stream: SocketStream) -> None:
            address = stream.extra(SocketAttribute.remote_address, ("?",))
            wiring = reception.admit(str(address[0]))
            if wiring is None:
                await anyio.aclose_forcefully(stream)
            else:
                await reception.run(StreamTransport(wiring, stream))

        async def take_one(listener: SocketListener) -> None:
            tasks.start_soon(run, await listener.accept())

        async with self._listener, anyio.create_task_group() as listening:
            for listener in self._listener.listeners:
                assert isinstance(listener, SocketListener)
                listening.start_soon(take_all, partial(take_one, listener))

    async def aclose(self) -> None:
        """Listen no more."""
        await self._listener.aclose()


async def accepted(listening: socket.socket) -> socket.socket:
    """Wait for who connects.

    Not by asyncio's `sock_accept`, nor by the listeners of anyio, which call that: it loses who connects in
    the moment that it is cancelled.
    """
    while True:
        await anyio.wait_readable(listening)
        try:
            sock, _ = listening.accept()
        except BlockingIOError:
            continue  # whoever it was has gone again
        sock.setblocking(False)
        # asyncio does it for the sockets that it accepts itself. Without it a small packet waits for the one
        # before it to be acknowledged, which takes the peer up to 40 ms.
        with suppress(OSError):  # of one that has broken already, which shows when it is read
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


async def serve_streams(
    listener: MultiListener[SocketStream], serve: Callable[[SocketStream], Awaitable[None]]
) -> None:
    """Serve who connects, each in a task of its own, until this is cancelled."""

    async def serve_one(sock: socket.socket) -> None:
        try:
            stream = await SocketStream.from_socket(sock)
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError | ValueError):
                return  # it is not connected any more
            raise
        await serve(stream)

    async def take_one(listening: socket.socket) -> None:
        tasks.start_soon(serve_one, await accepted(listening))

    async with anyio.create_task_group() as tasks:
        for each in listener.listeners:
            tasks.start_soon(take_all, partial(take_one, each.extra(SocketAttribute.raw_socket)))


async def take_all(take_one: Callable[[], Awaitable[None]]) -> NoReturn:
    """Take connections for ever, also when that fails for a while."""
    failing = False
    while True:
        try:
            await take_one()
        except (OSError, anyio.BrokenResourceError) as error:
            # No file is free, or who connected has gone already: neither may end the node.
            if not failing:
                logger.error("no connection is accepted just now: %s", error.__cause__ or error)
            failing = True
            await anyio.sleep(ACCEPT_PAUSE)
        else:
            failing = False


def _cause(error: OSError) -> OSError:
    """What anyio says is that all attempts failed; why is the cause, or several."""
    cause: BaseException | None = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    return cause if isinstance(cause, OSError) else error
