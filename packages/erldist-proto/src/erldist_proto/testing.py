"""Tools for tests of anything that speaks the distribution protocol: no sockets, no sleeping, no mocks."""

from erldist_proto._connection import Connection


def exchange(first: Connection, second: Connection) -> int:
    """Move bytes between two connections until both are quiet. Returns how many were moved."""
    moved = 0
    while first.bytes_pending or second.bytes_pending:
        moved += first.bytes_pending + second.bytes_pending
        to_second, to_first = b"".join(first.data_to_send()), b"".join(second.data_to_send())
        if to_second:
            second.receive_data(to_second)
        if to_first:
            first.receive_data(to_first)
    return moved
