"""The table of global names: the same on every node of a cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from etf_codec import Atom, Pid, Reference, Term

from ergo_node._global_terms import DELETE, INSERT, Key, key

External = tuple[Term, Pid, Atom]
"""A name of a process on a node without a name server (a C node), and the node that registered it."""

Operation = tuple[Term, ...]
"""`{insert, {Name, Pid, Method}}` or `{delete, Name}`."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A name and its process.

    Attributes:
        name: any term.
        pid: the process.
        method: what settles a conflict with another process of that name: a fun.
        ref: the monitor of the process.
        via: the node that registered it, if its own node has no name server.
    """

    name: Term
    pid: Pid
    method: Term
    ref: Reference
    via: Atom | None = None


class NameTable:
    """The global names, as this node knows them.

    Args:
        monitor: begins to watch a process.
        demonitor: ends that.
        dropped: is told of every entry that goes.
    """

    def __init__(
        self,
        monitor: Callable[[Pid], Reference],
        demonitor: Callable[[Reference], object],
        dropped: Callable[[Registered], None] = lambda entry: None,
    ) -> None:
        self._monitor = monitor
        self._demonitor = demonitor
        self._dropped = dropped
        self._by_name: dict[Key, Registered] = {}
        self._by_ref: dict[Reference, Key] = {}
        self._by_pid: dict[Pid, list[Key]] = {}

    def find(self, name: Term) -> Registered | None:
        """Return the entry of a name."""
        return self._by_name.get(key(name))

    def names(self) -> list[Term]:
        """Return all names (`global:registered_names/0`)."""
        return [entry.name for entry in self._by_name.values()]

    def names_of(self, pid: Pid) -> list[Term]:
        """Return the names of a process."""
        return [self._by_name[each].name for each in self._by_pid.get(pid, ())]

    def entries(self) -> list[Term]:
        """Return `{Name, Pid, Method}` of each name, as nodes exchange them."""
        return [(entry.name, entry.pid, entry.method) for entry in self._by_name.values()]

    def externals(self) -> list[Term]:
        """Return `{Name, Pid, RegNode}` of each name of a node without a name server."""
        return [
            (entry.name, entry.pid, entry.via) for entry in self._by_name.values() if entry.via is not None
        ]

    def insert(self, name: Term, pid: Pid, method: Term, via: Atom | None = None) -> None:
        """Give a name to a process; another one that has it loses it."""
        self.delete(name)
        entry, index = Registered(name, pid, method, self._monitor(pid), via), key(name)
        self._by_name[index] = entry
        self._by_ref[entry.ref] = index
        self._by_pid.setdefault(pid, []).append(index)

    def delete(self, name: Term) -> None:
        """Take a name away, if somebody has it."""
        index = key(name)
        entry = self._by_name.pop(index, None)
        if entry is None:
            return
        del self._by_ref[entry.ref]
        names = self._by_pid[entry.pid]
        names.remove(index)
        if not names:
            del self._by_pid[entry.pid]
        self._demonitor(entry.ref)
        self._dropped(entry)

    def down(self, ref: Reference) -> bool:
        """A watched process has ended; False if the reference is of no name."""
        index = self._by_ref.get(ref)
        if index is not None:
            self.delete(self._by_name[index].name)
        return index is not None


def inserted(name: Term, pid: Pid, method: Term) -> Operation:
    """Return the operation that gives a name to a process."""
    return (INSERT, (name, pid, method))


def deleted(name: Term) -> Operation:
    """Return the operation that takes a name away."""
    return (DELETE, name)


def entries_in(names: Term) -> list[tuple[Term, Pid, Term]]:
    """Return the entries in what a node says are its names; what is none is left out."""
    found: list[tuple[Term, Pid, Term]] = []
    for entry in names if isinstance(names, list) else []:
        match entry:
            case (name, Pid() as pid, method):
                found.append((name, pid, method))
    return found


def operations_in(operations: Term) -> list[Operation]:
    """Return the operations in what a node says was resolved; what is none is left out."""
    found: list[Operation] = []
    for operation in operations if isinstance(operations, list) else []:
        match operation:
            case (Atom("insert"), (_, Pid(), _)) | (Atom("delete"), _):
                found.append(operation)
    return found


def externals_in(externals: Term) -> list[External]:
    """Return the entries in what a node says are names of nodes without a name server."""
    found: list[External] = []
    for entry in externals if isinstance(externals, list) else []:
        match entry:
            case (name, Pid() as pid, Atom() as node):
                found.append((name, pid, node))
    return found


def operate(table: NameTable, operations: list[Operation], externals: list[External]) -> list[Term]:
    """Carry out what two partitions agreed on: all insertions first, then the deletions.

    Returns:
        The names that were inserted.
    """
    via = {(key(name), pid): node for name, pid, node in externals}
    names: list[Term] = []
    for operation in operations:
        match operation:
            case (Atom("insert"), (name, Pid() as pid, method)):
                table.insert(name, pid, method, via.get((key(name), pid)))
                names.append(name)
    for operation in operations:
        match operation:
            case (Atom("delete"), name):
                table.delete(name)
    return names
