"""What is logged of a report: a line for people, and for programs OTP's report, both bounded.

A report is a dict with OTP's names: `label` says which one it is, as in `logger` of KERNEL. Follows
`proc_lib`, `gen_server`, `supervisor` and `application_controller`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from reprlib import Repr
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from etf_codec import Atom, Pid, Port, Reference, Term, to_text

from otp_behaviors._effects import (
    UNDEFINED,
    ApplicationExited,
    ApplicationStarted,
    ChildStarted,
    ChildStartedOnRequest,
    CrashReport,
    EventReport,
    Facts,
    StatemReport,
    SupervisorReport,
    TerminateReport,
    UnexpectedMessage,
    UnhandledInfo,
)
from otp_behaviors._errors import ExitError, Stop

MAX_DEPTH: Final = 8
"""Depth of the terms in a report, as of those that `shown` writes."""

MAX_CHARS: Final = 2000
"""Where a term of a report is cut, as text, and how long text and binaries in it may be."""

MAX_ITEMS: Final = 2000
"""Items of one value of a report, nested ones included: a stack trace has the letters of its paths."""

MORE: Final = Atom("...")
"""Stands for what was left out of a value, as in OTP's text."""

NO_LABEL: Final = ("process_label", UNDEFINED)
"""As in OTP, a report has it but its text leaves it out."""

SCALARS: Final = (int, float, Atom, Pid, Port, Reference, type(None))

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


def bounded(value: Any) -> Any:
    """Return a copy that is bounded in depth and length, of plain containers; other objects as text."""
    try:
        return _Copy().of(value, MAX_DEPTH)
    except Exception:
        # A container of the program whose methods raise, or that a thread is changing.
        return shown(value)


class _Copy:
    def __init__(self) -> None:
        self._room = MAX_ITEMS

    def of(self, value: Any, depth: int) -> Any:
        if isinstance(value, str | bytes):
            return value[:MAX_CHARS]
        if isinstance(value, SCALARS):
            return value
        if not isinstance(value, tuple | list | Set | Mapping):
            return shown(value)
        if depth == 0:
            return MORE
        if isinstance(value, Mapping):
            items = self._items(value.items(), depth + 1)
            return {_key(item[0]): item[1] for item in items if item is not MORE}
        items = self._items(value, depth)
        return tuple(items) if isinstance(value, tuple) else items

    def _items(self, values: Any, depth: int) -> list[Any]:
        items: list[Any] = []
        for value in values:
            if self._room == 0:
                return [*items, MORE]
            self._room -= 1
            items.append(self.of(value, depth - 1))
        return items


def _key(key: Any) -> Any:
    return key if isinstance(key, (str, bytes, *SCALARS)) else shown(key)


class Entry(NamedTuple):
    """One entry of the log: a format of `logging` with its arguments, the report, and an exception."""

    format: str
    arguments: tuple[Any, ...]
    report: dict[str, Any]
    error: BaseException | None = None


def _text(value: Any) -> str:
    return to_text(value, max_chars=MAX_CHARS, max_depth=MAX_DEPTH)


def _lines(facts: Facts) -> str:
    return "".join(f"\n  {name}: {_text(value)}" for name, value in facts if (name, value) != NO_LABEL)


def _bounded_dict(facts: Facts) -> dict[str, Any]:
    return {name: bounded(value) for name, value in facts}


def _who(pid: Pid, name: str | None) -> str:
    return f"{name} {pid!r}" if name else repr(pid)


def _terminate(report: TerminateReport, node: str) -> Entry:
    status = report.status()
    facts: Facts = [
        ("name", Atom(report.name) if report.name else report.pid),
        ("last_message", status["message"]),
        ("state", status["state"]),
        ("log", status["log"]),
        ("reason", status["reason"]),
        ("client_info", UNDEFINED if report.client is None else report.client),
        ("process_label", report.label),
    ]
    told = {"label": ("gen_server", "terminate"), **_bounded_dict(facts)}
    who = _who(report.pid, report.name)
    lines = _lines([fact for fact in facts[1:] if fact[0] != "reason"])
    return Entry("Generic server %s terminating: %s%s", (who, shown(status["reason"]), lines), told)


def _statem(report: StatemReport, node: str) -> Entry:
    status = report.status()
    callback_mode, state_enter = report.mode
    facts: Facts = [
        ("name", Atom(report.name) if report.name else report.pid),
        ("queue", status["queue"]),
        ("postponed", status["postponed"]),
        ("modules", [Atom(report.module[:255])]),
        ("callback_mode", Atom(callback_mode)),
        ("state_enter", state_enter),
        ("state", (status["state"], status["data"])),
        ("timeouts", (report.running, status["timeouts"])),
        ("log", status["log"]),
        ("reason", (Atom("exit"), status["reason"], [])),
        ("client_info", UNDEFINED if report.client is None else report.client),
        ("process_label", report.label),
    ]
    told = {"label": ("gen_statem", "terminate"), **_bounded_dict(facts)}
    who = _who(report.pid, report.name)
    lines = _lines([fact for fact in facts[1:] if fact[0] != "reason" and fact[1] != []])
    return Entry("State machine %s terminating: %s%s", (who, shown(status["reason"]), lines), told)


def _event(report: EventReport, node: str) -> Entry:
    status = report.status()
    facts: Facts = [
        ("handler", report.handler),
        ("name", Atom(report.name) if report.name else report.manager),
        ("last_message", status["message"]),
        ("state", status["state"]),
        ("reason", status["reason"]),
        ("process_label", report.label),
    ]
    told = {"label": ("gen_event", "terminate"), **_bounded_dict(facts)}
    who = _who(report.manager, report.name)
    lines = _lines([fact for fact in facts[2:] if fact[0] != "reason"])
    text = "Event handler %s of %s crashed: %s%s"
    return Entry(text, (_text(report.handler), who, shown(status["reason"]), lines), told)


def _crash(report: CrashReport, node: str) -> Entry:
    module, function, arity = report.initial_call
    facts: Facts = [
        ("initial_call", report.initial_call),
        ("pid", report.pid),
        ("registered_name", Atom(report.name) if report.name else []),
        ("error_info", _error_info(report)),
        *report.details,
    ]
    told = {
        "label": ("proc_lib", "crash"),
        **_bounded_dict(facts),
        "neighbours": [_bounded_dict(neighbour) for neighbour in report.neighbours],
    }
    pids = [dict(neighbour)["pid"] for neighbour in report.neighbours]
    return Entry(
        "Process %s terminating: %s\n  node: %s\n  initial call: %s.%s/%d%s",
        (
            _who(report.pid, report.name), shown(report.reason), node, module, function, arity,
            _lines([*report.details, ("neighbours", pids)]),
        ),
        told,
        report.error,
    )  # fmt: skip


def _error_info(report: CrashReport) -> Term:
    """`{Class, Reason, Stacktrace}`."""
    reason = report.reason
    if report.error is None or isinstance(report.error, ExitError | Stop):
        return (Atom("exit"), reason, [])
    if type(reason) is tuple and len(reason) == 2 and isinstance(reason[1], list):
        return (Atom("error"), *reason)
    return (Atom("error"), reason, [])


def _supervisor_of(report: SupervisorReport | ChildStarted) -> Term:
    if report.name:
        return (Atom("local"), Atom(report.name))
    return (report.supervisor, Atom("supervisor"))


def _supervisor(report: SupervisorReport, node: str) -> Entry:
    told = {
        "label": ("supervisor", report.context),
        "supervisor": _supervisor_of(report),
        "errorContext": Atom(report.context),
        "reason": bounded(report.reason),
        "offender": _bounded_dict(report.offender),
    }
    who = _who(report.supervisor, report.name)
    arguments = (who, report.context, shown(report.child), shown(report.reason))
    offender = _lines([("offender", report.offender)])
    return Entry("Supervisor %s: %s: child %s, reason %s%s", (*arguments, offender), told)


def _child_started(report: ChildStarted, node: str) -> Entry:
    told = {
        "label": ("supervisor", "progress"),
        "supervisor": _supervisor_of(report),
        "started": _bounded_dict(report.started),
    }
    who = _who(report.supervisor, report.name)
    return Entry("Supervisor %s: started%s", (who, _lines([("started", report.started)])), told)


def _application_started(report: ApplicationStarted, node: str) -> Entry:
    told = {
        "label": ("application_controller", "progress"),
        "application": Atom(report.application),
        "started_at": Atom(node),
    }
    return Entry("Application %s: started at %s", (report.application, node), told)


def _application_exited(report: ApplicationExited, node: str) -> Entry:
    told = {
        "label": ("application_controller", "exit"),
        "application": Atom(report.application),
        "exited": bounded(report.exited),
        "type": Atom(report.type),
    }
    arguments = (report.application, shown(report.exited), report.type)
    return Entry("Application %s: exited: %s, type: %s", arguments, told)


def _unexpected(report: UnexpectedMessage, node: str) -> Entry:
    record = report.record
    told = {
        "label": ("gen_server", "no_handle_info"),
        "name": Atom(record.name) if record.name else record.pid,
        "message": bounded(report.message),
    }
    return Entry("%s got an unexpected message: %s", (record.name or record.pid, shown(report.message)), told)


def _unhandled(report: UnhandledInfo, node: str) -> Entry:
    told = {
        "label": ("gen_event", "no_handle_info"),
        "module": report.module,
        "message": bounded(report.message),
    }
    return Entry(
        "Event handler %s got an unexpected message: %s", (report.module, shown(report.message)), told
    )


Level: TypeAlias = Literal["ERROR", "WARNING", "INFO", "DEBUG"]

ENTRIES: Final[dict[type, tuple[Level, Callable[[Any, str], Entry]]]] = {
    TerminateReport: ("ERROR", _terminate),
    StatemReport: ("ERROR", _statem),
    EventReport: ("ERROR", _event),
    CrashReport: ("ERROR", _crash),
    SupervisorReport: ("ERROR", _supervisor),
    UnexpectedMessage: ("WARNING", _unexpected),
    UnhandledInfo: ("WARNING", _unhandled),
    ChildStarted: ("INFO", _child_started),
    ChildStartedOnRequest: ("DEBUG", _child_started),
    ApplicationStarted: ("INFO", _application_started),
    # OTP's level is notice, which `logging` does not have.
    ApplicationExited: ("INFO", _application_exited),
}
"""How each report is logged: its level, and what makes its entry of the report and the node's name."""
