import pytest
from erldist_proto import RemoteProtocolError
from erldist_proto._dist_header import MEMO_SIZE, SLOTS, IncomingAtoms, InlineAtoms, OutgoingAtoms
from etf_codec import Atom
from hypothesis import given
from hypothesis import strategies as st

MAX_REFS = 255


def atoms(*names: str) -> tuple[Atom, ...]:
    return tuple(map(Atom, names))


def read(into: IncomingAtoms, data: bytes, offset: int) -> tuple[tuple[Atom, ...], int]:
    return into.read(data, offset)


def test_the_header_of_a_real_node() -> None:
    header = bytes.fromhex(
        "048fcc00250b61403132372e302e302e3105005b03726578eb1066656174757265735f72657175657374"
    )
    refs, end = read(IncomingAtoms(), header + b"rest", 0)
    assert refs == atoms("a@127.0.0.1", "", "rex", "features_request")
    assert end == len(header)


NAMES = st.lists(st.integers(0, 3000), unique=True, max_size=300)


@given(st.lists(NAMES, max_size=12), st.booleans())
def test_both_caches_stay_in_step(messages: list[list[int]], long: bool) -> None:
    out, into = OutgoingAtoms(), IncomingAtoms()
    suffix = "\u20ac" * 200 if long else ""
    for numbers in messages:
        refs = atoms(*(f"a{number}{suffix}" for number in numbers))[:MAX_REFS]
        header = out.header(refs)
        assert read(into, b"xx" + header, 2) == (refs, 2 + len(header))


def test_more_atoms_than_slots() -> None:
    out, into = OutgoingAtoms(), IncomingAtoms()
    for start in range(0, 3 * SLOTS, 100):
        refs = atoms(*(str(number) for number in range(start, start + 100)))
        assert read(into, out.header(refs), 0)[0] == refs
    full = atoms(*(str(number) for number in range(MAX_REFS)))
    assert read(into, out.header(full), 0)[0] == full
    assert read(into, out.header(full), 0)[0] == full


def test_a_message_never_gives_up_a_slot_it_needs() -> None:
    out, into = OutgoingAtoms(), IncomingAtoms()
    first = atoms(*(f"old{number}" for number in range(250)))
    read(into, out.header(first), 0)
    for start in range(0, SLOTS - 250, 200):  # the next free slot comes round to those of `first`
        read(into, out.header(atoms(*(f"new{number}" for number in range(start, start + 200)))), 0)
    mixed = (*first[:100], *atoms(*(f"more{number}" for number in range(150))))
    assert read(into, out.header(mixed), 0)[0] == mixed
    assert read(into, out.header(first), 0)[0] == first


def test_a_known_atom_costs_one_byte() -> None:
    out = OutgoingAtoms()
    refs = atoms("some_long_name", "another_long_name")
    assert len(out.header(refs)) > 30
    assert len(out.header(refs)) == len(out.header(refs)) == 1 + 2 + 2


def test_a_remembered_header_is_forgotten_when_a_slot_changes() -> None:
    into = IncomingAtoms()
    read(into, b"\1\x08\x05\1a", 0)
    assert read(into, b"\1\0\x05", 0) == read(into, b"\1\0\x05", 0) == (atoms("a"), 3)
    read(into, b"\1\x08\x05\1b", 0)
    assert read(into, b"\1\0\x05", 0) == (atoms("b"), 3)


def test_memories_are_bounded() -> None:
    out, into = OutgoingAtoms(), IncomingAtoms()
    names = atoms(*(str(number) for number in range(60)))
    read(into, out.header(names), 0)
    for first in names:
        for second in names:
            if first != second:
                assert read(into, out.header((first, second)), 0)[0] == (first, second)
    assert len(out.known) <= MEMO_SIZE
    assert len(into.known) <= MEMO_SIZE


def test_long_atoms_use_two_bytes_of_length() -> None:
    long = Atom("\u20ac" * 255)
    header = OutgoingAtoms().header((long, Atom("a")))
    assert header == b"\2\x88\x01" + b"\0" + (765).to_bytes(2) + long.name.encode() + b"\1\0\1a"
    assert read(IncomingAtoms(), header, 0) == ((long, Atom("a")), len(header))


def test_no_atoms() -> None:
    assert OutgoingAtoms().header(()) == b"\0"
    assert read(IncomingAtoms(), b"\0rest", 0) == ((), 1)


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        (b"", "without a number"),
        (b"\1", "ends too early"),
        (b"\1\x08", "ends too early"),
        (b"\1\x08\0", "ends too early"),
        (b"\1\x18\0\0", "ends too early"),
        (b"\1\0\5", "slot 5 of the atom cache, which is empty"),
        (b"\1\7\xff", "slot 2047 of the atom cache, which is empty"),
        (b"\1\x08\0\5abc", "ends inside an atom"),
        (b"\1\x08\0\1\xff", "no atom"),
        (b"\1\x08\0\3\xed\xa0\x80", "no atom"),
        (b"\1\x18\0\x01\x00" + b"a" * 256, "no atom"),
        (b"\xff" + bytes(127), "ends too early"),
    ],
)
def test_faults(header: bytes, hint: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        read(IncomingAtoms(), header, 0)
    assert hint in str(caught.value)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_header_or_the_peers_fault(data: bytes) -> None:
    into = IncomingAtoms()
    try:
        refs, end = read(into, data, 0)
    except RemoteProtocolError:
        return
    assert end <= len(data)
    assert len(refs) == data[0]


def test_inline_atoms_are_remembered_within_bounds() -> None:
    inline = InlineAtoms()
    assert inline[Atom("ok")] == b"w\2ok"
    assert inline[Atom("\u20ac" * 255)][:3] == b"v\x02\xfd"
    for number in range(3 * SLOTS):
        inline[Atom(str(number))]
    assert len(inline) <= SLOTS
