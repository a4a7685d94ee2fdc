"""The protocol between the scopes of `pg`: who is in which group, as all nodes of the overlay tell it.

    here                                  the same scope on another node
    ----                                  ------------------------------
    node is up        {discover, Pid}  -->  monitors us
                      <--  {sync, Pid, [{Group, Pids}]}     a cast: all its members
                      <--  {discover, Pid}                  unless it knew us
    monitor it             {sync, …}   -->
    join, leave            {join, Pid, Group, Pids}, {leave, Pid, Pids, [Group]}  -->  from now on

That is version 0, which all releases speak. OTP 29 asks for version 1 by `{discover, Pid, 1}`: then the whole
is the cast `{local_data, Pid, 1, #{Group => Pids}}`, and a change `{update, Pid, [{Group, Joined, Left}]}`.

Releases before 29 crash by what they do not know: a `leave` of a group they do not know us in, an update, or,
before 26, a `discover` with a version. So a peer is told of changes only after it was told the whole, and
offered a version only if it offered one itself.

Pure: what is to be done comes out as effects, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from etf_codec import Atom, EncodeError, FrozenMap, Pid, Term
from otp_behaviors import RemoteName

from ergo_node._pg_effects import Cast, Change, Effect, Tell, Unwatch, Watch
from ergo_node._pg_groups import Groups, Key, as_received, groups_of, key_of, pids_of

DISCOVER: Final = Atom("discover")
SYNC: Final = Atom("sync")
LOCAL_DATA: Final = Atom("local_data")
JOIN: Final = Atom("join")
LEAVE: Final = Atom("leave")
UPDATE: Final = Atom("update")

VERSION: Final = 1
"""The highest version of the protocol we speak, that of OTP 29."""


class Peer:
    """What is known of the same scope on another node."""

    __slots__ = ("groups", "told", "version")

    def __init__(self) -> None:
        self.version = 0
        self.told = False  # whether it was told all our members, and so can be told changes
        self.groups = Groups()


class Overlay:
    """One scope's view of all groups, and its part in the protocol.

    Args:
        me: the scope's process.
        scope: the name it is registered under, here and on other nodes.
        reachable: whether a node is connected: nothing a peer sends makes us connect to a third node.
        none: the atom that None stands for in groups.
    """

    def __init__(
        self, me: Pid, scope: str, reachable: Callable[[str], bool], none: Atom | None = None
    ) -> None:
        self._me = me
        self._scope = scope
        self._reachable = reachable
        self._none = none
        self.groups = Groups()
        self.local = Groups()
        self.peers: dict[Pid, Peer] = {}
        self._joined: dict[Pid, list[Key]] = {}
        self._effects: list[Effect] = []

    def effects(self) -> list[Effect]:
        """Return, and forget, what is to be done."""
        effects, self._effects = self._effects, []
        return effects

    # Processes of this node

    def join(self, group: Term, pids: list[Pid]) -> None:
        """Let processes of this node join a group.

        Raises:
            EncodeError: the group has no external form, or is nested too deep.
        """
        key = key_of(group, self._none)
        if not pids:
            return
        group = as_received(key, self._none)
        for pid in pids:
            if pid not in self._joined:
                self._joined[pid] = []
                self._effects.append(Watch(pid))
            self._joined[pid].append(key)
        self.local.add(key, group, pids)
        self._add(key, group, pids)
        self._publish([(JOIN, self._me, group, pids)], [(group, pids, [])])

    def leave(self, group: Term, pids: list[Pid]) -> bool:
        """Let processes of this node leave a group; False if none of them is in it.

        Raises:
            EncodeError: the group has no external form, or is nested too deep.
        """
        key = key_of(group, self._none)
        left = self.local.remove(key, pids)
        if not left:
            return False
        for pid in left:
            joined = self._joined[pid]
            joined.remove(key)
            if not joined:
                del self._joined[pid]
                self._effects.append(Unwatch(pid))
        group = self.groups.group(key)
        self._remove(key, left)
        self._publish([(LEAVE, self._me, left, [group])], [(group, [], left)])
        return True

    def gone(self, pid: Pid) -> None:
        """A process that was watched has ended: one of this node, or the scope of another one."""
        peer = self.peers.pop(pid, None)
        if peer is not None:
            for key in list(peer.groups):
                self._remove(key, peer.groups.members(key))
            return
        keys = self._joined.pop(pid, None)
        if keys is None:
            return
        groups = [self.groups.group(key) for key in keys]
        for key in keys:
            self.local.remove(key, [pid])
            self._remove(key, [pid])
        self._publish([(LEAVE, self._me, pid, groups)], [(group, [], [pid]) for group in groups])

    # Other nodes

    def node_up(self, node: str) -> None:
        """A node is connected: ask whether it has this scope. One that takes a version will say so."""
        self._effects.append(Tell(RemoteName(self._scope, node), (DISCOVER, self._me)))

    def receive(self, message: Term) -> bool:
        """Take a message of the protocol; False, and nothing has happened, if it is none."""
        return self._receive(MESSAGES, message)

    def receive_cast(self, message: Term) -> bool:
        """Take a cast of the protocol; False, and nothing has happened, if it is none."""
        return self._receive(CASTS, message)

    def _receive(self, table: dict[tuple[Term, int], Handler], message: Term) -> bool:
        if not isinstance(message, tuple) or len(message) < 2 or not isinstance(message[0], Atom):
            return False
        handler = table.get((message[0], len(message)))
        peer = message[1]
        if handler is None or not isinstance(peer, Pid) or peer.node == self._me.node:
            return False
        return handler(self, *message[1:])

    def _discover(self, pid: Pid, version: Term = 0) -> bool:
        if not self._reachable(pid.node):
            return True
        known = pid in self.peers
        peer = self._peer(pid, version)
        peer.told = True
        if peer.version:
            whole = FrozenMap(self.local.entries())
            self._effects.append(Cast(pid, (LOCAL_DATA, self._me, VERSION, whole)))
        else:
            self._effects.append(Cast(pid, (SYNC, self._me, self.local.entries())))
        if not known:
            back = (DISCOVER, self._me, VERSION) if peer.version else (DISCOVER, self._me)
            self._effects.append(Tell(pid, back))
        return True

    def _sync(self, pid: Pid, entries: Term) -> bool:
        groups = groups_of(entries, self._none) if isinstance(entries, list) else None
        return self._replace(pid, 0, groups)

    def _local_data(self, pid: Pid, version: Term, data: Term) -> bool:
        groups = None
        if isinstance(data, dict | FrozenMap):
            groups = groups_of(data.items(), self._none, frozen=True)
        return self._replace(pid, version, groups)

    def _replace(self, pid: Pid, version: Term, groups: Groups | None) -> bool:
        """All that was known of a peer is replaced by what it says now; only differences are changes."""
        if groups is None:
            return False
        if not self._reachable(pid.node):
            return True
        peer = self._peer(pid, version)
        before, peer.groups = peer.groups, groups
        for key in [*before, *(key for key in groups if key not in before)]:
            old, new = before.count(key), groups.count(key)
            left, joined = list((old - new).elements()), list((new - old).elements())
            if joined:
                self._add(key, groups.group(key), joined)
            if left:
                self._remove(key, left)
        return True

    def _join(self, pid: Pid, group: Term, pids: Term) -> bool:
        joined = pids_of(pids)
        return joined is not None and self._changed(pid, [(group, joined, [])])

    def _leave(self, pid: Pid, pids: Term, groups: Term) -> bool:
        left = pids_of(pids)
        if left is None or not isinstance(groups, list):
            return False
        return self._changed(pid, [(group, [], left) for group in groups])

    def _update(self, pid: Pid, changes: Term) -> bool:
        read = []
        for change in changes if isinstance(changes, list) else (None,):
            if not isinstance(change, tuple) or len(change) != 3:
                return False
            joined, left = pids_of(change[1]), pids_of(change[2])
            if joined is None or left is None:
                return False
            read.append((change[0], joined, left))
        return self._changed(pid, read)

    def _changed(self, pid: Pid, changes: list[tuple[Term, list[Pid], list[Pid]]]) -> bool:
        """Processes have joined and left groups, says a peer; False if one of them can be no group."""
        try:
            keys = [key_of(group, self._none) for group, _, _ in changes]
        except EncodeError:
            return False
        # One that is not known (any more) sent this before it discovers us: then it will say it again.
        peer = self.peers.get(pid)
        if peer is None:
            return True
        for key, (group, joined, left) in zip(keys, changes, strict=True):
            # OTP 29 sends a leave of nobody with each join, and a join of nobody with each leave.
            if joined:
                peer.groups.add(key, group, joined)
                self._add(key, group, joined)
            gone = peer.groups.remove(key, left)
            if gone:
                self._remove(key, gone)
        return True

    def _peer(self, pid: Pid, version: Term) -> Peer:
        """Return a peer, from now on watched if it was not known, and the version it takes."""
        peer = self.peers.get(pid)
        if peer is None:
            peer = self.peers[pid] = Peer()
            self._effects.append(Watch(pid))
        if type(version) is int and version > peer.version:
            peer.version = min(version, VERSION)
        return peer

    # Both

    def _add(self, key: Key, group: Term, pids: list[Pid]) -> None:
        self.groups.add(key, group, pids)
        self._effects.append(Change(JOIN, group, pids, key))

    def _remove(self, key: Key, pids: list[Pid]) -> None:
        group = self.groups.group(key)
        self._effects.append(Change(LEAVE, group, self.groups.remove(key, pids), key))

    def _publish(self, messages: Iterable[Term], changes: Term) -> None:
        update = (UPDATE, self._me, changes)
        for pid, peer in self.peers.items():
            if peer.told:
                told = (update,) if peer.version else messages
                self._effects.extend(Tell(pid, message) for message in told)


Handler: TypeAlias = Callable[..., bool]

MESSAGES: Final[dict[tuple[Term, int], Handler]] = {
    (DISCOVER, 2): Overlay._discover,
    (DISCOVER, 3): Overlay._discover,
    (JOIN, 4): Overlay._join,
    (LEAVE, 4): Overlay._leave,
    (UPDATE, 3): Overlay._update,
}
CASTS: Final[dict[tuple[Term, int], Handler]] = {
    (SYNC, 3): Overlay._sync,
    (LOCAL_DATA, 4): Overlay._local_data,
}
