"""The events of a GenStatem: what its state functions are called with (`gen_statem:event_type()`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeAlias

from etf_codec import Atom, Term

from otp_behaviors._gen_call import GEN_CALL, GEN_CAST, Caller

CALL: Final = Atom("call")
TIMEOUT: Final = Atom("timeout")


class Event(ABC):
    """What happens to a state machine; `match` tells one kind from another: `case Cast(("key", digit))`."""

    __slots__ = ()

    @property
    @abstractmethod
    def term(self) -> tuple[Term, Term]:
        """The event as Erlang writes it: `{Type, Content}`."""


@dataclass(frozen=True, slots=True)
class Plain(Event):
    """An event whose type is an atom."""

    type: ClassVar[Atom]

    content: Any

    @property
    def term(self) -> tuple[Term, Term]:
        """The event as Erlang writes it."""
        return (self.type, self.content)


class Cast(Plain):
    """A message of `gen_statem:cast/2`."""

    __slots__ = ()
    type = Atom("cast")


class Info(Plain):
    """Any other message, Down and Exit (when exits are trapped) included."""

    __slots__ = ()
    type = Atom("info")


class Internal(Plain):
    """What the state machine tells itself with `next_event`."""

    __slots__ = ()
    type = Atom("internal")


class EventTimeout(Plain):
    """No event came in the time given to `set_event_timeout`."""

    __slots__ = ()
    type = TIMEOUT


class StateTimeout(Plain):
    """The state has not changed in the time given to `set_state_timeout`."""

    __slots__ = ()
    type = Atom("state_timeout")


class Enter(Plain):
    """The state was entered; the content is the old state, or the first one at the start (`state_enter`)."""

    __slots__ = ()
    type = Atom("enter")


@dataclass(frozen=True, slots=True)
class Call(Event):
    """A request of `gen_statem:call/2`, to be answered with `self.reply(caller, term)`."""

    caller: Caller
    request: Any

    @property
    def term(self) -> tuple[Term, Term]:
        """The event as Erlang writes it."""
        return ((CALL, self.caller), self.request)


@dataclass(frozen=True, slots=True)
class Timeout(Event):
    """The time given to `set_timeout` for this name is over."""

    name: Any
    content: Any

    @property
    def term(self) -> tuple[Term, Term]:
        """The event as Erlang writes it."""
        return ((TIMEOUT, self.name), self.content)


TimeoutEvent: TypeAlias = EventTimeout | StateTimeout | Timeout


def event_of(message: Term) -> Event:
    """Return the event that a message is."""
    if type(message) is tuple and message:
        if message[0] is GEN_CALL and len(message) == 3:
            return Call(message[1], message[2])
        if message[0] is GEN_CAST and len(message) == 2:
            return Cast(message[1])
    return Info(message)
