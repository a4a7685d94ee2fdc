"""The table of global locks."""

from itertools import count

import pytest
from ergo_node._global_lock_calls import pause_after
from ergo_node._global_locks import LockTable
from ergo_node._global_terms import GLOBAL
from etf_codec import Atom, Pid, Reference, Term

NODE = "a@host"
ONE, TWO = Pid(NODE, 1, 0, 1), Pid("b@host", 2, 0, 1)
ME, YOU = Atom("me"), Atom("you")


class Watched:
    """Who is watched under which reference."""

    def __init__(self) -> None:
        self.refs: dict[Reference, Pid] = {}
        self.numbers = count()

    def monitor(self, pid: Pid) -> Reference:
        ref = Reference(NODE, 1, (next(self.numbers), 0, 0))
        self.refs[ref] = pid
        return ref

    def table(self) -> LockTable:
        return LockTable(self.monitor, self.refs.pop)


@pytest.mark.parametrize("resource", [GLOBAL, [1, 2], {1: [2]}, b"r"])
def test_a_resource_belongs_to_one_requester(resource: Term) -> None:
    table = Watched().table()
    assert table.set((resource, ME), ONE)
    assert resource in table
    assert table.can_set((resource, ME))
    assert not table.can_set((resource, YOU))
    assert not table.set((resource, YOU), TWO)
    table.delete((resource, YOU), ONE)
    table.delete((resource, ME), TWO)
    assert resource in table
    table.delete((resource, ME), ONE)
    assert resource not in table
    assert table.set((resource, YOU), TWO)


def test_a_requester_has_a_lock_by_several_processes() -> None:
    watched = Watched()
    table = watched.table()
    assert table.set((GLOBAL, ME), ONE)
    assert table.set((GLOBAL, ME), TWO)
    assert table.set((GLOBAL, ME), TWO), "again, which counts once"
    assert list(watched.refs.values()) == [ONE, TWO]
    table.delete((GLOBAL, ME), ONE)
    assert not table.can_set((GLOBAL, YOU))
    table.delete((GLOBAL, ME), TWO)
    assert table.can_set((GLOBAL, YOU))
    assert not watched.refs


def test_a_lock_ends_with_its_last_process() -> None:
    watched = Watched()
    table = watched.table()
    table.set((GLOBAL, ME), ONE)
    table.set((GLOBAL, ME), TWO)
    first, second = watched.refs
    assert table.down(first)
    assert not table.down(first)
    assert GLOBAL in table
    assert not table.holder_died
    assert table.down(second)
    assert GLOBAL not in table
    assert table.holder_died


def test_who_registers_needs_the_lock_or_nobody_else_to_have_it() -> None:
    watched = Watched()
    table = watched.table()
    assert table.still_set(ONE), "names were registered without a lock before there were any"
    table.set((GLOBAL, ME), ONE)
    assert table.still_set(ONE)
    assert not table.still_set(TWO)
    assert table.still_set_by((GLOBAL, ME))
    assert not table.still_set_by((GLOBAL, YOU))
    assert not table.still_set_by((Atom("r"), ME))
    assert not table.still_set_by(None)
    table.down(next(iter(watched.refs)))
    assert not table.still_set(ONE), "its node was lost, and the lock with it"
    assert not table.still_set_by((GLOBAL, ME))
    table.set((GLOBAL, ME), TWO)
    table.delete((GLOBAL, ME), TWO)
    assert table.still_set(ONE)


def test_only_the_lock_of_global_itself_guards_names() -> None:
    watched = Watched()
    table = watched.table()
    table.set((Atom("r"), ME), ONE)
    table.down(next(iter(watched.refs)))
    assert table.still_set(TWO)


def test_pauses_double_up_to_eight_seconds() -> None:
    assert [pause_after(times, 1.0) for times in range(8)] == [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0]
    assert pause_after(3, 0.5) == 0.5
    assert pause_after(1000, 0.0) == 0.0
