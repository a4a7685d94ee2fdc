"""`io_lib:format/2`: what a process elsewhere sends its group leader here is a format and its arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from etf_codec import Term

from ergo_node._io_text import characters, written

SEQUENCE: Final = re.compile(r"~(-?\d+|\*)?(?:\.(-?\d+|\*)?)?(?:\.(\*|.))?([tlkK]*)(.)", re.DOTALL)
"""`~F.P.PadModC`."""

MAX_WIDTH: Final = 10_000
"""Characters one sequence may be padded to: the width is the sender's, the memory ours."""

MAX_TEXT: Final = 4 * 1024 * 1024
"""Characters of one text: six bytes of a format can ask for `MAX_WIDTH` of them."""

DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class FormatError(ValueError):
    """The format and its arguments do not fit: `badarg` in Erlang."""


class Sequence:
    """One control sequence, and the arguments that are left for it."""

    __slots__ = ("_args", "modifiers", "pad", "precision", "width")

    def __init__(self, match: re.Match[str], args: Iterator[Term]) -> None:
        width, precision, pad, self.modifiers, _ = match.groups()
        self._args = args
        self.width = self._number(width)
        self.precision = self._number(precision)
        self.pad = chr(self.integer()) if pad == "*" else pad or " "

    def argument(self) -> Term:
        """Take the next argument."""
        for each in self._args:
            return each
        raise FormatError("the format has more sequences than there are arguments")

    def integer(self) -> int:
        """Take the next argument, an integer."""
        argument = self.argument()
        if not isinstance(argument, int) or isinstance(argument, bool):
            raise FormatError(f"{argument!r} is no integer")
        return argument

    def float(self) -> float:
        """Take the next argument, a float."""
        argument = self.argument()
        if not isinstance(argument, float):
            raise FormatError(f"{argument!r} is no float")
        return argument

    def text(self) -> str:
        """Take the next argument, text."""
        return characters(self.argument(), unicode="t" in self.modifiers)

    def _number(self, given: str | None) -> int | None:
        number = self.integer() if given == "*" else None if given is None else int(given)
        if number is not None and abs(number) > MAX_WIDTH:
            raise FormatError(f"a width of {number} is more than {MAX_WIDTH}")
        return number

    def filled(self, text: str, *, cut: bool = False) -> str:
        """Return the text in the field; what does not fit is stars, or cut off."""
        width = self.width
        if width is None:
            return text
        if len(text) > abs(width):
            return text[: abs(width)] if cut else "*" * abs(width)
        fill = self.pad * (abs(width) - len(text))
        return text + fill if width < 0 else fill + text


Print: TypeAlias = Callable[[Sequence], str]


def _term(pretty: bool, limited: bool) -> Print:
    def write(sequence: Sequence) -> str:
        term = sequence.argument()
        depth = sequence.integer() if limited else -1
        modifiers = sequence.modifiers
        strings = pretty and "l" not in modifiers
        text = written(term, strings=strings, unicode="t" in modifiers, depth=depth)
        return text if pretty else sequence.filled(text)

    return write


def _string(sequence: Sequence) -> str:
    text = sequence.text()
    if sequence.precision is not None:
        text = text[: abs(sequence.precision)].ljust(abs(sequence.precision), sequence.pad)
    return sequence.filled(text, cut=True)


def _character(sequence: Sequence) -> str:
    character = chr(sequence.integer() & (0x1FFFFF if "t" in sequence.modifiers else 0xFF))
    width = sequence.width
    count = abs(width if width is not None else 1) if sequence.precision is None else sequence.precision
    return sequence.filled(character * count)


def _fixed(sequence: Sequence) -> str:
    precision = 6 if sequence.precision is None else sequence.precision
    return sequence.filled(f"{sequence.float():.{max(1, precision)}f}")


def _scientific(sequence: Sequence) -> str:
    return sequence.filled(
        _exponent(sequence.float(), 6 if sequence.precision is None else sequence.precision)
    )


def _exponent(value: float, precision: int) -> str:
    mantissa, exponent = f"{value:.{max(2, precision) - 1}e}".split("e")
    return f"{mantissa}e{int(exponent):+d}"


def _general(sequence: Sequence) -> str:
    value = sequence.float()
    precision = 6 if sequence.precision is None else sequence.precision
    size = abs(value)
    if 0.1 <= size < 10000.0:
        # As io_lib: the exponent of the first digit decides whether the precision covers the whole part.
        exponent = -1 if size < 1 else len(str(int(size))) - 1
        if precision - 1 > exponent or (precision <= 1 and exponent == -1):
            return sequence.filled(f"{value:.{precision - 1 - exponent}f}")
    return sequence.filled(_exponent(value, precision))


def _integer(upper: bool, prefix: bool, given: bool = False) -> Print:
    def write(sequence: Sequence) -> str:
        value = sequence.integer()
        before = characters(sequence.argument()) if given else ""
        base = 10 if sequence.precision is None else sequence.precision
        if not 2 <= base <= len(DIGITS):
            raise FormatError(f"base {base} is not 2 to {len(DIGITS)}")
        if prefix:
            before = f"{base}#"
        digits = _in_base(abs(value), base)
        digits = digits if upper else digits.lower()
        return sequence.filled(f"{'-' if value < 0 else ''}{before}{digits}")

    return write


def _in_base(value: int, base: int) -> str:
    if base == 10 and value.bit_length() < 14_000:
        return str(value)
    digits: list[str] = []
    while value or not digits:
        value, digit = divmod(value, base)
        digits.append(DIGITS[digit])
    return "".join(reversed(digits))


def _ignored(sequence: Sequence) -> str:
    sequence.argument()
    return ""


def _repeated(character: str) -> Print:
    def write(sequence: Sequence) -> str:
        return character * (1 if sequence.width is None else abs(sequence.width))

    return write


PRINT: Final[dict[str, Print]] = {
    "w": _term(False, False),
    "p": _term(True, False),
    "W": _term(False, True),
    "P": _term(True, True),
    "s": _string,
    "c": _character,
    "f": _fixed,
    "e": _scientific,
    "g": _general,
    "b": _integer(False, False),
    "B": _integer(True, False),
    "x": _integer(False, False, given=True),
    "X": _integer(True, False, given=True),
    "+": _integer(False, True),
    "#": _integer(True, True),
    "n": _repeated("\n"),
    "~": _repeated("~"),
    "i": _ignored,
}


def io_format(format: Term, args: Any) -> str:
    """Return the text of a format with its arguments; `~p` does not break lines.

    Args:
        format: a string, a binary or an atom.
        args: the list of arguments.

    Raises:
        FormatError: they do not fit, as `badarg` in Erlang.
    """
    if not isinstance(args, list):
        raise FormatError("the arguments are no list")
    rest = iter(args)
    room = MAX_TEXT

    def printed(match: re.Match[str]) -> str:
        nonlocal room
        write = PRINT.get(match[5])
        if write is None:
            raise FormatError(f"~{match[5]} is no control sequence")
        piece = write(Sequence(match, rest))
        room -= len(piece)
        if room < 0:
            raise FormatError(f"the text is longer than {MAX_TEXT} characters")
        return piece

    try:
        template = characters(format)
        if SEQUENCE.sub("", template).find("~") >= 0:
            raise FormatError("the format ends inside a control sequence")
        text = SEQUENCE.sub(printed, template)
    except (ValueError, OverflowError) as error:
        raise error if isinstance(error, FormatError) else FormatError(str(error)) from error
    if next(rest, None) is not None:
        raise FormatError("there are more arguments than the format has sequences")
    return text
