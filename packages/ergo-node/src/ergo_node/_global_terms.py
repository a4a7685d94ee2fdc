"""The words of `global`, and what it makes of terms: keys of its tables, names of nodes, sorted pids."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from etf_codec import Atom, Pid, Term, encode

NAME: Final = "global_name_server"
GLOBAL: Final = Atom("global")
"""The resource that `global` locks for itself, and its module."""

VERSION: Final = 8
"""Of the protocol: that of OTP 25 and later; OTP 23 and 24 have 5."""

LEAST_VERSION: Final = 5
"""OTP R11B. No release with a distribution that we speak is older."""

SERVER_VERSION: Final = 6
"""From here on lockers speak by way of the name servers, not to each other."""

PARTITIONS_VERSION: Final = 7
"""From here on nodes tell each other of lost connections, and of the versions of those they know."""

VERIFIED_VERSION: Final = 8
"""From here on `init_connect` is acknowledged, and can be cancelled."""

NO_PID: Final = Atom("no_longer_a_pid")
LOCK_SET: Final = Atom("lock_set")
SET_LOCK: Final = Atom("set_lock")
DEL_LOCK: Final = Atom("del_lock")
REGISTER: Final = Atom("register")
UNREGISTER: Final = Atom("unregister")
GET_KNOWN: Final = Atom("get_known")
SYNC: Final = Atom("sync")
IN_SYNC: Final = Atom("in_sync")
NONE: Final = Atom("none")
UNDEFINED: Final = Atom("undefined")
INSERT: Final = Atom("insert")
DELETE: Final = Atom("delete")
LOCK: Final = Atom("lock")
VSN: Final = Atom("vsn")

Key: TypeAlias = Atom | bytes
"""What stands for a term in a table."""

LockId: TypeAlias = tuple[Term, Term]
"""`{ResourceId, LockRequesterId}`."""


def key(term: Term) -> Key:
    """Return what is equal for two terms if they are equal in Erlang (`=:=`), lists and maps included.

    Raises:
        etf_codec.EncodeError: the term has no external form, so it cannot be a name or a lock either.
    """
    return term if type(term) is Atom else encode(term, deterministic=True, none=Atom("nil"))


def term_of(name: Term) -> Term:
    """Return what a name means: text is an atom, as among registered names; all else is itself."""
    return Atom(name) if type(name) is str else name


def node_names(nodes: Term) -> list[str] | None:
    """Return the names in a list of atoms; None if it is something else."""
    if not isinstance(nodes, list) or not all(type(node) is Atom for node in nodes):
        return None
    return [str(node) for node in nodes]


def sorted_pids(pids: Iterable[Pid]) -> list[Term]:
    """Sort pids as Erlang does: all nodes have to arrive at the same list."""
    return [*sorted(pids, key=lambda pid: (pid.serial, pid.id, pid.node, pid.creation))]


def boss_of(nodes: Iterable[str]) -> str:
    """Return the node that is locked first and released last, so that lockers meet there."""
    return max(nodes)
