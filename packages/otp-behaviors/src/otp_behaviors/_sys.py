"""System messages: what `sys` and `gen:stop` of OTP ask any behavior.

A request is `{system, From, Request}`; the answer goes back as to a call.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final, Protocol

from etf_codec import Atom, Pid, Term

from otp_behaviors._gen_call import Caller, reply
from otp_behaviors._kernel import Kernel

SYSTEM: Final = Atom("system")
OK: Final = Atom("ok")
ERROR: Final = Atom("error")
UNKNOWN: Final = Atom("unknown_system_msg")
TERMINATE: Final = Atom("terminate")

Work = Coroutine[Any, Any, None]


class SystemProcess(Protocol):
    """What a behavior offers to system messages."""

    kernel: Kernel
    pid: Pid

    def stop(
        self, reason: Term, error: Exception | None = None, answer: tuple[Caller, Term] | None = None
    ) -> Work | None:
        """End with a reason after `terminate`, answering a caller."""


def handle_system(process: SystemProcess, caller: Caller, request: Term) -> Work | None:
    """Carry out a system message; returns a coroutine if the end of the process has to wait."""
    if type(request) is tuple and len(request) == 2 and request[0] == TERMINATE:
        return process.stop(request[1], None, (caller, OK))
    reply(process.kernel, process.pid, caller, (ERROR, (UNKNOWN, request)))
    return None
