"""What the kernel wants done outside of it: the entries of `Kernel.effects`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from etf_codec import Pid, Term

from otp_behaviors._process_table import ProcessRecord


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


@dataclass(slots=True)
class SupervisorReport:
    """Effect: a supervisor saw something go wrong with a child (`start_error`, `child_terminated` …)."""

    supervisor: Pid
    context: str
    child: Term
    reason: Term


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
