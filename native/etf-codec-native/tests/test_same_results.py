"""The native codec against the Python one: the same result, or the same error at the same place.

Row E15 of the threat table; `nox -s fuzz` looks for the same with a fuzzer.
"""

from collections.abc import Callable
from typing import Any

import etf_codec_native as native
import pytest
from etf_codec import (
    Atom,
    EtfError,
    FrozenMap,
    ImproperList,
    Limits,
    Pid,
    Reference,
    Term,
    _decoder,
    _encoder,
)
from etf_codec._frozen import exact
from etf_codec.testing import terms
from hypothesis import example, given
from hypothesis import strategies as st

REFS = (Atom("ok"), Atom("true"), Atom("shop@db"), Atom("é"))
OPENINGS: dict[int, dict[bytes, tuple[str, Any]]] = {
    3: {b"abc": ("first", REFS), b"xyz": ("second", ())},
    1: {b"q": ("third", [Atom("ok")])},
}
HEADERS = {b"\4\0\0\0\1\2\3\4": REFS, b"\1\0\1": [Atom("ok")]}
LONG_HEADER, SHORT_HEADER = (b"\x83D" + header for header in HEADERS)
TIGHT = Limits(max_depth=3, max_bytes=60, max_elements=9, max_bigint_bytes=6, max_tuple_arity=300)

DECODE_OPTIONS: list[dict[str, Any]] = [
    {},
    {"none": Atom("ok")},
    {"limits": TIGHT},
    {"limits": TIGHT, "none": Atom("é")},
    {"binaries": "str"},
    {"atoms": {"ok"}},
    {"copy_binaries": False},
]
ENCODE_OPTIONS: list[dict[str, Any]] = [
    {},
    {"none": Atom("nil")},
    {"limits": TIGHT},
    {"deterministic": True},
    {"compressed": True},
    {"legacy_identifiers": True},
]


class Cache(dict[Atom, bytes]):
    """Hands out atom cache references in the order in which atoms come up."""

    def __missing__(self, atom: Atom) -> bytes:
        wire = self[atom] = b"R" + len(self).to_bytes()
        return wire


def outcome(action: Callable[[], Any]) -> tuple[Any, ...]:
    """What a call gives, in a form that tells 1, 1.0 and True apart; of an error, all that users can see."""
    try:
        return "result", shown(action())
    except EtfError as error:
        return type(error), error.args, getattr(error, "offset", None), getattr(error, "path", None)


def shown(value: Any) -> Any:
    if isinstance(value, memoryview):
        return "view", bytes(value)
    if isinstance(value, (list, tuple)):
        return type(value), [shown(item) for item in value]
    if isinstance(value, dict):
        return dict, {exact(key): (type(key), shown(item)) for key, item in value.items()}
    return type(value), exact(value)


def assert_same_decode(data: bytes, **options: Any) -> None:
    for name, arguments in (("decode", (data,)), ("decode_prefix", (b"??" + data, 2))):
        python, rust = getattr(_decoder, name), getattr(native, name)
        expected = outcome(lambda python=python, arguments=arguments: python(*arguments, **options))
        assert outcome(lambda rust=rust, arguments=arguments: rust(*arguments, **options)) == expected
    bare = {**options, "atom_refs": REFS}
    expected = outcome(lambda: _decoder.decode_bare(data, 1, **bare))
    assert outcome(lambda: native.decode_bare(data, 1, **bare)) == expected


def assert_same_referring(term: Term, **options: Any) -> None:
    if options.keys() <= {"none", "limits", "legacy_identifiers"}:
        for terms in ((term,), iter([Atom("ok"), term])):
            given = tuple(terms)
            expected = outcome(lambda given=given: referring(_encoder, given, options))
            assert outcome(lambda given=given: referring(native, given, options)) == expected

            for size in (20, 1000):
                expected = outcome(lambda given=given, size=size: packed(_encoder, given, size, options))
                found = outcome(lambda given=given, size=size: packed(native, given, size, options))
                assert found == expected


def packed(codec: Any, terms: tuple[Term, ...], size: int, options: dict[str, Any]) -> Any:
    headers = {tuple(refs): header for header, refs in HEADERS.items()} | {(): b"\0"}
    packet = codec.PacketWriter(headers, max_bytes=size, **options).write(terms)
    return packet if isinstance(packet, bytes) else (list(packet[0]), b"".join(packet[1]))


def referring(codec: Any, terms: tuple[Term, ...], options: dict[str, Any]) -> tuple[Any, bytes]:
    atoms, parts = codec.encode_referring(terms, **options)
    return list(atoms), b"".join(parts)


def assert_same_run(data: bytes, **options: Any) -> None:
    """The native codec may leave a rare term to its caller; what it reads of a run is the same."""
    options["max_packet_bytes"] = options.pop("longest", 1000)
    for headers in ({}, {"headers": HEADERS}):
        expected, end, _ = _decoder.PacketReader(OPENINGS, **options, **headers).read(data, 2)
        found, reached, raw = native.PacketReader(OPENINGS, **options, **headers).read(data, 2)
        one = _decoder.PacketReader(OPENINGS, **options, **headers).read_one(data[2:])
        assert shown(native.PacketReader(OPENINGS, **options, **headers).read_one(data[2:])) == shown(one)
        assert raw == sum(means is None for means, _ in found)
        assert shown(found) == shown(expected[: len(found)])
        assert reached == end or len(found) < len(expected)


def joined(parts: list[bytes | memoryview]) -> bytes:
    return b"".join(parts)


def assert_same_encode(term: Term, **options: Any) -> None:
    assert_same_referring(term, **options)
    for name in ("encode", "encode_parts"):
        python, rust = getattr(_encoder, name), getattr(native, name)
        finish = joined if name == "encode_parts" else bytes
        expected = outcome(lambda python=python, finish=finish: finish(python(term, **options)))
        assert outcome(lambda rust=rust, finish=finish: finish(rust(term, **options))) == expected


@given(terms(), st.sampled_from(DECODE_OPTIONS))
def test_e15_generated_terms_decode_alike(term: Term, options: dict[str, Any]) -> None:
    assert_same_decode(_encoder.encode(term), **options)


@given(terms(), st.sampled_from(ENCODE_OPTIONS))
def test_e15_generated_terms_encode_alike(term: Term, options: dict[str, Any]) -> None:
    assert_same_encode(term, **options)


@given(st.lists(terms(max_leaves=8), max_size=3))
def test_atoms_get_their_references_in_the_same_order(messages: list[Term]) -> None:
    ours, theirs = Cache(), Cache()
    try:
        expected = joined(_encoder.encode_bare(iter(messages), theirs))
    except OverflowError:  # more than 256 atoms: no reference for them, in either codec
        return
    assert joined(native.encode_bare(iter(messages), ours)) == expected
    assert list(ours.items()) == list(theirs.items())


@pytest.mark.parametrize("first", [None, Cache])
@pytest.mark.parametrize("node", ["shop@db", "é" * 200 + "@db"])
def test_a_pid_met_before_is_written_alike(node: str, first: type[Cache] | None) -> None:
    pid = Pid(node, 2**32 - 1, 7, 2**31)
    for kind in (first, None, Cache, Cache):
        terms = ((pid, [pid, Atom("ok")]), pid)
        expected = joined(_encoder.encode_bare(terms, kind and kind()))
        assert joined(native.encode_bare(terms, kind and kind())) == expected


NODES = st.sampled_from(["shop@db", "true", "é@db"])
WORDS = st.sampled_from([(), (1,), (1, 2, 3), (1, 2, 4), (3, 2, 1, 0, 0)])
FEW_REFERENCES = st.builds(Reference, NODES, st.sampled_from([0, 1, 2**32 - 1]), WORDS)
TAGS = st.builds(ImproperList, st.lists(st.sampled_from(REFS), min_size=1, max_size=2), FEW_REFERENCES)


@given(st.lists(FEW_REFERENCES | TAGS), st.sampled_from(DECODE_OPTIONS), st.booleans())
def test_references_met_before_are_alike(
    references: list[Term], options: dict[str, Any], again: bool
) -> None:
    # Equal ones that are different objects, and the very objects, one after the other.
    for met in (references, references if again else [_decoder.decode(_encoder.encode(references))]):
        data = _encoder.encode(met)
        assert outcome(lambda met=met: native.encode(met)) == ("result", shown(data))
        assert_same_referring(met)
        assert_same_decode(data, **options)


@given(st.binary(max_size=60), st.sampled_from(DECODE_OPTIONS))
@example(b"l\0\0\0\x01a\x01a\x02", {})
@example(b"t\0\0\0\x02a\x01j" + b"F?\xf0\0\0\0\0\0\0j", {})
@example(b"t\0\0\0\x02a\x01ja\x01j", {})
@example(b"n\x08\x01" + b"\xff" * 8, {})
@example(b"F\x7f\xf0\0\0\0\0\0\0", {})
@example(b"Z\0\x06w\x01a" + b"\0" * 28, {})
def test_e15_arbitrary_bytes_decode_alike(body: bytes, options: dict[str, Any]) -> None:
    assert_same_decode(b"\x83" + body, **options)


@given(terms(), st.data(), st.sampled_from(DECODE_OPTIONS))
def test_e15_mutated_terms_decode_alike(term: Term, data: st.DataObject, options: dict[str, Any]) -> None:
    wire = bytearray(_encoder.encode(term))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(wire) - 1))
        wire[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(wire)))
    assert_same_decode(bytes(wire), **options)
    assert_same_decode(bytes(wire[:cut]), **options)


NOT_TERMS = [
    None,
    {1, 2},
    [1, None],
    float("nan"),
    [1.0] * 8 + [float("inf")],
    "\ud800",
    {"a": 1, b"a": 2},
    {True: 1, Atom("true"): 2},
    {(1,): {"x": object()}},
    Pid("a@b", -1, 0, 0),
    Pid("x" * 256, 1, 0, 0),
    Reference("a@b", 1, (2**32,)),
    Reference("a@b", 1, tuple(range(6))),
    2**60,
    ((((1,),),),),
    list(range(300)),
]


@pytest.mark.parametrize("options", ENCODE_OPTIONS, ids=str)
@pytest.mark.parametrize("value", NOT_TERMS, ids=lambda value: repr(value)[:30])
def test_values_with_no_form_fail_alike(value: Any, options: dict[str, Any]) -> None:
    assert_same_encode([Atom("ok"), (value,)], **options)


@pytest.mark.parametrize(
    "integer",
    [
        sign * (2**bits + step)
        for bits in (7, 8, 31, 32, 63, 64, 2040)
        for step in (-1, 0, 1)
        for sign in (1, -1)
    ],
)
def test_integers_are_alike_at_every_edge(integer: int) -> None:
    assert_same_encode(integer)
    assert_same_encode([integer, 1])
    assert_same_decode(_encoder.encode(integer))


@pytest.mark.parametrize("size", [16 * 1024 - 1, 16 * 1024, 1_000_000])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_large_binaries_are_alike(kind: Callable[[bytes], Any], size: int) -> None:
    value = kind(b"\xa5" * size)
    assert_same_encode((value, Atom("ok"), {b"k": value}))
    parts = native.encode_parts((value, 1))
    if size >= 16 * 1024 and kind is bytes:
        assert parts[1] is value


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_a_long_buffer_is_read_in_any_place(kind: Callable[[bytes], Any]) -> None:
    wire = _encoder.encode([b"x" * 70_000, Atom("ok"), ImproperList([1], 2), FrozenMap([(1, 2), (1.0, 3)])])
    data = kind(b"y" * 40_000 + wire + b"z" * 40_000)
    expected = outcome(lambda: _decoder.decode_prefix(data, 40_000))
    assert expected[0] == "result"
    assert outcome(lambda: native.decode_prefix(data, 40_000)) == expected
    assert outcome(lambda: native.decode_bare(data, 40_001)) == outcome(
        lambda: _decoder.decode_bare(data, 40_001)
    )
    assert outcome(lambda: native.decode_prefix(data, 40_001)) == outcome(
        lambda: _decoder.decode_prefix(data, 40_001)
    )


def test_crowded_keys_are_refused_alike() -> None:
    # Integers that differ by a multiple of 2**61 - 1 share a hash.
    crowd = {n * (2**61 - 1): n for n in range(1, 100)}
    assert_same_decode(_encoder.encode(crowd))
    assert_same_decode(_encoder.encode({n: n for n in range(1000)}))


def test_a_call_within_a_call_has_its_own_memory() -> None:
    class Nested(Cache):
        def __missing__(self, atom: Atom) -> bytes:
            assert native.decode(native.encode((atom, Pid("a@b", 1, 2, 3)))) == (atom, Pid("a@b", 1, 2, 3))
            return super().__missing__(atom)

    assert joined(native.encode_bare(((Atom("a"), Atom("b")),), Nested())) == b"h\x02R\x00R\x01"


def test_an_interruption_is_no_answer() -> None:
    class Interrupted(Cache):
        def __missing__(self, atom: Atom) -> bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        native.encode_bare((Atom("a"),), Interrupted())


BEGINNINGS = [b"abc", b"xyz", b"q", b"ab", b"zzz"]
BEGINNINGS += [LONG_HEADER, SHORT_HEADER, SHORT_HEADER + b"h\1R\0", SHORT_HEADER + b"h\1R\1", b"\x83D"]
PACKET_BODIES = st.one_of(
    terms().map(lambda term: b"".join(_encoder.encode_bare((term,), None))),
    st.sampled_from([b"R\0", b"R\3", b"h\2R\0a\1", b"P", b"", b"a\1a\1"]),
)


@given(
    st.lists(st.tuples(st.sampled_from(BEGINNINGS), PACKET_BODIES), max_size=8),
    st.lists(st.tuples(st.integers(0, 200), st.integers(1, 255)), max_size=2),
    st.sampled_from([{}, {"none": Atom("ok")}, {"limits": TIGHT}, {"longest": 30}]),
    st.binary(max_size=9),
)
def test_runs_of_packets_are_alike(
    packets: list[tuple[bytes, bytes]], flips: list[tuple[int, int]], options: dict[str, Any], rest: bytes
) -> None:
    data = bytearray(b"??")
    for opening, body in packets:
        data += (len(opening) + len(body)).to_bytes(4) + opening + body
    data += rest
    for place, mask in flips:
        if place < len(data):
            data[place] ^= mask
    assert_same_run(bytes(data), **options)


@pytest.mark.parametrize("tail", [b"a\7", b"j", b"l\0\0\0\1a\2j", b"l\0\0\0\1a\2a\3", b"k\0\1a", b"R\0"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_lists_with_a_tail_are_alike(count: int, tail: bytes) -> None:
    data = b"\x83l" + count.to_bytes(4) + b"a\1" * count + tail
    assert_same_decode(data)
    if (count, tail) == (3, b"a\7"):
        made = native.decode(data)
        assert made == ImproperList([1, 1, 1], 7)
        assert hash(made) == hash(ImproperList([1, 1, 1], 7))
        with pytest.raises(AttributeError, match="immutable"):
            made.tail = 1


def test_a_run_goes_on_while_its_openings_are_known() -> None:
    bodies = [b"abch\2R\0a\1", b"qR\0", b"xyza\7", b"abcR\1", b"new"]
    data = b"??" + b"".join(len(body).to_bytes(4) + body for body in bodies)
    found, end, _ = native.PacketReader(OPENINGS, max_packet_bytes=100).read(data, 2)
    assert found == [("first", (Atom("ok"), 1)), ("third", Atom("ok")), ("second", 7), ("first", True)]
    assert end == len(data) - 7
    assert native.PacketReader(OPENINGS, max_packet_bytes=7).read(data, 2) == ([], 2, 0)


@pytest.mark.parametrize("count", [254, 255, 256, 600])
def test_references_end_at_255_alike(count: int) -> None:
    names = [Atom(f"a{number}") for number in range(count)]
    assert_same_referring([names, names, Pid("a5@host", 1, 2, 3)])
    atoms, _ = native.encode_referring((names,))
    assert atoms == tuple(names[:255])
