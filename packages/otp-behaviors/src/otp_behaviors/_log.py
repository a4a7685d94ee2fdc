"""Reports of the kernel, written through `logging`: the content of OTP's crash and supervisor reports."""

from __future__ import annotations

import logging
import sys
from reprlib import Repr
from typing import Final

from etf_codec import Term, to_text

from otp_behaviors._effects import CrashReport, DebugOutput, Effect, SupervisorReport, UnexpectedMessage
from otp_behaviors._kernel import Kernel

logger: Final = logging.getLogger("otp_behaviors")
logger.addHandler(logging.NullHandler())

MAX_DEPTH: Final = 8
"""Depth of the terms in a report, as of those that `shown` writes."""

MAX_CHARS: Final = 2000
"""Where a term of a crash report is cut."""

_repr: Final = Repr()
_repr.maxlevel = MAX_DEPTH
_repr.maxstring = _repr.maxother = 500
_repr.maxlong = 100


def shown(term: Term) -> str:
    """Return a term as text, bounded in depth and length: terms come from anywhere."""
    try:
        return _repr.repr(term)
    except Exception as error:
        return f"<{type(term).__name__} whose repr raises {type(error).__name__}>"


def _term_text(term: Term) -> str:
    return to_text(term, max_chars=MAX_CHARS, max_depth=MAX_DEPTH)


def log(kernel: Kernel, report: Effect) -> None:
    """Write a report."""
    if not (logger.isEnabledFor(logging.ERROR) or isinstance(report, DebugOutput)):
        return
    if isinstance(report, CrashReport):
        module, function, arity = report.initial_call
        who = f"{report.name} {report.pid!r}" if report.name else repr(report.pid)
        logger.error(
            "Process %s terminating: %s\n  node: %s\n  initial call: %s.%s/%d%s",
            who, shown(report.reason), kernel.node, module, function, arity,
            "".join(f"\n  {name}: {_term_text(value)}" for name, value in report.details),
            exc_info=report.error,
        )  # fmt: skip
    elif isinstance(report, SupervisorReport):
        supervisor = f"{report.name} {report.supervisor!r}" if report.name else repr(report.supervisor)
        logger.error(
            "Supervisor %s: %s: child %s, reason %s",
            supervisor, report.context, shown(report.child), shown(report.reason),
        )  # fmt: skip
    elif isinstance(report, UnexpectedMessage):
        record = report.record
        logger.warning("%s got an unexpected message: %s", record.name or record.pid, shown(report.message))
    elif isinstance(report, DebugOutput):
        sys.stdout.write(report.text + "\n")
