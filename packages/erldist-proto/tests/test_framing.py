from itertools import pairwise

import pytest
from erldist_proto import RemoteProtocolError
from erldist_proto._framing import COPY_BELOW_BYTES, Framing, Packet, whole
from hypothesis import given
from hypothesis import strategies as st


def framed(packets: list[bytes], width: int) -> bytes:
    return b"".join(len(packet).to_bytes(width) + packet for packet in packets)


def joined(packet: Packet) -> bytes:
    return bytes(whole(packet))


def read(framing: Framing, chunks: list[bytes]) -> list[bytes]:
    packets: list[bytes] = []
    for chunk in chunks:
        framing.feed(chunk)
        packets += map(joined, framing.packets())
    return packets


@given(
    st.lists(st.binary(max_size=40) | st.integers(0, 3 * COPY_BELOW_BYTES).map(bytes), max_size=8),
    st.sampled_from([2, 4]),
    st.data(),
)
def test_any_split_gives_the_same_packets(packets: list[bytes], width: int, data: st.DataObject) -> None:
    stream = framed(packets, width)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12).map(sorted))
    chunks = [stream[a:b] for a, b in pairwise([0, *cuts, len(stream)])]
    framing = Framing(width, 1 << 20)
    assert read(framing, chunks) == packets
    assert framing.unread_bytes == 0


def test_one_byte_at_a_time() -> None:
    packets = [b"", b"a", b"", bytes(300)]
    stream = framed(packets, 4)
    assert read(Framing(4, 1000), [stream[i : i + 1] for i in range(len(stream))]) == packets


def test_reading_may_pause_between_two_packets_and_change_the_width() -> None:
    framing = Framing(2, 100)
    framing.feed(b"\0\1a\0\0\0\1b")
    assert joined(next(framing.packets())) == b"a"
    assert framing.unread_bytes == 5
    framing.length_bytes = 4
    framing.feed(b"\0\0")
    assert framing.unread_bytes == 7
    framing.feed(b"\0\1c")
    assert [joined(packet) for packet in framing.packets()] == [b"b", b"c"]


def test_a_pause_after_a_split_packet_forgets_nothing() -> None:
    framing = Framing(2, 100)
    framing.feed(b"\0\4ab")
    assert list(framing.packets()) == []
    framing.feed(b"cd\0")
    assert joined(next(framing.packets())) == b"abcd"
    framing.feed(b"\1x")
    assert [joined(packet) for packet in framing.packets()] == [b"x"]


def test_what_follows_a_large_packet_in_its_last_read() -> None:
    large, read = bytes(3 * COPY_BELOW_BYTES), b"\0\1a\0\2b"
    stream = framed([large], 2) + read
    framing = Framing(2, 1 << 20)
    framing.feed(stream[:5000])
    assert list(framing.packets()) == []
    framing.feed(stream[5000:])
    assert framing.unread_bytes == len(stream) - 2  # without its length
    assert joined(next(framing.packets())) == large
    assert framing.unread_bytes == len(read)
    assert [joined(packet) for packet in framing.packets()] == [b"a"]
    framing.feed(b"c")
    assert [joined(packet) for packet in framing.packets()] == [b"bc"]


def test_a_buffer_may_be_used_again() -> None:
    buffer = bytearray(b"\0\3abc")
    framing = Framing(2, 10)
    framing.feed(buffer)
    buffer[:] = b"xxxxx"
    assert [joined(packet) for packet in framing.packets()] == [b"abc"]


@pytest.mark.parametrize(
    ("width", "start", "hint"),
    [
        (2, b"\xff\xff", "packet of 65535 bytes"),
        (4, b"\xff\xff\xff\xff", "packet of 4294967295 bytes"),
        (2, b"GET / HTTP/1.1\r\n", "b'GE', so the other side speaks another protocol"),
        (2, b"\x16\x03\x01\x02\x00", "speaks TLS"),
        (2, b"\x15\x03\x03\x00\x02", "speaks TLS"),
    ],
)
def test_too_long_is_refused_on_its_length(width: int, start: bytes, hint: str) -> None:
    framing = Framing(width, 1024)
    framing.feed(start)
    with pytest.raises(RemoteProtocolError) as caught:
        list(framing.packets())
    assert hint in str(caught.value)


def test_a_large_packet_is_not_copied_but_crumbs_are() -> None:
    stream = framed([bytes(10 * COPY_BELOW_BYTES)], 2)
    framing = Framing(2, 1 << 20)
    assert read(framing, [stream[:COPY_BELOW_BYTES]]) == []
    framing.feed(stream[COPY_BELOW_BYTES:])
    (packet,) = framing.packets()
    assert isinstance(packet, list)
    assert len(packet) == 2
    for index in range(len(stream)):
        framing.feed(stream[index : index + 1])
        for packet in framing.packets():
            assert isinstance(packet, list)
            assert len(packet) == 1
