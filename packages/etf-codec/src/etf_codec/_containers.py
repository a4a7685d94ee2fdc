"""Elements into containers: what becomes of a list, a map, a fun or a record when its elements are there."""

from collections.abc import Callable
from struct import unpack_from
from typing import Final

from . import _tags as tags
from ._errors import DecodeError, LimitExceeded
from ._frozen import FrozenMap, freeze
from ._identifiers import Pid
from ._limits import Limits
from ._reader import AtomRefs, Data, Reading, as_atom, u32
from ._terms import Export, Fun, ImproperList, NativeRecord, Term


def make_list(items: list[Term]) -> Term:
    """A list whose last item is its tail."""
    tail = items.pop()
    if tail.__class__ is list:
        return items + tail
    if tail.__class__ is ImproperList:
        return ImproperList((*items, *tail.items), tail.tail)
    return ImproperList(items, tail) if items else tail


def make_map(items: list[Term], start: int, limits: Limits) -> Term:
    """A dict; a FrozenMap where Python would merge keys that Erlang tells apart."""
    keys, values = items[::2], items[1::2]
    try:
        try:
            if len(keys) > limits.max_key_collisions:
                _check_collisions(keys, start, limits)
            made = dict(zip(keys, values, strict=True))
        except TypeError:
            keys = [freeze(key) for key in keys]
            _check_collisions(keys, start, limits)
            made = dict(zip(keys, values, strict=True))
        if len(made) == len(keys):
            return made
        frozen = FrozenMap(zip(keys, values, strict=True))
    except RecursionError:
        raise LimitExceeded("the keys of a map are nested too deep to compare", start) from None
    if len(frozen) != len(keys):
        raise DecodeError("a map with the same key twice", start)
    return frozen


def _check_collisions(keys: list[Term], start: int, limits: Limits) -> None:
    """Refuse keys made to share their hash: each further one would cost a comparison with all before it."""
    if len(keys) - len(set(map(hash, keys))) > limits.max_key_collisions:
        raise LimitExceeded(
            f"more than max_key_collisions={limits.max_key_collisions} keys share a hash", start
        )


def _wire(data: Data, start: int, end: int, refs: AtomRefs) -> bytes | None:
    """The bytes to send a term back as; none where they lean on the header of one message."""
    return None if refs else bytes(data[start:end])


def _make_export(
    items: list[Term], data: Data, start: int, end: int, reading: Reading, refs: AtomRefs
) -> Term:
    module, function = as_atom(items[0], reading), as_atom(items[1], reading)
    arity = items[2]
    if module is None or function is None or arity.__class__ is not int or not 0 <= arity <= 255:
        raise DecodeError("an external fun has a module, a function and an arity", start)
    return Export(module, function, arity, wire=_wire(data, start, end, refs))


def _make_fun(items: list[Term], data: Data, start: int, end: int, reading: Reading, refs: AtomRefs) -> Term:
    size, arity = unpack_from(">IB", data, start + 1)
    (index,) = u32(data, start + 22)
    if size != end - start - 1:
        raise DecodeError(f"a fun that says it has {size} bytes, and has {end - start - 1}", start)
    module, old_index, old_uniq, pid = as_atom(items[0], reading), *items[1:4]
    if (
        module is None
        or old_index.__class__ is not int
        or old_uniq.__class__ is not int
        or pid.__class__ is not Pid
    ):
        raise DecodeError("a fun has a module, two integers and a pid before its variables", start)
    uniq = bytes(data[start + 6 : start + 22])
    wire = _wire(data, start, end, refs)
    return Fun(module, arity, uniq, index, old_index, old_uniq, pid, items[4:], wire=wire)


def _make_record(
    items: list[Term], data: Data, start: int, end: int, reading: Reading, refs: AtomRefs
) -> Term:
    count = len(items) // 2 - 1
    module, name, *fields = (as_atom(item, reading) for item in items[: 2 + count])
    flags = data[start + 5]
    if module is None or name is None or None in fields or flags > 1:
        raise DecodeError("a native record has atoms for its names, and no flag but the lowest", start)
    if len(set(fields)) != count:
        raise DecodeError("a native record with two fields of one name", start)
    pairs = zip(fields, items[2 + count :], strict=True)
    return NativeRecord(
        module, name, ((field, value) for field, value in pairs if field is not None), flags == 1
    )


_Make = Callable[[list[Term], Data, int, int, Reading, AtomRefs], Term]
OPAQUE: Final[dict[int, _Make]] = {
    tags.RECORD_EXT: _make_record,
    tags.NEW_FUN_EXT: _make_fun,
    tags.EXPORT_EXT: _make_export,
}
