"""What a shell gives the kernel to send by: one for each node that is connected."""

from __future__ import annotations

from typing import Protocol

from etf_codec import Atom, Pid, Reference, Term


class Channel(Protocol):
    """What sends to a node at once, without a signal that waits for the shell; false where it cannot."""

    def transmit(self, sender: Pid, to: Pid | Reference | Atom, message: Term) -> bool:
        """Send a message from a process to a process, an alias or a name, with all that was sent before."""

    def monitor(self, sender: Pid, to: Pid | Atom, ref: Reference) -> bool:
        """Send that a process starts to watch a process or a name; it goes with what is sent next."""

    def demonitor(self, sender: Pid, to: Pid | Atom, ref: Reference) -> bool:
        """Send that it watches no more; it goes with what is sent next."""

    def flush(self, *, hurried: bool = True) -> None:
        """Have what was sent go now; if nobody waits for it, with what follows."""
