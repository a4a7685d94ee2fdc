"""Erlang's External Term Format: terms to bytes and back, loss-free and safe on hostile input."""

from ._atom import Atom
from ._backend import backend, decode, decode_bare, decode_prefix, encode, encode_bare, encode_parts
from ._charlist import charlist
from ._errors import DecodeError, EncodeError, EtfError, LimitExceeded, MismatchError, TruncatedError
from ._frozen import FrozenList, FrozenMap
from ._identifiers import Pid, Port, Reference
from ._limits import Limits
from ._struct_reader import from_term
from ._struct_writer import to_term
from ._terms import BitString, Export, Fun, ImproperList, LocalTerm, NativeRecord, Term
from ._text_parser import from_text
from ._text_printer import to_text

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
    "from_term",
    "from_text",
    "to_term",
    "to_text",
]

# Tracebacks, reprs and pickles name the public home of what is exported here.
for _exported in [globals()[_name] for _name in __all__]:
    if getattr(_exported, "__module__", "").startswith(f"{__name__}._"):
        _exported.__module__ = __name__
