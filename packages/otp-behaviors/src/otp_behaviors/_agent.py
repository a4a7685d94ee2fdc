"""Agent: a server that holds a state, and lends it to the functions it is sent.

    counter = await runtime.start(Agent, dict, name="counter")
    await agent.update(runtime, "counter", increment, "visits")
    await agent.get(runtime, "counter", len)

Follows `Agent` of Elixir, its messages included. The functions of `agent` are in `_agent_requests`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import CoroutineType
from typing import Any, Final

from etf_codec import Atom

from otp_behaviors._errors import BadReturn
from otp_behaviors._gen_call import Caller
from otp_behaviors._gen_server import GenServer
from otp_behaviors._system import OK
from otp_behaviors._work import LocalWork, run_named

GET: Final = Atom("get")
UPDATE: Final = Atom("update")
GET_AND_UPDATE: Final = Atom("get_and_update")
CAST: Final = Atom("cast")


class Agent(GenServer):
    """A server whose state is one value. Start it with a function that returns the first one.

    Functions are plain, and then run at once, or `async def`; whatever one raises ends the agent. Another
    node names a function that this program has provided, as `{Module, Function, Args}`.

    Attributes:
        state: the value.
    """

    state: Any

    def init(self, function: Callable[..., Any], *args: Any) -> Any:
        """Make the first state: `function(*args)`."""
        return self._then(self._run(LocalWork(function, args)), self._updated)

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Answer `{get, Work}`, `{update, Work}` and `{get_and_update, Work}`."""
        if type(request) is tuple and len(request) == 2 and type(request[0]) is Atom:
            finish = FINISH.get(request[0])
            if finish is not None:
                return self._then(self._run(request[1], self.state), lambda result: finish(self, result))
        return super().handle_call(request, caller)

    def handle_cast(self, message: Any) -> Any:
        """Handle `{cast, Work}`."""
        if type(message) is tuple and len(message) == 2 and message[0] is CAST:
            return self._then(self._run(message[1], self.state), self._updated)
        return super().handle_cast(message)

    def _run(self, work: Any, *first: Any) -> Any:
        if type(work) is LocalWork:
            return work.function(*first, *work.args)
        return run_named(self._kernel, self, work, *first)

    def _then(self, result: Any, finish: Callable[[Any], Any]) -> Any:
        """Return what is made of a result, now or when it is there."""
        return self._later(result, finish) if isinstance(result, CoroutineType) else finish(result)

    async def _later(self, result: Coroutine[Any, Any, Any], finish: Callable[[Any], Any]) -> Any:
        return finish(await result)

    def _got(self, result: Any) -> Any:
        return result

    def _updated(self, result: Any) -> Any:
        self.state = result
        return OK

    def _got_and_updated(self, result: Any) -> Any:
        if type(result) is not tuple or len(result) != 2:
            raise BadReturn(
                (Atom("bad_return_value"), result),
                f"get_and_update takes a function that returns (reply, state), not {result!r}",
            )
        reply, self.state = result
        return reply


FINISH: Final[dict[Atom, Callable[[Agent, Any], Any]]] = {
    GET: Agent._got,
    UPDATE: Agent._updated,
    GET_AND_UPDATE: Agent._got_and_updated,
}
