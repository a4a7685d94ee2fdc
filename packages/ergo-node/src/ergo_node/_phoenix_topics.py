"""Who is subscribed to which topic on this node: the `Registry` of a `Phoenix.PubSub`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from etf_codec import Pid, Reference, Term
from otp_behaviors import Kernel

from ergo_node._subscription import Subscription

Subscriber: TypeAlias = Pid | Subscription


class Topics:
    """Subscribers by topic. A process is in it as often as it subscribed, and until it ends."""

    def __init__(self) -> None:
        self._subscribers: dict[bytes, list[Subscriber]] = {}
        self._watched: dict[Pid, Watched] = {}
        self.running = False

    def of(self, topic: bytes) -> list[Subscriber]:
        """Return the subscribers of a topic, first come first."""
        return list(self._subscribers.get(topic, ()))

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._subscribers)

    def add(self, topic: bytes, subscriber: Subscriber) -> None:
        """Subscribe a task."""
        self._subscribers.setdefault(topic, []).append(subscriber)

    def add_process(self, topic: bytes, pid: Pid, kernel: Kernel) -> None:
        """Subscribe a process of this node."""
        watched = self._watched.get(pid)
        if watched is None:
            watched = self._watched[pid] = Watched(self, pid)
        watched.topics.append(topic)
        self.add(topic, pid)
        if watched.ref is None:
            watched.ref = kernel.monitor(watched, pid, pid)

    def remove(self, topic: bytes, subscriber: Subscriber) -> bool:
        """Unsubscribe from a topic, however often it was subscribed to; False if it was not."""
        subscribers = self._subscribers.get(topic, [])
        left = [each for each in subscribers if each != subscriber]
        if left:
            self._subscribers[topic] = left
        else:
            self._subscribers.pop(topic, None)
        if isinstance(subscriber, Pid) and subscriber in self._watched:
            watched = self._watched[subscriber]
            watched.topics = [each for each in watched.topics if each != topic]
        return len(left) < len(subscribers)

    def clear(self) -> None:
        """End the subscriptions of all tasks, and forget those of processes."""
        subscribers = [each for all_of in self._subscribers.values() for each in all_of]
        self._subscribers.clear()
        self._watched.clear()
        for subscriber in subscribers:
            if isinstance(subscriber, Subscription):
                subscriber.close()

    def gone(self, pid: Pid) -> None:
        """A process has ended."""
        watched = self._watched.pop(pid, None)
        for topic in dict.fromkeys(() if watched is None else watched.topics):
            self.remove(topic, pid)


class Watched:
    """A process that has subscribed, watched so that it is forgotten when it ends."""

    __slots__ = ("_pid", "_topics", "ref", "topics")

    def __init__(self, topics: Topics, pid: Pid) -> None:
        self._topics = topics
        self._pid = pid
        self.ref: Reference | None = None
        self.topics: list[bytes] = []

    def monitoring(self, ref: Reference, monitor: Any) -> None:
        """The watch has begun."""

    def down(self, ref: Reference, reason: Term) -> None:
        """The process has ended, or was not there."""
        self._topics.gone(self._pid)
