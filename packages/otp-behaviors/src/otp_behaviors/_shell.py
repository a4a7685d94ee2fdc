"""What stands around a kernel: what messages can be sent to, and the program that runs it."""

from __future__ import annotations

from typing import Protocol, TypeAlias

from etf_codec import Atom, Pid

from otp_behaviors._process_table import Waiter
from otp_behaviors._signals import RemoteName, Signal

ServerRef: TypeAlias = "Pid | str | Atom | RemoteName | HasPid"
"""Where a message can go: a pid, a registered name, a name on a node, or a handle."""


class HasPid(Protocol):
    """A handle of a process."""

    @property
    def pid(self) -> Pid:
        """The process."""


class Shell(Protocol):
    """What the kernel asks of the program around it."""

    def ready(self) -> None:
        """There is something to run, deliver or wait for: call `pump` soon."""

    def pump(self) -> None:
        """Run the kernel and carry out what comes out, now."""

    def route(self, signals: list[Signal]) -> None:
        """Take signals for other nodes."""

    def waiter(self) -> Waiter:
        """Return a place where the calling task can wait."""

    async def checkpoint(self) -> None:
        """Let other tasks run, if the caller has had its share of the thread."""
