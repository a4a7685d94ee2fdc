"""The I/O protocol: `user` prints what processes of other nodes write; `put_chars` writes to any leader.

Follows "The Erlang I/O Protocol" of STDLIB. Input is denied: other nodes do not read this program's terminal.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from secrets import token_bytes
from typing import Any, Final, TypeAlias

from etf_codec import Atom, Pid, Reference, Term
from otp_behaviors import NO_REPLY, Caller, ExitError, GenServer, Process

from ergo_node._io_format import FormatError, io_format
from ergo_node._io_text import characters, written

NAME: Final = "user"
OK: Final = Atom("ok")
ERROR: Final = Atom("error")
ENOTSUP: Final = Atom("enotsup")
REQUEST: Final = Atom("request")
TERMINATED: Final = Atom("terminated")
IO_REQUEST: Final = Atom("io_request")
IO_REPLY: Final = Atom("io_reply")
PUT_CHARS: Final = Atom("put_chars")
UNICODE: Final = Atom("unicode")
FORMAT: Final = Atom("format")
OPTIONS: Final[list[Term]] = [(Atom("binary"), False), (Atom("encoding"), UNICODE)]

MAX_CHARACTERS: Final = 1_000_000
"""Printed in one `WINDOW`: no reader takes in more, and disks fill. What is beyond waits, and so do those who
wrote it, for each gets its answer when its text has been printed (threats H21)."""

WINDOW: Final = 1.0
"""Seconds."""

MAX_WAITING: Final = 1000
"""Requests that wait, one of each writer that keeps to the protocol. More are answered with an error."""

Write: TypeAlias = Callable[[str], object]
IoRequest: TypeAlias = tuple[Pid, Term, Term]
"""Who asks, its tag for the answer, and for what."""


def to_stdout(text: str) -> None:
    """Write to standard output; what its encoding lacks is written as an escape."""
    out = sys.stdout
    encoding = out.encoding or "utf-8"
    out.write(text.encode(encoding, "backslashreplace").decode(encoding))
    out.flush()


class User(GenServer):
    """An I/O server: the group leader of this node's processes, and of those they start elsewhere."""

    def init(self, write: Write, started: Callable[[Pid], None]) -> None:
        """`write` prints; `started` is told the pid, which changes when the server is restarted."""
        self.trap_exit = True  # a link with another node must not end it
        self.write = write
        self.total = 0
        self.printed = 0
        self.window: bytes | None = None
        self.waiting = deque[IoRequest]()
        started(self.pid)

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """OTP's `user` answers no calls either."""
        return NO_REPLY

    def handle_cast(self, message: Any) -> None:
        """Nothing is asked of us by casts."""

    def handle_info(self, message: Any) -> None:
        """`{io_request, From, ReplyAs, Request}`, answered with `{io_reply, ReplyAs, Reply}`."""
        match message:
            case (Atom("io_request"), Pid() as sender, reply_as, request):
                self._take_turn((sender, reply_as, request))
            case bytes() if message == self.window:
                self._next_window()

    def _take_turn(self, request: IoRequest) -> None:
        """Answer a request while the window has room. Whose it is cannot be known: its pid is only told."""
        sender, reply_as, _ = request
        if self.printed < MAX_CHARACTERS and not self.waiting:
            self._count(request)
        elif len(self.waiting) < MAX_WAITING:
            self.waiting.append(request)
        else:
            self.send(sender, (IO_REPLY, reply_as, (ERROR, TERMINATED)))

    def _next_window(self) -> None:
        self.window, self.printed = None, 0
        while self.waiting and self.printed < MAX_CHARACTERS:
            self._count(self.waiting.popleft())

    def _count(self, request: IoRequest) -> None:
        before = self.total
        self._answer(request)
        self.printed += self.total - before
        if self.window is None:
            self.window = token_bytes(16)  # that no other node can send
            self.send_after(WINDOW, self.pid, self.window)

    def _answer(self, request: IoRequest) -> None:
        sender, reply_as, what = request
        self.send(sender, (IO_REPLY, reply_as, self._carry_out(what)))

    def _carry_out(self, request: Any) -> Term:
        match request:
            case (Atom("put_chars"), Atom("unicode" | "latin1") as encoding, text):
                return self._put(lambda: characters(text, unicode=encoding == UNICODE))
            case (Atom("put_chars"), Atom("unicode" | "latin1"), Atom("io_lib"), function, list() as args):
                return self._format(function, args)
            case (Atom("put_chars"), Atom("io_lib"), function, list() as args):
                return self._format(function, args)
            case (Atom("put_chars"), text):
                return self._put(lambda: characters(text, unicode=False))
            case (Atom("requests"), list() as requests):
                return self._each(requests)
            case (Atom("setopts"), _):
                return OK
            case Atom("getopts"):
                return OPTIONS
            case (Atom("get_geometry"), _) | (Atom("get_password"), _):
                return (ERROR, ENOTSUP)
            case (Atom("get_until" | "get_chars" | "get_line"), *_):
                return (ERROR, ENOTSUP)
        return (ERROR, REQUEST)

    def _format(self, function: Term, args: list[Any]) -> Term:
        match (function, args):
            case (Atom("format" | "fwrite"), [template, arguments]):
                return self._put(lambda: io_format(template, arguments))
            case (Atom("write"), [term]):
                return self._put(lambda: written(term))
        # Any other function would be code of another node.
        return (ERROR, function)

    def _put(self, text: Callable[[], str]) -> Term:
        try:
            printed = text()
        except FormatError:
            return (ERROR, FORMAT)
        except (ValueError, OverflowError):
            return (ERROR, PUT_CHARS)
        self.total += len(printed)
        try:
            self.write(printed)
        except (OSError, ValueError):
            # Standard output is closed.
            return (ERROR, TERMINATED)
        return OK

    def _each(self, requests: list[Term]) -> Term:
        reply: Term = OK
        for request in requests:
            reply = self._carry_out(request)
            if isinstance(reply, tuple) and reply[:1] == (ERROR,):
                break
        return reply


async def put_chars(process: Process, text: str) -> None:
    """Write to the group leader of a process, wherever that is (`io:put_chars/1`).

    In a function run for another node, the group leader is that of the caller: the text appears there.

    Args:
        process: the process that writes: `self` in a server or in a function with `process=True`.
        text: what to write.

    Raises:
        ExitError: `terminated`, there is no group leader any more; or what it answers as error.
    """
    leader = process.group_leader
    if leader is None:
        raise ExitError(TERMINATED, "this process has no group leader")
    ref = process.monitor(leader)
    process.send(leader, (IO_REQUEST, process.pid, ref, (PUT_CHARS, UNICODE, text.encode())))
    answer: Any = await process.receive(lambda message: _is_answer(message, ref))
    process.demonitor(ref, flush=True)
    if len(answer) != 3:
        raise ExitError(TERMINATED, "the group leader has ended")
    if answer[2] != OK:
        raise ExitError(answer[2], f"the group leader answers {answer[2]!r}")


def _is_answer(message: Any, ref: Reference) -> bool:
    match message:
        case (Atom("io_reply"), tag, _) if tag == ref:
            return True
        case (Atom("DOWN"), tag, _, _, _) if tag == ref:
            return True
    return False
