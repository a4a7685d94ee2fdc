"""`io_lib:format/2`; that it prints what Erlang prints is tested in tests-interop/test_node_io.py."""

from typing import Any

import pytest
from ergo_node._io_format import MAX_TEXT, MAX_WIDTH, FormatError, io_format
from etf_codec import Atom
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("template", "args", "text"),
    [
        ("plain", [], "plain"),
        (b"\xc3\xa9 ~ts", [b"\xc3\xa9"], "é é"),
        (list(b"~s"), [[b"a", 98, [99]]], "abc"),
        (Atom("~w~n"), [Atom("x")], "x\n"),
        ("~p ~w", [b"a", b"a"], '<<"a">> <<97>>'),
        ("~8.16.0B", [255], "000000FF"),
        ("~5w|~-5w|~2w", [1, 1, 100], "    1|1    |**"),
        ("~.2f ~e", [1.0, 1.0], "1.00 1.00000e+0"),
        ("~B", [10**5000], "1" + "0" * 5000),
    ],
)
def test_text(template: Any, args: Any, text: str) -> None:
    assert io_format(list(template.encode()) if isinstance(template, str) else template, args) == text


@pytest.mark.parametrize(
    ("template", "args", "fault"),
    [
        (b"~w", [], "more sequences"),
        (b"~i", [], "more sequences"),
        (b"x", [1], "more arguments"),
        (b"~", [], "ends inside"),
        (b"~q", [1], "no control sequence"),
        (b"~s", [1.5], "no text"),
        (b"~s", [True], "no text"),
        (b"~b", [True], "no integer"),
        (b"~f", [1], "no float"),
        (b"~.40b", [1], "base 40"),
        (b"~*c", [10**9, 65], f"more than {MAX_WIDTH}"),
        (b"~.99999999f", [1.0], f"more than {MAX_WIDTH}"),
        (b"\xff", [], "decode"),
        (b"x", Atom("y"), "no list"),
        ([-1], [], "chr"),
        ([[Atom("x")]], [], "no text"),
    ],
)
def test_what_does_not_fit(template: Any, args: Any, fault: str) -> None:
    with pytest.raises(FormatError, match=fault):
        io_format(template, args)


def test_a_short_format_cannot_ask_for_all_memory() -> None:
    with pytest.raises(FormatError, match=f"longer than {MAX_TEXT}"):
        io_format(b"~10000c" * 1000, [65] * 1000)


@given(st.text(alphabet="~.*-0123wpsWPcfegbxB+#ntlk x", max_size=30), st.lists(st.integers(-300, 300)))
def test_any_format_is_text_or_a_format_error(template: str, args: list[int]) -> None:
    try:
        text = io_format(template.encode(), args)
    except FormatError:
        return
    assert len(text) < (len(template) + 1) * MAX_WIDTH
