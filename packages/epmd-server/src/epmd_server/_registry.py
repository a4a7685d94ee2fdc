"""The names of living nodes, and the creations they are given.

Pure: nobody's sockets and nobody's clock. A registration lasts from `register` to `release`; who calls
them, and when, is the session's affair.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ._messages import (
    MAX_EXTRA_BYTES,
    WIDE_CREATION_VERSION,
    Alive2Request,
    is_node_name,
)

MAX_UNUSED: Final = 1000
"""How many names of nodes gone are remembered, so that the next registration gets the next creation.
The C `epmd` remembers as many."""

FIRST_WIDE_CREATION: Final = 4
"""0 means 'unknown', and 1 to 3 belong to nodes that know only 2 bits of creation."""


@dataclass(frozen=True, slots=True)
class Life:
    """One life of one name.

    Attributes:
        node: the request it came with.
        connection: number of the connection that holds it; a dump shows it as `fd`.
        counter: grows by one with each life of the name.
    """

    node: Alive2Request
    connection: int
    counter: int

    @property
    def creation(self) -> int:
        """What the node's identifiers carry: 32 bits for a node that speaks version 6, else 1 to 3."""
        if self.node.highest_version >= WIDE_CREATION_VERSION:
            return self.counter
        return self.counter % 3 + 1


class Registry:
    """Names, newest registration first, and the names that were used once.

    Args:
        epoch: Unix time at which the caller's clock stood at 0. A name's first creation is the Unix time
            of its registration, as with the C `epmd`: so it differs from the ones given before a restart.
    """

    def __init__(self, *, epoch: float = 0.0) -> None:
        self._epoch = epoch
        self._active: dict[bytes, Life] = {}
        self._unused: dict[bytes, Life] = {}
        self._highest_forgotten = FIRST_WIDE_CREATION - 1

    def register(self, node: Alive2Request, *, connection: int, now: float) -> Life | None:
        """Give the node its name, or None when the name is taken or breaks the rules."""
        name = node.name
        if name in self._active or not is_node_name(name) or len(node.extra) > MAX_EXTRA_BYTES:
            return None
        previous = self._unused.pop(name, None)
        counter = self._first_counter(now) if previous is None else previous.counter + 1
        life = Life(node, connection, _wrapped(counter))
        self._active[name] = life
        return life

    def _first_counter(self, now: float) -> int:
        # A forgotten name must not get a creation a second time, however fast names come and go.
        return max(int(self._epoch + now), self._highest_forgotten + 1)

    def release(self, life: Life) -> bool:
        """End this life of the name. False when it has ended already, even if the name lives again."""
        name = life.node.name
        if self._active.get(name) is not life:
            return False
        del self._active[name]
        self._unused[name] = life
        if len(self._unused) > MAX_UNUSED:
            forgotten = self._unused.pop(next(iter(self._unused)))
            self._highest_forgotten = max(self._highest_forgotten, forgotten.counter)
        return True

    def look_up(self, name: bytes) -> Life | None:
        """The living node of that name."""
        return self._active.get(name)

    def __len__(self) -> int:
        return len(self._active)

    def __iter__(self) -> Iterator[Life]:
        """The living nodes, newest first: the order in which the C `epmd` lists them."""
        return reversed(self._active.values())

    def unused(self) -> Iterator[Life]:
        """The last life of each name that is free again, oldest first."""
        return iter(self._unused.values())


def encode_dump_answer(port: int, registry: Registry) -> bytes:
    """The answer to DUMP_REQ: each line is followed by a NUL, because the C `epmd` sends its terminator."""
    active = [
        b"active name     <%b> at port %d, fd = %d\n\0" % (life.node.name, life.node.port, life.connection)
        for life in registry
    ]
    unused = [
        b"old/unused name <%b>, port = %d, fd = %d \n\0" % (life.node.name, life.node.port, life.connection)
        for life in registry.unused()
    ]
    return port.to_bytes(4) + b"".join(active + unused)


def _wrapped(counter: int) -> int:
    """32 bits, never 0 to 3 (in the year 2106, Unix time leaves 32 bits)."""
    wrapped = counter & 0xFFFFFFFF
    return wrapped if wrapped >= FIRST_WIDE_CREATION else FIRST_WIDE_CREATION + wrapped
