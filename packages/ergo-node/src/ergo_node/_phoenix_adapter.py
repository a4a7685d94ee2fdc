"""The processes of a `PubSub` that other nodes know: a member of the group of `Phoenix.PubSub.PG2` each."""

from __future__ import annotations

from typing import Any, Final, Protocol

from etf_codec import Atom, Reference, Term
from otp_behaviors import Caller, Down, GenServer, NameTaken

from ergo_node._pg import Pg
from ergo_node._phoenix_topics import Topics

SCOPE: Final = "Elixir.Phoenix.PubSub"
"""The scope of `pg` in which all nodes with a Phoenix.PubSub find each other."""

FORWARD: Final = Atom("forward_to_local")
REJOIN: Final = Atom("rejoin")
REJOIN_AFTER: Final = 0.05
"""Seconds until the scope is looked for again when it has ended: its supervisor starts it anew."""


class Forwarder(Protocol):
    """What gets the messages."""

    def forwarded(self, topic: bytes, message: Term) -> None:
        """Another node has broadcast a message."""


class Adapter(GenServer):
    """Takes `{forward_to_local, Topic, Message, Dispatcher}` of other nodes.

    The dispatcher is a module of Elixir that would choose among the subscribers there. Here it is neither
    looked up nor called, whatever it is: all subscribers of the topic get the message.
    """

    async def init(self, pg: Pg, forwarder: Forwarder, group: str) -> None:
        """Join the group that has the name of this process."""
        self.pg = pg
        self.forwarder = forwarder
        self.group = Atom(group)
        self.joined: Reference | None = None  # the monitor of the scope, while a member
        if not pg.scope(SCOPE).running:
            try:
                await pg.start(SCOPE)
            except NameTaken:
                pass  # another PubSub of this node was faster, or it is about to be started again
        self._join()

    def handle_call(self, request: Any, caller: Caller) -> Term:
        """Nothing is asked of it by calls."""
        return (Atom("error"), Atom("bad_request"))

    def handle_cast(self, message: Any) -> None:
        """Nothing is asked of it by casts."""

    def handle_info(self, message: Any) -> None:
        """Messages for topics; any others are ignored, as in Phoenix."""
        match message:
            case (Atom("forward_to_local"), bytes() as topic, text, Atom()):
                self.forwarder.forwarded(topic, text)
            case Down(ref, _, _) if ref == self.joined:
                self.joined = None
                self._join()
            case Atom("rejoin"):
                self._join()

    def _join(self) -> None:
        if self.joined is not None:
            return  # a member twice would get all twice
        scope = self.pg.scope(SCOPE)
        running = self.whereis(SCOPE)
        if running is None or not scope.running:
            self.send_after(REJOIN_AFTER, self.pid, REJOIN)
        else:
            self.joined = self.monitor(running)
            scope.join(self.group, self.pid)


class TopicsServer(GenServer):
    """Lives as long as the subscriptions: when it ends, they do."""

    def init(self, topics: Topics) -> None:
        """Begin without any."""
        self.trap_exit = True
        self.topics = topics
        topics.clear()
        topics.running = True

    def handle_call(self, request: Any, caller: Caller) -> Term:
        """Nothing is asked of it by calls."""
        return (Atom("error"), Atom("bad_request"))

    def handle_cast(self, message: Any) -> None:
        """Nothing is asked of it by casts."""

    def handle_info(self, message: Any) -> None:
        """Nothing is asked of it by messages, and no exit signal but its supervisor's ends it."""

    def terminate(self, reason: Any) -> None:
        """End the subscriptions of tasks."""
        self.topics.running = False
        self.topics.clear()
