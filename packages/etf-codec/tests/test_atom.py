"""Atoms: one object per name, and none kept alive."""

import copy
import gc
import pickle
from typing import Any

import pytest
from etf_codec import Atom, decode, encode
from etf_codec import _atom as atom_module


def test_there_is_one_object_per_name() -> None:
    assert Atom("ok") is Atom("o" + "k")
    assert Atom("ok") != Atom("error")
    assert decode(encode(Atom("ok"))) is Atom("ok")


def test_an_atom_is_no_text() -> None:
    values: list[Any] = ["ok", b"ok"]
    assert Atom("ok") not in values
    assert len({Atom("ok"), "ok"}) == 2
    assert str(Atom("ok")) == "ok"
    assert repr(Atom("ok")) == "Atom('ok')"


def test_it_matches_by_name() -> None:
    match Atom("ok"):
        case Atom("error"):
            pytest.fail("matched another name")
        case Atom("ok"):
            pass
        case _:
            pytest.fail("did not match its name")


def test_it_cannot_change() -> None:
    atom: Any = Atom("ok")
    with pytest.raises(AttributeError, match="immutable"):
        atom.name = "other"
    with pytest.raises(AttributeError, match="immutable"):
        del atom.name
    with pytest.raises(AttributeError):
        atom.other = 1


def test_copies_are_the_same_object() -> None:
    atom = Atom("ok")
    assert copy.deepcopy(atom) is atom
    assert pickle.loads(pickle.dumps(atom)) is atom


@pytest.mark.parametrize("name", ["x" * 256, "\ud800"])
def test_names_that_erlang_refuses(name: str) -> None:
    with pytest.raises(ValueError, match="an atom"):
        Atom(name)


@pytest.mark.parametrize("name", ["", "\0", "x" * 255, "€" * 255, "\U0001d4b3" * 255])
def test_names_that_erlang_takes(name: str) -> None:
    assert decode(encode(Atom(name))).name == name


def test_a_name_is_a_str() -> None:
    wrong: Any = b"ok"
    with pytest.raises(TypeError, match="str, not bytes"):
        Atom(wrong)


def test_unused_atoms_leave_the_table() -> None:
    before = len(atom_module._table)
    kept = [Atom(f"kept {n}") for n in range(100)]
    for n in range(10_000):
        Atom(f"dropped {n}")
    gc.collect()
    assert len(atom_module._table) <= before + len(kept)
    assert all(Atom(atom.name) is atom for atom in kept)
