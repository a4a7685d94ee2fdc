"""The other term classes refuse what would not be one of them."""

from typing import Any

import pytest
from etf_codec import (
    Atom,
    BitString,
    Export,
    Fun,
    ImproperList,
    LocalTerm,
    NativeRecord,
    Pid,
    Reference,
    encode,
    request_tag,
)


def test_unused_bits_are_cleared() -> None:
    assert BitString(b"\x01\xff", 3) == BitString(b"\x01\xe0", 3)
    assert BitString(b"\x01\xff", 3).bit_length == 11


@pytest.mark.parametrize(("data", "bits"), [(b"", 1), (b"a", 0), (b"a", 8)])
def test_whole_bytes_are_no_bit_string(data: bytes, bits: int) -> None:
    with pytest.raises(ValueError, match="1 to 7 bits"):
        BitString(data, bits)


def test_an_improper_list_has_items_and_no_list_for_a_tail() -> None:
    assert list(ImproperList([1, 2], Atom("x"))) == [1, 2]
    assert len(ImproperList([1], 0)) == 1
    with pytest.raises(ValueError, match="at least one item"):
        ImproperList([], 1)
    with pytest.raises(ValueError, match="not a list"):
        ImproperList([1], [2])


def test_the_tag_of_a_request_is_an_improper_list_like_any_other() -> None:
    tag = request_tag("a@b", 1, (2, 3, 4))
    made = ImproperList([Atom("alias")], Reference("a@b", 1, (2, 3, 4)))
    assert tag == made
    assert hash(tag) == hash(made)
    assert repr(tag) == repr(made)
    assert encode(tag) == encode(made)
    assert (type(tag), type(tag.tail)) == (ImproperList, Reference)
    for value, name in ((tag, "tail"), (tag.tail, "ids")):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(value, name, 1)


def test_names_may_be_given_as_text() -> None:
    assert Export("lists", Atom("map"), 2) == Export(Atom("lists"), "map", 2)
    assert Fun("m", 1, b"x" * 16, 0, 0, 0, Pid("a@b", 1, 0, 1)).module is Atom("m")


def test_a_local_term_has_a_hash() -> None:
    with pytest.raises(ValueError, match="4 bytes"):
        LocalTerm(b"abc")


def test_a_record_has_each_field_once() -> None:
    record = NativeRecord("m", "point", [("x", 1), ("y", 2)])
    assert record.fields == ((Atom("x"), 1), (Atom("y"), 2))
    with pytest.raises(ValueError, match="two fields of one name"):
        NativeRecord("m", "point", [("x", 1), ("x", 2)])


@pytest.mark.parametrize("value", [BitString(b"a", 1), ImproperList([1], 2), Export("m", "f", 1)])
def test_they_cannot_change(value: Any) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        value.wire = b""
