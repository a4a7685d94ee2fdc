"""A GenStatem as system messages see it: its state, and its attributes as the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import CoroutineType
from typing import Any, Protocol

from etf_codec import Atom, Term

from otp_behaviors._debug import shown
from otp_behaviors._gen_call import is_caller
from otp_behaviors._process import Process
from otp_behaviors._server_system import formatted, replace_attributes, state_of
from otp_behaviors._statem_change import Change, Key, Running
from otp_behaviors._statem_events import CALL, Event
from otp_behaviors._system import GEN_STATEM, Loop, LoopSystem, Status, chars


class StatemLoop(Loop, Protocol):
    """The process of a state machine: what system messages need of it."""

    change: Change
    state: Any
    postponed: list[Event]
    timeouts: dict[Key, Running]


def statem_status(loop: StatemLoop, instance: Any, queue: Iterable[Event], reason: Term) -> dict[str, Any]:
    """Return what a terminate report shows, after `format_status`."""
    return formatted(instance, {**_status(loop, instance), "queue": _terms(queue), "reason": reason})


def _status(loop: StatemLoop, instance: Any) -> dict[str, Any]:
    return {
        "state": loop.state,
        "data": state_of(instance),
        "postponed": _terms(reversed(loop.postponed)),
        "timeouts": _terms(running.event for running in loop.timeouts.values()),
        "log": [] if loop.debug is None else loop.debug.get_log(),
    }


def _terms(events: Iterable[Event]) -> list[Term]:
    return [event.term for event in events]


def statem_event_text(event: tuple[Term, ...]) -> str:
    """Return what OTP's gen_statem prints of an event, after the name."""
    tag, *details = event
    match str(tag):
        case "in":
            return f"receive {_event_text(details[0])} in state {shown(details[1])}"
        case "out":
            return f"send {shown(details[0])} to {shown(details[1][0])}"
        case "postpone" | "consume":
            happened, state, next_state = details
            path = shown(state) if state == next_state else f"{shown(state)} => {shown(next_state)}"
            return f"{tag} {_event_text(happened)} in state {path}"
        case _:
            return f"{tag} {shown(details[0])} in state {shown(details[1])}"


def _event_text(event: Term) -> str:
    type_, content = event
    if type(type_) is tuple and type_[0] is CALL and is_caller(type_[1]):
        return f"call {shown(content)} from {shown(type_[1][0])}"
    return f"{shown(type_)} {shown(content)}"


class StatemSystem(LoopSystem[StatemLoop]):
    """System messages of a GenStatem."""

    __slots__ = ("_instance",)

    behavior = GEN_STATEM
    kind = "state machine"
    event_text = staticmethod(statem_event_text)

    def __init__(self, loop: StatemLoop, process: Process) -> None:
        super().__init__(loop, process)
        self._instance: Any = process

    def get_state(self) -> Term:
        """`{State, Data}`."""
        return (self._loop.state, state_of(self._instance))

    def replace_state(self, function: Callable[[Any], Any]) -> Term:
        """Take the state and the attributes that the function returns for `{State, Data}`."""
        state, data = replaced = function(self.get_state())
        replace_attributes(self._instance, data)
        self._loop.state = state
        return replaced

    def status(self) -> Status:
        """What there is besides state and data, and `[{data, [{"State", {State, Data}}]}]`."""
        shown = formatted(self._instance, _status(self._loop, self._instance))
        facts = [
            ("Modules", [Atom(type(self._instance).__qualname__[:255])]),
            ("Time-outs", (len(self._loop.timeouts), shown["timeouts"])),
            ("Logged Events", shown["log"]),
            ("Postponed", shown["postponed"]),
        ]
        return facts, [(Atom("data"), [(chars("State"), (shown["state"], shown["data"]))])]

    async def change_code(self, module: Any, old_version: Any, extra: Any) -> None:
        """Give the machine another class, if `module` is one; its `code_change` converts state and data."""
        if isinstance(module, type):
            self._instance.__class__ = module
        change = self._loop.change = Change(self._loop.state)
        result = self._instance.code_change(old_version, extra)
        if type(result) is CoroutineType:
            await result
        self._loop.state = change.state
