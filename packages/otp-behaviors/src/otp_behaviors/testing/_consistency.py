"""Whether the tables of kernels at rest agree: links and monitors known at both ends, nothing of the dead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from etf_codec import Pid

from otp_behaviors._bonds import RemoteWatcher
from otp_behaviors._kernel import Kernel
from otp_behaviors._process_table import EXITED, ProcessRecord

Kernels = Mapping[str, Kernel]


def tables(kernel: Kernel) -> dict[str, object]:
    """Return what a kernel keeps: the pids, the names, and how many there are of everything else.

    Compare it before and after what is to leave nothing behind; `tables(Kernel())` is that of an empty one.
    """
    records = kernel.table.by_pid.values()
    return {
        "processes": set(kernel.table.by_pid),
        "names": set(kernel.table.by_name),
        "aliases": len(kernel.aliases),
        "timers": len(kernel.timers) + len(kernel.timeouts),
        "callers": sum(len(record.callers or ()) for record in records),
        "monitors": sum(len(record.monitors or ()) for record in records),
        "monitored by": sum(len(record.monitored_by or ()) for record in records),
        "links": sum(len(record.links or ()) for record in records),
        "with other nodes": len(kernel.links) + len(kernel.monitors),
    }


def faults(kernels: Kernels, connected: Callable[[str, str], bool]) -> list[str]:
    """Return what is wrong, a line each.

    Args:
        kernels: the kernels that run, by node name; no signal may be on its way.
        connected: whether two nodes have a connection: without one they have no links or monitors.
    """
    complaints: list[str] = []
    for kernel in kernels.values():
        complaints += _names(kernel)
        complaints += _aliases(kernel)
        for pid, record in kernel.table.by_pid.items():
            if record.status is EXITED or record.pid != pid:
                complaints.append(f"{record!r} is in the table as {pid!r}")
            complaints += _links(kernels, kernel, record, connected)
            complaints += _monitors(kernels, kernel, record, connected)
            complaints += _watchers(kernels, kernel, record)
    return complaints


def _names(kernel: Kernel) -> Iterator[str]:
    for name, record in kernel.table.by_name.items():
        if record.name != name or kernel.table.by_pid.get(record.pid) is not record:
            yield f"the name {name!r} belongs to {record!r}, which is not there"


def _aliases(kernel: Kernel) -> Iterator[str]:
    for ids, target in kernel.aliases.items():
        if isinstance(target, ProcessRecord) and target.status is EXITED:
            yield f"the alias {ids} belongs to {target!r}"


def _find(kernels: Kernels, pid: Pid) -> ProcessRecord | None:
    kernel = kernels.get(pid.node)
    return None if kernel is None else kernel.table.by_pid.get(pid)


def _links(
    kernels: Kernels, kernel: Kernel, record: ProcessRecord, connected: Callable[[str, str], bool]
) -> Iterator[str]:
    for pid, entry in (record.links or {}).items():
        other = _find(kernels, pid)
        back = None if other is None else (other.links or {}).get(record.pid)
        if pid.node != kernel.node and not connected(kernel.node, pid.node):
            yield f"{record!r} is linked with {pid!r}, and there is no connection"
        elif not entry.active:
            yield f"the unlink of {record!r} from {pid!r} was never acknowledged"
        elif other is None:
            yield f"{record!r} is linked with {pid!r}, which is not there"
        elif back is None or not back.active:
            yield f"{record!r} is linked with {other!r}, which does not know it"


def _monitors(
    kernels: Kernels, kernel: Kernel, record: ProcessRecord, connected: Callable[[str, str], bool]
) -> Iterator[str]:
    for ref, monitor in (record.monitors or {}).items():
        node = monitor.target.node
        watched = kernels.get(node)
        if node != kernel.node and not connected(kernel.node, node):
            yield f"{record!r} monitors {monitor.target!r}, and there is no connection"
        elif watched is None or not any(
            ref in (other.monitored_by or {}) for other in watched.table.by_pid.values()
        ):
            yield f"{record!r} monitors {monitor.target!r} by {ref!r}, which does not know it"


def _watchers(kernels: Kernels, kernel: Kernel, record: ProcessRecord) -> Iterator[str]:
    for ref, watcher in (record.monitored_by or {}).items():
        if isinstance(watcher, RemoteWatcher):
            other = _find(kernels, watcher.pid)
            pending = other is not None and kernels[watcher.pid.node].references.alias_target(ref) is not None
            if other is None or not (pending or ref in (other.monitors or {})):
                yield f"{record!r} is monitored by {watcher.pid!r}, which does not know {ref!r}"
        elif isinstance(watcher, ProcessRecord) and ref not in (watcher.monitors or {}):
            yield f"{record!r} is monitored by {watcher!r}, which does not know {ref!r}"
    for caller in record.callers or ():
        if getattr(caller, "done", False):
            yield f"{record!r} keeps a request that is done: {caller!r}"
