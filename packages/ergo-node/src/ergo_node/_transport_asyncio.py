"""Sockets of asyncio and uvloop without streams: from a read to the reply in one iteration of the loop.

`data_received` hands bytes to the protocol, events to the node, messages to processes; what they answer is
written before the callback returns. A stream would need two tasks and a wake-up of each.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any, Final

import anyio
from anyio.abc import TaskGroup
from erldist_proto import LocalProtocolError
from etf_codec import Atom, EtfError, Pid, Reference, Term

from ergo_node._config import SHUTDOWN_GRACE
from ergo_node._event_loop import read_buffer
from ergo_node._network import Listener, Network, Reception, accepted, take_all
from ergo_node._transport import BUSY_BYTES, JOIN_BYTES, Messages, Transport, Wiring, joined

BUFFER_HIGH: Final = 262_144
"""Bytes that may wait in the event loop's own buffer; beyond them, they wait in the connection's."""

BUFFER_LOW: Final = 65_536


def on_asyncio() -> bool:
    """Tell whether the calling task is one of asyncio, or uvloop."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False


class ProtocolTransport(Transport, asyncio.Protocol):
    """A transport as a protocol of asyncio."""

    def __init__(self, wiring: Wiring) -> None:
        super().__init__(wiring)
        self._loop = asyncio.get_running_loop()
        self._woken = anyio.Event()
        self._gone = anyio.Event()
        self._error: BaseException | None = None
        # One of asyncio's or of uvloop's transports, which have no class in common.
        self._io: Any = None
        self._reading = False
        self.blocked = False
        self._written = False
        # Of what was sent in this read: whether somebody waits for it, and whether nobody does.
        self._hurried = self._unhurried = False
        self._paused = False
        # What the event loop calls in the place of this object.
        self._instead: type[Shortened] = Shortened

    # What the event loop calls

    def connection_made(self, transport: Any) -> None:
        """The socket is open."""
        self._io = transport
        transport.set_write_buffer_limits(BUFFER_HIGH, BUFFER_LOW)
        if isinstance(self._loop, asyncio.SelectorEventLoop):
            self._instead = Buffered
            self.shorten(self.data_received)
        self._begin()
        self._write()

    def data_received(self, data: bytes) -> None:
        """Handle what was read, and write what came out of it."""
        self._handle_read(partial(super().data_received, data))

    def received(self, messages: Messages | None, size: int) -> None:
        """The same for what was made of a read of so many bytes."""
        self._handle_read(partial(super().received, messages, size))

    def _handle_read(self, take: Callable[[], None]) -> None:
        self._reading = self.may_write = True
        try:
            take()
        except BaseException as error:
            self.fail(error)
        self._reading = False
        self.may_write = True  # once more, for who waited for this
        if self.connection.bytes_pending or self.tls is not None:
            self.write_rest()

    def fail(self, error: BaseException) -> None:
        """A read could not be handled: uvloop would end the connection with the error, and nothing else."""
        self._error = error
        self._woken.set()

    def write_rest(self) -> None:
        """Write what is left after a read; if nobody waits for it, in the next iteration of the loop."""
        if self._hurried or not self._unhurried:
            self._write()
        else:
            self._write_soon()
        self._hurried = self._unhurried = False

    def eof_received(self) -> bool:
        """The peer has ended its side: what is left is written, then the socket is closed."""
        self._ended()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed, by whomever."""
        self._gone.set()
        self._ended()
        self._woken.set()

    def pause_writing(self) -> None:
        """The peer does not read, or slowly."""
        self.blocked = True

    def resume_writing(self) -> None:
        """The peer reads again."""
        self.blocked = False
        self._write()
        self._relieve()

    # What a transport does

    async def run(self) -> None:
        """Keep the connection's time until it has ended, then close the socket."""
        connection = self.connection
        try:
            while self.closed is None:
                due = connection.deadline()
                with anyio.move_on_after(None if due is None else max(0.0, due - monotonic())):
                    await self._woken.wait()
                self._woken = anyio.Event()
                if self._error is not None:
                    raise self._error
                if due is not None and monotonic() >= due:
                    connection.handle_time(monotonic())
                    self._report()
                    self._write()
            self.blocked = False
            self._write()
            self._io.close()
            with anyio.move_on_after(SHUTDOWN_GRACE):
                await self._gone.wait()
            if self._error is not None:
                raise self._error
        finally:
            if self.closed is None:
                connection.close()
                self._report()
            if not self._gone.is_set():
                self._io.abort()
            with anyio.CancelScope(shield=True):
                await self._gone.wait()

    def flush(self, *, hurried: bool = True) -> None:
        """Write the first message after a read at once, and together those that follow in an iteration.

        But no more together than makes senders wait: only what is written shows what the peer takes. What
        nobody waits for is written in the next iteration, or with what is sent until then.
        """
        if (self.may_write and hurried) or self.connection.bytes_pending > BUSY_BYTES:
            self.may_write = False
            self._write()
        elif not self._reading:
            self._write_soon()
        elif hurried:
            self._hurried = True
        else:
            self._unhurried = True

    def transmit(self, sender: Pid, to: Pid | Reference | Atom, message: Term) -> bool:
        """Send a message, and have it written as `flush` does; false also while the peer does not read."""
        if self.blocked:
            return False
        connection = self.connection
        writer = connection.writer
        try:
            if writer is None or not self.may_write or connection.bytes_pending or self.tls is not None:
                packet = None
            else:
                packet = writer.write_message(sender, to, message)
            if type(packet) is not bytes:
                # It goes with others, or is large, or names what the peer is still to learn.
                if packet is None:
                    connection.send_message(sender, to, message)
                else:
                    connection.send_parts(sender, to, message, *packet)
                self.flush()
                return True
        except (EtfError, LocalProtocolError):
            return False
        connection.ticker.written = True
        self.may_write = False
        try:
            self._io.write(packet)
        except RuntimeError:
            # So uvloop says that the socket has just been found broken; `connection_lost` comes next.
            self.blocked = True
        return True

    @property
    def busy(self) -> bool:
        """Whether so much waits to be written that senders should wait, as for OTP's busy port."""
        return self.blocked and super().busy

    @property
    def bytes_waiting(self) -> int:
        """What the system has not taken yet of what was sent."""
        return self.connection.bytes_pending + int(self._io.get_write_buffer_size())

    def pause_reading(self) -> None:
        """Read no more."""
        if not (self._paused or self._io.is_closing()):
            self._paused = True
            self.connection.pause_reading()
            self._io.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._paused:
            self._paused = False
            self.connection.resume_reading()
            if not self._io.is_closing():
                self._io.resume_reading()

    def shorten(self, way: Callable[[bytes], None]) -> None:
        """Have the event loop call a function with what it reads from now on."""
        self._io.set_protocol(self._instead(self, way))

    def _timed(self) -> None:
        self._woken.set()

    def _write_soon(self) -> None:
        if not self._written:
            self._written = True
            self._loop.call_soon(self._write_rest)

    def _write_rest(self) -> None:
        self._written = False
        if self.connection.bytes_pending:
            self._write()

    def _write(self) -> None:
        write, connection = self._io.write, self.connection
        # While blocked it waits in the connection, where ticks see that there is something to write. Large
        # messages come some fragments at a time, for as long as the socket takes them.
        while not (self.blocked or self._io.is_closing()):
            if self.tls is None and connection.bytes_pending <= JOIN_BYTES:
                pieces = connection.data_to_send()
                if pieces:
                    write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
                return
            for piece in joined(connection.data_to_send() if self.tls is None else self._output()):
                write(piece)
            if not connection.bytes_pending:
                return


class Shortened:
    """What the event loop calls in the place of a transport whose reads another one takes.

    It asks the protocol for its `data_received` once, so there is none of its own in between.
    """

    def __init__(self, transport: ProtocolTransport, way: Callable[[bytes], None]) -> None:
        self.data_received = way
        self.eof_received = transport.eof_received
        self.connection_lost = transport.connection_lost
        self.pause_writing = transport.pause_writing
        self.resume_writing = transport.resume_writing


class Buffered(Shortened, asyncio.BufferedProtocol):
    """The same, on asyncio's own event loop, which would make room for each read anew; see `read_buffer`."""

    def __init__(self, transport: ProtocolTransport, way: Callable[[bytes], None]) -> None:
        super().__init__(transport, way)
        self._buffer = read_buffer()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the event loop is to read into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have been read."""
        self.data_received(bytes(self._buffer[:nbytes]))


class Doorman(asyncio.Protocol):
    """Meets who connects, and has a transport take over if it is admitted."""

    def __init__(self, reception: Reception, tasks: TaskGroup) -> None:
        self._reception = reception
        self._tasks = tasks

    def connection_made(self, transport: Any) -> None:
        """Somebody has connected."""
        peer = transport.get_extra_info("peername") or ("?",)
        wiring = self._reception.admit(str(peer[0]))
        if wiring is None:
            transport.abort()
            return
        ours = ProtocolTransport(wiring)
        transport.set_protocol(ours)
        ours.connection_made(transport)
        self._tasks.start_soon(self._reception.run, ours)


class ProtocolListener(Listener):
    """Listening sockets of asyncio."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    async def open(self, host: str, port: int) -> None:
        """Listen at every address of the host, at the same port."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        try:
            for family, _, _, _, address in found:
                # Made by hand, for it listens from now on: who comes before `serve` waits.
                sock = socket.create_server(
                    (address[0], port, *address[2:]), family=family, backlog=socket.SOMAXCONN
                )
                sock.setblocking(False)
                self._sockets.append(sock)
                port = port or self.port
        except OSError:
            await self.aclose()
            raise

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._sockets[0].getsockname()[1])

    async def serve(self, reception: Reception, tasks: TaskGroup) -> None:
        """Take connections for ever; each runs in a task of its own."""
        # Not by a server of asyncio: that one makes a hundred attempts, and as many log entries with a
        # traceback, each time that no file is free for the connection.
        loop = asyncio.get_running_loop()

        async def take_one(listening: socket.socket) -> None:
            sock = await accepted(listening)
            try:
                await loop.connect_accepted_socket(lambda: Doorman(reception, tasks), sock)
            except OSError:
                sock.close()
                raise

        try:
            async with anyio.create_task_group() as listening:
                for sock in self._sockets:
                    listening.start_soon(take_all, partial(take_one, sock))
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Listen no more."""
        for sock in self._sockets:
            sock.close()


class ProtocolNetwork(Network):
    """Sockets of asyncio, or uvloop."""

    def __init__(self) -> None:
        # Callbacks run in no task, by which sniffio, where it is installed, knows that this is asyncio; it
        # asks this variable first, and callbacks inherit it.
        sniffio = sys.modules.get("sniffio")
        if sniffio is not None:
            sniffio.current_async_library_cvar.set("asyncio")

    async def connect(self, host: str, port: int, wiring: Wiring) -> Transport:
        """Open a connection; the transport is to be run."""
        loop = asyncio.get_running_loop()
        _, transport = await loop.create_connection(lambda: ProtocolTransport(wiring), host, port)
        return transport

    async def listen(self, host: str, port: int) -> Listener:
        """Listen at an address; port 0 lets the system choose."""
        listener = ProtocolListener()
        await listener.open(host, port)
        return listener
