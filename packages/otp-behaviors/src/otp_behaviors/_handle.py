"""What a program outside of any process holds of one: a handle to talk to it, a watch to see it end."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, Protocol

from etf_codec import Pid, Reference, Term

from otp_behaviors._bonds import Monitor
from otp_behaviors._completion import Completion
from otp_behaviors._gen_call import CALL_TIMEOUT
from otp_behaviors._kernel import Kernel
from otp_behaviors._process_table import Waiter
from otp_behaviors._reasons import NORMAL
from otp_behaviors._shell import ServerRef
from otp_behaviors._signals import Down


class Talker(Protocol):
    """The part of a runtime that a handle uses."""

    def call(
        self, to: ServerRef, request: Term, timeout: float | None = CALL_TIMEOUT
    ) -> Coroutine[Any, Any, Any]:
        """Send a request and return the reply."""

    async def cast(self, to: ServerRef, message: Term) -> None:
        """Send a cast."""

    async def send(self, to: ServerRef, message: Term) -> None:
        """Send a message."""

    async def stop(self, to: ServerRef, reason: Term = NORMAL, timeout: float | None = None) -> None:
        """Ask a server to end, and wait for its end."""

    def monitor(self, to: ServerRef) -> Watch:
        """Watch a process."""


class ServerHandle:
    """A started process, seen from outside. It is a ServerRef: usable wherever a pid is."""

    __slots__ = ("_runtime", "pid")

    def __init__(self, runtime: Talker, pid: Pid) -> None:
        self._runtime = runtime
        self.pid = pid

    def __repr__(self) -> str:
        return f"ServerHandle({self.pid!r})"

    def call(self, request: Term, timeout: float | None = CALL_TIMEOUT) -> Coroutine[Any, Any, Any]:
        """Send a request and return the reply, when awaited; see `Runtime.call`."""
        return self._runtime.call(self.pid, request, timeout)

    def cast(self, message: Term) -> Coroutine[Any, Any, None]:
        """Send a cast, when awaited."""
        return self._runtime.cast(self.pid, message)

    def send(self, message: Term) -> Coroutine[Any, Any, None]:
        """Send a message, when awaited."""
        return self._runtime.send(self.pid, message)

    async def stop(self, reason: Term = NORMAL, timeout: float | None = None) -> None:
        """End the server with a reason, after its `terminate`, and wait for that."""
        await self._runtime.stop(self.pid, reason, timeout)

    def monitor(self) -> Watch:
        """Watch the process: `down = await handle.monitor()`."""
        return self._runtime.monitor(self.pid)


class Watch(Completion):
    """A monitor held outside of any process. Await it for the `Down`, any number of times."""

    __slots__ = ("_factory", "_monitor", "_sender", "ref")

    def __init__(self, kernel: Kernel, sender: Pid, to: ServerRef) -> None:
        super().__init__(kernel)
        self._sender = sender
        self._monitor: Monitor | None = None
        self.ref: Reference = kernel.monitor(self, sender, to)

    def __await__(self) -> Generator[Any, Any, Down]:
        return self._down().__await__()

    def cancel(self) -> bool:
        """Stop watching (`erlang:demonitor/1`); False if it has fired."""
        monitor, self._monitor = self._monitor, None
        if monitor is None:
            return False
        self._kernel.monitors.remove(self._sender, self.ref, monitor)
        return True

    def monitoring(self, ref: Reference, monitor: Monitor) -> None:
        """The watch has begun."""
        self._monitor = monitor

    def down(self, ref: Reference, reason: Term) -> None:
        """What is watched has ended."""
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            self.succeed(Down(ref, monitor.who(), reason))

    async def _down(self) -> Down:
        if not self.done:
            await self.wait(self._new_waiter(), None)
        down = self.result()
        assert isinstance(down, Down)
        return down

    def _new_waiter(self) -> Waiter:
        assert self._kernel.shell is not None
        return self._kernel.shell.waiter()
