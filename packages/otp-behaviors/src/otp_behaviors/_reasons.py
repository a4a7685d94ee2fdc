"""Exit reasons: the atoms OTP gives a meaning, and the reason an exception becomes.

See "Processes: Error Handling" in the Erlang reference manual and `proc_lib`, `supervisor` in STDLIB.
"""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Final

from etf_codec import Atom, Term

NORMAL: Final = Atom("normal")
SHUTDOWN: Final = Atom("shutdown")
KILL: Final = Atom("kill")
KILLED: Final = Atom("killed")
NOPROC: Final = Atom("noproc")
NOCONNECTION: Final = Atom("noconnection")
TIMEOUT: Final = Atom("timeout")
RESTART: Final = Atom("restart")

MAX_FRAMES: Final = 8
"""Stack frames kept in a reason, as `erlang:system_flag(backtrace_depth, 8)`."""

MAX_TEXT: Final = 1000
"""Characters of an exception's text kept in a reason: reasons travel to every linked process."""


def is_clean(reason: Term) -> bool:
    """Tell whether OTP counts the reason as an expected end: `normal`, `shutdown`, `{shutdown, Term}`.

    A transient child is not restarted, and no crash report is written, for such a reason.
    """
    if type(reason) is tuple:
        return len(reason) == 2 and reason[0] is SHUTDOWN
    return bool(reason in (NORMAL, SHUTDOWN)) if type(reason) is Atom else False


def from_exception(error: BaseException) -> Term:
    """Return the exit reason of an uncaught exception: `{{ExceptionName, Text}, Stacktrace}`.

    The shape is OTP's `{Error, Stacktrace}`; the stack trace is a list of
    `{Module, Function, Arity, [{file, File}, {line, Line}]}`, innermost call first. Only names from the
    program become atoms, so a program makes a bounded number of them.
    """
    text = str(error)[:MAX_TEXT]
    return ((Atom(type(error).__name__[:255]), text.encode(errors="replace")), stack(error.__traceback__))


def stack(trace: TracebackType | None) -> list[Term]:
    """Return a traceback in the shape of an Erlang stack trace, at most `MAX_FRAMES` deep."""
    frames = list(traceback.walk_tb(trace))[-MAX_FRAMES:]
    return [
        (
            Atom(str(frame.f_globals.get("__name__", "?"))[:255]),
            Atom(frame.f_code.co_name[:255]),
            frame.f_code.co_argcount,
            [
                (Atom("file"), list(frame.f_code.co_filename.encode(errors="replace"))),
                (Atom("line"), line),
            ],
        )
        for frame, line in reversed(frames)
    ]
