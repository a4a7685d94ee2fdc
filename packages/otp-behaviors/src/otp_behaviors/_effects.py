"""What the kernel wants done outside of it: the entries of `Kernel.effects`."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeAlias

from etf_codec import Pid, Term

from otp_behaviors._process_table import ProcessRecord

MAX_ANCESTORS: Final = 20
"""Ancestors that a crash report names, the nearest first."""

MAX_MESSAGES: Final = 10
"""Messages of a mailbox that a crash report holds: the mailbox may be why the process ended."""


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
    """Effect: a process ended with a reason that is not clean."""

    pid: Pid
    name: str | None
    initial_call: tuple[str, str, int]
    reason: Term
    error: BaseException | None
    details: list[tuple[str, Any]] = field(default_factory=list)


def crash_details(record: ProcessRecord) -> list[tuple[str, Any]]:
    """Return what OTP's crash report tells of a process besides its reason (`proc_lib:my_info/4`).

    To be called while the process still has its mail.
    """
    return [
        *([] if record.label is None else [("label", record.label)]),
        ("ancestors", list(islice(record.ancestors(), MAX_ANCESTORS))),
        ("message_queue_len", len(record.mailbox)),
        ("messages", list(islice(record.mailbox, MAX_MESSAGES))),
        ("links", list(record.links or ())),
        ("dictionary", list((record.dictionary or {}).items())),
        ("trap_exit", record.trap_exit),
        ("reductions", record.reductions),
    ]


@dataclass(slots=True)
class SupervisorReport:
    """Effect: a supervisor saw something go wrong with a child (`start_error`, `child_terminated` …)."""

    supervisor: Pid
    context: str
    child: Term
    reason: Term
    name: str | None = None


@dataclass(slots=True)
class UnexpectedMessage:
    """Effect: a server without `handle_info` got a message."""

    record: ProcessRecord
    message: Term


@dataclass(slots=True)
class DebugOutput:
    """Effect: print a line on standard output, for whoever traces a process."""

    text: str


Effect: TypeAlias = Await | Cancel | CrashReport | SupervisorReport | UnexpectedMessage | DebugOutput
