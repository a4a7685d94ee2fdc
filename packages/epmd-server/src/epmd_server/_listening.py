"""Listening sockets, bound before any event loop runs, so that a daemon can be forked around them."""

import errno
import socket
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from ._addresses import WILDCARDS, ListenAddress
from ._errors import AddressInUse, CannotListen

EPHEMERAL_ATTEMPTS: Final = 10
"""How often a free port is drawn again because another address has it in use."""

_ABSENT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EINVAL})

Bindable = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]


def bind(addresses: Sequence[ListenAddress], port: int) -> list[socket.socket]:
    """Listen on every address, at the same port.

    Args:
        addresses: IP addresses; a missing one that is not required is left out.
        port: 0 draws a free one.

    Raises:
        AddressInUse: another program listens there.
        CannotListen: an address is not one of this host, or the port is not allowed to us.
    """
    for attempt in range(EPHEMERAL_ATTEMPTS):
        try:
            return _bind_all(addresses, port)
        except AddressInUse:
            if port or attempt == EPHEMERAL_ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _bind_all(addresses: Iterable[ListenAddress], port: int) -> list[socket.socket]:
    bound: list[socket.socket] = []
    absent: CannotListen | None = None
    try:
        for address in addresses:
            try:
                sock = _bind_one(address.host, port)
            except AddressInUse:
                raise
            except CannotListen as error:
                if address.required or not isinstance(error.__cause__, OSError):
                    raise
                if error.__cause__.errno not in _ABSENT:
                    raise
                absent = error
            else:
                bound.append(sock)
                port = port or sock.getsockname()[1]
        if not bound:
            raise absent or CannotListen("no address to listen on was given")
    except BaseException:
        for sock in bound:
            sock.close()
        raise
    return bound


def _bind_one(host: str, port: int) -> socket.socket:
    family, sockaddr = _resolve(host, port)
    try:
        if port and sys.platform not in ("linux", "win32"):
            _check_wildcard(family, port)
        sock = _open(family)
        try:
            sock.bind(sockaddr)
            sock.listen(socket.SOMAXCONN)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(
                f"port {port} of {host} is in use: is an EPMD running there already? Then use that one"
            ) from error
        raise CannotListen(f"cannot listen on {host}, port {port}: {error.strerror}") from error
    return sock


def _resolve(host: str, port: int) -> Bindable:
    try:
        family, _, _, _, sockaddr = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise CannotListen(f"cannot parse IP address {host!r}: give a number, such as 127.0.0.1") from error
    return family, sockaddr  # type: ignore[return-value]  # typeshed's third shape is of Python builds without IPv6


def _open(family: socket.AddressFamily) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if sys.platform == "win32":
        # There, SO_REUSEADDR would let us steal the port of an EPMD that is alive.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        # Connections of an EPMD that has just died must not keep its successor from the port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return sock


def _check_wildcard(family: socket.AddressFamily, port: int) -> None:
    """Find an EPMD that listens on all addresses.

    On BSD and macOS, SO_REUSEADDR lets us listen on one address beside it: two EPMDs on one host.
    """
    with _open(family) as probe:
        probe.bind((WILDCARDS[6 if family == socket.AF_INET6 else 4], port))
