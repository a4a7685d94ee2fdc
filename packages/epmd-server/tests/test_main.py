"""The command as a process of its own; what the C `epmd` prints is compared in tests-interop."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from epmd_server import Alive2Request, NamesRequest, Port2Request, encode_request
from epmd_server.__main__ import main

Starter = Callable[..., subprocess.Popen[str]]

posix = pytest.mark.skipif(sys.platform == "win32", reason="forks, signals and file limits of POSIX")

NODE = encode_request(Alive2Request(4000, 77, 0, 6, 5, b"py"))
EMPTY = "epmd: up and running on port {} with data:\n"


@pytest.fixture
def port(free_tcp_port: int) -> int:
    return free_tcp_port


def command(*arguments: str, port: int) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"ERL_EPMD_PORT": str(port), "PYTHONUTF8": "1"}
    return subprocess.run(
        [sys.executable, "-m", "epmd_server", *arguments],
        env=environ, capture_output=True, encoding="utf-8", timeout=20, check=False,
    )  # fmt: skip


@pytest.fixture
def start(port: int) -> Iterator[Starter]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, limit: int | None = None) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "epmd_server", "-port", str(port), *arguments]
        if limit is not None:
            words = ["sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh", *words]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        becomes(lambda: answers(port))
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def becomes(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true within 10 s"
        time.sleep(0.01)


def answers(port: int) -> bool:
    try:
        return len(ask(port, encode_request(NamesRequest()))) >= 4
    except OSError:
        return False


def ask(port: int, wire: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
        sock.sendall(wire)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_names_and_their_exit_codes(port: int, start: Starter) -> None:
    start()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as node:
        node.sendall(encode_request(Alive2Request(4000, 77, 0, 6, 5, "né".encode())))
        node.recv(6)
        result = command("-names", port=port)
        assert (result.returncode, result.stdout, result.stderr) == (
            0, EMPTY.format(port) + "name né at port 4000\n", "",
        )  # fmt: skip
        assert command("-dump", port=port).stdout.startswith(
            EMPTY.format(port) + "active name     <né> at port 4000, fd = "
        )
        assert command("-started", port=port).stdout == ""
        result = command("-kill", port=port)
        assert (result.returncode, result.stdout) == (1, "Killing not allowed - living nodes in database.\n")
        result = command("-stop", "né", port=port)
        assert (result.returncode, result.stdout) == (1, "epmd: local epmd responded with <>\n")


def test_kill(port: int, start: Starter) -> None:
    process = start()
    result = command("-kill", port=port)
    assert (result.returncode, result.stdout) == (0, "Killed\n")
    assert process.wait(10) == 0


def test_relaxed_commands(port: int, start: Starter) -> None:
    process = start("-relaxed_command_check")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as node:
        node.sendall(NODE)
        node.recv(6)
        assert command("-stop", "py", port=port).stdout == "STOPPED\n"
        assert node.recv(1) == b""
        assert command("-stop", "py", port=port).stdout == "NOEXIST\n"
    with socket.create_connection(("127.0.0.1", port), timeout=5) as node:
        node.sendall(NODE)
        node.recv(6)
        assert command("-kill", port=port).stdout == "Killed\n"
    assert process.wait(10) == 0


@pytest.mark.parametrize("arguments", [["-names"], ["-dump"], ["-kill"], ["-stop", "x"]], ids=" ".join)
def test_nobody_there(port: int, arguments: list[str]) -> None:
    result = command(*arguments, port=port)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "epmd: Cannot connect to local epmd\n"


def test_nobody_started(port: int) -> None:
    result = command("-started", port=port)
    assert (result.returncode, result.stdout, result.stderr) == (1, "", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["-bogus"],
        ["-h"],
        ["-help"],
        ["-stop"],
        ["-port"],
        ["-port", "0"],
        ["-port", "65536"],
        ["-port", "x", "-names"],
        ["-packet_timeout", "0"],
        ["-delay_write", "x"],
        ["-names", "-kill"],
        ["positional"],
    ],
    ids=" ".join,
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    output = capsys.readouterr()
    assert (end.value.code, output.out) == (1, "")
    assert "usage: epmd-server" in output.err


@pytest.mark.parametrize(
    ("flag", "text"), [("--help", "-relaxed_command_check"), ("--version", "epmd-server 0.")]
)
def test_help_and_version(flag: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([flag])
    assert end.value.code == 0
    assert text in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["-address", "nonsense"], "cannot parse IP address 'nonsense'"),
        (["-address", "192.0.2.77"], "cannot listen on 192.0.2.77"),
        (["-systemd"], "systemd provides no sockets"),
    ],
)
def test_what_cannot_be_listened_on(
    arguments: list[str], text: str, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-port", str(port), *arguments]) == 1
    assert text in capsys.readouterr().err


def test_a_bad_environment_is_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ERL_EPMD_PORT", "many")
    assert main(["-names"]) == 1
    assert "ERL_EPMD_PORT='many'" in capsys.readouterr().err


def test_an_epmd_that_runs_already_is_no_failure(
    port: int, start: Starter, capsys: pytest.CaptureFixture[str]
) -> None:
    start()
    assert main(["-port", str(port)]) == 0
    assert capsys.readouterr().err == ""
    assert main(["-port", str(port), "-d"]) == 0
    assert "in use" in capsys.readouterr().err


@posix
def test_signals_end_it(port: int, start: Starter) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start()
        process.send_signal(number)
        assert process.wait(10) == 128 + number


def test_debugging_logs_registrations_and_refusals(port: int, start: Starter) -> None:
    process = start("-d")
    ask(port, b"\0\1w")
    with socket.create_connection(("127.0.0.1", port), timeout=5) as node:
        node.sendall(NODE)
        node.recv(6)
    becomes(lambda: ask(port, encode_request(Port2Request(b"py"))) == b"w\x01")
    assert command("-kill", port=port).returncode == 0
    log = process.communicate(timeout=10)[1]
    for text in ("got garbage", "registering b'py', port 4000", "unregistering b'py'", "got KILL_REQ"):
        assert text in log
    assert all(line.startswith("epmd: ") for line in log.splitlines())


@posix
def test_daemon_listens_when_its_starter_returns(port: int, tmp_path: Path) -> None:
    assert command("-daemon", port=port).returncode == 0
    try:
        result = command("-names", port=port)
        assert (result.returncode, result.stdout) == (0, EMPTY.format(port))
        again = command("-daemon", port=port)
        assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    finally:
        assert command("-kill", port=port).stdout == "Killed\n"


@posix
def test_daemon_reports_what_keeps_it_from_listening(port: int) -> None:
    result = command("-daemon", "-address", "192.0.2.77", port=port)
    assert result.returncode == 1
    assert "cannot listen on 192.0.2.77" in result.stderr


@posix
def test_running_out_of_file_descriptors_is_survived(port: int, start: Starter) -> None:
    process = start(limit=40)
    clients = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(80)]
    clients[0].sendall(NODE)
    assert clients[0].recv(6)[:2] == b"v\0"
    assert process.stderr is not None
    assert select.select([process.stderr], [], [], 10)[0], "80 clients fit into 40 file descriptors"
    for client in clients[1:]:
        client.close()
    assert ask(port, encode_request(NamesRequest())) == port.to_bytes(4) + b"name py at port 4000\n"
    clients[0].close()
    assert process.poll() is None
    process.terminate()
    assert "error in accept" in process.communicate(timeout=10)[1]
