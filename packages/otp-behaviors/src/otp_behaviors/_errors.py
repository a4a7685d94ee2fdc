"""What can go wrong, as exceptions.

ExitError(reason)             a process ended, or must end, with this reason
├── CallTimeout               no reply in time (also a TimeoutError)
├── NoProcess                 nobody there: `noproc`
├── NoConnection              the node cannot be reached, or was lost: `noconnection`
├── Unhandled                 a callback got a request it has no clause for: `{bad_call, Request}` …
├── BadReturn                 a callback returned what it may not: `{bad_return_value, Value}`
└── NameTaken                 the name belongs to another process: `{already_started, Pid}`

Stop and Ignore are not errors but ways for a callback to say what happens next.
"""

from __future__ import annotations

from typing import Final

from etf_codec import Term

from otp_behaviors._reasons import NORMAL


class NoReply:
    """The type of `NO_REPLY`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NO_REPLY"


NO_REPLY: Final = NoReply()
"""Returned by `handle_call` to answer later, with `self.reply(caller, term)`."""


class ExitError(Exception):
    """A process ended with a reason, or the process that raises this is to end with it.

    Args:
        reason: the exit reason, any term.
    """

    def __init__(self, reason: Term, text: str | None = None) -> None:
        super().__init__(reason if text is None else text)
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[0]) if isinstance(self.args[0], str) else f"exit: {self.reason!r}"


class CallTimeout(ExitError, TimeoutError):
    """A call got no reply in time. The late reply, should it come, is dropped."""


class NoProcess(ExitError):
    """There is no such process: it never lived, or lives no more."""


class NoConnection(ExitError):
    """The other node cannot be reached, or the connection to it was lost."""


class Unhandled(ExitError):
    """A behavior got a request its callback module does not handle."""


class BadReturn(ExitError):
    """A callback returned a value its behavior does not know."""


class NameTaken(ExitError):
    """The name is registered by another process."""


class Stop(Exception):
    """Raise it in a callback to end the server.

    Args:
        reason: the exit reason; `normal` when left out.
        reply: where a call is handled, what the caller gets before the server ends (OTP's
            `{stop, Reason, Reply, State}` and `{stop_and_reply, Reason, Replies}`).
    """

    def __init__(self, reason: Term = NORMAL, *, reply: Term = NO_REPLY) -> None:
        super().__init__(reason)
        self.reason = reason
        self.reply = reply


class Ignore(Exception):
    """Raise it in `init` to say: do not start me, and that is no error (OTP's `ignore`)."""
