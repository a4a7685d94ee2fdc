"""A connection at work: what a socket brings goes into the protocol, what comes out goes to the socket.

`Transport` is all of that but the socket. What is handled together is written together, and a peer that does
not read never stops us from reading.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import anyio
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

from ergo_node._errors import TLS_FAILED, TlsError
from ergo_node._tls_session import TlsSession
from ergo_node._translate import FromWire

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
