"""Packets: a length, then that many bytes; two bytes of length while shaking hands, four afterwards.

TLS distribution uses four in both phases. An empty packet is a tick.
"""

from collections.abc import Callable, Iterator
from struct import Struct
from typing import Final, TypeVar

from erldist_proto._errors import RemoteProtocolError

LENGTHS: Final = {2: Struct(">H"), 4: Struct(">I")}
TICK: Final = b"\0\0\0\0"

COPY_BELOW_BYTES: Final = 4096
"""Smaller packets are cut out as bytes: they decode quicker than a view, and the copy costs little."""

T = TypeVar("T")

Packet = bytes | memoryview | list[memoryview]
"""One packet; a large one that came in several reads is the list of its pieces."""


def whole(packet: Packet) -> bytes | memoryview:
    """The packet in one piece."""
    return b"".join(packet) if isinstance(packet, list) else packet


class Framing:
    """Cuts what was received into packets, all complete ones of a read in one pass, and linear in any split.

    `length_bytes` and `max_packet_bytes` may be changed between two calls of `packets`: so a handshake ends.
    """

    __slots__ = (
        "_chunks",
        "_data",
        "_held",
        "_large",
        "_offset",
        "_wanted",
        "length_bytes",
        "max_packet_bytes",
    )

    def __init__(self, length_bytes: int, max_packet_bytes: int) -> None:
        self.length_bytes = length_bytes
        self.max_packet_bytes = max_packet_bytes
        self._data = b""
        self._offset = 0
        self._chunks: list[bytes | memoryview] = []
        self._held = 0
        self._wanted = 0
        self._large: list[memoryview] = []

    @property
    def unread_bytes(self) -> int:
        """Received and not yet given out as a packet."""
        if self._chunks:
            return self._held
        return sum(map(len, self._large)) + len(self._data) - self._offset

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Add what was read. Mutable buffers are copied, so the caller may use them again."""
        if not isinstance(data, bytes):
            data = bytes(data)
        if self._offset < len(self._data):
            rest = memoryview(self._data)[self._offset :]
            self._chunks.append(rest)
            self._held = len(rest)
            self._data, self._offset = b"", 0
        if self._chunks:
            self._chunks.append(data)
            self._held += len(data)
            if self._held < self._wanted:
                return
            if self._wanted >= COPY_BELOW_BYTES:
                self._complete_large(data)
                return
            data = b"".join(self._chunks)
            self._chunks.clear()
        self._data, self._offset = data, 0

    def _complete_large(self, data: bytes) -> None:
        """Give out a large packet in the pieces it came in; what follows it stays in `data`, uncopied."""
        end = len(data) - (self._held - self._wanted)
        pieces = [memoryview(chunk) for chunk in self._chunks]
        pieces[-1] = pieces[-1][:end]
        pieces[0] = pieces[0][self.length_bytes :]
        if len(pieces) * COPY_BELOW_BYTES > self._wanted:
            # Crumbs cost more to keep than to join.
            pieces = [memoryview(b"".join(pieces))]
        self._large = pieces
        self._chunks.clear()
        self._data, self._offset = data, end

    def feed_through(
        self, data: bytes | bytearray | memoryview, read: Callable[[bytes, int], tuple[list[T], int]]
    ) -> tuple[list[T], bool]:
        """Add what was read and `read_ahead`, in one: most reads are whole packets that leave nothing behind.

        Returns:
            What `read` made of packets, and whether `packets` has to be asked for more.
        """
        if type(data) is not bytes or self._chunks or self._large or self._offset < len(self._data):
            self.feed(data)
            if self._chunks:
                return [], False
            if self._large:
                return [], True
            data = self._data
        found, self._offset = read(data, 0)
        self._data = data
        return found, self._offset < len(data)

    def leave(self, data: bytes, offset: int) -> None:
        """Keep the rest of a read, of which the packets before `offset` are done with; nothing else waits."""
        self._data, self._offset = data, offset

    def read_ahead(self, read: Callable[[bytes, int], tuple[list[T], int]]) -> list[T]:
        """Have packets read where they stand.

        Args:
            read: Is given the data, and where the next packet begins; none may be longer than
                `max_packet_bytes`. Returns what it made of packets, and where those begin that it leaves to
                `packets`.
        """
        if self._large:
            return []  # the next packet stands in several reads
        found, self._offset = read(self._data, self._offset)
        return found

    def packets(self) -> Iterator[Packet]:
        """The complete packets, in order. May be left at any packet and asked for again.

        Raises:
            RemoteProtocolError: A packet announces more than `max_packet_bytes`.
        """
        if self._chunks:
            return  # still less than the next packet wants
        data = self._data
        view = None
        size = len(data)
        # Whoever leaves at a packet has not been told what the next one wants.
        self._wanted = 0
        width, longest = self.length_bytes, self.max_packet_bytes
        unpack_length = LENGTHS[width].unpack_from
        if self._large:
            large, self._large = self._large, []
            yield large
        while True:
            start = self._offset + width
            if start > size:
                self._wanted = width
                return
            (length,) = unpack_length(data, start - width)
            if length > longest:
                raise RemoteProtocolError(self._too_long(length))
            end = start + length
            if end > size:
                self._wanted = width + length
                return
            self._offset = end
            if length < COPY_BELOW_BYTES:
                yield data[start:end]
            else:
                if view is None:
                    view = memoryview(data)
                yield view[start:end]

    def _too_long(self, length: int) -> str:
        text = f"packet of {length} bytes, at most {self.max_packet_bytes} are allowed here"
        prefix = self._data[self._offset : self._offset + self.length_bytes]
        if prefix.isalpha():
            text += f": it begins with {prefix!r}, so the other side speaks another protocol"
        elif prefix.startswith((b"\x16\x03", b"\x15\x03")):  # a hello, an alert
            text += ": the other side speaks TLS, and this connection does not"
        return text
