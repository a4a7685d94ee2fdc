"""Python values into terms."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import pytest
from etf_codec import Atom, MismatchError, from_term, to_term

A = Atom("a")


class Status(Enum):
    OPEN = "open"
    CLOSED = 2


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class HTTPOrder:
    id: int
    at: Point
    status: Status = Status.OPEN
    kind: str = field(default="k", metadata={"etf": "type"})


@dataclass
class ShopError(Exception):
    __etf_name__ = "Shop.Error"
    message: str


ORDER = HTTPOrder(1, Point(2, 3))


@pytest.mark.parametrize(
    ("form", "term"),
    [
        ("map", {"id": 1, "at": {"x": 2, "y": 3}, "status": Atom("open"), "type": "k"}),
        ("tuple", (1, (2, 3), Atom("open"), "k")),
        ("record", (Atom("http_order"), 1, (Atom("point"), 2, 3), Atom("open"), "k")),
        ("proplist", [("id", 1), ("at", [("x", 2), ("y", 3)]), ("status", Atom("open")), ("type", "k")]),
    ],
)
def test_forms(form: Any, term: Any) -> None:
    def with_atoms(part: Any) -> Any:
        if isinstance(part, dict):
            return {Atom(key): with_atoms(value) for key, value in part.items()}
        if isinstance(part, list):
            return [(Atom(key), with_atoms(value)) for key, value in part]
        return part

    assert to_term(ORDER, form) == with_atoms(term)
    assert from_term(to_term(ORDER, form), HTTPOrder) == ORDER


def test_elixir_structs_and_exceptions() -> None:
    assert to_term(Point(1, 2), "struct")[Atom("__struct__")] is Atom("Elixir.Point")
    assert to_term(ShopError("no"), "struct") == {
        Atom("__struct__"): Atom("Elixir.Shop.Error"),
        Atom("__exception__"): True,
        Atom("message"): "no",
    }


def test_what_is_inside_is_converted_too() -> None:
    assert to_term({A: [Status.CLOSED, (Point(1, 2),)], "s": {1}}, "tuple") == {A: [2, ((1, 2),)], "s": [1]}
    assert to_term(A) is A


def test_mistakes_are_named() -> None:
    form: Any = "json"
    with pytest.raises(ValueError, match="as_ is one of map, tuple, record, proplist, struct"):
        to_term(1, form)
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(MismatchError, match="contain itself"):
        to_term(endless)
