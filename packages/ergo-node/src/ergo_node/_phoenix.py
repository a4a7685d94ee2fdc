"""`Phoenix.PubSub` in a Python node: topics shared with Phoenix nodes over its adapter PG2.

    pubsub = PubSub("MyApp.PubSub")
    await node.start(pubsub)                                # {Phoenix.PubSub, name: MyApp.PubSub}

    with pubsub.subscribe("room:1") as messages:            # Phoenix.PubSub.subscribe(MyApp.PubSub, "room:1")
        await pubsub.broadcast("room:1", (Atom("hi"), 1))   # Phoenix.PubSub.broadcast(…, "room:1", {:hi, 1})
        async for message in messages: ...

What Phoenix channels broadcast arrives as a `Broadcast`, and one that is sent reaches their clients.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, Protocol, TypeAlias, overload, runtime_checkable

from etf_codec import Atom, Pid, Term, encode
from otp_behaviors import Child, ExitError, Kernel, LocalProcess, RemoteName, ServerHandle, Supervisor

from ergo_node._pg import Pg
from ergo_node._pg_server import NOLOCAL
from ergo_node._phoenix_adapter import FORWARD, SCOPE, Adapter, TopicsServer
from ergo_node._phoenix_broadcast import Broadcast, as_broadcast, as_struct
from ergo_node._phoenix_topics import Topics
from ergo_node._subscription import MAX_UNREAD, Subscription

ELIXIR: Final = "Elixir."
PUBSUB: Final = Atom("Elixir.Phoenix.PubSub")
CHANNEL_SERVER: Final = Atom("Elixir.Phoenix.Channel.Server")
"""The dispatcher that hands a `Broadcast` to the sockets of clients, on the nodes that have them."""

INTENSITY: Final = 10
"""Restarts within five seconds: any peer may send an adapter an exit signal."""

Topic: TypeAlias = "str | bytes"
Sender: TypeAlias = "Pid | ServerHandle | Subscription"


@runtime_checkable
class PubSubNode(Protocol):
    """The node, as a PubSub sees it."""

    kernel: Kernel
    pg: Pg

    @property
    def program(self) -> Pid:
        """The process that stands for the program's tasks."""

    def pump(self) -> None:
        """Run the kernel, and send what there is to send."""

    async def checkpoint(self) -> None:
        """Let other tasks run."""

    async def relieved(self, node: str) -> None:
        """Wait while a node does not read what it was sent."""


class Sent:
    """A broadcast that has been sent. Await it to wait for nodes that do not read; there is no need to."""

    __slots__ = ("_node", "_nodes")

    def __init__(self, node: PubSubNode, nodes: set[str]) -> None:
        self._node = node
        self._nodes = nodes

    def __await__(self) -> Generator[Any, Any, None]:
        return self._relieved().__await__()

    async def _relieved(self) -> None:
        self._node.pump()
        await self._node.checkpoint()
        for name in self._nodes:
            await self._node.relieved(name)


class PubSub:
    """Topics shared with all nodes that have a PubSub of this name. Start it on a node, or as a child.

    Its methods send at once, so `def` callbacks use them as tasks do.

    Args:
        name: the name in Elixir, `MyApp.PubSub`.
        pool_size: how many processes take messages of other nodes; as on the other nodes, see Phoenix.PubSub.
        broadcast_pool_size: how many of them are broadcast to, while the pools of a cluster are changed.

    Raises:
        ValueError: a size is not positive, or more are broadcast to than there are.
    """

    child_type: Final = "supervisor"

    def __init__(self, name: str, *, pool_size: int = 1, broadcast_pool_size: int | None = None) -> None:
        broadcast_pool_size = pool_size if broadcast_pool_size is None else broadcast_pool_size
        if not 1 <= broadcast_pool_size <= pool_size:
            raise ValueError(
                f"1 <= broadcast_pool_size <= pool_size does not hold: {broadcast_pool_size}, {pool_size}"
            )
        self.name: Final = name if name.startswith(ELIXIR) else ELIXIR + name
        # The first has no number, so that pools of one meet those of older releases.
        adapter = f"{self.name}.Adapter"
        self.groups: Final = [adapter, *(f"{adapter}_{number}" for number in range(2, pool_size + 1))]
        self._broadcast_groups = self.groups[:broadcast_pool_size]
        self._topics = Topics()
        self._node: PubSubNode | None = None

    def __repr__(self) -> str:
        return f"PubSub({self.name.removeprefix(ELIXIR)!r})"

    def __process__(self, kernel: Kernel, args: tuple[Any, ...]) -> LocalProcess:
        """Return its supervisor, not yet started."""
        node: object = kernel.shell
        if not isinstance(node, PubSubNode):
            raise TypeError(f"{self!r} needs a Node: there is nobody to share topics with")
        self._node = node
        adapters = [Child(Adapter, node.pg, self, group, name=group) for group in self.groups]
        tree = Supervisor(
            Child(TopicsServer, self._topics, id=Atom("topics")), *adapters, intensity=INTENSITY
        )
        return tree.__process__(kernel, args)

    # Subscribing

    @overload
    def subscribe(self, topic: Topic, *, max_unread: int = MAX_UNREAD) -> Subscription: ...
    @overload
    def subscribe(self, topic: Topic, process: Pid | ServerHandle) -> None: ...
    def subscribe(
        self, topic: Topic, process: Pid | ServerHandle | None = None, *, max_unread: int = MAX_UNREAD
    ) -> Subscription | None:
        """Subscribe to a topic: a process, which gets the messages, or the calling task.

        A process that subscribes twice gets everything twice, as in Phoenix, and unsubscribes at once.

        Args:
            topic: the topic, text or UTF-8.
            process: a process of this node, subscribed until it ends; None for a task.
            max_unread: how many messages a task may leave unread; at one more its subscription ends.

        Returns:
            For a task, what to read the messages from with `async for`.

        Raises:
            ExitError: `{nolocal, Pid}`, a process of another node.
            RuntimeError: it does not run.
        """
        node, key = self._started(), _topic(topic)
        if process is None:
            subscription = Subscription(
                f"topic {topic!r}", lambda ended: self._unsubscribe(key, ended), max_unread
            )
            self._topics.add(key, subscription)
            return subscription
        pid = _subscriber(process)
        if pid.node != node.kernel.node:
            raise ExitError((NOLOCAL, pid), f"{pid!r} is of another node: only there it can subscribe")
        self._topics.add_process(key, pid, node.kernel)
        return None

    def unsubscribe(self, topic: Topic, process: Pid | ServerHandle) -> bool:
        """Unsubscribe a process from a topic, however often it subscribed; False if it had not."""
        return self._topics.remove(_topic(topic), _subscriber(process))

    # Broadcasting

    def broadcast(self, topic: Topic, message: Term, *, dispatcher: str | Atom | None = None) -> Sent:
        """Send a message to the subscribers of a topic on all nodes.

        Args:
            topic: the topic.
            message: any term, or a `Broadcast`.
            dispatcher: the module that distributes it on nodes of Elixir; Phoenix's own if left out.

        Returns:
            What may be awaited, to wait while a node does not read.

        Raises:
            etf_codec.EncodeError: the message has no external form; nobody gets it.
            RuntimeError: it does not run.
        """
        return self._broadcast(None, topic, message, dispatcher)

    def broadcast_from(
        self, sender: Sender, topic: Topic, message: Term, *, dispatcher: str | Atom | None = None
    ) -> Sent:
        """Send a message to all subscribers but one: a process, or a task's subscription; see `broadcast`."""
        return self._broadcast(sender, topic, message, dispatcher)

    def broadcast_event(self, topic: str, event: str, payload: Term) -> Sent:
        """Send an event to the clients of a channel, on all nodes (`MyAppWeb.Endpoint.broadcast/3`)."""
        return self._broadcast(None, topic, Broadcast(topic, event, payload), None)

    def local_broadcast(self, topic: Topic, message: Term) -> None:
        """Send a message to the subscribers of a topic on this node."""
        self._dispatch(None, _topic(topic), message)

    def local_broadcast_from(self, sender: Sender, topic: Topic, message: Term) -> None:
        """Send a message to the subscribers of a topic on this node but one."""
        self._dispatch(_subscriber(sender), _topic(topic), message)

    def direct_broadcast(
        self, node: str, topic: Topic, message: Term, *, dispatcher: str | Atom | None = None
    ) -> Sent:
        """Send a message to the subscribers on one node, connected to if need be; see `broadcast`."""
        host = self._started()
        envelope = self._envelope(host, topic, message, dispatcher)
        sender = self._sender(host)
        host.kernel.send(sender, RemoteName(self._group(sender), node), envelope)
        return Sent(host, {node})

    # What the adapters ask

    def forwarded(self, topic: bytes, message: Term) -> None:
        """Another node has broadcast a message."""
        self._dispatch(None, topic, as_broadcast(message))

    def _broadcast(
        self, sender: Sender | None, topic: Topic, message: Term, dispatcher: str | Atom | None
    ) -> Sent:
        host = self._started()
        envelope = self._envelope(host, topic, message, dispatcher)
        me = self._sender(host)
        others = host.pg.members(SCOPE, Atom(self._group(me)))
        nodes = set()
        for pid in others:
            if pid.node != host.kernel.node:
                host.kernel.send(me, pid, envelope)
                nodes.add(pid.node)
        self._dispatch(None if sender is None else _subscriber(sender), _topic(topic), message)
        return Sent(host, nodes)

    def _envelope(
        self, host: PubSubNode, topic: Topic, message: Term, dispatcher: str | Atom | None
    ) -> tuple[Term, ...]:
        if dispatcher is None:
            dispatcher = CHANNEL_SERVER if isinstance(message, Broadcast) else PUBSUB
        envelope = (FORWARD, _topic(topic), as_struct(message), Atom(str(dispatcher)))
        # Whether it can be sent is known now, while there is somebody to tell.
        encode(envelope, none=host.pg.none)
        return envelope

    def _dispatch(self, sender: Pid | Subscription | None, topic: bytes, message: Term) -> None:
        host = self._started()
        for subscriber in self._topics.of(topic):
            if subscriber == sender:
                continue
            if isinstance(subscriber, Pid):
                host.kernel.send(self._sender(host), subscriber, message)
            else:
                subscriber.tell(message)

    def _group(self, sender: Pid) -> str:
        """Return the group a process broadcasts to: always the same, so its messages keep their order."""
        return self._broadcast_groups[sender.id % len(self._broadcast_groups)]

    @staticmethod
    def _sender(host: PubSubNode) -> Pid:
        current = host.kernel.current
        return host.program if current is None else current.pid

    def _started(self) -> PubSubNode:
        if self._node is None or not self._topics.running:
            raise RuntimeError(f"{self!r} does not run: `await node.start(pubsub)` first")
        return self._node

    def _unsubscribe(self, topic: bytes, subscription: Subscription) -> None:
        self._topics.remove(topic, subscription)


def _topic(topic: Topic) -> bytes:
    return topic.encode() if isinstance(topic, str) else topic


@overload
def _subscriber(process: Pid | ServerHandle) -> Pid: ...
@overload
def _subscriber(process: Sender) -> Pid | Subscription: ...
def _subscriber(process: Sender) -> Pid | Subscription:
    return process.pid if isinstance(process, ServerHandle) else process
