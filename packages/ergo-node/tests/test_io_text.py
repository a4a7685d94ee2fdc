from typing import Any

import pytest
from ergo_node._io_text import characters, written
from etf_codec import Atom, ImproperList, Pid


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (b"a", "a"),
        ([], ""),
        ([97, b"b", [[99]], []], "abc"),
        (ImproperList([97], b"b"), "ab"),
        (Atom("abc"), "abc"),
        ([8364], "€"),
    ],
)
def test_characters(term: Any, text: str) -> None:
    assert characters(term) == text


def test_bytes_are_utf_8_or_latin_1() -> None:
    assert characters(b"\xc3\xa9") == "é"
    assert characters(b"\xe9", unicode=False) == "é"
    with pytest.raises(ValueError, match="decode"):
        characters(b"\xe9")


@pytest.mark.parametrize("term", [1.5, {}, (97,), True, [False], [Atom("a")]])
def test_no_characters(term: Any) -> None:
    with pytest.raises(ValueError, match="no text"):
        characters(term)


@pytest.mark.parametrize(
    ("term", "plain", "pretty"),
    [
        ([97, 98], "[97,98]", '"ab"'),
        ([97, 0], "[97,0]", "[97,0]"),
        ([97, True], "[97,true]", "[97,true]"),
        (b"a\n", "<<97,10>>", '<<"a\\n">>'),
        (b"", "<<>>", "<<>>"),
        ((Atom("a"), [], {1: [b"x"]}), "{a,[],#{1 => [<<120>>]}}", '{a,[],#{1 => [<<"x">>]}}'),
        (ImproperList([1, 2], 3), "[1,2|3]", "[1,2|3]"),
        (Pid("a@host", 7, 0, 1), "<0.7.0>", "<0.7.0>"),
    ],
)
def test_written(term: Any, plain: str, pretty: str) -> None:
    assert written(term) == plain
    assert written(term, strings=True) == pretty


def test_it_is_bounded_in_depth() -> None:
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    assert written(deep) == "[" * 100 + "..." + "]" * 100
