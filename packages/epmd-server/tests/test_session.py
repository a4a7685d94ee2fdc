import itertools
from dataclasses import replace

import pytest
from epmd_server import (
    Alive2Request,
    DumpRequest,
    Event,
    Killed,
    KillRequest,
    NamesRequest,
    Policy,
    Port2Request,
    Refused,
    Registered,
    Registry,
    Request,
    Session,
    State,
    Stopped,
    StopRequest,
    Unregistered,
    encode_request,
)
from epmd_server._session import HANDLERS, LOCAL_ONLY
from hypothesis import given
from hypothesis import strategies as st

POLICY = Policy(4369)
RELAXED = replace(POLICY, relaxed_command_check=True)
NODE = Alive2Request(4000, 77, 0, 6, 5, b"py", b"extra")
REQUESTS: list[Request] = [
    NODE,
    Port2Request(b"py"),
    NamesRequest(),
    DumpRequest(),
    KillRequest(),
    StopRequest(b"py"),
]


def session(
    registry: Registry, *, connection: int = 5, policy: Policy = POLICY, local: bool = True
) -> Session:
    return Session(registry, policy, connection=connection, local=local, now=100.0)


def exchange(client: Session, data: bytes | Request) -> bytes:
    client.receive_data(data if isinstance(data, bytes) else encode_request(data), 101.0)
    return client.data_to_send()


def test_a_node_registers_is_found_and_leaves() -> None:
    registry = Registry(epoch=1000.0)
    node, other = session(registry), session(registry, connection=6)
    assert exchange(node, NODE) == bytes.fromhex("76 00 0000044d")
    assert node.state is State.KEPT
    assert [type(event) for event in node.events()] == [Registered]
    assert exchange(other, Port2Request(b"py")) == bytes.fromhex(
        "77 00 0fa0 4d 00 0006 0005 0002 7079 0005 6578747261"
    )
    assert other.state is State.CLOSED
    node.receive_eof()
    assert [type(event) for event in node.events()] == [Unregistered]
    assert exchange(session(registry), Port2Request(b"py")) == b"w\x01"


def test_lists_of_names_and_dumps() -> None:
    registry = Registry()
    exchange(session(registry), NODE)
    assert exchange(session(registry, connection=6), NamesRequest()) == b"\0\0\x11\x11name py at port 4000\n"
    assert exchange(session(registry, connection=7), DumpRequest()) == (
        b"\0\0\x11\x11active name     <py> at port 4000, fd = 5\n\0"
    )


@pytest.mark.parametrize("name", [b"py", b"\xff", b"a" * 256])
def test_a_refused_registration_stays_open_and_holds_nothing(name: bytes) -> None:
    registry = Registry()
    first, second = session(registry), session(registry, connection=6)
    exchange(first, NODE)
    assert exchange(second, replace(NODE, name=name)) == bytes.fromhex("76 01 00000063")
    assert second.state is State.KEPT
    assert second.deadline() is None
    second.receive_eof()
    assert [life.connection for life in registry] == [5]


def test_one_byte_more_ends_a_registration() -> None:
    registry = Registry()
    node = session(registry)
    exchange(node, NODE)
    assert exchange(node, b"x") == b""
    assert node.state is State.CLOSED
    assert len(registry) == 0


def test_kill() -> None:
    registry = Registry()
    node = session(registry)
    exchange(node, NODE)
    node.events()
    assert _killed(registry, POLICY) == (b"NO", False)
    assert _killed(registry, RELAXED) == (b"OK", True)
    assert _killed(registry, replace(RELAXED, allow_kill=False)) == (b"NO", False)
    node.receive_eof()
    assert _killed(registry, POLICY) == (b"OK", True)
    assert _killed(registry, replace(POLICY, allow_kill=False)) == (b"NO", False)


def _killed(registry: Registry, policy: Policy) -> tuple[bytes, bool]:
    client = session(registry, policy=policy)
    answer = exchange(client, KillRequest())
    return answer, Killed() in client.events()


def test_stop_needs_permission_and_closes_the_node() -> None:
    registry = Registry()
    node = session(registry)
    exchange(node, NODE)
    refused = session(registry, connection=6)
    assert exchange(refused, StopRequest(b"py")) == b""
    assert [type(event) for event in refused.events()] == [Refused]
    client = session(registry, connection=7, policy=RELAXED)
    assert exchange(client, StopRequest(b"py")) == b"STOPPED"
    assert [type(event) for event in client.events()] == [Unregistered, Stopped]
    assert len(registry) == 0
    assert exchange(session(registry, policy=RELAXED), StopRequest(b"py")) == b"NOEXISTSTOPPED"
    exchange(session(registry, connection=8), NODE)
    node.receive_eof()
    assert [life.connection for life in registry] == [8]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_what_other_hosts_may_ask(request_: Request) -> None:
    client = session(Registry(), local=False, policy=RELAXED)
    answer = exchange(client, request_)
    assert (answer == b"") is (type(request_) in LOCAL_ONLY)
    assert client.state is State.CLOSED
    assert client.data_to_send() == b""


def test_every_request_has_a_handler() -> None:
    assert set(HANDLERS) == {type(request) for request in REQUESTS}


@pytest.mark.parametrize(
    "wire",
    [b"\0\0", b"\x0b\xf2n", b"\xff\xff", b"\0\1w", b"\0\1nn", b"\0\2z\0", encode_request(NODE) + b"x"],
)
def test_bad_requests_are_met_with_silence(wire: bytes) -> None:
    client = session(Registry())
    assert exchange(client, wire) == b""
    assert client.state is State.CLOSED
    assert [type(event) for event in client.events()] == [Refused]


def test_the_largest_request() -> None:
    client = session(Registry())
    body = b"n" * 3057
    assert exchange(client, len(body).to_bytes(2) + body) == b"\0\0\x11\x11"


def test_silence_ends_a_request_but_not_a_registration() -> None:
    registry = Registry()
    idle, node = session(registry), session(registry, connection=6)
    exchange(node, NODE)
    assert node.deadline() is None
    node.handle_time(1e9)
    assert node.state is State.KEPT
    assert idle.deadline() == 160.0
    idle.receive_data(b"\0", 150.0)
    assert idle.deadline() == 210.0
    states = []
    for now in (209.9, 210.0):
        idle.handle_time(now)
        states.append(idle.state)
    assert states == [State.READING, State.CLOSED]


@pytest.mark.parametrize("wire", [b"", b"\0", b"\0\5n"])
def test_a_client_that_leaves_early(wire: bytes) -> None:
    client = session(Registry())
    client.receive_data(wire, 101.0)
    client.receive_eof()
    assert client.state is State.CLOSED
    assert client.data_to_send() == b""
    client.receive_data(b"\0\1n", 102.0)
    assert client.data_to_send() == b""


@given(st.sampled_from(REQUESTS), st.lists(st.integers(1, 200)))
def test_any_split_of_a_request_gives_the_same(request: Request, cuts: list[int]) -> None:
    whole, split = session(Registry(), policy=RELAXED), session(Registry(), policy=RELAXED)
    wire = encode_request(request)
    expected = _outcome(whole, [wire])
    edges = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    pieces = [wire[start:end] for start, end in itertools.pairwise(edges)]
    assert _outcome(split, pieces) == expected
    assert _outcome(session(Registry(), policy=RELAXED), [bytes([byte]) for byte in wire]) == expected


def _outcome(client: Session, pieces: list[bytes]) -> tuple[bytes, list[type[Event]], State]:
    for piece in pieces:
        client.receive_data(piece, 101.0)
    return client.data_to_send(), [type(event) for event in client.events()], client.state


@given(st.lists(st.binary(max_size=40), max_size=8), st.booleans())
def test_arbitrary_bytes_never_raise_nor_leave_a_name_behind(pieces: list[bytes], local: bool) -> None:
    registry = Registry()
    client = session(registry, local=local)
    for piece in pieces:
        client.receive_data(piece, 101.0)
    client.receive_eof()
    assert client.state is State.CLOSED
    assert len(registry) == 0
