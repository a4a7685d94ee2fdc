"""The process of a GenEvent: OTP's `gen_event` loop.

Its steps are generators that yield what an `async def` callback has to wait for. Where none does, as mostly,
they are through at once; see `_drive`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from functools import partial
from types import CoroutineType
from typing import Any, Final, TypeAlias, TypeVar

from etf_codec import Atom, Pid, Term

from otp_behaviors._behavior import BehaviorProcess, Work
from otp_behaviors._debug import IN, Debug
from otp_behaviors._effects import EventReport, label_of
from otp_behaviors._errors import ExitError, Ignore, Stop
from otp_behaviors._event_handler import EventHandler, Installed, Remove, Swap, install, name_of, parts
from otp_behaviors._event_system import EXIT, EventSystem, crash_status
from otp_behaviors._gen_call import Caller, is_caller, reply
from otp_behaviors._kernel import Kernel
from otp_behaviors._process import Process
from otp_behaviors._process_table import EXITED
from otp_behaviors._reasons import NORMAL, SHUTDOWN, from_exception
from otp_behaviors._requests import NOTIFY
from otp_behaviors._signals import Exit
from otp_behaviors._system import ERROR, OK, debug_from_start, handle_system, is_system

Result = TypeVar("Result")
Steps: TypeAlias = Generator[Coroutine[Any, Any, Any], Any, Result]

IGNORE: Final = Atom("ignore")
UNDEF: Final = Atom("undef")
BADARG: Final = Atom("badarg")
BAD_MODULE: Final = Atom("bad_module")
MODULE_NOT_FOUND: Final = Atom("module_not_found")
STOP: Final = Atom("stop")
CRASH: Final = Atom("crash")
DELETE: Final = Atom("delete")
REMOVE: Final = Atom("remove")
REMOVE_HANDLER: Final = Atom("remove_handler")
SWAPPED: Final = Atom("swapped")
PARENT_TERMINATED: Final = Atom("parent_terminated")
GEN_EVENT_EXIT: Final = Atom("gen_event_EXIT")


class Killed(BaseException):
    """The process has ended in the middle of its steps."""


class EventManager(BehaviorProcess):
    """The process of a GenEvent."""

    __slots__ = ("change", "debug", "handlers", "hibernating", "known")

    def __init__(self, kernel: Kernel, behavior: type[Process], args: tuple[Any, ...]) -> None:
        super().__init__(kernel, behavior, args)
        # The handlers, the newest first: the order in which they get events.
        self.handlers: list[Installed] = []
        self.known: dict[Term, type[EventHandler]] = {
            name_of(handler): handler for handler in self.instance.handlers
        }
        self.debug: Debug | None = None
        # What the callback that runs wants done after it.
        self.change: Remove | Swap | None = None
        self.hibernating = False
        self.trap_exit = True

    def started(self) -> Work | None:
        """It runs, as yet without handlers."""
        if self.instance.debug_options:
            debug_from_start(EventSystem(self, self.instance), self.instance.debug_options)
        self.acknowledge()
        return None

    def terminate(self, reason: Term) -> Work | None:
        """Have every handler go; who supervises one does not go with the manager."""
        return self._drive(self._stop_handlers())

    def report_end(self, reason: Term) -> None:
        """The crash report of the process is all there is, as in OTP."""

    def cancel_timeouts(self) -> None:
        """There are none."""

    def handle_next(self) -> Work | None:
        """Handle the next message."""
        message = self.mailbox.popleft()
        if is_system(message):
            return handle_system(EventSystem(self, self.instance), message)
        if type(message) is Exit and message.pid == self.parent:
            return self.stop(message.reason)
        if self.debug is not None:
            self.debug.handle((IN, message))
        try:
            return self._drive(self._take(message))
        except Exception as error:
            # Not of a callback, but of an id, say, that cannot be compared.
            self.raised(error)
            return None

    # Steps

    def _drive(self, steps: Steps[Any]) -> Work | None:
        """Go through the steps; return a coroutine for the rest once one has to wait."""
        try:
            return self._go_on(steps, next(steps))
        except (StopIteration, Killed):
            return None

    async def _go_on(self, steps: Steps[Any], waiting: Coroutine[Any, Any, Any]) -> None:
        try:
            while True:
                try:
                    go_on = partial(steps.send, await waiting)
                except Exception as error:
                    go_on = partial(steps.throw, error)
                waiting = go_on()
        except (StopIteration, Killed):
            return
        finally:
            steps.close()

    def _take(self, message: Term) -> Steps[None]:
        if type(message) is Exit:
            yield from self._supervisor_ended(message)
        elif type(message) is tuple and len(message) == 2 and message[0] is NOTIFY:
            yield from self._notify("handle_event", message[1])
        elif (command := _command(message)) is not None:
            caller, make, arguments = command
            answer = yield from make(self, *arguments)
            reply(self.kernel, self.pid, caller, answer)
        elif _asks_for(message) is STOP:
            work = self.stop(NORMAL, answer=(message[1], OK))
            if work is not None:
                yield work
            return
        else:
            yield from self._notify("handle_info", message)
        hibernating, self.hibernating = self.hibernating, False
        if hibernating and not self.mailbox:
            self.hibernate()

    def _called(self, callback: Callable[[Any], Any], argument: Term) -> Steps[Any]:
        """Call a callback, and wait for it if it has to."""
        try:
            result = callback(argument)
            if type(result) is CoroutineType:
                result = yield result
        except Exception:
            self._live()
            raise
        self._live()
        return result

    def _live(self) -> None:
        """Between two callbacks: take exit signals, and no further step if the process has ended."""
        if self.kernel.deferred:
            self.kernel.settle()
        if self.status is EXITED:
            raise Killed

    # Events

    def _notify(self, callback: str, event: Term) -> Steps[Term]:
        remaining = []
        for handler in self.handlers:
            _, kept = yield from self._call_back(handler, callback, event)
            if kept is not None:
                remaining.append(kept)
        self.handlers = remaining
        return OK

    def _sync_notify(self, event: Term) -> Steps[Term]:
        return self._notify("handle_event", event)

    def _supervisor_ended(self, signal: Exit) -> Steps[None]:
        """Take out the handlers that the process supervised, then tell the others."""
        for handler in [each for each in self.handlers if each.supervised == signal.pid]:
            self.handlers.remove(handler)
            why = (PARENT_TERMINATED, (signal.pid, signal.reason))
            yield from self._terminate(handler, (STOP, signal.reason), why, SHUTDOWN)
        yield from self._notify("handle_info", signal)

    # Requests

    def _call(self, ref: Term, request: Term) -> Steps[Term]:
        handler = self._find(ref)
        if handler is None:
            return (ERROR, BAD_MODULE)
        answer, kept = yield from self._call_back(handler, "handle_call", request)
        index = self.handlers.index(handler)
        self.handlers[index : index + 1] = [] if kept is None else [kept]
        return answer

    def _add_handler(self, ref: Term, argument: Term) -> Steps[Term]:
        return self._add(ref, argument, None)

    def _add_sup_handler(self, ref: Term, argument: Term, supervisor: Term) -> Steps[Term]:
        if type(supervisor) is not Pid:
            return (EXIT, (BADARG, []))
        return (yield from self._add(ref, argument, supervisor))

    def _delete_handler(self, ref: Term, argument: Term) -> Steps[Term]:
        handler = self._find(ref)
        if handler is None:
            return (ERROR, MODULE_NOT_FOUND)
        self.handlers.remove(handler)
        return (yield from self._terminate(handler, argument, DELETE, NORMAL))

    def _swap_handler(
        self, ref: Term, argument: Term, new_ref: Term, new_argument: Term, supervisor: Term = None
    ) -> Steps[Term]:
        if supervisor is not None and type(supervisor) is not Pid:
            return (ERROR, (EXIT, (BADARG, [])))
        handler, left = self._find(ref), ERROR
        if handler is not None:
            supervisor = supervisor or handler.supervised
            self.handlers.remove(handler)
            left = yield from self._terminate(handler, argument, SWAPPED, _swapped(new_ref, supervisor))
        added = yield from self._add(new_ref, (new_argument, left), supervisor)
        return OK if added is OK else (ERROR, added)

    def _which_handlers(self) -> Steps[Term]:
        yield from ()  # no step, but all requests are alike
        return [handler.term for handler in self.handlers]

    def _get_modules(self) -> Steps[Term]:
        yield from ()
        return sorted({handler.module for handler in self.handlers}, key=str)

    # Handlers that come and go

    def _find(self, ref: Term) -> Installed | None:
        return next((handler for handler in self.handlers if handler.called(ref)), None)

    def _add(self, ref: Term, argument: Term, supervisor: Pid | None) -> Steps[Term]:
        if supervisor is not None:
            self.instance.link(supervisor)
        handler = install(ref, supervisor, self.known, self)
        begun = yield from self._begin(handler, argument)
        if begun is OK:
            self.handlers.insert(0, handler)
        return begun

    def _begin(self, handler: Installed, argument: Term) -> Steps[Term]:
        """Call `init`; returns `ok`, or why not."""
        if handler.instance is None:
            return (EXIT, (UNDEF, [(handler.module, Atom("init"), [argument], [])]))
        try:
            yield from self._called(handler.instance.init, argument)
        except Stop as error:
            return (ERROR, error.reason)
        except Exception as error:
            return _failure(error)
        return OK

    def _call_back(
        self, handler: Installed, name: str, argument: Term
    ) -> Steps[tuple[Term, Installed | None]]:
        """Call a callback; returns what it does, or `{error, Why}`, and the handler that is there now."""
        self.change = None
        try:
            value = yield from self._called(getattr(handler.instance, name), argument)
        except Exception as error:
            why = _failure(error)
            yield from self._terminate(handler, (ERROR, why), argument, why)
            return (ERROR, why), None
        change = self._changed()
        if isinstance(change, Swap):
            return value, (yield from self._swap(handler, change))
        if change is not None:
            yield from self._terminate(handler, REMOVE_HANDLER, REMOVE, NORMAL)
            return value, None
        return value, handler

    def _changed(self) -> Remove | Swap | None:
        change, self.change = self.change, None
        return change

    def _swap(self, handler: Installed, swap: Swap) -> Steps[Installed | None]:
        reason = _swapped(swap.handler, handler.supervised)
        left = yield from self._terminate(handler, swap.argument, SWAPPED, reason)
        other = install(swap.handler, handler.supervised, self.known, self)
        begun = yield from self._begin(other, (swap.new_argument, left))
        if begun is OK:
            return other
        self._report(other, begun, SWAPPED)
        self._tell_supervisor(other, CRASH)
        return None

    def _terminate(self, handler: Installed, argument: Term, last: Term, reason: Term) -> Steps[Term]:
        """A handler goes; returns what its `terminate` does."""
        assert handler.instance is not None
        try:
            left = yield from self._called(handler.instance.terminate, argument)
        except Exception as error:
            left = _failure(error)
        if not _is_quiet(reason):
            self._report(handler, reason, last)
        self._tell_supervisor(handler, reason)
        return OK if left is None else left

    def _tell_supervisor(self, handler: Installed, reason: Term) -> None:
        if handler.supervised is not None:
            self.kernel.send(self.pid, handler.supervised, (GEN_EVENT_EXIT, handler.term, reason))

    def _report(self, handler: Installed, reason: Term, last: Term) -> None:
        status = crash_status(handler.instance, last, reason)
        self.kernel.report(EventReport(self.pid, self.name, handler.term, status, label_of(self)))

    def _stop_handlers(self) -> Steps[None]:
        handlers, self.handlers = self.handlers, []
        for handler in handlers:
            yield from self._terminate(handler, STOP, STOP, SHUTDOWN)
        for handler in handlers:
            if handler.supervised not in (None, self.parent):
                self.instance.unlink(handler.supervised)


def _failure(error: Exception) -> Term:
    """What OTP's `catch` makes of it; Stop(reason) stands for a callback that returns the reason."""
    if isinstance(error, Stop):
        return error.reason
    if isinstance(error, Ignore):
        return IGNORE
    return (EXIT, error.reason if isinstance(error, ExitError) else from_exception(error))


def _is_quiet(reason: Term) -> bool:
    """Tell whether a handler may go with the reason without a report."""
    if type(reason) is tuple:
        return len(reason) == 3 and reason[0] is SWAPPED
    return type(reason) is Atom and reason in (NORMAL, SHUTDOWN)


def _swapped(ref: Term, supervisor: Pid | None) -> Term:
    module, id = parts(ref)
    return (SWAPPED, module if id is False else (module, id), supervisor or False)


Make = Callable[..., Steps[Term]]

COMMANDS: Final[dict[tuple[Atom, int], Make]] = {
    (Atom("sync_notify"), 2): EventManager._sync_notify,
    (Atom("call"), 3): EventManager._call,
    (Atom("add_handler"), 3): EventManager._add_handler,
    (Atom("add_sup_handler"), 4): EventManager._add_sup_handler,
    (Atom("delete_handler"), 3): EventManager._delete_handler,
    (Atom("swap_handler"), 5): EventManager._swap_handler,
    (Atom("swap_sup_handler"), 6): EventManager._swap_handler,
    (Atom("which_handlers"), 1): EventManager._which_handlers,
    (Atom("get_modules"), 1): EventManager._get_modules,
}
"""Requests by their name and size, as tuples; a bare name is a tuple of one."""


def _asks_for(message: Term) -> Term:
    """The request of `{_, From, Request}`; None of any other message, or if nobody waits for an answer."""
    if type(message) is tuple and len(message) == 3 and is_caller(message[1]):
        return message[2]
    return None


def _command(message: Term) -> tuple[Caller, Make, tuple[Term, ...]] | None:
    request = _asks_for(message)
    name, *arguments = request if type(request) is tuple and request else (request,)
    make = COMMANDS.get((name, 1 + len(arguments))) if type(name) is Atom else None
    return None if make is None else (message[1], make, tuple(arguments))
