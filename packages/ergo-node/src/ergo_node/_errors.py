"""What can go wrong with a node, as exceptions.

NodeError
├── BadName              not a node name, or not one of this kind of network
├── CannotStart          the port or the EPMD is not to be had
│   └── NameInUse        another node holds the name at the EPMD
├── DiscoveryFailed      a strategy cannot tell which nodes a cluster has
├── SlowSubscriber       a task has not read what it subscribed to
└── NotConnected         a node cannot be reached
    ├── HandshakeRefused it answered, and said no
    ├── CookieMismatch   the two nodes have different cookies
    ├── NotAllowed       a policy of this node forbids it
    └── TlsError         TLS failed: a certificate is not accepted, or one side does not speak it
"""

from __future__ import annotations

from typing import Final

from erldist_proto import Closed, DistFlags


class NodeError(Exception):
    """Base of all errors of this package; those of functions run on other nodes are in `_erpc`."""


class BadName(NodeError, ValueError):
    """A name that no node can have."""


class CannotStart(NodeError):
    """The node has not started: a port, the EPMD or the cookie is not to be had."""


class NameInUse(CannotStart):
    """Another node of this name is registered at the EPMD."""


class DiscoveryFailed(NodeError):
    """A strategy could not look for nodes, or makes no sense of what it saw."""


class SlowSubscriber(NodeError):
    """A subscription has ended, for its task has left too many messages unread."""


class NotConnected(NodeError):
    """There is no connection to a node, and none could be made."""


class HandshakeRefused(NotConnected):
    """The other node refused the connection.

    Args:
        text: who, why, what to do.
        status: the handshake status it sent.
        missing_flags: mandatory flags that one side lacks, as far as they can be known.
    """

    def __init__(self, text: str, status: str, missing_flags: DistFlags) -> None:
        super().__init__(text)
        self.status = status
        self.missing_flags = missing_flags


class CookieMismatch(NotConnected):
    """The digests of the handshake differ: the two nodes do not share a cookie."""


class NotAllowed(NotConnected):
    """A policy of this node, or its stopping, forbids the connection."""


class TlsError(NotConnected):
    """TLS failed: a certificate is not accepted, or one side does not speak TLS."""


TLS_FAILED: Final = "tls_failed"
"""The reason of `Closed` where TLS, and not the protocol, ended a connection."""


def failure_of(closed: Closed) -> NotConnected:
    """Return the error for a connection that ended before it was up."""
    if closed.reason == "cookie_mismatch":
        return CookieMismatch(f"{closed.text}: give both nodes the same cookie")
    if closed.reason == TLS_FAILED:
        return TlsError(closed.text)
    if closed.status is not None:
        return HandshakeRefused(closed.text, closed.status, closed.missing)
    return NotConnected(closed.text)
