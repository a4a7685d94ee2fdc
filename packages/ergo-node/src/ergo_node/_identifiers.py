"""Identifiers of a node whose name changes: the same inside for as long as it lives, others outside. Pure.

On the BEAM the pid of a local process has no node name; it gets one when it leaves the node, and a name that
the node has by then. Here pids are values with the name in them. So a node with a dynamic name calls itself
`nonode@nohost` inside, and what crosses a connection is rewritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from typing import Any, Final, TypeVar

from etf_codec import Atom, FrozenList, FrozenMap, ImproperList, Pid, Port, Reference
from otp_behaviors import Signal

NO_NAME: Final = "nonode@nohost"
"""What `node()` says on a node without a name."""

MAX_DEPTH: Final = 10_000
"""Terms nested deeper are no terms: the codec takes 512 levels unless told otherwise."""

S = TypeVar("S", bound=Signal)
Owner = tuple[str, int]
"""A node name and a creation."""


class Identifiers:
    """Rewrites the identifiers of one node in what goes out and what comes in.

    Args:
        inside: name and creation in the kernel.
        outside: those that the other node knows.

    Funs are left as they are: they are opaque, and go back byte for byte.
    """

    def __init__(self, inside: Owner, outside: Owner) -> None:
        self._inside = inside
        self._outside = outside

    def outward(self, signal: S) -> S:
        """Return a signal as the other node is to see it."""
        return _rewritten(signal, self._inside, self._outside)

    def inward(self, signal: S) -> S:
        """Return a signal of the other node as the kernel is to see it."""
        return _rewritten(signal, self._outside, self._inside)


def _rewritten(signal: S, old: Owner, new: Owner) -> S:
    values = [rewrite(getattr(signal, field.name), old, new) for field in fields(signal)]
    return type(signal)(*values)


def rewrite(term: Any, old: Owner, new: Owner) -> Any:
    """Return a term with the identifiers of one run of a node made those of another.

    What is nested too deep, as a list that holds itself, comes back as it is: the encoder says what is wrong.
    """
    whole: list[Any] = []
    stack: list[tuple[Iterator[Any], list[Any], Callable[[list[Any]], Any]]] = [(iter((term,)), whole, list)]
    while stack:
        items, done, build = stack[-1]
        for item in items:
            base = _base(type(item))
            if base in CHANGES:
                done.append(CHANGES[base](item, old, new))
            elif base in PARTS:
                parts, rebuild = PARTS[base]
                stack.append((iter(parts(item)), [], rebuild))
                break
            else:
                done.append(item)
        else:
            stack.pop()
            if stack:
                stack[-1][1].append(build(done))
        if len(stack) > MAX_DEPTH:
            return term
    return whole[0]


def _base(kind: type) -> type:
    """Return the type of the tables that a type comes from, as a `Down` from a tuple; itself if from none."""
    if kind in LEAVES:
        return kind
    return next((base for base in kind.__mro__ if base in CHANGES or base in PARTS), kind)


def _pid(pid: Pid, old: Owner, new: Owner) -> Pid:
    return Pid(new[0], pid.id, pid.serial, new[1]) if (pid.node, pid.creation) == old else pid


def _port(port: Port, old: Owner, new: Owner) -> Port:
    return Port(new[0], port.id, new[1]) if (port.node, port.creation) == old else port


def _reference(ref: Reference, old: Owner, new: Owner) -> Reference:
    return Reference(new[0], new[1], ref.ids) if (ref.node, ref.creation) == old else ref


def _entries(items: Any) -> list[Any]:
    return [*items.keys(), *items.values()]


def _pairs(done: list[Any]) -> Iterator[tuple[Any, Any]]:
    half = len(done) // 2
    return zip(done[:half], done[half:], strict=True)


LEAVES: Final = frozenset({int, bytes, str, float, bool, Atom})
"""What most terms are made of, and what is never changed."""

CHANGES: Final[dict[type, Callable[[Any, Owner, Owner], Any]]] = {
    Pid: _pid,
    Port: _port,
    Reference: _reference,
}

PARTS: Final[dict[type, tuple[Callable[[Any], Iterable[Any]], Callable[[list[Any]], Any]]]] = {
    tuple: (iter, tuple),
    list: (iter, list),
    FrozenList: (iter, FrozenList),
    ImproperList: (lambda term: (*term.items, term.tail), lambda done: ImproperList(done[:-1], done[-1])),
    dict: (_entries, lambda done: dict(_pairs(done))),
    FrozenMap: (_entries, lambda done: FrozenMap(_pairs(done))),
}
"""What holds other terms: its parts in order, and how it is made of them again."""
