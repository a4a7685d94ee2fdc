"""epmd-server beside the C `epmd`: the same requests, the same bytes, the same texts, the same Erlang nodes.

Every request of epmd_cases.CASES, legal or not, goes to both. Where ours differs, it does so on purpose:
epmd_cases.DEVIATIONS holds what ours does, docs/epmd-deviations.md why.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import pytest
from epmd_cases import CASES, DEVIATIONS, FOUND, PORT, SMILE, STOP, Case, Do, Seen, alive, packet

OUR_EPMD = (sys.executable, "-m", "epmd_server")
THEIR_EPMD = ("epmd",)
DOCUMENT = Path(__file__).parent.parent / "docs" / "epmd-deviations.md"
WAIT = 10.0


class Epmd:
    """One EPMD in the background, ours or theirs."""

    def __init__(self, words: Sequence[str], flags: Sequence[str], port: int) -> None:
        self.port = port
        self.process = subprocess.Popen(
            [*words, "-port", str(port), *flags], stderr=subprocess.DEVNULL, cwd="/"
        )
        wait_until(self.answers)

    def answers(self) -> bool:
        try:
            return len(self.names()) >= 4
        except OSError:
            return False

    def names(self) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT) as sock:
            sock.sendall(packet(b"n"))
            return b"".join(iter(lambda: sock.recv(65536), b""))

    def is_empty(self) -> bool:
        return len(self.names()) == 4

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(WAIT)


class Running(Protocol):
    """Has an EPMD run for as long as a `with` lasts."""

    def __call__(self, words: Sequence[str], *flags: str) -> AbstractContextManager[Epmd]: ...


@pytest.fixture
def running(free_tcp_port_factory: Callable[[], int]) -> Running:
    @contextmanager
    def running(words: Sequence[str], *flags: str) -> Iterator[Epmd]:
        epmd = Epmd(words, flags, free_tcp_port_factory())
        try:
            yield epmd
        finally:
            epmd.kill()

    return running


def wait_until(condition: Callable[[], object], seconds: float = WAIT) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.01)


def play(case: Case, epmd: Epmd) -> list[Seen]:
    """Let the clients do their steps; what each saw, with ports, creations and descriptors made equal."""
    seen: list[Seen] = []
    with ExitStack() as stack:
        clients: dict[str, socket.socket] = {}
        for name, action in case.steps:
            if name not in clients:
                connection = socket.create_connection(("127.0.0.1", epmd.port), timeout=WAIT)
                clients[name] = stack.enter_context(connection)
            data, state = act(clients[name], action, epmd)
            seen.append((name, normalized(data, epmd.port), state))
    return seen


def act(client: socket.socket, action: bytes | Do, epmd: Epmd) -> tuple[bytes, str]:
    try:
        match action:
            case bytes():
                client.sendall(action)
            case Do.SHUT:
                client.shutdown(socket.SHUT_WR)
            case Do.CLOSE:
                client.close()
    except OSError:
        pass  # EPMD has closed already: what it sent before is still there to read
    try:
        # What was sent before these questions is dealt with before the last of them is answered.
        for _ in range(3):
            epmd.names()
    except OSError:
        epmd.process.wait(WAIT)
    return (b"", "closed") if action is Do.CLOSE else drain(client)


def drain(client: socket.socket) -> tuple[bytes, str]:
    client.setblocking(False)
    data = b""
    try:
        while piece := client.recv(65536):
            data += piece
    except BlockingIOError:
        return data, "open"
    except ConnectionResetError:
        pass
    finally:
        client.settimeout(WAIT)
    return data, "closed"


def normalized(data: bytes, port: int) -> bytes:
    if data[:2] == b"v\0" and len(data) == 6 and int.from_bytes(data[2:]) > 3:
        return b"v\0<CREATION>"
    if data[:2] == b"y\0" and len(data) == 4 and int.from_bytes(data[2:]) in {1, 2, 3}:
        return b"y\0<CREATION>"
    if data.startswith(port.to_bytes(4)):
        data = PORT + data[4:]
    return re.sub(rb"fd = \d+", b"fd = <FD>", data)


@pytest.fixture(scope="session", autouse=True)
def their_epmd() -> None:
    """Asks for Erlang: skips this file, or fails it when ERGO_REQUIRE_ERLANG=1."""
    if shutil.which("epmd") is None or shutil.which("erl") is None:
        message = "no `epmd` and `erl` on PATH: install Erlang/OTP"
        if os.environ.get("ERGO_REQUIRE_ERLANG") == "1":
            pytest.fail(f"ERGO_REQUIRE_ERLANG=1, but {message}", pytrace=False)
        pytest.skip(message)


@pytest.mark.parametrize("name", CASES)
def test_every_request_against_both(name: str, running: Running) -> None:
    case = CASES[name]
    with running(THEIR_EPMD, *case.flags) as theirs:
        expected = play(case, theirs)
    with running(OUR_EPMD, *case.flags) as ours:
        seen = play(case, ours)
    if name in DEVIATIONS:
        assert seen == DEVIATIONS[name]
        assert seen != expected, "no deviation any more: take it off the table"
    else:
        assert seen == expected


def test_deviations_are_documented() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [name for name in DEVIATIONS if f"`{name}`" not in text] == []


def test_silent_clients_against_both(running: Running) -> None:
    """Idle and half requests are closed, registered nodes are not; both check the time in whole seconds."""
    outcomes = []
    for words in (THEIR_EPMD, OUR_EPMD):
        with running(words, "-packet_timeout", "1") as epmd, ExitStack() as stack:
            clients = [
                stack.enter_context(socket.create_connection(("127.0.0.1", epmd.port), timeout=WAIT))
                for _ in range(4)
            ]
            clients[1].sendall(b"\0\5n")
            clients[2].sendall(alive())
            clients[3].sendall(alive())
            assert clients[0].recv(1) == b""
            assert clients[1].recv(1) == b""
            outcomes.append([drain(client)[1] for client in clients[2:]])
    assert outcomes == [["open", "open"], ["open", "open"]]


def test_creations_against_both(running: Running) -> None:
    """Unix time at first, plus one with each life of the name, modulo 3 for old nodes."""
    for words in (THEIR_EPMD, OUR_EPMD):
        creations = []
        with running(words) as epmd:
            started = int(time.time())
            for high in (6, 6, 5, 5, 5, 6, 6):
                with socket.create_connection(("127.0.0.1", epmd.port), timeout=WAIT) as node:
                    node.sendall(alive(high=high))
                    creations.append(int.from_bytes(node.recv(6)[2:]))
                wait_until(epmd.is_empty)
        first = creations[0]
        assert started - 1 <= first <= started + 10
        narrow = [(first + lives) % 3 + 1 for lives in (2, 3, 4)]
        assert creations == [first, first + 1, *narrow, first + 5, first + 6]


def test_other_hosts_against_both(running: Running) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: asks the routing table for our own address
        except OSError:
            pytest.skip("this host has no address but loopback")
        own = probe.getsockname()[0]
    seen: list[list[tuple[bytes, str]]] = []
    for words in (THEIR_EPMD, OUR_EPMD):
        with running(words, "-relaxed_command_check") as epmd, ExitStack() as stack:
            node = stack.enter_context(socket.create_connection(("127.0.0.1", epmd.port), timeout=WAIT))
            act(node, alive(), epmd)
            seen.append([])
            for wire in (alive(b"remote"), FOUND, packet(b"n"), packet(b"d"), packet(b"k"), STOP):
                source = (own, 0)
                client = socket.create_connection(
                    ("127.0.0.1", epmd.port), timeout=WAIT, source_address=source
                )
                data, state = act(stack.enter_context(client), wire, epmd)
                seen[-1].append((normalized(data, epmd.port), state))
    assert seen[0] == seen[1]


COMMANDS = [["-names"], ["-dump"], ["-started"], ["-stop", "n"], ["-stop", "nobody"], ["-kill"], ["-bogus"]]


@pytest.mark.parametrize("flags", [[], ["-relaxed_command_check"]], ids=["", "relaxed"])
def test_commands_print_the_same_of_both(flags: list[str], running: Running) -> None:
    """Their command and ours, each asking their server and ours: four outputs, one text, one exit code."""
    outputs = []
    for server in (THEIR_EPMD, OUR_EPMD):
        for client in (THEIR_EPMD, OUR_EPMD):
            with running(server, *flags) as epmd, ExitStack() as stack:
                for wire in (alive(), alive(SMILE), alive(b"a b", port=0)):
                    node = stack.enter_context(
                        socket.create_connection(("127.0.0.1", epmd.port), timeout=WAIT)
                    )
                    act(node, wire, epmd)
                outputs.append([run_command(client, each, epmd.port) for each in COMMANDS])
    assert outputs[1:] == outputs[:1] * 3
    heading = "epmd: up and running on port <PORT> with data:\n"
    lines = f"name a b at port 0\nname {SMILE.decode()} at port 4000\nname n at port 4000\n"
    assert outputs[0][0] == (0, heading + lines)


def test_commands_without_an_epmd_print_the_same(free_tcp_port: int) -> None:
    theirs, ours = (
        [run_command(words, each, free_tcp_port) for each in COMMANDS] for words in (THEIR_EPMD, OUR_EPMD)
    )
    assert ours == theirs


def run_command(words: Sequence[str], arguments: Sequence[str], port: int) -> tuple[int, str]:
    result = subprocess.run(
        [*words, "-port", str(port), *arguments], capture_output=True, timeout=WAIT, check=False
    )
    text = re.sub(r"fd = \d+", "fd = <FD>", result.stdout.decode())
    return result.returncode, text.replace(str(port), "<PORT>")


def test_a_second_epmd_is_no_failure_for_either(running: Running) -> None:
    for first, second in ((THEIR_EPMD, OUR_EPMD), (OUR_EPMD, THEIR_EPMD)):
        with running(first) as epmd:
            assert run_command(second, [], epmd.port) == (0, "")
            assert run_command(second, ["-daemon"], epmd.port) == (0, "")
            assert epmd.answers()


@contextmanager
def erl(port: int, name: str, *arguments: str, evaluate: str = "ok") -> Iterator["subprocess.Popen[str]"]:
    words = ["erl", "-noinput", "-name", f"{name}@127.0.0.1", "-setcookie", "c", *arguments]
    process = subprocess.Popen(
        [*words, "-eval", f"{evaluate}."],
        env=os.environ | {"ERL_EPMD_PORT": str(port)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


NEVER_START = ("-start_epmd", "false")


def test_erlang_nodes_find_each_other_through_ours(running: Running) -> None:
    ask = """
        Pong = net_adm:ping('a@127.0.0.1'),
        {ok, Names} = net_adm:names({127, 0, 0, 1}),
        io:format("~p ~p", [Pong, lists:sort(Names)]),
        halt()
    """
    with running(OUR_EPMD) as epmd, erl(epmd.port, "a", *NEVER_START):
        wait_until(lambda: b"name a at port" in epmd.names(), 30)
        with erl(epmd.port, "b", *NEVER_START, evaluate=ask) as b:
            output, _ = b.communicate(timeout=30)
    assert re.fullmatch(r'pong \[\{"a",\d+\},\{"b",\d+\}\]', output)


def test_erlang_nodes_register_again_with_ours_after_theirs_was_killed(running: Running) -> None:
    with running(THEIR_EPMD) as theirs, erl(theirs.port, "a", *NEVER_START):
        wait_until(lambda: b"name a at port" in theirs.names(), 30)
        theirs.kill()
        ours = subprocess.Popen([*OUR_EPMD, "-port", str(theirs.port)])
        try:
            wait_until(theirs.answers)
            wait_until(lambda: b"name a at port" in theirs.names())
        finally:
            ours.kill()
            ours.wait(WAIT)


def test_erl_starts_ours_when_told_to_by_its_epmd_flag(daemon_port: int) -> None:
    program = " ".join(f'"{word}"' for word in OUR_EPMD)
    with erl(daemon_port, "a", "-epmd", f"{program} -daemon"):
        wait_until(lambda: runs_ours(daemon_port, "a"), 30)


def test_erl_starts_ours_when_it_takes_the_place_of_epmd(daemon_port: int, tmp_path: Path) -> None:
    """`erl` does not search PATH: it starts the `epmd` that lies beside the emulator."""
    where = 'io:format("~s~n~s", [os:getenv("BINDIR"), code:root_dir()]), halt().'
    asked = subprocess.run(
        ["erl", "-noinput", "-eval", where], capture_output=True, text=True, timeout=30, check=True
    )
    bindir, rootdir = asked.stdout.splitlines()
    for program in Path(bindir).iterdir():
        if program.name != "epmd":
            (tmp_path / program.name).symlink_to(program)
    (tmp_path / "epmd").write_text(f'#!/bin/sh\nexec {" ".join(OUR_EPMD)} "$@"\n')
    (tmp_path / "epmd").chmod(0o755)
    places = {"BINDIR": str(tmp_path), "ROOTDIR": rootdir, "EMU": "beam", "PROGNAME": "erl"}
    node = subprocess.Popen(
        [tmp_path / "erlexec", "-noinput", "-name", "a@127.0.0.1", "-setcookie", "c"],
        env=os.environ | places,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: runs_ours(daemon_port, "a"), 30)
    finally:
        node.kill()
        node.wait(WAIT)


@pytest.fixture
def daemon_port(free_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A free port for nodes and for an EPMD that one of them starts; the EPMD is ended after the test."""
    monkeypatch.setenv("ERL_EPMD_PORT", str(free_tcp_port))
    monkeypatch.setenv("ERL_EPMD_RELAXED_COMMAND_CHECK", "1")
    yield free_tcp_port
    assert (
        subprocess.run(["epmd", "-kill"], capture_output=True, timeout=WAIT, check=False).stdout
        == b"Killed\n"
    )


def runs_ours(port: int, node: str) -> bool:
    """Whether an EPMD knows the node, and answers a look-up of 255 characters as only ours does."""
    answers = []
    for wire in (packet(b"z" + node.encode()), packet(b"z" + b"a" * 255)):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as sock:
                sock.sendall(wire)
                answers.append(sock.recv(4096))
        except OSError:
            return False
    return answers[0][:2] == b"w\0" and answers[1] == b"w\1"
