"""What `sys` keeps of a process that is debugged: trace, log, statistics and installed functions.

A process that is not debugged has none of this, and pays nothing for it. Follows the debug options of `sys`
in STDLIB; the events are those of `gen_server`: `{in, Message}`, `{out, Reply, From, State}`,
`{noreply, State}` and `{continue, Token}`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, TypeAlias

from etf_codec import Atom, Term, to_text

from otp_behaviors._effects import DebugOutput
from otp_behaviors._gen_call import GEN_CALL, GEN_CAST, is_caller
from otp_behaviors._kernel import Kernel
from otp_behaviors._process_table import ProcessRecord

LOG_SIZE: Final = 10
"""Events that `sys:log(Name, true)` keeps."""

MAX_LOG_SIZE: Final = 10_000
"""Events that a log may be told to keep: each holds a copy of the state, and any caller may ask for it."""

SHOWN_DEPTH: Final = 30
"""Depth of the terms in a printed event, as the default depth of the kernel's `error_logger`."""

IN: Final = Atom("in")
OUT: Final = Atom("out")
NO_REPLY_EVENT: Final = Atom("noreply")
CONTINUE: Final = Atom("continue")
TRACE: Final = Atom("trace")
LOG: Final = Atom("log")
STATISTICS: Final = Atom("statistics")
INSTALL: Final = Atom("install")
DONE: Final = Atom("done")

Event: TypeAlias = tuple[Term, ...]
DebugFunction: TypeAlias = Callable[[Term, Event, Term], Term]
"""`function(state, event, name)`: its new state, or `done` to be removed (`sys:dbg_fun()`)."""


class Statistics:
    """Counts since `sys:statistics(Name, true)`."""

    __slots__ = ("messages_in", "messages_out", "reductions", "start")

    def __init__(self, start: float, reductions: int) -> None:
        self.start = start
        self.reductions = reductions
        self.messages_in = 0
        self.messages_out = 0


class Debug:
    """The debug options of one process.

    Args:
        kernel: the kernel of the process.
        record: the process.
        text: returns what is printed of an event.
    """

    __slots__ = ("_functions", "_kernel", "_log", "_record", "_statistics", "_text", "tracing")

    def __init__(self, kernel: Kernel, record: ProcessRecord, text: Callable[[Event], str]) -> None:
        self._text = text
        self._kernel = kernel
        self._record = record
        self.tracing = False
        self._log: deque[Event] | None = None
        self._statistics: Statistics | None = None
        self._functions: dict[Term, tuple[DebugFunction, Term]] = {}

    @property
    def active(self) -> bool:
        """Whether anything is switched on."""
        return self.tracing or self._log is not None or self._statistics is not None or bool(self._functions)

    @property
    def name(self) -> Term:
        """What events call the process: its registered name, or its pid."""
        return Atom(self._record.name) if self._record.name else self._record.pid

    @property
    def options(self) -> list[Term]:
        """The options that are on, as `sys:debug_options/1` takes them."""
        options: list[Term] = [TRACE] if self.tracing else []
        if self._log is not None:
            options.append((LOG, self._log.maxlen))
        if self._statistics is not None:
            options.append(STATISTICS)
        return options + [(INSTALL, id) for id in self._functions]

    def handle(self, event: Event) -> None:
        """Take note of an event (`sys:handle_debug/4`)."""
        if self.tracing:
            self._print(event)
        if self._log is not None:
            self._log.append(event)
        if self._statistics is not None:
            self._statistics.messages_in += event[0] is IN
            self._statistics.messages_out += event[0] is OUT
        for id, (function, state) in list(self._functions.items()):
            try:
                state = function(state, event, self.name)
            except Exception:
                # As in OTP: one that fails is removed, and the process does not notice.
                state = DONE
            if type(state) is Atom and state == DONE:
                del self._functions[id]
            else:
                self._functions[id] = (function, state)

    # Switches

    def keep_log(self, size: int) -> None:
        """Keep the last `size` events, of those that there are already as many as fit."""
        self._log = deque(self._log or (), maxlen=size)

    def stop_log(self) -> None:
        """Forget the log."""
        self._log = None

    def get_log(self) -> list[Term]:
        """Return the events of the log, oldest first (`sys:get_log/1`)."""
        return list(self._log or ())

    def print_log(self) -> None:
        """Print the events of the log."""
        for event in self._log or ():
            self._print(event)

    def count(self) -> None:
        """Begin with statistics, unless they are being made."""
        if self._statistics is None:
            self._statistics = Statistics(self._system_time(), self._record.reductions)

    def stop_count(self) -> None:
        """Forget the statistics."""
        self._statistics = None

    def get_statistics(self) -> Term:
        """Return the statistics as `sys:statistics(Name, get)` does."""
        statistics = self._statistics
        if statistics is None:
            return Atom("no_statistics")
        return [
            (Atom("start_time"), _local_time(statistics.start)),
            (Atom("current_time"), _local_time(self._system_time())),
            (Atom("reductions"), self._record.reductions - statistics.reductions),
            (Atom("messages_in"), statistics.messages_in),
            (Atom("messages_out"), statistics.messages_out),
        ]

    def install(self, id: Term, function: DebugFunction, state: Term) -> None:
        """Have a function called for each event; nothing happens if `id` is installed already."""
        self._functions.setdefault(id, (function, state))

    def remove(self, id: Term) -> None:
        """Take an installed function out."""
        self._functions.pop(id, None)

    def _system_time(self) -> float:
        return self._kernel.now() + self._kernel.time_offset

    def _print(self, event: Event) -> None:
        self._kernel.report(DebugOutput(f"*DBG* {shown(self.name)} {self._text(event)}"))


def event_text(event: Event) -> str:
    """Return what OTP's gen_server prints of an event, after the name."""
    tag, *details = event
    if tag is IN:
        return _in_text(details[0])
    if tag is OUT:
        reply, (to, _), state = details
        return f"sent {shown(reply)} to {shown(to)}, new state {shown(state)}"
    if tag is NO_REPLY_EVENT:
        return f"new state {shown(details[0])}"
    return f"dbg  {shown(event)}"


def _in_text(message: Term) -> str:
    if type(message) is tuple and len(message) == 3 and message[0] is GEN_CALL and is_caller(message[1]):
        return f"got call {shown(message[2])} from {shown(message[1][0])}"
    if type(message) is tuple and len(message) == 2 and message[0] is GEN_CAST:
        return f"got cast {shown(message[1])}"
    return f"got {shown(message)}"


def debug_options(options: Iterable[Term]) -> list[tuple[Term, ...]]:
    """Return debug options as the requests that switch them on (`sys:debug_options/1`).

    Args:
        options: `trace`, `log`, `{log, N}`, `statistics`, `{install, {Function, State}}` or
            `{install, {Id, Function, State}}`; the names as str or Atom. Others are ignored, as in OTP.
    """
    requests: list[tuple[Term, ...]] = []
    for option in options:
        name, argument = option if isinstance(option, tuple) and len(option) == 2 else (option, True)
        if str(name) == LOG.name and isinstance(argument, int) and argument is not True:
            argument = (True, argument)
        if str(name) in ("trace", "log", "statistics", "install"):
            requests.append((Atom(str(name)), argument))
    return requests


def shown(term: Term) -> str:
    return to_text(term, max_depth=SHOWN_DEPTH)


def _local_time(seconds: float) -> Term:
    time = datetime.fromtimestamp(seconds)
    return ((time.year, time.month, time.day), (time.hour, time.minute, time.second))
