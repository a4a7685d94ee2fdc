from erldist_proto import RegSend, Send
from erldist_proto._openings import OPENING_BYTES, OPENINGS_SIZE, SIZES, Openings
from etf_codec import Atom, Pid

PID = Pid("alice@host", 85, 0, 1)
MESSAGE = RegSend(PID, Atom("echo"))
REFS = (Atom("ok"),)


def count(openings: Openings) -> int:
    return sum(map(len, openings.by_size.values()))


def test_openings_are_found_by_size_and_content() -> None:
    openings = Openings()
    openings.remember(b"abc", MESSAGE, REFS)
    openings.remember(b"xyz", Send(PID), ())
    openings.remember(b"ab", MESSAGE, ())
    assert openings.by_size == {
        3: {b"abc": (MESSAGE, REFS), b"xyz": (Send(PID), ())},
        2: {b"ab": (MESSAGE, ())},
    }
    openings.clear()
    assert openings.by_size == {}


def test_openings_are_remembered_within_bounds() -> None:
    openings = Openings()
    for number in range(3 * OPENINGS_SIZE):
        openings.remember(number.to_bytes(4), MESSAGE, REFS)
        assert count(openings) <= OPENINGS_SIZE
    assert openings.by_size[4][(3 * OPENINGS_SIZE - 1).to_bytes(4)] == (MESSAGE, REFS)
    for size in range(2 * OPENING_BYTES):
        openings.remember(bytes(size), MESSAGE, REFS)
        assert len(openings.by_size) <= SIZES
    assert max(openings.by_size) <= OPENING_BYTES
