"""Erlang text into terms: what `file:consult/1` reads, one term of it.

https://www.erlang.org/doc/system/data_types.html
"""

from collections.abc import Callable
from typing import Any, Final

from ._atom import Atom
from ._errors import DecodeError, LimitExceeded, TruncatedError
from ._frozen import FrozenMap, freeze
from ._limits import DEFAULT_LIMITS, Limits
from ._terms import Export, ImproperList, Term
from ._text_binary import parse_binary
from ._text_tokens import Token, Tokens

_BOOLEANS: Final = {"true": True, "false": False}


class _Frame:
    """A container that is being read. `wants` are the marks that may follow an element of it."""

    __slots__ = ("items", "kind", "opened", "wants")

    def __init__(self, kind: str, wants: tuple[str, ...]) -> None:
        self.kind = self.opened = kind
        self.wants = wants
        self.items: list[Term] = []


# How each container goes on after an element, by what opens it; `=>` and `,` alternate in a map.
_WANTS: Final = {"[": (",", "|", "]"), "{": (",", "}"), "#{": ("=>",)}
_CLOSING: Final = {"[": "]", "{": "}", "#{": "}"}


def from_text(text: str, *, limits: Limits = DEFAULT_LIMITS) -> Term:
    r"""Read one term written in Erlang syntax; a final dot is optional, comments are skipped.

    Takes what `file:consult/1` takes, and external funs: `{ok, [16#ff, $a, 2.5], "chars", <<"bin", 5:3>>}`.
    A string becomes a list of its characters' code points, `true` and `false` become `bool`. Pids, ports and
    references have no such syntax.

    Args:
        text: The text of the term.
        limits: Of its depth, number of elements and size of integers.

    Raises:
        TruncatedError: The text ends inside the term.
        LimitExceeded: The term is larger or deeper than the limits.
        DecodeError: It is not a term; `offset` is the index of the character.
    """
    tokens = Tokens(text, limits)
    stack: list[_Frame] = []
    budget = limits.max_elements
    while True:
        token = tokens.next()
        if token.mark in _WANTS:
            if len(stack) >= limits.max_depth:
                raise LimitExceeded(f"nested deeper than max_depth={limits.max_depth}", token.offset)
            frame = _Frame(token.mark, _WANTS[token.mark])
            if not tokens.take(_CLOSING[token.mark]):
                stack.append(frame)
                continue
            value = _close(frame)
        else:
            value = _scalar(token, tokens)
        budget -= 1
        if budget < 0:
            raise LimitExceeded(f"more than max_elements={limits.max_elements} elements", token.offset)
        # A value is there: it may end its container, and that the next one.
        while stack and _ends(stack[-1], value, tokens):
            value = _close(stack.pop())
        if not stack:
            tokens.end()
            return value


def _ends(frame: _Frame, value: Term, tokens: Tokens) -> bool:
    """Put a value into its container, read what follows, and say whether that closes it."""
    frame.items.append(value)
    token = tokens.next()
    if token.kind == "end":
        raise TruncatedError(
            f"the text ends inside what {_CLOSING[frame.opened]!r} would close", token.offset
        )
    if token.mark not in frame.wants:
        expected = " or ".join(f"'{mark}'" for mark in frame.wants)
        raise DecodeError(f"expected {expected} here, not {token}", token.offset)
    if token.mark == "|":
        frame.kind, frame.wants = "|", ("]",)
    elif frame.kind == "#{":
        frame.wants = (",", "}") if token.mark == "=>" else ("=>",)
    return token.mark in ("]", "}")


def _close(frame: _Frame) -> Term:
    items = frame.items
    if frame.kind == "[":
        return items
    if frame.kind == "{":
        return tuple(items)
    if frame.kind == "|":
        return _with_tail(items)
    return _map(items)


def _with_tail(items: list[Term]) -> Term:
    tail = items.pop()
    if isinstance(tail, list):
        return items + tail
    if isinstance(tail, ImproperList):
        return ImproperList((*items, *tail.items), tail.tail)
    return ImproperList(items, tail)


def _map(items: list[Term]) -> Term:
    """A map; of entries with the same key the last one counts, as in Erlang."""
    pairs = [(freeze(key), value) for key, value in zip(items[::2], items[1::2], strict=True)]
    exact = FrozenMap(pairs)
    merged = dict(exact.pairs())
    return merged if len(merged) == len(exact) else exact


def _scalar(token: Token, tokens: Tokens) -> Term:
    read = _SCALARS.get(token.kind)
    if read is None:
        raise DecodeError(f"expected a term here, not {token}", token.offset)
    return read(token, tokens)


def _mark(token: Token, tokens: Tokens) -> Term:
    if token.mark == "<<":
        return parse_binary(tokens)
    if token.mark in ("+", "-"):
        number = tokens.next()
        if number.kind != "number":
            raise DecodeError(f"expected a number after '{token.mark}', not {number}", number.offset)
        return -number.value if token.mark == "-" else number.value
    if token.mark == "<":
        raise DecodeError("a pid has no form in text that could be read: pass it as a term", token.offset)
    raise DecodeError(f"expected a term here, not {token}", token.offset)


def _string(token: Token, tokens: Tokens) -> Term:
    """A string, and those right behind it, which belong to it."""
    text: str = token.value
    while tokens.peek().kind == "string":
        text += tokens.next().value
    return list(map(ord, text))


def _word(token: Token, tokens: Tokens) -> Term:
    if token.value == "fun":
        return _export(tokens)
    if token.value in _BOOLEANS:
        return _BOOLEANS[token.value]
    return _quoted(token, tokens)


def _quoted(token: Token, tokens: Tokens) -> Term:
    if token.value in _BOOLEANS:
        return _BOOLEANS[token.value]
    try:
        return Atom(token.value)
    except ValueError as error:
        raise DecodeError(str(error), token.offset) from None


def _export(tokens: Tokens) -> Export:
    module = tokens.expect("word", "quoted")
    tokens.expect_mark(":")
    function = tokens.expect("word", "quoted")
    tokens.expect_mark("/")
    arity = tokens.expect("number")
    if not isinstance(arity.value, int) or arity.value > 255:
        raise DecodeError("the arity of a fun is 0 to 255", arity.offset)
    return Export(module.value, function.value, arity.value)


_SCALARS: Final[dict[str, Callable[[Token, Tokens], Any]]] = {
    "number": lambda token, _: token.value,
    "string": _string,
    "word": _word,
    "quoted": _quoted,
    "mark": _mark,
    "end": lambda token, _: _ended(token),
}


def _ended(token: Token) -> Term:
    raise TruncatedError("the text ends where a term should be", token.offset)
