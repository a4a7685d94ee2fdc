"""Where a node listens for others: the address that goes with its name, and the first port that is free."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from erldist_proto import NodeName

from ergo_node._config import Listen, is_loopback
from ergo_node._errors import CannotStart
from ergo_node._network import Listener, Network

logger: Final = logging.getLogger("ergo_node")

PLAIN: Final = (
    "%s listens on %s, port %d, without TLS: whoever can read the network reads all, and who has the cookie"
    " may do all. Give tls=Tls(...), or Policy(allow_plain=True) for a network that you trust"
)


def address(listen: Listen, host: str) -> str:
    """Return the address to listen at: loopback for a node whose name is on loopback, else every one."""
    local, everywhere = ("::1", "::") if ":" in host else ("127.0.0.1", "0.0.0.0")  # noqa: S104  # peers reach us
    return listen.host or (local if is_loopback(host) else everywhere)


async def open_listeners(
    network: Network, places: Sequence[Listen], name: NodeName, opened: list[Listener], *, warn: bool
) -> None:
    """Listen at each place; `opened` gets the listeners one by one, for they are to be closed if one fails.

    Raises:
        CannotStart: at one of them no port is to be had; the text says why.
    """
    if not places:
        raise CannotStart("Node(listen=[]) listens nowhere: give at least one Listen")
    for listen in places:
        listener = await _open(network, listen, name, warn)
        opened.append(listener)


async def _open(network: Network, listen: Listen, name: NodeName, warn: bool) -> Listener:
    """Listen at the first free port; `warn` says so if others than this machine can connect."""
    host = address(listen, name.host)
    failure: OSError | None = None
    for port in listen.ports:
        try:
            listener = await network.listen(host, port)
        except OSError as error:
            failure = error
            continue
        if warn and not is_loopback(host):
            logger.warning(PLAIN, name, host, listener.port)
        return listener
    ports = ", ".join(str(port) for port in listen.ports)
    why = "no port was given" if failure is None else failure.strerror or str(failure)
    raise CannotStart(f"{name} cannot listen on {host}, port {ports}: {why}; give Listen(ports=...)")
