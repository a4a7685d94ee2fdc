"""Terms as `global` compares, sorts and counts them."""

from ergo_node._global_terms import boss_of, node_names, sorted_pids, term_of
from etf_codec import Atom, Pid


def test_pids_are_sorted_as_erlang_sorts_them() -> None:
    """The order that OTP 25 printed for `lists:sort` of these: serial, id, node, creation."""
    expected = [
        Pid("a@h", 1, 0, 5),
        Pid("a@h", 1, 0, 6),
        Pid("b@h", 1, 0, 5),
        Pid("a@h", 2, 0, 5),
        Pid("b@h", 300000, 0, 5),
        Pid("a@h", 1, 1, 5),
        Pid("b@h", 1, 1, 5),
    ]
    assert sorted_pids(reversed(expected)) == expected


def test_text_is_an_atom_and_all_else_is_itself() -> None:
    assert term_of("shop") == Atom("shop")
    assert type(term_of("shop")) is Atom
    assert term_of(Atom("shop")) == Atom("shop")
    assert term_of(b"shop") == b"shop"
    assert term_of(("shop", 1)) == ("shop", 1)


def test_node_names_are_a_list_of_atoms() -> None:
    assert node_names([Atom("a@h"), Atom("b@h")]) == ["a@h", "b@h"]
    assert node_names([]) == []
    assert node_names([b"a@h"]) is None
    assert node_names(Atom("a@h")) is None


def test_the_boss_is_the_greatest_node() -> None:
    assert boss_of(["a@z", "b@a", "b@B"]) == "b@a"
