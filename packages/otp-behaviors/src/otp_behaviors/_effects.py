"""What the kernel wants done outside of it: the entries of `Kernel.effects`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeAlias

from etf_codec import Atom, Pid, Term

from otp_behaviors._process_table import ProcessRecord, ProcessTable

Facts: TypeAlias = list[tuple[str, Any]]
"""Part of a report, as OTP's lists of `{Name, Value}`."""

UNDEFINED: Final = Atom("undefined")

MAX_ANCESTORS: Final = 20
"""Ancestors that a crash report names, the nearest first."""

MAX_MESSAGES: Final = 10
"""Messages of a mailbox that a crash report holds: the mailbox may be why the process ended."""

MAX_LINKS: Final = 100
"""Links that a crash report names: a process may have any number."""

MAX_NEIGHBOURS: Final = 15
"""Linked processes that a crash report describes, as `proc_lib:max_neighbours/0`."""


@dataclass(slots=True)
class Await:
    """Effect: await the process's coroutine in the process's own task."""

    record: ProcessRecord


@dataclass(slots=True)
class Cancel:
    """Effect: the process has ended while its task was at work."""

    record: ProcessRecord


@dataclass(slots=True)
class CrashReport:
    """Effect: a process ended by itself with a reason that is not clean."""

    pid: Pid
    name: str | None
    initial_call: tuple[str, str, int]
    reason: Term
    error: BaseException | None
    details: Facts = field(default_factory=list)
    neighbours: list[Facts] = field(default_factory=list)


def crash_details(record: ProcessRecord) -> Facts:
    """Return what OTP's crash report tells of a process besides its reason (`proc_lib:my_info/4`).

    To be called while the process still has its mail.
    """
    return [
        ("process_label", label_of(record)),
        ("ancestors", list(islice(record.ancestors(), MAX_ANCESTORS))),
        ("message_queue_len", len(record.mailbox)),
        ("messages", list(islice(record.mailbox, MAX_MESSAGES))),
        ("links", list(islice(record.links or (), MAX_LINKS))),
        ("dictionary", list((record.dictionary or {}).items())),
        ("trap_exit", record.trap_exit),
        ("reductions", record.reductions),
    ]


def label_of(record: ProcessRecord) -> Term:
    """Return the label of a process, `undefined` if it has none (`proc_lib:get_label/1`)."""
    return UNDEFINED if record.label is None else record.label


def neighbours(record: ProcessRecord, table: ProcessTable) -> list[Facts]:
    """Return what OTP's crash report tells of the processes that go down with this one.

    These are the ones of this node that it is linked with, directly or through each other, and that do not
    trap exits (`proc_lib:neighbours/1`). To be called while the links are still there.
    """
    found: dict[Pid, ProcessRecord] = {}
    unvisited = [record]
    while unvisited:
        for pid in unvisited.pop().links or ():
            other = table.by_pid.get(pid)
            if other is None or other.trap_exit or other is record or pid in found:
                continue
            if len(found) == MAX_NEIGHBOURS:
                return list(map(_neighbour, found.values()))
            found[pid] = other
            unvisited.append(other)
    return list(map(_neighbour, found.values()))


def _neighbour(record: ProcessRecord) -> Facts:
    return [
        ("pid", record.pid),
        ("registered_name", record.name or []),
        ("process_label", label_of(record)),
        ("initial_call", record.initial_call),
        ("ancestors", list(islice(record.ancestors(), MAX_ANCESTORS))),
        ("message_queue_len", len(record.mailbox)),
        ("links", list(islice(record.links or (), MAX_LINKS))),
        ("trap_exit", record.trap_exit),
        ("status", record.status.value),
        ("reductions", record.reductions),
    ]


@dataclass(slots=True)
class TerminateReport:
    """Effect: a GenServer ends with a reason that is not clean; a CrashReport of its process follows.

    `status()` returns `state`, `log`, `message` and `reason`, as the server's `format_status` shows them.
    `client` is who made the call that was being handled: None, or the pid and a name, the pid again, `dead`
    or `remote`. `label` is the process's label, `undefined` if it has none.
    """

    pid: Pid
    name: str | None
    status: Callable[[], dict[str, Any]] = field(repr=False)
    client: tuple[Pid, Any] | None
    label: Term = UNDEFINED


@dataclass(slots=True)
class StatemReport(TerminateReport):
    """Effect: the same of a GenStatem.

    `status()` returns `state`, `data`, `queue`, `postponed`, `timeouts`, `log` and `reason`. `module` is the
    name of the class, `mode` its `callback_mode` and `state_enter`, `running` how many timeouts there are.
    """

    module: str = ""
    mode: tuple[str, bool] = ("state_functions", False)
    running: int = 0


@dataclass(slots=True)
class EventReport:
    """Effect: a handler was taken out of its event manager, as a callback of it failed.

    `status()` returns `state`, `message` and `reason`, as the handler's `format_status` shows them.
    `manager` and `name` are the event manager's, and `label` is the label of its process.
    """

    manager: Pid
    name: str | None
    handler: Term
    status: Callable[[], dict[str, Any]] = field(repr=False)
    label: Term = UNDEFINED


@dataclass(slots=True)
class SupervisorReport:
    """Effect: a supervisor saw something go wrong with a child (`start_error`, `child_terminated` …)."""

    supervisor: Pid
    context: str
    child: Term
    reason: Term
    name: str | None = None
    offender: Facts = field(default_factory=list)


@dataclass(slots=True)
class ChildStarted:
    """Effect: a supervisor has started a child, other than one of `simple_one_for_one`."""

    supervisor: Pid
    name: str | None
    started: Facts


@dataclass(slots=True)
class ChildStartedOnRequest(ChildStarted):
    """Effect: the same, because `start_child` or `restart_child` asked: since OTP 27 a debug message."""


@dataclass(slots=True)
class ApplicationStarted:
    """Effect: an application runs."""

    application: str


@dataclass(slots=True)
class ApplicationExited:
    """Effect: an application has ended, by itself or because it was `stopped`."""

    application: str
    exited: Term
    type: str


@dataclass(slots=True)
class UnexpectedMessage:
    """Effect: a server without `handle_info` got a message."""

    record: ProcessRecord
    message: Term


@dataclass(slots=True)
class UnhandledInfo:
    """Effect: an event handler without `handle_info` got a message of its manager."""

    module: Atom
    message: Term


@dataclass(slots=True)
class DebugOutput:
    """Effect: print a line on standard output, for whoever traces a process."""

    text: str


Report: TypeAlias = (
    TerminateReport
    | CrashReport
    | SupervisorReport
    | ChildStarted
    | ApplicationStarted
    | ApplicationExited
    | UnexpectedMessage
    | EventReport
    | UnhandledInfo
)
Effect: TypeAlias = Await | Cancel | Report | DebugOutput
