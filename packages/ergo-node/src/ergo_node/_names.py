"""Names of nodes: our own at the EPMD, kept for as long as we live, and where other nodes are found."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio
import anyio.abc
import epmd_server
from erldist_proto import NodeName

from ergo_node._config import Epmd, is_loopback
from ergo_node._errors import CannotStart, NameInUse, NotConnected

logger: Final = logging.getLogger("ergo_node")

RETRY_SECONDS: Final = 0.5
"""Between two tries to be registered again; OTP waits 2 s, we promise less than 3 s in all."""

DEFAULT_EPMD_PORT: Final = 4369


@dataclass(frozen=True, slots=True)
class Address:
    """Where a node listens, and the highest handshake version it speaks."""

    host: str
    port: int
    handshake_version: int = 6


class Names:
    """Our registration and the look-up of others.

    Args:
        name: our node name.
        hidden: whether we are a hidden node.
        epmd: how EPMD is used; None for a network without one.
        routes: addresses of nodes that are not asked for at an EPMD.
    """

    def __init__(
        self, name: NodeName, hidden: bool, epmd: Epmd | None, routes: Mapping[str, tuple[str, int]]
    ) -> None:
        self._name = name
        self._hidden = hidden
        self._epmd = epmd
        self._routes = dict(routes)
        self._creation: int | None = None

    def add_route(self, node: str, host: str, port: int) -> None:
        """Find a node at a fixed address, without EPMD."""
        self._routes[str(NodeName.parse(node))] = (host, port)

    async def find(self, node: str) -> Address:
        """Return where a node listens.

        Raises:
            NotConnected: nobody knows, or the host is not to be reached; the text says which.
        """
        route = self._routes.get(node)
        if route is not None:
            return Address(*route)
        if self._epmd is None:
            raise NotConnected(f"no route to {node}, and this node uses no EPMD: give it with add_route")
        name = NodeName.parse(node)
        try:
            entry = await epmd_server.look_up(name.name, name.host, epmd_port=self._epmd.port)
        except epmd_server.EpmdError as error:
            raise NotConnected(f"{node} is not to be found: {error}") from error
        return Address(name.host, entry.port, min(6, entry.highest_version))

    async def keep_registered(self, port: int, *, task_status: anyio.abc.TaskStatus[int]) -> None:
        """Be registered, for ever: become the EPMD if none runs, register, and again after each loss.

        Starts with the creation that the first registration gave.

        Raises:
            NameInUse: the first registration found the name taken.
            CannotStart: there is no EPMD, and we cannot be it.
        """
        assert self._epmd is not None
        while True:
            try:
                async with self._server(self._epmd), self._registration(self._epmd, port) as registration:
                    if self._creation is None:
                        self._creation = registration.creation
                        task_status.started(registration.creation)
                    await registration.wait_lost()
                logger.warning("%s lost its registration at the EPMD", self._name)
            except epmd_server.EpmdError as error:
                if self._creation is None:
                    raise self._refusal(error) from error
                logger.warning("%s is not registered: %s", self._name, error)
            await anyio.sleep(RETRY_SECONDS * random.uniform(0.5, 1.5))

    @asynccontextmanager
    async def _registration(self, epmd: Epmd, port: int) -> AsyncIterator[epmd_server.Registration]:
        async with epmd_server.register(
            self._name.name, port, epmd_port=epmd.port, hidden=self._hidden, creation=self._creation
        ) as registration:
            yield registration

    @asynccontextmanager
    async def _server(self, epmd: Epmd) -> AsyncIterator[None]:
        if not epmd.embedded:
            yield
            return
        host = None if is_loopback(self._name.host) else "0.0.0.0"  # noqa: S104  # as epmd; peers ask it
        server = epmd_server.serve(host, epmd.port)
        try:
            running = await server.__aenter__()
        except epmd_server.CannotListen:
            # Somebody is the EPMD already, or the port is not ours to take: then one to register with.
            yield
            return
        logger.info("%s is the EPMD on port %d", self._name, running.port)
        try:
            yield
        finally:
            await server.__aexit__(None, None, None)

    def _refusal(self, error: epmd_server.EpmdError) -> CannotStart:
        if isinstance(error, epmd_server.NameTaken):
            text = f"the name {self._name} is in use: stop the other node, or take another name ({error})"
            return NameInUse(text)
        return CannotStart(f"{self._name} cannot be registered: {error}")


def epmd_port(epmd: Epmd) -> int:
    """Return the EPMD's port by the rules of `epmd`."""
    return epmd.port if epmd.port is not None else int(os.environ.get("ERL_EPMD_PORT", DEFAULT_EPMD_PORT))
