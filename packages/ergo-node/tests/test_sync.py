"""The facade for programs without async: a node in a thread, driven from the test's own thread."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from ergo_node import BadName, Epmd, NotConnected, RemoteName, sync
from ergo_node.sync import SyncNode, connect
from etf_codec import Atom, Pid
from otp_behaviors import CallTimeout, Down, GenServer, NoProcess

HOST, COOKIE = "127.0.0.1", "secret"
GET = Atom("get")


class Shop(GenServer):
    """Answers, sends back what it is sent, ends when told to."""

    def init(self) -> None:
        self.sold: list[Any] = []

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.sold if request == GET else request

    def handle_cast(self, message: Any) -> None:
        self.sold.append(message)

    def handle_info(self, message: Any) -> None:
        pid, text = message
        self.send(pid, text)


@pytest.fixture(params=["asyncio", "trio"])
def shop(request: pytest.FixtureRequest, free_tcp_port: int) -> Iterator[SyncNode]:
    with SyncNode(f"shop@{HOST}", COOKIE, backend=request.param, epmd=Epmd(free_tcp_port)) as node:
        node.start(Shop, name="shop")
        node.node.provide("math_py", "double", lambda number: number * 2)
        yield node


@pytest.fixture
def client(shop: SyncNode) -> Iterator[SyncNode]:
    epmd = shop.node._epmd
    with connect(shop.name, COOKIE, backend=shop._backend, epmd=epmd) as node:
        yield node


def test_exports() -> None:
    assert sync.__all__ == ["RemoteName", "SyncNode", "connect"]
    assert sync.RemoteName is RemoteName


@pytest.mark.timeout(20)
def test_calls_casts_and_rpc(client: SyncNode) -> None:
    to = RemoteName("shop", client.peer)
    assert client.call(to, (1, b"two")) == (1, b"two")
    client.cast(to, Atom("tea"))
    assert client.call(to, GET) == [Atom("tea")]
    assert client.rpc(client.peer, "math_py", "double", [21]) == 42
    assert client.ping(client.peer)
    assert client.nodes("all") == [client.peer]
    with pytest.raises(NoProcess):
        client.call(RemoteName("nobody", client.peer), GET)
    assert client.disconnect(client.peer)
    assert client.nodes("all") == []


@pytest.mark.timeout(20)
def test_messages_and_monitors(client: SyncNode, shop: SyncNode) -> None:
    to = RemoteName("shop", client.peer)
    assert isinstance(client.pid, Pid)
    for text in ("a", "b", "c"):
        client.send(to, (client.pid, Atom(text)))
    assert client.receive(lambda message: message == Atom("b"), timeout=5) == Atom("b")
    assert [client.receive(timeout=5), client.receive(timeout=5)] == [Atom("a"), Atom("c")]
    with pytest.raises(TimeoutError, match=r"no message within 0.01 s"):
        client.receive(timeout=0.01)
    with pytest.raises(TimeoutError):
        client.receive(timeout=0)
    first, second = client.monitor(to), client.monitor(to)
    assert client.demonitor(first)
    shop.run(shop.node.stop, "shop")
    down = client.receive(timeout=5)
    assert isinstance(down, Down)
    assert (down.ref, down.reason) == (second, Atom("normal"))
    assert client.monitor(to) != second
    gone = client.receive(timeout=5)
    assert isinstance(gone, Down)
    assert gone.reason == Atom("noproc")


@pytest.mark.timeout(30)
def test_many_threads_share_a_node(client: SyncNode) -> None:
    to, answers = RemoteName("shop", client.peer), dict[int, Any]()

    def ask(number: int) -> None:
        answers[number] = [client.call(to, (number, round)) for round in range(10)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: [(number, round) for round in range(10)] for number in range(20)}


@pytest.mark.timeout(20)
def test_who_waits_when_the_node_is_left_hears_of_it(free_tcp_port: int) -> None:
    failures: list[BaseException] = []
    node = SyncNode(f"a@{HOST}", COOKIE, epmd=Epmd(free_tcp_port))

    def wait() -> None:
        waiting.set()
        try:
            node.receive()
        except RuntimeError as error:
            failures.append(error)

    waiting = threading.Event()
    thread = threading.Thread(target=wait)
    with node:
        thread.start()
        waiting.wait()
    thread.join()
    assert "is not running" in str(failures[0])
    with pytest.raises(RuntimeError, match="use it as `with`"):
        node.ping("b@host")
    with pytest.raises(RuntimeError, match="use it as `with`"):
        node.receive(timeout=0)


@pytest.mark.timeout(20)
def test_nobody_to_connect_to(free_tcp_port: int) -> None:
    with pytest.raises(BadName, match="use 'shop@host'"):
        connect("shop")
    threads = threading.active_count()
    with pytest.raises(NotConnected, match=r"nobody@127.0.0.1"):
        connect("nobody@127.0.0.1", COOKIE, epmd=Epmd(free_tcp_port)).__enter__()
    assert threading.active_count() == threads
    with SyncNode(f"a@{HOST}", COOKIE, epmd=Epmd(free_tcp_port)) as node:
        with pytest.raises(RuntimeError, match="was not given a peer"):
            _ = node.peer
        with pytest.raises(CallTimeout):
            node.call(node.pid, GET, timeout=0.05)


SCRIPT = """
import sys
from ergo_node.sync import RemoteName, connect
with connect(sys.argv[1], "secret") as node:
    print(node.call(RemoteName("shop", node.peer), 7), flush=True)
    node.receive()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
@pytest.mark.timeout(30)
def test_a_script_of_five_lines_and_ctrl_c(shop: SyncNode) -> None:
    assert shop.node._epmd is not None
    environment = {**os.environ, "ERL_EPMD_PORT": str(shop.node._epmd.port)}
    command = [sys.executable, "-c", SCRIPT, shop.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as script:
        assert script.stdout is not None
        assert script.stderr is not None
        assert script.stdout.readline() == b"7\n"
        assert len(shop.nodes("all")) == 1
        script.send_signal(signal.SIGINT)
        assert script.wait(10) == -signal.SIGINT
        errors = script.stderr.read().decode()
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "Error" not in errors.replace("KeyboardInterrupt", "")
