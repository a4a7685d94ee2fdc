"""The bit syntax in text: `<<1, 2:16/little, "abc", "é"/utf8, 2.5:32/float, 5:3>>`.

https://www.erlang.org/doc/system/bit_syntax.html
"""

import struct
from collections.abc import Callable
from typing import Final

from ._errors import DecodeError, LimitExceeded
from ._terms import BitString
from ._text_tokens import Token, Tokens

_ENCODINGS: Final = {
    ("utf8", "big"): "utf-8",
    ("utf8", "little"): "utf-8",
    ("utf16", "big"): "utf-16-be",
    ("utf16", "little"): "utf-16-le",
    ("utf32", "big"): "utf-32-be",
    ("utf32", "little"): "utf-32-le",
}
_FLOATS: Final = {16: "e", 32: "f", 64: "d"}
_TYPES: Final = frozenset({"integer", "float", "utf8", "utf16", "utf32"})
_ORDERS: Final = frozenset({"big", "little"})
_SIGNS: Final = frozenset({"signed", "unsigned"})


class _Bits:
    """Bits in the making: whole bytes, and up to seven bits behind them."""

    def __init__(self, max_bits: int) -> None:
        self._whole = bytearray()
        self._rest = 0
        self._rest_bits = 0
        self._max_bits = max_bits

    def add(self, value: int, size: int, offset: int) -> None:
        """Append the lowest `size` bits of an integer."""
        if 8 * len(self._whole) + size > self._max_bits:
            raise LimitExceeded(f"a binary of more than {self._max_bits // 8} bytes", offset)
        bits = self._rest_bits + size
        joined = (self._rest << size) | (value & ((1 << size) - 1))
        self._rest_bits = bits % 8
        self._whole += (joined >> self._rest_bits).to_bytes(bits // 8)
        self._rest = joined & ((1 << self._rest_bits) - 1)

    def finish(self) -> bytes | BitString:
        if not self._rest_bits:
            return bytes(self._whole)
        last = self._rest << (8 - self._rest_bits)
        return BitString(bytes(self._whole) + last.to_bytes(), self._rest_bits)


def parse_binary(tokens: Tokens) -> bytes | BitString:
    """Read the segments behind `<<`, and the `>>`.

    Raises:
        DecodeError: A segment is not one that text can hold.
    """
    bits = _Bits(8 * tokens.limits.max_bigint_bytes)
    if tokens.take(">>"):
        return bits.finish()
    while True:
        _segment(tokens, bits)
        if tokens.take(">>"):
            return bits.finish()
        tokens.expect_mark(",")


def _segment(tokens: Tokens, bits: _Bits) -> None:
    token = tokens.next()
    negative = token.mark == "-"
    if negative:
        token = tokens.expect("number")
    if token.kind not in ("number", "string"):
        raise DecodeError(f"expected a number or a string in a binary, not {token}", token.offset)
    size = _size(tokens) if tokens.take(":") else None
    kind, order = _specifiers(tokens, token)
    values = (
        list(map(ord, token.value)) if token.kind == "string" else [-token.value if negative else token.value]
    )
    for value in values:
        number, width = _FIELDS[kind](value, size, order, token)
        bits.add(number, width, token.offset)


def _size(tokens: Tokens) -> int:
    token = tokens.expect("number")
    if not isinstance(token.value, int):
        raise DecodeError("the size of a segment is an integer", token.offset)
    if token.value > 8 * tokens.limits.max_bigint_bytes:
        raise LimitExceeded(f"a segment of more than {tokens.limits.max_bigint_bytes} bytes", token.offset)
    return token.value


def _specifiers(tokens: Tokens, token: Token) -> tuple[str, str]:
    """The type and the byte order of a segment."""
    kind, order = "integer", "big"
    if not tokens.take("/"):
        return kind, order
    while True:
        word = tokens.expect("word")
        if word.value in _TYPES:
            kind = word.value
        elif word.value in _ORDERS:
            order = word.value
        elif word.value not in _SIGNS:
            raise DecodeError(f"a segment in text cannot be of type {word.value}", word.offset)
        if not tokens.take("-"):
            return kind, order


def _swapped(number: int, width: int, order: str, token: Token) -> tuple[int, int]:
    if order == "big" or width <= 8:
        return number, width
    if width % 8:
        raise DecodeError("a little-endian segment has whole bytes here", token.offset)
    masked = number & ((1 << width) - 1)
    return int.from_bytes(masked.to_bytes(width // 8, "little")), width


def _integer(value: int | float, size: int | None, order: str, token: Token) -> tuple[int, int]:
    if not isinstance(value, int):
        raise DecodeError("a float in a binary has the type /float", token.offset)
    return _swapped(value, 8 if size is None else size, order, token)


def _float(value: int | float, size: int | None, order: str, token: Token) -> tuple[int, int]:
    width = 64 if size is None else size
    if width not in _FLOATS:
        raise DecodeError(f"a float has 16, 32 or 64 bits, not {width}", token.offset)
    try:
        packed = struct.pack(">" + _FLOATS[width], value)
    except (OverflowError, struct.error):
        raise DecodeError(f"a number too large for a float of {width} bits", token.offset) from None
    return _swapped(int.from_bytes(packed), width, order, token)


def _utf(kind: str) -> Callable[[int | float, int | None, str, Token], tuple[int, int]]:
    def field(value: int | float, size: int | None, order: str, token: Token) -> tuple[int, int]:
        try:
            if size is not None or not isinstance(value, int):
                raise ValueError
            data = chr(value).encode(_ENCODINGS[kind, order])
        except (ValueError, OverflowError):
            raise DecodeError(
                f"a segment of type {kind} is a character, without a size", token.offset
            ) from None
        return int.from_bytes(data), 8 * len(data)

    return field


_FIELDS: Final = {
    "integer": _integer,
    "float": _float,
    "utf8": _utf("utf8"),
    "utf16": _utf("utf16"),
    "utf32": _utf("utf32"),
}
