"""gen_event: ask an event manager, on this node or another, an Erlang one too.

    await gen_event.add_handler(runtime, "events", Log, "events.log")
    await runtime.notify("events", (Atom("login"), user))

The first argument says who asks: a process, a runtime or a node. The second is the manager: a pid, a name, a
RemoteName or a handle. A handler is a class, or its name as an Atom, which is all that another node knows; or
a pair of that and an id, where there are several of a class. Each waits for the answer as long as it takes,
unless told otherwise.

Each raises NoProcess, NoConnection or CallTimeout as a call does. Follows the module `gen_event` of STDLIB;
what that returns as an error is raised as an ExitError.
"""

from __future__ import annotations

from typing import Any, NoReturn, Protocol

from etf_codec import Atom, Term, to_text

from otp_behaviors._errors import ExitError
from otp_behaviors._event_handler import HandlerRef, parts
from otp_behaviors._event_manager import BAD_MODULE, MODULE_NOT_FOUND
from otp_behaviors._event_system import EXIT
from otp_behaviors._gen_call import CALL_TIMEOUT
from otp_behaviors._process import Process
from otp_behaviors._shell import ServerRef
from otp_behaviors._system import ERROR, OK


class CanAsk(Protocol):
    """A process, a runtime or a node."""

    async def event_call(self, to: ServerRef, request: Term, timeout: float | None = ...) -> Any:
        """Send a request to an event manager and return the answer."""


async def add_handler(client: CanAsk, manager: ServerRef, handler: HandlerRef, args: Term = None) -> None:
    """Add a handler, and wait until its `init(args)` is done (`gen_event:add_handler/3`).

    Raises:
        ExitError: `init` failed; `reason` says why.
    """
    await _added(client, manager, (Atom("add_handler"), _term(handler), args))


async def add_sup_handler(
    client: Process, manager: ServerRef, handler: HandlerRef, args: Term = None
) -> None:
    """Add a handler that this process supervises (`gen_event:add_sup_handler/3`).

    The two are linked: the handler goes when this process ends, and when it goes for whatever reason, this
    process gets the message `{gen_event_EXIT, Handler, Reason}`.

    Raises:
        ExitError: `init` failed; `reason` says why.
    """
    await _added(client, manager, (Atom("add_sup_handler"), _term(handler), args, client.pid))


async def delete_handler(client: CanAsk, manager: ServerRef, handler: HandlerRef, args: Term = None) -> Any:
    """Take a handler out, and return what its `terminate(args)` does (`gen_event:delete_handler/3`).

    Raises:
        ExitError: `module_not_found`, there is no such handler; or how `terminate` failed.
    """
    answer = await client.event_call(manager, (Atom("delete_handler"), _term(handler), args))
    if _is_error(answer) and answer[1] is MODULE_NOT_FOUND:
        raise ExitError(answer[1], f"{_shown(handler)} is not installed")
    _raise_failure(answer)
    return answer


async def swap_handler(
    client: CanAsk, manager: ServerRef, old: tuple[HandlerRef, Term], new: tuple[HandlerRef, Term]
) -> None:
    """Put a handler in the place of another one (`gen_event:swap_handler/3`).

    Args:
        client: who asks.
        manager: the event manager.
        old: the handler that goes, and the argument of its `terminate`; what that returns is `left`. If it is
            not installed, `left` is `error`.
        new: the one that comes, and an argument: `(argument, left)` is for its `init`.

    Raises:
        ExitError: `init` failed; the old one is gone all the same.
    """
    await _swapped(client, manager, (Atom("swap_handler"), _term(old[0]), old[1], _term(new[0]), new[1]))


async def swap_sup_handler(
    client: Process, manager: ServerRef, old: tuple[HandlerRef, Term], new: tuple[HandlerRef, Term]
) -> None:
    """The same, and this process supervises the new one (`gen_event:swap_sup_handler/3`)."""
    request = (Atom("swap_sup_handler"), _term(old[0]), old[1], _term(new[0]), new[1], client.pid)
    await _swapped(client, manager, request)


async def which_handlers(client: CanAsk, manager: ServerRef) -> list[Term]:
    """Return the handlers that are installed, the newest first (`gen_event:which_handlers/1`)."""
    handlers: list[Term] = await client.event_call(manager, Atom("which_handlers"))
    return handlers


async def sync_notify(client: CanAsk, manager: ServerRef, event: Term) -> None:
    """Send an event, and wait until all handlers have handled it (`gen_event:sync_notify/2`)."""
    await client.event_call(manager, (Atom("sync_notify"), event))


async def call(
    client: CanAsk,
    manager: ServerRef,
    handler: HandlerRef,
    request: Term,
    timeout: float | None = CALL_TIMEOUT,
) -> Any:
    """Send a request to one handler and return its reply (`gen_event:call/4`); `timeout` in seconds.

    Raises:
        ExitError: `bad_module`, there is no such handler; or `handle_call` failed, and the handler is gone.
    """
    answer = await client.event_call(manager, (Atom("call"), _term(handler), request), timeout)
    if _is_error(answer) and answer[1] is BAD_MODULE:
        raise ExitError(answer[1], f"{_shown(handler)} is not installed")
    if _is_error(answer):
        _raise_failure(answer[1])
    return answer


async def _added(client: CanAsk, manager: ServerRef, request: tuple[Any, ...]) -> None:
    answer = await client.event_call(manager, request)
    if answer is not OK:
        _raise_refusal(request[1], answer)


async def _swapped(client: CanAsk, manager: ServerRef, request: tuple[Any, ...]) -> None:
    answer = await client.event_call(manager, request)
    if _is_error(answer):
        _raise_refusal(request[3], answer[1])


def _raise_refusal(handler: HandlerRef, why: Any) -> NoReturn:
    """Raise what `init` said, `{error, Reason}`, or how it failed."""
    _raise_failure(why)
    reason = why[1] if _is_error(why) else why
    raise ExitError(reason, f"{_shown(handler)} was not added: {reason!r}")


def _raise_failure(answer: Any) -> None:
    """Raise what a callback raised, `{'EXIT', Reason}`."""
    if type(answer) is tuple and len(answer) == 2 and answer[0] is EXIT:
        raise ExitError(answer[1])


def _is_error(answer: Any) -> bool:
    return type(answer) is tuple and len(answer) == 2 and answer[0] is ERROR


def _term(handler: Any) -> Any:
    """A class stays one, as it can only be added here; names are atoms everywhere."""
    if type(handler) is tuple and len(handler) == 2:
        return (_term(handler[0]), handler[1])
    return Atom(handler) if type(handler) is str else handler


def _shown(handler: Any) -> str:
    module, id = parts(handler)
    return to_text(module if id is False else (module, id))


__all__ = [
    "add_handler",
    "add_sup_handler",
    "call",
    "delete_handler",
    "swap_handler",
    "swap_sup_handler",
    "sync_notify",
    "which_handlers",
]
