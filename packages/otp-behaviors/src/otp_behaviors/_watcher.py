"""Monitors and aliases, from the side of the process that has them."""

from __future__ import annotations

from typing import Literal, Protocol

from etf_codec import Pid, Reference, Term

from otp_behaviors._aliases import (
    ALIAS_MODES,
    MONITOR_MODES,
    Alias,
    AliasMode,
    AliasOwner,
    MonitorAlias,
    activate,
    deactivate,
    monitor_gone,
    put_first,
)
from otp_behaviors._bonds import LocalWatcher, Monitor
from otp_behaviors._kernel import Kernel
from otp_behaviors._shell import ServerRef
from otp_behaviors._signals import DOWN


class WatcherRecord(AliasOwner, LocalWatcher, Protocol):
    """The record of the process."""

    pid: Pid
    monitors: dict[Reference, Monitor] | None


class Watching(Protocol):
    """What a watcher is of a process."""

    _kernel: Kernel

    @property
    def _record(self) -> WatcherRecord: ...


class Watcher:
    """The part of a process that watches others, and has aliases."""

    def monitor(
        self: Watching,
        to: ServerRef,
        *,
        alias: MonitorAlias | None = None,
    ) -> Reference:
        """Watch a process (`erlang:monitor/3`): one `Down` comes when it ends, at once if it is not there.

        Args:
            to: what to watch.
            alias: make the reference an alias of this process, too, until `unalias` ("explicit_unalias"), or
                also until the monitor is removed or fires ("demonitor"), or also until a message came to it,
                which removes the monitor ("reply_demonitor").
        """
        if alias is not None and alias not in MONITOR_MODES:
            raise ValueError(f"the alias of a monitor is one of {MONITOR_MODES}, not {alias!r}")
        kernel, record = self._kernel, self._record
        ref = kernel.make_ref()
        if alias is not None:
            activate(kernel.aliases, record, ref, alias)
        kernel.monitors.add(record, record.pid, kernel.resolve(to), ref)
        return ref

    def demonitor(self: Watching, ref: Reference, flush: bool = False) -> bool:
        """Stop watching (`erlang:demonitor/2`).

        Args:
            ref: what `monitor` returned.
            flush: also take a `Down` of this monitor out of the mailbox.

        Returns:
            Whether the monitor was still there.
        """
        if remove_monitor(self._kernel, self._record, ref):
            return True
        mailbox = self._record.mailbox
        if flush:
            for message in mailbox:
                if isinstance(message, tuple) and len(message) == 5 and message[:2] == (DOWN, ref):
                    mailbox.remove(message)
                    break
        return False

    def alias(
        self: Watching,
        mode: Literal["explicit_unalias", "reply"] = "explicit_unalias",
        *,
        priority: bool = False,
    ) -> Reference:
        """Make an alias of this process (`erlang:alias/1`): messages to it arrive until it ends.

        Args:
            mode: end with `unalias` alone, or with that or the first message ("reply").
            priority: messages sent to it with `priority=True` come before all ordinary ones (OTP 28).
        """
        if mode not in ALIAS_MODES:
            raise ValueError(f"an alias is one of {ALIAS_MODES}, not {mode!r}")
        ref = self._kernel.make_ref()
        activate(self._kernel.aliases, self._record, ref, mode, priority=priority)
        return ref

    def unalias(self: Watching, alias: Reference) -> bool:
        """Deactivate an alias; False if it was not active."""
        return deactivate(self._kernel.aliases, self._record, alias)

    def send_priority(self: Watching, alias: Reference, message: Term) -> None:
        """Send a priority message (`erlang:send(Alias, Message, [priority])`).

        It is an ordinary one if the alias was not made with `priority`, or belongs to another node.
        """
        kernel = self._kernel
        owner = kernel.references.alias_target(alias)
        entry = (owner.aliases or {}).get(alias) if isinstance(owner, AliasOwner) else None
        kernel.send(self._record.pid, alias, message)
        if isinstance(owner, AliasOwner) and entry is not None and entry.urgent is not None:
            put_first(owner.mailbox, entry.urgent)


def remove_monitor(kernel: Kernel, record: WatcherRecord, ref: Reference) -> bool:
    """Remove a monitor of a process; False if there is none."""
    monitor = None if record.monitors is None else record.monitors.pop(ref, None)
    if monitor is None:
        return False
    kernel.monitors.remove(record.pid, ref, monitor)
    monitor_gone(kernel.aliases, record, ref)
    return True


def message_to_alias(kernel: Kernel, record: WatcherRecord, ref: Reference) -> None:
    """A message came to an alias: some end by that."""
    entry: Alias | None = None if record.aliases is None else record.aliases.get(ref)
    mode: AliasMode | None = None if entry is None else entry.mode
    if mode in ("reply", "reply_demonitor"):
        deactivate(kernel.aliases, record, ref)
        remove_monitor(kernel, record, ref)
