"""References of this node: unique, and told apart when they come back; the aliases among them."""

from __future__ import annotations

from sys import getrefcount
from typing import Final

from etf_codec import ImproperList, Reference, request_tag

from otp_behaviors._aliases import AliasTarget
from otp_behaviors._process_table import OpenRequest, ProcessTable

FIRST_WORD: Final = 0x3FFFF
"""Greatest first word of a reference: 18 bits, and three words, are what every peer takes (protocol, 1.4)."""


def _references_when_alone() -> int:
    lonely = (FIRST_WORD, "any tuple")
    return getrefcount(lonely)


REQUEST: Final = 1
"""In the lowest bit of a reference: that of a request."""

ALONE: Final = _references_when_alone()
"""What `getrefcount` says of an object that one local variable holds; versions of Python differ in it."""


class References:
    """Makes references, and knows what the active aliases stand for.

    Args:
        table: knows the node's name and creation.
        seed: 64 bits that make references unguessable for other nodes.
    """

    def __init__(self, table: ProcessTable, seed: int) -> None:
        self._table = table
        self._count = 0
        self._low = seed & 0xFFFFFFFF
        self._high = seed >> 32 & 0xFFFFFFFF
        # By the words alone: those of this node differ in them, and they hash fast.
        self.aliases: dict[tuple[int, ...], AliasTarget] = {}
        # The call that is answered in its caller's place just now: its reference is an alias for that long.
        self.serving: OpenRequest | None = None

    def make(self, request: int = 0) -> Reference:
        """Return a reference that no other call of this node returns (`erlang:make_ref/0`).

        Args:
            request: 1 for the reference of a request, which is marked in its lowest bit.
        """
        self._count = count = self._count + 2
        if count > FIRST_WORD:
            self._count = count = 0
            self._low = self._low + 1 & 0xFFFFFFFF
        table = self._table
        return Reference(table.node, table.creation, (count | request, self._low, self._high))

    def make_tag(self) -> ImproperList:
        """Return the tag of a request to another node, `[alias|Ref]`, with a reference of its own."""
        self._count = count = self._count + 2
        if count > FIRST_WORD:
            self._count = count = 0
            self._low = self._low + 1 & 0xFFFFFFFF
        table = self._table
        return request_tag(table.node, table.creation, (count | REQUEST, self._low, self._high))

    def is_own(self, ref: Reference) -> bool:
        """Tell whether this run of the node made the reference."""
        return ref.node == self._table.node and ref.creation == self._table.creation

    def is_request(self, ref: Reference) -> bool:
        """Tell whether the reference was made for a request: without an alias, its reply came too late."""
        return ref.ids[0] & 1 == 1 and self.is_own(ref)

    def alias_target(self, ref: Reference) -> AliasTarget | None:
        """Return what an active alias of this node stands for."""
        table = self._table
        if ref.node != table.node or ref.creation != table.creation:
            return None
        serving = self.serving
        if serving is not None and serving.ref.ids == ref.ids:
            return serving
        return self.aliases.get(ref.ids)
