"""The loop that reads terms: with a stack of its own, so that no input exhausts Python's.

It knows the tags that messages are made of; the rest is in `READERS`. Every count is checked against the
bytes that are left before anything of that size is made.
"""

import struct
from collections.abc import Iterator
from itertools import repeat
from math import isfinite
from sys import byteorder
from typing import Any, Final

from . import _tags as tags
from ._containers import OPAQUE, make_list, make_map
from ._errors import LimitExceeded, TruncatedError
from ._limits import Limits
from ._reader import READERS, AtomRefs, Data, Reading, i32, u32
from ._terms import Term

# Below this many elements a loop is as fast as looking for runs of equal tags. One look ahead has a bounded
# width, or alternating runs would cost quadratic time.
_RUN_FROM: Final = 8
_RUN_WINDOW: Final = 4096

# What a container is made into when its elements are there; the others have a function in `OPAQUE`.
_WHOLE: Final = 0
_TUPLE: Final = 1
_LIST: Final = 2
_TAIL: Final = 3
_MAP: Final = 4

_CONTAINERS: Final = frozenset(
    {tags.SMALL_TUPLE_EXT, tags.LARGE_TUPLE_EXT, tags.LIST_EXT, tags.MAP_EXT, *OPAQUE}
)


def read_term(data: Data, pos: int, reading: Reading, refs: AtomRefs) -> tuple[Term, int]:
    """The term at `pos`, and where it ends.

    Longer than a glance because it is the loop: one more call per element would double the time.
    """
    size = len(data)
    limits = reading.limits
    max_depth, budget = limits.max_depth, limits.max_elements
    known, none, plain = reading.utf8, reading.none, reading.convert is None
    stack: list[tuple[Any, ...]] = []
    kind, start = _WHOLE, pos
    items: list[Term] = []
    append = items.append
    pending: Iterator[None] = repeat(None, 1)
    try:
        while True:
            for _ in pending:
                tag = data[pos]
                if tag == 119:  # SMALL_ATOM_UTF8_EXT
                    end = pos + 2 + data[pos + 1]
                    value = known.get(data[pos + 2 : end])
                    if value is None:
                        value, end = READERS[119](data, pos, reading, refs)
                    append(None if value is none else value)
                    pos = end
                elif tag == 97:  # SMALL_INTEGER_EXT
                    append(data[pos + 1])
                    pos += 2
                elif tag == 104:  # SMALL_TUPLE_EXT
                    count = data[pos + 1]
                    budget -= count
                    if budget < 0 or len(stack) >= max_depth:
                        raise _over(budget, limits, pos)
                    if not count:
                        append(())
                        pos += 2
                        continue
                    stack.append((kind, items, append, pending, start))
                    kind, start = _TUPLE, pos
                    items = []
                    append = items.append
                    pending = repeat(None, count)
                    pos += 2
                    break
                elif tag == 109 and plain:  # BINARY_EXT
                    end = pos + 5 + u32(data, pos + 1)[0]
                    append(data[pos + 5 : end])
                    pos = end
                elif tag == 98:  # INTEGER_EXT
                    append(i32(data, pos + 1)[0])
                    pos += 5
                elif tag in _CONTAINERS:
                    opened, count, body = _open(tag, data, pos, limits)
                    budget -= count
                    if budget < 0 or len(stack) >= max_depth:
                        raise _over(budget, limits, pos)
                    if count > size - body:
                        raise TruncatedError(
                            f"{count} elements declared, but the input ends before them", size
                        )
                    stack.append((kind, items, append, pending, start))
                    kind, start, pos = opened, pos, body
                    items = []
                    append = items.append
                    if count >= _RUN_FROM and opened == _LIST and data[pos] in _RUNS:
                        pos = _read_runs(data, pos, count, items)
                        count -= len(items)
                    pending = repeat(None, count)
                    break
                else:
                    value, pos = READERS[tag](data, pos, reading, refs)
                    append(None if value is none else value)
            else:
                if kind == _TUPLE:
                    done: Term = tuple(items)
                elif kind == _LIST:
                    if data[pos] != 106:  # NIL_EXT
                        kind, pending = _TAIL, repeat(None, 1)
                        continue
                    pos += 1
                    done = items
                elif kind == _MAP:
                    done = make_map(items, start, limits)
                elif kind == _WHOLE:
                    break
                elif kind == _TAIL:
                    done = make_list(items)
                else:
                    done = OPAQUE[kind](items, data, start, pos, reading, refs)
                kind, items, append, pending, start = stack.pop()
                append(done)
    except (IndexError, struct.error):
        raise TruncatedError("the input ends within a term", size) from None
    if pos > size:
        raise TruncatedError("the input ends within a term", size)
    return items[0], pos


def _over(budget: int, limits: Limits, offset: int) -> LimitExceeded:
    if budget < 0:
        return LimitExceeded(f"more than max_elements={limits.max_elements} elements", offset)
    return LimitExceeded(f"nested deeper than max_depth={limits.max_depth}", offset)


def _open(tag: int, data: Data, pos: int, limits: Limits) -> tuple[int, int, int]:
    """What kind of container starts here, how many terms it has, and where the first one is."""
    if tag == tags.NEW_FUN_EXT:
        # Size, arity, hash and index are read when the fun is complete; 4 terms precede its variables.
        return tag, 4 + u32(data, pos + 26)[0], pos + 30
    if tag == tags.EXPORT_EXT:
        return tag, 3, pos + 1
    count: int = u32(data, pos + 1)[0]
    if tag == tags.LIST_EXT:
        return _LIST, count, pos + 5
    if tag == tags.MAP_EXT:
        return _MAP, 2 * count, pos + 5
    if tag == tags.RECORD_EXT:
        return tag, 2 + 2 * count, pos + 6
    if count > limits.max_tuple_arity:
        raise LimitExceeded(f"a tuple of {count} elements, max_tuple_arity={limits.max_tuple_arity}", pos)
    return _TUPLE, count, pos + 5


# Runs of elements with one tag and one width are taken at the speed of C.
_RUNS: Final = {97: 2, 98: 5, 70: 9}


def _read_runs(data: Data, pos: int, count: int, items: list[Term]) -> int:
    """Read leading runs of numbers of one kind into `items`, and give the offset behind them."""
    while count >= _RUN_FROM:
        tag = data[pos]
        width = _RUNS.get(tag)
        if width is None:
            return pos
        ahead = bytes(data[pos : pos + min(count, _RUN_WINDOW) * width : width])
        run = len(ahead) - len(ahead.lstrip(tag.to_bytes()))
        if run < _RUN_FROM or pos + run * width > len(data):
            return pos
        end = pos + run * width
        if tag == 97:
            items += data[pos + 1 : end : 2]
        else:
            values = _unpack_run(data, pos, end, width)
            if tag == 70 and not isfinite(sum(values)) and not all(map(isfinite, values)):
                return pos  # the loop will meet the bad one, and say where
            items += values
        pos, count = end, count - run
    return pos


def _unpack_run(data: Data, pos: int, end: int, width: int) -> list[Any]:
    """Numbers of `width - 1` bytes each, big-endian behind their tags."""
    size = width - 1
    raw = bytearray((end - pos) // width * size)
    for place in range(size):
        raw[size - 1 - place if byteorder == "little" else place :: size] = data[
            pos + 1 + place : end : width
        ]
    return memoryview(raw).cast("i" if size == 4 else "d").tolist()
