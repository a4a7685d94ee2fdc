"""The process of a scope: a GenServer around its `Overlay`, registered under the scope's name.

`pg` of KERNEL, whose requests it answers in the same shapes: `pg:monitor_scope({Scope, Node})` works from
afar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from etf_codec import Atom, EncodeError, FrozenMap, Pid, Reference, Term
from otp_behaviors import Caller, Down, GenServer

from ergo_node._pg_effects import Cast, Change, Tell, Unwatch, Watch
from ergo_node._pg_groups import key_of, pids_of
from ergo_node._pg_monitors import GroupMonitors
from ergo_node._pg_overlay import Overlay

OK: Final = Atom("ok")
ERROR: Final = Atom("error")
BADARG: Final = Atom("badarg")
NOLOCAL: Final = Atom("nolocal")
NOT_JOINED: Final = Atom("not_joined")
NODEUP: Final = Atom("nodeup")
NODEDOWN: Final = Atom("nodedown")


class Host(Protocol):
    """The node, as a scope sees it."""

    def nodes(self, kind: Any = "visible") -> list[str]:
        """Return the connected nodes."""

    def subscribe(self, pid: Pid) -> None:
        """Tell a process of visible nodes coming and going."""


class ScopeServer(GenServer):
    """Keeps one scope, and answers `pg` of other nodes.

    Its callbacks never wait, so the program may use its methods in place of requests, as OTP's programs
    read the table of a scope: between two callbacks it is always whole.
    """

    def init(
        self, host: Host, scope: str, none: Atom | None, started: Callable[[str, ScopeServer], None]
    ) -> None:
        """`host` knows of nodes, `started` is told of this server; `none` is the atom for None."""
        self.host = host
        self.none = none
        self.monitors = GroupMonitors()
        self.watched: dict[Pid, Reference] = {}
        self.overlay = Overlay(self.pid, scope, lambda node: node in host.nodes("all"), none)
        # Hidden nodes are not asked, but answered, as in OTP.
        host.subscribe(self.pid)
        for node in host.nodes():
            self.overlay.node_up(node)
        self._carry_out()
        started(scope, self)

    # What the program asks

    def join(self, group: Term, pids: list[Pid]) -> None:
        """Let processes of this node join a group."""
        self.overlay.join(group, pids)
        self._carry_out()

    def leave(self, group: Term, pids: list[Pid]) -> bool:
        """Let processes of this node leave a group; False if none of them is in it."""
        left = self.overlay.leave(group, pids)
        self._carry_out()
        return left

    def watch_scope(self, pid: Pid) -> tuple[Reference, FrozenMap]:
        """Tell a process of all changes; return the groups as they are."""
        ref = self.monitor(pid)
        self.monitors.add(ref, pid, None)
        return ref, FrozenMap(self.overlay.groups.entries())

    def watch_group(self, group: Term, pid: Pid) -> tuple[Reference, list[Pid]]:
        """Tell a process of the changes of a group; return its members."""
        key = key_of(group, self.none)
        ref = self.monitor(pid)
        self.monitors.add(ref, pid, key)
        return ref, self.overlay.groups.members(key)

    def unwatch(self, ref: Reference) -> Pid | None:
        """Tell a process no longer; return it, None if there is no such monitor."""
        pid = self.monitors.remove(ref)
        if pid is not None:
            self.demonitor(ref)
        return pid

    # What other processes ask, and other nodes say

    def handle_call(self, request: Any, caller: Caller) -> Term:
        """The requests of OTP 25's `pg` functions, and of those of OTP 29."""
        try:
            match request:
                case (Atom("join_local"), group, pids):
                    return self._changed(group, pids, [])
                case (Atom("leave_local"), group, pids):
                    return self._changed(group, [], pids)
                case (Atom("update"), [(group, joined, left)]):
                    return self._changed(group, joined, left)
                case Atom("monitor") | (Atom("subscribe"), Atom("scope")):
                    return self.watch_scope(caller[0])
                case (Atom("monitor"), group) | (Atom("subscribe"), (Atom("group"), group)):
                    return self.watch_group(group, caller[0])
                case (Atom("demonitor"), Reference() as ref):
                    return OK if self.unwatch(ref) else False
                case (Atom("unsubscribe"), Reference() as ref):
                    self.unwatch(ref)
                    return OK
        except EncodeError:
            pass
        # OTP's server ends by this, and with it the memberships of its node.
        return (ERROR, BADARG)

    def handle_cast(self, message: Any) -> None:
        """All that another node's scope has to say."""
        if not self.overlay.receive_cast(message):
            super().handle_info(message)
        self._carry_out()

    def handle_info(self, message: Any) -> None:
        """Ends of processes, nodes coming, and what another node's scope has to say."""
        match message:
            case Down(ref, Pid() as pid, _):
                if self.monitors.remove(ref) is None and self.watched.get(pid) == ref:
                    del self.watched[pid]
                    self.overlay.gone(pid)
            case (Atom("nodeup"), Atom(node)):
                self.overlay.node_up(node)
            case (Atom("nodedown"), Atom()):
                pass  # the monitors of what was there tell it
            case _:
                if not self.overlay.receive(message):
                    super().handle_info(message)
        self._carry_out()

    def _changed(self, group: Term, joined: Term, left: Term) -> Term:
        joining, leaving = pids_of(joined), pids_of(left)
        if joining is None or leaving is None:
            return (ERROR, BADARG)
        for pid in joining:
            if pid.node != self.pid.node:
                return (ERROR, (NOLOCAL, pid))
        if joining:
            self.join(group, joining)
        return OK if not leaving or self.leave(group, leaving) else NOT_JOINED

    # Effects of the overlay

    def _carry_out(self) -> None:
        effects = self.overlay.effects()
        if effects:
            near = {self.pid.node, *self.host.nodes("all")}
            for effect in effects:
                CARRY_OUT[type(effect)](self, effect, near)

    def _tell(self, effect: Tell, near: set[str]) -> None:
        if effect.to.node in near:
            self.send(effect.to, effect.message)

    def _cast(self, effect: Cast, near: set[str]) -> None:
        if effect.to.node in near:
            self.cast(effect.to, effect.message)

    def _watch(self, effect: Watch, near: set[str]) -> None:
        self.watched[effect.pid] = self.monitor(effect.pid)

    def _unwatch(self, effect: Unwatch, near: set[str]) -> None:
        ref = self.watched.pop(effect.pid, None)
        if ref is not None:
            self.demonitor(ref)

    def _notify(self, effect: Change, near: set[str]) -> None:
        for ref, pid in self.monitors.of(effect.key):
            if pid.node in near:
                self.send(pid, (ref, effect.action, effect.group, effect.pids))


CARRY_OUT: Final[dict[type, Callable[[ScopeServer, Any, set[str]], None]]] = {
    Tell: ScopeServer._tell,
    Cast: ScopeServer._cast,
    Watch: ScopeServer._watch,
    Unwatch: ScopeServer._unwatch,
    Change: ScopeServer._notify,
}
