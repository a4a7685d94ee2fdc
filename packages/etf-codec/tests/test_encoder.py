"""Encoding: canonical forms, options, and errors that say where."""

from collections import OrderedDict
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

import pytest
from etf_codec import (
    Atom,
    BitString,
    EncodeError,
    Export,
    FrozenList,
    FrozenMap,
    Fun,
    ImproperList,
    Limits,
    LocalTerm,
    NativeRecord,
    Pid,
    Port,
    Reference,
    Term,
    decode,
    encode,
    encode_bare,
    encode_parts,
)
from etf_codec._encoder import LARGE_BYTES

A, B = Atom("a"), Atom("b")
PID = Pid("a@b", 1, 2, 7)

# Byte for byte what OTP 26+ gives, where the form is canonical.
CANONICAL: list[tuple[str, Term]] = [
    ("836100", 0),
    ("8361ff", 255),
    ("836200000100", 256),
    ("8362ffffffff", -1),
    ("83627fffffff", 2**31 - 1),
    ("836e040000000080", 2**31),
    ("836280000000", -(2**31)),
    ("836e040101000080", -(2**31) - 1),
    ("836e0901000000000000000001", -(2**64)),
    ("836eff00" + "ff" * 255, 2**2040 - 1),
    ("836f0000010000" + "00" * 255 + "01", 2**2040),
    ("83463ff8000000000000", 1.5),
    ("83468000000000000000", -0.0),
    ("83770161", A),
    ("837602fd" + "e282ac" * 255, Atom("€" * 255)),
    ("837700", Atom("")),
    ("837704747275 65", True),
    ("836800", ()),
    ("836900000100" + "6101" * 256, (1,) * 256),
    ("836a", []),
    ("836b000101", [1]),
    ("836c0000000162000001006a", [256]),
    ("836c00000002 7704 74727565 6101 6a", [True, 1]),
    ("836c0000000161016102", ImproperList([1], 2)),
    ("836bffff" + "01" * 65535, [1] * 65535),
    ("836c00010000" + "6101" * 65536 + "6a", [1] * 65536),
    ("836c00000009" + "463ff8000000000000" * 9 + "6a", [1.5] * 9),
    ("836d00000002c3a9", "é"),
    ("836d000000020102", bytearray(b"\1\2")),
    ("836d000000020102", memoryview(b"\1\2")),
    ("834d000000020301a0", BitString(b"\x01\xa0", 3)),
    ("837400000001 770161 6101", {A: 1}),
    ("83 71 770161 770162 6102", Export("a", "b", 2)),
    ("83 58 7703614062 00000001 00000002 00000007", PID),
    ("83 59 7703614062 00000001 00000007", Port("a@b", 1, 7)),
    ("83 78 7703614062 0000000010000000 00000007", Port("a@b", 2**28, 7)),
    ("83 5a 0002 7703614062 00000007 00000001 00000002", Reference("a@b", 7, (1, 2))),
    ("83 79 01020304 6101", LocalTerm(b"\1\2\3\4a\1")),
    ("83 43 00000001 01 770161 770162 770161 6101", NativeRecord("a", "b", [("a", 1)], True)),
]


@pytest.mark.parametrize(("wire", "term"), CANONICAL)
def test_canonical_forms(wire: str, term: Term) -> None:
    assert encode(term).hex() == wire.replace(" ", "")


class Point(NamedTuple):
    x: int
    y: int


class Level(IntEnum):
    LOW = 1


class Color(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "term"),
    [
        (Point(1, 300), (1, 300)),
        (Level.LOW, 1),
        ([Level.LOW, 1], [1, 1]),
        (Color.RED, b"red"),
        (OrderedDict({1: 2}), {1: 2}),
        (FrozenList([1, 2]), [1, 2]),
        (FrozenList([A]), [A]),
        (FrozenMap({1: 2}), {1: 2}),
        (memoryview(b"abcd")[::2], b"ac"),
    ],
)
def test_what_counts_as_a_term(value: Any, term: Term) -> None:
    assert decode(encode(value)) == decode(encode(term))


def test_identifiers_for_old_peers() -> None:
    def old(term: Term) -> str:
        data: bytes = encode(term, legacy_identifiers=True)
        return data.hex()

    assert old(PID) == "8367" + "7703614062" + "0000000100000002" + "03"
    assert old(Port("a@b", 1, 7)) == "8366" + "7703614062" + "00000001" + "03"
    assert old(Reference("a@b", 7, (1, 2))) == "8372" + "0002" + "7703614062" + "03" + "0000000100000002"


def test_none_needs_an_atom() -> None:
    with pytest.raises(EncodeError, match='none=Atom\\("nil"\\)') as caught:
        encode([1, {"a": None}])
    assert caught.value.path == "[1]['a']"
    assert decode(encode([None], none=Atom("nil"))) == [Atom("nil")]


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("value", "message", "path"),
    [
        ({1}, "a set is not a term: use a list", ""),
        ([1, [2, {"a": (1, object())}]], "a object is not a term", "[1][1]['a'][1]"),
        ({(1, frozenset()): 1}, "frozenset", " key tuple[1]"),
        (ImproperList([1], 1j), "complex", ".tail"),
        (float("nan"), "no nan", ""),
        ([1.0] * 20 + [float("inf")], "no inf", "[20]"),
        ("\ud800", "lone surrogate", ""),
        ({"a": 1, b"a": 2}, "same key twice", ""),
        ({True: 1, Atom("true"): 2}, "same key twice", ""),
        (Pid("a@b", 2**32, 0, 0), "32 bits", ""),
        (Pid("x" * 300, 1, 0, 0), "at most 255 characters", ""),
        (Port("a@b", 2**64, 0), "64 bits", ""),
        (Reference("a@b", 1, (1,) * 6), "up to 5 ids", ""),
        (Export("m", "f", 256), "0 to 255", ""),
        ([LocalTerm(b"1234")], "never an element", "[0]"),
        (ENDLESS, "contain itself", "[0]" * 16 + "…"),
    ],
)
def test_errors_say_what_and_where(value: Any, message: str, path: str) -> None:
    with pytest.raises(EncodeError, match=message) as caught:
        encode(value)
    assert caught.value.path == path


def test_limits_hold_for_what_is_written() -> None:
    for value, limits, message in [
        ([[[]]], Limits(max_depth=1), "max_depth=1"),
        ([1] * 20, Limits(max_elements=19), "max_elements=19"),
        ((A,) * 20, Limits(max_elements=19), "max_elements=19"),
        (b"x" * 20, Limits(max_bytes=10), "max_bytes=10"),
        (2**80, Limits(max_bigint_bytes=8), "max_bigint_bytes=8"),
        ((1,) * 300, Limits(max_tuple_arity=256), "max_tuple_arity=256"),
    ]:
        with pytest.raises(EncodeError, match=message):
            encode(value, limits=limits)
    with pytest.raises(EncodeError, match="max_bytes=10"):
        encode_parts(b"x" * 20, limits=Limits(max_bytes=10))


def test_compression_only_if_it_helps() -> None:
    long = [A] * 100
    assert encode(long, compressed=True)[:6].hex() == "835000000132"
    assert decode(encode(long, compressed=9)) == long
    assert encode(A, compressed=True) == encode(A)
    assert encode(long, compressed=0) == encode(long)
    with pytest.raises(ValueError, match="zlib level"):
        encode(long, compressed=10)


def test_deterministic_order_of_keys() -> None:
    keys: list[Term] = [
        b"a",
        [1],
        [],
        {},
        (1,),
        PID,
        Port("a@b", 1, 1),
        Reference("a@b", 1, (1,)),
        B,
        A,
        1.0,
        3,
    ]
    frozen = FrozenMap([(key, 0) for key in keys])
    wire = encode(frozen, deterministic=True)
    assert list(decode(wire).keys()) == [
        3,
        1.0,
        A,
        B,
        keys[7],
        keys[6],
        PID,
        (1,),
        FrozenMap(),
        [],
        [1],
        b"a",
    ]
    assert encode({"b": 1, "a": 2}, deterministic=True) == encode({"a": 2, "b": 1})


def test_large_binaries_are_not_copied() -> None:
    large, view = b"x" * LARGE_BYTES, memoryview(bytearray(LARGE_BYTES))
    parts = encode_parts((A, large, B, view, b"small"))
    assert [len(part) for part in parts] == [11, LARGE_BYTES, 8, LARGE_BYTES, 10]
    assert parts[1] is large
    assert isinstance(parts[3], memoryview)
    assert b"".join(parts) == encode((A, large, B, view, b"small"))
    assert encode_parts(A) == [encode(A)]
    assert encode_parts([A] * 100, compressed=True) == [encode([A] * 100, compressed=True)]
    assert encode_parts(LocalTerm(b"1234a")) == [b"\x83y1234a"]


class Cache(dict[Atom, bytes]):
    """Hands out references as atoms come up, as a distribution header does."""

    def __missing__(self, atom: Atom) -> bytes:
        self[atom] = reference = bytes((82, len(self)))
        return reference


def test_bare_terms_take_their_atoms_from_the_caller() -> None:
    cache = Cache()
    control = (2, A, PID, Export("a", "m", 0), {True: Reference("a@b", 1, (1,))})
    parts = encode_bare([control, [A, 300]], cache)
    assert list(cache) == [A, Atom("a@b"), Atom("m"), Atom("true")]
    assert parts[0][:6] == b"h\x05a\x02R\0"
    assert encode_bare([A, 1], None) == [b"w\x01aa\x01"]
    assert encode_bare([], cache) == [b""]


def test_funs_made_here_have_their_size() -> None:
    inner = Fun("m", 1, b"x" * 16, 1, 2, 3, PID, [A, (1, b"x")])
    fun = Fun("m", 1, b"x" * 16, 1, 2, 3, PID, [inner, 2**80])
    assert decode(encode(fun)) == fun
    assert decode(encode({fun: 1})) == {fun: 1}
    with pytest.raises(EncodeError, match="16 bytes"):
        encode(Fun("m", 300, b"x" * 16, 1, 2, 3, PID))
