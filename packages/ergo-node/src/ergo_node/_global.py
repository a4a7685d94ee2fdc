"""`node.global_names`: names and locks that all nodes of a cluster share; `global` of KERNEL."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from inspect import isawaitable
from typing import Any, Final, Protocol

import anyio
from etf_codec import Atom, Pid, Term
from otp_behaviors import (
    NOPROC,
    Child,
    ExitError,
    Kernel,
    NameTaken,
    NoProcess,
    Process,
    ServerHandle,
    ServerRef,
    Startable,
)

from ergo_node._global_lock_calls import Asker, LockCalls
from ergo_node._global_name_server import GlobalNameServer, Host
from ergo_node._global_registrar import Change
from ergo_node._global_resolve import Method, logger, shown
from ergo_node._global_tables import Tables
from ergo_node._global_terms import NAME, REGISTER, SYNC, UNREGISTER, LockId, term_of
from ergo_node._policy import Policy

ABORTED: Final = Atom("aborted")
"""What `trans` returns when the lock could not be had."""

BADARG: Final = Atom("badarg")

UNLOCK_GRACE: Final = 5.0
"""Seconds that a cancelled `trans` waits for the answers of the nodes it unlocks; they do it without, too."""


class Caller(Asker, Protocol):
    """Who uses the names: the node, for its program, or one of its processes."""

    def call(self, to: ServerRef, request: Term, timeout: float | None) -> Coroutine[Any, Any, Any]:
        """Call a server."""


class GlobalNode(Host, Caller, Protocol):
    """The node, as its global names see it."""

    @property
    def kernel(self) -> Kernel:
        """The processes."""

    async def start(
        self, startable: Startable, *args: Any, name: str | None = None, link: bool = False
    ) -> ServerHandle:
        """Start a server."""

    async def send(self, to: ServerRef, message: Term) -> None:
        """Send a message."""


class GlobalName:
    """A global name as a ServerRef: usable wherever a pid is, and looked up at each use.

    Raises:
        NoProcess: at each use while nobody has the name.
    """

    __slots__ = ("_names", "name")

    def __init__(self, names: GlobalNames, name: Term) -> None:
        self._names = names
        self.name = name

    def __repr__(self) -> str:
        return f"GlobalName({self.name!r})"

    @property
    def pid(self) -> Pid:
        """The process that has the name now.

        Raises:
            NoProcess: nobody has.
        """
        pid = self._names.whereis(self.name)
        if pid is None:
            raise NoProcess(NOPROC, f"nobody has the global name {shown(self.name)}")
        return pid


class GlobalNames:
    """The global names and locks, as `global` of KERNEL has them.

    A name is any term; text stands for an atom, as with registered names: `"shop"` is `shop` in Erlang.

    Args:
        node: the node.
        policy: whether it connects to all nodes that it hears of, and leaves overlapping partitions.
        tables: the tables of the node; new ones if left out.
        caller: who uses them; the program if left out.
    """

    def __init__(
        self,
        node: GlobalNode,
        policy: Policy,
        tables: Tables | None = None,
        caller: Caller | None = None,
    ) -> None:
        self._node = node
        self._policy = policy
        self._tables = Tables() if tables is None else tables
        self._caller = node if caller is None else caller

    def child(self) -> Child:
        """Return the name server, for the supervisor of the node."""
        return Child(GlobalNameServer, self._node, self._tables, self._policy, name=NAME)

    def by(self, process: Process) -> GlobalNames:
        """Return the same names, for use by a process: it is the one that has the locks, until it ends."""
        return GlobalNames(self._node, self._policy, self._tables, process)

    async def resolve_it(self, process: Process, method: Term, name: Term, pid1: Term, pid2: Term) -> Term:
        """Settle a conflict for another node (`global:resolve_it/4`)."""
        return await self._tables.methods.resolve_it(process, method, name, pid1, pid2)

    # Names

    async def register(self, name: Term, pid: Pid, resolve: Method = "random_exit_name") -> bool:
        """Give a name to a process, on all nodes (`global:register_name/3`).

        Args:
            name: any term.
            pid: a process of any node.
            resolve: what settles it if two clusters join that each have a process of that name:
                `random_exit_name` kills one of them; `random_notify_name` sends one
                `{global_name_conflict, Name}`; `notify_all_name` sends both
                `{global_name_conflict, Name, OtherPid}`, and nobody keeps the name; or a function
                `(name, pid1, pid2)`, plain or async, that returns who keeps it, or None for nobody.

        Returns:
            Whether it has the name now; False if another process has, or it has another name already.

        Raises:
            ValueError: `resolve` is none of these.
        """
        name, tables = term_of(name), self._tables

        def allowed() -> bool:
            others = [] if self.whereis(name) is not None else tables.names.names_of(pid)
            if others:
                several = ", ".join(shown(each) for each in [name, *others])
                logger.error("global: %s registered under several names: [%s]", shown(pid), several)
            return not others and self.whereis(name) is None

        return await self._give(name, pid, resolve, allowed)

    async def re_register(self, name: Term, pid: Pid, resolve: Method = "random_exit_name") -> bool:
        """Give a name to a process, whoever has it so far (`global:re_register_name/3`); True.

        Raises:
            ValueError: as `register`.
        """
        return await self._give(term_of(name), pid, resolve, lambda: True)

    async def unregister(self, name: Term) -> None:
        """Take a name away, on all nodes (`global:unregister_name/1`); nothing happens if nobody has it."""
        name = term_of(name)
        if self.whereis(name) is not None:
            await self._change(Change((UNREGISTER, name), lambda: True))

    def whereis(self, name: Term) -> Pid | None:
        """Return the process that has a name (`global:whereis_name/1`); no other node is asked."""
        entry = self._tables.names.find(term_of(name))
        if entry is None:
            return None
        kernel = self._node.kernel
        gone = entry.pid.node == kernel.node and entry.pid not in kernel.table.by_pid
        return None if gone else entry.pid

    def names(self) -> list[Term]:
        """Return all global names (`global:registered_names/0`)."""
        return self._tables.names.names()

    def ref(self, name: Term) -> GlobalName:
        """Return a name as a ServerRef (`{global, Name}`): `await node.call(names.ref("shop"), request)`."""
        return GlobalName(self, term_of(name))

    async def send(self, name: Term, message: Term) -> Pid:
        """Send a message to whoever has a name (`global:send/2`), and return who that was.

        Raises:
            NoProcess: nobody has; the reason is `{badarg, {Name, Message}}`.
        """
        name = term_of(name)
        pid = self.whereis(name)
        if pid is None:
            raise NoProcess((BADARG, (name, message)), f"nobody has the global name {shown(name)}")
        if isinstance(self._caller, Process):
            self._caller.send(pid, message)
        else:
            await self._node.send(pid, message)
        return pid

    async def start(
        self, startable: Startable, *args: Any, name: Term, resolve: Method = "random_exit_name"
    ) -> ServerHandle:
        """Start a server that has a global name (`gen_server:start({global, Name}, ...)`).

        Unlike OTP's it gets the name when its `init` is done; it is stopped if another one was quicker.

        Raises:
            NameTaken: somebody has the name; the reason is `{already_started, Pid}`.
            ExitError, Ignore: as `Node.start`.
        """
        self._refuse_if_taken(name)
        handle = await self._node.start(startable, *args)
        registered = False
        try:
            registered = await self.register(name, handle.pid, resolve)
        finally:
            if not registered:
                with anyio.CancelScope(shield=True):
                    await handle.stop()
        self._refuse_if_taken(name, unless=handle.pid)
        if not registered:
            raise ExitError(BADARG, f"the server has another global name than {shown(term_of(name))}")
        return handle

    # Locks

    async def set_lock(
        self, id: LockId, nodes: Iterable[str] | None = None, retries: int | None = None
    ) -> bool:
        """Lock a resource on nodes (`global:set_lock/3`).

        Args:
            id: the resource, and who requests it: any two terms; text stands for an atom. One requester may
                set a lock several times.
            nodes: the nodes; this one and all that are connected if left out.
            retries: how often to try again, after random pauses of up to 8 seconds; None is for ever.

        Returns:
            Whether all nodes are locked; otherwise none is. Nodes that are not there do not count.

        Raises:
            ValueError: `id` is no pair.
        """
        id, nodes = _lock_id(id), self._nodes(nodes)
        try:
            return await self._lock_calls().set(id, nodes, retries)
        except anyio.get_cancelled_exc_class():
            await self._unlock_in_time(id, nodes)
            raise

    async def del_lock(self, id: LockId, nodes: Iterable[str] | None = None) -> None:
        """Delete a lock on nodes (`global:del_lock/2`); who set it has to."""
        await self._lock_calls().delete(_lock_id(id), self._nodes(nodes))

    async def trans(
        self,
        id: LockId,
        function: Callable[[], Any],
        nodes: Iterable[str] | None = None,
        retries: int | None = None,
    ) -> Any:
        """Run a function while a resource is locked (`global:trans/4`).

        Args:
            id: as for `set_lock`.
            function: called without arguments; may be `async def`.
            nodes: as for `set_lock`.
            retries: as for `set_lock`.

        Returns:
            What the function returns; the atom `aborted` if the lock could not be had.
        """
        id, nodes = _lock_id(id), self._nodes(nodes)
        if not await self.set_lock(id, nodes, retries):
            return ABORTED
        try:
            result = function()
            return await result if isawaitable(result) else result
        finally:
            await self._unlock_in_time(id, nodes)

    async def sync(self, nodes: Iterable[str] | None = None) -> None:
        """Wait until the names of nodes are the same as here (`global:sync/1`); lost nodes do not count.

        Args:
            nodes: the nodes, connected to if need be; all that are connected if left out.
        """
        wanted: list[Term] = [Atom(node) for node in (self._node.nodes() if nodes is None else nodes)]
        await self._caller.call(NAME, (SYNC, wanted), None)

    # Parts of these

    async def _give(self, name: Term, pid: Pid, resolve: Method, allowed: Callable[[], bool]) -> bool:
        methods = self._tables.methods
        method = methods.term_of(resolve)
        given = await self._change(Change((REGISTER, name, pid, method), allowed))
        if not given:
            methods.forget(method)
        return given

    async def _change(self, change: Change) -> bool:
        changed: bool = await self._caller.call(NAME, change, None)
        return changed

    def _refuse_if_taken(self, name: Term, unless: Pid | None = None) -> None:
        pid = self.whereis(name)
        if pid is not None and pid != unless:
            text = f"the global name {shown(term_of(name))} belongs to {pid!r}"
            raise NameTaken((Atom("already_started"), pid), text)

    def _nodes(self, nodes: Iterable[str] | None) -> list[str]:
        return [self._node.name, *self._node.nodes()] if nodes is None else [str(node) for node in nodes]

    def _lock_calls(self) -> LockCalls:
        return LockCalls(self._caller, self._node.name, self._tables.locks)

    async def _unlock_in_time(self, id: LockId, nodes: list[str]) -> None:
        # Also when the caller has been cancelled: a lock of the program would stay for ever.
        with anyio.move_on_after(UNLOCK_GRACE, shield=True):
            await self._lock_calls().delete(id, nodes)


def _lock_id(id: LockId) -> LockId:
    match id:
        case (resource, requester):
            return (term_of(resource), term_of(requester))
    raise ValueError(f"a lock is (resource, requester), not {id!r}")
