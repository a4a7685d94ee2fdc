"""Names of nodes: our own at the EPMD, kept for as long as we live, and where other nodes are found."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

import anyio
import anyio.abc
import epmd_server
from erldist_proto import NodeName

from ergo_node._config import Epmd, is_loopback
from ergo_node._errors import CannotStart, NameInUse, NotConnected

logger: Final = logging.getLogger("ergo_node")

RETRY_SECONDS: Final = 0.5
"""Between two tries to be registered again; OTP waits 2 s, we promise less than 3 s in all."""

REGISTER_SECONDS: Final = 1.5
"""For one try: the EPMD is on this host. One that ended while it accepted us may leave us without a word."""

START_SECONDS: Final = 3.0
"""How long a starting node tries: the EPMD it found may end before it answers, and then we can be it."""

Resolver: TypeAlias = Callable[[str], Awaitable[tuple[str, int] | None]]
"""Finds a node by its name: host and port, or None to have EPMD asked."""


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
        resolver: asked for nodes that have no route, before EPMD.
    """

    def __init__(
        self,
        name: NodeName,
        hidden: bool,
        epmd: Epmd | None,
        routes: Mapping[str, tuple[str, int]],
        resolver: Resolver | None = None,
    ) -> None:
        self._name = name
        self._hidden = hidden
        self._epmd = epmd
        self._routes = dict(routes)
        self._resolver = resolver
        self._creation: int | None = None
        self.registered = False

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
        found = None if self._resolver is None else await self._resolver(node)
        if found is not None:
            return Address(*found)
        if self._epmd is None:
            raise NotConnected(f"no route to {node}, and this node uses no EPMD: give it with add_route")
        name = NodeName.parse(node)
        try:
            entry = await epmd_server.look_up(name.name, name.host, epmd_port=self._epmd.port)
        except epmd_server.EpmdError as error:
            raise NotConnected(f"{node} is not to be found: {error}") from error
        return Address(name.host, entry.port, min(6, entry.highest_version))

    async def keep_registered(
        self, listen: Callable[[], Awaitable[int]], *, task_status: anyio.abc.TaskStatus[int]
    ) -> None:
        """Be registered, for ever: become the EPMD if none runs, register, and again after each loss.

        Starts with the creation that the first registration gave.

        Args:
            listen: opens the port to register. It is called once, when there is an EPMD, as `erl` does it: a
                port that the system chooses can then not be the EPMD's own.
            task_status: told the creation.

        Raises:
            NameInUse: the first registration found the name taken.
            CannotStart: there is no EPMD, and we cannot be it.
        """
        assert self._epmd is not None
        port: int | None = None
        give_up = anyio.current_time() + (START_SECONDS if self._epmd.embedded else 0)
        told = ""
        while True:
            try:
                async with self._server(self._epmd):
                    port = await listen() if port is None else port
                    async with self._registration(self._epmd, port) as registration:
                        told, self.registered = "", True
                        if self._creation is None:
                            self._creation = registration.creation
                            task_status.started(registration.creation)
                        try:
                            await registration.wait_lost()
                        finally:
                            self.registered = False
                logger.warning("%s lost its registration at the EPMD", self._name)
            except epmd_server.EpmdError as error:
                if self._creation is None and (_is_final(error) or anyio.current_time() >= give_up):
                    raise self._refusal(error) from error
                # We try for as long as the node lives; the log is warned of what is new only.
                level = logging.DEBUG if told == str(error) else logging.WARNING
                logger.log(level, "%s is not registered: %s", self._name, error)
                told = str(error)
            await anyio.sleep(RETRY_SECONDS * random.uniform(0.5, 1.5))

    @asynccontextmanager
    async def _registration(self, epmd: Epmd, port: int) -> AsyncIterator[epmd_server.Registration]:
        async with epmd_server.register(
            self._name.name,
            port,
            epmd_port=epmd.port,
            hidden=self._hidden,
            creation=self._creation,
            timeout=REGISTER_SECONDS,
        ) as registration:
            yield registration

    @asynccontextmanager
    async def _server(self, epmd: Epmd) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if epmd.embedded:
                try:
                    server = await stack.enter_async_context(epmd_server.serve(self._epmd_host(), epmd.port))
                    logger.info("%s is the EPMD on port %d", self._name, server.port)
                except epmd_server.CannotListen as error:
                    # Somebody is the EPMD already, or the port is not ours to take: then register with one.
                    logger.debug("%s is not the EPMD: %s", self._name, error)
            yield

    def _epmd_host(self) -> str | None:
        """Where we listen as the EPMD; None is loopback, and ERL_EPMD_ADDRESS if that is set."""
        if is_loopback(self._name.host) or os.environ.get("ERL_EPMD_ADDRESS"):
            return None
        return "0.0.0.0"  # noqa: S104  # as `epmd`: nodes on other hosts ask it for us

    def _refusal(self, error: epmd_server.EpmdError) -> CannotStart:
        if isinstance(error, epmd_server.NameTaken):
            text = f"the name {self._name} is in use: stop the other node, or take another name ({error})"
            return NameInUse(text)
        return CannotStart(f"{self._name} cannot be registered: {error}")


def _is_final(error: epmd_server.EpmdError) -> bool:
    """Tell whether trying again is in vain: not so if an EPMD that has just ended met us."""
    if isinstance(error, epmd_server.NameTaken):
        return True
    return not isinstance(error, epmd_server.EpmdUnreachable | epmd_server.EpmdRefused)
