"""Terms in the packets of a distribution channel: a whole read decoded at once, atoms that are listed."""

from typing import Any

import pytest
from etf_codec import (
    Atom,
    EncodeError,
    Limits,
    Pid,
    decode_bare,
    decode_packets,
    encode_bare,
    encode_referring,
)

REFS = (Atom("ok"), Atom("a@b"))
OPENINGS: dict[int, dict[bytes, tuple[str, Any]]] = {
    3: {b"abc": ("first", REFS), b"xyz": ("second", ())},
    1: {b"q": ("third", REFS)},
}


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
    assert decode_packets(b"??" + RUN + rest, 2, OPENINGS, max_packet_bytes=100) == (READ, 2 + len(RUN))


def test_a_run_has_the_options_of_decoding() -> None:
    data = packet(b"qR\0") + packet(b"ql\0\0\0\2a\1a\2j")
    options: dict[str, Any] = {"none": Atom("ok"), "limits": Limits(max_elements=1)}
    assert decode_packets(data, 0, OPENINGS, max_packet_bytes=100, **options) == ([("third", None)], 7)
    assert decode_packets(data, 0, OPENINGS, max_packet_bytes=100)[1] == len(data)
    assert decode_packets(data, 0, OPENINGS, max_packet_bytes=2) == ([], 0)
    assert decode_packets(data, 0, {}, max_packet_bytes=100) == ([], 0)


def test_a_large_term_of_a_run() -> None:
    large = bytes(100_000)
    data = packet(b"q" + b"".join(encode_bare((large,), None))) + RUN
    found, end = decode_packets(data, 0, OPENINGS, max_packet_bytes=200_000)
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
