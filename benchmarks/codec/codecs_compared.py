"""The codecs to compare: how each spells a payload in its own types, and its two functions.

Two kinds: those of ETF, which read and write what a BEAM does, and those of other formats, whose payload is
the closest their types allow (atoms as text, tuples as lists, a pid as a list of its fields).
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import etf_codec
from etf_codec import Atom, Pid, Reference, Term


class Codec(NamedTuple):
    """One codec: `convert` spells a payload in its types, once and not timed."""

    name: str
    kind: str
    convert: Callable[[Term], Any]
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def convert(term: Term, classes: dict[type, Callable[[Any], Any]]) -> Any:
    """A payload with the values of some classes spelled another way."""
    if type(term) in classes:
        return classes[type(term)](term)
    if isinstance(term, tuple):
        return tuple(convert(item, classes) for item in term)
    if isinstance(term, list):
        return [convert(item, classes) for item in term]
    if isinstance(term, dict):
        return {convert(key, classes): convert(value, classes) for key, value in term.items()}
    return term


def _erlang_py(module: Any) -> Codec:
    def atom(name: str) -> Any:
        return module.OtpErlangAtom(name.encode())

    def words(*values: int) -> list[bytes]:
        return [value.to_bytes(4) for value in values]

    classes: dict[type, Callable[[Any], Any]] = {
        Atom: lambda term: atom(term.name),
        bytes: module.OtpErlangBinary,
        list: lambda term: module.OtpErlangList([convert(item, classes) for item in term]),
        Pid: lambda term: module.OtpErlangPid(atom(term.node), *words(term.id, term.serial, term.creation)),
        Reference: lambda term: module.OtpErlangReference(
            atom(term.node), b"".join(words(*term.ids)), *words(term.creation)
        ),
    }
    return Codec(
        "erlang_py", "pure", lambda term: convert(term, classes), module.term_to_binary, module.binary_to_term
    )


def _erlastic(module: Any) -> Codec:
    types = import_module("erlastic.types")
    classes: dict[type, Callable[[Any], Any]] = {
        Atom: lambda term: types.Atom(term.name),
        Pid: lambda term: types.PID(types.Atom(term.node), term.id, term.serial, term.creation & 3),
        Reference: lambda term: types.Reference(types.Atom(term.node), list(term.ids), term.creation & 3),
    }
    return Codec("erlastic", "pure", lambda term: convert(term, classes), module.encode, module.decode)


def _erlpack(module: Any) -> Codec:
    # It has no pids and no references: as for the other formats, their fields stand for them.
    classes: dict[type, Callable[[Any], Any]] = {
        Atom: lambda term: module.Atom(term.name),
        Pid: lambda term: [module.Atom(term.node), term.id, term.serial, term.creation],
        Reference: lambda term: [module.Atom(term.node), term.creation, *term.ids],
    }
    return Codec("erlpack", "native", lambda term: convert(term, classes), module.pack, module.unpack)


def _other(name: str, encode: str, decode: str) -> Callable[[Any], Codec]:
    classes: dict[type, Callable[[Any], Any]] = {
        Atom: lambda term: term.name,
        Pid: lambda term: [term.node, term.id, term.serial, term.creation],
        Reference: lambda term: [term.node, term.creation, *term.ids],
    }

    def make(module: Any) -> Codec:
        reader = getattr(module, decode)
        options = {"strict_map_key": False} if name == "msgpack" else {}
        return Codec(
            name,
            "other format",
            lambda term: convert(term, classes),
            getattr(module, encode),
            lambda data: reader(data, **options),
        )

    return make


def _ours(module: Any) -> Codec:
    codec = module.backend()
    kind = "ours, pure" if codec == "python" else "ours"
    return Codec(f"etf-codec ({codec})", kind, lambda term: term, module.encode, module.decode)


_CODECS: dict[str, Callable[[Any], Codec]] = {
    "erlang": _erlang_py,
    "erlastic": _erlastic,
    "erlpack": _erlpack,
    "msgpack": _other("msgpack", "packb", "unpackb"),
    "ormsgpack": _other("ormsgpack", "packb", "unpackb"),
    "cbor2": _other("cbor2", "dumps", "loads"),
}


def installed() -> list[Codec]:
    """Ours, and of the others those that are installed."""
    codecs = [_ours(etf_codec)]
    for name, make in _CODECS.items():
        try:
            module = import_module(name)
        except ImportError:
            continue
        codecs.append(make(module))
    return codecs
