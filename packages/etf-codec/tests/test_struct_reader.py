"""Terms into Python types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, TypedDict

import pytest
from etf_codec import Atom, FrozenMap, MismatchError, NativeRecord, Pid, from_term

A, B = Atom("a"), Atom("b")


class Status(Enum):
    OPEN = "open"
    CLOSED = 2


class Level(IntEnum):
    LOW = 1


@dataclass
class Item:
    sku: str
    price: float
    quantity: int = 1


@dataclass
class Order:
    id: int
    items: list[Item] = field(default_factory=list)
    status: Status = Status.OPEN
    note: str | None = None
    parent: "Order | None" = None
    kind: str = field(default="", metadata={"etf": "type"})


@dataclass
class User:
    __etf_name__ = "Elixir.Shop.User"
    name: str


@dataclass
class Positive:
    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError("negative")


class Point(NamedTuple):
    x: int
    y: int = 0


class Options(TypedDict):
    size: int
    name: NotRequired[str]


UserId = NewType("UserId", int)
PID = Pid("a@b", 1, 2, 3)


@pytest.mark.parametrize(
    ("term", "kind", "value"),
    [
        (1, int, 1),
        (1, float, 1.0),
        (True, bool, True),
        (b"\xc3\xa9", str, "é"),
        ([233], str, "é"),
        (A, str, "a"),
        ("x", bytes, b"x"),
        (True, Atom, Atom("true")),
        (PID, Pid, PID),
        (Atom("undefined"), type(None), None),
        ([1, 2], list[int], [1, 2]),
        ([1], Sequence[float], [1.0]),
        ((1, 2), tuple[int, ...], (1, 2)),
        ((1, b"x"), tuple[int, str], (1, "x")),
        ([1, 1], set[int], {1}),
        ({Atom("__struct__"): Atom("Elixir.MapSet"), Atom("map"): {1: []}}, frozenset[Any], None),
        ({A: 1}, dict[str, int], {"a": 1}),
        ([(A, 1), B, (A, 2)], dict[Atom, int | bool], {A: 1, B: True}),
        (FrozenMap({A: 1}), Mapping[str, int], {"a": 1}),
        (Atom("open"), Status, Status.OPEN),
        (2, Status, Status.CLOSED),
        (Atom("closed"), Status, Status.CLOSED),
        (1, Level, Level.LOW),
        (A, Literal["a", 1], "a"),
        (Atom("nil"), int | None, None),
        (b"x", int | str, "x"),
        (b"x", str | bytes, b"x"),
        (5, UserId, 5),
        (5, Annotated[int, "unit"], 5),
        ({"size": 1, "other": 2}, Options, {"size": 1}),
        ([(Atom("size"), 1), (Atom("name"), [97])], Options, {"size": 1, "name": "a"}),
        ((1, 2), Point, Point(1, 2)),
        ((Atom("point"), 1, 2), Point, Point(1, 2)),
        ({"x": 1}, Point, Point(1)),
        (NativeRecord("m", "point", [("x", 1), ("y", 2)]), Point, Point(1, 2)),
        ((Atom("item"), b"s", 1.5, 2), Item, Item("s", 1.5, 2)),
        ((b"s", 1.5), Item, Item("s", 1.5)),
        ({Atom("id"): 1, Atom("parent"): {Atom("id"): 2}}, Order, Order(1, parent=Order(2))),
        ({Atom("id"): 1, b"type": A, 5: 6}, Order, Order(1, kind="a")),
        ({Atom("__struct__"): Atom("Elixir.Shop.User"), Atom("name"): b"x"}, User, User("x")),
    ],
)
def test_what_becomes_what(term: Any, kind: Any, value: Any) -> None:
    if kind == frozenset[Any]:
        value = frozenset({1})
    read = from_term(term, kind)
    assert read == value
    assert type(read) is type(value)


ITEM = {Atom("sku"): b"s", Atom("price"): Atom("free")}


@pytest.mark.parametrize(
    ("term", "kind", "message"),
    [
        (
            {Atom("id"): 1, Atom("items"): [ITEM]},
            Order,
            "order.items[0].price: expected float, got atom 'free'",
        ),
        ({Atom("items"): []}, Order, "order.id: missing, in map #{items => []}"),
        (True, int, "term: expected integer, got atom 'true'"),
        ([1, b"x"], list[int], 'term[1]: expected integer, got binary <<"x">>'),
        ({A: b"x"}, dict[str, int], 'term[a]: expected integer, got binary <<"x">>'),
        (
            {1: 1},
            dict[str, int],
            "term key 1: expected text (a UTF-8 binary,",
        ),
        ((1, 2, 3), tuple[int, int], "term: expected tuple of 2, got tuple {1,2,3}"),
        (b"x", int | None, 'term: expected int or nil, got binary <<"x">>'),
        (A, Literal["b", 1], "term: expected 'b' or 1, got atom 'a'"),
        (A, Status, "term: expected one of Status: open, 2, got atom 'a'"),
        (b"\xff", str, "term: expected text"),
        (10**400, float, "term: expected float, got integer 1"),
        ({Atom("number"): -1}, Positive, "positive: negative"),
        ({Atom("__struct__"): A, Atom("name"): b""}, User, "user: expected struct 'Elixir.Shop.User'"),
        ((1, 2), Options, "options: expected record"),
    ],
)
def test_errors_name_the_path(term: Any, kind: Any, message: str) -> None:
    with pytest.raises(MismatchError) as caught:
        from_term(term, kind)
    assert str(caught.value).startswith(
        message.replace("struct 'Elixir.Shop.User'", "struct Elixir.Shop.User")
    )


def test_a_type_without_a_rule_is_the_programs_fault() -> None:
    with pytest.raises(TypeError, match="no rule for"):
        from_term(1, complex)


def test_terms_nested_too_deep_for_a_type() -> None:
    term: Any = {Atom("id"): 1}
    for _ in range(5000):
        term = {Atom("id"): 1, Atom("parent"): term}
    with pytest.raises(MismatchError, match="nested too deep"):
        from_term(term, Order)
