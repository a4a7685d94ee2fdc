"""One direction of a connection through a `FaultProxy`, and what is wrong with it."""

from __future__ import annotations

import math
import socket
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final

import anyio
from anyio import TypedAttributeProvider
from anyio.abc import SocketAttribute, SocketStream

READ_BYTES: Final = 65_536

HELD_BYTES: Final = 65_536
"""What a pipe holds before it reads no more: little, so that who sends to one that is stalled feels it."""

DELAYED_BYTES: Final = 4_194_304
"""The same of a pipe that delays: 20 MB/s may be under way for 200 ms."""

SOCKET_BYTES: Final = 262_144
"""What the system may hold for a pipe to read: without a bound it holds many megabytes, and hides a stall."""

PIECES_A_SECOND: Final = 20
"""Writes in which a limited rate is spent."""

RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: on, for no time. Then a close sends RST."""

LOST: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong with a direction for as long as nobody heals it."""

    stalled: bool = False
    dropping: bool = False
    delay: float = 0.0
    jitter: float = 0.0
    rate: float = math.inf
    split: tuple[int, int] | None = None
    coalesce: float = 0.0


@dataclass(slots=True)
class Direction:
    """One direction of all connections, those to come included.

    Args:
        faults: what is wrong with it now.
        flips: bytes still to pass before the one that is corrupted, and the bits that change.
        carried: bytes that have been delivered.
        swallowed: bytes that never will be.
    """

    faults: Faults = Faults()
    flips: list[tuple[int, int]] = field(default_factory=list)
    carried: int = 0
    swallowed: int = 0

    def corrupted(self, data: bytes) -> bytes:
        """Change those bits of the data that are due."""
        if not self.flips:
            return data
        changed = bytearray(data)
        for after, mask in self.flips:
            if after < len(data):
                changed[after] ^= mask
        self.flips = [(after - len(data), mask) for after, mask in self.flips if after >= len(data)]
        return bytes(changed)


class Pipe:
    """Carries what comes from one socket to another, as well as its faults allow.

    Args:
        source: is read.
        target: is written to.
        direction: tells what is wrong, now and later.
        random: where chance comes from.
    """

    def __init__(
        self, source: SocketStream, target: SocketStream, direction: Direction, random: Random
    ) -> None:
        self._source = source
        self._target = target
        self._direction = direction
        self._random = random
        self._queue: deque[tuple[float, bytes]] = deque()
        self._held = 0
        self._due = 0.0
        self._ended = False
        self._changed = anyio.Event()
        self._closing = False
        self.muted = False
        self.lost = False

    @property
    def _faults(self) -> Faults:
        return self._direction.faults

    def wake(self) -> None:
        """Something has changed: the faults, or what is in the pipe."""
        self._changed.set()
        self._changed = anyio.Event()

    def half_close(self) -> None:
        """End the stream for the target, after what is in the pipe; what follows is swallowed."""
        self._closing = True
        self.wake()

    @property
    def _room(self) -> int:
        return DELAYED_BYTES if self._faults.delay else HELD_BYTES

    async def run(self) -> None:
        """Carry until the source has ended; `lost` tells whether it broke."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read)
            await self._write()
            tasks.cancel_scope.cancel()

    async def _read(self) -> None:
        while not self._ended:
            while self._faults.stalled or self._held > self._room:
                await self._changed.wait()
            try:
                data = await self._source.receive(READ_BYTES)
            except anyio.EndOfStream:
                self._ended = True
            except LOST:
                self._ended = self.lost = True
            else:
                self._held += len(data)
                # Never due before what was read before it: TCP does not reorder.
                late = self._faults.delay + self._random.uniform(0, self._faults.jitter)
                self._due = max(self._due, anyio.current_time() + late)
                self._queue.append((self._due, data))
            self.wake()

    async def _write(self) -> None:
        while True:
            while not (self._queue or self._ended or (self._closing and not self.muted)):
                await self._changed.wait()
            if self._queue:
                await self._deliver(await self._next())
            else:
                # An end is held back rather than dropped: TCP would say it again.
                while self._faults.stalled or self._faults.dropping:
                    await self._changed.wait()
                if not self.muted and not self.lost:
                    await self._end()
                self.muted = True
                if self._ended:
                    return

    async def _next(self) -> bytes:
        due, data = self._queue.popleft()
        await anyio.sleep_until(due)
        if self._faults.coalesce:
            await anyio.sleep(self._faults.coalesce)
            data += b"".join(each for _, each in self._queue)
            self._queue.clear()
        return data

    async def _deliver(self, data: bytes) -> None:
        for piece in self._pieces(data):
            if self._faults.rate < math.inf:
                await anyio.sleep(len(piece) / self._faults.rate)
            while self._faults.stalled:
                await self._changed.wait()
            self._held -= len(piece)
            if await self._sent(piece):
                self._direction.carried += len(piece)
            else:
                self._direction.swallowed += len(piece)
        self.wake()

    async def _sent(self, piece: bytes) -> bool:
        if self.muted or self._faults.dropping:
            return False
        try:
            await self._target.send(self._direction.corrupted(piece))
        except LOST:
            self.muted = True  # the other pipe reads its end
        return not self.muted

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        start = 0
        while start < len(data):
            size = len(data) - start
            if self._faults.split is not None:
                size = min(size, self._random.randint(*self._faults.split))
            if self._faults.rate < math.inf:
                size = min(size, max(1, int(self._faults.rate / PIECES_A_SECOND)))
            yield data[start : start + size]
            start += size

    async def _end(self) -> None:
        try:
            await self._target.send_eof()
        except LOST:
            self.muted = True


def bound(of: TypedAttributeProvider) -> None:
    """Have the system hold little for a socket, or for those that a listener accepts."""
    set_option(of, socket.SO_RCVBUF, SOCKET_BYTES)


async def reset(stream: SocketStream) -> None:
    """Close a socket with RST."""
    try:
        set_option(stream, socket.SO_LINGER, RESET)
    except LOST:
        pass  # it has been closed already
    await anyio.aclose_forcefully(stream)


def set_option(of: TypedAttributeProvider, option: int, value: int | bytes) -> None:
    """Set an option of a socket, by its number: what uvloop gives for a socket has none."""
    number = of.extra(SocketAttribute.raw_socket).fileno()
    with socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as same:
        same.setsockopt(socket.SOL_SOCKET, option, value)
