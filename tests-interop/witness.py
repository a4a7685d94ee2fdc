"""A process on our node that does what the test says and tells it everything that arrives."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import anyio
import otp_behaviors
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from etf_codec import Atom, Pid, Term
from otp_behaviors import GenServer

PATIENCE = 15.0

T = TypeVar("T")


class Witness(GenServer):
    """Traps exits. A request is a function that it runs on itself: `link`, `monitor`, `send` from inside."""

    def init(self, told: MemoryObjectSendStream[Term]) -> None:
        """`told` is where messages go."""
        self.told = told
        self.trap_exit = True

    def handle_call(self, request: Any, caller: Any) -> Any:
        """A function from a test, or a term from Erlang, which is echoed."""
        return request(self) if callable(request) else (Atom("echo"), request)

    def handle_cast(self, message: Term) -> None:
        """Told apart from plain messages."""
        self.told.send_nowait((Atom("cast"), message))

    def handle_info(self, message: Term) -> None:
        """Plain messages, `Down` and `Exit` as they are."""
        self.told.send_nowait(message)


class Witnessed:
    """The test's side of a witness."""

    def __init__(
        self, handle: "otp_behaviors.ServerHandle", messages: MemoryObjectReceiveStream[Term]
    ) -> None:
        self.handle = handle
        self.pid: Pid = handle.pid
        self._messages = messages

    async def do(self, action: Callable[[Witness], T]) -> T:
        """Run `action` inside the process and return what it returns."""
        result: T = await self.handle.call(action)
        return result

    async def next(self) -> Term:
        """The next message the process got."""
        with anyio.fail_after(PATIENCE):
            return await self._messages.receive()

    def unread(self) -> int:
        """How many messages have come that `next` has not returned yet."""
        return self._messages.statistics().current_buffer_used


class StartWitness(Protocol):
    """Starts a witness, registered when a name is given."""

    async def __call__(self, name: str | None = None) -> Witnessed: ...
