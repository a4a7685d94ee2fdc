"""The callbacks of a server that is debugged: the same ones, with each event noted."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import Any, Protocol

from etf_codec import Term

from otp_behaviors._debug import CONTINUE, IN, NO_REPLY_EVENT, OUT, Debug
from otp_behaviors._errors import NO_REPLY, Stop
from otp_behaviors._gen_call import GEN_CALL, GEN_CAST, Caller


class Callbacks(Protocol):
    """What the process of a server calls."""

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Answer a call."""

    def handle_cast(self, message: Any) -> Any:
        """Handle a cast."""

    def handle_info(self, message: Any) -> Any:
        """Handle any other message."""

    def handle_continue(self, token: Any) -> Any:
        """Go on after the last callback."""

    def terminate(self, reason: Any) -> Any:
        """Clean up before the end."""


class Observed:
    """Stands between a process and its callbacks while it is debugged.

    Args:
        observed: the callbacks.
        debug: takes the events.
        state: returns the state, for the events that show it.
    """

    __slots__ = ("_state", "debug", "observed")

    def __init__(self, observed: Callbacks, debug: Debug, state: Callable[[], Term]) -> None:
        self.observed = observed
        self.debug = debug
        self._state = state

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Answer a call."""
        self.debug.handle((IN, (GEN_CALL, caller, request)))
        try:
            result = self.observed.handle_call(request, caller)
        except Stop as stop:
            self._replied(stop.reply, caller)
            raise
        if type(result) is CoroutineType:
            return self._finish_call(result, caller)
        return self._called(result, caller)

    async def _finish_call(self, coroutine: Coroutine[Any, Any, Any], caller: Caller) -> Any:
        try:
            result = await coroutine
        except Stop as stop:
            self._replied(stop.reply, caller)
            raise
        return self._called(result, caller)

    def _called(self, result: Any, caller: Caller) -> Any:
        if result is NO_REPLY:
            self.debug.handle((NO_REPLY_EVENT, self._state()))
        else:
            self._replied(result, caller)
        return result

    def _replied(self, reply: Term, caller: Caller) -> None:
        if reply is not NO_REPLY:
            self.debug.handle((OUT, reply, caller, self._state()))

    def handle_cast(self, message: Any) -> Any:
        """Handle a cast."""
        self.debug.handle((IN, (GEN_CAST, message)))
        return self._silent(self.observed.handle_cast(message))

    def handle_info(self, message: Any) -> Any:
        """Handle any other message."""
        self.debug.handle((IN, message))
        return self._silent(self.observed.handle_info(message))

    def handle_continue(self, token: Any) -> Any:
        """Go on after the last callback."""
        self.debug.handle((CONTINUE, token))
        return self._silent(self.observed.handle_continue(token))

    def terminate(self, reason: Any) -> Any:
        """Clean up before the end."""
        return self.observed.terminate(reason)

    def _silent(self, result: Any) -> Any:
        if type(result) is CoroutineType:
            return self._finish(result)
        self.debug.handle((NO_REPLY_EVENT, self._state()))
        return result

    async def _finish(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        result = await coroutine
        self.debug.handle((NO_REPLY_EVENT, self._state()))
        return result
