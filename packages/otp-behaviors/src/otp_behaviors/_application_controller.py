"""Starting and stopping applications, and what the end of one means: `application_controller` of KERNEL."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import anyio
import anyio.abc
from etf_codec import Atom, Pid, Term

from otp_behaviors._application import START_TYPES, Application, ApplicationMaster, StartType, start_order
from otp_behaviors._completion import Completion
from otp_behaviors._errors import ExitError, NoProcess
from otp_behaviors._handle import Watch
from otp_behaviors._kernel import Kernel
from otp_behaviors._process import LocalProcess
from otp_behaviors._reasons import NOPROC, NORMAL, SHUTDOWN, is_clean
from otp_behaviors._reports import shown
from otp_behaviors._shell import ServerRef

Running: TypeAlias = dict[str, tuple[Application, Pid, Watch]]
"""The applications that run, in the order they were started: each with its master, and a watch of that."""


class Controlling(Protocol):
    """What a controller is of a runtime."""

    kernel: Kernel
    _applications: Running
    _tasks: anyio.abc.TaskGroup | None
    _closing: bool
    _starting: anyio.Lock

    @property
    def _client(self) -> LocalProcess: ...

    def monitor(self, to: ServerRef) -> Watch: ...

    async def stop(self, to: ServerRef, reason: Term = NORMAL, timeout: float | None = None) -> None: ...

    async def start_application(self, application: Application, type: StartType = "temporary") -> None: ...

    async def _started(self, record: LocalProcess, started: Completion) -> None: ...

    async def _start_one(self, application: Application, type: StartType) -> None: ...

    async def _watch_application(self, application: Application, watch: Watch, type: StartType) -> None: ...


class ApplicationController:
    """The part of a runtime that runs applications."""

    async def start_application(
        self: Controlling, application: Application, type: StartType = "temporary"
    ) -> None:
        """Start an application, and before it those it depends on that do not run yet.

        Args:
            application: what to start; nothing happens if it runs.
            type: what its end means: `permanent` stops the runtime, `transient` stops it unless the reason
                is normal, `temporary` (and every dependency) is only reported.

        Raises:
            ExitError: it did not start. ValueError: the dependencies form a circle.
        """
        if type not in START_TYPES:
            raise ValueError(f"an application starts as one of {START_TYPES}, not {type!r}")
        order = start_order(application)
        async with self._starting:
            for needed in order:
                if needed.name not in self._applications:
                    await self._start_one(needed, type if needed is application else "temporary")

    async def stop_application(self: Controlling, name: str) -> None:
        """Stop an application: its tree, children in reverse order. It takes nothing else down.

        Raises:
            NoProcess: no such application runs.
        """
        entry = self._applications.pop(name, None)
        if entry is None:
            raise NoProcess(NOPROC, f"application {name!r} is not running")
        await self.stop(entry[1], SHUTDOWN)

    def which_applications(self: Controlling) -> list[Application]:
        """Return the applications that run, the last started first."""
        return [application for application, *_ in reversed(self._applications.values())]

    def application_master(self: Controlling, name: str) -> Pid | None:
        """Return the topmost process of an application (`application_controller:get_master/1`)."""
        entry = self._applications.get(name)
        return None if entry is None else entry[1]

    async def run(self: Controlling, application: Application) -> None:
        """Start an application and wait for its end.

        Raises:
            ExitError: it ended with another reason than `normal` or `shutdown`.
        """
        await self.start_application(application)
        entry = self._applications.get(application.name)
        if entry is not None:
            # A Watch is for one task, so this is a second one; too late if the application ended at once.
            _, pid, watch = entry
            down = await (watch if watch.done else self.monitor(pid))
            if not is_clean(down.reason):
                raise ExitError(down.reason, f"application {application.name} ended: {shown(down.reason)}")

    async def _start_one(self: Controlling, application: Application, type: StartType) -> None:
        master = ApplicationMaster(self.kernel, application)
        master.type = type
        master.ack = started = Completion(self.kernel)
        pid = self.kernel.spawn(master, parent=self._client)
        # Watched from its first moment: one that ends at once would otherwise seem to end with `noproc`.
        watch = self.monitor(pid)
        await self._started(master, started)
        self._applications[application.name] = (application, pid, watch)
        assert self._tasks is not None
        self._tasks.start_soon(self._watch_application, application, watch, type)

    async def _watch_application(
        self: Controlling, application: Application, watch: Watch, type: StartType
    ) -> None:
        down = await watch
        entry = self._applications.get(application.name)
        if entry is None or entry[2] is not watch:
            return
        del self._applications[application.name]
        fatal = type == "permanent" or (type == "transient" and down.reason is not NORMAL)
        if fatal and not self._closing:
            text = f"{type} application {application.name} ended: {shown(down.reason)}"
            raise ExitError((Atom("application_terminated"), down.reason), text)
