"""What packets opened with before: two processes that converse repeat header and control message."""

from typing import Final

from erldist_proto._control import ControlMessage
from erldist_proto._dist_header import Refs

OPENINGS_SIZE: Final = 4096
OPENING_BYTES: Final = 512
"""How many are remembered, and how large one may be (40 to 120 bytes is usual): this bounds what a hostile
peer can fill to some MiB."""

SIZES: Final = 16
"""How many different sizes they may have: each is looked for, at worst, in every packet."""


class Openings:
    """The bytes from which packets that arrived went on with their payload, and what those bytes said.

    As long as the atom cache does not change, the same header means the same atoms; with the same atoms the
    same bytes are the same control message, and no term's bytes begin another's. So a packet that opens with
    known bytes needs only its payload decoded.
    """

    __slots__ = ("_count", "by_size")

    def __init__(self) -> None:
        self.by_size: dict[int, dict[bytes, tuple[ControlMessage, Refs]]] = {}
        self._count = 0

    def remember(self, opening: bytes, message: ControlMessage, refs: Refs) -> None:
        """Keep an opening that may come again; its header has no new entries."""
        size = len(opening)
        if size > OPENING_BYTES:
            return
        if self._count >= OPENINGS_SIZE or (size not in self.by_size and len(self.by_size) >= SIZES):
            self.clear()
        self._count += 1
        self.by_size.setdefault(size, {})[opening] = message, refs

    def clear(self) -> None:
        """The atom cache has changed: the same bytes may say something else."""
        self.by_size.clear()
        self._count = 0
