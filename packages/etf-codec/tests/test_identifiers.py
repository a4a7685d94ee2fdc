"""Pids, ports and references: values, and sealed ones."""

import copy
import pickle
from typing import Any

import pytest
from etf_codec import Pid, Port, Reference

VALUES = [Pid("a@b", 1, 2, 3), Port("a@b", 1, 3), Reference("a@b", 3, (1, 2, 3))]


@pytest.mark.parametrize("value", VALUES)
def test_they_are_equal_by_value(value: Any) -> None:
    fields = value._values()
    same = type(value)(*fields)
    assert same == value
    assert hash(same) == hash(value)
    for index, field in enumerate(fields):
        other = (*field, 9) if isinstance(field, tuple) else "c@d" if isinstance(field, str) else field + 1
        assert type(value)(*fields[:index], other, *fields[index + 1 :]) != value
    assert value != fields


@pytest.mark.parametrize("value", VALUES)
def test_they_cannot_change(value: Any) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        value.node = "c@d"
    with pytest.raises(AttributeError, match="immutable"):
        del value.creation
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize("value", VALUES)
def test_they_are_no_tuples(value: Any) -> None:
    match value:
        case [*_]:
            pytest.fail("matched a sequence pattern")
        case _:
            pass


@pytest.mark.parametrize("value", VALUES)
def test_they_can_be_copied_and_pickled(value: Any) -> None:
    assert copy.deepcopy(value) == value
    assert pickle.loads(pickle.dumps(value)) == value


def test_they_match_by_position() -> None:
    match Pid("a@b", 1, 2, 3):
        case Pid(node, 1, 2, creation):
            assert (node, creation) == ("a@b", 3)
        case _:
            pytest.fail("did not match")


def test_their_repr_makes_them_again() -> None:
    assert repr(Pid("a@b", 1, 2, 3)) == "Pid(node='a@b', id=1, serial=2, creation=3)"
    assert repr(Reference("a@b", 3, (1,))) == "Reference(node='a@b', creation=3, ids=(1,))"
