"""Terms as `~w` and `~p` of `io_lib` print them, and text from what Erlang takes for text (`unicode`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from etf_codec import Atom, FrozenList, FrozenMap, ImproperList, Term, to_text

MAX_DEPTH: Final = 100
"""Containers nested deeper are printed as `...`: text is for people."""

PRINTABLE: Final = re.compile(r"[ -~\n\r\t\v\b\f\x1b\xa0-\xff]+")
"""What `io_lib:printable_latin1_list/1` accepts: `~p` shows such lists and binaries as text."""

BEYOND_LATIN1: Final = re.compile(r"[\u0100-\ud7ff\ue000-\ufffc\U00010000-\U0010ffff]")

ESCAPES: Final = {
    "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\b": "\\b", "\f": "\\f", "\x1b": "\\e",
    '"': '\\"', "\\": "\\\\",
}  # fmt: skip

Map = Mapping[Term, Term]


def characters(term: Term, *, unicode: bool = True) -> str:
    """Return the text of a string, a binary, an atom, or lists of such, nested (`unicode:chardata()`).

    Args:
        term: what Erlang takes for text.
        unicode: whether bytes are UTF-8; else Latin-1.

    Raises:
        ValueError: it is no text.
    """
    if isinstance(term, Atom):
        return term.name
    pieces: list[str] = []
    pending: list[Term] = [term]
    while pending:
        item = pending.pop()
        if isinstance(item, bool):
            raise ValueError(f"{item} is no text")
        if isinstance(item, int):
            pieces.append(chr(item))
        elif isinstance(item, bytes):
            pieces.append(item.decode() if unicode else item.decode("latin-1"))
        elif isinstance(item, list | FrozenList):
            pending.extend(reversed(item))
        elif isinstance(item, ImproperList):
            pending.append(item.tail)
            pending.extend(reversed(item.items))
        else:
            raise ValueError(f"{to_text(item, max_chars=80)} is no text")
    return "".join(pieces)


def written(term: Term, *, strings: bool = False, unicode: bool = False, depth: int = -1) -> str:
    """Return a term as `~w` prints it; as `~p`, on one line, if strings are shown as text.

    Args:
        term: any term.
        strings: show printable lists and binaries as text.
        unicode: as the modifier `t`.
        depth: as the extra argument of `~W` and `~P`; negative for no limit.
    """
    return _Writer(strings, unicode).write(term, depth, MAX_DEPTH)


class _Writer:
    def __init__(self, strings: bool, unicode: bool) -> None:
        self._strings = strings
        self._unicode = unicode

    def write(self, term: Term, depth: int, room: int) -> str:
        if depth == 0 or room == 0:
            return "..."
        if isinstance(term, bytes):
            return self._binary(term)
        if isinstance(term, tuple):
            return f"{{{self._items(term, depth, room, ',...')}}}"
        if isinstance(term, list | FrozenList):
            return self._list(list(term), depth, room)
        if isinstance(term, ImproperList):
            items = self._items(term.items, depth, room, "|...")
            return f"[{items}|{self.write(term.tail, depth - 1, room - 1)}]"
        if isinstance(term, dict | FrozenMap):
            return f"#{{{self._pairs(term, depth, room)}}}"
        return to_text(term)

    def _list(self, term: list[Term], depth: int, room: int) -> str:
        if self._strings and term and all(type(each) is int and 0 <= each < 256 for each in term):
            text = characters(term)
            if PRINTABLE.fullmatch(text):
                return f'"{_escaped(text)}"'
        return f"[{self._items(term, depth, room, '|...')}]"

    def _binary(self, term: bytes) -> str:
        if self._strings and term:
            if self._unicode and not term.isascii():
                text = term.decode(errors="replace")
                if "\ufffd" not in text and PRINTABLE.fullmatch(BEYOND_LATIN1.sub("", text) or " "):
                    return f'<<"{_escaped(text)}"/utf8>>'
            text = term.decode("latin-1")
            if PRINTABLE.fullmatch(text):
                return f'<<"{_escaped(text)}">>'
        return f"<<{','.join(map(str, term))}>>"

    def _items(self, items: Iterable[Term], depth: int, room: int, rest: str) -> str:
        pieces: list[str] = []
        for item in items:
            depth -= 1
            if depth == 0 and pieces:
                return ",".join(pieces) + rest
            pieces.append(self.write(item, depth, room - 1))
        return ",".join(pieces)

    def _pairs(self, items: Map, depth: int, room: int) -> str:
        pieces: list[str] = []
        for key, value in items.items():
            depth -= 1
            if depth == 0:
                pieces.append("...")
                break
            pieces.append(f"{self.write(key, depth, room - 1)} => {self.write(value, depth, room - 1)}")
        return ",".join(pieces)


def _escaped(text: str) -> str:
    return "".join(ESCAPES.get(character, character) for character in text)
