"""Terms into Python types: `from_term(term, Order)`.

For each type a plan is made once: a function from a term to a value. Types are those the caller names;
nothing in a term selects a class.
"""

import types
import typing
from collections import abc
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Final, NoReturn, TypeVar

from ._atom import Atom
from ._errors import MismatchError
from ._frozen import FrozenList, FrozenMap
from ._identifiers import Pid, Port, Reference
from ._struct_fields import STRUCT, fields_of, has_fields, record_tag, struct_module
from ._terms import BitString, Export, Fun, ImproperList, LocalTerm, NativeRecord, Term
from ._text_printer import to_text

T = TypeVar("T")
Plan = Callable[[Term], Any]

# What Erlang, Elixir and Python programs say for "no value".
_NOTHING: Final = frozenset({Atom("nil"), Atom("undefined"), Atom("null"), Atom("none")})

_SHOWN_CHARS: Final = 60


def from_term(term: Term, kind: type[T]) -> T:
    """Make a value of a Python type from a term.

    | type | from |
    |---|---|
    | `int`, `bool`, `bytes`, `Atom`, `Pid` … | that; `bytes` also from a `str` |
    | `float` | a float or an integer |
    | `str` | a UTF-8 binary, a charlist, an atom |
    | `None` | `nil`, `undefined`, `null`, `none` |
    | `list[T]`, `tuple[T, ...]`, `tuple[A, B]` | a list; a tuple of any, or of that size |
    | `set[T]`, `frozenset[T]` | a list, an Elixir MapSet |
    | `dict[K, V]` | a map, a proplist |
    | an Enum | the atom, text or number of a member's value, or the atom of its name in lower case |
    | `Literal`, `Optional`, `Union`, `Annotated`, `NewType` | what fits, tried in order |
    | a dataclass, NamedTuple, TypedDict | a map or Elixir struct, a proplist, a native record; but for a |
    | | TypedDict also a record (its tag first) or a tuple of the fields in order |

    Keys of a map that name no field are ignored; fields with a default may be missing.

    Args:
        term: A term, as `decode` gives it.
        kind: What to make of it.

    Raises:
        MismatchError: The term does not have that shape; its `path` says where.
        TypeError: There is no rule for this type.
    """
    try:
        value: T = _plan(kind)(term)
    except MismatchError as error:
        root = kind.__name__.lower() if has_fields(kind) else "term"
        raise MismatchError(error.args[0], root + error.path) from None
    except RecursionError:
        raise MismatchError("nested too deep for from_term") from None
    return value


def _misfit(expected: str, term: Term) -> NoReturn:
    raise MismatchError(f"expected {expected}, got {_describe(term)}")


_NAMES: Final[dict[type, str]] = {
    Atom: "atom",
    bool: "atom",
    bytes: "binary",
    list: "list",
    tuple: "tuple",
    dict: "map",
    FrozenMap: "map",
    int: "integer",
}


def _describe(term: Term) -> str:
    text = to_text(term, max_chars=_SHOWN_CHARS, max_depth=3)
    if isinstance(term, (Atom, bool)) and not text.startswith("'"):
        text = f"'{text}'"
    name = _NAMES.get(type(term), type(term).__name__)
    return f"{name} {text}"


def _at(step: str, plan: Plan, term: Term) -> Any:
    """Run a plan for a part of a term, and name the part in its error."""
    try:
        return plan(term)
    except MismatchError as error:
        raise MismatchError(error.args[0], step + error.path) from None


def _instance(kind: type, name: str) -> Plan:
    def read(term: Term) -> Any:
        return term if type(term) is kind else _misfit(name, term)

    return read


def _float(term: Term) -> float:
    if type(term) is float:
        return term
    if type(term) is int:
        try:
            return float(term)
        except OverflowError:
            pass
    _misfit("float", term)


def _str(term: Term) -> str:
    try:
        if isinstance(term, (bytes, memoryview)):
            return str(term, "utf-8")
        if isinstance(term, (list, FrozenList)):
            return "".join(map(chr, term))
    except (ValueError, TypeError, OverflowError):
        _misfit("text (a UTF-8 binary, a charlist or an atom)", term)
    if isinstance(term, (Atom, str)):
        return str(term)
    _misfit("text (a UTF-8 binary, a charlist or an atom)", term)


def _bytes(term: Term) -> bytes:
    if isinstance(term, (bytes, bytearray, memoryview)):
        return bytes(term)
    return term.encode() if isinstance(term, str) else _misfit("binary", term)


def _atom(term: Term) -> Atom:
    if type(term) is bool:
        return Atom("true" if term else "false")
    return term if isinstance(term, Atom) else _misfit("atom", term)


def _none(term: Term) -> None:
    if not _is_nothing(term):
        _misfit("nil or undefined", term)


def _is_nothing(term: Term) -> bool:
    return term is None or (isinstance(term, Atom) and term in _NOTHING)


def _anything(term: Term) -> Term:
    return term


_SIMPLE: Final[dict[object, Plan]] = {
    Any: _anything,
    object: _anything,
    int: _instance(int, "integer"),
    bool: _instance(bool, "true or false"),
    float: _float,
    str: _str,
    bytes: _bytes,
    Atom: _atom,
    type(None): _none,
    None: _none,
    **{kind: _instance(kind, kind.__name__) for kind in (Pid, Port, Reference, BitString, Export, Fun)},
    **{kind: _instance(kind, kind.__name__) for kind in (ImproperList, FrozenMap, FrozenList)},
    **{kind: _instance(kind, kind.__name__) for kind in (LocalTerm, NativeRecord)},
}

_plans: dict[object, Plan] = dict(_SIMPLE)


def _plan(kind: Any) -> Plan:
    """The plan of a type, made when it is first asked for."""
    plan = _plans.get(kind)
    if plan is None:
        # A type may contain itself: until its plan is there, the parts of it look it up when they run.
        _plans[kind] = lambda term: _plans[kind](term)
        try:
            plan = _plans[kind] = _make_plan(kind)
        except BaseException:
            del _plans[kind]
            raise
    return plan


def _make_plan(kind: Any) -> Plan:
    if has_fields(kind):
        return _Shape(kind).read
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum(kind)
    alias = getattr(kind, "__supertype__", None) or getattr(kind, "__value__", None)
    if alias is not None:
        return _plan(alias)
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    maker = _GENERIC.get(origin)
    if maker is None:
        raise TypeError(f"from_term has no rule for {kind!r}")
    return maker(arguments)


def _items(term: Term) -> Iterable[Term] | None:
    return term if isinstance(term, (list, FrozenList)) else None


def _list(arguments: tuple[Any, ...]) -> Plan:
    plan = _plan(arguments[0] if arguments else Any)

    def read(term: Term) -> list[Any]:
        items = _items(term)
        if items is None:
            _misfit("list", term)
        return [_at(f"[{index}]", plan, item) for index, item in enumerate(items)]

    return read


_MAP_SET: Final = Atom("Elixir.MapSet")
_MAP: Final = Atom("map")


def _set(make: Callable[[Iterable[Any]], Any]) -> Callable[[tuple[Any, ...]], Plan]:
    def make_plan(arguments: tuple[Any, ...]) -> Plan:
        plan = _plan(arguments[0] if arguments else Any)

        def read(term: Term) -> Any:
            items = _items(term)
            if isinstance(term, dict) and term.get(STRUCT) is _MAP_SET:
                items = term.get(_MAP)
            if items is None:
                _misfit("list or MapSet", term)
            return make([_at(f"[{index}]", plan, item) for index, item in enumerate(items)])

        return read

    return make_plan


def _tuple(arguments: tuple[Any, ...]) -> Plan:
    if not arguments or arguments[-1] is Ellipsis:
        plan = _plan(arguments[0] if arguments else Any)
        return lambda term: (
            tuple(_at(f"[{index}]", plan, item) for index, item in enumerate(term))
            if type(term) is tuple
            else _misfit("tuple", term)
        )
    plans = [_plan(argument) for argument in arguments if argument != ()]

    def read(term: Term) -> tuple[Any, ...]:
        if type(term) is not tuple or len(term) != len(plans):
            _misfit(f"tuple of {len(plans)}", term)
        return tuple(
            _at(f"[{i}]", plan, item) for i, (plan, item) in enumerate(zip(plans, term, strict=True))
        )

    return read


def _entries(term: Term) -> list[tuple[Term, Term]] | None:
    """The entries of a map, or of a proplist, in which a bare atom stands for `{Atom, true}`."""
    if isinstance(term, (dict, FrozenMap)):
        return list(term.items())
    items = _items(term)
    if items is None:
        return None
    entries = [(item, True) if isinstance(item, Atom) else item for item in items]
    return entries if all(type(entry) is tuple and len(entry) == 2 for entry in entries) else None


def _dict(arguments: tuple[Any, ...]) -> Plan:
    key_plan, value_plan = map(_plan, arguments or (Any, Any))

    def read(term: Term) -> dict[Any, Any]:
        entries = _entries(term)
        if entries is None:
            _misfit("map or proplist", term)
        made: dict[Any, Any] = {}
        for key, value in entries:
            shown = to_text(key, max_chars=_SHOWN_CHARS)
            # Of a proplist the first entry with a key counts, as for proplists:get_value/2.
            made.setdefault(_at(f" key {shown}", key_plan, key), _at(f"[{shown}]", value_plan, value))
        return made

    return read


def _union(arguments: tuple[Any, ...]) -> Plan:
    # None first: `nil` is an atom too, and so would be text.
    ordered = sorted(arguments, key=lambda argument: argument is not type(None))
    plans = [_plan(argument) for argument in ordered]
    # Where one type takes the term as it is, no other may convert it.
    kinds = {argument: argument for argument in ordered if argument in _SIMPLE and isinstance(argument, type)}
    names = " or ".join(getattr(argument, "__name__", str(argument)) for argument in arguments)

    def read(term: Term) -> Any:
        if type(term) in kinds:
            return term
        deepest = MismatchError("")
        for plan in plans:
            try:
                return plan(term)
            except MismatchError as error:
                deepest = max(deepest, error, key=lambda one: len(one.path))
        if deepest.path:
            raise deepest
        _misfit(names.replace("NoneType", "nil"), term)

    return read


def _literal(arguments: tuple[Any, ...]) -> Plan:
    def read(term: Term) -> Any:
        for value in arguments:
            if _says(term, value):
                return value
        _misfit(" or ".join(map(repr, arguments)), term)

    return read


def _says(term: Term, value: Any) -> bool:
    """Whether a term stands for a plain value: text may be an atom or a binary."""
    if isinstance(value, str):
        return (isinstance(term, Atom) and term.name == value) or term == value or term == value.encode()
    if value is None:
        return _is_nothing(term)
    return type(term) is type(value) and term == value


def _enum(kind: type[Enum]) -> Plan:
    members = list(kind)

    def read(term: Term) -> Enum:
        for member in members:
            if _says(term, member.value):
                return member
        for member in members:
            if isinstance(term, Atom) and term.name in (member.name, member.name.lower()):
                return member
        _misfit(f"one of {kind.__name__}: {', '.join(str(member.value) for member in members)}", term)

    return read


_GENERIC: Final[dict[object, Callable[[tuple[Any, ...]], Plan]]] = {
    list: _list,
    abc.Sequence: _list,
    abc.Iterable: _list,
    tuple: _tuple,
    set: _set(set),
    frozenset: _set(frozenset),
    dict: _dict,
    abc.Mapping: _dict,
    typing.Union: _union,
    types.UnionType: _union,
    typing.Literal: _literal,
    typing.Annotated: lambda arguments: _plan(arguments[0]),
    typing.Required: lambda arguments: _plan(arguments[0]),
    typing.NotRequired: lambda arguments: _plan(arguments[0]),
}


class _Shape:
    """The plan of a class with fields."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.fields = fields_of(kind)
        self.plans = [_plan(field.type) for field in self.fields]
        self.positional = not typing.is_typeddict(kind)
        self.tag = record_tag(kind)
        self.module = struct_module(kind) if hasattr(kind, "__etf_name__") else None

    def read(self, term: Term) -> Any:
        if type(term) is tuple:
            return self._from_tuple(term)
        if isinstance(term, NativeRecord):
            return self._from_entries(term.fields, term)
        entries = _entries(term)
        if entries is None:
            _misfit(f"{self.kind.__name__} as a map, proplist or record", term)
        return self._from_entries(entries, term)

    def _from_tuple(self, term: tuple[Term, ...]) -> Any:
        tagged = bool(term) and term[0] is self.tag
        values = term[1:] if tagged and len(term) != len(self.fields) else term
        least = sum(not field.optional for field in self.fields)
        if not self.positional or not least <= len(values) <= len(self.fields):
            _misfit(f"record {{{self.tag}, …}} of {len(self.fields)} fields", term)
        return self._make(dict(enumerate(values)), term)

    def _from_entries(self, entries: Iterable[tuple[Term, Term]], term: Term) -> Any:
        named: dict[str, Term] = {}
        for key, value in entries:
            try:
                named.setdefault(_str(key), value)
            except MismatchError:
                continue  # a key that is no text names no field
        module = named.get("__struct__")
        if self.module is not None and module is not None and module is not self.module:
            _misfit(f"struct {self.module}", term)
        places = {index: named[f.term_name] for index, f in enumerate(self.fields) if f.term_name in named}
        return self._make(places, term)

    def _make(self, places: dict[int, Term], term: Term) -> Any:
        values: dict[str, Any] = {}
        for index, (field, plan) in enumerate(zip(self.fields, self.plans, strict=True)):
            if index in places:
                values[field.name] = _at(f".{field.name}", plan, places[index])
            elif not field.optional:
                raise MismatchError(f"missing, in {_describe(term)}", f".{field.name}")
        try:
            return self.kind(**values)
        except (ValueError, TypeError) as error:
            # A class's own check, in __post_init__ perhaps, did not like the values.
            raise MismatchError(str(error)) from error
