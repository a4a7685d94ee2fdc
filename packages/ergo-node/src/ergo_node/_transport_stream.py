"""A transport over a stream of anyio, on any event loop."""

from __future__ import annotations

from collections.abc import Callable
from socket import socket
from time import monotonic
from typing import Final

import anyio
from anyio.abc import ByteStream, SocketAttribute
from erldist_proto import LocalProtocolError
from etf_codec import Atom, EtfError, Pid, Reference, Term

from ergo_node._config import SHUTDOWN_GRACE
from ergo_node._event_loop import READ_BYTES, read_buffer
from ergo_node._transport import Transport, Wiring, joined

MUCH: Final = 65_536
"""Bytes of a read after which the next one is expected to bring as many."""


class StreamTransport(Transport):
    """A transport over a stream of anyio: one task reads, one writes, and one keeps the time.

    The time has a task of its own, for a write may wait as long as the peer does not read. What answers a
    read is mostly small, and the socket takes it at once: then the task that writes need not be woken.
    """

    def __init__(self, wiring: Wiring, stream: ByteStream) -> None:
        super().__init__(wiring)
        self._stream = stream
        self._written = anyio.Event()
        self._retimed = anyio.Event()
        self._writing = anyio.CancelScope()
        self._in_flight = 0
        self._left: list[bytes | memoryview] = []
        raw = stream.extra(SocketAttribute.raw_socket, None)
        # asyncio has a wrapper in its place, which does not send.
        self._socket = raw if isinstance(raw, socket) else None
        self._gone = False
        # While a read is being handled: what waits then is written after it.
        self._handling = False
        # Not None while nothing is to be read; set when it is to be read again.
        self._resumed: anyio.Event | None = None
        self._take_data: Callable[[bytes], None] = self.data_received

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

    def flush(self, *, hurried: bool = True) -> None:
        """Something was sent: write it if the socket takes it at once, or have it written."""
        if self._socket is None or not self.may_write or self._in_flight or self.closed is not None:
            if not self._handling:
                self._written.set()
        else:
            self.may_write = False
            self._send_now(self._socket, joined(self._output()))

    def transmit(self, sender: Pid, to: Pid | Reference | Atom, message: Term) -> bool:
        """Send a message and write it, if the socket takes it at once and nothing is before it."""
        sock = self._socket
        if sock is None or not self.may_write or self._in_flight or self.tls is not None:
            return False
        try:
            packet = self.connection.message_to_send(sender, to, message)
        except (EtfError, LocalProtocolError):
            return False
        self.may_write = False
        if not packet:
            self._send_now(sock, joined(self._output()))
        elif (sent := taken(sock, packet)) < len(packet):
            self._leave([memoryview(packet)[sent:]])
        return True

    def _send_now(self, sock: socket, pieces: list[bytes | memoryview]) -> None:
        for index, piece in enumerate(pieces):
            if (sent := taken(sock, piece)) < len(piece):
                self._leave([memoryview(piece)[sent:], *pieces[index + 1 :]])
                break
        if self.connection.bytes_pending:
            self._written.set()

    def _leave(self, pieces: list[bytes | memoryview]) -> None:
        """Leave what the socket does not take at once to the task that writes."""
        self._left = pieces
        self._in_flight = sum(map(len, pieces))
        self._written.set()

    def shorten(self, way: Callable[[bytes], None]) -> None:
        """Give a function what is read from now on."""
        self._take_data = way

    def fail(self, error: BaseException) -> None:
        """A read could not be handled: end the task that reads, and so `run`."""
        raise error

    def _timed(self) -> None:
        if self.closed is not None:
            # A peer that does not read cannot keep what is left from being given up.
            self._writing.deadline = anyio.current_time() + SHUTDOWN_GRACE
            self._read_on()
            self._written.set()
        self._retimed.set()

    @property
    def bytes_waiting(self) -> int:
        """What the system has not taken yet of what was sent."""
        return self.connection.bytes_pending + self._in_flight

    def pause_reading(self) -> None:
        """Read no more, after the read that is under way."""
        if self._resumed is None and self.closed is None:
            self.connection.pause_reading()
            self._resumed = anyio.Event()

    def resume_reading(self) -> None:
        """Read again."""
        self.connection.resume_reading()
        self._read_on()

    def _read_on(self) -> None:
        if self._resumed is not None:
            self._resumed.set()
            self._resumed = None

    async def _read(self) -> None:
        sock, buffer, much = self._socket, read_buffer(), False
        while self.closed is None:
            try:
                if sock is None:
                    data = await self._stream.receive(READ_BYTES)
                else:
                    # Without the stream, which tries to read before it waits, mostly for nothing.
                    await anyio.wait_readable(sock)
                    data = received(sock, None if much else buffer)
                    much = len(data) > MUCH
            except BlockingIOError:
                continue
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                self._ended()
            else:
                if self._resumed is not None:
                    await self._resumed.wait()
                self.may_write = self._handling = True
                self._take_data(data)
                self.may_write, self._handling = True, False
            if self.connection.bytes_pending or self.tls is not None or self.closed is not None:
                self.flush()

    async def _write(self) -> None:
        with self._writing:
            while True:
                await self._send_all()
                if self.closed is not None:
                    break
                await self._written.wait()
                self._written = anyio.Event()
                self.may_write = True
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
        while data := self._left or joined(self._output()):
            self._left = []
            if self._gone:
                continue
            self._in_flight = sum(map(len, data))
            try:
                for piece in data:
                    # anyio's backends take any buffer; its annotation, bytes, is narrower than they are.
                    await self._stream.send(piece)  # type: ignore[arg-type]
                    self._in_flight -= len(piece)
                    self._relieve()
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                # It has gone. What it sent before that is still to be read; that it went comes after it.
                self._gone = True
                self._in_flight = 0
                self._relieve()


def taken(sock: socket, piece: bytes | memoryview) -> int:
    """Send what the socket takes at once; how many bytes. None if it is broken, as the next write says."""
    try:
        return sock.send(piece)
    except OSError:
        return 0


def received(sock: socket, buffer: memoryview | None) -> bytes:
    """Read what has come, into a buffer or, where that would be much to copy, without one.

    Raises:
        BlockingIOError: nothing has. EndOfStream, BrokenResourceError: nothing will.
    """
    try:
        data = sock.recv(READ_BYTES) if buffer is None else bytes(buffer[: sock.recv_into(buffer)])
    except BlockingIOError:
        raise
    except OSError as error:
        raise anyio.BrokenResourceError from error
    if not data:
        raise anyio.EndOfStream
    return data
