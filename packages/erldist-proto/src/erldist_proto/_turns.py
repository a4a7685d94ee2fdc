"""Who may send next: large messages go out in fragments, in turns with the messages of other senders.

A sender's signals keep their order, so what it sends after a large message waits until that is out; nobody
else waits (ERTS: Distribution Protocol; OTP suspends the one process and goes on with the others).
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Final

from etf_codec import Pid

from erldist_proto._fragments import FRAGMENT_BYTES, Buffer

HANDOUT_BYTES: Final = 4 * FRAGMENT_BYTES
"""What is given out at once while large messages are under way: about what a transport buffers. The less it
is, the sooner other senders get through; the more, the fewer calls."""

Frames = Iterator[tuple[int, list[Buffer]]]
"""The frames of one message: how much of the message each carries, and its buffers. A header is written when
its frame is asked for, so that headers go out in the order in which they change the atom cache."""

Round = OrderedDict[Pid | None, deque[Frames]]


class Turns:
    """The messages that wait, by sender, in the order in which they may go out.

    A signal of an unknown sender (None) may be anybody's: it waits for all before it, and all after it wait
    for it. So the messages form rounds; senders take turns within a round.
    """

    __slots__ = ("_rounds", "held_bytes")

    def __init__(self) -> None:
        self._rounds: deque[Round] = deque()
        self.held_bytes = 0
        """How much waits, frame headers not counted; 0 exactly when nothing does."""

    def holds(self, sender: Pid | None) -> bool:
        """Whether a message of this sender has to wait."""
        rounds = self._rounds
        return bool(rounds) and (
            sender is None or len(rounds) > 1 or sender in rounds[0] or None in rounds[0]
        )

    def add(self, sender: Pid | None, frames: Frames, size: int) -> None:
        """Let a message of so many bytes wait for its sender's turn."""
        rounds = self._rounds
        if not rounds or sender is None or None in rounds[-1]:
            rounds.append(OrderedDict())
        rounds[-1].setdefault(sender, deque()).append(frames)
        self.held_bytes += size

    def take(self, limit: int | None = HANDOUT_BYTES) -> list[Buffer]:
        """The buffers of the next frames, up to the limit or one frame more; without limit all of them."""
        taken: list[Buffer] = []
        size = 0
        while self._rounds and (limit is None or size < limit):
            size += self._take_turn(self._rounds[0], taken)
            if not self._rounds[0]:
                self._rounds.popleft()
        self.held_bytes -= size
        return taken

    def _take_turn(self, senders: Round, taken: list[Buffer]) -> int:
        """A fragment of the next sender, or as much in smaller messages."""
        sender, messages = next(iter(senders.items()))
        size = 0
        while size < FRAGMENT_BYTES:
            portion, buffers = next(messages[0], (0, None))
            if buffers is not None:
                size += portion
                taken += buffers
                continue
            messages.popleft()
            if not messages:
                del senders[sender]
                return size
        senders.move_to_end(sender)
        return size
