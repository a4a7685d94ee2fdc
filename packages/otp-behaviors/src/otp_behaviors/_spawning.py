"""Starting a process on another node, and waiting until it runs, or until it has ended."""

from __future__ import annotations

from typing import Final, Protocol

from etf_codec import Atom, Pid, Reference, Term

from otp_behaviors._bonds import LocalWatcher, Monitor
from otp_behaviors._completion import Completion
from otp_behaviors._errors import CallTimeout, ExitError, NoConnection
from otp_behaviors._gen_call import waiter_of
from otp_behaviors._kernel import Kernel
from otp_behaviors._process_table import Waiter
from otp_behaviors._reasons import NOCONNECTION, TIMEOUT
from otp_behaviors._signals import SpawnSignal
from otp_behaviors._spawns import LINK, MONITOR

REASONS: Final = {
    Atom("notsup"): "does not take spawn requests: it is older than OTP 23, or does not offer them",
    Atom("system_limit"): "runs as many processes as it may",
    Atom("badopt"): "does not know an option of the spawn request",
}


class Asking(Protocol):
    """The process that asks."""

    pid: Pid
    group_leader: Pid | None


class Spawning(Completion):
    """A process that is being started on another node; done when it runs, or cannot.

    Args:
        kernel: the kernel of whoever asks.
        sender: whoever asks: the other side of a link.
        watcher: gets the monitor and its `Down`; None for no monitor.
        group_leader: prints for the new process.
    """

    __slots__ = ("_group_leader", "_sender", "_watcher", "ref")

    def __init__(
        self, kernel: Kernel, sender: Pid, watcher: LocalWatcher | None, group_leader: Pid | None
    ) -> None:
        super().__init__(kernel)
        self._sender = sender
        self._watcher = watcher
        self._group_leader = sender if group_leader is None else group_leader
        self.ref: Reference = kernel.make_ref()

    def send(self, node: str, module: str | Atom, function: str | Atom, args: list[Term], link: bool) -> None:
        """Send the request."""
        options: list[Term] = [LINK] if link else []
        if self._watcher is not None:
            options.append(MONITOR)
        mfa = (Atom(str(module)), Atom(str(function)), len(args))
        kernel = self._kernel
        signal = SpawnSignal(self._sender, node, self.ref, self._group_leader, mfa, options, args)
        kernel.spawns.request(self, signal)
        if not kernel.held and kernel.shell is not None:
            kernel.shell.pump()

    async def started(self, node: str, waiter: Waiter, timeout: float | None) -> Pid:
        """Wait for the answer, and return the new process.

        Raises:
            NoConnection, CallTimeout, ExitError: as `Process.spawn_remote`.
        """
        await self._finished(node, waiter, timeout)
        pid = self.result()
        assert isinstance(pid, Pid)
        return pid

    async def _finished(self, node: str, waiter: Waiter, timeout: float | None) -> None:
        try:
            if not self.done and not await self.wait(waiter, timeout):
                raise CallTimeout(TIMEOUT, f"no answer from {node} within {timeout} s")
        finally:
            if not self.done:
                self.abandon(node)

    def abandon(self, node: str) -> None:
        """Nobody waits any more: a process that starts yet gets no link and no monitor."""
        self._kernel.spawns.abandon(node, self.ref)

    def spawned(self, ref: Reference, pid: Pid) -> None:
        """The process runs."""
        self.succeed(pid)

    def not_spawned(self, ref: Reference, error: Exception) -> None:
        """There will be no such process."""
        self.fail(error)

    def monitoring(self, ref: Reference, monitor: Monitor) -> None:
        """The monitor stands."""
        if self._watcher is not None:
            self._watcher.monitoring(ref, monitor)

    def down(self, ref: Reference, reason: Term) -> None:
        """The process has ended."""
        if self._watcher is not None:
            self._watcher.down(ref, reason)


class Running(Spawning):
    """A process on another node whose exit reason is waited for; done when it has ended."""

    __slots__ = ("_monitor",)

    def __init__(self, kernel: Kernel, sender: Pid, group_leader: Pid | None) -> None:
        super().__init__(kernel, sender, self, group_leader)
        self._monitor: Monitor | None = None

    async def ended(self, node: str, waiter: Waiter, timeout: float | None) -> Term:
        """Wait for the end of the process, and return its reason."""
        await self._finished(node, waiter, timeout)
        return self.result()

    def abandon(self, node: str) -> None:
        """Nobody waits any more. The process goes on, unwatched."""
        super().abandon(node)
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            self._kernel.monitors.remove(self._sender, self.ref, monitor)

    def spawned(self, ref: Reference, pid: Pid) -> None:
        """The process runs; its end is what counts."""

    def monitoring(self, ref: Reference, monitor: Monitor) -> None:
        """The monitor stands."""
        self._monitor = monitor

    def down(self, ref: Reference, reason: Term) -> None:
        """The process has ended."""
        self._monitor = None
        self.succeed(reason)


async def spawn_remote(
    kernel: Kernel,
    record: Asking,
    watcher: LocalWatcher | None,
    target: tuple[str, str | Atom, str | Atom, list[Term]],
    *,
    link: bool,
    waiter: Waiter | None,
    timeout: float | None,
) -> tuple[Pid, Reference]:
    """Start a process on another node; see `Process.spawn_remote`.

    Args:
        kernel: the kernel of whoever asks.
        record: the process that asks.
        watcher: gets the `Down` if it is to be watched.
        target: node, module, function, arguments.
        link: whether to link it with `record`.
        waiter: where to wait; None for one of the shell's.
        timeout: seconds, or None.
    """
    node, module, function, args = target
    spawning = Spawning(kernel, record.pid, watcher, record.group_leader)
    spawning.send(node, module, function, args, link)
    try:
        pid = await spawning.started(node, waiter or waiter_of(kernel), timeout)
    except ExitError as error:
        raise explained(error, node) from None
    return pid, spawning.ref


async def run_remote(
    kernel: Kernel,
    record: Asking,
    target: tuple[str, str | Atom, str | Atom, list[Term]],
    *,
    timeout: float | None,
) -> Term:
    """Start a process on another node and return its exit reason, as `erpc` of KERNEL does.

    Raises:
        NoConnection, CallTimeout, ExitError: as `Process.spawn_remote`.
        etf_codec.EncodeError: an argument has no external form.
    """
    node, module, function, args = target
    running = Running(kernel, record.pid, record.group_leader)
    running.send(node, module, function, args, False)
    try:
        reason = await running.ended(node, waiter_of(kernel), timeout)
    except ExitError as error:
        raise explained(error, node) from None
    if reason is NOCONNECTION:
        raise explained(ExitError(NOCONNECTION), node)
    return reason


def explained(error: ExitError, node: str) -> ExitError:
    """Return the error with a text that says what is wrong with the node."""
    if isinstance(error, CallTimeout):
        return error
    if error.reason is NOCONNECTION:
        return NoConnection(NOCONNECTION, f"no connection to {node}")
    why = REASONS.get(error.reason) if isinstance(error.reason, Atom) else None
    return ExitError(error.reason, f"{node} {why}") if why else error
