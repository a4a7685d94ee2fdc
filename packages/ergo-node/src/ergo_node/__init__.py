"""An Erlang node in Python, on asyncio and trio.

    async with Node("py@127.0.0.1", cookie="secret") as node:
        await node.start(Counter, 10, name="counter")      # gen_server:call({counter, 'py@127.0.0.1'}, get)
        await node.call(RemoteName("echo", "erl@127.0.0.1"), Atom("ping"))

Processes and behaviors come from `otp_behaviors`, terms from `etf_codec`.
"""

from otp_behaviors import RemoteName

from ergo_node._config import Epmd, Listen
from ergo_node._erpc import ErlangError, ErlangExit, ErlangThrow, RpcError
from ergo_node._errors import (
    BadName,
    CannotStart,
    CookieMismatch,
    DiscoveryFailed,
    HandshakeRefused,
    NameInUse,
    NodeError,
    NotAllowed,
    NotConnected,
    SlowSubscriber,
    TlsError,
)
from ergo_node._events import NodeDown, NodeEvent, NodeMonitor, NodeUp
from ergo_node._global import GlobalName, GlobalNames
from ergo_node._health import Health
from ergo_node._io import put_chars
from ergo_node._node import Node
from ergo_node._observer import provide_observer
from ergo_node._pg import Pg
from ergo_node._pg_scope import Scope
from ergo_node._phoenix import PubSub
from ergo_node._phoenix_broadcast import Broadcast
from ergo_node._policy import Policy
from ergo_node._registry import Registry
from ergo_node._strategies import DnsNodes, SrvNodes, StaticNodes, Strategy
from ergo_node._subscription import Subscription
from ergo_node._tls import Tls

__version__ = "0.1.0"

__all__ = [
    "BadName",
    "Broadcast",
    "CannotStart",
    "CookieMismatch",
    "DiscoveryFailed",
    "DnsNodes",
    "Epmd",
    "ErlangError",
    "ErlangExit",
    "ErlangThrow",
    "GlobalName",
    "GlobalNames",
    "HandshakeRefused",
    "Health",
    "Listen",
    "NameInUse",
    "Node",
    "NodeDown",
    "NodeError",
    "NodeEvent",
    "NodeMonitor",
    "NodeUp",
    "NotAllowed",
    "NotConnected",
    "Pg",
    "Policy",
    "PubSub",
    "Registry",
    "RemoteName",
    "RpcError",
    "Scope",
    "SlowSubscriber",
    "SrvNodes",
    "StaticNodes",
    "Strategy",
    "Subscription",
    "Tls",
    "TlsError",
    "provide_observer",
    "put_chars",
]

for _public in [globals()[name] for name in __all__]:
    # Tracebacks give a class by its public home: ergo_node.NameInUse.
    if isinstance(_public, type) and _public is not RemoteName:
        _public.__module__ = __name__
del _public
