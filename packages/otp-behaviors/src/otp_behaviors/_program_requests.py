"""The requests that a program outside of any process can make besides `call`, `cast` and `send`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from etf_codec import Atom, Pid, Term

from otp_behaviors._gen_call import CALL_TIMEOUT
from otp_behaviors._kernel import Kernel
from otp_behaviors._process_table import Waiter
from otp_behaviors._requests import NOTIFY, Asker, abcast, event_call, multi_call, system_call
from otp_behaviors._shell import ServerRef


class Client(Protocol):
    """The process that stands for the program."""

    pid: Pid

    def waiter(self) -> Waiter:
        """Return a place where the calling task can wait."""


class Program(Protocol):
    """What this is of a runtime."""

    kernel: Kernel

    @property
    def _client(self) -> Client: ...

    async def send(self, to: ServerRef, message: Term) -> None: ...


class ProgramRequests:
    """The part of a runtime that makes requests."""

    async def system_call(
        self: Program, to: ServerRef, request: Term, timeout: float | None = CALL_TIMEOUT
    ) -> Any:
        """Send a system message, `{system, From, Request}`, and return the answer; see `sys`.

        Raises:
            CallTimeout, NoProcess, NoConnection, ExitError: as `call` does.
        """
        return await system_call(_asker(self), to, request, timeout)

    async def notify(self: Program, to: ServerRef, event: Term) -> None:
        """Send an event to an event manager (`gen_event:notify/2`); errors are those of `send`."""
        await self.send(to, (NOTIFY, event))

    async def event_call(self: Program, to: ServerRef, request: Term, timeout: float | None = None) -> Any:
        """Send a request to an event manager, `{Pid, From, Request}`, and return the answer; see `gen_event`.

        Raises:
            CallTimeout, NoProcess, NoConnection, ExitError: as `call` does.
        """
        return await event_call(_asker(self), to, request, timeout)

    async def multi_call(
        self: Program, nodes: Iterable[str], name: str | Atom, request: Term, timeout: float | None = None
    ) -> tuple[dict[str, Any], list[str]]:
        """Call the servers registered under a name on several nodes at once; see `Process.multi_call`."""
        return await multi_call(_asker(self), nodes, name, request, timeout)

    async def abcast(self: Program, nodes: Iterable[str], name: str | Atom, message: Term) -> None:
        """Cast to the servers registered under a name on several nodes (`gen_server:abcast/3`)."""
        abcast(self.kernel, self._client.pid, nodes, name, message)


def _asker(program: Program) -> Asker:
    return Asker(program.kernel, program._client.pid, program._client.waiter)
