"""The other terms that Python has no type for: bit strings, improper lists, functions, records."""

from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias, final

from ._atom import Atom
from ._identifiers import Pid, Reference, Sealed, _ReferenceFields

Term: TypeAlias = Any
"""Any value that has an external form: `int`, `float`, `bool`, `bytes`, `str`, `list`, `tuple`, `dict`, and
the classes of this package. A type checker cannot say this: `list` and `dict` are invariant, and the
definition is recursive. Use `from_term` where you want typed values."""

_set = object.__setattr__


def _atom(name: Atom | str) -> Atom:
    return name if isinstance(name, Atom) else Atom(name)


@final
class BitString(Sealed):
    """A bit string that does not fill its last byte, `<<1, 5:3>>`.

    Args:
        data: The bytes, at least one; the unused low bits of the last are set to zero.
        bits: How many bits of the last byte count, from the highest: 1 to 7. With 8 it would be `bytes`.

    Raises:
        ValueError: No data, or `bits` out of range.
    """

    __slots__ = ("bits", "data")
    __match_args__ = ("data", "bits")
    data: bytes
    bits: int

    def __init__(self, data: bytes, bits: int) -> None:
        if not data or not 1 <= bits <= 7:
            raise ValueError(
                f"a BitString has data, and 1 to 7 bits in its last byte: not {len(data)} bytes, {bits} bits"
            )
        last = data[-1] & (0xFF00 >> bits)
        _set(self, "data", bytes(data) if data[-1] == last else bytes(data[:-1]) + last.to_bytes())
        _set(self, "bits", bits)

    @property
    def bit_length(self) -> int:
        """Number of bits in all."""
        return 8 * (len(self.data) - 1) + self.bits


class _ImproperListFields:
    __slots__ = ("items", "tail")
    items: tuple[Term, ...]
    tail: Term


@final
class ImproperList(_ImproperListFields, Sealed):
    """A list whose tail is not a list, `[a, b | c]`.

    Args:
        items: The elements before the tail, at least one.
        tail: Any term but a list.

    Raises:
        ValueError: There are no items, or the tail is a list, which makes the whole a proper list.
    """

    __slots__ = ()
    __match_args__ = ("items", "tail")

    def __new__(cls, items: Iterable[Term], tail: Term) -> "ImproperList":
        # Made as identifiers are: the tag of each request and reply is one of these.
        self = _ImproperListFields()
        self.items = items = tuple(items)
        self.tail = tail
        if not items:
            raise ValueError("an ImproperList has at least one item: without any it is just its tail")
        if isinstance(tail, _LISTS):
            raise ValueError("the tail of an ImproperList is not a list: use one list of all the items")
        self.__class__ = ImproperList
        return self  # type: ignore[return-value]  # the line above made it one

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Term]:
        return iter(self.items)


_LISTS: Final = (list, ImproperList)

_ALIASED: Final = (Atom("alias"),)


def request_tag(node: str, creation: int, ids: tuple[int, ...]) -> ImproperList:
    """Return the tag of a request, `[alias|Reference]`: what `gen:call` of OTP 24 and later sends along.

    The same as `ImproperList([Atom("alias")], Reference(node, creation, ids))`, in half the time: each call
    makes one.
    """
    reference = _ReferenceFields()
    reference.node = node
    reference.creation = creation
    reference.ids = ids
    reference.__class__ = Reference
    tag = _ImproperListFields()
    tag.items = _ALIASED
    tag.tail = reference
    tag.__class__ = ImproperList
    return tag  # type: ignore[return-value]  # the line above made it one


@final
class Export(Sealed):
    """An external function, `fun module:function/arity`. It names code of a peer; nothing here can call it.

    Args:
        module: Module name.
        function: Function name.
        arity: 0 to 255.
    """

    __slots__ = ("arity", "function", "module", "wire")
    __match_args__ = ("module", "function", "arity")
    module: Atom
    function: Atom
    arity: int
    wire: bytes | None  # as received, so that it goes back byte for byte

    def __init__(
        self, module: Atom | str, function: Atom | str, arity: int, *, wire: bytes | None = None
    ) -> None:
        _set(self, "module", _atom(module))
        _set(self, "function", _atom(function))
        _set(self, "arity", arity)
        _set(self, "wire", wire)


@final
class Fun(Sealed):
    """A closure of a peer, NEW_FUN_EXT. Opaque here: it can be kept, compared and sent back.

    Args:
        module: Module that holds its code.
        arity: Number of its arguments.
        uniq: The 16 bytes that identify the module's version.
        index: Its number in the module.
        old_index: The same in older releases.
        old_uniq: Hash of its parse tree.
        pid: The process that made it.
        free: Values of its free variables.
    """

    __slots__ = ("arity", "free", "index", "module", "old_index", "old_uniq", "pid", "uniq", "wire")
    __match_args__ = ("module", "arity", "uniq", "index", "old_index", "old_uniq", "pid", "free")
    module: Atom
    arity: int
    uniq: bytes
    index: int
    old_index: int
    old_uniq: int
    pid: Pid
    free: tuple[Term, ...]
    wire: bytes | None  # as received, so that it goes back byte for byte

    def __init__(
        self,
        module: Atom | str,
        arity: int,
        uniq: bytes,
        index: int,
        old_index: int,
        old_uniq: int,
        pid: Pid,
        free: Iterable[Term] = (),
        *,
        wire: bytes | None = None,
    ) -> None:
        values = (_atom(module), arity, uniq, index, old_index, old_uniq, pid, tuple(free))
        for name, value in zip(self.__match_args__, values, strict=True):
            _set(self, name, value)
        _set(self, "wire", wire)


@final
class LocalTerm(Sealed):
    """A whole term in the private encoding of one runtime, LOCAL_EXT: `term_to_binary(T, [local])`, OTP 26+.

    Only the node that wrote it can read it, and it ends where the input ends; so it is always a term of its
    own, never an element of another.

    Args:
        data: All that follows the tag: a hash of 4 bytes, then the private encoding.
    """

    __slots__ = ("data",)
    __match_args__ = ("data",)
    data: bytes

    def __init__(self, data: bytes) -> None:
        if len(data) < 4:
            raise ValueError(f"a LocalTerm starts with a hash of 4 bytes: {len(data)} bytes are too few")
        _set(self, "data", bytes(data))


@final
class NativeRecord(Sealed):
    """A native record of OTP 29+, `#module:name{field = Value}`, RECORD_EXT.

    Not the classic record, which is a tuple with its name first.

    Args:
        module: Module that defines it.
        name: Name of the record.
        fields: Pairs of field name and value, in order.
        exported: Whether other modules may use its fields.

    Raises:
        ValueError: Two fields have one name.
    """

    __slots__ = ("exported", "fields", "module", "name")
    __match_args__ = ("module", "name", "fields", "exported")
    module: Atom
    name: Atom
    fields: tuple[tuple[Atom, Term], ...]
    exported: bool

    def __init__(
        self,
        module: Atom | str,
        name: Atom | str,
        fields: Iterable[tuple[Atom | str, Term]] = (),
        exported: bool = False,
    ) -> None:
        _set(self, "module", _atom(module))
        _set(self, "name", _atom(name))
        _set(self, "fields", tuple((_atom(field), value) for field, value in fields))
        _set(self, "exported", exported)
        if len({field for field, _ in self.fields}) != len(self.fields):
            raise ValueError(f"record #{self.module}:{self.name} has two fields of one name")
