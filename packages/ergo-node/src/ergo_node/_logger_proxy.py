"""`logger_proxy`: log events of processes elsewhere whose group leader is here, written through `logging`.

OTP sends them in addition to logging them where they happen; the crash report of a process that we started on
an Erlang node arrives this way.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from etf_codec import Atom, Pid, Term, to_text
from otp_behaviors import NO_REPLY, Caller, GenServer

from ergo_node._io_format import FormatError, io_format
from ergo_node._io_text import characters

NAME: Final = "logger_proxy"
MAX_TEXT: Final = 10_000
"""Characters of one event: what is logged here is written by others."""

LEVELS: Final = {
    "emergency": logging.CRITICAL,
    "alert": logging.CRITICAL,
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "notice": logging.INFO,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}

logger: Final = logging.getLogger("ergo_node.remote")


class LoggerProxy(GenServer):
    """Takes `{log, Level, Format, Args, Meta}` and `{log, Level, StringOrReport, Meta}`."""

    def init(self) -> None:
        """A link with another node must not end it."""
        self.trap_exit = True

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """OTP's `logger_proxy` answers none of the calls a node could make either."""
        return NO_REPLY

    def handle_cast(self, message: Any) -> None:
        """Nothing is asked of us by casts."""

    def handle_info(self, message: Any) -> None:
        """Log an event."""
        match message:
            case (Atom("log"), Atom(level), template, args, dict() as meta) if level in LEVELS:
                self._log(level, _formatted(template, args), meta)
            case (Atom("log"), Atom(level), what, dict() as meta) if level in LEVELS:
                self._log(level, _text(what), meta)

    @staticmethod
    def _log(level: str, text: str, meta: dict[Term, Term]) -> None:
        pid = meta.get(Atom("pid"))
        where = f"{to_text(pid)} on {pid.node}" if isinstance(pid, Pid) else "another node"
        logger.log(LEVELS[level], "%s: %s", where, text[:MAX_TEXT])


def _formatted(template: Term, args: Term) -> str:
    try:
        return io_format(template, args)
    except FormatError:
        return to_text((template, args), max_chars=MAX_TEXT)


def _text(what: Term) -> str:
    match what:
        case (Atom("string"), text):
            what = text
        case (Atom("report"), report):
            return to_text(report, max_chars=MAX_TEXT)
    try:
        return characters(what) if isinstance(what, list | bytes) else to_text(what, max_chars=MAX_TEXT)
    except (ValueError, OverflowError):
        return to_text(what, max_chars=MAX_TEXT)
