"""A TCP proxy that does to connections what networks do, at the word of a test."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskGroup
from anyio.streams.stapled import MultiListener

from ergo_node._network import serve_streams
from ergo_node.testing._pipe import Direction, Faults, Pipe, bound, reset

Way: TypeAlias = Literal["out", "in", "both"]
"""A direction: `out` is from who connects to the proxy to its target, `in` is the way back."""

WAYS: Final[dict[Way, list[Way]]] = {"out": ["out"], "in": ["in"], "both": ["out", "in"]}


class FaultProxy:
    """A proxy on loopback: who connects to `proxy.port` is connected to the target, faults included.

        async with FaultProxy(b.port) as proxy:
            a.add_route(b.name, "127.0.0.1", proxy.port)
            await a.reach(b.name)
            proxy.stall()  # a partition that no one is told of

    Faults hold for the connections there are and for those to come, one direction at a time if so wanted, and
    add up: a slow link may have a delay. `heal` takes back those that last. They change the stream in no
    other way: what TCP keeps, the order and every byte, only `drop` and `corrupt` break.

    Args:
        port: where the target listens.
        host: the target's address.
        seed: makes chance repeat itself (sizes, jitter, corrupted bits); None draws one, which `repr` shows.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", *, seed: int | None = None) -> None:
        self.seed = Random().getrandbits(32) if seed is None else seed
        self.port = 0
        self.refusing = False
        self.accepted = 0
        self._target = (host, port)
        self._random = Random(self.seed)
        self._directions = {way: Direction() for way in WAYS["both"]}
        self._connections: list[Connection] = []
        self._tasks: TaskGroup
        self._listener: MultiListener[SocketStream]

    def __repr__(self) -> str:
        return f"<FaultProxy {self.port} to {self._target[0]}:{self._target[1]}, seed {self.seed}>"

    async def __aenter__(self) -> Self:
        self._listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        for each in self._listener.listeners:
            bound(each)
        self.port = int(self._listener.extra(SocketAttribute.local_port))
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(serve_streams, self._listener, self._accept)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._tasks.cancel_scope.cancel()
        try:
            return await self._tasks.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            if group.exceptions == (error,):
                return False  # it is raised as it is, not in a group
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await self._listener.aclose()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def carried(self, way: Way = "both") -> int:
        """How many bytes have been delivered so far."""
        return sum(self._directions[one].carried for one in WAYS[way])

    def swallowed(self, way: Way = "both") -> int:
        """How many bytes were taken that are never delivered."""
        return sum(self._directions[one].swallowed for one in WAYS[way])

    # Faults that last

    def stall(self, way: Way = "both") -> None:
        """Let nothing pass, ends and resets included; what is under way waits, and after `heal` arrives.

        That is a network that loses every packet for a while, or a peer that does not read: the sender's
        socket fills. Both ways, neither side is told anything.
        """
        self._put(way, stalled=True)

    def drop(self, way: Way = "both") -> None:
        """Take everything and deliver nothing; the sender notices nothing.

        What was dropped is lost for good, as TCP would never have it: do not `heal` such a connection, unless
        a hole in the stream is what is to be tested.
        """
        self._put(way, dropping=True)

    def delay(self, seconds: float, jitter: float = 0.0, way: Way = "both") -> None:
        """Deliver later, by these seconds and up to `jitter` more. The order is kept."""
        self._put(way, delay=seconds, jitter=jitter)

    def limit(self, bytes_per_second: float, way: Way = "both") -> None:
        """Deliver no faster."""
        self._put(way, rate=bytes_per_second)

    def split(self, least: int = 1, most: int = 1, way: Way = "both") -> None:
        """Write in pieces of `least` to `most` bytes; the defaults give single bytes."""
        self._put(way, split=(least, most))

    def coalesce(self, seconds: float, way: Way = "both") -> None:
        """Gather what comes within these seconds, and write it at once."""
        self._put(way, coalesce=seconds)

    def heal(self, way: Way = "both") -> None:
        """Take back the faults that last and bytes that are still to be corrupted; take connections again."""
        self.refusing = False
        for one in WAYS[way]:
            self._directions[one].faults = Faults()
            self._directions[one].flips.clear()
            for connection in self._connections:
                connection.pipes[one].wake()

    # Faults that happen once

    def corrupt(self, way: Way = "both", *, after: int = 0, mask: int | None = None) -> None:
        """Change one byte: the first from now on, or the one after so many others.

        Args:
            way: the direction.
            after: how many bytes pass unchanged first.
            mask: the bits that change; None changes one of them.
        """
        for one in WAYS[way]:
            bits = 1 << self._random.randrange(8) if mask is None else mask
            self._directions[one].flips.append((after, bits))

    def half_close(self, way: Way = "out") -> None:
        """End the streams of one direction for who receives them; the sender notices nothing."""
        for connection in self._connections:
            for one in WAYS[way]:
                connection.pipes[one].half_close()

    def reset(self, way: Way = "both") -> None:
        """Reset the connections (RST). With a direction, only who receives it is told."""
        for connection in self._connections:
            self._tasks.start_soon(connection.reset, way)

    def cut(self) -> None:
        """Reset the connections and refuse new ones until `heal`: a partition that both sides are told of."""
        self.refusing = True
        self.reset()

    def _put(self, way: Way, **changes: Any) -> None:
        for one in WAYS[way]:
            direction = self._directions[one]
            direction.faults = replace(direction.faults, **changes)

    async def _accept(self, near: SocketStream) -> None:
        self.accepted += 1
        if self.refusing:
            await reset(near)
            return
        try:
            far = await anyio.connect_tcp(*self._target)
        except BaseException as error:
            with anyio.CancelScope(shield=True):
                await reset(near)
            if isinstance(error, OSError):
                return
            raise
        bound(far)
        connection = Connection(near, far, self._directions, self._random)
        self._connections.append(connection)
        try:
            await connection.run()
        finally:
            self._connections.remove(connection)


class Connection:
    """A connection through the proxy: two sockets, two pipes."""

    def __init__(
        self, near: SocketStream, far: SocketStream, directions: dict[Way, Direction], random: Random
    ) -> None:
        self._receivers: dict[Way, SocketStream] = {"out": far, "in": near}
        self._scope = anyio.CancelScope()
        self._half_told = False
        self.pipes: dict[Way, Pipe] = {
            "out": Pipe(near, far, directions["out"], random),
            "in": Pipe(far, near, directions["in"], random),
        }

    async def run(self) -> None:
        """Carry both ways until both have ended, or one side is lost: then the other one is reset."""
        try:
            with self._scope:
                async with anyio.create_task_group() as tasks:
                    for pipe in self.pipes.values():
                        tasks.start_soon(self._carry, pipe)
        finally:
            with anyio.CancelScope(shield=True):
                for stream in self._receivers.values():
                    await anyio.aclose_forcefully(stream)

    async def reset(self, way: Way) -> None:
        """Reset one side, and have the other one hear nothing more; or both."""
        if way == "both":
            self._scope.cancel()
        self._half_told = True
        for pipe in self.pipes.values():
            pipe.muted = True
        with anyio.CancelScope(shield=True):
            for one in WAYS[way]:
                await reset(self._receivers[one])

    async def _carry(self, pipe: Pipe) -> None:
        await pipe.run()
        if pipe.lost and not self._half_told:
            await self.reset("both")
