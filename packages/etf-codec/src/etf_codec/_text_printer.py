"""Terms as Erlang text: what `io:format("~w", [Term])` prints, with binaries that are text shown as text.

Iterative and bounded, so fit for logs: no term is too deep, too large or too strange to print.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, repeat
from typing import Any, Final

from ._atom import Atom
from ._frozen import FrozenList, FrozenMap
from ._identifiers import Pid, Port, Reference
from ._limits import MAX_DEPTH
from ._terms import BitString, Export, Fun, ImproperList, LocalTerm, NativeRecord, Term

MAX_CHARS: Final = 1024 * 1024

# Reserved words, those of OTP 27's `maybe` included: quoted they read the same in every release.
RESERVED: Final = frozenset(
    [
        "after",
        "and",
        "andalso",
        "band",
        "begin",
        "bnot",
        "bor",
        "bsl",
        "bsr",
        "bxor",
        "case",
        "catch",
        "cond",
        "div",
        "else",
        "end",
        "fun",
        "if",
        "let",
        "maybe",
        "not",
        "of",
        "or",
        "orelse",
        "receive",
        "rem",
        "try",
        "when",
        "xor",
    ]
)
_PLAIN_ATOM: Final = re.compile("[a-zß-öø-ÿ][0-9A-Z_a-z@À-ÖØ-öø-ÿ]*")
_PRINTABLE: Final = re.compile(r"[ -~\n\r\t\v\b\f\x1b\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")

# From this size on Python refuses decimal text (4300 digits), as it takes quadratic time; base 16 never does.
_DECIMAL_BITS: Final = 14_000

_ESCAPES: Final = {
    "\\": "\\\\",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\b": "\\b",
    "\f": "\\f",
    "\x1b": "\\e",
    "\x7f": "\\d",
}


def _escaped(text: str, quote: str) -> str:
    table = {**_ESCAPES, quote: "\\" + quote}
    return "".join(
        table.get(char) or (char if char.isprintable() or char == " " else f"\\x{{{ord(char):x}}}")
        for char in text
    )


def _atom(term: Atom, room: int) -> str:
    name = term.name
    if _PLAIN_ATOM.fullmatch(name) and name not in RESERVED:
        return name
    return f"'{_escaped(name, chr(39))}'"


def _integer(term: int, room: int) -> str:
    if term.bit_length() < _DECIMAL_BITS:
        return int.__repr__(term)
    return f"{'-' if term < 0 else ''}16#{abs(term):X}"


def _float(term: float, room: int) -> str:
    """The shortest digits that read back as this float, in OTP's choice of notation (fwrite_g/1)."""
    sign = "-" if str(term)[0] == "-" else ""
    mantissa, _, exponent = f"{abs(term)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    place = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if not digits:
        return sign + "0.0"
    return sign + _place_point(digits, place, abs(term))


# From 2**53 on not every integer is a float, and OTP no longer writes one as if it were.
_EXACT_INTEGERS: Final = 2.0**53


def _place_point(digits: str, place: int, magnitude: float) -> str:
    count = len(digits)
    if 0 < place < count and magnitude < _EXACT_INTEGERS:
        return f"{digits[:place]}.{digits[place:]}"
    scientific = f"{digits[0]}.{digits[1:] or '0'}e{place - 1}"
    if place == 0:
        return f"0.{digits}"
    plain = f"0.{'0' * -place}{digits}" if place < 0 else f"{digits}{'0' * (place - count)}.0"
    return plain if len(plain) <= len(scientific) and magnitude < _EXACT_INTEGERS else scientific


def _binary(term: bytes | bytearray | memoryview, room: int) -> str:
    # One character more than there is room for, so that the cut shows.
    data = bytes(memoryview(term).cast("B")[: room + 1])
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = None
    if text and _PRINTABLE.fullmatch(text):
        return f'<<"{_escaped(text, chr(34))}"{"" if text.isascii() else "/utf8"}>>'
    return f"<<{','.join(map(str, data))}>>"


def _bit_string(term: BitString, room: int) -> str:
    *whole, last = term.data[: room + 1]
    return f"<<{','.join([*map(str, whole), f'{last >> 8 - term.bits}:{term.bits}'])}>>"


def _text(term: str, room: int) -> str:
    return _binary(term[: room + 1].encode("utf-8", "surrogatepass"), room)


def _export(term: Export, room: int) -> str:
    return f"fun {_atom(term.module, room)}:{_atom(term.function, room)}/{term.arity}"


_SCALARS: Final[dict[type, Callable[[Any, int], str]]] = {
    Atom: _atom,
    bool: lambda term, _: "true" if term else "false",
    int: _integer,
    float: _float,
    bytes: _binary,
    bytearray: _binary,
    memoryview: _binary,
    str: _text,
    BitString: _bit_string,
    Pid: lambda term, _: f"<0.{term.id}.{term.serial}>",
    Port: lambda term, _: f"#Port<0.{term.id}>",
    Reference: lambda term, _: f"#Ref<0.{'.'.join(map(str, reversed(term.ids)))}>",
    Export: _export,
    Fun: lambda term, room: f"#Fun<{_atom(term.module, room)}.{term.old_index}.{term.old_uniq}>",
    LocalTerm: lambda term, _: f"#Local<{len(term.data)} bytes>",
}

# The opening, the elements each with what is before it, and the closing.
_Layout = tuple[str, Iterator[tuple[str, Term]], str]


def _commas(items: Iterable[Term]) -> Iterator[tuple[str, Term]]:
    return zip(chain(("",), repeat(",")), items)  # noqa: B905  # the commas never end


def _pairs(entries: Iterable[tuple[Term, Term]], arrow: str) -> Iterator[tuple[str, Term]]:
    for comma, (key, value) in _commas(entries):
        yield comma, key
        yield arrow, value


def _improper(term: ImproperList) -> _Layout:
    return "[", chain(_commas(term.items), (("|", term.tail),)), "]"


def _map(term: Mapping[Term, Term]) -> _Layout:
    return "#{", _pairs(term.items(), " => "), "}"


def _record(term: NativeRecord) -> _Layout:
    return f"#{_atom(term.module, 0)}:{_atom(term.name, 0)}{{", _pairs(term.fields, " = "), "}"


_CONTAINERS: Final[dict[type, Callable[[Any], _Layout]]] = {
    tuple: lambda term: ("{", _commas(term), "}"),
    list: lambda term: ("[", _commas(term), "]"),
    FrozenList: lambda term: ("[", _commas(term), "]"),
    ImproperList: _improper,
    dict: _map,
    FrozenMap: _map,
    NativeRecord: _record,
}


def _kind(item: object) -> type:
    """The class that a value counts as; its own if it is no term."""
    for cls in type(item).__mro__:
        if cls in _SCALARS or cls in _CONTAINERS:
            return cls
    return type(item)


def to_text(term: Term, *, max_chars: int = MAX_CHARS, max_depth: int = MAX_DEPTH) -> str:
    r"""Print a term in Erlang syntax, on one line.

    As `~w`, but for these: a binary that is printable UTF-8 is shown as text, `<<"a">>` or `<<"é"/utf8>>`; an
    integer of more than some 4200 digits is in base 16; the first number of a pid, port or reference is
    always 0, since what `~w` prints there has a meaning in one running node only. A value that is not a term
    is shown as `#Python<its class>`: this function never raises.

    Args:
        term: Any value.
        max_chars: Where to cut; `...` then follows.
        max_depth: Containers nested deeper are shown as `...`.
    """
    pieces: list[str] = []
    room = max_chars
    stack: list[tuple[Iterator[tuple[str, Term]], str]] = []
    pending: Iterator[tuple[str, Term]] = iter((("", term),))
    closing = ""
    while room >= 0:
        for before, item in pending:
            cls = _kind(item)
            opened = cls in _CONTAINERS and len(stack) < max_depth
            if opened:
                stack.append((pending, closing))
                opening, pending, closing = _CONTAINERS[cls](item)
                piece = before + opening
            elif cls in _SCALARS:
                piece = before + _SCALARS[cls](item, room)
            else:
                piece = before + ("..." if cls in _CONTAINERS else f"#Python<{cls.__name__}>")
            pieces.append(piece)
            room -= len(piece)
            if opened or room < 0:
                break
        else:
            pieces.append(closing)
            room -= len(closing)
            if not stack:
                break
            pending, closing = stack.pop()
    text = "".join(pieces)
    return text if len(text) <= max_chars else text[:max_chars] + "..."
