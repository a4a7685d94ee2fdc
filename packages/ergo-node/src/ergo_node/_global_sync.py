"""How two name servers that meet come to the same names: the protocol of `global`, without processes.

    we                                   he
    --                                   --
    nodeup                               nodeup
    init_connect          ---->  <----   init_connect        each with a tag of its own
    init_connect_ack      ---->  <----   init_connect_ack    (version 8)
        [the lockers lock both partitions, see _global_locker.py]
    exchange              ---->  <----   exchange            all names
        [conflicts are resolved, see _global_resolve.py]
    resolved              ---->  <----   resolved            what came out, and whom each knows
    new_nodes to all we know             new_nodes to all he knows
    in_sync to all he knows              in_sync to all we know

Tags tell one run of this from an earlier one with the same node, whose messages may still arrive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from logging import ERROR, INFO, WARNING
from typing import Final

from etf_codec import Atom, Pid, Term, to_text

from ergo_node._erpc import MAX_SHOWN
from ergo_node._global_effects import (
    Abandon,
    Cancel,
    Cast,
    Effect,
    Him,
    Join,
    Known,
    Leave,
    LockSet,
    Operate,
    Report,
    Resolve,
    Synced,
    Tell,
    Unknown,
)
from ergo_node._global_names import External, Operation, externals_in, operations_in
from ergo_node._global_terms import (
    IN_SYNC,
    LEAST_VERSION,
    LOCK,
    NO_PID,
    PARTITIONS_VERSION,
    UNDEFINED,
    VERIFIED_VERSION,
    VERSION,
    VSN,
    LockId,
)

INIT_CONNECT: Final = Atom("init_connect")
INIT_CONNECT_ACK: Final = Atom("init_connect_ack")
CANCEL_CONNECT: Final = Atom("cancel_connect")
EXCHANGE: Final = Atom("exchange")
RESOLVED: Final = Atom("resolved")
NEW_NODES: Final = Atom("new_nodes")
LOCKER: Final = Atom("locker")
UNUSED: Final = Atom("unused")

MAX_NODES: Final = 4096
"""Nodes known at most, so that one message cannot make us connect to any number: no mesh is that large."""


@dataclass(slots=True)
class Session:
    """A synchronisation that is under way with one node.

    Attributes:
        tag: ours; every message of it to us carries it.
        his_tag: his; every message of it to him does.
        lock: what both lockers have locked.
        locked: whether they have, while his names are still to come.
        names: his names, while the lock is not set.
        operations: what follows from his names for us, while his outcome is still to come.
        outcome: his, while ours is still to come: operations, externals, whom he knows.
    """

    tag: int
    his_tag: Term = UNDEFINED
    version: int = VERSION
    lock: LockId | None = None
    locked: bool = False
    names: Term | None = None
    operations: list[Operation] | None = None
    outcome: tuple[list[Operation], list[External], Term] | None = None


class Synchronisation:
    """Which nodes have the same names as this one, and what is under way with those that do not yet.

    What is to be done outside is put into `effects`, in the order it has to be done in.

    Args:
        own: this node.
        names: returns all names here, as nodes exchange them.
        externals: returns those of nodes without a name server.
    """

    def __init__(
        self, own: str, names: Callable[[], list[Term]], externals: Callable[[], list[Term]]
    ) -> None:
        self.own = own
        self.locker: Pid | None = None
        self.known: dict[str, int] = {}
        self.pending: dict[str, int] = {}
        self.synced: dict[str, None] = {}
        self.effects: list[Effect] = []
        self._sessions: dict[str, Session] = {}
        self._names = names
        self._externals = externals
        self._last_tag = 0

    def take_effects(self) -> list[Effect]:
        """Return, and forget, what is to be done."""
        effects, self.effects = self.effects, []
        return effects

    def is_met(self, node: str) -> bool:
        """Tell whether a node is known, or about to be."""
        return node in self.known or node in self.pending

    def version_of(self, node: str) -> int:
        """Return the protocol version of a node; 0 if that is unknown."""
        return VERSION if node == self.own else self.known.get(node, self.pending.get(node, 0))

    def known_list(self, version: int) -> list[Term]:
        """Return the known nodes as a node of some version is told of them."""
        if version < PARTITIONS_VERSION:
            return [Atom(node) for node in self.known]
        return [(Atom(node), its_version) for node, its_version in self.known.items()]

    # Meeting and losing nodes

    def node_up(self, node: str) -> None:
        """A node is connected."""
        if node in self.known or node in self._sessions:
            return
        self._last_tag += 1
        self._sessions[node] = Session(self._last_tag)
        # The third element is for releases that are gone, and nobody reads who is known here.
        locker = (LOCKER, NO_PID, self.known_list(VERSION), self.locker)
        self._cast(node, (INIT_CONNECT, (VERSION, self._last_tag), Atom(self.own), locker))

    def node_lost(self, node: str) -> None:
        """A node is not connected any more, or is to be left."""
        self._end(node)
        self.effects.append(Unknown(node))
        self.known.pop(node, None)
        self.synced.pop(node, None)

    # What its name server says

    def init_connect(self, version: Term, node: str, locker: Term) -> None:
        """He has met us too: the lockers can begin."""
        match version, locker:
            case (int() as his, his_tag, *_), (_, _, _, Pid() as pid) if his >= LEAST_VERSION:
                if pid.node == node:
                    self._begin(node, his, his_tag, pid)
                    return
        said = to_text(version, max_chars=MAX_SHOWN)
        self._report(INFO, f"Illegal global protocol version {said} Node: {node}")

    def _begin(self, node: str, version: int, his_tag: Term, locker: Pid) -> None:
        if node in self.pending:
            if version < VERIFIED_VERSION:
                self._report(
                    ERROR,
                    f"'global' at node {self.own} got an out of sync connection attempt from old version"
                    f" {version} node {node}. Disconnecting from it.",
                )
                self.effects.append(Leave(node))
                return
            self._cancel_connect(node, his_tag)
            self._restart(node)
        session = self._sessions.get(node)
        if session is None:
            # He has become known by way of others; they will tell him so as well.
            return
        session.version, session.his_tag = min(version, VERSION), his_tag
        self.effects.append(Him(node, locker, session.version, session.tag, his_tag))
        if version >= VERIFIED_VERSION:
            self._tell(node, (INIT_CONNECT_ACK, Atom(self.own), his_tag, session.tag))
        self.pending[node] = min(version, VERSION)

    def init_connect_ack(self, node: str, my_tag: Term, his_tag: Term) -> None:
        """He says which tags he goes by: both have to mean the same session."""
        session = self._sessions.get(node)
        if session is None:
            self._cancel_connect(node, his_tag)
        elif not _is_tag(my_tag, session.tag) or his_tag != session.his_tag:
            self._cancel_connect(node, his_tag)
            self._restart(node)

    def cancel_connect(self, node: str, tag: Term) -> None:
        """He has given up our session: another one."""
        if self._session(node, tag) is not None:
            self._restart(node)

    def lock_set(self, locker: Pid, is_set: bool, tag: Term) -> None:
        """His locker says whether it has locked his partition."""
        session = self._session(locker.node, tag)
        if session is not None:
            self.effects.append(LockSet(locker, is_set, session.tag))

    def exchange(self, node: str, names: Term, tag: Term) -> None:
        """These are his names. They may come before our locker is done."""
        session = self._session(node, tag)
        if session is None:
            self._cancel_stale(node, tag)
        elif session.locked:
            session.locked = False
            self.effects.append(Resolve(node, session.tag, names))
        else:
            session.names = names

    def resolved(self, node: str, operations: Term, known: Term, externals: Term, tag: Term) -> None:
        """This is what he has made of our names. It may come before we are done with his."""
        session = self._session(node, tag)
        if session is None:
            self._cancel_stale(node, tag)
            return
        session.outcome = (operations_in(operations), externals_in(externals), known)
        if session.operations is not None:
            self._finish(node, session)

    def new_nodes(self, operations: Term, externals: Term, nodes: Term, extra: Term) -> None:
        """A known node has met others, and settled with them what is called what."""
        added = self._add_to_known(_with_versions(nodes))
        self.effects.append(Join(added))
        self.effects.append(Operate(operations_in(operations), externals_in(externals), _lock_in(extra)))
        self.effects.append(Known(added))

    def in_sync(self, node: str) -> None:
        """A node that others introduced has our names."""
        self.effects.append(Synced(node))
        self.synced[node] = None
        self.pending.pop(node, None)
        self._end(node)

    # What our locker and our resolver say

    def locked(self, node: str, tag: int, lock: LockId) -> None:
        """Both partitions are locked: send our names."""
        session = self._session(node, tag)
        if session is None:
            self._cancel_stale(node, tag)
            return
        self._cast(node, (EXCHANGE, Atom(self.own), self._names(), [], session.his_tag))
        session.lock = lock
        if session.names is None:
            session.locked = True
        else:
            names, session.names = session.names, None
            self.effects.append(Resolve(node, session.tag, names))

    def settled(self, node: str, tag: int, ours: list[Operation], his: list[Operation]) -> None:
        """His names have been compared with ours: operations for our partition and for his."""
        session = self._session(node, tag)
        if session is None:
            self._cancel_stale(node, tag)
            return
        known = self.known_list(self.version_of(node))
        self._cast(node, (RESOLVED, Atom(self.own), his, known, UNUSED, self._externals(), session.his_tag))
        session.operations = ours
        if session.outcome is not None:
            self._finish(node, session)

    def _finish(self, node: str, session: Session) -> None:
        """Both know what came out: the partitions become one."""
        assert session.operations is not None
        assert session.outcome is not None
        his_operations, externals, his_known = session.outcome
        operations = [*session.operations, *his_operations]
        others = {name: version for name, version in _with_versions(his_known) if name != self.own}
        self.effects.append(Join(tuple(others)))
        self.effects.append(Operate(operations, externals, session.lock))
        self.effects.append(Synced(node))
        for other in others:
            self.pending.pop(other, None)
            self._end(other)
        introduced = {node: self.version_of(node), **others}
        nodes = [(name, version or self.version_of(name)) for name, version in introduced.items()]
        extra: list[Term] = [(VSN, session.version), (LOCK, session.lock)]
        casts = []
        for known, version in self.known.items():
            shown: list[Term] = [Atom(name) for name, _ in nodes]
            if version >= PARTITIONS_VERSION:
                shown = [(Atom(name), its_version) for name, its_version in nodes]
            message = (NEW_NODES, Atom(self.own), [*operations], [*externals], shown, extra)
            casts.append(Cast(known, message))
        self.pending.pop(node, None)
        # The locker sends them: then they arrive before it unlocks.
        self._end(node, tuple(casts))
        self.effects.append(Known(self._add_to_known(nodes)))
        self.synced[node] = None

    # Parts of these

    def _session(self, node: str, tag: Term) -> Session | None:
        session = self._sessions.get(node)
        return session if session is not None and _is_tag(tag, session.tag) else None

    def _end(self, node: str, casts: tuple[Cast, ...] = ()) -> None:
        session = self._sessions.pop(node, None)
        if session is not None:
            self.effects.append(Cancel(node, session.tag, casts))
            if self.pending.get(node, 0) >= VERIFIED_VERSION:
                self._cancel_connect(node, session.his_tag)
            self.effects.append(Abandon(node, session.tag))
        self.pending.pop(node, None)

    def _restart(self, node: str) -> None:
        if node in self._sessions:
            self._end(node)
            self.node_up(node)

    def _cancel_stale(self, node: str, tag: Term) -> None:
        # A message of an earlier session: the locker may still hold the lock for that.
        if type(tag) is int:
            self.effects.append(Cancel(node, tag))

    def _cancel_connect(self, node: str, his_tag: Term) -> None:
        self._tell(node, (CANCEL_CONNECT, Atom(self.own), his_tag))

    def _add_to_known(self, nodes: list[tuple[str, int]]) -> tuple[str, ...]:
        added = []
        for node, version in nodes:
            if node == self.own or node in self.known:
                continue
            if len(self.known) >= MAX_NODES:
                self._report(WARNING, f"'global' at node {self.own} knows {MAX_NODES} nodes: no more")
                break
            self.known[node] = version
            added.append(node)
        return tuple(added)

    def _cast(self, node: str, message: Term) -> None:
        self.effects.append(Cast(node, message))

    def _tell(self, node: str, message: Term) -> None:
        self.effects.append(Tell(node, message))

    def _report(self, level: int, text: str) -> None:
        self.effects.append(Report(level, text))


def in_sync_message(own: str) -> Term:
    """Return what a node is told that we have become known to by way of others."""
    return (IN_SYNC, Atom(own), True)


def _is_tag(term: Term, tag: int) -> bool:
    return type(term) is int and term == tag


def _with_versions(nodes: Term) -> list[tuple[str, int]]:
    """Return the nodes in `[Node]` or `[{Node, Version}]`, with version 0 where it is not said."""
    found: list[tuple[str, int]] = []
    for node in nodes if isinstance(nodes, list) else []:
        match node:
            case Atom():
                found.append((str(node), 0))
            case (Atom() as name, int() as version):
                found.append((str(name), version))
    return found[: MAX_NODES + 1]


def _lock_in(extra: Term) -> LockId | None:
    """Return the lock in `[{vsn, V}, {lock, Id}]`."""
    for each in extra if isinstance(extra, list) else []:
        match each:
            case (Atom("lock"), (resource, requester)):
                return (resource, requester)
    return None
