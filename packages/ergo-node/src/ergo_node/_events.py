"""Nodes coming and going, as `net_kernel:monitor_nodes/1` reports them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias

import anyio


@dataclass(frozen=True, slots=True)
class NodeUp:
    """A node has been connected."""

    node: str
    hidden: bool


@dataclass(frozen=True, slots=True)
class NodeDown:
    """The connection to a node is lost.

    `reason` is a word of `net_kernel:monitor_nodes/2`: connection_closed, disconnect, net_tick_timeout …
    """

    node: str
    reason: str


NodeEvent: TypeAlias = NodeUp | NodeDown


class NodeMonitor:
    """A subscription to nodes coming and going; `async for` it, leave the block or `close` it to end it."""

    def __init__(self, ended: Callable[[NodeMonitor], None]) -> None:
        self._ended = ended
        self._send, self._receive = anyio.create_memory_object_stream[NodeEvent](math.inf)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> NodeEvent:
        try:
            return await self._receive.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            raise StopAsyncIteration from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def tell(self, event: NodeEvent) -> None:
        """Put an event into the subscription."""
        self._send.send_nowait(event)

    def close(self) -> None:
        """End the subscription: its `async for` ends when it has seen what came before."""
        self._ended(self)
        self._send.close()
        self._receive.close()
