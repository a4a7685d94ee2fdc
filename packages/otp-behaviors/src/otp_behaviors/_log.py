"""Reports of the kernel, written through `logging`. What they say is in `_reports`."""

from __future__ import annotations

import logging
import sys
from typing import Final

from otp_behaviors._effects import DebugOutput, Effect
from otp_behaviors._kernel import Kernel
from otp_behaviors._reports import ENTRIES, Level

logger: Final = logging.getLogger("otp_behaviors")
logger.addHandler(logging.NullHandler())

LEVELS: Final[dict[Level, int]] = {
    "ERROR": logging.ERROR,
    "WARNING": logging.WARNING,
    "INFO": logging.INFO,
    "DEBUG": logging.DEBUG,
}


def log(kernel: Kernel, report: Effect) -> None:
    """Write a report; its record has it as `otp_report`. Nothing is made of it if nobody wants its level."""
    if isinstance(report, DebugOutput):
        sys.stdout.write(report.text + "\n")
        return
    name, entry_of = ENTRIES[type(report)]
    level = LEVELS[name]
    if logger.isEnabledFor(level):
        entry = entry_of(report, kernel.node)
        extra = {"otp_report": entry.report}
        logger.log(level, entry.format, *entry.arguments, exc_info=entry.error, extra=extra)
