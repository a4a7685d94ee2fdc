"""What a callback of a GenStatem wants to happen after it, and a timeout that has begun."""

from __future__ import annotations

from math import inf
from typing import Final, TypeAlias

from etf_codec import Atom, Term

from otp_behaviors._errors import BadReturn
from otp_behaviors._same import same
from otp_behaviors._statem_events import Enter, Event, EventTimeout, StateTimeout, Timeout, TimeoutEvent
from otp_behaviors._timers import Timer

BAD_ACTION: Final = Atom("bad_action_from_state_function")
BAD_ENTER_RETURN: Final = Atom("bad_state_enter_return_from_state_function")
BAD_ENTER_ACTION: Final = Atom("bad_state_enter_action_from_state_function")
NEXT_EVENT: Final = Atom("next_event")
NEXT_STATE: Final = Atom("next_state")
POSTPONE: Final = Atom("postpone")

Key: TypeAlias = type[EventTimeout] | type[StateTimeout] | tuple[Term]
"""Which timeout: that of the event, that of the state, or `(name,)`."""


class Change:
    """What a callback wants to happen after it."""

    __slots__ = ("_entering", "hibernate", "inserted", "old", "postponed", "repeated", "state", "timeouts")

    def __init__(self, state: Term) -> None:
        self._entering = False
        self.old = self.state = state
        self.repeated = self.postponed = self.hibernate = False
        self.inserted: list[Event] = []
        self.timeouts: dict[Key, tuple[float | None, Term]] = {}

    def enter(self) -> None:
        """From now on, `Enter` is handled."""
        self._entering = True
        self.repeated = False

    def next_state(self, state: Term) -> None:
        """Change the state."""
        if self._entering and not same(state, self.state):
            raise BadReturn(
                (BAD_ENTER_RETURN, (Atom("next_state"), state)), "no other state while one is entered"
            )
        self.state = state

    def repeat_state(self) -> None:
        """Enter the state anew."""
        self.repeated = True

    def postpone(self) -> None:
        """Handle the event again later."""
        if self._entering:
            raise BadReturn((BAD_ENTER_ACTION, POSTPONE), "Enter cannot be postponed")
        self.postponed = True

    def next_event(self, event: Event) -> None:
        """Handle an event next."""
        action = (NEXT_EVENT, *event.term)
        if self._entering:
            raise BadReturn((BAD_ENTER_ACTION, action), "no event can be inserted while a state is entered")
        if isinstance(event, Enter):
            raise BadReturn((BAD_ACTION, action), "only a change of the state makes an Enter")
        self.inserted.append(event)

    def set_timeout(self, key: Key, seconds: float | None, content: Term) -> None:
        """Begin a timeout, or cancel it; of several for one key the last one counts."""
        if seconds is not None and not 0 <= seconds < inf:
            raise ValueError(f"a timeout is a number of seconds from 0 up, or None, not {seconds!r}")
        self.timeouts.pop(key, None)
        self.timeouts[key] = (seconds, content)


class Running:
    """A timeout that has begun; as a message, it has ended."""

    __slots__ = ("event", "key", "timer")

    def __init__(self, key: Key, content: Term) -> None:
        self.key = key
        self.event: TimeoutEvent = Timeout(key[0], content) if isinstance(key, tuple) else key(content)
        self.timer: Timer | None = None

    def action(self, seconds: float) -> Term:
        """Return what began it, as Erlang writes it: `{Type, Milliseconds, Content, Options}`."""
        type_, content = self.event.term
        return (type_, round(seconds * 1000), content, [])
