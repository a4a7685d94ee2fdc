"""How a supervisor ends its children, as `shutdown` of their specification says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from etf_codec import Atom, Pid, Reference, Term

from otp_behaviors._children import Child, Shutdown
from otp_behaviors._process import Process
from otp_behaviors._reasons import KILL, KILLED, NOPROC, SHUTDOWN, is_clean
from otp_behaviors._signals import Down, Exit

TIMEOUT: Final = Atom("timeout")


async def end_children(process: Process, shutdowns: Mapping[Pid, Shutdown]) -> dict[Pid, Term]:
    """End linked children together, and wait until all have ended; see `supervisor:shutdown/1`.

    Args:
        process: the supervisor.
        shutdowns: its children, one or all of `simple_one_for_one`; for each the seconds until it is killed,
            `infinity`, or `brutal_kill`.

    Returns:
        Why each ended.
    """
    reasons: dict[Pid, Term] = {}
    running: dict[Reference, Pid] = {}
    for pid in shutdowns:
        running[process.monitor(pid)] = pid
        process.unlink(pid)
    ended = await _earlier_exits(process, set(running.values()))
    for pid in running.values():
        process.exit(pid, KILL if shutdowns[pid] == "brutal_kill" else SHUTDOWN)
    limits = {limit for limit in shutdowns.values() if not isinstance(limit, str)}
    alarms = [Alarm(process, limit) for limit in limits]
    while running:
        message: Any = await process.receive(
            lambda m: (type(m) is Down and m.ref in running) or any(m is alarm.message for alarm in alarms)
        )
        if isinstance(message, Down):
            pid = running.pop(message.ref)
            reasons[pid] = ended.get(pid, NOPROC) if message.reason is NOPROC else message.reason
            continue
        for pid in running.values():
            if shutdowns[pid] == message[-1]:
                process.exit(pid, KILL)
    for alarm in alarms:
        await alarm.stop()
    return reasons


class Alarm:
    """Tells a supervisor that a time is over, by a message."""

    def __init__(self, process: Process, seconds: float) -> None:
        self._process = process
        self.message: Final = (TIMEOUT, process.pid, KILL, seconds)
        self._timer = process.send_after(seconds, process.pid, self.message) if seconds else None
        if self._timer is None:
            process.send(process.pid, self.message)

    async def stop(self) -> None:
        """It is not needed any more; a message that has come already is dropped."""
        if self._timer is None or self._timer.cancel() is None:
            try:
                await self._process.receive(lambda message: message is self.message, 0)
            except TimeoutError:
                return


async def _earlier_exits(process: Process, pids: set[Pid]) -> dict[Pid, Term]:
    """Take the exit messages of children that ended before we unlinked them."""
    ended: dict[Pid, Term] = {}
    try:
        while True:
            message = await process.receive(lambda m: type(m) is Exit and m.pid in pids, 0)
            assert isinstance(message, Exit)
            ended[message.pid] = message.reason
    except TimeoutError:
        return ended


def ended_well(spec: Child, reason: Term) -> bool:
    """Tell whether a child that was told to end did what it was told: no report is due."""
    expected = KILLED if spec.shutdown == "brutal_kill" else SHUTDOWN
    return reason is expected or (spec.restart != "permanent" and is_clean(reason))


def ended_badly(specs: Mapping[Pid, Child], reasons: Mapping[Pid, Term]) -> list[tuple[Term, list[Pid]]]:
    """Return the children that did not do what they were told, together if for the same reason."""
    alike: list[tuple[Term, list[Pid]]] = []
    for pid, reason in reasons.items():
        if ended_well(specs[pid], reason):
            continue
        same = next((pids for known, pids in alike if known == reason), None)
        if same is None:
            alike.append((reason, [pid]))
        else:
            same.append(pid)
    return alike
