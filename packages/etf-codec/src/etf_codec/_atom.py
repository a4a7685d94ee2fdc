"""Atoms: Erlang's names. One object per name at any time, and none kept that nobody uses."""

import weakref
from typing import Any, Final, NoReturn, final

MAX_ATOM_CHARACTERS: Final = 255  # OTP's MAX_ATOM_CHARACTERS: characters, not bytes


class _AtomReference(weakref.ref["Atom"]):
    """A weak entry of the atom table that knows which name to forget."""

    __slots__ = ("name",)
    name: str


# Peers choose atoms, so the table must not keep them alive: an atom leaves it with its last user.
_table: dict[str, _AtomReference] = {}

# The standard library's own remedy for the race between a dying value and a new one of the same key:
# it deletes the entry only if its referent is dead, atomically. Only WeakValueDictionary exposes it.
_remove_if_dead: Any = vars(weakref)["_remove_dead_weakref"]


def _forget(entry: weakref.ref["Atom"]) -> None:
    assert isinstance(entry, _AtomReference)
    _remove_if_dead(_table, entry.name)


@final
class Atom:
    """An atom, `ok` or `'hello world'`: equal only to the atom of the same name, never to a `str`.

    There is one object per name, so atoms may be compared with `is`, and equality and hashing cost
    what they cost for plain objects. In a pattern: `case Atom("ok")`. `str(atom)` is the name.

    Attributes:
        name: The text.
        wire: The external form without version byte, SMALL_ATOM_UTF8_EXT or ATOM_UTF8_EXT.

    Args:
        name: At most 255 characters; any but lone surrogates, NUL and none at all included.

    Raises:
        ValueError: The name is longer, or cannot be written as UTF-8.
        TypeError: The name is not a `str`.
    """

    __slots__ = ("__weakref__", "name", "wire")
    __match_args__ = ("name",)

    name: str
    wire: bytes

    def __new__(cls, name: str) -> "Atom":
        entry = _table.get(name)
        if entry is not None:
            atom = entry()
            if atom is not None:
                return atom
        return _enter(name)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"an atom is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"an atom is immutable: cannot delete {name!r}")

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Atom({self.name!r})"

    def __reduce__(self) -> tuple[type["Atom"], tuple[str]]:
        return Atom, (self.name,)


_set_name = vars(Atom)["name"].__set__
_set_wire = vars(Atom)["wire"].__set__


def _enter(name: str) -> Atom:
    """The atom of this name, made now unless another thread is quicker."""
    if name.__class__ is not str:
        if not isinstance(name, str):
            raise TypeError(f"the name of an atom is a str, not {type(name).__name__}")
        name = str.__str__(name)
    atom = object.__new__(Atom)
    _set_name(atom, name)
    _set_wire(atom, _wire(name))
    entry = _AtomReference(atom, _forget)
    entry.name = name
    while True:
        current = _table.setdefault(name, entry)
        if current is entry:
            return atom
        alive = current()
        if alive is not None:
            return alive
        _remove_if_dead(_table, name)


def _wire(name: str) -> bytes:
    if len(name) > MAX_ATOM_CHARACTERS:
        raise ValueError(f"an atom has at most {MAX_ATOM_CHARACTERS} characters, not {len(name)}")
    try:
        text = name.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"an atom cannot hold a lone surrogate: {name!r}") from error
    size = len(text)
    return b"w" + size.to_bytes() + text if size < 256 else b"v" + size.to_bytes(2) + text
