"""One scope of `pg`, as a program uses it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol, TypeAlias

from etf_codec import FrozenMap, Pid, Reference, Term
from otp_behaviors import NOPROC, ExitError, Kernel, NoProcess, ServerHandle

from ergo_node._pg_groups import key_of
from ergo_node._pg_overlay import JOIN, LEAVE
from ergo_node._pg_server import NOLOCAL, ScopeServer

DEFAULT_SCOPE: Final = "pg"

Pids: TypeAlias = "Pid | ServerHandle | Iterable[Pid | ServerHandle]"
"""One process or several; a process may be named more than once."""


class Scopes(Protocol):
    """What a scope asks of `Pg`."""

    @property
    def kernel(self) -> Kernel:
        """The processes of the node."""

    def server(self, name: str) -> ScopeServer | None:
        """Return the server of a scope; None if it does not run."""


class Scope:
    """One scope, by its name. It need not run: then it has no groups, and nobody can join one.

    Its methods do not wait, so tasks use them like callbacks do. Groups are any terms: as everywhere, text
    is a binary, and comes back as `bytes`.
    """

    def __init__(self, pg: Scopes, name: str) -> None:
        self._pg = pg
        self.name: Final = name

    def __repr__(self) -> str:
        return f"<Scope {self.name}>"

    @property
    def running(self) -> bool:
        """Whether the scope runs on this node."""
        return self._pg.server(self.name) is not None

    def join(self, group: Term, pids: Pids) -> None:
        """Let processes of this node join a group (`pg:join/3`); as often as they do, they have to leave.

        Raises:
            NoProcess: the scope does not run here.
            ExitError: `{nolocal, Pid}`, a process of another node.
            etf_codec.EncodeError: the group has no external form.
        """
        self._server().join(group, self._local(pids))

    def leave(self, group: Term, pids: Pids) -> bool:
        """Let processes of this node leave a group (`pg:leave/3`); False if none of them is in it.

        Raises:
            As `join`.
        """
        return self._server().leave(group, self._local(pids))

    def members(self, group: Term) -> list[Pid]:
        """Return the members of a group on all nodes (`pg:get_members/2`), each as often as it joined.

        Raises:
            etf_codec.EncodeError: the group has no external form.
        """
        server = self._pg.server(self.name)
        return [] if server is None else server.overlay.groups.members(key_of(group, server.none))

    def local_members(self, group: Term) -> list[Pid]:
        """Return the members of a group on this node (`pg:get_local_members/2`).

        Raises:
            etf_codec.EncodeError: the group has no external form.
        """
        server = self._pg.server(self.name)
        return [] if server is None else server.overlay.local.members(key_of(group, server.none))

    def which_groups(self) -> list[Term]:
        """Return all groups that have members (`pg:which_groups/1`)."""
        server = self._pg.server(self.name)
        return [] if server is None else server.overlay.groups.groups()

    def which_local_groups(self) -> list[Term]:
        """Return all groups that have members on this node (`pg:which_local_groups/1`)."""
        server = self._pg.server(self.name)
        return [] if server is None else server.overlay.local.groups()

    def monitor_scope(self, pid: Pid | ServerHandle) -> tuple[Reference, FrozenMap]:
        """Tell a process of all changes from now on (`pg:monitor_scope/1`), and return what there is.

        It gets `{Ref, join, Group, Pids}` and `{Ref, leave, Group, Pids}` until `demonitor`.

        Returns:
            The reference, and all groups with their members.

        Raises:
            NoProcess: the scope does not run here.
        """
        return self._server().watch_scope(_pid(pid))

    def monitor(self, group: Term, pid: Pid | ServerHandle) -> tuple[Reference, list[Pid]]:
        """Tell a process of the changes of a group from now on (`pg:monitor/2`), and return its members.

        Raises:
            NoProcess: the scope does not run here.
            etf_codec.EncodeError: the group has no external form.
        """
        return self._server().watch_group(group, _pid(pid))

    def demonitor(self, ref: Reference) -> bool:
        """Tell a process no longer (`pg:demonitor/2`); False if it was not told.

        What it was told and has not handled yet is taken out of its mailbox.

        Raises:
            NoProcess: the scope does not run here.
        """
        pid = self._server().unwatch(ref)
        record = None if pid is None else self._pg.kernel.table.by_pid.get(pid)
        if record is not None and record.mailbox:
            kept = [message for message in record.mailbox if not _tells(message, ref)]
            record.mailbox.clear()
            record.mailbox.extend(kept)
        return pid is not None

    def _server(self) -> ScopeServer:
        server = self._pg.server(self.name)
        if server is None:
            start = "start()" if self.name == DEFAULT_SCOPE else f"start({self.name!r})"
            raise NoProcess(NOPROC, f"the scope {self.name!r} does not run: `await node.pg.{start}` first")
        return server

    def _local(self, pids: Pids) -> list[Pid]:
        several = [pids] if isinstance(pids, Pid | ServerHandle) else pids
        local = [_pid(pid) for pid in several]
        for pid in local:
            if pid.node != self._pg.kernel.node:
                raise ExitError((NOLOCAL, pid), f"{pid!r} is of another node: only that can let it join")
        return local


def _pid(process: Pid | ServerHandle) -> Pid:
    return process if isinstance(process, Pid) else process.pid


def _tells(message: Term, ref: Reference) -> bool:
    return (
        isinstance(message, tuple) and len(message) == 4 and message[0] == ref and message[1] in (JOIN, LEAVE)
    )
