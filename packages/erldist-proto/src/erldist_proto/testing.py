"""Tools for tests of anything that speaks the distribution protocol: no sockets, no sleeping, no mocks.

`exchange` moves bytes between two connections; `Wire` does so with faults; `byte_by_byte` feeds the worst
split; `Transcript` says what was spoken; `connected_pair` makes two connections that shook hands.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import cycle

from etf_codec import Atom

from erldist_proto._commands import Accept
from erldist_proto._connection import Connection
from erldist_proto._dissector import Dissector, Observed
from erldist_proto._events import Connected, ConnectionRequested, Event
from erldist_proto._flags import DEFAULT_FLAGS, DistFlags
from erldist_proto._limits import ConnectionLimits
from erldist_proto._names import LocalNode
from erldist_proto._recording import Chunk, read_recording

__all__ = [
    "Chunk",
    "Dissector",
    "Faults",
    "Observed",
    "Transcript",
    "Wire",
    "byte_by_byte",
    "connected_pair",
    "exchange",
    "read_recording",
]

COOKIE = "s3cret"
NO_FAULT_BYTES = 1 << 62


class Transcript:
    """What two connections said to each other, as somebody on the wire without the cookie reads it.

    Pass it to `exchange` or `Wire`; then compare `observed`, or print it.
    """

    def __init__(self) -> None:
        self.observed: list[Observed] = []
        self._dissector = Dissector()

    def add(self, data: bytes, *, from_first: bool) -> None:
        """Bytes went over the wire; the first connection is taken for the initiator."""
        self.observed += self._dissector.observe(data, from_initiator=from_first)

    def __str__(self) -> str:
        return "\n".join(f"{'>' if from_first else '<'} {value}" for from_first, value in self.observed)


@dataclass(frozen=True, slots=True)
class Faults:
    """What happens to the bytes of one direction. TCP loses and reorders nothing, so neither does this.

    Args:
        chunk_bytes: Sizes of successive reads, repeated as often as needed.
        flips: Offset in the stream of a byte that is corrupted, and the bits (a mask) that change.
        cut_at: Offset at which the connection breaks: both sides see the end.
    """

    chunk_bytes: tuple[int, ...] = (NO_FAULT_BYTES,)
    flips: Mapping[int, int] = field(default_factory=dict)
    cut_at: int = NO_FAULT_BYTES


class _Direction:
    """One direction of a wire: the bytes under way, and how far the stream has come."""

    def __init__(self, source: Connection, target: Connection, faults: Faults) -> None:
        self.source = source
        self.target = target
        self.stalled = False
        self.moved = 0
        self._faults = faults
        self._sizes = cycle(faults.chunk_bytes)
        self._buffer = bytearray()

    @property
    def is_cut(self) -> bool:
        return self.moved >= self._faults.cut_at

    def move(self) -> bytes:
        """Deliver one read; nothing when there is nothing, or while stalled."""
        for piece in self.source.data_to_send():
            self._buffer += piece
        if self.stalled or self.is_cut or not self._buffer:
            return b""
        size = min(next(self._sizes), self._faults.cut_at - self.moved)
        data = self._buffer[:size]
        del self._buffer[:size]
        for offset, mask in self._faults.flips.items():
            if 0 <= offset - self.moved < len(data):
                data[offset - self.moved] ^= mask
        self.moved += len(data)
        self.target.receive_data(data)
        return bytes(data)


class Wire:
    """A virtual wire between two connections, with faults that are given, so that every run is the same.

    Args:
        first: The initiator, for the transcript.
        second: The other side.
        forth: What happens to bytes from first to second.
        back: What happens to bytes from second to first.
        transcript: Notes what is delivered, if given.
    """

    def __init__(
        self,
        first: Connection,
        second: Connection,
        forth: Faults | None = None,
        back: Faults | None = None,
        transcript: Transcript | None = None,
    ) -> None:
        self._forth = _Direction(first, second, forth or Faults())
        self._back = _Direction(second, first, back or Faults())
        self._transcript = transcript
        self._cut = False

    def run(self) -> int:
        """Move bytes until both sides are quiet, stalled or cut off. Returns how many were delivered."""
        before = self._forth.moved + self._back.moved
        moving = True
        while moving and not self._cut:
            moving = False
            for direction in (self._forth, self._back):
                data = direction.move()
                if data and self._transcript is not None:
                    self._transcript.add(data, from_first=direction is self._forth)
                moving = moving or bool(data)
            if self._forth.is_cut or self._back.is_cut:
                self.cut()
        return self._forth.moved + self._back.moved - before

    def stall(self, *, forth: bool = False, back: bool = False) -> None:
        """Hold back one direction or both until called again: a half-open connection, a stopped peer."""
        self._forth.stalled, self._back.stalled = forth, back

    def cut(self) -> None:
        """Break the connection: what is under way is lost, both sides see the end."""
        if not self._cut:
            self._cut = True
            self._forth.target.receive_eof()
            self._back.target.receive_eof()


def exchange(first: Connection, second: Connection, transcript: Transcript | None = None) -> int:
    """Move bytes between two connections until both are quiet. Returns how many were moved."""
    return Wire(first, second, transcript=transcript).run()


def byte_by_byte(connection: Connection, data: bytes) -> list[Event]:
    """Feed one byte at a time. Returns the events."""
    for index in range(len(data)):
        connection.receive_data(data[index : index + 1])
    return connection.events()


def connected_pair(
    first_flags: DistFlags = DEFAULT_FLAGS,
    second_flags: DistFlags = DEFAULT_FLAGS,
    *,
    names: tuple[str, str] = ("alice@host", "bob@host"),
    handshake_version: int = 6,
    limits: ConnectionLimits | None = None,
    none: Atom | None = None,
    now: float = 0.0,
) -> tuple[Connection, Connection]:
    """Two connections that shook hands: initiator (creation 1), acceptor (creation 2); events taken.

    Raises:
        ValueError: They did not come together; the message shows what they reported.
    """
    limits = limits or ConnectionLimits()
    first = Connection.initiator(
        LocalNode(names[0], 1, first_flags),
        names[1],
        COOKIE,
        now,
        handshake_version=handshake_version,
        limits=limits,
        none=none,
    )
    second = Connection.acceptor(LocalNode(names[1], 2, second_flags), now, limits=limits, none=none)
    exchange(first, second)
    events = second.events()
    if any(isinstance(event, ConnectionRequested) for event in events):
        second.send(Accept(COOKIE))
        exchange(first, second)
    events += second.events() + first.events()
    if not _both_connected(events):
        raise ValueError(f"the handshake failed: {events}")
    return first, second


def _both_connected(events: Iterable[Event]) -> bool:
    return sum(isinstance(event, Connected) for event in events) == 2
