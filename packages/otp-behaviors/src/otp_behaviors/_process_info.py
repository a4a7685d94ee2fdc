"""What is known of a process: `erlang:process_info/2`, with OTP's names for the items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from etf_codec import Atom, Pid, Term

from otp_behaviors._kernel import Kernel
from otp_behaviors._process_table import ProcessRecord, Status

UNDEFINED: Final = Atom("undefined")
PROCESS: Final = Atom("process")

STATUSES: Final = {
    Status.IDLE: Atom("waiting"),
    Status.READY: Atom("runnable"),
    Status.RUNNING: Atom("running"),
    # It waits in a callback, for something other than a message: what Erlang calls waiting, too.
    Status.BUSY: Atom("waiting"),
    Status.EXITED: Atom("exiting"),
}


def _mfa(record: ProcessRecord) -> Term:
    module, function, arity = record.initial_call
    return (Atom(module[:255]), Atom(function[:255]), arity)


def _monitors(record: ProcessRecord) -> Term:
    targets = [monitor.who() for monitor in (record.monitors or {}).values()]
    # By name it is `{process, {Name, Node}}`, as OTP has it.
    return [(PROCESS, target) for target in targets]


def _monitored_by(record: ProcessRecord) -> Term:
    pids = [getattr(watcher, "pid", None) for watcher in (record.monitored_by or {}).values()]
    return [pid for pid in pids if isinstance(pid, Pid)]


def _links(record: ProcessRecord) -> Term:
    return [pid for pid, link in (record.links or {}).items() if link.active]


ITEMS: Final[dict[str, Callable[[ProcessRecord], Term]]] = {
    "registered_name": lambda record: Atom(record.name) if record.name else [],
    "initial_call": _mfa,
    "current_function": _mfa,
    "status": lambda record: STATUSES[record.status],
    "message_queue_len": lambda record: len(record.mailbox),
    "messages": lambda record: list(record.mailbox),
    "links": _links,
    "monitors": _monitors,
    "monitored_by": _monitored_by,
    "dictionary": lambda record: list((record.dictionary or {}).items()),
    "trap_exit": lambda record: record.trap_exit,
    "group_leader": lambda record: record.group_leader or record.pid,
    "ancestors": lambda record: list(record.ancestors()),
    "parent": lambda record: record.parent or UNDEFINED,
    "label": lambda record: UNDEFINED if record.label is None else record.label,
    "reductions": lambda record: record.reductions,
    "priority": lambda record: Atom("normal"),
    "error_handler": lambda record: Atom("error_handler"),
    "suspending": lambda record: [],
}
"""What can be asked for. Sizes of heaps and stacks are not kept: there are none."""

DEFAULT: Final = (
    "current_function",
    "initial_call",
    "status",
    "message_queue_len",
    "links",
    "dictionary",
    "trap_exit",
    "error_handler",
    "priority",
    "group_leader",
    "reductions",
)


def process_info(kernel: Kernel, pid: Pid, items: Sequence[str] = DEFAULT) -> dict[str, Any] | None:
    """Return items of a process of this node (`erlang:process_info/1,2`), or None if it has ended.

    Args:
        kernel: the kernel of the node.
        pid: the process.
        items: names of OTP, as "message_queue_len", "links" or "monitors"; their values have OTP's shape.
            Without a registered name `registered_name` is `[]`. Besides, "ancestors" and "label" as
            `proc_lib` keeps them.

    Raises:
        ValueError: one of the items is not known (`badarg`), or the process belongs to another node.
    """
    if pid.node != kernel.node:
        raise ValueError(f"{pid!r} is a process of {pid.node}: ask there")
    unknown = [item for item in items if item not in ITEMS]
    if unknown:
        raise ValueError(f"process_info knows no {unknown[0]!r}; it knows {', '.join(ITEMS)}")
    record = kernel.table.by_pid.get(pid)
    return None if record is None else {item: ITEMS[item](record) for item in items}


class Inspecting(Protocol):
    """What this is of a process."""

    _kernel: Kernel

    @property
    def _record(self) -> ProcessRecord: ...


class Inspector:
    """The part of a process that looks at processes, itself among them."""

    @property
    def label(self: Inspecting) -> Any:
        """What the process calls itself in reports (`proc_lib:set_label/1`); None if it has not said."""
        return self._record.label

    @label.setter
    def label(self: Inspecting, label: Term) -> None:
        self._record.label = label

    @property
    def ancestors(self: Inspecting) -> tuple[Pid | Atom, ...]:
        """Parent, grandparent and so on, by name if they have one (`'$ancestors'` of `proc_lib`)."""
        return tuple(self._record.ancestors())

    def process_info(
        self: Inspecting, pid: Pid | None = None, items: Sequence[str] = DEFAULT
    ) -> dict[str, Any] | None:
        """Return items of a process of this node, this one if none is given; see `process_info`."""
        return process_info(self._kernel, pid or self._record.pid, items)
