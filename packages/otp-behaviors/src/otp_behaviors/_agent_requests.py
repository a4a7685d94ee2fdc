"""agent: read and change the state of an Agent, on this node or another, an Elixir one too.

    await agent.update(runtime, "counter", increment, "visits")
    await agent.get(node, RemoteName("Elixir.MyApp.Counter", "ex@host"), ("Elixir.Map", "keys"))

The first argument says who asks: a process, a runtime or a node. The second is the agent: a pid, a name, a
RemoteName or a handle. The function gets the state, then the other arguments; it runs in the agent, so long
work is better done on what `get` returns. To an agent of another node it goes as module and name.

Each raises NoProcess, NoConnection, CallTimeout or ExitError as a call does, the last also when the function
fails, for then the agent ends. Follows the module `Agent` of Elixir.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from etf_codec import Term

from otp_behaviors._agent import CAST, GET, GET_AND_UPDATE, UPDATE
from otp_behaviors._gen_call import CALL_TIMEOUT
from otp_behaviors._shell import ServerRef
from otp_behaviors._work import FunctionRef, as_work

Sent = TypeVar("Sent", covariant=True)


class CanCall(Protocol):
    """A process, a runtime or a node."""

    def call(self, to: ServerRef, request: Term, timeout: float | None = ...) -> Coroutine[Any, Any, Any]:
        """Send a request and return the reply."""


class CanCast(Protocol[Sent]):
    """A process, a runtime or a node."""

    def cast(self, to: ServerRef, message: Term) -> Sent:
        """Send a message."""


async def get(
    client: CanCall,
    agent: ServerRef,
    function: FunctionRef,
    *args: Any,
    timeout: float | None = CALL_TIMEOUT,
) -> Any:
    """Return `function(state, *args)` (`Agent.get/3`)."""
    return await client.call(agent, (GET, as_work(function, args)), timeout)


async def update(
    client: CanCall,
    agent: ServerRef,
    function: FunctionRef,
    *args: Any,
    timeout: float | None = CALL_TIMEOUT,
) -> None:
    """Make `function(state, *args)` the state, and wait for that (`Agent.update/3`)."""
    await client.call(agent, (UPDATE, as_work(function, args)), timeout)


async def get_and_update(
    client: CanCall,
    agent: ServerRef,
    function: FunctionRef,
    *args: Any,
    timeout: float | None = CALL_TIMEOUT,
) -> Any:
    """Have `function(state, *args)` return `(reply, state)`: the reply, and the new state.

    That is `Agent.get_and_update/3`.
    """
    return await client.call(agent, (GET_AND_UPDATE, as_work(function, args)), timeout)


def cast(client: CanCast[Sent], agent: ServerRef, function: FunctionRef, *args: Any) -> Sent:
    """Make `function(state, *args)` the state, and do not wait (`Agent.cast/2`).

    Returns:
        What `cast` of the client returns: to be awaited outside of a process.
    """
    return client.cast(agent, (CAST, as_work(function, args)))


__all__ = ["cast", "get", "get_and_update", "update"]
