"""Python values into terms: `to_term(order, "record")`."""

import dataclasses
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Literal

from ._atom import Atom
from ._errors import MismatchError
from ._struct_fields import EXCEPTION, STRUCT, Field, fields_of, is_named_tuple, record_tag, struct_module
from ._terms import Term

Form = Literal["map", "tuple", "record", "proplist", "struct"]


def to_term(value: Any, as_: Form = "map") -> Term:
    """Make a term of a Python value, the opposite of `from_term`.

    Dataclasses and NamedTuples, at every level, take the form `as_`. An Enum becomes its value, as an atom if
    that is text; a set becomes a list; terms stay what they are.

    Args:
        value: A value.
        as_: `"map"` with atoms as keys; `"tuple"` of the fields in order; `"record"`, the same behind a tag;
            `"proplist"`; `"struct"`, an Elixir struct or exception.

    Raises:
        MismatchError: The value contains itself.
        ValueError: There is no such form.
    """
    form = _FORMS.get(as_)
    if form is None:
        raise ValueError(f"as_ is one of {', '.join(_FORMS)}, not {as_!r}")
    try:
        return _convert(value, form)
    except RecursionError:
        raise MismatchError("nested too deep for to_term: does the value contain itself?") from None


_Entries = list[tuple[Atom, Term]]
_Maker = Callable[[type, _Entries], Term]


def _struct(kind: type, entries: _Entries) -> Term:
    struct: dict[Term, Term] = {STRUCT: struct_module(kind)}
    if issubclass(kind, BaseException):
        struct[EXCEPTION] = True
    return {**struct, **dict(entries)}


_FORMS: Final[dict[str, _Maker]] = {
    "map": lambda _, entries: dict(entries),
    "tuple": lambda _, entries: tuple(value for _, value in entries),
    "record": lambda kind, entries: (record_tag(kind), *(value for _, value in entries)),
    "proplist": lambda _, entries: entries,
    "struct": _struct,
}


_fields: dict[type, list[Field]] = {}


def _convert(value: Any, form: _Maker) -> Term:
    kind = type(value)
    if dataclasses.is_dataclass(kind) or is_named_tuple(kind):
        fields = _fields.get(kind)
        if fields is None:
            fields = _fields[kind] = fields_of(kind)
        entries = [(Atom(field.term_name), _convert(getattr(value, field.name), form)) for field in fields]
        return form(kind, entries)
    if isinstance(value, Enum):
        return Atom(value.value) if isinstance(value.value, str) else _convert(value.value, form)
    if isinstance(value, dict):
        return {_convert(key, form): _convert(item, form) for key, item in value.items()}
    if isinstance(value, (list, set, frozenset)):
        return [_convert(item, form) for item in value]
    return tuple(_convert(item, form) for item in value) if isinstance(value, tuple) else value
