"""Decoding: golden vectors, options, and a test for each row E1-E16 of the threat table."""

import subprocess
import sys
import time
import tracemalloc
import zlib
from typing import Any

import pytest
from etf_codec import (
    Atom,
    BitString,
    DecodeError,
    EtfError,
    Export,
    FrozenList,
    FrozenMap,
    ImproperList,
    LimitExceeded,
    Limits,
    LocalTerm,
    NativeRecord,
    Pid,
    Port,
    Reference,
    Term,
    TruncatedError,
    decode,
    decode_bare,
    decode_prefix,
    encode,
)
from etf_codec.testing import terms
from hypothesis import given, settings
from hypothesis import strategies as st

A, B = Atom("a"), Atom("b")

# What OTP 25 gives (27 where said), protocol fact sheet 1.7.
GOLDEN: list[tuple[str, Term]] = [
    ("836100", 0),
    ("8361ff", 255),
    ("836200000100", 256),
    ("8362ffffffff", -1),
    ("83627fffffff", 2**31 - 1),
    ("836e040000000080", 2**31),
    ("836280000000", -(2**31)),
    ("836e040101000080", -(2**31) - 1),
    ("836e08000000000000000008", 2**59),
    ("836e0901000000000000000001", -(2**64)),
    ("836eff00" + "ff" * 255, 2**2040 - 1),
    ("836f0000010000" + "00" * 255 + "01", 2**2040),
    ("83463ff8000000000000", 1.5),
    ("8363312e3530303030303030303030303030303030303030652b30300000000000", 1.5),
    ("8364000161", A),
    ("83770161", A),
    ("83640001e9", Atom("é")),
    ("837702c3a9", Atom("é")),
    ("837703e282ac", Atom("€")),
    ("837602fd" + "e282ac" * 255, Atom("€" * 255)),
    ("83640000", Atom("")),
    ("8373026f6b", Atom("ok")),
    ("836800", ()),
    ("8368016101", (1,)),
    ("836900000100" + "6101" * 256, (1,) * 256),
    ("836a", []),
    ("836b000101", [1]),
    ("836c0000000162000001006a", [256]),
    ("836c000000016400016164000162", ImproperList([A], B)),
    ("836c0000000161016102", ImproperList([1], 2)),
    ("836bffff" + "01" * 65535, [1] * 65535),
    ("836c00010000" + "6101" * 65536 + "6a", [1] * 65536),
    ("836d00000000", b""),
    ("836d000000020102", b"\1\2"),
    ("834d0000000103a0", BitString(b"\xa0", 3)),
    ("834d000000020301a0", BitString(b"\x01\xa0", 3)),
    ("837400000000", {}),
    ("837400000001640001616101", {A: 1}),
    ("83716400056c69737473 6400036d6170 6102", Export("lists", "map", 2)),
    ("835000000196789ccb616060484961604c1cc5830767010030464e93", [A] * 100),
    ("8378 770361406200000000000000 05 00000007", Port("a@b", 5, 7)),
    ("835a0005 7703614062 00000007" + "00000001" * 5, Reference("a@b", 7, (1,) * 5)),
    ("8358 7703614062 00000001 00000002 00000003", Pid("a@b", 1, 2, 3)),
    ("8367 6400036140620000000100000002 03", Pid("a@b", 1, 2, 3)),
    ("8359 7703614062 00000001 00000003", Port("a@b", 1, 3)),
    ("8366 7703614062 00000001 03", Port("a@b", 1, 3)),
    ("8372 0002 7703614062 03 00000001 00000002", Reference("a@b", 3, (1, 2))),
    ("8365 7703614062 00000001 03", Reference("a@b", 3, (1,))),
    (
        "83 43 00000002 00 77026e72 7705706f696e74 770178 770179 6105 6101",
        NativeRecord("nr", "point", [("x", 5), ("y", 1)]),
    ),
    ("83 79 01020304 6101", LocalTerm(b"\1\2\3\4a\1")),
    ("837704747275 65", True),
    ("83640005 66616c7365", False),
]


@pytest.mark.parametrize(("wire", "term"), GOLDEN)
def test_golden_vectors(wire: str, term: Term) -> None:
    decoded = decode(bytes.fromhex(wire))
    assert decoded == term
    assert type(decoded) is type(term)


@pytest.mark.parametrize(("wire", "term"), GOLDEN)
def test_opaque_terms_go_back_byte_for_byte(wire: str, term: Term) -> None:
    data = bytes.fromhex(wire)
    if isinstance(term, (Export, LocalTerm, NativeRecord)):
        assert encode(decode(data)) == data


@settings(deadline=None)
@given(terms())
def test_every_term_comes_back(term: Term) -> None:
    data = encode(term)
    assert decode(data) == term
    assert decode(bytearray(data)) == term
    assert decode(memoryview(data)) == term
    assert decode_prefix(b"??" + data + b"rest", 2) == (term, 2 + len(data))


@settings(max_examples=30, deadline=None)
@given(terms())
def test_every_cut_asks_for_more(term: Term) -> None:
    data = encode(term)
    for end in range(len(data)):
        with pytest.raises(TruncatedError):
            decode_prefix(data[:end])


def test_binaries_as_text() -> None:
    assert decode(encode([b"a", {b"k": b"\xc3\xa9"}]), binaries="str") == ["a", {"k": "é"}]
    with pytest.raises(DecodeError, match='binaries="bytes"') as caught:
        decode(encode([b"a", b"\xff"]), binaries="str")
    assert caught.value.offset == 12
    wrong: Any = "text"
    with pytest.raises(ValueError, match="binaries is"):
        decode(b"\x83j", binaries=wrong)


def test_none_is_an_atom_of_choice() -> None:
    nil = Atom("nil")
    assert decode(encode([nil, (nil,), {nil: nil}]), none=nil) == [None, (None,), {None: None}]
    assert decode(encode(nil)) is nil


def test_only_allowed_atoms() -> None:
    data = encode((Atom("ok"), True, Atom("secret")))
    assert decode(data, atoms={Atom("ok"), Atom("secret")})[0] is Atom("ok")
    assert decode(data, atoms={"ok", "secret"})[1] is True
    with pytest.raises(DecodeError, match="'secret' is not among the allowed atoms") as caught:
        decode(data, atoms={Atom("ok")})
    assert caught.value.offset == 13
    with pytest.raises(DecodeError, match="not among"):
        decode(encode(Pid("a@b", 1, 2, 3)), atoms=set())
    with pytest.raises(DecodeError, match="not among"):
        decode_bare(b"R\0", atom_refs=[Atom("secret")], atoms=set())


@pytest.mark.parametrize("size", [10, 100_000])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_binaries_without_a_copy(size: int, kind: Any) -> None:
    data = kind(encode((Atom("ok"), b"x" * size)))
    atom, view = decode(data, copy_binaries=False)
    assert atom is Atom("ok")
    assert isinstance(view, memoryview)
    assert view.readonly
    assert view == b"x" * size
    assert decode(data) == (Atom("ok"), b"x" * size)
    assert type(decode(data)[1]) is bytes


def test_bare_terms_of_a_message() -> None:
    refs = [Atom("ok"), Atom("true"), Atom("a@b")]
    data = b"\x68\x03R\0R\x01XR\x02" + bytes(11) + b"\x07"
    assert decode_bare(data, atom_refs=refs) == ((Atom("ok"), True, Pid("a@b", 0, 0, 7)), len(data))
    assert decode_bare(data + data, len(data), atom_refs=refs)[1] == 2 * len(data)
    with pytest.raises(DecodeError, match="reference 3, but the header lists 3 atoms") as caught:
        decode_bare(b"\x68\x01R\x03", atom_refs=refs)
    assert caught.value.offset == 2
    with pytest.raises(DecodeError, match="lists 0 atoms"):
        decode(b"\x83R\0")


HOSTILE = """
import sys, threading, zlib
from etf_codec import EncodeError, EtfError, Limits, decode, encode, from_text, to_text
from etf_codec._limits import DEPTH_CEILING

def attempt(depth):
    openings = [b"h\\x01", b"l\\0\\0\\0\\x01", b"t\\0\\0\\0\\x01", b"t\\0\\0\\0\\x01a\\1", b"i\\0\\0\\0\\x01"]
    for opening in openings:
        body = opening * depth + b"j"
        for data in (b"\\x83" + body, b"\\x83t\\0\\0\\0\\1" + body + b"j",
                     b"\\x83P" + len(body).to_bytes(4) + zlib.compress(body)):
            for limits in (Limits(), Limits(max_depth=DEPTH_CEILING)):
                try:
                    term = decode(data, limits=limits)
                except EtfError:
                    continue
                to_text(term)
                try:
                    encode(term, limits=limits)
                except EncodeError:
                    pass
    try:
        from_text("[" * depth)
    except EtfError:
        pass
    endless = []
    endless.append(endless)
    deep = ()
    for _ in range(depth):
        deep = [deep]
    for value in (endless, deep):
        to_text(value)
        try:
            encode(value)
        except EncodeError:
            pass
        else:
            if value is endless or depth > 512:
                sys.exit("encoded too deep a value")
    value = None  # CPython 3.13 cannot free all of it at once either
    while deep:
        deep = deep[0]

def attempts():
    for depth in (1, 511, 512, 513, DEPTH_CEILING - 1, DEPTH_CEILING + 1, 10**6):
        attempt(depth)
    print("survived")

if sys.argv[1] == "thread":
    threading.stack_size(512 * 1024)
    thread = threading.Thread(target=attempts)
    thread.start()
    thread.join()
else:
    attempts()
"""


@pytest.mark.parametrize("where", ["main", "thread"])
def test_e1_depth_never_crashes(where: str) -> None:
    command = [sys.executable, "-c", HOSTILE, where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "survived"), done.stderr[-2000:]


def test_e1_depth_is_exact() -> None:
    nested = b"\x83" + b"h\x01" * 512 + b"j"
    assert encode(decode(nested)) == nested
    with pytest.raises(LimitExceeded, match="max_depth=512") as caught:
        decode(b"\x83" + b"h\x01" * 513 + b"j")
    assert caught.value.offset == 1025


@pytest.mark.parametrize("opening", ["69", "6c", "74", "6d", "6f", "4d", "43", "70" + "00" * 25])
@pytest.mark.parametrize("count", ["ffffffff", "00ffffff", "7fffffff"])
def test_e2_lengths_that_lie_cost_nothing(opening: str, count: str) -> None:
    data = bytes.fromhex("83" + opening + count + "61")
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            decode(data)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


def _compressed(declared: int, body: bytes) -> bytes:
    return b"\x83P" + declared.to_bytes(4) + zlib.compress(body)


def test_e3_compression_bombs_are_bounded() -> None:
    zeros = b"m" + (32 * 1024 * 1024).to_bytes(4) + bytes(32 * 1024 * 1024)
    bomb = zlib.compress(zeros)
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded, match="max_uncompressed_bytes"):
            decode(b"\x83P" + len(zeros).to_bytes(4) + bomb, limits=Limits(max_uncompressed_bytes=1024))
        with pytest.raises(DecodeError, match="more than the 1000 bytes"):
            decode(b"\x83P" + (1000).to_bytes(4) + bomb)
        with pytest.raises(TruncatedError):
            decode(b"\x83P" + (60_000_000).to_bytes(4) + bomb[:1000])
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_e3_compressed_terms_are_exact() -> None:
    body = encode([1000] * 10)[1:]
    good = _compressed(len(body), body)
    assert decode(good) == [1000] * 10
    assert decode_prefix(good + b"\x83j") == ([1000] * 10, len(good))
    for data, message in [
        (_compressed(len(body) + 1, body), "declares"),
        (_compressed(len(body) - 1, body), "more than"),
        (_compressed(len(body) + 1, body + b"j"), "follow the term in the inflated body"),
        (_compressed(10, b"\x83j".ljust(10, b"j")), "version byte inside"),
        (_compressed(9, b"P" + bytes(8)), "compressed term inside"),
        (_compressed(3, b"h\x05j"), "in the inflated body"),
        (good[:-1] + bytes([good[-1] ^ 1]), "does not inflate"),
        (b"\x83P\0\0\0\5hello", "does not inflate"),
    ]:
        with pytest.raises(DecodeError, match=message) as caught:
            decode(data)
        assert not isinstance(caught.value, TruncatedError)
    with pytest.raises(TruncatedError):
        decode(good[:-3])


def test_e4_keys_with_one_hash_are_refused_quickly() -> None:
    prime = 2**61 - 1
    keys = [n * prime for n in range(1, 20_001)]
    body = b"".join(encode(key)[1:] + b"j" for key in keys)
    started = time.perf_counter()
    with pytest.raises(LimitExceeded, match="max_key_collisions=64"):
        decode(b"\x83t" + len(keys).to_bytes(4) + body)
    assert time.perf_counter() - started < 2.0
    few = dict.fromkeys(keys[:64], 0)
    assert decode(encode(few)) == few


def test_e5_keys_that_python_would_merge() -> None:
    data = bytes.fromhex("8374000000026101770161463ff0000000000000770162")
    decoded = decode(data)
    assert isinstance(decoded, FrozenMap)
    assert (decoded[1], decoded[1.0], len(decoded)) == (A, B, 2)
    assert decode(encode(decoded)) == decoded
    both = FrozenMap([(1, A), (True, B), (0.0, 1), (-0.0, 2), ((1,), 3), ((1.0,), 4)])
    assert decode(encode(both)) == both
    with pytest.raises(DecodeError, match="same key twice") as caught:
        decode(bytes.fromhex("83680174000000026101610161016102"))
    assert caught.value.offset == 3


def test_e6_lists_and_maps_as_keys() -> None:
    term: Term = {FrozenList([1, 2]): 1, FrozenMap({A: FrozenList([])}): 2, (FrozenList([300]),): 3}
    decoded = decode(encode(term))
    assert decoded == term
    assert {type(key) for key in decoded} == {FrozenList, FrozenMap, tuple}


def test_e7_a_flood_of_atoms_is_forgotten() -> None:
    decode(encode(A))
    tracemalloc.start()
    try:
        for n in range(10_000):
            decode(b"\x83w\x0aflood%05d" % n)
        base = tracemalloc.get_traced_memory()[0]
        for n in range(10_000, 60_000):
            decode(b"\x83w\x0aflood%05d" % n)
        assert tracemalloc.get_traced_memory()[0] - base < 2 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "wire",
    ["83640100" + "61" * 256, "83760300" + "e282ac" * 256, "837702c080", "837703eda080", "837701ff"],
)
def test_e8_bad_atoms(wire: str) -> None:
    with pytest.raises(DecodeError, match="atom"):
        decode(bytes.fromhex(wire))


@pytest.mark.parametrize("bits", ["7ff0000000000000", "fff0000000000000", "7ff8000000000000"])
def test_e9_floats_that_erlang_lacks(bits: str) -> None:
    with pytest.raises(DecodeError, match="Erlang does not have"):
        decode(bytes.fromhex("8346" + bits))
    many = bytes.fromhex("836c00000014" + "463ff8000000000000" * 19 + "46" + bits + "6a")
    with pytest.raises(DecodeError, match="Erlang does not have") as caught:
        decode(many)
    assert caught.value.offset == 6 + 19 * 9


@pytest.mark.parametrize("text", [b"nan", b"1_0.5", b" 1.5", b"1", b"1.", b".5", b"1e5", b"1.5e999", b""])
def test_e9_texts_that_are_no_floats(text: bytes) -> None:
    with pytest.raises(DecodeError, match="text of a float"):
        decode(b"\x83c" + text.ljust(31, b"\0"))


def test_e10_bits_of_the_last_byte() -> None:
    for size, bits in [(1, 0), (1, 9), (0, 3)]:
        with pytest.raises(DecodeError, match="bit string"):
            decode(b"\x83M" + size.to_bytes(4) + bytes([bits]) + b"\xff" * size)
    assert decode(bytes.fromhex("834d0000000108ff")) == b"\xff"
    assert decode(bytes.fromhex("834d0000000000")) == b""
    assert decode(bytes.fromhex("834d0000000103ff")) == BitString(b"\xe0", 3)


def test_e11_integers() -> None:
    assert decode(bytes.fromhex("836e0300050000")) == 5
    assert decode(bytes.fromhex("836e00 01")) == 0
    assert decode(bytes.fromhex("836e01 7f 05")) == -5
    with pytest.raises(LimitExceeded, match="max_bigint_bytes=8"):
        decode(encode(2**80), limits=Limits(max_bigint_bytes=8))
    huge = 10**4301
    assert decode(encode(huge)) == huge


def test_e12_funs_are_opaque() -> None:
    inside = "77016d 6101 6102 58 7703614062 00000001 00000002 00000003 7704 66726565"
    body = bytes.fromhex("02" + "ab" * 16 + "00000005 00000001" + inside)
    data = b"\x83p" + (len(body) + 4).to_bytes(4) + body
    fun = decode(data)
    assert (fun.module, fun.arity, fun.index, fun.free) == (Atom("m"), 2, 5, (Atom("free"),))
    assert not callable(fun)
    assert encode(fun) == data
    with pytest.raises(DecodeError, match="a fun that says"):
        decode(b"\x83p" + (len(body) + 5).to_bytes(4) + body)


def test_e13_nothing_follows_a_term() -> None:
    with pytest.raises(DecodeError, match="1 bytes follow the term") as caught:
        decode(b"\x83a\x01j")
    assert caught.value.offset == 3
    assert decode_prefix(b"\x83a\x01j") == (1, 3)


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ("84", "starts with the byte 131"),
        ("83ff", "unknown tag 255"),
        ("838361", "version byte inside"),
        ("8375", "FUN_EXT"),
        ("83680179", "LOCAL_EXT inside"),
        ("8371 6101 770161 6101", "module, a function and an arity"),
        ("8358 6101 000000000000000000000000", "node of an identifier"),
        ("835a0006 7703614062 00000000", "at most 5 words"),
        ("8343 00000002 00 770161 770162 770178 770178 6105 6101", "two fields of one name"),
    ],
)
def test_other_refusals(wire: str, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        decode(bytes.fromhex(wire))


def test_counts_and_sizes_have_limits() -> None:
    many: list[Term] = [[1] * 20, [[]] * 20, (1,) * 20, {n: n for n in range(10)}, [1000] * 20]
    for term in many:
        with pytest.raises(LimitExceeded, match="max_elements=19"):
            decode(encode(term), limits=Limits(max_elements=19))
    with pytest.raises(LimitExceeded, match="max_bytes=10"):
        decode(encode(b"x" * 20), limits=Limits(max_bytes=10))
    with pytest.raises(LimitExceeded, match="max_bytes=10"):
        decode_prefix(encode(b"x" * 20)[:15], limits=Limits(max_bytes=10))
    with pytest.raises(LimitExceeded, match="max_tuple_arity=256"):
        decode(encode((1,) * 300), limits=Limits(max_tuple_arity=256))


@settings(max_examples=1000, deadline=None)
@given(st.binary(max_size=60))
def test_e16_only_our_errors_leave(data: bytes) -> None:
    for attempt in (data, b"\x83" + data):
        try:
            term = decode(attempt)
        except EtfError:
            continue
        assert decode(encode(term)) == term


@settings(max_examples=300, deadline=None)
@given(terms(), st.data())
def test_e16_no_damage_is_a_crash(term: Term, data: st.DataObject) -> None:
    wire = bytearray(encode(term))
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(wire))
    except EtfError:
        pass
