"""`Connection` against a real node, over a blocking socket: no other part of the project takes part."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from hashlib import md5
from operator import or_
from struct import pack, unpack
from typing import Self, TypeVar

import pytest
from erldist_proto import (
    DEFAULT_FLAGS,
    MANDATORY_25,
    Accept,
    AliveAsked,
    AnswerAlive,
    Closed,
    Connected,
    Connection,
    ConnectionRequested,
    DistFlags,
    Event,
    Exit2,
    Link,
    LocalNode,
    MonitorP,
    PayloadExit,
    PayloadMonitorPExit,
    Received,
    RegSend,
    SendSender,
    SpawnReply,
    SpawnRequest,
    Ticked,
    Unlink,
    UnlinkId,
    UnlinkIdAck,
)
from etf_codec import Atom, Pid, Reference, Term

DEADLINE = 20.0
COOKIE = "SECRET"
OURS = "py@127.0.0.1"
THEIRS = "erl@127.0.0.1"
HIDDEN = DEFAULT_FLAGS & ~DistFlags.PUBLISHED
NO_CACHE = HIDDEN & ~DistFlags.DIST_HDR_ATOM_CACHE
NO_FRAGMENTS = HIDDEN & ~DistFlags.FRAGMENTS
NEITHER = NO_CACHE & NO_FRAGMENTS

# What releases began to offer after OTP 23.
LATER = {
    24: DistFlags.UNLINK_ID | DistFlags.V4_NC | DistFlags.ALIAS,
    25: DistFlags.MANDATORY_25_DIGEST,
    28: DistFlags.ALTACT_SIG,
}

# Answers {Pid, Term} with Term, for ever.
ECHO = """
register(echo, spawn(fun L() -> receive {P, T} -> P ! T, L() end end)), io:format("ready~n")
"""

# Tells {Pid, Term} what came, in the order in which it came: of a binary its MD5.
WITNESS = """
register(echo, spawn(fun L() ->
    receive
        {P, B} when is_binary(B) -> P ! {large, erlang:md5(B)}, L();
        {P, T} -> P ! {small, T}, L()
    end
end)), io:format("ready~n")
"""

E = TypeVar("E", bound=Event)


@pytest.fixture
def epmd(free_tcp_port: int) -> Iterator[int]:
    """The port of an `epmd` of this test's own. Without Erlang: skipped, or failed if it is required."""
    if shutil.which("erl") is None:
        missing = "no `erl` on PATH: apt install erlang-base"
        if os.environ.get("ERGO_REQUIRE_ERLANG") == "1":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    process = subprocess.Popen(["epmd", "-port", str(free_tcp_port), "-address", "127.0.0.1"])
    try:
        poll(lambda: asks_epmd(free_tcp_port, b"n") is not None)
        yield free_tcp_port
    finally:
        process.kill()
        process.wait()


def poll(done: Callable[[], bool]) -> None:
    give_up = time.monotonic() + DEADLINE
    while not done():
        assert time.monotonic() < give_up, "nothing happened in time"
        time.sleep(0.02)


def asks_epmd(port: int, request: bytes) -> bytes | None:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection:
            connection.sendall(pack(">H", len(request)) + request)
            answer = b""
            while data := connection.recv(1000):
                answer += data
            return answer
    except ConnectionError:
        return None


def erl(epmd: int, expression: str, cookie: str = COOKIE) -> subprocess.Popen[str]:
    command = ["erl", "-noinput", "-name", THEIRS, "-setcookie", cookie, "-start_epmd", "false"]
    return subprocess.Popen(
        [*command, "-kernel", "inet_dist_use_interface", "{127,0,0,1}", "-eval", expression],
        env={**os.environ, "ERL_EPMD_PORT": str(epmd), "ERL_CRASH_DUMP": os.devnull},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def port(epmd: int) -> Iterator[int]:
    """The distribution port of a node with an `echo`."""
    with running(epmd, ECHO) as port:
        yield port


@contextmanager
def running(epmd: int, expression: str) -> Iterator[int]:
    """The distribution port of a node that says when it is ready."""
    process = erl(epmd, expression)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield unpack(">H", (asks_epmd(epmd, b"zerl") or b"")[2:4])[0]
    finally:
        process.kill()
        process.communicate()


class Peer:
    """A connection and its socket, driven until what is waited for has come."""

    def __init__(self, connection: Connection, stream: socket.socket) -> None:
        self.connection = connection
        self.heard: list[Event] = []
        self._stream = stream
        stream.settimeout(0.1)
        self.creation = 1
        self.name = OURS

    @classmethod
    def dial(cls, port: int, local: LocalNode, cookie: str = COOKIE) -> Self:
        stream = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        return cls(Connection.initiator(local, THEIRS, cookie, time.monotonic()), stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def wait(self, kind: type[E]) -> E:
        """The next event of this kind; those before it stay out."""
        give_up = time.monotonic() + DEADLINE
        while True:
            self.flush()
            while self.heard:
                event = self.heard.pop(0)
                if isinstance(event, kind):
                    return event
                assert not isinstance(event, Closed), event.text
            assert time.monotonic() < give_up, f"no {kind.__name__}"
            self._read()

    def receive(self) -> Received:
        return self.wait(Received)

    def asked_for_is_auth(self) -> tuple[Pid, Term]:
        """The caller of net_adm:ping, and its tag."""
        while True:
            match self.receive().payload:
                case (Atom("$gen_call"), (Pid() as caller, tag), (Atom("is_auth"), Atom())):
                    return caller, tag

    def flush_some(self) -> None:
        """What the connection hands out at once."""
        self._stream.settimeout(DEADLINE)
        self._stream.sendall(b"".join(self.connection.data_to_send()))
        self._stream.settimeout(0.1)

    def flush(self) -> None:
        self._stream.settimeout(DEADLINE)
        while buffers := self.connection.data_to_send():
            self._stream.sendall(b"".join(buffers))
        self._stream.settimeout(0.1)

    def _read(self) -> None:
        try:
            data = self._stream.recv(65536)
        except TimeoutError:
            data = None
        except ConnectionError:
            data = b""
        if data:
            self.connection.receive_data(data)
        elif data == b"":
            self.connection.receive_eof()
        self.connection.handle_time(time.monotonic())
        self.heard += self.connection.events()

    def connected(self) -> Connected:
        up = self.wait(Connected)
        self.name, self.creation = up.our_name, up.our_creation
        return up

    def pid(self, id: int = 1) -> Pid:
        return Pid(self.name, id, 0, self.creation)

    def ref(self, id: int = 1) -> Reference:
        return Reference(self.name, self.creation, (id, 2, 3))

    def echo(self, term: Term) -> Term:
        self.connection.send(RegSend(self.pid(), Atom("echo")), (self.pid(), term))
        received = self.receive()
        assert isinstance(received.message, SendSender)
        assert received.message.to_pid == self.pid()
        return received.payload


@pytest.fixture
def peer(port: int) -> Iterator[Peer]:
    with Peer.dial(port, LocalNode(OURS, 77, HIDDEN)) as dialled:
        dialled.connected()
        yield dialled


def test_we_connect(port: int, otp_release: int) -> None:
    with Peer.dial(port, LocalNode(OURS, 77, HIDDEN)) as peer:
        up = peer.connected()
        assert (up.name, up.hidden, up.our_name) == (THEIRS, True, OURS)
        later = [flag for release, flag in LATER.items() if otp_release < release]
        assert up.flags == HIDDEN & ~reduce(or_, later, DistFlags(0))
        call = (Atom("$gen_call"), (peer.pid(), peer.ref()), (Atom("is_auth"), Atom(OURS)))
        peer.connection.send(RegSend(peer.pid(), Atom("net_kernel")), call)
        assert peer.receive().payload == (peer.ref(), Atom("yes"))


def listener(epmd: int) -> tuple[socket.socket, socket.socket]:
    """A socket that EPMD knows as ours, and the socket that keeps the registration."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(DEADLINE)
    name = OURS.partition("@")[0].encode()
    request = pack(">BHBBHHH", 120, listening.getsockname()[1], 77, 0, 6, 5, len(name)) + name + b"\0\0"
    registration = socket.create_connection(("127.0.0.1", epmd), timeout=DEADLINE)
    registration.sendall(pack(">H", len(request)) + request)
    assert registration.recv(100)[:2] == b"v\0"
    return listening, registration


def test_we_are_connected_to_and_answer_a_ping(epmd: int) -> None:
    listening, registration = listener(epmd)
    ping = f"io:format(\"~p~n\", [net_adm:ping('{OURS}')]), halt()"
    with listening, registration, erl(epmd, ping) as process:
        try:
            stream, _ = listening.accept()
            with Peer(Connection.acceptor(LocalNode(OURS, 77), time.monotonic()), stream) as peer:
                asked = peer.wait(ConnectionRequested)
                assert (asked.name, asked.hidden, asked.wants_name) == (THEIRS, False, False)
                peer.connection.send(Accept(COOKIE))
                assert peer.connected().name == THEIRS
                caller, tag = peer.asked_for_is_auth()
                peer.connection.send(SendSender(peer.pid(), caller), (tag, Atom("yes")))
                peer.flush()
                out, _ = process.communicate(timeout=DEADLINE)
                assert out == "pong\n"
        finally:
            process.kill()


@pytest.mark.parametrize(
    "flags", [HIDDEN, NO_CACHE, NO_FRAGMENTS, NEITHER], ids=["both", "fragments", "cache", "plain"]
)
def test_terms_of_all_sizes_come_back(port: int, flags: DistFlags) -> None:
    with Peer.dial(port, LocalNode(OURS, 77, flags)) as peer:
        peer.connected()
        for size in (0, 1, 65_000, 65_536, 70_000, 1_000_000):
            assert peer.echo([Atom("data"), bytes(size)]) == [Atom("data"), bytes(size)]
        small = {Atom("a"): (1, 2.5, [Atom("\u20ac" * 255)])}
        assert peer.echo(small) == small


def test_small_messages_overtake_a_large_one_of_another_process(epmd: int) -> None:
    large = bytes(range(256)) * 234_375
    with running(epmd, WITNESS) as port, Peer.dial(port, LocalNode(OURS, 77, HIDDEN)) as peer:
        peer.connected()
        first, second = peer.pid(1), peer.pid(2)
        peer.connection.send(RegSend(first, Atom("echo")), (first, large))
        peer.connection.send(RegSend(first, Atom("echo")), (first, Atom("after")))
        for number in range(20):
            peer.flush_some()
            peer.connection.send(RegSend(second, Atom("echo")), (second, (Atom(f"new{number}"), number)))
        heard = [peer.receive() for _ in range(22)]
        assert [received.payload for received in heard] == [
            *((Atom("small"), (Atom(f"new{number}"), number)) for number in range(20)),
            (Atom("large"), md5(large).digest()),
            (Atom("small"), Atom("after")),
        ]
        to = [received.message.to_pid for received in heard if isinstance(received.message, SendSender)]
        assert to == [second] * 20 + [first] * 2


def test_more_atoms_than_the_cache_has_slots(peer: Peer) -> None:
    for _ in range(2):
        for start in range(0, 3000, 250):
            atoms = [Atom(f"atom_{number}") for number in range(start, start + 250)]
            assert peer.echo(atoms) == atoms
    many = [Atom(f"atom_{number}") for number in range(1000)]
    assert peer.echo(many) == many


def test_monitor_link_exit(peer: Peer, otp_release: int) -> None:
    peer.connection.send(MonitorP(peer.pid(), Atom("echo"), peer.ref()))
    peer.connection.send(MonitorP(peer.pid(), Atom("nobody"), peer.ref(9)))
    nobody = PayloadMonitorPExit(Atom("nobody"), peer.pid(), peer.ref(9))
    assert peer.receive() == Received(nobody, Atom("noproc"))
    peer.connection.send(RegSend(peer.pid(), Atom("echo")), (peer.pid(), 1))
    echo = peer.receive().message
    assert isinstance(echo, SendSender)
    peer.connection.send(Link(peer.pid(), echo.from_pid))
    if otp_release < 24:
        peer.connection.send(Unlink(peer.pid(), echo.from_pid))
    else:
        peer.connection.send(UnlinkId(5, peer.pid(), echo.from_pid))
        assert peer.receive().message == UnlinkIdAck(5, echo.from_pid, peer.pid())
    peer.connection.send(Link(peer.pid(), echo.from_pid))
    peer.connection.send(Exit2(peer.pid(), echo.from_pid, Atom("kill")))
    ended = [peer.receive(), peer.receive()]
    assert Received(PayloadExit(echo.from_pid, peer.pid()), Atom("killed")) in ended
    assert Received(PayloadMonitorPExit(Atom("echo"), peer.pid(), peer.ref()), Atom("killed")) in ended


def test_spawn(peer: Peer) -> None:
    request = SpawnRequest(
        peer.ref(), peer.pid(), peer.pid(), (Atom("erlang"), Atom("send"), 2), [Atom("monitor")]
    )
    peer.connection.send(request, [peer.pid(7), Atom("hello")])
    received = [peer.receive() for _ in range(3)]
    reply = next(each.message for each in received if isinstance(each.message, SpawnReply))
    assert (reply.ref, reply.to_pid, reply.flags) == (peer.ref(), peer.pid(), 2)
    assert isinstance(reply.result, Pid)
    assert Received(SendSender(reply.result, peer.pid(7)), Atom("hello")) in received
    down = PayloadMonitorPExit(reply.result, peer.pid(), peer.ref())
    assert received[-1] == Received(down, Atom("normal"))


def test_a_dynamic_node_is_given_a_name(port: int) -> None:
    with Peer.dial(port, LocalNode.dynamic("127.0.0.1")) as peer:
        up = peer.connected()
        assert up.our_name.endswith("@127.0.0.1")
        assert up.our_creation > 3
        assert peer.echo(Atom("hi")) == Atom("hi")


def test_a_second_connection_replaces_the_first(port: int, peer: Peer, otp_release: int) -> None:
    if otp_release < 25:
        pytest.skip("OTP 23 waits until it has noticed by itself that the first one is dead")
    with Peer.dial(port, LocalNode(OURS, 78, HIDDEN)) as second:
        assert second.wait(AliveAsked) == AliveAsked(THEIRS)
        second.connection.send(AnswerAlive(proceed=True))
        second.connected()
        assert peer.wait(Closed).reason == "connection_closed"
        assert second.echo(1) == 1


def test_a_wrong_cookie(port: int) -> None:
    with Peer.dial(port, LocalNode(OURS, 77), cookie="other") as peer:
        assert peer.wait(Closed).reason == "cookie_mismatch"


def test_a_peer_with_a_wrong_cookie(epmd: int) -> None:
    listening, registration = listener(epmd)
    ping = f"io:format(\"~p~n\", [net_adm:ping('{OURS}')]), halt()"
    with listening, registration, erl(epmd, ping, cookie="other") as process:
        try:
            stream, _ = listening.accept()
            with Peer(Connection.acceptor(LocalNode(OURS, 77), time.monotonic()), stream) as peer:
                peer.wait(ConnectionRequested)
                peer.connection.send(Accept(COOKIE))
                assert peer.wait(Closed).reason == "cookie_mismatch"
            out, _ = process.communicate(timeout=DEADLINE)
            assert out == "pang\n"
        finally:
            process.kill()


def test_missing_flags_are_named(port: int, otp_release: int) -> None:
    if otp_release < 25:
        pytest.skip("OTP 25 was the first to demand MAP_TAG")
    lacking = MANDATORY_25 & ~DistFlags.MAP_TAG
    with Peer.dial(port, LocalNode(OURS, 77, lacking)) as peer:
        closed = peer.wait(Closed)
        assert (closed.reason, closed.status) == ("refused", "not_allowed")
        assert DistFlags.MAP_TAG in closed.missing
        assert "MAP_TAG" in closed.text


def test_our_own_ticks_are_heard(epmd: int) -> None:
    listening, registration = listener(epmd)
    wait = f"net_kernel:set_net_ticktime(4, 0), net_adm:ping('{OURS}'), receive after 20000 -> halt() end"
    with listening, registration, erl(epmd, wait) as process:
        try:
            stream, _ = listening.accept()
            local = LocalNode(OURS, 77, HIDDEN)
            with Peer(Connection.acceptor(local, time.monotonic(), tick_time=4.0), stream) as peer:
                peer.wait(ConnectionRequested)
                peer.connection.send(Accept(COOKIE))
                peer.connected()
                began = time.monotonic()
                while time.monotonic() < began + 7.0:  # beyond 4 * (1 + 1/4) seconds a silent peer is dropped
                    assert peer.wait(Ticked) == Ticked()
        finally:
            process.kill()
