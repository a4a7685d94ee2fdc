"""What the process of a task does. Follows `Task.Supervised` of Elixir, whose messages these are."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from inspect import iscoroutinefunction
from types import CoroutineType
from typing import Any, Final, Protocol

from etf_codec import Atom, Pid, Reference, Term

from otp_behaviors._errors import ExitError
from otp_behaviors._kernel import Kernel
from otp_behaviors._reasons import SHUTDOWN, TIMEOUT
from otp_behaviors._shell import ServerRef
from otp_behaviors._signals import Down
from otp_behaviors._work import BADARG, LocalWork, call_of, run_named, shown

CALLERS: Final = Atom("$callers")
INITIAL_CALL: Final = Atom("$initial_call")
"""Where a process says what it really runs; see `proc_lib:translate_initial_call/1`."""

OWNER_SECONDS: Final = 5.0
"""For the owner to say what to do, once it has asked for a task: it may be cut off before it hears of it."""


class Running(Protocol):
    """What these functions need of the process that runs them."""

    _kernel: Kernel

    @property
    def dictionary(self) -> dict[Term, Term]: ...

    def monitor(self, to: ServerRef) -> Reference: ...

    def demonitor(self, ref: Reference, flush: bool = False) -> bool: ...

    def send(self, to: ServerRef | Reference, message: Term) -> None: ...

    async def receive(
        self, matcher: Callable[[Term], object] | None = None, timeout: float | None = None
    ) -> Term: ...

    def run_in_thread(self, function: Callable[..., Any], *args: Any) -> Coroutine[Any, Any, Any]: ...


async def run_awaited(process: Running, owner: Pid, monitored: bool) -> None:
    """Wait for the owner to say what to do and where the result goes; do it, and send the result.

    Args:
        process: the process of the task.
        owner: the process that has asked for it.
        monitored: whether to watch the owner until then: it is not linked yet, and may end.
    """
    ref = process.monitor(owner) if monitored else None

    def awaited(message: Term) -> bool:
        return _is_start(message, owner) or (type(message) is Down and message.ref == ref)

    try:
        message: Any = await process.receive(awaited, OWNER_SECONDS if monitored else None)
    except TimeoutError:
        raise ExitError(TIMEOUT, f"{owner!r} did not say what to do within {OWNER_SECONDS} s") from None
    if type(message) is Down:
        raise ExitError((SHUTDOWN, message.reason))
    if ref is not None:
        process.demonitor(ref, flush=True)
    _, tag, reply_to, callers, work = message
    if not isinstance(reply_to, Pid | Reference):
        raise ExitError(BADARG, f"a result cannot be sent to {shown(reply_to)}")
    process.send(reply_to, (tag, await run_alone(process, callers, work)))


async def run_alone(process: Running, callers: Term, work: Any) -> Any:
    """Do the work; nobody waits for the result."""
    process.dictionary[CALLERS] = callers
    process.dictionary[INITIAL_CALL] = call_of(work)
    if type(work) is LocalWork:
        if _is_async(work.function):
            return await work.function(process, *work.args)
        return await process.run_in_thread(work.function, *work.args)
    result = run_named(process._kernel, process, work)
    return await result if isinstance(result, CoroutineType) else result


def _is_async(function: Callable[..., Any]) -> bool:
    return iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)


def _is_start(message: Term, owner: Pid) -> bool:
    return type(message) is tuple and len(message) == 5 and type(message[0]) is Pid and message[0] == owner
