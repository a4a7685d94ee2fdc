"""The table of global names."""

from itertools import count

import pytest
from ergo_node._global_names import (
    NameTable,
    Registered,
    deleted,
    entries_in,
    externals_in,
    inserted,
    operate,
    operations_in,
)
from etf_codec import Atom, Pid, Reference, Term

NODE = "a@host"
PID, OTHER = Pid(NODE, 1, 0, 1), Pid("b@host", 2, 0, 1)
FUN = Atom("fun")
SHOP = Atom("shop")


class Watched:
    """Who is watched under which reference."""

    def __init__(self) -> None:
        self.refs: dict[Reference, Pid] = {}
        self.numbers = count()
        self.dropped: list[Registered] = []

    def monitor(self, pid: Pid) -> Reference:
        ref = Reference(NODE, 1, (next(self.numbers), 0, 0))
        self.refs[ref] = pid
        return ref

    def table(self) -> NameTable:
        return NameTable(self.monitor, self.refs.pop, self.dropped.append)


def test_a_name_is_there_until_it_is_deleted() -> None:
    watched = Watched()
    table = watched.table()
    table.insert(SHOP, PID, FUN)
    found = table.find(SHOP)
    assert found is not None
    assert (found.pid, found.method, found.via) == (PID, FUN, None)
    assert table.names() == [SHOP]
    assert table.entries() == [(SHOP, PID, FUN)]
    assert table.names_of(PID) == [SHOP]
    assert list(watched.refs.values()) == [PID]
    table.delete(SHOP)
    table.delete(SHOP)
    assert table.find(SHOP) is None
    assert table.names_of(PID) == []
    assert not watched.refs
    assert [entry.name for entry in watched.dropped] == [SHOP]


def test_another_process_takes_the_name_over() -> None:
    watched = Watched()
    table = watched.table()
    table.insert(SHOP, PID, FUN)
    table.insert(SHOP, OTHER, FUN)
    assert table.entries() == [(SHOP, OTHER, FUN)]
    assert list(watched.refs.values()) == [OTHER]
    assert table.names_of(PID) == []


def test_a_process_that_ends_loses_the_name_it_was_watched_for() -> None:
    watched = Watched()
    table = watched.table()
    table.insert(SHOP, PID, FUN)
    table.insert(1, PID, FUN)
    first, second = watched.refs
    assert table.down(first)
    assert table.names() == [1]
    assert table.names_of(PID) == [1]
    assert not table.down(first)
    assert table.down(second)
    assert table.names() == []


@pytest.mark.parametrize(
    ("name", "unlike"),
    [(1, 1.0), (1, True), ([1, 2], (1, 2)), ({1: [2]}, {1: (2,)}), (b"shop", SHOP), (None, False)],
)
def test_names_are_the_same_that_are_in_erlang(name: Term, unlike: Term) -> None:
    table = Watched().table()
    table.insert(name, PID, FUN)
    assert table.find(name) is not None
    assert table.find(unlike) is None


def test_what_partitions_agreed_on_is_carried_out() -> None:
    table = Watched().table()
    table.insert(SHOP, PID, FUN)
    operations = [deleted(SHOP), inserted(1, OTHER, FUN), inserted(2, PID, FUN), inserted(SHOP, OTHER, FUN)]
    assert operate(table, operations, [(2, PID, Atom(NODE)), (1, PID, Atom(NODE))]) == [1, 2, SHOP]
    assert table.entries() == [(1, OTHER, FUN), (2, PID, FUN)]
    assert table.externals() == [(2, PID, Atom(NODE))]


@pytest.mark.parametrize("junk", [[], 7, b"", [1, (), (SHOP,), (SHOP, 1, FUN, 4)], {}])
def test_junk_is_no_name_and_no_operation(junk: Term) -> None:
    assert entries_in(junk) == []
    assert operations_in(junk) == []
    assert externals_in(junk) == []


def test_what_is_sense_among_junk_is_taken() -> None:
    assert entries_in([7, (SHOP, PID, FUN), (SHOP, 7, FUN)]) == [(SHOP, PID, FUN)]
    sense = [inserted(SHOP, PID, FUN), deleted(SHOP)]
    assert operations_in([*sense, (Atom("insert"), SHOP), (Atom("move"), SHOP)]) == sense
    assert externals_in([(SHOP, PID, Atom(NODE)), (SHOP, PID, NODE)]) == [(SHOP, PID, Atom(NODE))]
