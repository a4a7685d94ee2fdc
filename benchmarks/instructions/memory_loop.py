"""An event loop of asyncio whose connections are in memory: what one side writes, the other reads.

Everything above the sockets is what runs with them. A read holds what was written since the one before.
"""

import asyncio
import socket
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


class MemoryLoop(asyncio.SelectorEventLoop):
    """A loop whose clients and servers meet by real sockets, and then talk in memory."""

    def __init__(self) -> None:
        super().__init__()
        self._visitors: dict[Any, tuple[MemoryTransport, asyncio.Event]] = {}
        """The client's end for each address that knocks, and what tells it that it was taken."""

    # Of their many arguments, these methods take those that the node gives.
    async def connect_accepted_socket(self, factory: Any, sock: Any) -> Any:  # type: ignore[override]  # see above
        """Make the server's end."""
        far = factory()
        theirs = MemoryTransport(self, far)
        ours, taken = self._visitors.pop(sock.getpeername())
        sock.close()
        ours.peer, theirs.peer = theirs, ours
        far.connection_made(theirs)
        taken.set()
        return theirs, far

    async def create_connection(self, factory: Any, host: str, port: int) -> Any:  # type: ignore[override]  # see above
        """Make the client's end, once the server has made its own."""
        near = factory()
        ours, taken = MemoryTransport(self, near), asyncio.Event()
        with socket.create_connection((host, port)) as knock:
            self._visitors[knock.getsockname()] = ours, taken
            await taken.wait()
        near.connection_made(ours)
        return ours, near
