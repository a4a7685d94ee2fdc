"""The fields of a class, for those classes that have any: dataclass, NamedTuple, TypedDict.

A dataclass field may carry `metadata={"etf": "name"}`, its name in terms. A class may carry `__etf_name__`:
the tag of its record, or the module of its Elixir struct.
"""

import dataclasses
import re
from typing import Any, Final, NamedTuple, get_type_hints, is_typeddict

from ._atom import Atom

STRUCT: Final = Atom("__struct__")
EXCEPTION: Final = Atom("__exception__")

_WORD_START: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Field(NamedTuple):
    """One field: its name in Python, its name in terms, its type, and whether a term may leave it out."""

    name: str
    term_name: str
    type: Any
    optional: bool


def has_fields(kind: object) -> bool:
    """Whether a type is a dataclass, a NamedTuple or a TypedDict."""
    if not isinstance(kind, type):
        return False
    return dataclasses.is_dataclass(kind) or is_named_tuple(kind) or is_typeddict(kind)


def is_named_tuple(kind: type) -> bool:
    """Whether a class is a NamedTuple."""
    return issubclass(kind, tuple) and hasattr(kind, "_fields") and hasattr(kind, "_field_defaults")


def fields_of(kind: Any) -> list[Field]:
    """The fields of such a class, in order; of a dataclass those that its constructor takes."""
    hints = get_type_hints(kind)
    if is_typeddict(kind):
        return [Field(name, name, hint, name in kind.__optional_keys__) for name, hint in hints.items()]
    if dataclasses.is_dataclass(kind):
        return [
            Field(f.name, str(f.metadata.get("etf", f.name)), hints[f.name], _has_default(f))
            for f in dataclasses.fields(kind)
            if f.init
        ]
    return [Field(name, name, hints.get(name, Any), name in kind._field_defaults) for name in kind._fields]


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def record_tag(kind: type) -> Atom:
    """The tag of a record of this class: `__etf_name__`, or the class's name in Erlang's spelling."""
    return Atom(getattr(kind, "__etf_name__", None) or _WORD_START.sub("_", kind.__name__).lower())


def struct_module(kind: type) -> Atom:
    """The module of an Elixir struct of this class: `__etf_name__`, or the class's name under Elixir."""
    name: str = getattr(kind, "__etf_name__", None) or kind.__name__
    return Atom(name if name.startswith("Elixir.") else f"Elixir.{name}")
