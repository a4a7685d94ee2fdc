"""Terms in the packets of a distribution channel: a whole read decoded at once, atoms that are listed."""

from dataclasses import dataclass
from typing import Any

import pytest
from etf_codec import (
    Atom,
    EncodeError,
    Limits,
    PacketReader,
    PacketRecord,
    PacketWriter,
    Pid,
    Reference,
    Term,
    decode_bare,
    encode_bare,
    encode_referring,
)

REFS = (Atom("ok"), Atom("a@b"))
OPENINGS: dict[int, dict[bytes, tuple[str, Any]]] = {
    3: {b"abc": ("first", REFS), b"xyz": ("second", ())},
    1: {b"q": ("third", REFS)},
}


Headers = dict[tuple[Atom, ...], bytes]


def packet(body: bytes) -> bytes:
    return len(body).to_bytes(4) + body


RUN = packet(b"abch\2R\0a\1") + packet(b"qR\0") + packet(b"xyza\7")
READ = [("first", (Atom("ok"), 1)), ("third", Atom("ok")), ("second", 7)]


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"\0\0",
        bytes(4),
        packet(b"new"),
        packet(b"ab"),
        packet(b"abc"),
        packet(b"abca\1a\2"),
        packet(b"xyzR\0"),
        packet(b"xyz\0"),
        packet(b"xyza\7")[:-1],
        (1 << 31).to_bytes(4) + b"abca\1",
        packet(b"xyz" + bytes(100)),
    ],
)
def test_a_run_ends_at_what_the_caller_must_see(rest: bytes) -> None:
    reader = PacketReader(OPENINGS, max_packet_bytes=100)
    assert reader.read(b"??" + RUN + rest, 2) == (READ, 2 + len(RUN), 0)


def test_a_run_has_the_options_of_decoding() -> None:
    data = packet(b"qR\0") + packet(b"ql\0\0\0\2a\1a\2j")
    options: dict[str, Any] = {"none": Atom("ok"), "limits": Limits(max_elements=1)}
    assert PacketReader(OPENINGS, 100, **options).read(data, 0) == ([("third", None)], 7, 0)
    assert PacketReader(OPENINGS, 100).read(data, 0)[1] == len(data)
    assert PacketReader(OPENINGS, 2).read(data, 0) == ([], 0, 0)
    assert PacketReader({}, 100).read(data, 0) == ([], 0, 0)


HEADERS = {b"\2\0\0\5\6": REFS, b"\1\0\5": (Atom("ok"),)}


def test_a_packet_with_a_known_header_is_read_with_its_first_term() -> None:
    one = packet(b"\x83D\1\0\5h\1R\0")
    two = packet(b"\x83D\2\0\0\5\6h\2R\0R\1m\0\0\0\1x")
    control = Atom("ok"), Atom("a@b")
    for openings in ({}, OPENINGS):
        assert PacketReader(openings, 100, HEADERS).read(one + two, 0) == (
            [(None, (0, 13, (Atom("ok"),))), (None, (13, 30, control, b"x"))],
            len(one + two),
            2,
        )
    data = packet(b"qR\0") + one + packet(b"qR\1")
    found, end, raw = PacketReader(OPENINGS, 100, HEADERS).read(data, 0)
    assert [means for means, _ in found] == ["third", None, "third"]
    assert (end, raw) == (len(data), 1)


@pytest.mark.parametrize(
    "body",
    [
        b"\x83D\1\0\6h\0",
        b"\x83D\1\x08\5\2okh\0",
        b"\x83E\1\0\5h\0",
        b"\x84D\1\0\5h\0",
        b"\x83D\1\0\5",
        b"\x83D\1\0",
        b"\x83D\1",
        b"\x83D",
        b"\x83D\1\0\5a\1",
        b"\x83D\1\0\5h\1",
        b"\x83D\1\0\5h\0m\0\0\0\1",
        b"\x83D\1\0\5h\1R\1",
        b"\x83D\1\0\5h\0a\1a\1",
    ],
)
def test_a_packet_with_a_header_ends_a_run_if_it_is_the_callers(body: bytes) -> None:
    first = packet(b"\x83D\1\0\5h\0")
    found, end, raw = PacketReader({}, 100, HEADERS).read(first + packet(body) + first, 0)
    assert found == [(None, (0, 11, ()))]
    assert (end, raw) == (len(first), 1)


@dataclass(slots=True)
class Made:
    """What is made of `{7, Atom, Bytes}`."""

    name: Atom
    text: bytes


MADE = PacketRecord(Made, ("name", "text"), (Atom, bytes))


@pytest.mark.parametrize(
    ("control", "made"),
    [
        ((7, Atom("ok"), b"x"), Made(Atom("ok"), b"x")),
        ((8, Atom("ok"), b"x"), None),
        ((7.0, Atom("ok"), b"x"), None),
        ((True, Atom("ok"), b"x"), None),
        ((7, Atom("ok"), 1), None),
        ((7, True, b"x"), None),
        ((7, Atom("ok")), None),
        ((7, Atom("ok"), b"x", b"x"), None),
        ((), None),
    ],
)
def test_a_tuple_with_a_term_behind_it_becomes_what_the_caller_makes_of_it(
    control: tuple[Any, ...], made: Made | None
) -> None:
    reader = PacketReader({}, 100, HEADERS, {7: MADE, 1: MADE})
    alone, behind = (
        packet(b"\x83D\1\0\5" + b"".join(encode_bare(terms, None))) for terms in ((control,), (control, 5))
    )
    raw = (len(alone), len(alone) + len(behind) - 2, control, 5)
    found, end, count = reader.read(alone + behind, 0)
    assert repr(found) == repr([(None, (0, len(alone), control)), (None, raw) if made is None else (made, 5)])
    assert (end, count) == (len(alone + behind), 1 + (made is None))


@dataclass(slots=True)
class Alone:
    """What is made of `{9, Pid, Atom | Bytes}` without a term, if the pid is of a@b."""

    pid: Pid
    to: Atom | bytes


@dataclass(slots=True)
class Flagged:
    """What is made of `{5, 4, Atom}` and a term."""

    flags: int
    to: Atom
    token: Any = None


FLAGGED = PacketRecord(Flagged, ("flags", "to"), (4, Atom), others={"token": "none"})


@pytest.mark.parametrize(
    ("control", "made"),
    [
        ((5, 4, Atom("ok")), Flagged(4, Atom("ok"), "none")),
        ((5, 5, Atom("ok")), None),
        ((5, 1 << 70, Atom("ok")), None),
        ((5, 4.0, Atom("ok")), None),
        ((5, Atom("ok"), Atom("ok")), None),
        ((5, 4, Atom("ok"), 1), None),
    ],
)
def test_an_element_may_have_to_be_a_certain_integer(control: tuple[Any, ...], made: Flagged | None) -> None:
    reader = PacketReader({}, 100, HEADERS, {5: FLAGGED})
    data = packet(b"\x83D\1\0\5" + b"".join(encode_bare((control, b"x"), None)))
    found, end, raw = reader.read(data, 0)
    assert repr(found) == repr([(None, (0, len(data) - 6, control, b"x")) if made is None else (made, b"x")])
    assert (end, raw) == (len(data), made is None)
    assert repr(reader.read_one(data)) == repr(None if made is None else (made, b"x"))


ALONE = PacketRecord(Alone, ("pid", "to"), (Pid, (Atom, bytes)), has_term=False, node="a@b")
PID = Pid("a@b", 1, 2, 3)


@pytest.mark.parametrize(
    ("control", "made"),
    [
        ((9, PID, Atom("ok")), Alone(PID, Atom("ok"))),
        ((9, PID, b"x"), Alone(PID, b"x")),
        ((9, PID, PID), None),
        ((9, PID, None), None),
        ((9, PID), None),
        ((9, PID, b"x", b"x"), None),
        ((9, Pid("ok", 1, 2, 3), b"x"), None),
        ((9, Atom("a@b"), b"x"), None),
    ],
)
def test_a_tuple_alone_becomes_what_the_caller_makes_of_it_if_it_is_of_that_node(
    control: tuple[Any, ...], made: Alone | None
) -> None:
    reader = PacketReader({}, 100, HEADERS, {9: ALONE}, none=Atom("none"))
    alone, behind = (
        packet(b"\x83D\1\0\5" + b"".join(encode_bare(terms, None, none=Atom("none"))))
        for terms in ((control,), (control, 5))
    )
    raw = (len(alone), len(alone) + len(behind) - 2, control, 5)
    found, end, count = reader.read(alone + behind, 0)
    one = (None, (0, len(alone), control)) if made is None else (made, None)
    assert repr(found) == repr([one, (None, raw)])
    assert (end, count) == (len(alone + behind), 1 + (made is None))
    assert reader.read_one(alone) == (None if made is None else one)


def test_a_reader_goes_by_what_is_known_when_it_reads() -> None:
    openings: dict[int, dict[bytes, tuple[str, Any]]] = {}
    headers: dict[bytes, Any] = {}
    reader = PacketReader(openings, 100, headers)
    data = packet(b"qa\1") + packet(b"\x83D\1\0\5h\0")
    assert reader.read(data, 0) == ([], 0, 0)
    openings[1] = {b"q": ("third", ())}
    assert reader.read(data, 0) == ([("third", 1)], 7, 0)
    headers[b"\1\0\5"] = REFS
    assert reader.read(data, 0) == ([("third", 1), (None, (7, 18, ()))], len(data), 1)
    openings.clear()
    assert reader.read(data, 0) == ([], 0, 0)


def test_what_a_packet_began_with_may_mean_something_else_for_the_next() -> None:
    openings: dict[int, dict[bytes, tuple[str, Any]]] = {1: {b"q": ("first", ())}}
    headers: dict[bytes, Any] = {b"\1\0\5": REFS}
    reader = PacketReader(openings, 100, headers, {7: MADE})
    opened, headed = packet(b"qR\0"), packet(b"\x83D\1\0\5h\3a\7R\0m\0\0\0\1xa\1")
    for changed in range(2):
        for _ in range(2):
            assert reader.read_one(opened) is None
            assert reader.read_one(headed) == (Made(Atom("ok"), b"x"), 1)
        openings[1][b"q"] = ("second", (Atom("b"),))
        assert reader.read_one(opened) == ("second", Atom("b"))
        headers[b"\1\0\5"] = (Atom("c"),)
        assert reader.read_one(headed) == (Made(Atom("c"), b"x"), 1)
        if changed:
            del headers[b"\1\0\5"]
            openings[1] = {}
        else:
            headers[b"\1\0\5"] = REFS
            openings[1] = {b"q": ("first", ())}
    assert reader.read_one(opened) is None
    assert reader.read_one(headed) is None


@pytest.mark.parametrize("end", range(8))
def test_one_packet_is_all_there_is_or_nothing(end: int) -> None:
    reader = PacketReader(OPENINGS, 100, HEADERS)
    data = packet(b"qR\1")
    assert reader.read_one(data[:end]) == (("third", Atom("a@b")) if end == len(data) else None)
    assert reader.read_one(data + data[:end]) == (None if end else ("third", Atom("a@b")))
    assert PacketReader(OPENINGS, 2, HEADERS).read_one(data) is None
    assert reader.read_one(packet(b"\x83D\1\0\5h\0")) is None  # what it is, its reader has to say
    assert reader.read_one(packet(b"qR\1R\1")) is None
    assert reader.read_one(packet(b"qR\3")) is None


def test_a_message_is_a_packet_if_its_header_is_known() -> None:
    headers: Headers = {REFS: b"\2\0\0\5\6", (): b"\0"}
    terms = (Atom("ok"), Pid("a@b", 1, 2, 3)), b"x" * 40
    refs, parts = encode_referring(terms)
    size = len(b"".join(parts))
    whole = packet(b"\x83D" + headers[refs] + b"".join(parts))
    writer = PacketWriter(headers, max_bytes=size)
    assert writer.write(terms) == whole
    assert writer.write(iter(terms)) == whole
    assert PacketWriter(headers, max_bytes=2).write((1,)) == packet(b"\x83D\0a\1")
    nil = PacketWriter({(Atom("nil"),): b"\1\0\1"}, max_bytes=9, none=Atom("nil"))
    assert nil.write((None,)) == packet(b"\x83D\1\0\1R\0")
    headers.clear()
    assert writer.write(terms) == (refs, parts)


OPERATIONS = {Pid: 22, Reference: 33}


@pytest.mark.parametrize("to", [Pid("a@b", 4, 5, 6), Reference("a@b", 6, (1, 2, 3)), Atom("name"), [1]])
@pytest.mark.parametrize(
    "options",
    [{}, {"legacy_identifiers": True}, {"limits": Limits(max_depth=1)}, {"limits": Limits(max_elements=3)}],
)
def test_a_message_is_written_as_the_terms_it_consists_of(to: Term, options: dict[str, Any]) -> None:
    sender, message = Pid("a@b", 1, 2, 3), (Atom("ok"), 5)
    headers: Headers = {(Atom("a@b"), Atom("ok")): b"\2\0\0\5\6"}
    writer = PacketWriter(headers, 1000, OPERATIONS, **options)
    operation = OPERATIONS.get(type(to))
    written = writer.write_message(sender, to, message)
    assert written == (operation and writer.write(((operation, sender, to), message)))


def test_a_message_without_external_form_is_refused() -> None:
    sender = Pid("a@b", 1, 2, 3)
    with pytest.raises(EncodeError, match=r"at \[1\]"):
        PacketWriter({}, 1000, OPERATIONS).write_message(sender, sender, (1, object()))
    tight = PacketWriter({}, 1000, OPERATIONS, limits=Limits(max_elements=2))
    with pytest.raises(EncodeError, match="max_elements=2"):
        tight.write_message(sender, sender, 1)
    assert PacketWriter({}, 1000).write_message(sender, sender, 1) is None


def test_a_message_is_in_parts_if_it_is_no_packet() -> None:
    headers: Headers = {REFS: b"\2\0\0\5\6"}
    terms = (Atom("ok"), Pid("a@b", 1, 2, 3)), 1
    parts = encode_referring(terms)
    assert PacketWriter({}, max_bytes=1000).write(terms) == parts
    assert PacketWriter(headers, max_bytes=len(parts[1][0]) - 1).write(terms) == parts
    large = bytes(100_000)
    refs, pieces = PacketWriter(headers, max_bytes=1_000_000).write((*terms, large))
    assert refs == REFS
    assert isinstance(pieces, list)
    assert pieces[1] is large
    with pytest.raises(EncodeError, match=r"at \[1\]"):
        PacketWriter(headers, max_bytes=1000).write(((1, object()),))
    with pytest.raises(EncodeError, match="max_bytes=10"):
        PacketWriter(headers, max_bytes=1000, limits=Limits(max_bytes=10)).write((bytes(20),))


def test_a_large_term_of_a_run() -> None:
    large = bytes(100_000)
    data = packet(b"q" + b"".join(encode_bare((large,), None))) + RUN
    found, end, _ = PacketReader(OPENINGS, max_packet_bytes=200_000).read(data, 0)
    assert found == [("third", large), *READ]
    assert type(found[0][1]) is bytes
    assert end == len(data)


def test_atoms_are_listed_as_they_come_up() -> None:
    pid = Pid("a@b", 1, 2, 3)
    terms = ((Atom("x"), pid), [Atom("ok"), True, Atom("x")])
    atoms, parts = encode_referring(terms)
    assert atoms == (Atom("x"), Atom("a@b"), Atom("ok"), Atom("true"))
    wire = b"".join(parts)
    first, offset = decode_bare(wire, atom_refs=atoms)
    assert (first, decode_bare(wire, offset, atom_refs=atoms)[0]) == terms
    assert wire.count(b"R") == 5
    assert encode_referring(iter(terms)) == (atoms, parts)


def test_no_more_atoms_are_listed_than_a_header_can() -> None:
    names = [Atom(f"a{number}") for number in range(300)]
    atoms, parts = encode_referring([names])
    assert atoms == tuple(names[:255])
    assert decode_bare(b"".join(parts), atom_refs=atoms)[0] == names


def test_large_binaries_stay_the_callers() -> None:
    large = bytes(100_000)
    _, parts = encode_referring(((Atom("x"), large, Atom("x")),))
    assert parts[1] is large


def test_options_and_errors_are_those_of_encoding() -> None:
    assert encode_referring((None,), none=Atom("nil")) == ((Atom("nil"),), [b"R\0"])
    with pytest.raises(EncodeError, match=r"at \[1\]"):
        encode_referring(((1, object()),))
    with pytest.raises(EncodeError, match="max_bytes=10"):
        encode_referring((bytes(20),), limits=Limits(max_bytes=10))
    old = encode_referring((Pid("a@b", 1, 2, 3),), legacy_identifiers=True)
    assert old == ((Atom("a@b"),), [b"gR\0" + bytes((0, 0, 0, 1, 0, 0, 0, 2, 3))])
