"""Values without an external form are shown as text; the others stay what they are."""

from typing import Any

import pytest
from etf_codec import Atom, decode, encode
from otp_behaviors._wire_terms import MAX_ITEMS, as_term


class Opaque:
    def __repr__(self) -> str:
        return "<opaque>"


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_a_repr_that_raises_does_no_harm() -> None:
    text = as_term([Rude()])[0]
    assert b"Rude" in text


@pytest.mark.parametrize("value", [1, "text", [1, (2, {Atom("a"): b"b"})], {}, True])
def test_a_term_is_left_alone(value: Any) -> None:
    assert as_term(value) is value


@pytest.mark.parametrize(
    ("value", "term"),
    [
        (None, Atom("undefined")),
        (Opaque(), b"<opaque>"),
        ({Atom("a"): Opaque(), Atom("b"): 2}, {Atom("a"): b"<opaque>", Atom("b"): 2}),
        ([1, (None, Opaque())], [1, (Atom("undefined"), b"<opaque>")]),
        ({(1, 2): None}, {(1, 2): Atom("undefined")}),
        ({Opaque}, [b"<class '" + f"{__name__}.Opaque".encode() + b"'>"]),
        ({None: 1}, {Atom("undefined"): 1}),
        ({frozenset((1,)): None}, {b"[1]": Atom("undefined")}),
        (float("nan"), b"nan"),
    ],
)
def test_what_has_no_form_is_text(value: Any, term: Any) -> None:
    assert as_term(value) == term
    encode(as_term(value))


def test_containers_that_hold_themselves_have_an_end() -> None:
    loop: list[Any] = []
    loop.extend((loop, loop))
    decode(encode(as_term(loop)))


def test_a_long_value_is_cut() -> None:
    assert len(as_term([None] * (MAX_ITEMS + 1))) == MAX_ITEMS
