"""Erlang's External Term Format: terms to bytes and back, loss-free and safe on hostile input."""

from ._atom import Atom
from ._backend import backend, decode, decode_bare, decode_prefix, encode, encode_bare, encode_parts
from ._errors import DecodeError, EncodeError, EtfError, LimitExceeded, TruncatedError
from ._frozen import FrozenList, FrozenMap
from ._identifiers import Pid, Port, Reference
from ._limits import Limits
from ._terms import BitString, Export, Fun, ImproperList, LocalTerm, NativeRecord, Term

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
    "NativeRecord",
    "Pid",
    "Port",
    "Reference",
    "Term",
    "TruncatedError",
    "backend",
    "decode",
    "decode_bare",
    "decode_prefix",
    "encode",
    "encode_bare",
    "encode_parts",
]
