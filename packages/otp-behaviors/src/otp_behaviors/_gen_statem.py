"""GenStatem: a state machine with events, timeouts and postponed events.

    caller                         kernel                          your class
    ------                         ------                          ----------
    start(Door, "1234")     ---->  new process              ---->  init("1234"), which names the first state
    call, cast, send …      ---->  one event after another  ---->  the function of the state
                                   next_state(OPEN)         ---->  Enter(LOCKED), if `state_enter`;
                                                                   then the events that were postponed
                                   set_state_timeout(10.0)  ---->  StateTimeout(content)
    stop, parent's exit …   ---->  end                      ---->  terminate(reason)

Follows `gen_statem` of STDLIB. What that returns as a tuple of actions is said by methods, as in a GenServer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, NoReturn, TypeVar

from etf_codec import Atom, Term

from otp_behaviors._debug import OUT
from otp_behaviors._errors import Unhandled
from otp_behaviors._gen_call import Caller
from otp_behaviors._kernel import Kernel
from otp_behaviors._process import Process
from otp_behaviors._reasons import TIMEOUT
from otp_behaviors._state_machine import StatemProcess
from otp_behaviors._statem_events import Event, EventTimeout, StateTimeout

BAD_EVENT: Final = Atom("bad_event")
BAD_STATE: Final = Atom("bad_state")

STATE: Final = "_state_of_gen_statem"
"""What marks a state function."""

Function = TypeVar("Function", bound=Callable[..., Any])


def state_function(function: Function) -> Function:
    """Have a method handle the events of the state that is called as the method is, an Atom."""
    function.__dict__[STATE] = Atom(function.__name__)
    return function


class GenStatem(Process):
    """Base class of state machines.

    Attributes of the instance are the data. Events are handled by a method for each state, `@state_function`,
    which gets the event, or else by `handle_event`, which gets the event and the state. Each may be a plain
    `def` or an `async def`; it returns nothing, and says by methods what is to happen after it.
    """

    _record: StatemProcess

    state_enter: ClassVar[bool] = False
    """Whether a state that is entered gets an `Enter` first."""

    callback_mode: ClassVar[str] = "state_functions"
    """That, or "handle_event_function" for a class that has a `handle_event` of its own."""

    debug_options: ClassVar[tuple[Any, ...]] = ()
    """What to debug from the start: "trace", ("log", 20), "statistics", ("install", (function, state))."""

    state_functions: ClassVar[Mapping[Term, str]] = MappingProxyType({})
    """The names of the methods that are `@state_function`, by their states."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.state_functions = MappingProxyType(
            {
                state: name
                for base in cls.__mro__
                for name, value in vars(base).items()
                if isinstance(state := getattr(value, STATE, None), Atom)
            }
        )
        if cls.handle_event is not GenStatem.handle_event:
            cls.callback_mode = "handle_event_function"

    @property
    def state(self) -> Any:
        """The state; while `Enter` is handled, the one that is entered."""
        return self._record.state

    # Callbacks

    def init(self, *args: Any) -> Any:
        """Set up the data from the arguments of `start`, and call `next_state` with the first state.

        Raise Ignore() to not start without error, Stop(reason) to refuse with one. `start` waits for it.
        """

    def handle_event(self, event: Event, state: Any) -> Any:
        """Handle an event. Without this callback, the state function of the state does.

        Raise Stop(reason) to end; with `reply=term`, who made the call that is handled gets that first.
        """
        name = self.state_functions.get(state) if isinstance(state, Atom) else None
        if name is None:
            raise Unhandled((BAD_STATE, state), f"{type(self).__name__} has no state function for {state!r}")
        return getattr(self, name)(event)

    def terminate(self, reason: Any) -> Any:
        """Clean up before the end.

        Called when a callback stops or raises, when `stop` is asked for, or, in a process that traps exits,
        when the parent ends; not when the process is killed.
        """

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """Return the status as `sys.get_status` and crash reports are to show it: without secrets, shorter.

        Args:
            status: `state`, `data` (the attributes, by Atom), `postponed`, `timeouts` and `log`, and in a
                crash report `queue` and `reason`.
        """
        return status

    def code_change(self, old_version: Any, extra: Any) -> Any:
        """Convert the data for the code that runs now (`sys.change_code`); may be `async def`.

        Called when this class has replaced another one. `next_state` changes the state, without `Enter`.
        """

    def reply(self, caller: Caller, term: Term) -> None:
        """Answer a call (`gen_statem:reply/2`), at once; once per call, later ones are dropped."""
        super().reply(caller, term)
        if self._record.debug is not None:
            self._record.debug.handle((OUT, term, caller))

    # What is to happen after a callback

    def next_state(self, state: Term) -> None:
        """Change the state. Events that were postponed are handled anew; the state timeout is cancelled."""
        self._record.change.next_state(state)

    def repeat_state(self) -> None:
        """Enter the state anew, if `state_enter`: the only difference from keeping it."""
        self._record.change.repeat_state()

    def postpone(self) -> None:
        """Handle this event again once the state has changed, before those that have come since."""
        self._record.change.postpone()

    def next_event(self, event: Event) -> None:
        """Handle this event next, before any that waits; several in the order in which they are given."""
        self._record.change.next_event(event)

    def set_event_timeout(self, seconds: float | None, content: Term = TIMEOUT) -> None:
        """Get `EventTimeout(content)` if no event comes within `seconds`; None cancels."""
        self._record.change.set_timeout(EventTimeout, seconds, content)

    def set_state_timeout(self, seconds: float | None, content: Term = TIMEOUT) -> None:
        """Get `StateTimeout(content)` if the state does not change within `seconds`; None cancels."""
        self._record.change.set_timeout(StateTimeout, seconds, content)

    def set_timeout(self, name: Term, seconds: float | None, content: Term = TIMEOUT) -> None:
        """Get `Timeout(name, content)` in some seconds, whatever happens meanwhile; None cancels.

        Args:
            name: one of several, hashable; the same one again begins anew.
            seconds: after this callback; at once, 0, means when all events that wait here are handled.
            content: of the event.
        """
        self._record.change.set_timeout((name,), seconds, content)

    def hibernate(self) -> None:
        """Free memory after this callback until the next event comes (`hibernate`)."""
        self._record.change.hibernate = True

    def unhandled(self, event: Event) -> NoReturn:
        """Fail as Erlang does where no clause matches: `case _: self.unhandled(event)`.

        Raises:
            Unhandled: always.
        """
        reason = (BAD_EVENT, self.state, event.term)
        raise Unhandled(reason, f"{type(self).__name__} has no clause for {event!r} in state {self.state!r}")

    @classmethod
    def __process__(cls, kernel: Kernel, args: tuple[Any, ...]) -> StatemProcess:
        """Return a new process for an instance of this class."""
        return StatemProcess(kernel, cls, args)
