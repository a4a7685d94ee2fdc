"""Child specifications, and the children of a supervisor in their order. See `supervisor:child_spec()`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from etf_codec import Atom, Pid, Term

from otp_behaviors._effects import Facts
from otp_behaviors._process import Startable, own_name
from otp_behaviors._wire_terms import as_term

RestartType: TypeAlias = Literal["permanent", "transient", "temporary"]
Shutdown: TypeAlias = float | Literal["brutal_kill", "infinity"]

UNDEFINED: Final = Atom("undefined")
INIT: Final = Atom("init")
RESTARTING: Final = Atom("restarting")

RESTART_TYPES: Final = ("permanent", "transient", "temporary")
WORKER_SHUTDOWN: Final = 5.0
"""Seconds a worker gets to stop before it is killed; a supervisor gets all the time it needs."""


class Child:
    """How a supervisor starts, restarts and stops one child.

    Args:
        start: a GenServer class, a Supervisor, or anything else with a process of its own.
        args: the arguments of its `init`.
        name: the name to register it under.
        id: names the child within its supervisor; the `name`, or the class's name, if left out.
        restart: `permanent` (always), `transient` (after a crash), `temporary` (never).
        shutdown: seconds to stop in, `brutal_kill`, or `infinity`; 5 seconds for a worker and infinity for a
            supervisor if left out.
        significant: its end may end the supervisor, as `auto_shutdown` says (OTP 24).

    Raises:
        ValueError: an option has a value that OTP does not know.
    """

    __slots__ = ("args", "id", "name", "restart", "shutdown", "significant", "start", "type")

    def __init__(
        self,
        start: Startable,
        *args: Any,
        name: str | None = None,
        id: Term = None,
        restart: RestartType = "permanent",
        shutdown: Shutdown | None = None,
        significant: bool = False,
    ) -> None:
        self.start = start
        self.args = args
        self.name = name
        self.type = getattr(start, "child_type", "worker")
        self.id: Term = default_id(start, name) if id is None else id
        self.restart = restart
        default: Shutdown = WORKER_SHUTDOWN if self.type == "worker" else "infinity"
        self.shutdown = default if shutdown is None else shutdown
        self.significant = significant
        self._check()

    def __repr__(self) -> str:
        return f"Child({self.id!r}, restart={self.restart!r})"

    def _check(self) -> None:
        if self.restart not in RESTART_TYPES:
            raise ValueError(f"child {self.id!r}: restart is one of {RESTART_TYPES}, not {self.restart!r}")
        if isinstance(self.shutdown, str):
            if self.shutdown not in ("brutal_kill", "infinity"):
                raise ValueError(
                    f"child {self.id!r}: shutdown is seconds, brutal_kill or infinity, not {self.shutdown!r}"
                )
        elif self.shutdown < 0:
            raise ValueError(f"child {self.id!r}: shutdown cannot be negative: {self.shutdown!r}")
        if self.significant and self.restart == "permanent":
            raise ValueError(f"child {self.id!r}: a permanent child cannot be significant")


def default_id(start: Startable, name: str | None) -> Term:
    """Return the id of a child that was given none."""
    return Atom(name or own_name(start) or str(module_of(start)))


@dataclass(frozen=True, slots=True)
class Member:
    """A child as it is now: its specification and its process, None while it does not run."""

    spec: Child
    pid: Pid | None = None
    restarting: bool = False


class Children:
    """The children of a supervisor, in start order. Never changed: each operation gives a new value.

    Args:
        members: the children; ids must differ.
    """

    __slots__ = ("_members",)

    def __init__(self, members: Iterable[Member] = ()) -> None:
        self._members = tuple(members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Children) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # compared in tests, never a key: specifications are mutable

    def find(self, id: Term) -> Member | None:
        """Return the child with an id."""
        return next((member for member in self._members if member.spec.id == id), None)

    def by_pid(self, pid: Pid) -> Member | None:
        """Return the child whose process this is."""
        return next((member for member in self._members if member.pid == pid), None)

    def add(self, member: Member) -> Children:
        """Append a child."""
        return Children((*self._members, member))

    def remove(self, id: Term) -> Children:
        """Take a child out."""
        return Children(member for member in self._members if member.spec.id != id)

    def update(self, id: Term, pid: Pid | None, restarting: bool = False) -> Children:
        """Set the process of a child."""
        return Children(
            replace(member, pid=pid, restarting=restarting) if member.spec.id == id else member
            for member in self._members
        )

    def from_child(self, id: Term) -> tuple[Member, ...]:
        """Return the child and those started after it, in start order."""
        ids = [member.spec.id for member in self._members]
        return self._members[ids.index(id) :]


class Crowd(Children):
    """The children of `simple_one_for_one`: there may be many, so it changes, and finds them by pid."""

    __slots__ = ("_by_id", "_ids")

    def __init__(self) -> None:
        super().__init__()
        self._by_id: dict[Term, Member] = {}
        self._ids: dict[Pid, Term] = {}

    def __iter__(self) -> Iterator[Member]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, id: Term) -> Member | None:
        """Return the child with an id."""
        return self._by_id.get(id) if type(id) is int else None  # as the supervisor numbers them

    def by_pid(self, pid: Pid) -> Member | None:
        """Return the child whose process this is."""
        return self._by_id[self._ids[pid]] if pid in self._ids else None

    def add(self, member: Member) -> Children:
        """Append a child."""
        return self._put(member)

    def remove(self, id: Term) -> Children:
        """Take a child out."""
        member = self._by_id.pop(id, None)
        if member is not None and member.pid is not None:
            del self._ids[member.pid]
        return self

    def update(self, id: Term, pid: Pid | None, restarting: bool = False) -> Children:
        """Set the process of a child."""
        member = self._by_id.get(id)
        if member is None:
            return self
        if member.pid is not None:
            del self._ids[member.pid]
        return self._put(replace(member, pid=pid, restarting=restarting))

    def _put(self, member: Member) -> Children:
        self._by_id[member.spec.id] = member
        if member.pid is not None:
            self._ids[member.pid] = member.spec.id
        return self


def which_child(member: Member, simple: bool) -> Term:
    """`{Id, Pid | undefined | restarting, worker | supervisor, Modules}`; without ids if `simple`."""
    return (
        UNDEFINED if simple else member.spec.id,
        RESTARTING if member.restarting else member.pid or UNDEFINED,
        Atom(member.spec.type),
        [module_of(member.spec.start)],
    )


def which_children(children: Children, simple: bool) -> Term:
    """The same of all children, the last started first."""
    return [which_child(member, simple) for member in reversed(list(children))]


def count_children(children: Children, simple: bool) -> Term:
    """`[{specs, N}, {active, N}, {supervisors, N}, {workers, N}]`; `simple` has one specification for all."""
    members = list(children)
    supervisors = sum(member.spec.type == "supervisor" for member in members)
    return [
        (Atom("specs"), 1 if simple else len(members)),
        (Atom("active"), sum(member.pid is not None for member in members)),
        (Atom("supervisors"), supervisors),
        (Atom("workers"), len(members) - supervisors),
    ]


def specification(spec: Child) -> Term:
    """`#{id, start, restart, significant, shutdown, type, modules}`, as `supervisor:get_childspec/2`.

    Arguments without an external form are shown as text: the answer may go to another node.
    """
    return {
        Atom("id"): spec.id,
        Atom("start"): (module_of(spec.start), INIT, as_term(list(spec.args))),
        Atom("restart"): Atom(spec.restart),
        Atom("significant"): spec.significant,
        Atom("shutdown"): _shutdown(spec),
        Atom("type"): Atom(spec.type),
        Atom("modules"): [module_of(spec.start)],
    }


def _shutdown(spec: Child) -> Term:
    limit = spec.shutdown
    return Atom(limit) if isinstance(limit, str) else round(limit * 1000)


def offender(spec: Child, who: Pid | list[Pid] | None) -> Facts:
    """Return what supervisor reports tell of a child (`supervisor:extract_child/1`).

    Args:
        spec: its specification, for `simple_one_for_one` the template.
        who: its process, None if there is none; or the children of `simple_one_for_one` that ended alike.
    """
    return [
        ("pid", who or UNDEFINED) if who is None or isinstance(who, Pid) else ("nb_children", len(who)),
        ("id", spec.id),
        ("mfargs", (module_of(spec.start), INIT, spec.args)),
        ("restart_type", Atom(spec.restart)),
        ("significant", spec.significant),
        ("shutdown", _shutdown(spec)),
        ("child_type", Atom(spec.type)),
    ]


def module_of(start: Startable) -> Atom:
    """Return what stands for OTP's callback module: the name of the class."""
    return Atom(str(getattr(start, "__name__", type(start).__name__)))
