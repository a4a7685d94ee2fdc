"""A GenEvent as system messages see it: its handlers, each with its attributes as the state."""

from __future__ import annotations

from collections.abc import Callable
from types import CoroutineType
from typing import Any, Final, Protocol

from etf_codec import Atom, Term

from otp_behaviors._debug import shown
from otp_behaviors._event_handler import EventHandler, Installed, parts
from otp_behaviors._requests import GEN_EVENT, NOTIFY
from otp_behaviors._same import same
from otp_behaviors._server_system import formatted, replace_attributes, state_of
from otp_behaviors._system import Loop, LoopSystem, Status, chars

EXIT: Final = Atom("EXIT")
HANDLER: Final = Atom("handler")
CALL: Final = Atom("call")


class ManagerLoop(Loop, Protocol):
    """The process of an event manager: what system messages need of it."""

    handlers: list[Installed]


def crash_status(handler: EventHandler | None, message: Term, reason: Term) -> Callable[[], dict[str, Any]]:
    """Return what makes the status of a report of a handler that goes, after its `format_status`."""

    def status() -> dict[str, Any]:
        # As in OTP, neither `EXIT` nor the stack are for `format_status`.
        failed = type(reason) is tuple and len(reason) == 2 and reason[0] is EXIT
        why = reason[1] if failed else reason
        stack = why[1:] if failed and type(why) is tuple and len(why) == 2 and type(why[1]) is list else ()
        facts = {"message": message, "reason": why[0] if stack else why}
        if handler is None:
            return {"state": [], **facts, "reason": reason}
        told = formatted(handler, {"state": state_of(handler), **facts})
        why = (told["reason"], *stack) if stack else told["reason"]
        return {**told, "reason": (EXIT, why) if failed else why}

    return status


def event_text(event: tuple[Term, ...]) -> str:
    """Return what is printed of an event, after the name."""
    _, message = event
    if type(message) is tuple and len(message) == 2 and message[0] is NOTIFY:
        return f"got event {shown(message[1])}"
    request = message[2] if type(message) is tuple and len(message) == 3 else None
    if type(request) is tuple and len(request) == 3 and request[0] is CALL:
        module, id = parts(request[1])
        return f"got call {shown(request[2])} for {shown(module if id is False else (module, id))}"
    return f"got {shown(message)}"


class EventSystem(LoopSystem[ManagerLoop]):
    """System messages of a GenEvent."""

    __slots__ = ()

    behavior = GEN_EVENT
    kind = "event handler"
    event_text = staticmethod(event_text)

    def get_state(self) -> Term:
        """`[{Module, Id, State}]`, the newest handler first."""
        return [(each.module, each.id, state_of(each.instance)) for each in self._loop.handlers]

    def replace_state(self, function: Callable[[Any], Any]) -> Term:
        """Set the attributes of each handler to those that the function returns for `{Module, Id, State}`.

        As in OTP, one for which it fails, or returns another module or id, stays as it was.
        """
        return [_replaced(each, function) for each in self._loop.handlers]

    def status(self) -> Status:
        """The log, and `{items, {"Installed handlers", [#handler{}]}}`."""
        log, records = self.log, []
        for each in self._loop.handlers:
            assert each.instance is not None
            told = formatted(each.instance, {"state": state_of(each.instance), "log": log})
            log = told["log"]
            records.append((HANDLER, each.module, each.id, told["state"], each.supervised or False))
        return [("Logged Events", log)], [(Atom("items"), (chars("Installed handlers"), records))]

    async def change_code(self, module: Any, old_version: Any, extra: Any) -> None:
        """Have the handlers of a class, or of that name, convert their state; they are of that class then."""
        name, _ = parts(module)
        for each in self._loop.handlers:
            if not same(each.module, name):
                continue
            assert each.instance is not None
            if isinstance(module, type):
                each.instance.__class__ = module
            result = each.instance.code_change(old_version, extra)
            if type(result) is CoroutineType:
                await result


def _replaced(handler: Installed, function: Callable[[Any], Any]) -> Term:
    current = (handler.module, handler.id, state_of(handler.instance))
    try:
        module, id, state = replaced = function(current)
        if not same(module, handler.module) or not same(id, handler.id):
            return current
        replace_attributes(handler.instance, state)
    except Exception:
        return current
    return replaced
