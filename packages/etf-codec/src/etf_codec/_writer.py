"""The terms without elements: for each class a function that writes one."""

from collections.abc import Callable, Mapping
from math import isfinite
from struct import Struct
from struct import error as struct_error
from typing import Any, Final, NoReturn, TypeAlias

from . import _tags as tags
from ._atom import Atom
from ._errors import EncodeError
from ._identifiers import Pid, Port, Reference
from ._limits import Limits
from ._reader import FALSE, MAX_CACHED, MAX_REFERENCE_WORDS, TRUE
from ._terms import BitString, Export, LocalTerm

AtomWires: TypeAlias = "Mapping[Atom, bytes] | None"
Writer: TypeAlias = "Callable[[Any, Writing, AtomWires], bytes]"

u8_u8 = Struct(">BB").pack
u8_u16 = Struct(">BH").pack
u8_u32 = Struct(">BI").pack
u8_i32 = Struct(">Bi").pack

SMALL_INTEGERS: Final = tuple(u8_u8(tags.SMALL_INTEGER_EXT, value) for value in range(256))

# PORT_EXT and NEW_PORT_EXT have 28 significant bits; V4_PORT_EXT, which OTP 23 refuses, has them all.
_OLD_PORT_BITS: Final = 28

# Before OTP 23 a creation has two bits.
_OLD_CREATION: Final = 3

_node_atoms: dict[str, Atom] = {}
_pid_wires: dict[Pid, bytes] = {}


class Writing:
    """What the options of one `encode` mean to the writers. Never changes, so calls may share one."""

    __slots__ = ("deterministic", "legacy_identifiers", "limits", "none")

    def __init__(
        self, limits: Limits, none: Atom | None, deterministic: bool, legacy_identifiers: bool
    ) -> None:
        self.limits = limits
        self.none = none
        self.deterministic = deterministic
        self.legacy_identifiers = legacy_identifiers


def atom_wire(atom: Atom, wires: AtomWires) -> bytes:
    """An atom as this encoding writes it: in full, or as its channel's cache has it."""
    return atom.wire if wires is None else wires[atom]


def integer_wire(value: int, limits: Limits) -> bytes:
    """An integer, in the smallest form.

    Raises:
        EncodeError: It is larger than the limits allow.
    """
    if 0 <= value <= 255:
        return SMALL_INTEGERS[value]
    if -0x8000_0000 <= value <= 0x7FFF_FFFF:
        return u8_i32(tags.INTEGER_EXT, value)
    size = (value.bit_length() + 7) // 8
    if size > limits.max_bigint_bytes:
        raise EncodeError(f"an integer of {size} bytes, max_bigint_bytes={limits.max_bigint_bytes}")
    magnitude = abs(value).to_bytes(size, "little")
    if size <= 255:
        return bytes((tags.SMALL_BIG_EXT, size, value < 0)) + magnitude
    return u8_u32(tags.LARGE_BIG_EXT, size) + bytes((value < 0,)) + magnitude


def binary_header(size: int) -> bytes:
    """What precedes the bytes of a binary.

    Raises:
        EncodeError: The size does not fit its 32 bits.
    """
    if size > 0xFFFF_FFFF:
        raise EncodeError(f"a binary of {size} bytes: the external form has room for 4 GiB")
    return u8_u32(tags.BINARY_EXT, size)


_pack_float: Final = Struct(">Bd").pack


def _float(value: float, writing: Writing, wires: AtomWires) -> bytes:
    if not isfinite(value):
        raise EncodeError(f"Erlang has no {value}: send an atom, or leave it out")
    return _pack_float(tags.NEW_FLOAT_EXT, value)


def _bool(value: bool, writing: Writing, wires: AtomWires) -> bytes:
    return atom_wire(TRUE if value else FALSE, wires)


def _none(value: None, writing: Writing, wires: AtomWires) -> bytes:
    if writing.none is None:
        raise EncodeError('None has no form in Erlang: pass none=Atom("nil") or none=Atom("undefined")')
    return atom_wire(writing.none, wires)


def _text(value: str, writing: Writing, wires: AtomWires) -> bytes:
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise EncodeError(f"text with a lone surrogate at index {error.start} is not UTF-8") from None
    return binary_header(len(data)) + data


def _bit_string(value: BitString, writing: Writing, wires: AtomWires) -> bytes:
    return u8_u32(tags.BIT_BINARY_EXT, len(value.data)) + value.bits.to_bytes() + value.data


def _node(name: str, wires: AtomWires) -> bytes:
    atom = _node_atoms.get(name)
    if atom is None:
        try:
            atom = Atom(name)
        except (TypeError, ValueError) as error:
            raise EncodeError(f"the node of an identifier: {error}") from None
        if len(_node_atoms) >= MAX_CACHED:
            _node_atoms.clear()
        _node_atoms[name] = atom
    return atom.wire if wires is None else wires[atom]


_new_pid_fields: Final = Struct(">III").pack
_pid_fields: Final = Struct(">IIB").pack


def _pid(value: Pid, writing: Writing, wires: AtomWires) -> bytes:
    if wires is None and not writing.legacy_identifiers:
        wire = _pid_wires.get(value)
        if wire is not None:
            return wire
    try:
        if writing.legacy_identifiers:
            fields = _pid_fields(value.id, value.serial, value.creation & _OLD_CREATION)
            return b"g" + _node(value.node, wires) + fields
        wire = b"X" + _node(value.node, wires) + _new_pid_fields(value.id, value.serial, value.creation)
    except (struct_error, TypeError):
        raise EncodeError("the id, serial and creation of a Pid are integers of 32 bits") from None
    if wires is None:
        if len(_pid_wires) >= MAX_CACHED:
            _pid_wires.clear()
        _pid_wires[value] = wire
    return wire


_new_port_fields: Final = Struct(">II").pack
_v4_port_fields: Final = Struct(">QI").pack
_port_fields: Final = Struct(">IB").pack


def _port(value: Port, writing: Writing, wires: AtomWires) -> bytes:
    try:
        node = _node(value.node, wires)
        if writing.legacy_identifiers:
            return b"f" + node + _port_fields(value.id, value.creation & _OLD_CREATION)
        if value.id >> _OLD_PORT_BITS:
            return b"x" + node + _v4_port_fields(value.id, value.creation)
        return b"Y" + node + _new_port_fields(value.id, value.creation)
    except (struct_error, TypeError):
        raise EncodeError("a Port has an id of 64 bits (32 for old peers), a creation of 32") from None


_newer_reference_fields: Final = [Struct(">" + "I" * (1 + n)).pack for n in range(MAX_REFERENCE_WORDS + 1)]
_new_reference_fields: Final = [Struct(">B" + "I" * n).pack for n in range(MAX_REFERENCE_WORDS + 1)]


def _reference(value: Reference, writing: Writing, wires: AtomWires) -> bytes:
    ids = value.ids
    try:
        count = len(ids)
        if writing.legacy_identifiers:
            fields = _new_reference_fields[count](value.creation & _OLD_CREATION, *ids)
            return u8_u16(tags.NEW_REFERENCE_EXT, count) + _node(value.node, wires) + fields
        fields = _newer_reference_fields[count](value.creation, *ids)
        return u8_u16(tags.NEWER_REFERENCE_EXT, count) + _node(value.node, wires) + fields
    except (struct_error, TypeError, IndexError):
        raise EncodeError("a Reference has a creation and up to 5 ids, all integers of 32 bits") from None


def _export(value: Export, writing: Writing, wires: AtomWires) -> bytes:
    if value.wire is not None and wires is None and not writing.deterministic:
        return value.wire
    if value.arity.__class__ is not int or not 0 <= value.arity <= 255:
        raise EncodeError("the arity of an Export is 0 to 255")
    names = atom_wire(value.module, wires) + atom_wire(value.function, wires)
    return b"q" + names + SMALL_INTEGERS[value.arity]


def _local(value: LocalTerm, writing: Writing, wires: AtomWires) -> NoReturn:
    raise EncodeError("a LocalTerm is a whole term, never an element: only its own node knows where it ends")


WRITERS: Final[dict[type, Writer]] = {
    bool: _bool,
    float: _float,
    str: _text,
    type(None): _none,
    BitString: _bit_string,
    Pid: _pid,
    Port: _port,
    Reference: _reference,
    Export: _export,
    LocalTerm: _local,
}
