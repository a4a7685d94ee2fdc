import contextlib
import tracemalloc

import pytest
from epmd_server import (
    Alive2Request,
    BadAnswer,
    BadRequest,
    DumpRequest,
    InvalidName,
    KillRequest,
    NameEntry,
    NamesRequest,
    NodeEntry,
    Port2Request,
    Request,
    StopRequest,
    encode_request,
    parse_request,
)
from epmd_server._messages import (
    encode_alive2_answer,
    encode_name,
    encode_names_answer,
    encode_port2_answer,
    is_node_name,
    parse_alive2_answer,
    parse_names_answer,
    parse_port2_answer,
)
from hypothesis import given
from hypothesis import strategies as st

SMILE = "\N{GRINNING FACE}"

# Bytes seen on the wire between OTP 25 nodes and the C epmd.
WIRE = [
    (
        Alive2Request(4000, 77, 0, 6, 5, b"n1", b"XY"),
        "0011 78 0fa0 4d 00 0006 0005 0002 6e31 0002 5859",
    ),
    (Alive2Request(34881, 77, 0, 6, 5, b"b"), "000e 78 8841 4d 00 0006 0005 0001 62 0000"),
    (Port2Request(b"n1"), "0003 7a 6e31"),
    (NamesRequest(), "0001 6e"),
    (DumpRequest(), "0001 64"),
    (KillRequest(), "0001 6b"),
    (StopRequest(b"n1"), "0003 73 6e31"),
]

u16 = st.integers(0, 0xFFFF)
u8 = st.integers(0, 0xFF)
node_names = st.text(
    st.characters(exclude_characters="\0@", exclude_categories=["Cs"]), min_size=1, max_size=255
)
alive2 = st.builds(Alive2Request, u16, u8, u8, u16, u16, node_names.map(str.encode), st.binary(max_size=1020))


@pytest.mark.parametrize(("request_", "wire"), WIRE, ids=lambda value: type(value).__name__)
def test_requests_on_the_wire(request_: Request, wire: str) -> None:
    assert encode_request(request_) == bytes.fromhex(wire)
    assert parse_request(bytes.fromhex(wire)[2:]) == request_


@given(alive2)
def test_registration_round_trip(request: Alive2Request) -> None:
    wire = encode_request(request)
    assert int.from_bytes(wire[:2]) == len(wire) - 2
    assert parse_request(wire[2:]) == request


@given(st.binary(max_size=64) | st.builds(lambda op, rest: bytes([op]) + rest, u8, st.binary(max_size=64)))
def test_any_bytes_are_a_request_or_a_bad_one(body: bytes) -> None:
    try:
        request = parse_request(body)
    except BadRequest:
        return
    assert parse_request(encode_request(request)[2:]) == request


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "garbage"),
        (b"\0", "garbage"),
        (b"w\0", "garbage"),
        (b"x", "too small"),
        (bytes.fromhex("78 0fa0 4d 00 0006 0005 0000 0000"), "too small"),
        (bytes.fromhex("78 0fa0 4d 00 0006 0005 0000 0001 61"), "empty node name"),
        (bytes.fromhex("78 0fa0 4d 00 0006 0005 0003 6162 0000"), "name size"),
        (bytes.fromhex("78 0fa0 4d 00 0006 0005 ffff 6162 0000"), "name size"),
        (bytes.fromhex("78 0fa0 4d 00 0006 0005 0002 6162 0001"), "extra data size"),
        (bytes.fromhex("78 0fa0 4d 00 0006 0005 0002 6100 0000"), "ascii 0"),
        (b"z", "too small"),
        (b"z\0", "too small"),
        (b"z\xff", "invalid"),
        (b"za\0b", "invalid"),
        (b"za\0\0", "invalid"),
        (b"z" + b"a" * 256, "invalid"),
        (b"s", "too small"),
    ],
)
def test_bad_requests(body: bytes, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        parse_request(body)


def test_trailing_bytes_that_the_c_epmd_ignores() -> None:
    assert parse_request(b"njunk") == NamesRequest()
    assert parse_request(b"zab\0") == Port2Request(b"ab")
    assert parse_request(b"sab\0cd") == StopRequest(b"ab")
    assert parse_request(encode_request(Alive2Request(1, 77, 0, 6, 5, b"a"))[2:] + b"junk") == Alive2Request(
        1, 77, 0, 6, 5, b"a"
    )


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        (b"a" * 255, True),
        (b"a" * 256, False),
        (SMILE.encode() * 255, True),
        (SMILE.encode() * 256, False),
        (b"\xff", False),
        (b"\xc0\x80", False),
        (b"\xed\xa0\x80", False),
        (b"\xf4\x90\x80\x80", False),
        (b"n@h", True),
        (b"with space\n", True),
    ],
)
def test_node_names(name: bytes, valid: bool) -> None:
    assert is_node_name(name) is valid


@pytest.mark.parametrize("name", ["", "a\0b", "a" * 256, "py@host", "\ud800"])
def test_names_refused_before_they_are_sent(name: str) -> None:
    with pytest.raises(InvalidName, match="node name"):
        encode_name(name)


@pytest.mark.parametrize(
    ("creation", "version", "wire"),
    [
        (0x6B03CE42, 6, "76 00 6b03ce42"),
        (2, 5, "79 00 0002"),
        (None, 6, "76 01 00000063"),
        (None, 5, "79 01 0063"),
    ],
)
def test_registration_answers(creation: int | None, version: int, wire: str) -> None:
    answer = encode_alive2_answer(creation, version)
    assert answer == bytes.fromhex(wire)
    assert [parse_alive2_answer(answer[:end]) for end in range(len(answer))] == [None] * len(answer)
    assert parse_alive2_answer(answer) == ((1, 99) if creation is None else (0, creation))


@pytest.mark.parametrize("wire", ["77 00", "76 00 00000000", "79 00 0000", "79 00 0001 ff", "48 54 54 50"])
def test_bad_registration_answers(wire: str) -> None:
    with pytest.raises(BadAnswer):
        parse_alive2_answer(bytes.fromhex(wire))


@given(alive2)
def test_look_up_round_trip(node: Alive2Request) -> None:
    name = node.name.decode()
    assert parse_port2_answer(encode_port2_answer(node), name) == NodeEntry(
        name, node.port, node.node_type, node.protocol, node.highest_version, node.lowest_version, node.extra
    )


def test_look_up_on_the_wire() -> None:
    node = Alive2Request(4000, 72, 0, 6, 5, b"n1", b"XY")
    assert encode_port2_answer(node) == bytes.fromhex("77 00 0fa0 48 00 0006 0005 0002 6e31 0002 5859")
    assert encode_port2_answer(None) == bytes.fromhex("77 01")
    assert parse_port2_answer(b"w\x01", "n1") is None
    found = parse_port2_answer(encode_port2_answer(node), "n1")
    assert found is not None
    assert found.hidden


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        ("", "PORT2_RESP"),
        ("77", "PORT2_RESP"),
        ("77 00", "PORT2_RESP"),
        ("76 00 0fa0 4d 00 0006 0005 0001 61 0000", "PORT2_RESP"),
        ("77 00 0fa0 4d 00 0006 0005 ffff 61 0000", "announces"),
        ("77 00 0fa0 4d 00 0006 0005 0001 61 ffff", "announces"),
        ("77 00 0fa0 4d 00 0006 0005 0001 61 0000 00", "announces"),
        ("77 00 0fa0 4d 00 0006 0005 0001 62 0000", "about"),
        ("77 00 0fa0 4d 00 0006 0005 0001 61 03fd" + "00" * 1021, "announces"),
    ],
)
def test_bad_look_up_answers(wire: str, reason: str) -> None:
    with pytest.raises(BadAnswer, match=reason):
        parse_port2_answer(bytes.fromhex(wire), "a")


@given(st.lists(st.tuples(node_names.filter(lambda name: "\n" not in name), u16)))
def test_list_of_names_round_trip(nodes: list[tuple[str, int]]) -> None:
    requests = [Alive2Request(port, 77, 0, 6, 5, name.encode()) for name, port in nodes]
    found = parse_names_answer(encode_names_answer(4369, requests))
    assert [entry.port for entry in found if " at port " not in entry.name] == [
        port for name, port in nodes if " at port " not in name
    ]
    assert found == [NameEntry(name, port) for name, port in nodes] or any(
        " at port " in name for name, _ in nodes
    )


def test_list_of_names_on_the_wire() -> None:
    nodes = [Alive2Request(5, 77, 0, 6, 5, b"b c"), Alive2Request(4000, 77, 0, 6, 5, b"a")]
    wire = b"\x00\x00\x11\x11name b c at port 5\nname a at port 4000\n"
    assert encode_names_answer(4369, nodes) == wire
    assert parse_names_answer(wire) == [NameEntry("b c", 5), NameEntry("a", 4000)]


@pytest.mark.parametrize(
    "wire",
    [b"", b"\0\0\0", b"\0\0\0\1nonsense", b"\0\0\0\1name a at port 1", b"\0\0\0\1name \xff at port 1\n"],
)
def test_bad_lists_of_names(wire: bytes) -> None:
    with pytest.raises(BadAnswer):
        parse_names_answer(wire)


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda rest: b"w\0" + rest))
def test_any_answer_is_parsed_or_refused(data: bytes) -> None:
    for parse in (parse_alive2_answer, parse_names_answer, lambda wire: parse_port2_answer(wire, "a")):
        with contextlib.suppress(BadAnswer):
            parse(data)


def test_lengths_in_answers_allocate_nothing() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BadAnswer):
            parse_port2_answer(bytes.fromhex("77 00 0fa0 4d 00 0006 0005 ffff 61 ffff"), "a")
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024
    finally:
        tracemalloc.stop()
