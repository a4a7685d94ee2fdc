"""sys: look into a running behavior, stop it for a while, replace its state or its code.

    state = await sys.get_state(runtime, "counter")
    await sys.trace(runtime, "counter", True)

The first argument says who asks: a process, a runtime or a node. The second is the server: a pid, a name, a
RemoteName or a handle; one on an Erlang node too, where only `replace_state` and `install` cannot work, since
a function of ours cannot run there. Each waits `timeout` seconds, None for ever.

Each raises CallTimeout, NoProcess or NoConnection as a call does, and ExitError if the server refuses.
Follows the module `sys` of STDLIB.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, Protocol

from etf_codec import Atom, Term

from otp_behaviors._debug import DebugFunction
from otp_behaviors._errors import ExitError
from otp_behaviors._shell import ServerRef
from otp_behaviors._system import CHANGE_CODE, ERROR, GET, OK, PRINT, RESUME, SUSPEND, TERMINATE

TIMEOUT: Final = 5.0
"""Seconds to wait unless told otherwise, as `sys` does."""

DEBUG: Final = Atom("debug")
LOG: Final = Atom("log")
STATISTICS: Final = Atom("statistics")


class CanAsk(Protocol):
    """A process, a runtime or a node."""

    async def system_call(self, to: ServerRef, request: Term, timeout: float | None = ...) -> Any:
        """Send a system message and return the answer."""


async def get_state(client: CanAsk, server: ServerRef, timeout: float | None = TIMEOUT) -> Any:
    """Return the state (`sys:get_state/2`).

    Of a GenServer of this node it is a dict: the attributes, by Atom; of a GenStatem its state and that dict.
    These are the objects themselves; for a server asked from another node, what has no external form is
    replaced by text.

    OTP up to 26.0 answers with the bare state, later releases with `{ok, State}`: so of a server of an older
    release a state that is itself `{ok, X}` is returned as X.
    """
    return await _state(client, server, Atom("get_state"), timeout)


async def get_status(client: CanAsk, server: ServerRef, timeout: float | None = TIMEOUT) -> Any:
    """Return `{status, Pid, {module, M}, [PDict, State, Parent, Debug, Misc]}` (`sys:get_status/2`)."""
    return await _ask(client, server, Atom("get_status"), timeout)


async def replace_state(
    client: CanAsk, server: ServerRef, function: Callable[[Any], Any], timeout: float | None = TIMEOUT
) -> Any:
    """Replace the state by what `function(state)` returns, and return that (`sys:replace_state/3`).

    The state is what `get_state` shows. If the function raises, it stays as it was.
    """
    return await _state(client, server, (Atom("replace_state"), function), timeout)


async def suspend(client: CanAsk, server: ServerRef, timeout: float | None = TIMEOUT) -> None:
    """Have the server take nothing but system messages; its mail waits (`sys:suspend/2`)."""
    await _tell(client, server, SUSPEND, timeout)


async def resume(client: CanAsk, server: ServerRef, timeout: float | None = TIMEOUT) -> None:
    """Let a suspended server go on with its mail (`sys:resume/2`)."""
    await _tell(client, server, RESUME, timeout)


async def terminate(client: CanAsk, server: ServerRef, reason: Term, timeout: float | None = TIMEOUT) -> None:
    """Order the server to end with a reason, and do not wait for the end (`sys:terminate/3`)."""
    await _tell(client, server, (TERMINATE, reason), timeout)


async def change_code(
    client: CanAsk,
    server: ServerRef,
    module: Any,
    old_version: Term,
    extra: Term,
    timeout: float | None = TIMEOUT,
) -> None:
    """Have a suspended server change its code (`sys:change_code/5`).

    Args:
        client: who asks.
        server: the server; it must be suspended.
        module: for a GenServer or GenStatem of this node its new class; an Atom keeps the class, and is all
            that can be asked of another node.
        old_version: what `code_change` is told about the version it comes from.
        extra: anything else for `code_change`.
        timeout: seconds to wait.
    """
    await _tell(client, server, (CHANGE_CODE, module, old_version, extra), timeout)


async def trace(client: CanAsk, server: ServerRef, flag: bool, timeout: float | None = TIMEOUT) -> None:
    """Have each event printed on standard output, or no more (`sys:trace/3`)."""
    await _tell(client, server, (DEBUG, (Atom("trace"), flag)), timeout)


async def log(
    client: CanAsk,
    server: ServerRef,
    flag: bool | int | Literal["get", "print"],
    timeout: float | None = TIMEOUT,
) -> list[Term] | None:
    """Keep the last events: True ten of them, a number so many, False none (`sys:log/3`).

    Returns:
        For "get", the events that have been kept, oldest first; "print" prints them.
    """
    if flag == "get":
        return await get_log(client, server, timeout)
    how: Term = PRINT if flag == "print" else flag if isinstance(flag, bool) else (True, flag)
    await _tell(client, server, (DEBUG, (LOG, how)), timeout)
    return None


async def get_log(client: CanAsk, server: ServerRef, timeout: float | None = TIMEOUT) -> list[Term]:
    """Return the events that have been kept, oldest first (`sys:log(Name, get)`)."""
    events: list[Term] = await _fetch(client, server, (DEBUG, (LOG, GET)), timeout)
    return events


async def statistics(
    client: CanAsk, server: ServerRef, flag: bool | Literal["get"], timeout: float | None = TIMEOUT
) -> dict[str, Any] | None:
    """Begin or end counting, or return the counts (`sys:statistics/3`).

    Returns:
        For "get": start_time, current_time, reductions, messages_in, messages_out; None if there are none.
    """
    if flag != "get":
        await _tell(client, server, (DEBUG, (STATISTICS, flag)), timeout)
        return None
    counts = await _fetch(client, server, (DEBUG, (STATISTICS, GET)), timeout)
    return {str(name): value for name, value in counts} if isinstance(counts, list) else None


async def install(
    client: CanAsk,
    server: ServerRef,
    function: DebugFunction,
    state: Term,
    *,
    id: Term = None,
    timeout: float | None = TIMEOUT,
) -> None:
    """Have `function(state, event, name)` called for each event; it returns its new state (`sys:install/3`).

    It is removed when it returns `Atom("done")`, when it raises, or by `remove`.
    """
    what = (function, state) if id is None else (id, function, state)
    await _tell(client, server, (DEBUG, (Atom("install"), what)), timeout)


async def remove(client: CanAsk, server: ServerRef, id: Any, timeout: float | None = TIMEOUT) -> None:
    """Take out what `install` put in, by its id or the function itself (`sys:remove/3`)."""
    await _tell(client, server, (DEBUG, (Atom("remove"), id)), timeout)


async def no_debug(client: CanAsk, server: ServerRef, timeout: float | None = TIMEOUT) -> None:
    """Switch all debugging off (`sys:no_debug/2`)."""
    await _tell(client, server, (DEBUG, Atom("no_debug")), timeout)


async def _ask(client: CanAsk, server: ServerRef, request: Term, timeout: float | None) -> Any:
    answer = await client.system_call(server, request, timeout)
    if type(answer) is tuple and len(answer) == 2 and answer[0] is ERROR:
        raise ExitError(answer[1])
    return answer


async def _state(client: CanAsk, server: ServerRef, request: Term, timeout: float | None) -> Any:
    """Ask for a state; nothing that two nodes exchange tells OTP 26.0, with its bare state, from 26.1."""
    answer = await _ask(client, server, request, timeout)
    return answer[1] if type(answer) is tuple and len(answer) == 2 and answer[0] is OK else answer


async def _tell(client: CanAsk, server: ServerRef, request: Term, timeout: float | None) -> None:
    answer = await _ask(client, server, request, timeout)
    if answer != OK:
        raise ExitError(answer)


async def _fetch(client: CanAsk, server: ServerRef, request: Term, timeout: float | None) -> Any:
    answer = await _ask(client, server, request, timeout)
    if type(answer) is not tuple or len(answer) != 2 or answer[0] is not OK:
        raise ExitError(answer)
    return answer[1]
