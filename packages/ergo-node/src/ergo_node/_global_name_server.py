"""`global_name_server`: the process on every node that keeps the global names and locks.

The shell of three things without processes: the tables (`_global_names.py`, `_global_locks.py`), the
synchronisation with nodes that are met (`_global_sync.py`), and the prevention of overlapping partitions
(`_global_partitions.py`). It never waits; what has to is done by processes of its own: the locker, the
registrar, and one each to resolve names and to join a node.

Follows `global.erl` of KERNEL.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from secrets import randbits
from time import monotonic
from typing import Any, Final, Protocol

from etf_codec import Atom, Pid, Term
from otp_behaviors import KILL, NO_REPLY, Caller, Down, Exit, GenServer, RemoteName, Stop

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
from ergo_node._global_join import Host as JoinHost
from ergo_node._global_join import NotReached, join, leave, reach
from ergo_node._global_lock_calls import pause_after
from ergo_node._global_locker import BothLocked, run_locker
from ergo_node._global_names import operate
from ergo_node._global_partitions import REMOVE_CONNECTION, Partitions
from ergo_node._global_registrar import Change, Order, run_registrar
from ergo_node._global_resolve import Host as ResolverHost
from ergo_node._global_resolve import Settled, resolve, shown
from ergo_node._global_sync import Synchronisation
from ergo_node._global_tables import Tables
from ergo_node._global_terms import (
    GLOBAL,
    NAME,
    PARTITIONS_VERSION,
    UNDEFINED,
    VERSION,
    node_names,
)
from ergo_node._policy import Policy

logger: Final = logging.getLogger("ergo_node")

OK: Final = Atom("ok")
YES: Final = Atom("yes")

WHEREIS_TRIES: Final = 5
"""As many failed tries a `whereis` waits as if it had made while `global` is locked; OTP's."""


class Host(ResolverHost, JoinHost, Protocol):
    """The node, as its name server sees it."""

    def nodes(self) -> list[str]:
        """Return the connected nodes that are not hidden."""

    def subscribe(self, pid: Pid) -> None:
        """Send a process `{nodeup, Node}` and `{nodedown, Node}`."""


@dataclass(slots=True)
class Syncer:
    """Who waits for `global:sync`, and for which nodes."""

    caller: Caller
    nodes: set[str]


class GlobalNameServer(GenServer):
    """Keeps the global names and locks of this node, the same names as on all other nodes."""

    def init(self, host: Host, tables: Tables, policy: Policy) -> None:
        """`host` is the node; `policy` says whether it connects to all, and leaves overlapping partitions."""
        self.trap_exit = True
        self.host = host
        self.tables = tables
        self.connect_all = policy.connect_all
        prevented = policy.connect_all and policy.prevent_overlapping_partitions
        tables.open(self.monitor, lambda ref: self.demonitor(ref, flush=True))
        own = host.name
        self.partitions = Partitions(own, randbits(27), self.pid.creation, prevented)
        self.sync = Synchronisation(own, tables.names.entries, tables.names.externals)
        self.locker = self.spawn(run_locker, self.pid, own, tables.locks, link=True)
        self.registrar = self.spawn(run_registrar, self.pid, own, tables.locks, link=True)
        self.sync.locker = self.locker
        self.resolvers: dict[str, tuple[int, Pid]] = {}
        self.syncers: list[Syncer] = []
        host.subscribe(self.pid)
        for node in host.nodes():
            # An earlier name server was killed, and its names with it: they come back with the nodes.
            self.spawn(leave, host, node)

    def terminate(self, reason: Any) -> None:
        """Nobody has a name here any more."""
        self.tables.clear()

    # Calls

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Answer name servers, registrars and lockers of all nodes, and programs of this one."""
        sender: Any = caller  # of whatever shape a peer has sent
        match sender:
            case (Pid() as pid, _):
                reply = self._answer(request, pid, caller)
            case _:
                reply = None
        if reply is None:
            logger.warning("global_name_server: unexpected call %s", shown(request))
            return NO_REPLY
        return reply

    def _answer(self, request: Any, pid: Pid, caller: Caller) -> Any:
        names, locks = self.tables.names, self.tables.locks
        match request:
            case Change():
                self.send(self.registrar, Order(request, caller))
                return NO_REPLY
            case (Atom("set_lock"), (resource, requester)):
                return locks.set((resource, requester), pid)
            case (Atom("del_lock"), (resource, requester)):
                locks.delete((resource, requester), pid)
                return True
            case (Atom("register"), name, Pid() as named, method):
                return self._register(name, named, method, None, pid)
            case (Atom("register_ext"), name, Pid() as named, method, Atom() as via):
                return self._register(name, named, method, via, pid)
            case (Atom("unregister"), name):
                names.delete(name)
                return OK
            case Atom("get_known"):
                return self.sync.known_list(0)
            case Atom("get_synced"):
                return [Atom(node) for node in self.sync.synced]
            case (Atom("sync"), nodes) if node_names(nodes) is not None:
                return self._sync(node_names(nodes) or [], caller)
            case Atom("get_protocol_version"):
                return VERSION
            case Atom("get_names_ext"):
                return names.externals()
        return None

    def _register(self, name: Term, pid: Pid, method: Term, via: Atom | None, registrar: Pid) -> Term:
        names = self.tables.names
        names.insert(name, pid, method, via)
        if not self.tables.locks.still_set(registrar):
            # Who had the lock was lost, and has come back: this was too late.
            names.delete(name)
        return YES

    def _sync(self, nodes: list[str], caller: Caller) -> Any:
        missing = {node for node in nodes if node != self.host.name and node not in self.sync.synced}
        if not missing:
            return OK
        self.syncers.append(Syncer(caller, missing))
        for node in missing.difference(self.host.nodes()):
            self.spawn(reach, self.pid, self.host, node)
        return NO_REPLY

    # Casts: the protocol between name servers

    def handle_cast(self, message: Any) -> None:
        """Take what name servers that we meet have to say; see `_global_sync.py`."""
        sync = self.sync
        match message:
            case (Atom("init_connect"), version, Atom() as node, locker):
                sync.init_connect(version, str(node), locker)
            case (Atom("lock_set"), Pid() as locker, bool() as is_set, _, tag):
                sync.lock_set(locker, is_set, tag)
            case (Atom("lock_set"), Pid() as locker, bool() as is_set, _):
                self.send(self.locker, LockSet(locker, is_set, None))
            case (Atom("exchange"), Atom() as node, names, _, tag):
                sync.exchange(str(node), names, tag)
            case (Atom("resolved"), Atom() as node, operations, known, _, externals, tag):
                sync.resolved(str(node), operations, known, externals, tag)
            case (Atom("new_nodes"), Atom(), operations, externals, nodes, extra):
                sync.new_nodes(operations, externals, nodes, extra)
            case (Atom("in_sync"), Atom() as node, _):
                sync.in_sync(str(node))
            case (Atom("async_del_name" | "async_del_lock"), _, _):
                pass  # Of releases before R14; the monitors of names and locks do it.
            case _:
                logger.warning("global_name_server: unexpected cast %s", shown(message))
        self._carry_out()

    # Other messages

    def handle_info(self, message: Any) -> None:
        """Take what happens to nodes and processes, and what our own processes have done."""
        match message:
            case Down(ref, _, _):
                if not self.tables.names.down(ref):
                    self.tables.locks.down(ref)
            case Exit(pid, reason):
                self._exited(pid, reason)
            case BothLocked():
                self.sync.locked(message.node, message.tag, message.lock)
            case Settled():
                self.sync.settled(message.node, message.tag, message.ours, message.his)
            case NotReached(node, known):
                self._not_reached(node, known)
            case _ if not self._from_others(message):
                logger.warning("global_name_server: unexpected message %s", shown(message))
        self._carry_out()

    def _from_others(self, message: Any) -> bool:
        match message:
            case (Atom("nodeup"), Atom() as node):
                if self.connect_all:
                    self.sync.node_up(str(node))
            case (Atom("nodedown"), Atom() as node):
                self._node_down(str(node))
            case (Atom("whereis"), name, (Pid(), _) as caller):
                self._whereis(name, caller)
            case (Atom("init_connect_ack"), Atom() as node, my_tag, his_tag):
                self.sync.init_connect_ack(str(node), my_tag, his_tag)
            case (Atom("cancel_connect"), Atom() as node, tag):
                self.sync.cancel_connect(str(node), tag)
            case (Atom("lost_connection"), Atom() as a, int() as run, int() as number, Atom() as b):
                self._lost_connection(message, str(a), str(b), run, number)
            case (Atom("remove_connection"), Atom() as node):
                if self.sync.is_met(str(node)):
                    self.sync.effects.append(Leave(str(node)))
                    self._leave_cluster_of(str(node), "disconnected")
            case _:
                return False
        return True

    def _exited(self, pid: Pid, reason: Term) -> None:
        if pid in (self.locker, self.registrar):
            # Without either no name would ever change again.
            raise Stop((Atom("locker_died" if pid == self.locker else "registrar_died"), reason))

    def _whereis(self, name: Term, caller: Caller) -> None:
        if GLOBAL in self.tables.locks:
            chance = randbits(16) / 2**16
            self.send_after(pause_after(WHEREIS_TRIES, chance), self.pid, (Atom("whereis"), name, caller))
            return
        entry = self.tables.names.find(name)
        self.reply(caller, UNDEFINED if entry is None else entry.pid)

    # Nodes that are lost, and those to leave for that

    def _node_down(self, node: str) -> None:
        report = self.partitions.lost(node)
        if report is not None:
            self._tell_all_but(node, report)
        self._forget(node)

    def _forget(self, node: str) -> None:
        self.sync.node_lost(node)
        self._no_more_to_wait_for(node)

    def _not_reached(self, node: str, known: bool) -> None:
        if known:
            self._node_down(node)
        else:
            self._no_more_to_wait_for(node)

    def _lost_connection(self, message: Term, reporter: str, lost: str, run: int, number: int) -> None:
        leave = self.partitions.reported(reporter, lost, run, number, monotonic())
        if leave is None:
            return
        self._tell_all_but(reporter, message)
        if not self.sync.is_met(leave):
            return
        if self.sync.version_of(leave) < PARTITIONS_VERSION:
            self.sync.effects.append(Leave(leave))
            self._leave_cluster_of(leave, "disconnected old")
        else:
            # He is to close the connection: so he knows that it was no fault of the network.
            self.sync.effects.append(Tell(leave, (REMOVE_CONNECTION, Atom(self.host.name))))
            self._leave_cluster_of(leave, "requested disconnect from")

    def _leave_cluster_of(self, node: str, what: str) -> None:
        own = self.host.name
        logger.warning(
            "'global' at node %s %s node %s in order to prevent overlapping partitions", own, what, node
        )
        self.partitions.leave(node)
        self._forget(node)

    def _tell_all_but(self, node: str, message: Term) -> None:
        for other, version in {**self.sync.pending, **self.sync.known}.items():
            if other != node and version >= PARTITIONS_VERSION:
                self.sync.effects.append(Tell(other, message))

    # What the synchronisation has done

    def _carry_out(self) -> None:
        while effects := self.sync.take_effects():
            for effect in effects:
                CARRY_OUT[type(effect)](self, effect)

    def _cast_to(self, effect: Cast) -> None:
        self.cast(RemoteName(NAME, effect.node), effect.message)

    def _tell(self, effect: Tell) -> None:
        if effect.node in self.host.nodes():
            self.send(RemoteName(NAME, effect.node), effect.message)

    def _to_locker(self, effect: Him | Cancel | LockSet | Known | Unknown) -> None:
        self.send(self.locker, effect)

    def _resolve(self, effect: Resolve) -> None:
        names = self.tables.names
        pid = self.spawn(resolve, self.pid, self.host, names, effect.node, effect.tag, effect.names)
        self.resolvers[effect.node] = (effect.tag, pid)

    def _abandon(self, effect: Abandon) -> None:
        tag, pid = self.resolvers.get(effect.node, (None, self.pid))
        if tag == effect.tag:
            del self.resolvers[effect.node]
            self.exit(pid, KILL)

    def _operate(self, effect: Operate) -> None:
        names = operate(self.tables.names, effect.operations, effect.externals)
        if not self.tables.locks.still_set_by(effect.lock):
            # As for `register`: who had the lock was lost meanwhile.
            for name in names:
                self.tables.names.delete(name)

    def _join(self, effect: Join) -> None:
        for node in effect.nodes:
            self.spawn(join, self.pid, self.host, node)

    def _leave(self, effect: Leave) -> None:
        self.spawn(leave, self.host, effect.node)

    def _synced(self, effect: Synced) -> None:
        self._no_more_to_wait_for(effect.node)

    def _no_more_to_wait_for(self, node: str) -> None:
        for syncer in self.syncers:
            syncer.nodes.discard(node)
            if not syncer.nodes:
                self.reply(syncer.caller, OK)
        self.syncers = [syncer for syncer in self.syncers if syncer.nodes]

    def _report(self, effect: Report) -> None:
        logger.log(effect.level, "%s", effect.text)


CARRY_OUT: Final[dict[type[Effect], Callable[[GlobalNameServer, Any], None]]] = {
    Cast: GlobalNameServer._cast_to,
    Tell: GlobalNameServer._tell,
    Him: GlobalNameServer._to_locker,
    Cancel: GlobalNameServer._to_locker,
    LockSet: GlobalNameServer._to_locker,
    Known: GlobalNameServer._to_locker,
    Unknown: GlobalNameServer._to_locker,
    Resolve: GlobalNameServer._resolve,
    Abandon: GlobalNameServer._abandon,
    Operate: GlobalNameServer._operate,
    Join: GlobalNameServer._join,
    Leave: GlobalNameServer._leave,
    Synced: GlobalNameServer._synced,
    Report: GlobalNameServer._report,
}
