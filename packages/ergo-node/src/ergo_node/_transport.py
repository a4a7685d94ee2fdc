"""A connection at work: bytes of an anyio stream into the protocol, what comes out back into the stream.

One task reads and one writes, so that a peer that does not read never stops us from reading. What is handled
together is written together.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

import anyio
from anyio.abc import ByteStream
from erldist_proto import Closed, Connection, Event

from ergo_node._config import SHUTDOWN_GRACE

READ_BYTES: Final = 262_144
"""Bytes read at once: a few fragments of 64 KiB."""

JOIN_BYTES: Final = 65_536
"""Pieces up to this size are joined into one write; larger ones go as they are, uncopied."""


class Transport:
    """Pumps one connection until it is closed.

    Args:
        connection: the protocol.
        stream: the socket.
        handle: takes the events of each read, in order, before anything they caused is written.
    """

    def __init__(
        self, connection: Connection, stream: ByteStream, handle: Callable[[Transport, list[Event]], None]
    ) -> None:
        self.connection = connection
        self.closed: Closed | None = None
        self._stream = stream
        self._handle = handle
        self._written = anyio.Event()
        self._writing = anyio.CancelScope()

    async def run(self) -> None:
        """Read and write until the connection has ended, one way or the other; then close the stream."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write)
                await self._read()
                self.flush()
        finally:
            if self.closed is None:
                self.connection.close()
                self._events()
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(self._stream)

    def flush(self) -> None:
        """Something was sent: have it written."""
        self._written.set()

    def close(self) -> None:
        """End the connection; what was sent before is still written."""
        self.connection.close()
        self._events()
        self.flush()

    def _events(self) -> None:
        events = self.connection.events()
        if events:
            if isinstance(events[-1], Closed):
                self.closed = events[-1]
                # A peer that does not read cannot keep what is left from being given up.
                self._writing.deadline = anyio.current_time() + SHUTDOWN_GRACE
            self._handle(self, events)

    async def _read(self) -> None:
        connection, receive = self.connection, self._stream.receive
        while self.closed is None:
            try:
                data = await receive(READ_BYTES)
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                connection.receive_eof()
            else:
                connection.receive_data(data)
            self._events()
            self.flush()

    async def _write(self) -> None:
        connection = self.connection
        with self._writing:
            while True:
                await self._send_all()
                if self.closed is not None:
                    break
                due = connection.deadline()
                with anyio.move_on_after(None if due is None else max(0.0, due - monotonic())):
                    await self._written.wait()
                self._written = anyio.Event()
                if due is not None and monotonic() >= due:
                    connection.handle_time(monotonic())
                    self._events()
        # The reader waits for a peer that may never say anything again: end its wait.
        await self._stream.aclose()

    async def _send_all(self) -> None:
        while data := self.connection.data_to_send():
            try:
                for piece in _joined(data):
                    # anyio's backends take any buffer; its annotation, bytes, is narrower than they are.
                    await self._stream.send(piece)  # type: ignore[arg-type]
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                self.connection.receive_eof()
                self._events()
                return


def _joined(pieces: list[bytes | memoryview]) -> list[bytes | memoryview]:
    """Join neighbours that are small, keep large pieces as they are."""
    if len(pieces) == 1:
        return pieces
    joined: list[bytes | memoryview] = []
    small: list[bytes | memoryview] = []
    for piece in pieces:
        if len(piece) > JOIN_BYTES:
            if small:
                joined.append(b"".join(small))
                small = []
            joined.append(piece)
        else:
            small.append(piece)
    if small:
        joined.append(b"".join(small))
    return joined
