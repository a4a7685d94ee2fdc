"""What happens in a simulation: the entries of its log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

Kind: TypeAlias = Literal[
    "boot",
    "crash",
    "spawn",
    "exit",
    "report",
    "send",
    "deliver",
    "lose",
    "connect",
    "nodeup",
    "nodedown",
    "unreachable",
    "hold",
    "let_go",
    "note",
]
"""`boot`, `crash`: of a node. `spawn`, `exit`: of a process. `report`: a crash report and the like. `send`,
`deliver`, `lose`: of a signal between nodes, with the number of the connection. `connect`: a node set up a
connection to another one; `nodeup`, `nodedown`: a node has, or lost, a connection, with its number;
`unreachable`: it could make none. `hold`, `let_go`: of a process that sent to a node that does not read.
`note`: what the test added."""

ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    Args:
        time: seconds of virtual time.
        node: the name of the node it happened at; "" for a note of no node.
        kind: what it was.
        what: the pid, reason, signal or node it was about.
    """

    time: float
    node: str
    kind: Kind
    what: tuple[Any, ...]

    def __str__(self) -> str:
        """Return a line of text; the same for the same seed, so it shows no addresses of objects."""
        text = " ".join(ADDRESS.sub("", repr(each)) for each in self.what)
        return f"{self.time:.6f} {self.node} {self.kind} {text}"
