"""Erlang's External Term Format: terms to bytes and back, loss-free and safe on hostile input."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._atom import Atom
from ._backend import (
    PacketReader,
    PacketWriter,
    backend,
    decode,
    decode_bare,
    decode_prefix,
    encode,
    encode_bare,
    encode_parts,
    encode_referring,
)
from ._charlist import charlist
from ._errors import DecodeError, EncodeError, EtfError, LimitExceeded, MismatchError, TruncatedError
from ._frozen import FrozenList, FrozenMap
from ._identifiers import Pid, Port, Reference
from ._limits import Limits
from ._packet_record import PacketRecord
from ._terms import BitString, Export, Fun, ImproperList, LocalTerm, NativeRecord, Term, request_tag

__version__ = "0.1.0"

__all__ = [
    "Atom",
    "BitString",
    "DecodeError",
    "EncodeError",
    "EtfError",
    "Export",
    "FrozenList",
    "FrozenMap",
    "Fun",
    "ImproperList",
    "LimitExceeded",
    "Limits",
    "LocalTerm",
    "MismatchError",
    "NativeRecord",
    "PacketReader",
    "PacketRecord",
    "PacketWriter",
    "Pid",
    "Port",
    "Reference",
    "Term",
    "TruncatedError",
    "backend",
    "charlist",
    "decode",
    "decode_bare",
    "decode_prefix",
    "encode",
    "encode_bare",
    "encode_parts",
    "encode_referring",
    "from_term",
    "from_text",
    "request_tag",
    "to_term",
    "to_text",
]

# Loaded when first asked for: the dataclasses, inspect and regular expressions behind them take as long to
# import as all the rest, and most programs never use them.
_LAZY = {
    "from_term": "_struct_reader",
    "from_text": "_text_parser",
    "to_term": "_struct_writer",
    "to_text": "_text_printer",
}

if TYPE_CHECKING:
    from ._struct_reader import from_term
    from ._struct_writer import to_term
    from ._text_parser import from_text
    from ._text_printer import to_text


def _publish(exported: Any) -> Any:
    """Let tracebacks, reprs and pickles name the public home of what is exported here."""
    if getattr(exported, "__module__", "").startswith(f"{__name__}._"):
        exported.__module__ = __name__
    return exported


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    exported = globals()[name] = _publish(getattr(import_module(f".{_LAZY[name]}", __name__), name))
    return exported


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})


for _exported in [globals()[_name] for _name in __all__ if _name not in _LAZY]:
    _publish(_exported)
