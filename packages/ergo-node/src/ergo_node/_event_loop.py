"""The event loop that the nodes of a program share, and what they have in common because of that."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import RunVar, checkpoint

from ergo_node._busy_wait import BusyWait

READ_BYTES: Final = 262_144
"""Bytes read at once: a few fragments of 64 KiB."""

_READ_BUFFER: Final[RunVar[memoryview]] = RunVar("where sockets are read into")

_BUSY_WAITS: Final[RunVar[dict[float, BusyWait]]] = RunVar("busy waits by their seconds")


def shared(busy_wait: BusyWait) -> BusyWait:
    """Return the busy wait of this event loop that takes as long as the one given, which may become it."""
    busy_waits = _BUSY_WAITS.get({})
    _BUSY_WAITS.set(busy_waits)
    return busy_waits.setdefault(busy_wait.seconds, busy_wait)


def read_buffer() -> memoryview:
    """Return where all nodes of this event loop read into; what was read is copied out of it at once.

    `socket.recv` makes room for all it may get before it knows how little that is. So much room glibc gets
    from the system and gives back at each read, unless it has come to keep it: small calls between two nodes
    took twice the time by that, on asyncio and on trio.
    """
    try:
        return _READ_BUFFER.get()
    except LookupError:
        buffer = memoryview(bytearray(READ_BYTES))
        _READ_BUFFER.set(buffer)
        return buffer


class TaskLoop:
    """Any event loop, by tasks of anyio.

    Args:
        tasks: those of a node.
    """

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks

    def keep_awake(self, turn: Callable[[float], bool], ended: Callable[[], None]) -> None:
        """Call a function in each turn of the event loop until it returns false, or the tasks end."""

        async def stay_awake() -> None:
            try:
                while turn(monotonic()):
                    await checkpoint()
            finally:
                ended()

        self._tasks.start_soon(stay_awake)

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        """Call a function once so many seconds have passed, or the tasks end."""

        async def act() -> None:
            try:
                await anyio.sleep(seconds)
            finally:
                action()

        self._tasks.start_soon(act)
