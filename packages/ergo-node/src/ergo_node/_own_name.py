"""What a node is called: by a name of its own, or by one that the first node it connects to gives it."""

from __future__ import annotations

from secrets import randbelow
from typing import Final

from erldist_proto import Connected, LocalNode

from ergo_node._identifiers import NO_NAME, Identifiers
from ergo_node._translate import FLAGS

DYNAMIC: Final = "undefined"
"""As a node's name it asks for one, as in `erl -name undefined@host`."""


def new_creation() -> int:
    """Return a creation as OTP without EPMD has it: 32 random bits, but none of the reserved 0 to 3."""
    return 4 + randbelow(2**32 - 4)


class OwnName:
    """The name a node has for as long as it lives.

    Args:
        local: who it is in a handshake.
    """

    def __init__(self, local: LocalNode) -> None:
        self.local = local
        self.identifiers: Identifiers | None = None

    @property
    def inside(self) -> str:
        """What the node calls itself in its own pids."""
        return self.local.name

    def connected(self, event: Connected) -> None:
        """A connection is up."""

    def lost(self, node: str) -> bool:
        """A connection is lost; tell whether the name is lost with it."""
        return False


class DynamicName(OwnName):
    """A name given by another node, and lost with the connection to it.

    As OTP has it: that node may give the name away again, so all connections end with it, and the next one is
    asked for a new name.

    Args:
        host: what the name will have after `@`.
        creation: of the pids inside.
    """

    def __init__(self, host: str, creation: int) -> None:
        super().__init__(LocalNode.dynamic(host, FLAGS))
        self._host = host
        self._creation = creation
        self._giver: str | None = None

    @property
    def name(self) -> str:
        """The name the node has now, `nonode@nohost` if it has none."""
        return NO_NAME if self.local.is_dynamic else self.local.name

    @property
    def inside(self) -> str:
        """`nonode@nohost`, whatever others call it."""
        return NO_NAME

    def connected(self, event: Connected) -> None:
        """A connection is up: the first one has brought the name."""
        if self._giver is None:
            self._giver = event.name
            self.local = LocalNode(event.our_name, event.our_creation, FLAGS, hidden=True)
            self.identifiers = Identifiers((NO_NAME, self._creation), (event.our_name, event.our_creation))

    def lost(self, node: str) -> bool:
        """A connection is lost; the name is lost with that to the node that gave it."""
        if node != self._giver:
            return False
        self._giver, self.identifiers = None, None
        self.local = LocalNode.dynamic(self._host, FLAGS)
        return True
