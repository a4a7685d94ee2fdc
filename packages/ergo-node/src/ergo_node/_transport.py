"""A connection at work: what a socket brings goes into the protocol, what comes out goes to the socket.

`Transport` is all of that but the socket; `StreamTransport` has one of anyio. What is handled together is
written together, and a peer that does not read never stops us from reading.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import Final

import anyio
from anyio.abc import ByteStream
from erldist_proto import Closed, Connected, Connection, Event

from ergo_node._config import SHUTDOWN_GRACE
from ergo_node._errors import TLS_FAILED, TlsError
from ergo_node._tls_session import TlsSession

READ_BYTES: Final = 262_144
"""Bytes read at once: a few fragments of 64 KiB."""

JOIN_BYTES: Final = 65_536
"""Pieces up to this size are joined into one write; larger ones go as they are, uncopied."""

BUSY_BYTES: Final = 1_048_576
"""What may wait to be written before senders wait as well: the default of `+zdbbl`, OTP's busy limit."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a transport carries.

    Args:
        connection: the protocol.
        handle: takes the events of each read, in order, before anything they caused is written.
        tls: the session that encrypts it, or None.
        host: the address of the peer, for the log.
    """

    connection: Connection
    handle: Callable[[Transport, list[Event]], None]
    tls: TlsSession | None = None
    host: str = "?"


class Transport(ABC):
    """Pumps one connection until it is closed."""

    def __init__(self, wiring: Wiring) -> None:
        self.connection = wiring.connection
        self.tls = wiring.tls
        self.host = wiring.host
        self.closed: Closed | None = None
        self._handle = wiring.handle
        self._tls_error: TlsError | None = None
        self._lost: str | None = None
        self._relieved: anyio.Event | None = None
        self.bytes_read = 0
        self.messages_read = 0

    @abstractmethod
    async def run(self) -> None:
        """Read and write until the connection has ended, one way or the other; then close the socket."""

    @abstractmethod
    def flush(self) -> None:
        """Something was sent: have it written."""

    @abstractmethod
    def _timed(self) -> None:
        """The time at which the connection has something to do may have changed."""

    @property
    @abstractmethod
    def bytes_waiting(self) -> int:
        """What the system has not taken yet of what was sent."""

    @abstractmethod
    def pause_reading(self) -> None:
        """Read no more until `resume_reading`; that the peer is silent meanwhile is not held against it."""

    @abstractmethod
    def resume_reading(self) -> None:
        """Read again."""

    def close(self) -> None:
        """End the connection; what was sent before is still written."""
        self.connection.close()
        self._report()
        self.flush()

    def give_up(self, text: str) -> None:
        """End the connection at once, with what waits to be written."""
        self.connection.data_to_send()
        self.connection.receive_eof()
        self._lost = text
        self._report()

    @property
    def busy(self) -> bool:
        """Whether so much waits to be written that senders should wait, as for OTP's busy port."""
        return self.bytes_waiting > BUSY_BYTES and self.closed is None

    async def relieved(self) -> None:
        """Wait until the transport is not busy any more, or closed."""
        while self.busy:
            if self._relieved is None:
                self._relieved = anyio.Event()
            await self._relieved.wait()

    # For those who have the socket

    def _begin(self) -> None:
        if self.tls is not None:
            self.tls.begin()

    def _received(self, data: bytes) -> None:
        """Bytes came from the socket."""
        if self.tls is not None:
            try:
                data = self.tls.decrypt(data)
            except TlsError as error:
                self._fail(error)
                return
        if data:
            self.bytes_read += len(data)
            self.connection.receive_data(data)
            self._report()

    def _ended(self) -> None:
        """The socket has ended, or broke."""
        if self.tls is not None and not self.tls.established and self._tls_error is None:
            self._tls_error = TlsError(
                "it closed the connection: does it use TLS, and accept our certificate?"
            )
        self.connection.receive_eof()
        self._report()

    def _output(self) -> list[bytes | memoryview]:
        """What is to be written now."""
        pieces = self.connection.data_to_send()
        if self.tls is None:
            return pieces
        try:
            data = self.tls.encrypt(pieces)
        except TlsError as error:
            self._fail(error)
            return []
        if self.closed is not None:
            data += self.tls.close()
        return [data] if data else []

    def _relieve(self) -> None:
        """Some of what waited has been written."""
        if self._relieved is not None and (self.closed is not None or self.bytes_waiting <= BUSY_BYTES // 2):
            self._relieved.set()
            self._relieved = None

    def _fail(self, error: TlsError) -> None:
        self._tls_error = error
        self.connection.receive_eof()
        self._report()

    def _report(self) -> None:
        # More than once: the answer to an event may let packets be read that waited for it.
        while events := self.connection.events():
            self._tell(events)

    def _tell(self, events: list[Event]) -> None:
        last = events[-1]
        if isinstance(last, Closed):
            if self._tls_error is not None and last.reason == "connection_closed":
                who = self.connection.peer or self.host
                last = replace(last, reason=TLS_FAILED, text=f"TLS with {who} failed: {self._tls_error}")
                events[-1] = last
            elif self._lost is not None:
                events[-1] = last = replace(last, text=self._lost)
            self.closed = last
            self._relieve()
            self._timed()
        elif isinstance(events[0], Connected) or isinstance(last, Connected):
            self._timed()
        self._handle(self, events)


class StreamTransport(Transport):
    """A transport over a stream of anyio: one task reads, one writes, and one keeps the time.

    The time has a task of its own, for a write may wait as long as the peer does not read.
    """

    def __init__(self, wiring: Wiring, stream: ByteStream) -> None:
        super().__init__(wiring)
        self._stream = stream
        self._written = anyio.Event()
        self._retimed = anyio.Event()
        self._writing = anyio.CancelScope()
        self._in_flight = 0
        self._reading = anyio.Event()
        self._reading.set()

    async def run(self) -> None:
        """Read and write until the connection has ended, one way or the other; then close the stream."""
        try:
            self._begin()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write)
                tasks.start_soon(self._keep_time)
                await self._read()
                self.flush()
        finally:
            if self.closed is None:
                self.connection.close()
                self._report()
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(self._stream)

    def flush(self) -> None:
        """Something was sent: have it written."""
        self._written.set()

    def _timed(self) -> None:
        if self.closed is not None:
            # A peer that does not read cannot keep what is left from being given up.
            self._writing.deadline = anyio.current_time() + SHUTDOWN_GRACE
            self._reading.set()
            self._written.set()
        self._retimed.set()

    @property
    def bytes_waiting(self) -> int:
        """What the system has not taken yet of what was sent."""
        return self.connection.bytes_pending + self._in_flight

    def pause_reading(self) -> None:
        """Read no more, after the read that is under way."""
        if self._reading.is_set() and self.closed is None:
            self.connection.pause_reading()
            self._reading = anyio.Event()

    def resume_reading(self) -> None:
        """Read again."""
        self.connection.resume_reading()
        self._reading.set()

    async def _read(self) -> None:
        receive = self._stream.receive
        while self.closed is None:
            try:
                data = await receive(READ_BYTES)
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                self._ended()
            else:
                await self._reading.wait()
                self._received(data)
            self.flush()

    async def _write(self) -> None:
        with self._writing:
            while True:
                await self._send_all()
                if self.closed is not None:
                    break
                await self._written.wait()
                self._written = anyio.Event()
        # The reader waits for a peer that may never say anything again: end its wait.
        await self._stream.aclose()

    async def _keep_time(self) -> None:
        connection = self.connection
        while self.closed is None:
            due = connection.deadline()
            with anyio.move_on_after(None if due is None else max(0.0, due - monotonic())):
                await self._retimed.wait()
            self._retimed = anyio.Event()
            if due is not None and monotonic() >= due:
                connection.handle_time(monotonic())
                self._report()
                self.flush()

    async def _send_all(self) -> None:
        while data := self._output():
            self._in_flight = sum(map(len, data))
            try:
                for piece in joined(data):
                    # anyio's backends take any buffer; its annotation, bytes, is narrower than they are.
                    await self._stream.send(piece)  # type: ignore[arg-type]
                    self._in_flight -= len(piece)
                    self._relieve()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                self._in_flight = 0
                self._ended()
                return


def joined(pieces: list[bytes | memoryview]) -> list[bytes | memoryview]:
    """Join neighbours that are small, keep large pieces as they are."""
    if len(pieces) == 1:
        return pieces
    result: list[bytes | memoryview] = []
    small: list[bytes | memoryview] = []
    for piece in pieces:
        if len(piece) > JOIN_BYTES:
            if small:
                result.append(b"".join(small))
                small = []
            result.append(piece)
        else:
            small.append(piece)
    if small:
        result.append(b"".join(small))
    return result
