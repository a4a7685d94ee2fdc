"""Terms as Erlang text."""

from typing import Any

import pytest
from etf_codec import (
    Atom,
    BitString,
    Export,
    FrozenMap,
    Fun,
    ImproperList,
    LocalTerm,
    NativeRecord,
    Pid,
    Port,
    Reference,
    to_text,
)

A = Atom("a")


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (
            (Atom("ok"), [1, 2.5, b"a", {A: 1}, Pid("a@b", 85, 0, 1)]),
            '{ok,[1,2.5,<<"a">>,#{a => 1},<0.85.0>]}',
        ),
        ("é", '<<"é"/utf8>>'),
        ('"\n\\', '<<"\\"\\n\\\\">>'),
        (b"\xff\0", "<<255,0>>"),
        (b"", "<<>>"),
        (BitString(b"\x01\xa0", 3), "<<1,5:3>>"),
        ([104, 105], "[104,105]"),
        (ImproperList([1, 2], A), "[1,2|a]"),
        (Atom("hello world"), "'hello world'"),
        (Atom("it's\n"), "'it\\'s\\n'"),
        (Atom("fun"), "'fun'"),
        (Atom("Elixir.Enum"), "'Elixir.Enum'"),
        (Atom(""), "''"),
        ([True, False], "[true,false]"),
        (Port("a@b", 5, 1), "#Port<0.5>"),
        (Reference("a@b", 1, (1, 2, 3)), "#Ref<0.3.2.1>"),
        (Export("lists", "map", 2), "fun lists:map/2"),
        (Fun("m", 1, b"", 0, 2, 3, Pid("a@b", 1, 0, 1)), "#Fun<m.2.3>"),
        (LocalTerm(b"1234"), "#Local<4 bytes>"),
        (NativeRecord("m", "p", [("x", 1), ("y", [])]), "#m:p{x = 1,y = []}"),
        (FrozenMap([(1, 2), (1.0, 3)]), "#{1 => 2,1.0 => 3}"),
        ([(), {}, []], "[{},#{},[]]"),
        ([None, {1}], "[#Python<NoneType>,#Python<set>]"),
        (
            [0.0, -0.0, 1e5, 100.0, 1e22, 5e-324, 1.5e-7, 0.1],
            "[0.0,-0.0,1.0e5,100.0,1.0e22,5.0e-324,1.5e-7,0.1]",
        ),
    ],
)
def test_texts(term: Any, text: str) -> None:
    assert to_text(term) == text


def test_it_is_bounded() -> None:
    endless: list[Any] = []
    endless += [endless, endless]
    assert to_text(endless, max_chars=10) == "[[[[[[[[[[..."
    assert to_text(endless, max_depth=2) == "[[...,...],[...,...]]"
    assert to_text(b"\0" * 10**6, max_chars=8) == "<<0,0,0,..."
    assert to_text("x" * 10**6, max_chars=6) == '<<"xxx...'


def test_huge_integers_are_in_base_16() -> None:
    assert to_text(-(16**5000)) == "-16#1" + "0" * 5000
    assert to_text([10**4000]) == f"[{10**4000}]"


def test_no_depth_exhausts_the_stack() -> None:
    deep: Any = ()
    for _ in range(100_000):
        deep = [deep]
    assert to_text(deep).count("[") == 512
    while deep:
        deep = deep[0]
