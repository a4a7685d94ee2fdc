"""Node: the runtime of `otp_behaviors` with a network."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from secrets import randbelow, randbits
from time import monotonic
from typing import Any, Final, Literal

import anyio
from anyio.abc import TaskGroup
from erldist_proto import ConnectionLimits, LocalNode, NodeName
from etf_codec import Atom, Pid, Reference, Term
from otp_behaviors import (
    AliasSignal,
    Child,
    ExitError,
    Kernel,
    MessageSignal,
    NoConnection,
    RemoteName,
    ServerRef,
    Signal,
    SpawnSignal,
    Supervisor,
    destination,
    undeliverable,
)

from ergo_node._config import NET_TICK_TIME, SHUTDOWN_GRACE, Epmd, Listen, is_loopback
from ergo_node._connections import DEFAULT_LIMITS, DEFAULT_POLICY, Connections
from ergo_node._cookie import checked, read_cookie
from ergo_node._errors import BadName, CannotStart, NotConnected
from ergo_node._events import Audience, NodeDown, NodeMonitor, NodeUp
from ergo_node._flow import Flow
from ergo_node._held_up import HeldUp
from ergo_node._io import NAME as USER
from ergo_node._io import User, Write, to_stdout
from ergo_node._logger_proxy import NAME as LOGGER_PROXY
from ergo_node._logger_proxy import LoggerProxy
from ergo_node._names import Names, Resolver
from ergo_node._net_kernel import IS_AUTH, NAME, YES, NetKernel
from ergo_node._network import Listener, Network, StreamNetwork
from ergo_node._policy import Policy
from ergo_node._reconnects import Reconnects
from ergo_node._registry import Registry
from ergo_node._rex import NAME as REX
from ergo_node._rex import Rex
from ergo_node._rpc import OK, RpcRuntime
from ergo_node._stalls import watch_stalls
from ergo_node._tls import Tls, TlsContexts
from ergo_node._translate import FLAGS
from ergo_node._transport import Transport
from ergo_node._transport_asyncio import ProtocolNetwork, on_asyncio

logger: Final = logging.getLogger("ergo_node")
logger.addHandler(logging.NullHandler())

CALL_TIMEOUT: Final = 5.0
DEFAULT_EPMD: Final = Epmd()
DEFAULT_LISTEN: Final = Listen()
Kind = Literal["visible", "hidden", "all"]


class Node(RpcRuntime):
    """An Erlang node. Use it as `async with`; leaving it stops its processes and closes its connections.

    Args:
        name: `name@host`; the host is how other nodes reach this one.
        cookie: the secret of the cluster; None reads it where OTP does (`~/.erlang.cookie`).
        hidden: whether to stay out of `nodes()` of others, and of `global`.
        epmd: how EPMD is used; None uses none: give `listen` a port, and `routes` to other nodes.
        listen: where to listen for other nodes; of several places, the port of the first is registered.
        tls: encrypts all connections and checks certificates, as `-proto_dist inet_tls`; None for plain ones.
        policy: whom to connect with: allow lists, limits, and whether a message makes a connection.
        routes: addresses of nodes that no EPMD is asked for: `{"db@host": ("10.0.0.4", 9100)}`.
        resolver: `async def resolver(name)`, asked for nodes without a route before EPMD is; returns host and
            port, or None.
        none: the atom that stands for Python's None in terms, e.g. `Atom("nil")` among Elixir nodes.
        rpc: the functions that other nodes may run, shared with other nodes of the program; `provide` adds to
            it. None begins with none at all.
        output: prints what is written to `user`, and by processes that this node started elsewhere; standard
            output if left out.
        tick_time: seconds, as `net_ticktime`: a node that is silent for longer is taken for lost.
        limits: what a peer may make this node hold: sizes of messages, open fragments, depths of terms.
        shutdown: seconds each process gets to stop when the node is left.

    Raises:
        BadName: the name is no node name; the text says what one looks like.
        CannotStart: the cookie is none, or a file of `tls` cannot be used.
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
        none: Atom | None = None,
        rpc: Registry | None = None,
        output: Write = to_stdout,
        tick_time: float = NET_TICK_TIME,
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
        kernel = Kernel(name, now=monotonic(), seed=randbits(64))
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
        self._connections: Connections | None = None
        self._audience = Audience(self.kernel)
        self._failures: dict[str, str] = {}
        self._refused: Exception | None = None
        self._scopes: list[anyio.CancelScope] = []
        self._listeners: list[Listener] = []
        self._policy = policy
        self._flow = Flow(self.kernel)
        self._held_up = HeldUp(self.kernel, self._relieved_node)
        self._reconnects = Reconnects(self._connect, self.monitor_nodes)
        self._tls = None if tls is None else TlsContexts(tls)
        self.port = 0
        self.ports: list[int] = []

    def __repr__(self) -> str:
        return f"<Node {self.name}>"

    @property
    def name(self) -> str:
        """The node's name, `name@host`."""
        return str(self._name)

    # Starting and stopping: what `Runtime` calls

    async def opening(self, tasks: TaskGroup) -> None:
        """Listen, and be registered: the EPMD gives the creation that all our identifiers carry."""
        network = ProtocolNetwork() if on_asyncio() else StreamNetwork()
        if not self._listen:
            raise CannotStart("Node(listen=[]) listens nowhere: give at least one Listen")
        for listen in self._listen:
            self._listeners.append(await self._open_listener(network, listen))
        self.ports = [listener.port for listener in self._listeners]
        self.port = self.ports[0]
        if self._epmd is None:
            # As OTP without EPMD: 32 random bits, but none of the reserved 0 to 3.
            creation = 4 + randbelow(2**32 - 4)
        else:
            creation = await tasks.start(self._until_left, self._names.keep_registered, self.port)
        self.kernel.incarnate(creation)
        self._connections = Connections(
            LocalNode(self.name, creation, flags=FLAGS, hidden=self._hidden),
            self.cookie_of,
            self._names,
            network,
            self,
            tasks,
            tls=self._tls,
            policy=self._policy,
            none=self._none,
            tick_time=self._tick_time,
            limits=self._limits,
        )
        tasks.start_soon(self._until_left, watch_stalls, self.name, self._tick_time)

    async def opened(self, tasks: TaskGroup) -> None:
        """Processes run: start those that other nodes expect, and let the nodes in."""
        # Supervised, for any peer may send it an exit signal.
        children = [
            Child(NetKernel, name=NAME),
            Child(Rex, self, name=REX),
            Child(User, self._output, self._lead, name=USER),
            Child(LoggerProxy, name=LOGGER_PROXY),
        ]
        await self.start(Supervisor(*children, intensity=10, name="net_sup"))
        listeners, self._listeners = self._listeners, []
        assert self._connections is not None
        for listener in listeners:
            tasks.start_soon(self._until_left, listener.serve, self._connections, tasks)

    async def closing(self) -> None:
        """Say goodbye: every connection closes, the name is released."""
        if self._connections is not None:
            self._connections.close()
        for scope in self._scopes:
            scope.cancel()
        self._audience.close()
        for listener in self._listeners:
            await listener.aclose()

    async def _until_left(self, function: Callable[..., Awaitable[None]], *args: Any, **status: Any) -> None:
        with anyio.CancelScope() as scope:
            self._scopes.append(scope)
            if self._connections is not None and self._connections.closing:
                # The node was left before this task had its first turn.
                scope.cancel()
            await function(*args, **status)

    async def _open_listener(self, network: Network, listen: Listen) -> Listener:
        local, everywhere = ("::1", "::") if ":" in self._name.host else ("127.0.0.1", "0.0.0.0")  # noqa: S104  # peers reach us
        host = listen.host or (local if is_loopback(self._name.host) else everywhere)
        failure: OSError | None = None
        for port in listen.ports:
            try:
                return await network.listen(host, port)
            except OSError as error:
                failure = error
        ports = ", ".join(str(port) for port in listen.ports)
        why = "no port was given" if failure is None else failure.strerror or str(failure)
        raise CannotStart(f"{self.name} cannot listen on {host}, port {ports}: {why}; give Listen(ports=...)")

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
        if node not in self._reconnects:
            scope = self._reconnects.add(node)
            self._tasks.start_soon(
                self._until_left, self._reconnects.keep, node, scope, name=f"keep {node} connected"
            )

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

    # Messages

    async def call(self, to: ServerRef, request: Term, timeout: float | None = CALL_TIMEOUT) -> Any:
        """Send a request to a server here or on another node, and return its reply; see `Runtime.call`.

        Raises:
            NoConnection: as there; its text says why the node cannot be reached.
            etf_codec.EncodeError: the request has no external form.
        """
        try:
            return await super().call(to, request, timeout)
        except NoConnection as error:
            raise self._unreachable(error, self.kernel.resolve(to).node) from None

    def _unreachable(self, error: NoConnection, node: str) -> NoConnection:
        failure = self._failures.get(node)
        return NoConnection(error.reason, f"{error}: {failure}" if failure else str(error))

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

    def route(self, signals: list[Signal]) -> None:
        """Take signals for other nodes; a server that sends to one that is busy gets no turns meanwhile."""
        assert self._connections is not None
        self._connections.route(signals, destination)
        busy = self._connections.busy
        if busy:
            for signal in signals:
                if isinstance(signal, MessageSignal | AliasSignal) and destination(signal) in busy:
                    self._hold_up(signal.sender, destination(signal))

    def _hold_up(self, sender: Pid, node: str) -> None:
        assert self._tasks is not None
        if sender != self._client.pid and self._held_up.add(sender, node):
            self._tasks.start_soon(self._held_up.let_go, node, name=f"servers that wait for {node}")

    async def _relieved_node(self, node: str) -> None:
        assert self._connections is not None
        await self._connections.relieved(node)

    def deliver(self, signals: list[Signal], transport: Transport) -> None:
        """Take the signals of one read of a connection."""
        kernel = self.kernel
        kernel.held = True
        try:
            for signal in signals:
                kernel.deliver(signal)
        finally:
            kernel.held = False
        self.pump()
        self._flow.delivered(transport, signals)

    def pump(self) -> None:
        """Run the kernel now and carry out what comes out of it."""
        super().pump()
        self._flow.ran()

    def closed(self, transport: Transport) -> None:
        """A transport is over."""
        self._flow.forget(transport)

    def refuse(self, signal: Signal, error: Exception) -> None:
        """A signal has no external form: its sender learns it, as an error or as its end."""
        if isinstance(signal, SpawnSignal) and self.kernel.spawns.refuse(signal, error):
            return
        if not undeliverable(self.kernel, signal, error):
            self._refused = error

    def node_up(self, name: str, hidden: bool) -> None:
        """A connection is up."""
        self._failures.pop(name, None)
        self._audience.tell(NodeUp(name, hidden), self._client.pid)

    def node_down(self, name: str, reason: str, was_up: bool, hidden: bool = False) -> None:
        """A connection is lost, or could not be made: links and monitors over it fire."""
        self._failures[name] = reason
        self.kernel.node_down(name)
        if was_up:
            self._audience.tell(NodeDown(name, reason, hidden), self._client.pid)
        self.pump()
