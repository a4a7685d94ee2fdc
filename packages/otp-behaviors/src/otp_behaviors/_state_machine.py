"""The process of a GenStatem: OTP's `gen_statem` loop.

1. the next event: one that was inserted or postponed, else a timeout of no time, else the next message
2. the callback, which says what is to change
3. `Enter`, if the state changes or is repeated, and the class wants that
4. the transition: timeouts end and begin, what was postponed comes back, what was inserted goes before it
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from types import CoroutineType
from typing import Any, Final

from etf_codec import Atom, Term

from otp_behaviors._behavior import BehaviorProcess, Work, reason_of
from otp_behaviors._debug import Debug
from otp_behaviors._effects import StatemReport, label_of
from otp_behaviors._errors import NO_REPLY, BadReturn, Ignore, Stop
from otp_behaviors._gen_call import is_caller, reply
from otp_behaviors._kernel import Kernel
from otp_behaviors._process import Process
from otp_behaviors._process_table import EXITED
from otp_behaviors._same import same
from otp_behaviors._signals import Exit
from otp_behaviors._statem_change import Change, Key, Running
from otp_behaviors._statem_events import (
    Call,
    Enter,
    Event,
    EventTimeout,
    Internal,
    StateTimeout,
    event_of,
)
from otp_behaviors._statem_system import StatemSystem, statem_status
from otp_behaviors._system import debug_from_start, handle_system, is_system

BAD_RETURN: Final = Atom("bad_return_from_state_function")
BAD_RETURN_FROM_INIT: Final = Atom("bad_return_from_init")

FIRST: Final = Internal(Atom("init_state"))
"""Stands for the event that has a state machine begin, as in OTP."""


class StatemProcess(BehaviorProcess):
    """The process of a GenStatem."""

    __slots__ = ("_at_once", "_event", "change", "debug", "events", "postponed", "state", "timeouts")

    def __init__(self, kernel: Kernel, behavior: type[Process], args: tuple[Any, ...]) -> None:
        super().__init__(kernel, behavior, args)
        self.state: Any = None
        self.change = Change(NO_REPLY)
        self.debug: Debug | None = None
        # What is being handled, what is handled before the next message, and after the next change of state.
        self._event: Event | None = None
        self.events: deque[Event] = deque()
        self.postponed: list[Event] = []
        self.timeouts: dict[Key, Running] = {}
        self._at_once: deque[Running] = deque()

    @property
    def queue(self) -> list[Event]:
        """The event that is being handled, if any, and those after it."""
        return [event for event in (self._event, *self.events) if event is not None]

    def started(self) -> Work | None:
        """`init` has returned."""
        state = self.change.state
        if state is NO_REPLY:
            text = f"{type(self.instance).__name__}.init has not called next_state"
            self.refuse_start(BadReturn((BAD_RETURN_FROM_INIT, None), text))
            return None
        if self.instance.debug_options:
            debug_from_start(StatemSystem(self, self.instance), self.instance.debug_options)
        self.acknowledge()
        self.state = self.change.old = state
        self._event = FIRST
        self._note("enter", Atom(type(self.instance).__qualname__[:255]), state)
        self.change.postponed, self.change.repeated = False, True
        return self._decided()

    def refuse_start(self, error: Exception) -> None:
        """`init` did not succeed; unless it said so itself, that is reported as any crash is."""
        if not isinstance(error, Ignore | Stop):
            self.report_end(reason_of(error))
        super().refuse_start(error)

    def more(self) -> bool:
        """Tell whether there is an event, or a message that is one."""
        return bool(self.events or self._at_once or self.mailbox)

    def cancel_timeouts(self) -> None:
        """No timeout ends any more; the report of the end still names them."""
        for running in self.timeouts.values():
            if running.timer is not None:
                running.timer.cancel()

    def terminate(self, reason: Term) -> Any:
        """Call the callback."""
        return self.instance.terminate(reason)

    def note_end(self, reason: Term) -> None:
        """Have who debugs the machine see its end."""
        self._note("terminate", reason, self.state)

    def report_end(self, reason: Term) -> None:
        """Report the end as `gen_statem:error_info/7`."""
        queue = self.queue
        caller = queue[0].caller if queue and isinstance(queue[0], Call) else None
        status = partial(statem_status, self, self.instance, queue, reason)
        behavior = type(self.instance)
        name, mode = behavior.__qualname__, (behavior.callback_mode, behavior.state_enter)
        told = (status, self.client(caller), label_of(self), name, mode, len(self.timeouts))
        self.kernel.report(StatemReport(self.pid, self.name, *told))

    # The next event

    def handle_next(self) -> Work | None:
        """Handle the next event."""
        if self.events:
            return self._handle(self.events.popleft())
        if self._at_once:
            return self._elapsed(self._at_once.popleft())
        return self._receive(self.mailbox.popleft())

    def _receive(self, message: Term) -> Work | None:
        if type(message) is Running:
            # One that was cancelled after its time, or begun anew, is not for anybody.
            return self._elapsed(message) if self.timeouts.get(message.key) is message else None
        if is_system(message):
            return handle_system(StatemSystem(self, self.instance), message)
        if type(message) is Exit and message.pid == self.parent:
            return self.stop(message.reason)
        return self._arrived(event_of(message))

    def _elapsed(self, running: Running) -> Work | None:
        del self.timeouts[running.key]
        return self._arrived(running.event)

    def _arrived(self, event: Event) -> Work | None:
        self._note("in", event.term, self.state)
        return self._handle(event)

    def _note(self, *event: Term) -> None:
        if self.debug is not None:
            self.debug.handle((Atom(str(event[0])), *event[1:]))

    # The callback

    def _handle(self, event: Event) -> Work | None:
        self._event = event
        self.change = Change(self.state)
        return self._run(event, self._decided)

    def _run(self, event: Event, after: Callable[[], Work | None]) -> Work | None:
        try:
            result = self.instance.handle_event(event, self.state)
            if type(result) is CoroutineType:
                return self._finish(result, after)
            return self._returned(result, after)
        except Exception as error:
            return self._failed(error)

    async def _finish(self, coroutine: Coroutine[Any, Any, Any], after: Callable[[], Work | None]) -> None:
        try:
            work = self._returned(await coroutine, after)
        except Exception as error:
            work = self._failed(error)
        if work is not None:
            await work

    def _returned(self, result: Any, after: Callable[[], Work | None]) -> Work | None:
        if self.status is EXITED:
            return None  # Killed, and its task ran on to its next wait.
        if result is not None:
            raise BadReturn(
                (BAD_RETURN, result), f"{result!r} returned: it is next_state(...) that changes the state"
            )
        return after()

    def _failed(self, error: Exception) -> Work | None:
        """A callback raised: Stop, which ends the machine as asked for, or what crashes it."""
        if self.status is EXITED:
            return None  # Killed: `terminate` does not run, whatever the callback raised at that.
        if not isinstance(error, Stop):
            if not isinstance(error, BadReturn):
                self.state = self.change.old  # A state whose `Enter` crashes has not been entered.
            return self.stop(reason_of(error), error)
        event = self._event
        if error.reply is not NO_REPLY and isinstance(event, Call) and is_caller(event.caller):
            reply(self.kernel, self.pid, event.caller, error.reply)
            self._note("out", error.reply, event.caller)
        return self.stop(error.reason)

    # What comes of it

    def _decided(self) -> Work | None:
        change = self.change
        for inserted in change.inserted:
            self._note("in", inserted.term, change.state)
        if self.instance.state_enter and (change.repeated or not same(change.state, change.old)):
            return self._enter()
        return self._transit()

    def _enter(self) -> Work | None:
        self.change.enter()
        self.state = self.change.state
        return self._run(Enter(self.change.old), self._entered)

    def _entered(self) -> Work | None:
        return self._enter() if self.change.repeated else self._transit()

    def _transit(self) -> Work | None:
        change, event, old = self.change, self._event, self.change.old
        assert event is not None
        self.state = change.state
        if self.debug is not None:
            self._note("postpone" if change.postponed else "consume", event.term, old, self.state)
            for key, (seconds, content) in reversed(change.timeouts.items()):
                if seconds is not None:
                    self._note("start_timer", Running(key, content).action(seconds), self.state)
        if change.postponed:
            self.postponed.append(event)
        self._cancel(EventTimeout)
        if not same(change.state, old):
            self._cancel(StateTimeout)
            self.events.extendleft(reversed(self.postponed))
            self.postponed.clear()
        for key, (seconds, content) in change.timeouts.items():
            self._begin(key, seconds, content)
        self.events.extendleft(reversed(change.inserted))
        self._event = None
        if change.hibernate and not self.more():
            self.hibernate()
        return None

    # Timeouts

    def _begin(self, key: Key, seconds: float | None, content: Term) -> None:
        self._cancel(key)
        if seconds is None:
            return
        self.timeouts[key] = running = Running(key, content)
        if seconds > 0:
            running.timer = self.kernel.start_timer(seconds, partial(self._time_over, running), self.pid)
        else:
            self._at_once.append(running)

    def _time_over(self, running: Running) -> None:
        if self.status is not EXITED:
            self.kernel.put(self, running)

    def _cancel(self, key: Key) -> None:
        running = self.timeouts.pop(key, None)
        if running is None:
            return
        if running.timer is not None:
            running.timer.cancel()
        else:
            self._at_once.remove(running)
