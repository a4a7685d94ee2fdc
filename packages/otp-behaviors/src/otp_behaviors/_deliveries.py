"""Signals that arrive from other nodes, and the part of the kernel each kind is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from etf_codec import ImproperList, Pid, Reference, Term

from otp_behaviors._aliases import alias_of
from otp_behaviors._links import Links
from otp_behaviors._monitors import Monitors
from otp_behaviors._process_table import ProcessRecord, ProcessTable
from otp_behaviors._references import References
from otp_behaviors._signals import (
    AliasSignal,
    DemonitorSignal,
    DownSignal,
    ExitSignal,
    GroupLeaderSignal,
    LinkSignal,
    MessageSignal,
    MonitorSignal,
    RemoteName,
    Signal,
    SpawnReplySignal,
    SpawnSignal,
    UnlinkAckSignal,
    UnlinkSignal,
)
from otp_behaviors._spawns import Spawns

REPLY_TAGS: Final = (ImproperList, Reference)


class Deliveries:
    """Hands each signal on.

    Args:
        table, references, links, monitors, spawns: those of the kernel.
        put: puts a message into a mailbox.
        exit_signal: has a process receive an exit signal: record, sender, reason, whether by a link.

    Attributes:
        prompt: whether a process that is idle handles a message at once, if no other one has anything to do.
    """

    def __init__(
        self,
        table: ProcessTable,
        references: References,
        links: Links,
        monitors: Monitors,
        spawns: Spawns,
        put: Callable[[ProcessRecord, Term], None],
        exit_signal: Callable[[ProcessRecord, Pid, Term, bool], None],
    ) -> None:
        self._table = table
        self._references = references
        self._links = links
        self._monitors = monitors
        self._put = put
        self._exit_signal = exit_signal
        self.prompt = False
        self.receivers: dict[type, Callable[[Any], None]] = {
            MessageSignal: lambda signal: self.message_received(signal.to, signal.message),
            AliasSignal: lambda signal: self.alias_received(signal.alias, signal.message),
            LinkSignal: links.link_received,
            UnlinkSignal: links.unlink_received,
            UnlinkAckSignal: links.ack_received,
            ExitSignal: self._exit_received,
            MonitorSignal: lambda signal: monitors.monitor_received(signal.sender, signal.to, signal.ref),
            DemonitorSignal: lambda signal: monitors.demonitor_received(signal.sender, signal.ref),
            DownSignal: monitors.down_received,
            GroupLeaderSignal: self._group_leader_received,
            SpawnSignal: spawns.request_received,
            SpawnReplySignal: spawns.reply_received,
        }

    def deliver(self, signal: Signal) -> None:
        """Take a signal that arrived from another node. Signals of a connection must come in their order."""
        self.receivers[type(signal)](signal)

    def message_received(self, to: Pid | RemoteName, message: Term) -> None:
        """Take a message that arrived from another node for a process."""
        if type(message) is tuple and len(message) == 2 and type(message[0]) in REPLY_TAGS:
            # A reply to a request, sent to the pid because the peer knows no aliases, or because it got a
            # tag of ours by way of another process. A late one is dropped, as OTP drops it.
            alias = message[0] if isinstance(message[0], Reference) else alias_of(message[0])
            target = None if alias is None else self._references.alias_target(alias)
            if alias is not None and target is not None:
                target.alias_message(alias, message)
                return
            if alias is not None and self._references.is_request(alias):
                return
        table = self._table
        if to is table.sought:
            record = table.found
        else:
            record = table.find(to) if type(to) is Pid else self._monitors.local(to)
        if record is None:
            return
        if not (self.prompt and record.take(message)):
            self._put(record, message)

    def name_received(self, name: str, message: Term) -> None:
        """Take a message that arrived from another node for a registered name."""
        record = self._table.by_name.get(name)
        if record is None:
            return
        if not (self.prompt and record.take(message)):
            self._put(record, message)

    def alias_received(self, alias: Reference, message: Term) -> None:
        """Take a message that arrived from another node for an alias."""
        table = self._table
        if alias.node == table.node and alias.creation == table.creation:
            target = self._references.aliases.get(alias.ids)
            if target is not None:
                target.alias_message(alias, message)

    def _exit_received(self, signal: ExitSignal) -> None:
        if signal.linked:
            self._links.exit_received(signal)
            return
        record = self._table.by_pid.get(signal.to)
        if record is not None:
            self._exit_signal(record, signal.sender, signal.reason, False)

    def _group_leader_received(self, signal: GroupLeaderSignal) -> None:
        record = self._table.by_pid.get(signal.to)
        if record is not None:
            record.group_leader = signal.leader
