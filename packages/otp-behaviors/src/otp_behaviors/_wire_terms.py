"""Python values as terms, for answers that show a state to another node: any object may be in one."""

from __future__ import annotations

from collections.abc import Mapping, Set
from reprlib import Repr
from typing import Any, Final

from etf_codec import Atom, EncodeError, Term, encode

MAX_DEPTH: Final = 100
"""Containers nested deeper are shown as text."""

KEY_DEPTH: Final = 3
"""The same in keys, which have to be short to be of use."""

MAX_ITEMS: Final = 20_000
"""Items converted of one value; what comes after is left out. Containers that hold themselves have no end."""

UNDEFINED: Final = Atom("undefined")

_repr: Final = Repr()
_repr.maxlevel = 4
_repr.maxstring = _repr.maxother = 200


def as_term(value: Any) -> Term:
    """Return the value as it is if it has an external form, else a copy with `repr` text where it has none.

    None becomes `undefined`, a set a list.
    """
    return value if _has_form(value) else _Conversion().convert(value, MAX_DEPTH)


def _has_form(value: Any) -> bool:
    try:
        encode(value)
    except (EncodeError, RecursionError):
        return False
    return True


class _Conversion:
    def __init__(self) -> None:
        self._room = MAX_ITEMS

    def convert(self, value: Any, depth: int) -> Term:
        if value is None:
            return UNDEFINED
        if not isinstance(value, tuple | list | Set | Mapping):
            return value if _has_form(value) else _text(value)
        if depth == 0:
            return _text(value)
        if isinstance(value, tuple):
            return tuple(self._items(value, depth))
        if isinstance(value, list | Set):
            return self._items(value, depth)
        keys = self._items(value.keys(), KEY_DEPTH)
        return dict(zip(map(_hashable, keys), self._items(value.values(), depth), strict=False))

    def _items(self, values: Any, depth: int) -> list[Term]:
        items: list[Term] = []
        for value in values:
            if self._room == 0:
                break
            self._room -= 1
            items.append(self.convert(value, depth - 1))
        return items


def _hashable(key: Term) -> Term:
    try:
        hash(key)
    except TypeError:
        return _text(key)
    return key


def _text(value: Any) -> bytes:
    try:
        return _repr.repr(value).encode(errors="replace")
    except Exception as error:
        return f"<{type(value).__name__} whose repr raises {type(error).__name__}>".encode()
