"""Erlang text into terms."""

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
    TruncatedError,
    from_text,
)
from hypothesis import given
from hypothesis import strategies as st

A, B = Atom("a"), Atom("b")


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ('{ok, [1, <<"a">>]}.', (Atom("ok"), [1, b"a"])),
        ("[a,b|c]", ImproperList([A, B], Atom("c"))),
        ("[1|[2|[3]]]", [1, 2, 3]),
        ("[1|[2|x]]", ImproperList([1, 2], Atom("x"))),
        ('"ab" "c"', [97, 98, 99]),
        (
            "[16#ff, 2#101, 36#Zz, 1_000, -5, +5, $a, $\\n, $\\x{20ac}, $ ]",
            [255, 5, 1295, 1000, -5, 5, 97, 10, 8364, 32],
        ),
        ("[1.5, -2.0e-3]", [1.5, -0.002]),
        ("'hello world'", Atom("hello world")),
        ("'it\\'s \\x41\\102\\^C'", Atom("it's AB\x03")),
        ("[true, false, 'true']", [True, False, True]),
        ("#{a => #{}, 1 => 2}", {A: {}, 1: 2}),
        ("#{a => 1, a => 2}", {A: 2}),
        ("#{[1] => 1, #{} => 2}", {FrozenList([1]): 1, FrozenMap(): 2}),
        ("#{1 => a, 1.0 => b}", FrozenMap([(1, A), (1.0, B)])),
        ("<<1, 2:16, 258:16/little, -1>>", b"\1\0\2\2\1\xff"),
        ('<<"é", "é"/utf8, 8364/utf16, "a":16>>', b"\xe9\xc3\xa9\x20\xac\0a"),
        ("<<1.5/float, 1.5:32/float>>", bytes.fromhex("3ff80000000000003fc00000")),
        ("<<1, 5:3>>", BitString(b"\1\xa0", 3)),
        ("<<1:1, 127:7>>", b"\xff"),
        ("<<>>", b""),
        ("fun lists:map/2", Export("lists", "map", 2)),
        ("% comment\n {} % more\n .", ()),
    ],
)
def test_texts(text: str, term: Any) -> None:
    read = from_text(text)
    assert read == term
    assert type(read) is type(term)


@pytest.mark.parametrize(
    ("text", "message", "offset"),
    [
        ("a b", "expected the end of the term, not a word", 2),
        ("{a,]", "expected a term here, not ']'", 3),
        ("#{a}", "expected '=>' here", 3),
        ("[a|b,c]", "expected '\\]' here", 4),
        ("<0.85.0>", "a pid has no form", 0),
        ("Variable", "no token of Erlang starts with 'V'", 0),
        ("99#1", "a base is 2 to 36", 0),
        ("16#zz", "not the digits", 0),
        ("-a", "expected a number after '-'", 1),
        ("<<a>>", "expected a number or a string", 2),
        ("<<1/binary>>", "cannot be of type binary", 4),
        ("<<1.5>>", "the type /float", 2),
        ("<<1:17/little>>", "whole bytes", 2),
        ("<<55296/utf8>>", "is a character", 2),
        ('"\\x{110000}"', "no character", 0),
        ("1.5e999", "out of range", 0),
        ("fun a:b/256", "0 to 255", 8),
        ("'" + "x" * 256 + "'", "at most 255 characters", 0),
    ],
)
def test_errors_say_what_and_where(text: str, message: str, offset: int) -> None:
    with pytest.raises(DecodeError, match=message) as caught:
        from_text(text)
    assert caught.value.offset == offset


@pytest.mark.parametrize("text", ["", "{ok", "[1,", "#{a =>", "'abc", '"abc', "<<1", "fun a:"])
def test_unfinished_texts_ask_for_more(text: str) -> None:
    with pytest.raises(TruncatedError):
        from_text(text)


@pytest.mark.parametrize("text", ["[" * 600, "9" * 5000, "<<1:99999999999>>", "16#" + "f" * 3_000_000])
def test_limits_hold(text: str) -> None:
    with pytest.raises(LimitExceeded):
        from_text(text)
    with pytest.raises(LimitExceeded, match="max_elements=3"):
        from_text("[1,2,3,4]", limits=Limits(max_elements=3))


@given(st.text(alphabet="{}[]<>#=|,.:/+-'\"\\$%ab1 0é_", max_size=30))
def test_only_our_errors_leave(text: str) -> None:
    try:
        from_text(text)
    except EtfError:
        pass
