"""Erlang text into tokens: words, numbers, strings, marks.

https://www.erlang.org/doc/system/data_types.html#escape-sequences
"""

import re
from math import isfinite
from typing import Any, Final

from ._errors import DecodeError, LimitExceeded, TruncatedError
from ._limits import Limits

_BLANK: Final = re.compile(r"(?:\s++|%[^\n]*+)*+")
_TOKEN: Final = re.compile(
    r"""
    (?P<float>[0-9]++(?:_[0-9]++)*+\.[0-9]++(?:_[0-9]++)*+(?:[eE][+-]?[0-9]++)?)
    | (?P<based>[0-9]{1,2}\#[0-9A-Za-z]++(?:_[0-9A-Za-z]++)*+)
    | (?P<integer>[0-9]++(?:_[0-9]++)*+)
    | (?P<character>\$(?:\\(?:x\{[0-9a-fA-F]+\}|x[0-9a-fA-F]{2}|[0-7]{1,3}|\^.|.)|.))
    | (?P<string>"[^"\\]*+(?:\\.[^"\\]*+)*+")
    | (?P<quoted>'[^'\\]*+(?:\\.[^'\\]*+)*+')
    | (?P<word>[a-zß-öø-ÿ][0-9A-Z_a-z@À-ÖØ-öø-ÿ]*+)
    | (?P<mark><<|>>|=>|\#\{|[][{}|,.:/+<-])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(?:x\{([0-9a-fA-F]+)\}|x([0-9a-fA-F]{2})|([0-7]{1,3})|\^(.)|(.))", re.DOTALL)
_NAMED: Final = {
    "b": "\b",
    "d": "\x7f",
    "e": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "s": " ",
    "t": "\t",
    "v": "\v",
}

# Python's own limit for decimal text, which takes quadratic time; bases that are powers of two have none.
_MAX_DIGITS: Final = 4300


class Token:
    """One token: its kind, its value, and where it starts. `mark` is the text of a mark, "" for others."""

    __slots__ = ("kind", "mark", "offset", "value")

    def __init__(self, kind: str, value: Any, offset: int) -> None:
        self.kind = kind
        self.value = value
        self.offset = offset
        self.mark: str = value if kind == "mark" else ""

    def __str__(self) -> str:
        if self.kind == "end":
            return "the end of the text"
        return f"'{self.mark}'" if self.mark else f"a {self.kind}"


class Tokens:
    """The tokens of a text, one after the other, with a look at the next one."""

    def __init__(self, text: str, limits: Limits) -> None:
        self._text = text
        self.limits = limits
        self._pos = 0
        self._ahead: Token | None = None

    def peek(self) -> Token:
        """The next token, left in place."""
        if self._ahead is None:
            self._ahead = self._read()
        return self._ahead

    def next(self) -> Token:
        """The next token; one of kind `end` where there are no more."""
        token = self.peek()
        self._ahead = None
        return token

    def take(self, mark: str) -> bool:
        """Whether the next token is this mark, which is then consumed."""
        if self.peek().mark == mark:
            self._ahead = None
            return True
        return False

    def expect(self, *kinds: str) -> Token:
        """The next token, which must be of one of these kinds."""
        token = self.next()
        if token.kind not in kinds:
            raise self._unexpected(token, " or ".join(f"a {kind}" for kind in kinds))
        return token

    def expect_mark(self, mark: str) -> None:
        """Consume this mark."""
        token = self.next()
        if token.mark != mark:
            raise self._unexpected(token, f"'{mark}'")

    def end(self) -> None:
        """Check that nothing follows but a final dot."""
        self.take(".")
        token = self.next()
        if token.kind != "end":
            raise DecodeError(f"expected the end of the term, not {token}", token.offset)

    def _unexpected(self, token: Token, wanted: str) -> DecodeError:
        if token.kind == "end":
            return TruncatedError(f"the text ends where {wanted} should be", token.offset)
        return DecodeError(f"expected {wanted} here, not {token}", token.offset)

    def _read(self) -> Token:
        blank = _BLANK.match(self._text, self._pos)
        start = self._pos if blank is None else blank.end()
        match = _TOKEN.match(self._text, start)
        if match is None:
            self._pos = start
            if start == len(self._text):
                return Token("end", None, start)
            character = self._text[start]
            if character in "\"'$":
                raise TruncatedError("the text ends inside quotes", start)
            raise DecodeError(f"no token of Erlang starts with {character!r}", start)
        self._pos = match.end()
        kind = match.lastgroup or ""
        text = match.group()
        if kind in ("word", "mark"):
            return Token(kind, text, start)
        if kind in ("string", "quoted"):
            return Token(kind, _unescape(text[1:-1], start), start)
        return Token("number", self._number(kind, text, start), start)

    def _number(self, kind: str, text: str, start: int) -> int | float:
        if kind == "character":
            return ord(_unescape(text[1:], start))
        text = text.replace("_", "")
        if kind == "float":
            value = float(text)
            if not isfinite(value):
                raise DecodeError("a float that is out of range", start)
            return value
        base, _, digits = text.rpartition("#")
        radix = int(base or 10)
        if not 2 <= radix <= 36:
            raise DecodeError(f"a base is 2 to 36, not {radix}", start)
        linear = radix & (radix - 1) == 0
        bits = len(digits) * (radix - 1).bit_length()
        if bits > 8 * self.limits.max_bigint_bytes or not (linear or len(digits) <= _MAX_DIGITS):
            advice = "" if linear else f"; beyond {_MAX_DIGITS} digits write base 16"
            raise LimitExceeded(f"an integer of {len(digits)} digits{advice}", start)
        try:
            return int(digits, radix)
        except ValueError:
            raise DecodeError(f"not the digits of a number in base {radix}", start) from None


def _unescape(text: str, offset: int) -> str:
    """A text with its escape sequences read."""
    if "\\" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        long, short, octal, control, other = match.groups()
        if long or short:
            code = int(long or short, 16)
            if code > 0x10FFFF:
                raise DecodeError(f"no character has the code point {code:#x}", offset)
            return chr(code)
        if octal:
            return chr(int(octal, 8))
        if control:
            return chr(ord(control) & 31)
        return _NAMED.get(other, other)

    return _ESCAPE.sub(replace, text)
