"""A connection at work: what a socket brings goes into the protocol, what comes out goes to the socket.

`Transport` is all of that but the socket; `StreamTransport` has one of anyio. What is handled together is
written together, and a peer that does not read never stops us from reading.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from socket import socket
from time import monotonic
from typing import Final, TypeAlias

import anyio
from anyio.abc import ByteStream, SocketAttribute
from erldist_proto import (
    Closed,
    Connected,
    Connection,
    ControlMessage,
    DemonitorP,
    Event,
    LocalProtocolError,
    MonitorP,
)
from etf_codec import Atom, EtfError, Pid, Reference, Term

from ergo_node._config import SHUTDOWN_GRACE
from ergo_node._errors import TLS_FAILED, TlsError
from ergo_node._tls_session import TlsSession
from ergo_node._translate import FromWire

READ_BYTES: Final = 262_144
"""Bytes read at once: a few fragments of 64 KiB."""

JOIN_BYTES: Final = 65_536
"""Pieces up to this size are joined into one write; larger ones go as they are, uncopied."""

BUSY_BYTES: Final = 1_048_576
"""What may wait to be written before senders wait as well: the default of `+zdbbl`, OTP's busy limit."""


Messages: TypeAlias = list[tuple[ControlMessage, Term]]


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a transport carries.

    Args:
        connection: the protocol.
        deliver: takes the messages of each read, in order, before anything they caused is written.
        handle: takes the events of each read, in the same way; messages may be among them, too.
        tls: the session that encrypts it, or None.
        host: the address of the peer, for the log.
    """

    connection: Connection
    deliver: Callable[[Transport, Messages], None]
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
        # What makes signals of messages, as long as this is the connection to its node.
        self.from_wire: FromWire | None = None
        # How many more links and monitors the peer may make before they are counted again.
        self.spare_bonds = 0
        self._deliver = wiring.deliver
        self._handle = wiring.handle
        self._tls_error: TlsError | None = None
        self._lost: str | None = None
        self._relieved: anyio.Event | None = None
        # Whether what is sent may have to wait for the system to take it; see `busy`.
        self.blocked = True
        # Of reads that were not handled at once.
        self.bytes_read = 0
        self.messages_read = 0
        # How many there will be when the mailboxes they go to are looked at again.
        self.look_at = 0
        # Whether what is sent next is written at once, or with what follows.
        self.may_write = True

    @abstractmethod
    async def run(self) -> None:
        """Read and write until the connection has ended, one way or the other; then close the socket."""

    @abstractmethod
    def flush(self, *, hurried: bool = True) -> None:
        """Something was sent: have it written; if nobody waits for it, together with what follows."""

    def transmit(self, sender: Pid, to: Pid | Reference | Atom, message: Term) -> bool:
        """Send a message, as `Connection.send_message`, and have it written.

        Returns:
            False if that cannot be now, or never: nothing was sent.
        """
        return False

    def monitor(self, sender: Pid, to: Pid | Atom, ref: Reference) -> bool:
        """Send that a process starts to watch a process or a name; see `Channel`."""
        return self._send_quickly(MonitorP, sender, to, ref)

    def demonitor(self, sender: Pid, to: Pid | Atom, ref: Reference) -> bool:
        """Send that it watches no more; see `Channel`."""
        return self._send_quickly(DemonitorP, sender, to, ref)

    def _send_quickly(
        self, kind: type[MonitorP | DemonitorP], sender: Pid, to: Pid | Atom, ref: Reference
    ) -> bool:
        if self.blocked and self.busy:
            return False
        try:
            self.connection.send_quickly(kind, sender, to, ref)
        except (EtfError, LocalProtocolError):
            return False
        return True

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
        self.connection.receive_eof()
        # Only once it is closed does a connection hand out all that waits.
        self.connection.data_to_send()
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

    # For those who have the socket, or take what it brings

    @abstractmethod
    def shorten(self, way: Callable[[bytes], None]) -> None:
        """Give a function what is read from now on; it hands on what it does not handle.

        Either to `data_received`, or, with the messages made of it, to `received`.
        """

    @abstractmethod
    def fail(self, error: BaseException) -> None:
        """A read could not be handled: end `run` with the error."""

    def data_received(self, data: bytes) -> None:
        """Bytes came from the socket: handle them."""
        if self.tls is not None:
            try:
                data = self.tls.decrypt(data)
            except TlsError as error:
                self._fail(error)
                return
        if data:
            self.received(self.connection.receive_messages(data), len(data))

    def received(self, messages: Messages | None, size: int) -> None:
        """Handle what `Connection.receive_messages` returned of a read of so many bytes."""
        self.bytes_read += size
        if messages is None:
            self._report()
        elif messages:
            # What answers a single message need not wait for what answers others.
            if len(messages) > 1:
                self.may_write = False
            self._deliver(self, messages)

    def _begin(self) -> None:
        if self.tls is not None:
            self.tls.begin()

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
        events = self.connection.events()
        while events:
            self._note(events)
            self._handle(self, events)
            # The answer to an event may let packets be read that waited for it.
            events = self.connection.events()

    def _note(self, events: list[Event]) -> None:
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
        # Set while it is not to be read: told when it is again.
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
        receive = self._receive if self._socket is None else partial(self._receive_at, self._socket)
        while self.closed is None:
            try:
                data = await receive()
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

    async def _receive(self) -> bytes:
        return await self._stream.receive(READ_BYTES)

    async def _receive_at(self, sock: socket) -> bytes:
        """The same without the stream, which tries to read before it waits, mostly for nothing."""
        while True:
            await anyio.wait_readable(sock)
            try:
                data = sock.recv(READ_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                raise anyio.BrokenResourceError from error
            if not data:
                raise anyio.EndOfStream
            return data

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
