"""decode_bare of an input in parts: the same term and the same errors as of the parts joined."""

from itertools import pairwise
from typing import Any

import pytest
from etf_codec import Atom, DecodeError, decode_bare, encode, encode_bare
from etf_codec.testing import terms
from hypothesis import given
from hypothesis import strategies as st

LARGE = bytes(range(256)) * 64


def bare(term: Any) -> bytes:
    data: bytes = encode(term)
    return data[1:]


def cut(data: bytes, places: list[int], *, views: bool) -> list[bytes | memoryview]:
    """The data in parts that begin at these places, as bytes or as views into something larger."""
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    pairs = list(pairwise(bounds))
    if views:
        around = memoryview(b"before" + data + b"behind")
        return [around[6 + start : 6 + end] for start, end in pairs]
    return [data[start:end] for start, end in pairs]


@given(terms(), st.lists(st.integers(0, 2**16), max_size=6), st.booleans())
def test_any_cut_gives_the_same_term(term: Any, places: list[int], views: bool) -> None:
    data = bare(term)
    first, *rest = cut(data, places, views=views)
    assert decode_bare(first, 0, rest=rest) == decode_bare(data)


@pytest.mark.parametrize(
    "term",
    [
        LARGE,
        (Atom("a"), LARGE, Atom("b")),
        [LARGE, 1, LARGE],
        {b"key": LARGE, LARGE: 2.5},
        (LARGE, [Atom("x"), {b"y": (1, 2**70, LARGE)}], Atom("é")),
    ],
    ids=["alone", "between atoms", "two", "key", "nested"],
)
@pytest.mark.parametrize("size", [1000, 4096, 16_385, 30_000])
def test_large_binaries_across_parts(term: Any, size: int) -> None:
    data = bare(term)
    first, *rest = [data[start : start + size] for start in range(0, len(data), size)]
    assert decode_bare(first, 0, rest=rest) == (term, len(data))


def test_the_offset_counts_through_the_parts() -> None:
    data = b"xx" + bare((1, LARGE)) + b"behind"
    term, end = decode_bare(memoryview(data)[:100], 2, rest=[data[100:9000], bytearray(data[9000:])])
    assert term == (1, LARGE)
    assert data[end:] == b"behind"


def test_atoms_of_the_header_are_known_behind_the_binary() -> None:
    refs = (Atom("one"), Atom("two"))
    data = b"".join(
        encode_bare((((refs[0]), LARGE, refs[1]),), {ref: bytes((82, i)) for i, ref in enumerate(refs)})
    )
    assert decode_bare(data[:5000], 0, rest=[data[5000:]], atom_refs=refs)[0] == (refs[0], LARGE, refs[1])


@pytest.mark.parametrize("missing", [1, 100, 12_000])
def test_errors_are_those_of_the_whole(missing: int) -> None:
    data = bare((LARGE, 1))[:-missing]
    with pytest.raises(DecodeError) as whole:
        decode_bare(data)
    with pytest.raises(DecodeError) as parts:
        decode_bare(data[:3000], 0, rest=[data[3000:4000], data[4000:]])
    assert (type(parts.value), parts.value.offset) == (type(whole.value), whole.value.offset)
