"""`pg` as a program uses it: groups of processes, seen by all nodes that have the same scope.

    await node.pg.start()                       # pg:start_link()
    node.pg.join("workers", pid)                # pg:join(workers, Pid)
    node.pg.members("workers")                  # pg:get_members(workers)

    chat = await node.pg.start("chat")          # pg:start(chat): a scope of its own
    chat.join(("room", 1), [pid, other])        # pg:join(chat, {room, 1}, [Pid, Other])

Follows `pg` of KERNEL.
"""

from __future__ import annotations

from typing import Any, Final, Protocol, overload

from etf_codec import Atom, FrozenMap, Pid, Reference, Term
from otp_behaviors import Child, Kernel, NameTaken, ServerHandle, Startable, Supervisor

from ergo_node._pg_scope import DEFAULT_SCOPE, Pids, Scope
from ergo_node._pg_server import Host, ScopeServer

INTENSITY: Final = 10
"""Restarts of a scope within five seconds: any peer may send it an exit signal."""


class PgNode(Host, Protocol):
    """The node, as `pg` sees it."""

    kernel: Kernel

    async def start(self, startable: Startable) -> ServerHandle:
        """Start a server."""

    async def stop(self, to: str) -> None:
        """End a server, and wait for that."""


class Pg:
    """All scopes of a node, and what they can do: with the name of the scope first, or for the scope `pg`.

    Args:
        node: the node.
        none: the atom that None stands for in groups.
    """

    def __init__(self, node: PgNode, none: Atom | None = None) -> None:
        self._node = node
        self.none: Final = none
        self._servers: dict[str, ScopeServer] = {}

    @property
    def kernel(self) -> Kernel:
        """The processes of the node."""
        return self._node.kernel

    async def start(self, scope: str | Atom = DEFAULT_SCOPE) -> Scope:
        """Start a scope (`pg:start/1`). It is supervised; as in OTP, memberships end with its process.

        Raises:
            NameTaken: a process has this name: the scope runs.
        """
        name = str(scope)
        running = self.kernel.whereis(name)
        if running is not None:
            raise NameTaken(
                (Atom("already_started"), running.pid), f"{name!r} is the name of {running.pid!r}"
            )
        await self._node.start(Supervisor(self.child(name), intensity=INTENSITY, name=_supervisor(name)))
        return self.scope(name)

    async def stop(self, scope: str | Atom = DEFAULT_SCOPE) -> None:
        """Stop a scope that `start` has started.

        Raises:
            NoProcess: it does not run.
        """
        await self._node.stop(_supervisor(str(scope)))

    def child(self, scope: str | Atom = DEFAULT_SCOPE) -> Child:
        """Return a scope as a child for a supervisor of your own (`pg:start_link/1`)."""
        name = str(scope)
        return Child(ScopeServer, self._node, name, self.none, self._started, name=name)

    def scope(self, scope: str | Atom = DEFAULT_SCOPE) -> Scope:
        """Return a scope by its name, whether it runs or not."""
        return Scope(self, str(scope))

    def server(self, name: str) -> ScopeServer | None:
        """Return the server of a scope; None if it does not run."""
        server = self._servers.get(name)
        record = None if server is None else self.kernel.whereis(name)
        return server if server is not None and record is not None and record.pid == server.pid else None

    def _started(self, name: str, server: ScopeServer) -> None:
        self._servers[name] = server

    # The same for a scope named first, or the default one

    @overload
    def join(self, group: Term, pids: Pids, /) -> None: ...
    @overload
    def join(self, scope: str | Atom, group: Term, pids: Pids, /) -> None: ...
    def join(self, *args: Any) -> None:
        """Let processes of this node join a group: `join(group, pids)`, `join(scope, group, pids)`."""
        scope, (group, pids) = self._scoped(args, 2)
        scope.join(group, pids)

    @overload
    def leave(self, group: Term, pids: Pids, /) -> bool: ...
    @overload
    def leave(self, scope: str | Atom, group: Term, pids: Pids, /) -> bool: ...
    def leave(self, *args: Any) -> bool:
        """Let processes leave a group, False if none is in it: `leave(group, pids)`, `leave(scope, …)`."""
        scope, (group, pids) = self._scoped(args, 2)
        return scope.leave(group, pids)

    @overload
    def members(self, group: Term, /) -> list[Pid]: ...
    @overload
    def members(self, scope: str | Atom, group: Term, /) -> list[Pid]: ...
    def members(self, *args: Any) -> list[Pid]:
        """Return the members of a group on all nodes: `members(group)`, `members(scope, group)`."""
        scope, (group,) = self._scoped(args, 1)
        return scope.members(group)

    @overload
    def local_members(self, group: Term, /) -> list[Pid]: ...
    @overload
    def local_members(self, scope: str | Atom, group: Term, /) -> list[Pid]: ...
    def local_members(self, *args: Any) -> list[Pid]:
        """Return the members of a group here: `local_members(group)`, `local_members(scope, group)`."""
        scope, (group,) = self._scoped(args, 1)
        return scope.local_members(group)

    @overload
    def monitor(self, group: Term, pid: Pid | ServerHandle, /) -> tuple[Reference, list[Pid]]: ...
    @overload
    def monitor(
        self, scope: str | Atom, group: Term, pid: Pid | ServerHandle, /
    ) -> tuple[Reference, list[Pid]]: ...
    def monitor(self, *args: Any) -> tuple[Reference, list[Pid]]:
        """Tell a process of the changes of a group: `monitor(group, pid)`, `monitor(scope, group, pid)`."""
        scope, (group, pid) = self._scoped(args, 2)
        return scope.monitor(group, pid)

    @overload
    def monitor_scope(self, pid: Pid | ServerHandle, /) -> tuple[Reference, FrozenMap]: ...
    @overload
    def monitor_scope(self, scope: str | Atom, pid: Pid | ServerHandle, /) -> tuple[Reference, FrozenMap]: ...
    def monitor_scope(self, *args: Any) -> tuple[Reference, FrozenMap]:
        """Tell a process of all changes of a scope: `monitor_scope(pid)`, `monitor_scope(scope, pid)`."""
        scope, (pid,) = self._scoped(args, 1)
        return scope.monitor_scope(pid)

    @overload
    def demonitor(self, ref: Reference, /) -> bool: ...
    @overload
    def demonitor(self, scope: str | Atom, ref: Reference, /) -> bool: ...
    def demonitor(self, *args: Any) -> bool:
        """Tell a process no longer: `demonitor(ref)`, `demonitor(scope, ref)`."""
        scope, (ref,) = self._scoped(args, 1)
        return scope.demonitor(ref)

    def which_groups(self, scope: str | Atom = DEFAULT_SCOPE) -> list[Term]:
        """Return all groups of a scope that have members."""
        return self.scope(scope).which_groups()

    def which_local_groups(self, scope: str | Atom = DEFAULT_SCOPE) -> list[Term]:
        """Return all groups of a scope that have members on this node."""
        return self.scope(scope).which_local_groups()

    def _scoped(self, args: tuple[Any, ...], count: int) -> tuple[Scope, tuple[Any, ...]]:
        if len(args) == count:
            return self.scope(), args
        if len(args) == count + 1:
            return self.scope(args[0]), args[1:]
        raise TypeError(f"takes {count} arguments, or the scope and {count} more, not {len(args)}")


def _supervisor(scope: str) -> str:
    return f"{scope}_sup"
