"""Thousands of nodes, beside clients that say nothing."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from epmd_server import Alive2Request, NamesRequest, Port2Request, encode_request

resource = pytest.importorskip("resource", reason="limits of POSIX")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")

NODES, IDLE, LOOK_UPS = 2000, 1000, 400
FILES = 2 * (NODES + IDLE)
NAMES = encode_request(NamesRequest())


@pytest.fixture
def epmd(free_tcp_port: int) -> Iterator[tuple[int, Callable[[], int]]]:
    """The port of a server process, and how many KiB of memory it holds."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        pytest.skip(f"needs {FILES} open files, {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))
    process = subprocess.Popen([sys.executable, "-m", "epmd_server", "-port", str(free_tcp_port)])

    def resident_kib() -> int:
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    try:
        until(lambda: listens(free_tcp_port))
        yield free_tcp_port, resident_kib
    finally:
        process.kill()
        process.wait()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true within 20 s"
        time.sleep(0.01)


def listens(port: int) -> bool:
    try:
        return ask(port, NAMES) != b""
    except OSError:
        return False


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def ask(port: int, wire: bytes) -> bytes:
    with connect(port) as sock:
        sock.sendall(wire)
        return b"".join(iter(lambda: sock.recv(1 << 20), b""))


def register_all(stack: ExitStack, port: int, prefix: str) -> list[str]:
    """Connect all, then ask for all at once: the answers are read when every request is on its way."""
    nodes = {f"{prefix}{number}": stack.enter_context(connect(port)) for number in range(NODES)}
    for number, (name, sock) in enumerate(nodes.items()):
        sock.sendall(encode_request(Alive2Request(1 + number, 77, 0, 6, 5, name.encode())))
    refused = [name for name, sock in nodes.items() if sock.recv(6)[:2] != b"v\0"]
    assert refused == []
    return list(nodes)


def test_thousands_of_nodes_beside_silent_clients(epmd: tuple[int, Callable[[], int]]) -> None:
    port, resident_kib = epmd
    with ExitStack() as stack:
        names = register_all(stack, port, "node")
        for _ in range(IDLE):
            stack.enter_context(connect(port))
        started = time.monotonic()
        for number in range(LOOK_UPS):
            index = number * 7 % NODES
            found = ask(port, encode_request(Port2Request(names[index].encode())))
            assert found[:4] == b"w\0" + (1 + index).to_bytes(2)
        assert LOOK_UPS / (time.monotonic() - started) > 200
        listed = ask(port, NAMES)[4:].decode().splitlines()
        assert sorted(listed) == sorted(f"name {name} at port {1 + n}" for n, name in enumerate(names))
        per_connection_kib = resident_kib() / (NODES + IDLE)
    assert per_connection_kib < 40
    until(lambda: len(ask(port, NAMES)) == 4)


def test_memory_is_flat_while_nodes_come_and_go(epmd: tuple[int, Callable[[], int]]) -> None:
    port, resident_kib = epmd
    resident: list[int] = []
    for life in range(4):
        with ExitStack() as stack:
            register_all(stack, port, f"life{life}-")
        until(lambda: len(ask(port, NAMES)) == 4)
        resident.append(resident_kib())
    assert resident[-1] < resident[1] * 1.1, resident
