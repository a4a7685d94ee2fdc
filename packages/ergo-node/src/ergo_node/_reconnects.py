"""Connections that are made again whenever they are lost."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator

import anyio

from ergo_node._errors import NotConnected
from ergo_node._events import NodeDown, NodeMonitor
from ergo_node._policy import retry_after


class Reconnects:
    """The nodes that are to stay connected.

    Args:
        connect: connects to a node, returns what went wrong.
        monitor: subscribes to nodes coming and going.
        start: runs an async function with its arguments for as long as the node lives.
    """

    def __init__(
        self,
        connect: Callable[[str], Awaitable[NotConnected | None]],
        monitor: Callable[[], NodeMonitor],
        start: Callable[..., None],
    ) -> None:
        self._connect = connect
        self._monitor = monitor
        self._start = start
        self._kept: dict[str, anyio.CancelScope] = {}

    def __contains__(self, node: str) -> bool:
        return node in self._kept

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def begin(self, node: str) -> bool:
        """Keep a node connected from now on; false if that has begun already."""
        if node in self._kept:
            return False
        scope = self._kept[node] = anyio.CancelScope()
        self._start(self._keep, node, scope)
        return True

    def end(self, node: str) -> None:
        """Keep a node connected no longer."""
        scope = self._kept.pop(node, None)
        if scope is not None:
            scope.cancel()

    async def _keep(self, node: str, scope: anyio.CancelScope) -> None:
        """Connect to a node until that works, and again whenever it is lost."""
        failures = 0
        with scope:
            while True:
                with self._monitor() as events:
                    if await self._connect(node) is None:
                        failures = 0
                        async for event in events:
                            if isinstance(event, NodeDown) and event.node == node:
                                break
                await anyio.sleep(retry_after(failures, random.random()))
                failures += 1
