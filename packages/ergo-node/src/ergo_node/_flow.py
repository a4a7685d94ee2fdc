"""Back-pressure towards peers: reading pauses while our processes cannot keep up with what has been read.

Then the peer's socket fills, and its senders wait, as ours do for it (`busy_dist_port` on the BEAM). One slow
process must not silence its whole node for ever, though: what it waits for may come over the same connection.
So a paused connection is read from, a little, each `TRICKLE` seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

from erldist_proto import ControlMessage, RegSend, RegSendTt, Send, SendSender, SendSenderTt, SendTt
from etf_codec import Atom, Pid, Term
from otp_behaviors import Runtime

from ergo_node._transport import Transport

HIGH_BYTES: Final = 33_554_432
"""What may wait in one mailbox before the connection that fills it pauses; it goes on at half of that."""

LEAST_BYTES: Final = 512
"""A message counts for no less: small terms take about that in Python, whatever they took on the wire."""

SAMPLE: Final = 1000
"""Messages after which the mailboxes they went to are looked at again."""

TRICKLE: Final = 1.0
"""Seconds a connection is paused at most before the next read."""


TARGETS: Final[dict[type, Callable[[Any], Pid | Atom]]] = {
    **dict.fromkeys((Send, SendTt, SendSender, SendSenderTt), attrgetter("to_pid")),
    **dict.fromkeys((RegSend, RegSendTt), attrgetter("to_name")),
}
"""For each kind of message to a process, what returns whom it is for."""


class Flow:
    """Pauses the reading of connections, and has it resumed."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._kernel = runtime.kernel
        self.sample = SAMPLE
        self._backlog: list[Transport] = []
        self._full: dict[Transport, tuple[Sequence[object], int]] = {}

    def delivered(self, transport: Transport, messages: list[tuple[ControlMessage, Term]]) -> None:
        """Messages of a read were delivered: the kernel has not run to its end, or it is time to look."""
        if transport.closed is not None:
            return
        if self._kernel.run_queue and transport not in self._backlog:
            self._backlog.append(transport)
            self._pause(transport)
        if transport.messages_read >= transport.look_at:
            transport.look_at = transport.messages_read + self.sample
            self._look(transport, messages)

    def ran(self) -> None:
        """The kernel has run: connections go on whose messages have been handled."""
        if self._backlog and self._kernel.idle:
            waiting, self._backlog = self._backlog, []
            for transport in waiting:
                if transport not in self._full:
                    transport.resume_reading()
        if self._full:
            for transport, (mailbox, low) in list(self._full.items()):
                if len(mailbox) <= low:
                    self._resume(transport)
        if not (self._backlog or self._full):
            self._runtime.after_run = None

    def forget(self, transport: Transport) -> None:
        """The connection is over."""
        self._full.pop(transport, None)
        if transport in self._backlog:
            self._backlog.remove(transport)

    def _look(self, transport: Transport, messages: list[tuple[ControlMessage, Term]]) -> None:
        size = max(LEAST_BYTES, transport.bytes_read // transport.messages_read)
        high = max(1, HIGH_BYTES // size)
        for target in {to(message) for message, _ in messages if (to := TARGETS.get(type(message)))}:
            mailbox = self._mailbox(target)
            if len(mailbox) > high and transport not in self._full:
                self._full[transport] = (mailbox, high // 2)
                self._pause(transport)
                self._kernel.start_timer(TRICKLE, lambda: self._trickle(transport))
                return

    def _pause(self, transport: Transport) -> None:
        transport.pause_reading()
        self._runtime.after_run = self.ran

    def _mailbox(self, target: Pid | Atom) -> Sequence[object]:
        table = self._kernel.table
        record = table.by_pid.get(target) if isinstance(target, Pid) else table.by_name.get(target.name)
        return () if record is None else record.mailbox

    def _trickle(self, transport: Transport) -> None:
        if transport in self._full:
            transport.look_at = 0  # the next read is looked at whatever its length
            self._resume(transport)

    def _resume(self, transport: Transport) -> None:
        del self._full[transport]
        if transport not in self._backlog:
            transport.resume_reading()
