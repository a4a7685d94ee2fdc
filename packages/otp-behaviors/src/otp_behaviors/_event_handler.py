"""EventHandler: what an event manager calls with each event, and what it may want done after that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeAlias

from etf_codec import Atom, Pid, Term

from otp_behaviors._effects import UnhandledInfo
from otp_behaviors._errors import Unhandled
from otp_behaviors._process import LocalProcess, Process
from otp_behaviors._same import same

BAD_EVENT: Final = Atom("bad_event")
BAD_CALL: Final = Atom("bad_call")

HandlerRef: TypeAlias = "type[EventHandler] | str | Atom | tuple[type[EventHandler] | str | Atom, Term]"
"""A handler: its class, or the name of that; with an id where there are several of a class."""


@dataclass(frozen=True, slots=True)
class Remove:
    """After the callback: the handler goes."""


@dataclass(frozen=True, slots=True)
class Swap:
    """After the callback: another handler takes its place."""

    argument: Term
    handler: Any
    new_argument: Term


class EventHandler(Process):
    """Base class of event handlers. Attributes of the instance are the state; override what you need.

    A handler is no process: its callbacks run in that of its manager, one after the other, so `self.pid` is
    the manager, and messages to it are for all its handlers. Each may be a plain `def` or an `async def`.
    """

    _record: Any  # an EventManager, which knows this class

    module: ClassVar[str] = ""
    """What other nodes call the handler, as Erlang does by its module; the name of the class if left out."""

    def init(self, args: Any) -> Any:
        """Set up the state from the argument of `add_handler`; of `swap_handler`, (argument, what was left).

        Raise Stop(reason) to refuse with `{error, Reason}`.
        """

    def handle_event(self, event: Any) -> Any:
        """Handle an event. Raise Stop(reason), or anything else, to be taken out of the manager."""
        raise Unhandled((BAD_EVENT, event), f"{type(self).__name__} has no handle_event for {event!r}")

    def handle_call(self, request: Any) -> Any:
        """Answer a call for this handler: the returned term is the reply."""
        raise Unhandled((BAD_CALL, request), f"{type(self).__name__} has no handle_call for {request!r}")

    def handle_info(self, message: Any) -> Any:
        """Handle any other message of the manager. Without this callback it is logged, as in OTP."""
        self._kernel.report(UnhandledInfo(name_of(type(self)), message))

    def terminate(self, argument: Any) -> Any:
        """Clean up before the handler goes. What is returned is for who takes it out, or the one after it.

        Args:
            argument: that of `delete_handler` or `swap_handler`; `remove_handler`, if it removes itself;
                `stop`, if the manager ends; `{stop, Reason}`, if the process does that supervises it; or
                `{error, Reason}`, if a callback failed.
        """

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """Return the status as `sys.get_status` and error reports are to show it: without secrets, shorter.

        Args:
            status: `state` (the attributes, by Atom) and `log`; in an error report `message` and `reason`.
        """
        return status

    def code_change(self, old_version: Any, extra: Any) -> Any:
        """Convert the state for the code that runs now (`sys.change_code`); may be `async def`."""

    # What is to happen after a callback

    def remove_handler(self) -> None:
        """Be taken out of the manager after this callback (`remove_handler`)."""
        self._record.change = Remove()

    def swap_handler(self, argument: Term, handler: HandlerRef, new_argument: Term) -> None:
        """Have another handler take this one's place after this callback (`{swap_handler, ...}`).

        Args:
            argument: for `terminate` of this one; what it returns is `left`.
            handler: the other one.
            new_argument: `(new_argument, left)` is for `init` of that one.
        """
        self._record.change = Swap(argument, handler, new_argument)

    def hibernate(self) -> None:
        """Free memory after this callback until the next message comes (`hibernate`)."""
        self._record.hibernating = True


@dataclass(eq=False, slots=True)
class Installed:
    """A handler in its manager: OTP's record `#handler{}`. Two of them may look the same."""

    module: Term
    id: Term
    supervised: Pid | None
    instance: EventHandler | None

    @property
    def term(self) -> Term:
        """The handler as other processes know it: `Module` or `{Module, Id}`."""
        return self.module if self.id is False else (self.module, self.id)

    def called(self, ref: Term) -> bool:
        """Tell whether a reference means this one."""
        module, id = parts(ref)
        return same(self.module, module) and same(self.id, id)


def install(
    ref: Any, supervised: Pid | None, known: dict[Term, type[EventHandler]], record: LocalProcess
) -> Installed:
    """Return a handler of a class, or of one that is known by the name; without an instance if none is."""
    module, id = parts(ref)
    given = ref[0] if type(ref) is tuple and len(ref) == 2 else ref
    found = given if is_handler(given) else known.get(module) if type(module) is Atom else None
    if found is None:
        return Installed(module, id, supervised, None)
    instance = found.__new__(found)
    instance._record, instance._kernel = record, record.kernel
    return Installed(module, id, supervised, instance)


def parts(ref: Any) -> tuple[Term, Term]:
    """Return `Module` and `Id` of a handler, `false` if it has none."""
    module, id = ref if type(ref) is tuple and len(ref) == 2 else (ref, False)
    return (name_of(module) if is_handler(module) else Atom(module) if type(module) is str else module), id


def is_handler(value: Any) -> bool:
    """Tell whether it is a class of handlers."""
    return isinstance(value, type) and issubclass(value, EventHandler)


def name_of(handler: type[EventHandler]) -> Atom:
    """Return what other nodes call a class of handlers."""
    return Atom((handler.module or handler.__qualname__)[:255])
