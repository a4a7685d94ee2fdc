"""The events of a GenStatem: what its state functions are called with (`gen_statem:event_type()`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from etf_codec import Atom, Term

from otp_behaviors._gen_call import GEN_CALL, GEN_CAST, Caller

CALL: Final = Atom("call")
CAST: Final = Atom("cast")
INFO: Final = Atom("info")
INTERNAL: Final = Atom("internal")
TIMEOUT: Final = Atom("timeout")
STATE_TIMEOUT: Final = Atom("state_timeout")
ENTER: Final = Atom("enter")


@dataclass(frozen=True, slots=True)
class Call:
    """A request of `gen_statem:call/2`, to be answered with `self.reply(caller, term)`."""

    caller: Caller
    request: Any

    @property
    def term(self) -> Term:
        """The event as Erlang writes it: `{Type, Content}`."""
        return ((CALL, self.caller), self.request)


@dataclass(frozen=True, slots=True)
class Cast:
    """A message of `gen_statem:cast/2`."""

    message: Any

    @property
    def term(self) -> Term:
        """The event as Erlang writes it."""
        return (CAST, self.message)


@dataclass(frozen=True, slots=True)
class Info:
    """Any other message, Down and Exit (when exits are trapped) included."""

    message: Any

    @property
    def term(self) -> Term:
        """The event as Erlang writes it."""
        return (INFO, self.message)


@dataclass(frozen=True, slots=True)
class Internal:
    """What the state machine tells itself with `next_event`."""

    content: Any

    @property
    def term(self) -> Term:
        """The event as Erlang writes it."""
        return (INTERNAL, self.content)


@dataclass(frozen=True, slots=True)
class EventTimeout:
    """No event came in the time given to `set_event_timeout`."""

    content: Any

    @property
    def term(self) -> Term:
        """The event as Erlang writes it."""
        return (TIMEOUT, self.content)


@dataclass(frozen=True, slots=True)
class StateTimeout:
    """The state has not changed in the time given to `set_state_timeout`."""

    content: Any

    @property
    def term(self) -> Term:
        """The event as Erlang writes it."""
        return (STATE_TIMEOUT, self.content)


@dataclass(frozen=True, slots=True)
class Timeout:
    """The time given to `set_timeout` for this name is over."""

    name: Any
    content: Any

    @property
    def term(self) -> Term:
        """The event as Erlang writes it."""
        return ((TIMEOUT, self.name), self.content)


@dataclass(frozen=True, slots=True)
class Enter:
    """The state was entered, from the old one or for the first time (`state_enter`)."""

    old_state: Any

    @property
    def term(self) -> Term:
        """The event as Erlang writes it."""
        return (ENTER, self.old_state)


Event: TypeAlias = Call | Cast | Info | Internal | EventTimeout | StateTimeout | Timeout | Enter
TimeoutEvent: TypeAlias = EventTimeout | StateTimeout | Timeout


def event_of(message: Term) -> Event:
    """Return the event that a message is."""
    if type(message) is tuple and message:
        if message[0] is GEN_CALL and len(message) == 3:
            return Call(message[1], message[2])
        if message[0] is GEN_CAST and len(message) == 2:
            return Cast(message[1])
    return Info(message)
