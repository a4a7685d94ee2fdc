"""Terms into what JSON has, for eyes and for `jq`: atoms become text, tuples arrays. There is no way back."""

from collections.abc import Callable
from typing import Any, Final

from ._atom import Atom
from ._errors import MismatchError
from ._frozen import FrozenList, FrozenMap
from ._terms import ImproperList, Term
from ._text_printer import to_text

_NULL: Final = frozenset({"nil", "null", "undefined"})


def to_json(term: Term) -> Any:
    """What stands for a term in JSON; for one that JSON has nothing like, its Erlang text.

    Raises:
        MismatchError: Two keys of a map become one.
    """
    convert = _RULES.get(type(term))
    return to_text(term) if convert is None else convert(term)


def _items(items: Any) -> list[Any]:
    return [to_json(item) for item in items]


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return to_text(data)


def _map(term: dict[Term, Term] | FrozenMap) -> dict[str, Any]:
    made = {}
    for key, value in term.items():
        name = to_json(key) if isinstance(key, (Atom, bytes, str)) else to_text(key)
        made["null" if name is None else str(name)] = to_json(value)
    if len(made) != len(term):
        raise MismatchError("two keys of a map become one in JSON: print it as text")
    return made


_RULES: Final[dict[type, Callable[[Any], Any]]] = {
    int: lambda term: term if term.bit_length() < 14_000 else to_text(term),
    float: lambda term: term,
    bool: lambda term: term,
    str: lambda term: term,
    bytes: _text,
    Atom: lambda term: None if term.name in _NULL else term.name,
    list: _items,
    tuple: _items,
    FrozenList: _items,
    ImproperList: lambda term: to_text(term),
    dict: _map,
    FrozenMap: _map,
}
