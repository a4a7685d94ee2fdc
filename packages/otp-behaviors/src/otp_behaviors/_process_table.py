"""The process table: what the kernel keeps of each process, their pids, and their registered names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Coroutine, Iterator, MutableMapping
from enum import Enum
from typing import Any, Final, Protocol, TypeAlias

from etf_codec import Atom, Pid, Reference, Term

from otp_behaviors._aliases import Alias
from otp_behaviors._bonds import Link, Monitor, Watcher
from otp_behaviors._errors import NameTaken
from otp_behaviors._reasons import NORMAL

ID_BITS: Final = 15
"""Bits of a pid's id, and with `SERIAL_BITS` of its serial, that every peer understands (protocol: V4_NC)."""

SERIAL_BITS: Final = 13

MAX_ID: Final = (1 << ID_BITS) - 1
MAX_SERIAL: Final = (1 << SERIAL_BITS) - 1

MAX_PROCESSES: Final = 262_144
"""Processes alive at once: OTP's default limit. Beyond it `spawn` fails with `system_limit`."""

ALREADY_STARTED: Final = Atom("already_started")

NO_MAIL: Final[deque[Term]] = deque(maxlen=0)
"""The mailbox of a process that never got a message, as an empty deque takes 600 bytes. It holds nothing."""

NO_PID: Final = Pid("", 0, 0, 0)
"""Stands for a process that is not in the table yet."""


Ancestry: TypeAlias = "tuple[Pid | str, Ancestry | None]"
"""The parent and its own ancestry, which siblings share: a chain of processes is as long as it is deep."""


class Status(Enum):
    """What a process is doing."""

    IDLE = "waiting"
    READY = "runnable"
    RUNNING = "running"
    BUSY = "suspended in a callback"
    EXITED = "exiting"


IDLE: Final = Status.IDLE
READY: Final = Status.READY
RUNNING: Final = Status.RUNNING
BUSY: Final = Status.BUSY
EXITED: Final = Status.EXITED


class Waiter(Protocol):
    """A place where a coroutine waits until it is woken; waking twice, or too early, is harmless."""

    def wake(self) -> None:
        """Let the coroutine go on."""

    def wait(self) -> Awaitable[None]:
        """Return what suspends, when awaited, until `wake` has been called."""


class Acknowledgement(Protocol):
    """Where whoever starts a process waits for the end of its initialization."""

    def succeed(self, value: Term) -> None:
        """The process is ready."""

    def fail(self, error: Exception) -> None:
        """The process could not start."""


class Awaiting(Protocol):
    """Something of this node that waits for an answer of a process."""

    def callee_exited(self, reason: Term) -> None:
        """The process has ended without an answer."""


class OpenRequest(Awaiting, Protocol):
    """A call whose reply is still to come."""

    sender: Pid
    ref: Reference
    done: bool

    def post(self, callee: ProcessRecord, request: Term) -> None:
        """Put the request into the mailbox of the callee."""

    def enlist(self, callee: ProcessRecord) -> None:
        """Wait for the answer of the callee, or its end."""

    def alias_message(self, alias: Reference, message: Term) -> None:
        """Take the reply."""


class Task(Protocol):
    """The task that a process runs its coroutines in."""

    def resume(self) -> None:
        """Have it await the process's coroutine."""

    def cancel(self) -> None:
        """Raise the backend's cancellation in the task at its next checkpoint."""


class ProcessRecord(ABC):
    """One process, as the kernel sees it. Tables are made when first used: most processes need none."""

    __slots__ = (
        "ack",
        "aliases",
        "ancestry",
        "callers",
        "coroutine",
        "dictionary",
        "driven",
        "env",
        "group_leader",
        "label",
        "links",
        "mailbox",
        "monitored_by",
        "monitors",
        "name",
        "parent",
        "pid",
        "reductions",
        "status",
        "task",
        "trap_exit",
        "waiting",
    )

    def __init__(self) -> None:
        self.pid: Pid = NO_PID
        self.name: str | None = None
        self.mailbox: deque[Term] = NO_MAIL
        self.status: Status = READY
        self.trap_exit = False
        self.parent: Pid | None = None
        self.ancestry: Ancestry | None = None
        self.group_leader: Pid | None = None
        self.reductions = 0
        self.label: Term = None
        self.links: dict[Pid, Link] | None = None
        self.monitors: dict[Reference, Monitor] | None = None
        self.monitored_by: dict[Reference, Watcher] | None = None
        self.aliases: dict[Reference, Alias] | None = None
        # Requests of this node that wait for an answer of this process: monitors without a reference.
        self.callers: dict[Awaiting, None] | None = None
        self.dictionary: dict[Term, Term] | None = None
        self.env: MutableMapping[str, Any] | None = None
        self.ack: Acknowledgement | None = None
        self.coroutine: Coroutine[Any, Any, Term] | None = None
        self.driven = False
        self.waiting: Waiter | None = None
        self.task: Task | None = None

    def __repr__(self) -> str:
        name = f" {self.name}" if self.name else ""
        return f"<{type(self).__name__} {self.pid!r}{name} {self.status.value}>"

    def compact(self) -> None:
        """Drop empty tables."""
        self.links = self.links or None
        self.monitors = self.monitors or None
        self.monitored_by = self.monitored_by or None
        self.aliases = self.aliases or None
        self.mailbox = self.mailbox or NO_MAIL

    def ancestors(self) -> Iterator[Pid | Atom]:
        """Return parent, grandparent and so on, by name if they had one at the start of their child."""
        ancestry = self.ancestry
        while ancestry is not None:
            who, ancestry = ancestry
            yield Atom(who) if isinstance(who, str) else who

    @property
    def mortal(self) -> bool:
        """Whether an error can end it; what stands for the program outside of all processes has no end."""
        return True

    @property
    def reported(self) -> bool:
        """Whether an end that is not clean is logged; not where such a reason is an answer."""
        return True

    @property
    def alive(self) -> bool:
        """Whether the process has not ended."""
        return self.status is not EXITED

    @property
    @abstractmethod
    def initial_call(self) -> tuple[str, str, int]:
        """Module, function and arity the process was started with."""

    @abstractmethod
    def turn(self) -> int:
        """Run until nothing is left to do or the time slice is used up; returns the reductions spent."""

    @abstractmethod
    def serve(self, pending: OpenRequest, request: Term) -> Term:
        """Take a call while idle; return the answer, or NO_REPLY if it is still to come.

        Only called when nobody else has anything to do.
        """

    def take(self, message: Term) -> bool:
        """Answer a request of another node at once, while idle; false if it is none, or has to be put away.

        Only called when no process runs, and by who then sees to those that have something to do.
        """
        return False

    @abstractmethod
    def returned(self, value: Term) -> None:
        """The coroutine of this process has returned."""

    @abstractmethod
    def raised(self, error: Exception) -> None:
        """The coroutine of this process has raised."""

    @abstractmethod
    def exited(self, reason: Term) -> None:
        """The process has just ended: let go of what it holds."""


class ProcessTable:
    """Processes by pid and by registered name.

    Args:
        node: the node's name.
        creation: tells this incarnation of the node from earlier ones of the same name.
    """

    __slots__ = ("_next", "by_name", "by_pid", "creation", "found", "node", "sought")

    def __init__(self, node: str, creation: int) -> None:
        self.node = node
        self.creation = creation
        self.by_pid: dict[Pid, ProcessRecord] = {}
        self.by_name: dict[str, ProcessRecord] = {}
        self._next = 0
        # The one that was found last, and the very object that it was found by.
        self.sought: Pid | None = None
        self.found: ProcessRecord | None = None

    def new_pid(self) -> Pid:
        """Return a pid that no living process has; ids are used again only after 2**28 processes."""
        while True:
            self._next = number = self._next + 1
            pid = Pid(self.node, number & MAX_ID, number >> ID_BITS & MAX_SERIAL, self.creation)
            if pid not in self.by_pid:
                return pid

    def add(self, record: ProcessRecord) -> None:
        """Give the process a pid and put it into the table."""
        record.pid = self.new_pid()
        self.by_pid[record.pid] = record

    def find(self, pid: Pid) -> ProcessRecord | None:
        """Return a process of this node; for messages that follow each other to the same, it is at hand."""
        if pid is not self.sought:
            record = self.by_pid.get(pid)
            if record is None:
                return None
            self.sought, self.found = pid, record
        return self.found

    def remove(self, record: ProcessRecord) -> None:
        """Take the process out, its name first, as OTP releases it before any signal of the exit leaves."""
        if record is self.found:
            self.sought = self.found = None
        if record.name is not None:
            del self.by_name[record.name]
        del self.by_pid[record.pid]

    def register(self, name: str, record: ProcessRecord) -> None:
        """Register the process under a name (`erlang:register/2`).

        Raises:
            NameTaken: another process has the name, or this one has a name already.
        """
        holder = self.by_name.get(name)
        if holder is not None:
            raise NameTaken((ALREADY_STARTED, holder.pid), f"the name {name!r} belongs to {holder.pid!r}")
        if record.name is not None:
            raise NameTaken((ALREADY_STARTED, record.pid), f"{record.pid!r} is registered as {record.name!r}")
        self.by_name[name] = record
        record.name = name

    def unregister(self, name: str) -> bool:
        """Release a name (`erlang:unregister/1`); False if nobody had it."""
        record = self.by_name.pop(name, None)
        if record is not None:
            record.name = None
        return record is not None


def is_normal(reason: Term) -> bool:
    """Tell whether the reason is the atom `normal`: such an exit signal ends nobody but its sender."""
    return type(reason) is Atom and reason == NORMAL
