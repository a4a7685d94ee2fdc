"""Supervisor: a process that supervises others, as a value that says which and how.

What the process does is in `_supervision`. Follows `supervisor` of STDLIB.
"""

from __future__ import annotations

import math
from typing import Any, Final, Protocol

from etf_codec import Atom, Pid, Term

from otp_behaviors._children import UNDEFINED, Child, Member
from otp_behaviors._errors import ExitError
from otp_behaviors._kernel import Kernel
from otp_behaviors._process import FunctionProcess, LocalProcess, Process, Startable
from otp_behaviors._restart import AUTO_SHUTDOWNS, STRATEGIES, AutoShutdown, Strategy
from otp_behaviors._shell import ServerRef
from otp_behaviors._supervision import OK, Supervision


class Supervisor:
    """A supervisor and its children: a value, usable wherever a child is.

    Args:
        children: Child values, or GenServer classes and Supervisors with the default options.
        strategy: which children stop and start again when one has to be restarted.
        intensity: how many restarts are allowed …
        period: … within so many seconds; one more and the supervisor stops its children and ends.
        auto_shutdown: whether it ends when `any_significant` or `all_significant` children have ended.
        name: a name to register it under.

    Raises:
        ValueError: an option has a value OTP does not know, or two children have the same id.
    """

    child_type: Final = "supervisor"

    def __init__(
        self,
        *children: Child | Startable,
        strategy: Strategy = "one_for_one",
        intensity: int = 1,
        period: float = 5,
        auto_shutdown: AutoShutdown = "never",
        name: str | None = None,
    ) -> None:
        self.children = tuple(child if isinstance(child, Child) else Child(child) for child in children)
        self.strategy = strategy
        self.intensity = intensity
        self.period = period
        self.auto_shutdown = auto_shutdown
        self.name = name
        self._check()

    def _check(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ValueError(f"strategy is one of {STRATEGIES}, not {self.strategy!r}")
        if self.auto_shutdown not in AUTO_SHUTDOWNS:
            raise ValueError(f"auto_shutdown is one of {AUTO_SHUTDOWNS}, not {self.auto_shutdown!r}")
        if self.intensity < 0 or self.period <= 0:
            raise ValueError("intensity counts from 0 up, period is more than 0 seconds")
        if self.strategy == "simple_one_for_one" and len(self.children) != 1:
            raise ValueError("simple_one_for_one takes exactly one child, the template of all")
        ids = [child.id for child in self.children]
        twice = [id for id in ids if ids.count(id) > 1]
        if twice:
            raise ValueError(f"two children have the id {twice[0]!r}: give one of them another `id`")
        if self.auto_shutdown == "never" and any(child.significant for child in self.children):
            raise ValueError("a significant child needs auto_shutdown='any_significant' or 'all_significant'")

    def _at_work(self, process: Process) -> Supervision:
        """Return what supervises in a process."""
        return Supervision(process, self)

    def __process__(self, kernel: Kernel, args: tuple[Any, ...]) -> LocalProcess:
        """Return a new process for this supervisor."""
        return SupervisorProcess(kernel, self)


class SupervisorProcess(FunctionProcess):
    """The process of a supervisor. The kernel itself runs it: it waits for nothing but processes."""

    __slots__ = ("supervision",)

    def __init__(self, kernel: Kernel, supervisor: Supervisor) -> None:
        super().__init__(kernel, _supervise, (supervisor,))
        self.supervision: Supervision | None = None
        self.driven = True
        self.trap_exit = True
        self.acknowledges = False

    @property
    def initial_call(self) -> tuple[str, str, int]:
        """As OTP names it."""
        return ("supervisor", "supervisor", 1)

    def time_to_stop(self, grace: float) -> float:
        """What its children need one after the other; those of `simple_one_for_one` stop together."""
        if self.supervision is None:
            return grace
        times = [self._time_of(member, grace) for member in self.supervision.children]
        return max(grace, max(times, default=0.0) if self.supervision.simple else sum(times))

    def _time_of(self, member: Member, grace: float) -> float:
        shutdown = member.spec.shutdown
        if shutdown != "infinity":
            return 0.0 if isinstance(shutdown, str) else shutdown
        child = None if member.pid is None else self.kernel.table.by_pid.get(member.pid)
        return child.time_to_stop(grace) if isinstance(child, SupervisorProcess) else math.inf


async def _supervise(process: Process, supervisor: Supervisor) -> None:
    supervision = supervisor._at_work(process)
    record = process._record
    assert isinstance(record, SupervisorProcess)
    record.supervision = supervision
    await supervision.run()


class CanCall(Protocol):
    """A process, a runtime or a node."""

    async def call(self, to: ServerRef, request: Term, timeout: float | None = ...) -> Any:
        """Send a request and return the reply."""


async def start_child(
    caller: CanCall, supervisor: ServerRef, child: Child | Startable | list[Any]
) -> Pid | None:
    """Start a child at run time (`supervisor:start_child/2`).

    Args:
        caller: the process, runtime or node that asks.
        supervisor: the supervisor, of this node.
        child: a Child, or a GenServer class or Supervisor with the default options; for `simple_one_for_one`
            the list of further arguments.

    Returns:
        The child's process; None if its `init` raised Ignore.

    Raises:
        ExitError: it did not start; `reason` is OTP's error term.
    """
    argument = child if isinstance(child, Child | list) else Child(child)
    answer = await caller.call(supervisor, (Atom("start_child"), argument), timeout=None)
    if answer[0] is not OK:
        raise ExitError(answer[1])
    return None if answer[1] == UNDEFINED else answer[1]
