"""Node: the runtime of `otp_behaviors` with a network."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from secrets import randbits
from time import monotonic
from typing import Any, Final, Literal

import anyio
from anyio.abc import TaskGroup
from erldist_proto import ConnectionLimits, LocalNode, NodeName
from etf_codec import Atom, Pid, Reference, Term
from otp_behaviors import (
    AliasSignal,
    ExitError,
    Kernel,
    MessageSignal,
    RemoteName,
    ServerRef,
    Signal,
    SpawnSignal,
    destination,
    undeliverable,
)

from ergo_node._arrivals import Arrivals
from ergo_node._busy_wait import BUSY_WAIT, BusyWait, EventLoop
from ergo_node._cluster import Cluster
from ergo_node._config import NET_TICK_TIME, SHUTDOWN_GRACE, Epmd, Listen
from ergo_node._connections import DEFAULT_LIMITS, DEFAULT_POLICY, Connections
from ergo_node._cookie import checked, read_cookie
from ergo_node._errors import BadName, CannotStart, NotConnected
from ergo_node._event_loop import TaskLoop, shared
from ergo_node._event_loop_asyncio import AsyncioLoop
from ergo_node._events import Audience, NodeDown, NodeMonitor, NodeUp
from ergo_node._global import GlobalNames
from ergo_node._health import Health
from ergo_node._held_up import HeldUp
from ergo_node._io import Write, to_stdout
from ergo_node._listening import open_listeners
from ergo_node._loop_lag import LoopLag
from ergo_node._names import Names, Resolver
from ergo_node._net_kernel import IS_AUTH, NAME, YES
from ergo_node._network import Listener, Network, StreamNetwork
from ergo_node._own_name import DYNAMIC, DynamicName, OwnName, new_creation
from ergo_node._pg import Pg
from ergo_node._policy import Policy
from ergo_node._reconnects import Reconnects
from ergo_node._registry import Registry
from ergo_node._rpc import OK, RpcRuntime
from ergo_node._strategies import Strategy
from ergo_node._system_processes import system_processes
from ergo_node._tls import Tls, TlsContexts
from ergo_node._translate import FLAGS
from ergo_node._transport import Transport
from ergo_node._transport_asyncio import ProtocolNetwork, on_asyncio

logger: Final = logging.getLogger("ergo_node")
logger.addHandler(logging.NullHandler())

DEFAULT_EPMD: Final = Epmd()
DEFAULT_LISTEN: Final = Listen()
Kind = Literal["visible", "hidden", "all"]


class Node(RpcRuntime):
    """An Erlang node. Use it as `async with`; leaving it stops its processes and closes its connections.

    Args:
        name: `name@host`; the host is how other nodes reach this one. `undefined@host` asks the first node it
            connects to for a name, as `erl -name undefined`: it listens nowhere and is hidden.
        cookie: the secret of the cluster; None reads it where OTP does (`~/.erlang.cookie`).
        hidden: whether to stay out of `nodes()` of others, and of `global`.
        epmd: how EPMD is used; None uses none: give `listen` a port, and `routes` to other nodes.
        listen: where to listen for other nodes; of several places, the port of the first is registered.
        tls: encrypts all connections and checks certificates, as `-proto_dist inet_tls`; None for plain ones.
        policy: whom to connect with: allow lists, limits, and whether a message makes a connection.
        routes: addresses of nodes that no EPMD is asked for: `{"db@host": ("10.0.0.4", 9100)}`.
        resolver: `async def resolver(name)`, asked for nodes without a route before EPMD is; returns host and
            port, or None.
        cluster: how the nodes to keep connected are found: `StaticNodes`, `DnsNodes`, `SrvNodes`, several of
            them, or a `Strategy` of one's own.
        none: the atom that stands for Python's None in terms, e.g. `Atom("nil")` among Elixir nodes.
        rpc: the functions that other nodes may run, shared with other nodes of the program; `provide` adds to
            it. None begins with none at all.
        output: prints what is written to `user`, and by processes that this node started elsewhere; standard
            output if left out.
        tick_time: seconds, as `net_ticktime`: a node that is silent for longer is taken for lost.
        busy_wait: seconds after a message in which the event loop looks for the next one before it sleeps, as
            `erl +sbwt`, for as long as that pays; 0 for never.
        limits: what a peer may make this node hold: sizes of messages, open fragments, depths of terms.
        shutdown: seconds each process gets to stop when the node is left.

    Raises:
        BadName: the name is no node name; the text says what one looks like.
        CannotStart: the cookie is none, or a file of `tls` cannot be used.
        ValueError: `busy_wait` is no length of time.
    """

    def __init__(
        self,
        name: str,
        cookie: str | None = None,
        *,
        hidden: bool = False,
        epmd: Epmd | None = DEFAULT_EPMD,
        listen: Listen | Sequence[Listen] = DEFAULT_LISTEN,
        tls: Tls | None = None,
        policy: Policy = DEFAULT_POLICY,
        routes: Mapping[str, tuple[str, int]] | None = None,
        resolver: Resolver | None = None,
        cluster: Strategy | Sequence[Strategy] = (),
        none: Atom | None = None,
        rpc: Registry | None = None,
        output: Write = to_stdout,
        tick_time: float = NET_TICK_TIME,
        busy_wait: float = BUSY_WAIT,
        limits: ConnectionLimits = DEFAULT_LIMITS,
        shutdown: float = SHUTDOWN_GRACE,
    ) -> None:
        try:
            self._name = NodeName.parse(name)
        except ValueError as error:
            raise BadName(str(error)) from error
        try:
            self._cookie = read_cookie() if cookie is None else checked(cookie)
        except ValueError as error:
            raise CannotStart(str(error)) from error
        creation = new_creation()
        self._dynamic = DynamicName(self._name.host, creation) if self._name.name == DYNAMIC else None
        inside = name if self._dynamic is None else self._dynamic.inside
        kernel = Kernel(inside, creation, now=monotonic(), seed=randbits(64))
        nothing = OK if none is None else None
        super().__init__(kernel, shutdown=shutdown, functions=rpc, nothing=nothing)
        self._cookies: dict[str, str] = {}
        self._hidden = hidden
        self._output = output
        self._epmd = epmd
        self._listen = [listen] if isinstance(listen, Listen) else list(listen)
        self._none = none
        self._tick_time = tick_time
        self._limits = limits
        self._names = Names(self._name, hidden, epmd, routes or {}, resolver)
        self._network: Network = StreamNetwork()
        self._connections: Connections | None = None
        self._audience = Audience(self.kernel)
        self._refused: Exception | None = None
        self._scopes: list[anyio.CancelScope] = []
        self._listeners: list[Listener] = []
        self._policy = policy
        self._global_names = GlobalNames(self, policy)
        self.services.provide("global", "resolve_it", self._global_names.resolve_it, process=True)
        self._busy_wait = BusyWait(busy_wait)
        self._held_up = HeldUp(self.kernel, self.relieved)
        self._reconnects = Reconnects(self._connect, self.monitor_nodes, self._start)
        self._lag = LoopLag(name, tick_time)
        self._strategies = list(cluster) if isinstance(cluster, Sequence) else [cluster]
        self._tls = None if tls is None else TlsContexts(tls)
        self.pg = Pg(self, none)
        self.port = 0
        self.ports: list[int] = []

    def __repr__(self) -> str:
        return f"<Node {self.name}>"

    @property
    def name(self) -> str:
        """The node's name, `name@host`; of a node that waits for one, `nonode@nohost`."""
        return str(self._name) if self._dynamic is None else self._dynamic.name

    @property
    def global_names(self) -> GlobalNames:
        """The names and locks that all visible nodes share (`global`)."""
        return self._global_names

    # Starting and stopping: what `Runtime` calls

    async def opening(self, tasks: TaskGroup) -> None:
        """Listen, and be registered: the EPMD gives the creation that all our identifiers carry."""
        loop: EventLoop = TaskLoop(tasks)
        if on_asyncio():
            self._network, loop = ProtocolNetwork(), AsyncioLoop()
        self._arrivals = Arrivals(self, self._spare_bonds, shared(self._busy_wait), loop)
        self.deliver = self._arrivals.deliver
        self.connected = self._arrivals.connected
        own_name = self._dynamic or OwnName(await self._local_node(tasks))
        self._connections = Connections(
            own_name,
            self.cookie_of,
            self._names,
            self._network,
            self,
            self.kernel.channels,
            tasks,
            tls=self._tls,
            policy=self._policy,
            none=self._none,
            tick_time=self._tick_time,
            limits=self._limits,
        )
        self.route = self._connections.departures.route

    async def _local_node(self, tasks: TaskGroup) -> LocalNode:
        if self._epmd is None:
            await self._listen_for_nodes()
            creation = new_creation()
        else:
            creation = await tasks.start(
                self._until_left, self._names.keep_registered, self._listen_for_nodes
            )
        self.kernel.incarnate(creation)
        return LocalNode(self.name, creation, flags=FLAGS, hidden=self._hidden)

    async def _listen_for_nodes(self) -> int:
        warn = self._tls is None and not self._policy.allow_plain
        await open_listeners(self._network, self._listen, self._name, self._listeners, warn=warn)
        self.ports = [listener.port for listener in self._listeners]
        self.port = self.ports[0]
        return self.port

    async def opened(self, tasks: TaskGroup) -> None:
        """Processes run: start those that other nodes expect, and let the nodes in."""
        names = self._global_names.child()
        await self.start(system_processes(self, self._output, self._lead, names))
        listeners, self._listeners = self._listeners, []
        assert self._connections is not None
        for listener in listeners:
            self._start(listener.serve, self._connections, tasks)
        self._start(self._lag.measure)
        cluster = Cluster(lambda: self.name, self._reconnects.begin, self._reconnects.end, self.add_route)
        for number, strategy in enumerate(self._strategies):
            self._start(cluster.follow, number, strategy)

    async def closing(self) -> None:
        """Say goodbye: every connection closes, the name is released."""
        if self._connections is not None:
            self._connections.close()
        for scope in self._scopes:
            scope.cancel()
        self._audience.close()
        for listener in self._listeners:
            await listener.aclose()

    def _start(self, function: Callable[..., Awaitable[None]], *args: Any) -> None:
        assert self._tasks is not None
        self._tasks.start_soon(self._until_left, function, *args)

    async def _until_left(self, function: Callable[..., Awaitable[None]], *args: Any, **status: Any) -> None:
        with anyio.CancelScope() as scope:
            self._scopes.append(scope)
            if self._connections is not None and self._connections.closing:
                # The node was left before this task had its first turn.
                scope.cancel()
            await function(*args, **status)

    # Other nodes

    def cookie_of(self, node: str) -> str:
        """Return the cookie shared with a node (`erlang:get_cookie/1`)."""
        return self._cookies.get(node, self._cookie)

    def set_cookie(self, node: str, cookie: str) -> None:
        """Use a cookie of its own with one node (`erlang:set_cookie/2`).

        Raises:
            ValueError: the cookie is empty, or has a character beyond Latin-1.
        """
        self._cookies[node] = checked(cookie)

    def reload_tls(self) -> None:
        """Read the files of `tls` again, as for a new certificate. Connections there are stay as they are.

        Raises:
            CannotStart: a file cannot be used; the old certificates stay in use.
        """
        if self._tls is not None:
            self._tls.reload()

    def add_route(self, node: str, host: str, port: int) -> None:
        """Find a node at a fixed address, without asking an EPMD."""
        self._names.add_route(node, host, port)

    async def connect(self, node: str) -> bool:
        """Connect to a node (`net_kernel:connect_node/1`); False, and a line in the log, if that fails.

        Raises:
            BadName: that is no node name.
        """
        return await self._connect(node) is None

    async def reach(self, node: str) -> None:
        """Connect to a node, or say why not.

        Raises:
            BadName: that is no node name.
            NotConnected: it cannot be reached; HandshakeRefused, CookieMismatch: it was, and would not.
        """
        failure = await self._connect(node)
        if failure is not None:
            raise failure

    async def ping(self, node: str) -> bool:
        """Ask a node whether it is there, connecting to it if need be (`net_adm:ping/1`).

        Raises:
            BadName: that is no node name.
        """
        if node == self.name:
            return True
        if await self._connect(node) is not None:
            return False
        try:
            answer = await self.call(RemoteName(NAME, node), (IS_AUTH, Atom(self.name)))
        except ExitError:
            return False
        return bool(answer == YES)

    async def disconnect(self, node: str) -> bool:
        """Close the connection to a node (`erlang:disconnect_node/1`); False if there was none.

        It also ends what `keep_connected` began.
        """
        self._reconnects.end(node)
        return self.drop(node)

    def drop(self, node: str) -> bool:
        """Close the connection to a node as `disconnect`, but go on with what `keep_connected` began."""
        assert self._connections is not None
        self.pump()  # what was sent before still goes over this connection
        return self._connections.disconnect(node)

    def keep_connected(self, node: str) -> None:
        """Be connected to a node from now on: try until it answers, and again when it is lost.

        Tries follow each other after 0.5 to 30 seconds, longer the more have failed and never in step with
        those of other nodes. `disconnect` ends it.

        Raises:
            BadName: that is no node name.
            RuntimeError: the node has not been started.
        """
        self._checked(node)
        if self._tasks is None:
            raise RuntimeError(f"{self.name} has not been started: use it as `async with`")
        self._reconnects.begin(node)

    def nodes(self, kind: Kind = "visible") -> list[str]:
        """Return the connected nodes (`erlang:nodes/1`)."""
        if self._connections is None:
            return []
        wanted = {"visible": (False,), "hidden": (True,), "all": (False, True)}[kind]
        return [name for name, hidden in self._connections.nodes() if hidden in wanted]

    def monitor_nodes(self) -> NodeMonitor:
        """Watch nodes come and go: `async for event in node.monitor_nodes(): ...` (NodeUp, NodeDown)."""
        return self._audience.monitor()

    def subscribe(self, pid: Pid, *, hidden: bool = False) -> None:
        """Send a process `{nodeup, Node}` and `{nodedown, Node}` from now on (`net_kernel:monitor_nodes/1`).

        The first message of a node comes after its nodeup, its nodedown after the last.

        Args:
            pid: the process; it is told until it ends.
            hidden: whether it is told of hidden nodes as well.
        """
        self._audience.subscribe(pid, hidden)

    def unsubscribe(self, pid: Pid) -> bool:
        """Tell a process of nodes no more; False if it was not told."""
        return self._audience.unsubscribe(pid)

    async def _connect(self, node: str) -> NotConnected | None:
        assert self._connections is not None
        self._checked(node)
        return await self._connections.connect(node)

    def _checked(self, node: str) -> None:
        try:
            NodeName.parse(node)
        except ValueError as error:
            raise BadName(str(error)) from error

    def health(self) -> Health:
        """Say how the node is; `ergo_node.health` serves this to the probes of Kubernetes."""
        return Health(
            self.name,
            running=self._running() and self.kernel.whereis(NAME) is not None,
            listening=None if self._dynamic else self._running(),
            registered=None if self._dynamic or self._epmd is None else self._names.registered,
            lag=self._lag.seconds,
            max_lag=self._lag.limit,
            connected=tuple(self.nodes("all")),
            wanted=tuple(self._reconnects),
        )

    def _running(self) -> bool:
        return self._connections is not None and not self._connections.closing

    # Messages

    async def cast(self, to: ServerRef, message: Term) -> None:
        """Send a cast to a server here or on another node; waits while that node does not read.

        Raises:
            etf_codec.EncodeError: the message has no external form.
        """
        await super().cast(to, message)
        self._sent()
        await self._relieved(to)

    async def send(self, to: ServerRef | Reference, message: Term) -> None:
        """Send a message to a process here or on another node; waits while that node does not read.

        Raises:
            etf_codec.EncodeError: the message has no external form.
        """
        await super().send(to, message)
        self._sent()
        await self._relieved(to)

    def _sent(self) -> None:
        self.pump()
        refused, self._refused = self._refused, None
        if refused is not None:
            raise refused

    async def _relieved(self, to: ServerRef | Reference) -> None:
        """After a message: wait while the connection it went to is busy."""
        connections = self._connections
        if connections is not None and connections.busy:
            node = to.node if isinstance(to, Reference) else self.kernel.resolve(to).node
            if node in connections.busy:
                await connections.relieved(node)

    # What the runtime and the connections ask

    def hold_up(self, signals: list[Signal]) -> None:
        """Servers that have sent to a busy node get no turns until it is relieved."""
        assert self._connections is not None
        assert self._tasks is not None
        for signal in signals:
            if isinstance(signal, MessageSignal | AliasSignal) and signal.sender != self._client.pid:
                node = destination(signal)
                if node in self._connections.busy and self._held_up.add(signal.sender, node):
                    name = f"servers that wait for {node}"
                    self._tasks.start_soon(self._held_up.let_go, node, name=name)

    async def relieved(self, node: str) -> None:
        """Wait while a node does not read what it was sent."""
        assert self._connections is not None
        await self._connections.relieved(node)

    def _spare_bonds(self, transport: Transport) -> int:
        assert self._connections is not None
        return self._connections.spare_bonds(transport)

    def deliver_own(self, signal: Signal) -> None:
        """Take a signal that names this node by the name other nodes know it by."""
        self.kernel.deliver(signal)

    def bonds_with(self, node: str) -> int:
        """Return how many links and monitors a node has with our processes."""
        return self.kernel.nodes.bonds_with(node)

    def closed(self, transport: Transport) -> None:
        """A transport is over."""
        self._arrivals.forget(transport)

    def refuse(self, signal: Signal, error: Exception) -> None:
        """A signal has no external form: its sender learns it, as an error or as its end."""
        if isinstance(signal, SpawnSignal) and self.kernel.spawns.refuse(signal, error):
            return
        if not undeliverable(self.kernel, signal, error):
            self._refused = error

    def node_up(self, name: str, hidden: bool) -> None:
        """A connection is up."""
        self.kernel.nodes.up(name)
        self._audience.tell(NodeUp(name, hidden), self._client.pid)

    def node_down(self, name: str, reason: str, was_up: bool, hidden: bool = False) -> None:
        """A connection is lost, or could not be made: links and monitors over it fire."""
        self.kernel.nodes.down(name, reason)
        if was_up:
            self._audience.tell(NodeDown(name, reason, hidden), self._client.pid)
        self.pump()
