"""Recordings of connections as text: one read a line, `time connection direction hex`.

The first direction seen on a connection is its initiator's, so anything that tells the sides apart will do:
`tshark -T fields -e frame.time_epoch -e tcp.stream -e tcp.srcport -e tcp.payload` prints the same columns.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Chunk(NamedTuple):
    """What one read returned; no data is the end of that direction."""

    time: float
    connection: str
    direction: str
    data: bytes


def read_recording(lines: Iterable[str]) -> Iterator[Chunk]:
    """The chunks of a recording; empty lines and lines that begin with `#` are skipped.

    Raises:
        ValueError: A line does not have the four columns; the message gives its number.
    """
    for number, line in enumerate(lines, 1):
        columns = line.split()
        if not columns or columns[0].startswith("#"):
            continue
        try:
            time, connection, direction, *data = columns
            yield Chunk(float(time), connection, direction, bytes.fromhex("".join(data).replace(":", "")))
        except ValueError as wrong:
            raise ValueError(f"line {number}: {wrong}; a line is `time connection direction hex`") from wrong
