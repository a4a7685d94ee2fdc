"""An event loop of asyncio whose connections are in memory: what one side writes, the other reads.

Everything above the sockets is what runs with them. A read holds what was written since the one before.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any


class MemoryTransport(asyncio.Transport):
    """One end of a connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.BaseProtocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 0)})
        self._loop = loop
        self._protocol: Any = protocol
        self._arrived: list[bytes] = []
        self._closing = False
        self.peer = self

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Have another protocol read."""
        self._protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever buffered: the other side has what was written."""

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def write(self, data: Any) -> None:
        """The peer reads it in the next iteration of the loop."""
        peer = self.peer
        if not peer._arrived:
            self._loop.call_soon(peer._deliver)
        peer._arrived.append(bytes(data))

    def is_closing(self) -> bool:
        """Whether it was closed, by either side."""
        return self._closing

    def close(self) -> None:
        """Close both ends, after what was written has been read."""
        for end in (self, self.peer):
            if not end._closing:
                end._closing = True
                self._loop.call_soon(end._protocol.connection_lost, None)

    abort = close

    def _deliver(self) -> None:
        data, self._arrived = b"".join(self._arrived), []
        if not self._closing:
            self._protocol.data_received(data)


class MemoryServer:
    """A socket that is bound, so that it has a port, and never listened to."""

    def __init__(self, factory: Callable[[], asyncio.BaseProtocol], sock: socket.socket) -> None:
        self.factory = factory
        self.sockets = [sock]

    async def start_serving(self) -> None:
        """It serves from the beginning."""

    def close(self) -> None:
        """Give the port back."""
        self.sockets[0].close()


class MemoryLoop(asyncio.SelectorEventLoop):
    """A loop whose clients and servers meet in memory, by port."""

    def __init__(self) -> None:
        super().__init__()
        self._listening: dict[int, MemoryServer] = {}

    # Of their many arguments, these two methods take those that the node gives.
    async def create_server(self, factory: Any, *, sock: Any, start_serving: bool) -> Any:  # type: ignore[override]  # see above
        """Remember who is at the port of the socket."""
        server = MemoryServer(factory, sock)
        self._listening[sock.getsockname()[1]] = server
        return server

    async def create_connection(self, factory: Any, host: str, port: int) -> Any:  # type: ignore[override]  # see above
        """Make both ends."""
        far = self._listening[port].factory()
        near = factory()
        ours, theirs = MemoryTransport(self, near), MemoryTransport(self, far)
        ours.peer, theirs.peer = theirs, ours
        theirs._protocol.connection_made(theirs)
        near.connection_made(ours)
        return ours, near
