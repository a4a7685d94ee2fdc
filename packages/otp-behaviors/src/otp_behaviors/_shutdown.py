"""How a supervisor ends its children, as `shutdown` of their specification says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from etf_codec import Atom, Pid, Reference, Term

from otp_behaviors._children import Child, Shutdown
from otp_behaviors._process import Process
from otp_behaviors._reasons import KILL, KILLED, NOPROC, SHUTDOWN, is_clean
from otp_behaviors._signals import Down, Exit

TIMEOUT: Final = Atom("timeout")


async def end_children(process: Process, pids: Iterable[Pid], shutdown: Shutdown) -> dict[Pid, Term]:
    """End linked children together, and wait until all have ended; see `supervisor:shutdown/1`.

    Args:
        process: the supervisor.
        pids: its children: one, or all of `simple_one_for_one`, which share the time they have.
        shutdown: seconds until they are killed, `infinity`, or `brutal_kill`.

    Returns:
        Why each ended.
    """
    reasons: dict[Pid, Term] = {}
    running: dict[Reference, Pid] = {}
    for pid in pids:
        running[process.monitor(pid)] = pid
        process.unlink(pid)
    ended = await _earlier_exits(process, set(running.values()))
    for pid in running.values():
        process.exit(pid, KILL if shutdown == "brutal_kill" else SHUTDOWN)
    time_is_up = (TIMEOUT, process.pid, KILL)
    timer = None
    if shutdown == 0:
        process.send(process.pid, time_is_up)
    elif not isinstance(shutdown, str):
        timer = process.send_after(shutdown, process.pid, time_is_up)
    while running:
        message = await process.receive(
            lambda message: message is time_is_up or (type(message) is Down and message.ref in running)
        )
        if isinstance(message, Down):
            pid = running.pop(message.ref)
            reasons[pid] = ended.get(pid, NOPROC) if message.reason is NOPROC else message.reason
            continue
        for pid in running.values():
            process.exit(pid, KILL)
    if not isinstance(shutdown, str) and (timer is None or timer.cancel() is None):
        await _drop(process, time_is_up)
    return reasons


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


async def _drop(process: Process, unwanted: Term) -> None:
    try:
        await process.receive(lambda message: message is unwanted, 0)
    except TimeoutError:
        return


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
