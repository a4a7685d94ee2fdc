"""A node for programs that are not async: scripts, notebooks, views of a web framework.

    with connect("shop@10.0.0.4", cookie="secret") as node:
        node.call(RemoteName("Elixir.Cart", node.peer), (Atom("get"), 7))

The node runs in a thread of its own. Its methods may be called from any number of other threads, but not from
a process that was forked after it was started.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from time import monotonic
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from anyio.from_thread import start_blocking_portal
from erldist_proto import NodeName
from etf_codec import Atom, Pid, Reference, Term
from otp_behaviors import CALL_TIMEOUT, Process, RemoteName, ServerHandle, ServerRef

from ergo_node._config import Epmd, is_loopback
from ergo_node._errors import BadName
from ergo_node._node import Kind, Node

__all__ = ["RemoteName", "SyncNode", "connect"]

Result = TypeVar("Result")

DEFAULT_EPMD: Final = Epmd()
DNS_PORT: Final = 53


class SyncNode:
    """A node whose methods block. Use it as `with`; leaving it stops the node as leaving `async with` does.

    It has one process, `pid`, whose messages `receive` returns. Ctrl-C ends whatever waits, then the node.

    Args:
        name: `name@host`.
        cookie: the secret of the cluster; None reads it where OTP does.
        peer: the node to connect to at once, or None.
        backend: what runs the node, `asyncio` or `trio`.
        options: what else `Node` takes.

    Raises:
        BadName, CannotStart: as `Node`.
    """

    def __init__(
        self,
        name: str,
        cookie: str | None = None,
        *,
        peer: str | None = None,
        backend: Literal["asyncio", "trio"] = "asyncio",
        **options: Any,
    ) -> None:
        self.node = Node(name, cookie, **options)
        self._peer = peer
        self._backend: Literal["asyncio", "trio"] = backend
        self._stack = ExitStack()
        self._inbox: list[Term] = []
        self._changed = threading.Condition()
        self._process: Process | None = None
        self._open = False

    def __repr__(self) -> str:
        return f"<SyncNode {self.name}>"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal(self._backend))
            stack.enter_context(self._portal.wrap_async_context_manager(self.node))
            stack.callback(self._close)
            self._open = True
            self.run(_soon, self.node.spawn, self._receive_all)
            if self._peer is not None:
                self.reach(self._peer)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def run(self, function: Callable[..., Awaitable[Result]], *args: Any, **options: Any) -> Result:
        """Run an async function beside the node and return its result: `sync.run(sync.node.ping, name)`.

        Raises:
            RuntimeError: the node is not running.
        """
        if not self._open:
            raise RuntimeError(f"{self.name} is not running: use it as `with`")

        async def call() -> Result:
            return await function(*args, **options)

        future = self._portal.start_task_soon(call)
        try:
            return future.result()
        except BaseException:
            # Ctrl-C, most likely: nobody waits for it any more.
            future.cancel()
            raise

    # Names and nodes

    @property
    def name(self) -> str:
        """The name of our node."""
        return self.node.name

    @property
    def peer(self) -> str:
        """The node that `connect` connected to.

        Raises:
            RuntimeError: there is none.
        """
        if self._peer is None:
            raise RuntimeError(f"{self.name} was not given a peer")
        return self._peer

    @property
    def pid(self) -> Pid:
        """The process whose messages `receive` returns: give it to those who are to answer."""
        return self._own().pid

    def nodes(self, kind: Kind = "visible") -> list[str]:
        """Return the connected nodes; see `Node.nodes`."""
        return self.run(_soon, self.node.nodes, kind)

    def ping(self, node: str) -> bool:
        """Ask a node whether it is there; see `Node.ping`."""
        return self.run(self.node.ping, node)

    def reach(self, node: str) -> None:
        """Connect to a node, or raise why not; see `Node.reach`."""
        self.run(self.node.reach, node)

    def disconnect(self, node: str) -> bool:
        """Close the connection to a node; see `Node.disconnect`."""
        return self.run(self.node.disconnect, node)

    # Messages

    def call(self, to: ServerRef, request: Term, timeout: float | None = CALL_TIMEOUT) -> Any:
        """Send a request to a server and return its reply; see `Node.call`."""
        return self.run(self.node.call, to, request, timeout)

    def cast(self, to: ServerRef, message: Term) -> None:
        """Send a cast to a server; see `Node.cast`."""
        self.run(self.node.cast, to, message)

    def send(self, to: ServerRef | Reference, message: Term) -> None:
        """Send a message; see `Node.send`."""
        self.run(self.node.send, to, message)

    def rpc(
        self,
        node: str,
        module: str | Atom,
        function: str | Atom,
        args: Sequence[Term] = (),
        timeout: float | None = CALL_TIMEOUT,
    ) -> Any:
        """Run a function on a node and return its result; see `Node.rpc`."""
        return self.run(self.node.rpc, node, module, function, args, timeout)

    def receive(self, matcher: Callable[[Term], object] | None = None, timeout: float | None = None) -> Term:
        """Take a message that was sent to `pid`: the first, or the first for which `matcher` is true.

        Args:
            matcher: a function of a message; other messages stay, in their order.
            timeout: seconds to wait; 0 looks and does not wait.

        Raises:
            TimeoutError: no such message came in time.
            RuntimeError: the node is not running, or was left meanwhile.
        """
        due = None if timeout is None else monotonic() + timeout
        with self._changed:
            while True:
                for index, message in enumerate(self._inbox):
                    if matcher is None or matcher(message):
                        return self._inbox.pop(index)
                if not self._open:
                    raise RuntimeError(f"{self.name} is not running: use it as `with`")
                rest = None if due is None else due - monotonic()
                if rest is not None and rest <= 0:
                    raise TimeoutError(f"no message within {timeout:g} s")
                self._changed.wait(rest)

    def monitor(self, to: ServerRef) -> Reference:
        """Watch a process: one `Down` comes to `receive` when it ends, at once if it is not there."""
        ref: Reference = self.run(_soon, self._own().monitor, to)
        return ref

    def demonitor(self, ref: Reference) -> bool:
        """Stop watching, and take a `Down` that has come already; returns whether none had."""
        there: bool = self.run(_soon, self._own().demonitor, ref, True)
        with self._changed:
            self._inbox = [each for each in self._inbox if not _is_down(each, ref)]
        return there

    # Processes of our own

    def start(self, startable: Any, *args: Any, name: str | None = None) -> ServerHandle:
        """Start a server on our node; see `Node.start`. Of what it returns, use `pid`."""
        return self.run(self.node.start, startable, *args, name=name)

    async def _receive_all(self, process: Process) -> None:
        """The process `pid`: whatever it gets is for `receive`."""
        with self._changed:
            self._process = process
            self._changed.notify_all()
        while True:
            message = await process.receive()
            with self._changed:
                self._inbox.append(message)
                self._changed.notify_all()

    def _own(self) -> Process:
        with self._changed:
            while self._process is None:
                if not self._open:
                    raise RuntimeError(f"{self.name} is not running: use it as `with`")
                self._changed.wait()
            return self._process

    def _close(self) -> None:
        with self._changed:
            self._open = False
            self._changed.notify_all()


def connect(
    peer: str,
    cookie: str | None = None,
    *,
    name: str | None = None,
    epmd: Epmd | None = DEFAULT_EPMD,
    backend: Literal["asyncio", "trio"] = "asyncio",
    **options: Any,
) -> SyncNode:
    """Return a hidden node that, when entered, is connected to another one.

    Args:
        peer: the node to connect to.
        cookie: the secret of the cluster; None reads it where OTP does.
        name: our node's name; None makes one up, on the address that reaches the peer's host.
        epmd: how EPMD is used.
        backend: what runs the node.
        options: what else `Node` takes.

    Raises:
        BadName: `peer` is no node name, or its host is not known.
        NotConnected: on entering, the peer cannot be reached; its subclasses say why.
    """
    try:
        host = NodeName.parse(peer).host
    except ValueError as error:
        raise BadName(str(error)) from error
    name = f"py{os.getpid()}-{secrets.token_hex(3)}@{_host_towards(host)}" if name is None else name
    return SyncNode(name, cookie, peer=peer, backend=backend, epmd=epmd, **{"hidden": True, **options})


def _host_towards(host: str) -> str:
    """The address by which a host would see us; its own name if it is this one."""
    if is_loopback(host):
        return host
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, DNS_PORT, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)  # sends nothing: it asks for the route
            own = str(probe.getsockname()[0])
    except OSError as error:
        raise BadName(f"host {host!r} is not to be found: {error.strerror}; or give name=...") from error
    # Short names and long ones do not mix: on the same machine, both have the same kind of host.
    return host if is_loopback(own) else own


async def _soon(function: Callable[..., Result], *args: Any) -> Result:
    """Call a function in the node's thread."""
    return function(*args)


def _is_down(message: Term, ref: Reference) -> bool:
    return isinstance(message, tuple) and len(message) == 5 and message[:2] == (Atom("DOWN"), ref)
