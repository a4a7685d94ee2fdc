"""Starting processes on other nodes, from the side of the process that does it."""

from __future__ import annotations

from typing import Protocol

from etf_codec import Atom, Pid, Reference, Term

from otp_behaviors._bonds import LocalWatcher
from otp_behaviors._kernel import Kernel
from otp_behaviors._process_table import Waiter
from otp_behaviors._spawning import Asking, spawn_remote


class SpawnerRecord(LocalWatcher, Asking, Protocol):
    """The record of the process."""

    def waiter(self) -> Waiter:
        """Return a place where the coroutine of this process can wait."""


class Spawning(Protocol):
    """What a spawner is of a process."""

    _kernel: Kernel

    @property
    def _record(self) -> SpawnerRecord: ...


class Spawner:
    """The part of a process that starts others on other nodes."""

    async def spawn_remote(
        self: Spawning,
        node: str,
        module: str | Atom,
        function: str | Atom,
        args: list[Term],
        *,
        link: bool = False,
        timeout: float | None = None,
    ) -> Pid:
        """Start a process on another node, which applies `module:function` to `args` (`spawn/4`).

        Args:
            node: the node, connected to if need be.
            module: a module there; for Elixir with its prefix, `Elixir.Enum`.
            function: one of its functions; if there is none, the process starts and ends with `undef`.
            args: the arguments.
            link: link it with this process from its first moment (`spawn_link/4`).
            timeout: seconds to wait for the answer, None for ever. A lost node does not need it.

        Raises:
            NoConnection: the node cannot be reached, or was lost. CallTimeout: no answer in time.
            ExitError: it refuses: `notsup`, `system_limit`.
        """
        target = (node, module, function, args)
        record = self._record
        pid, _ = await spawn_remote(
            self._kernel, record, None, target, link=link, waiter=record.waiter(), timeout=timeout
        )
        return pid

    async def spawn_monitor_remote(
        self: Spawning,
        node: str,
        module: str | Atom,
        function: str | Atom,
        args: list[Term],
        *,
        link: bool = False,
        timeout: float | None = None,
    ) -> tuple[Pid, Reference]:
        """Start a process on another node and watch it from its first moment (`spawn_monitor/4`).

        Returns:
            The process, and the reference that its `Down` will carry.

        Raises:
            As `spawn_remote`.
        """
        target = (node, module, function, args)
        record = self._record
        return await spawn_remote(
            self._kernel, record, record, target, link=link, waiter=record.waiter(), timeout=timeout
        )
