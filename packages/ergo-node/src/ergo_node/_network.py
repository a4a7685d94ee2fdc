"""Opening connections, and taking those that others open: the sockets of a node."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskGroup
from anyio.streams.stapled import MultiListener

from ergo_node._transport import StreamTransport, Transport, Wiring


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
        return StreamTransport(wiring, await anyio.connect_tcp(host, port))

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

        async def take(stream: SocketStream) -> None:
            address = stream.extra(SocketAttribute.remote_address, ("?",))
            wiring = reception.admit(str(address[0]))
            if wiring is None:
                await anyio.aclose_forcefully(stream)
            else:
                await reception.run(StreamTransport(wiring, stream))

        async with self._listener:
            await self._listener.serve(take, tasks)

    async def aclose(self) -> None:
        """Listen no more."""
        await self._listener.aclose()
