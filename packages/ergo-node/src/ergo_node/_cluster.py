"""The nodes that strategies find are kept connected; what they find no more is no longer tried for."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Final

import anyio

from ergo_node._errors import DiscoveryFailed
from ergo_node._membership import Wanted
from ergo_node._strategies import Strategy

logger: Final = logging.getLogger("ergo_node")

RETRY_SECONDS: Final = 5.0
"""Until a strategy that looks once and failed may look again."""


class Cluster:
    """Follows strategies.

    Args:
        own: returns the name of this node, which strategies may find as well.
        keep: has a node kept connected; false if it was before.
        release: has it kept connected no longer.
        add_route: notes where a node listens.
    """

    def __init__(
        self,
        own: Callable[[], str],
        keep: Callable[[str], bool],
        release: Callable[[str], None],
        add_route: Callable[[str, str, int], None],
    ) -> None:
        self._own = own
        self._keep = keep
        self._release = release
        self._add_route = add_route
        self._wanted = Wanted()
        self._kept: set[str] = set()

    async def follow(self, number: int, strategy: Strategy) -> None:
        """Look for nodes again and again.

        A strategy that fails is logged once, and again only when it says something else; what it found last
        stays wanted.
        """
        told = ""
        while True:
            try:
                await self._look(number, strategy)
                if told:
                    logger.info("%r: found again", strategy)
                told = ""
            except (DiscoveryFailed, OSError, ValueError) as error:
                text = str(error)
                logger.log(logging.DEBUG if text == told else logging.WARNING, "%r: %s", strategy, text)
                told = text
            if strategy.interval is None and not told:
                return
            # Nodes that started together must not ask together for ever.
            await anyio.sleep((strategy.interval or RETRY_SECONDS) * random.uniform(0.9, 1.1))

    async def _look(self, number: int, strategy: Strategy) -> None:
        found = await strategy.find()
        for node, route in found.items():
            if route is not None:
                self._add_route(node, *route)
        change = self._wanted.update(number, [node for node in found if node != self._own()])
        for node in change.start:
            logger.info("%s is of the cluster (%r)", node, strategy)
            if self._keep(node):
                self._kept.add(node)
        for node in change.stop:
            logger.info("%s is not of the cluster any more; it stays connected for as long as it lasts", node)
            if node in self._kept:
                # The program's own wish, `keep_connected`, is its own to end.
                self._kept.discard(node)
                self._release(node)
