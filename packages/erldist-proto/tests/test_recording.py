import pytest
from erldist_proto.testing import Chunk, read_recording


def test_lines_become_chunks() -> None:
    lines = ["# a comment", "", "1.5 7 A>B 0001ff", "2 7 40001 00:02", "3 7 B>A"]
    assert list(read_recording(lines)) == [
        Chunk(1.5, "7", "A>B", b"\0\1\xff"),
        Chunk(2.0, "7", "40001", b"\0\2"),
        Chunk(3.0, "7", "B>A", b""),
    ]


@pytest.mark.parametrize("line", ["x", "x 1 A>B 00", "1 1 A>B 0g", "1 1"])
def test_a_wrong_line_is_named(line: str) -> None:
    with pytest.raises(ValueError, match=r"line 2: .*a line is `time connection direction hex`"):
        list(read_recording(["1 1 A>B 00", line]))
