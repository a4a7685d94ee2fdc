"""Messages in several frames (ERTS: External Term Format, Distribution Header for fragmented messages).

The first fragment carries the header, the whole control message and the beginning of the payload; the others
only more of the payload. Their numbers count down to 1. Fragments of different sequences may interleave.
"""

from collections.abc import Iterator
from struct import Struct
from typing import Final

from erldist_proto._control import ControlMessage
from erldist_proto._dist_header import Refs
from erldist_proto._errors import RemoteProtocolError
from erldist_proto._limits import ConnectionLimits

FRAGMENT_BYTES: Final = 64 * 1024
"""What OTP puts into one fragment."""

FRAGMENT_START: Final = Struct(">BBQQ")
"""The magic, the form, the number of the sequence and that of the fragment."""

PART_OVERHEAD_BYTES: Final = 256
"""What a fragment costs beside its bytes, so that a peer cannot hide memory in very many tiny ones."""

LARGE_SHARE: Final = 4
"""A part of a fourth of its read or more counts as its own bytes: a whole fragment is that much."""

SMALL_SHARE: Final = 16
"""A part of less than a sixteenth of its read is copied; a larger one counts as a fourth of it."""

Buffer = bytes | memoryview


class Sequence:
    """A message that is arriving in fragments."""

    __slots__ = ("held_bytes", "left", "message", "opened_at", "parts", "payload_bytes", "refs")

    def __init__(self, message: ControlMessage, refs: Refs, left: int, opened_at: float) -> None:
        self.message = message
        self.refs = refs
        self.left = left
        self.opened_at = opened_at
        self.parts: list[Buffer] = []
        self.payload_bytes = 0
        self.held_bytes = 0


class Fragments:
    """The messages that are arriving in fragments, within the limits."""

    __slots__ = ("_held", "_limits", "_sequences")

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._sequences: dict[int, Sequence] = {}
        self._held = 0

    def open(self, sequence_id: int, sequence: Sequence, *parts: Buffer) -> Sequence | None:
        """A first fragment arrived; `left` is its own number. Returns the sequence if that is all of it."""
        if not sequence.left:
            raise RemoteProtocolError("first fragment with the number 0")
        if sequence_id in self._sequences:
            raise RemoteProtocolError(f"first fragment of sequence {sequence_id}, which has begun already")
        if len(self._sequences) >= self._limits.max_open_fragments:
            raise RemoteProtocolError(
                f"more than {self._limits.max_open_fragments} unfinished fragmented messages"
            )
        self._sequences[sequence_id] = sequence
        return self.proceed(sequence_id, sequence.left, *parts)

    def proceed(self, sequence_id: int, fragment_id: int, *parts: Buffer) -> Sequence | None:
        """A continuation arrived. Returns the sequence if it was the last."""
        sequence = self._sequences.get(sequence_id)
        if sequence is None:
            raise RemoteProtocolError(f"fragment of sequence {sequence_id}, which has not begun")
        if fragment_id != sequence.left:
            raise RemoteProtocolError(
                f"fragment {fragment_id} of sequence {sequence_id}, {sequence.left} was due"
            )
        limits = self._limits
        for part in parts:
            size = len(part)
            sequence.payload_bytes += size
            read = part.obj if type(part) is memoryview else None
            if type(read) is bytes and size * LARGE_SHARE < (read_bytes := len(read)):
                # A view keeps its whole read alive: that is counted, or avoided by a copy.
                if size * SMALL_SHARE < read_bytes:
                    part = bytes(part)
                else:
                    size = read_bytes // LARGE_SHARE
            sequence.parts.append(part)
            sequence.held_bytes += size + PART_OVERHEAD_BYTES
            self._held += size + PART_OVERHEAD_BYTES
        if sequence.payload_bytes > limits.max_message_bytes:
            raise RemoteProtocolError(f"fragmented message of more than {limits.max_message_bytes} bytes")
        if self._held > limits.max_fragment_bytes:
            raise RemoteProtocolError(f"unfinished messages of more than {limits.max_fragment_bytes} bytes")
        sequence.left -= 1
        if sequence.left:
            return None
        del self._sequences[sequence_id]
        self._held -= sequence.held_bytes
        return sequence

    def deadline(self) -> float | None:
        """When the oldest unfinished message is too old."""
        for sequence in self._sequences.values():
            return sequence.opened_at + self._limits.max_fragment_age
        return None

    def clear(self) -> None:
        """Forget all of it: the connection is over."""
        self._sequences.clear()
        self._held = 0


def cut(pieces: list[Buffer], first_bytes: int) -> Iterator[list[Buffer]]:
    """The pieces in portions of `first_bytes`, then FRAGMENT_BYTES each, without copying."""
    room = first_bytes
    portion: list[Buffer] = []
    for piece in pieces:
        view = memoryview(piece)
        while len(view) > room:
            portion.append(view[:room])
            yield portion
            view, portion, room = view[room:], [], FRAGMENT_BYTES
        if len(view):
            portion.append(view)
            room -= len(view)
    if portion:
        yield portion
