import pytest
from erldist_proto import ConnectionLimits, RemoteProtocolError, Send
from erldist_proto._fragments import FRAGMENT_BYTES, PART_OVERHEAD_BYTES, Fragments, Sequence, cut
from etf_codec import Pid
from hypothesis import given
from hypothesis import strategies as st

MESSAGE = Send(Pid("bob@host", 1, 0, 1))


def sequence(left: int, opened_at: float = 0.0) -> Sequence:
    return Sequence(MESSAGE, (), left, opened_at)


def test_parts_come_together_in_order() -> None:
    fragments = Fragments(ConnectionLimits())
    assert fragments.open(7, sequence(3), b"a") is None
    assert fragments.open(8, sequence(2), b"x") is None
    assert fragments.proceed(7, 2, b"b") is None
    other = fragments.proceed(8, 1, b"y")
    complete = fragments.proceed(7, 1, memoryview(b"c"))
    assert other is not None
    assert complete is not None
    assert (b"".join(other.parts), b"".join(complete.parts)) == (b"xy", b"abc")
    assert fragments.deadline() is None


def test_one_fragment_may_be_all() -> None:
    complete = Fragments(ConnectionLimits()).open(1, sequence(1), b"all")
    assert complete is not None
    assert complete.parts == [b"all"]


def test_a_sequence_may_be_used_again_once_it_is_complete() -> None:
    fragments = Fragments(ConnectionLimits())
    for _ in range(3):
        fragments.open(1, sequence(2), b"a")
        assert fragments.proceed(1, 1, b"b") is not None


@pytest.mark.parametrize(
    ("sequence_id", "fragment_id", "hint"),
    [(9, 2, "has not begun"), (1, 3, "2 was due"), (1, 1, "2 was due"), (1, 0, "2 was due")],
)
def test_wrong_continuations(sequence_id: int, fragment_id: int, hint: str) -> None:
    fragments = Fragments(ConnectionLimits())
    fragments.open(1, sequence(3), b"")
    with pytest.raises(RemoteProtocolError, match=hint):
        fragments.proceed(sequence_id, fragment_id, b"")


def test_wrong_beginnings() -> None:
    fragments = Fragments(ConnectionLimits())
    with pytest.raises(RemoteProtocolError, match="number 0"):
        fragments.open(1, sequence(0), b"")
    fragments.open(1, sequence(2), b"")
    with pytest.raises(RemoteProtocolError, match="begun already"):
        fragments.open(1, sequence(2), b"")


def test_limits() -> None:
    limits = ConnectionLimits(max_open_fragments=2, max_message_bytes=1000, max_fragment_bytes=1500)
    fragments = Fragments(limits)
    fragments.open(1, sequence(2**64 - 1), bytes(600))  # a declared number costs nothing
    with pytest.raises(RemoteProtocolError, match="more than 1000 bytes"):
        fragments.proceed(1, 2**64 - 2, bytes(401))
    fragments = Fragments(limits)
    fragments.open(1, sequence(3), bytes(600))
    with pytest.raises(RemoteProtocolError, match="more than 1500 bytes"):
        fragments.open(2, sequence(2), bytes(600))
    fragments = Fragments(limits)
    fragments.open(1, sequence(2), b"")
    fragments.open(2, sequence(2), b"")
    with pytest.raises(RemoteProtocolError, match="more than 2 unfinished"):
        fragments.open(3, sequence(2), b"")


def test_empty_fragments_are_not_free() -> None:
    fragments = Fragments(ConnectionLimits(max_fragment_bytes=10 * PART_OVERHEAD_BYTES))
    fragments.open(1, sequence(100), b"")
    for left in range(99, 90, -1):
        fragments.proceed(1, left, b"")
    with pytest.raises(RemoteProtocolError, match="unfinished messages"):
        fragments.proceed(1, 90, b"")


def test_what_is_complete_no_longer_counts() -> None:
    fragments = Fragments(ConnectionLimits(max_fragment_bytes=1000, max_open_fragments=1))
    for _ in range(100):
        fragments.open(1, sequence(2), bytes(200))
        fragments.proceed(1, 1, bytes(200))


def test_the_oldest_decides_when_it_is_too_late() -> None:
    fragments = Fragments(ConnectionLimits(max_fragment_age=10.0))
    fragments.open(1, sequence(2, 5.0), b"")
    fragments.open(2, sequence(2, 6.0), b"")
    assert fragments.deadline() == 15.0
    fragments.proceed(1, 1, b"")
    assert fragments.deadline() == 16.0
    fragments.clear()
    assert fragments.deadline() is None


def test_a_small_part_does_not_keep_a_large_read_alive() -> None:
    read = memoryview(bytes(100_000))
    small, large = sequence(2), sequence(2)
    fragments = Fragments(ConnectionLimits())
    fragments.open(1, small, read[:100])
    fragments.open(2, large, read[:90_000])
    assert isinstance(small.parts[0], bytes)
    assert isinstance(large.parts[0], memoryview)


@given(st.lists(st.integers(0, 3 * FRAGMENT_BYTES), max_size=6), st.integers(1, 2 * FRAGMENT_BYTES))
def test_cutting_keeps_the_bytes(sizes: list[int], first_bytes: int) -> None:
    pieces: list[bytes | memoryview] = [
        memoryview(bytes((index,)) * size) if index % 2 else bytes((index,)) * size
        for index, size in enumerate(sizes)
    ]
    portions = [b"".join(portion) for portion in cut(pieces, first_bytes)]
    assert b"".join(portions) == b"".join(pieces)
    assert all(len(portion) == FRAGMENT_BYTES for portion in portions[1:-1])
    assert len(portions) < 2 or len(portions[0]) == first_bytes
    assert all(portions)
