"""Whoever is the EPMD is killed, again and again: every living node is soon back in the list of names."""

import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from subprocess import PIPE, STDOUT
from typing import Final

import anyio
import pytest
from anyio.abc import Process, TaskGroup
from anyio.streams.buffered import BufferedByteReceiveStream
from epmd_server import EpmdError, NameEntry, kill, names, register, serve
from ergo_node import CannotStart, Epmd, Node
from erlang_peer import Erl, StartErl
from etf_codec import Atom

pytestmark = pytest.mark.anyio

ERL: Final = "erl@127.0.0.1"
PYTHONS: Final = ("py1@127.0.0.1", "py2@127.0.0.1")

PROMISE: Final = 3.0
"""Seconds until all living nodes have their names again; OTP's own node tries every 2 s."""

PATIENCE: Final = 20.0
"""Seconds for what is not measured here: a program starts, a line is printed."""

ROUNDS: Final = ("kill", "kill", "replace by C") * 3 + ("kill",)
"""The first EPMD is the C one. `replace by C`: a C `epmd` is there before the survivors try to be it."""

PROGRAM: Final = """
import logging, sys
import anyio
from ergo_node import Node

name, backend = sys.argv[1:]
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")

async def main():
    async with Node(name, cookie="secret") as node:
        print("ready", flush=True)
        while True:
            await anyio.wait_readable(sys.stdin)
            peer = sys.stdin.readline().strip()
            if not peer:
                return
            await node.disconnect(peer)
            print(peer, await node.ping(peer), flush=True)

anyio.run(main, backend=backend)
"""


@dataclass
class Program:
    """One of our nodes in an operating system process of its own."""

    name: str
    process: Process
    lines: list[str] = field(default_factory=list)

    async def listen(self) -> None:
        """Take what the program prints, until it ends."""
        assert self.process.stdout is not None
        stream = BufferedByteReceiveStream(self.process.stdout)
        try:
            while True:
                line = await stream.receive_until(b"\n", 65536)
                self.lines.append(line.decode())
        except (anyio.EndOfStream, anyio.IncompleteRead):
            return

    async def until(self, line: str) -> None:
        """Wait for a line of the program."""
        await until(lambda: line in self.lines, PATIENCE, lambda: f"{self.name}: no {line!r} in {self.lines}")

    async def pings(self, peer: str) -> bool:
        """Connect anew to a node, which asks the EPMD for it; whether that could be."""
        assert self.process.stdin is not None
        answers = [f"{peer} True", f"{peer} False"]
        self.lines = [line for line in self.lines if line not in answers]
        await self.process.stdin.send(f"{peer}\n".encode())
        await until(
            lambda: any(answer in self.lines for answer in answers), PATIENCE, lambda: f"{self.lines}"
        )
        return answers[0] in self.lines

    @property
    def is_epmd(self) -> bool:
        """Whether the program says that it is the EPMD; it is for as long as it lives then."""
        return any(line.startswith(f"{self.name} is the EPMD") for line in self.lines)


class Cluster:
    """Two programs, one Erlang node, and whoever is the EPMD among them and the C `epmd`."""

    erl: Erl

    def __init__(self, port: int, backend: str, tasks: TaskGroup) -> None:
        self.programs: dict[str, Program] = {}
        self._port = port
        self._backend = backend
        self._tasks = tasks
        self._c_epmd: subprocess.Popen[bytes] | None = None

    async def start_program(self, name: str) -> None:
        """Start one of our nodes and wait until it is up."""
        command = [sys.executable, "-c", PROGRAM, name, self._backend]
        process = await anyio.open_process(command, stdin=PIPE, stdout=PIPE, stderr=STDOUT)
        program = self.programs[name] = Program(name, process)
        self._tasks.start_soon(program.listen)
        await program.until("ready")

    def start_c_epmd(self) -> None:
        """Start the C `epmd`; it ends by itself if another EPMD has the port."""
        self._c_epmd = subprocess.Popen(["epmd", "-port", str(self._port), "-address", "127.0.0.1"])

    async def kill_epmd(self) -> str:
        """`kill -9` the EPMD, whoever that is; return who it was: a node's name, or `epmd`."""
        if self._c_epmd is not None:
            alive = self._c_epmd.poll() is None
            self._c_epmd.kill()
            self._c_epmd.wait(PATIENCE)
            self._c_epmd = None
            if alive:
                return "epmd"
        holders = [program.name for program in self.programs.values() if program.is_epmd]
        assert len(holders) == 1, f"these say that they are the EPMD: {holders}"
        await self._kill_program(holders[0])
        return holders[0]

    async def _kill_program(self, name: str) -> None:
        program = self.programs.pop(name)
        print(f"-- {name}", *program.lines, sep="\n")
        program.process.kill()
        await program.process.wait()

    async def await_names(self, *nodes: str) -> float:
        """Wait until there is an EPMD that lists exactly these; return how many seconds that took."""
        wanted = {name.partition("@")[0] for name in nodes}
        since = anyio.current_time()
        while (listed := await self._names()) != wanted:
            assert anyio.current_time() < since + PATIENCE, f"{wanted} live, the EPMD lists {listed}"
            await anyio.sleep(0.01)
        return anyio.current_time() - since

    async def _names(self) -> set[str] | None:
        try:
            return {entry.name for entry in await names(epmd_port=self._port, timeout=PROMISE)}
        except EpmdError:
            return None

    async def meet_anew(self) -> None:
        """Every living node connects anew to every other, having asked the EPMD where it is.

        A node that was disconnected has `global` at the others disconnect as well, lest partitions overlap:
        that may come amid what connects anew, so a ping that fails is tried again.
        """
        for program in self.programs.values():
            await self.erl.eval(f"erlang:disconnect_node('{program.name}')")
            await self._until_met(partial(self._erl_pings, program.name), f"{ERL} to {program.name}")
            for peer in (ERL, *self.programs):
                if peer != program.name:
                    await self._until_met(partial(program.pings, peer), f"{program.name} to {peer}")

    async def _erl_pings(self, name: str) -> bool:
        return bool(await self.erl.eval(f"net_adm:ping('{name}')") == Atom("pong"))

    async def _until_met(self, ping: Callable[[], Awaitable[bool]], who: str) -> None:
        since = anyio.current_time()
        while not await ping():
            assert anyio.current_time() < since + PATIENCE, f"{who}: no connection"

    async def aclose(self) -> None:
        """Kill what still runs."""
        for name in list(self.programs):
            await self._kill_program(name)
        if self._c_epmd is not None:
            self._c_epmd.kill()
            self._c_epmd.wait(PATIENCE)


async def until(holds: Callable[[], bool], seconds: float, explain: Callable[[], str]) -> None:
    deadline = anyio.current_time() + seconds
    while not holds():
        assert anyio.current_time() < deadline, explain()
        await anyio.sleep(0.01)


@pytest.fixture
async def cluster(
    start_erl: StartErl,
    free_tcp_port_factory: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    anyio_backend_name: str,
) -> AsyncIterator[Cluster]:
    """The three nodes are up, and a C `epmd` that this fixture started is their EPMD."""
    port = free_tcp_port_factory()
    monkeypatch.setenv("ERL_EPMD_PORT", str(port))
    async with anyio.create_task_group() as tasks:
        cluster = Cluster(port, anyio_backend_name, tasks)
        try:
            cluster.start_c_epmd()
            await cluster.await_names()
            cluster.erl = await start_erl(ERL, epmd_port=port)
            for name in PYTHONS:
                await cluster.start_program(name)
            yield cluster
        finally:
            with anyio.CancelScope(shield=True):
                await cluster.aclose()


async def test_the_epmd_is_killed_ten_times(cluster: Cluster) -> None:
    killed: list[str] = []
    waited: list[float] = []
    for step in ROUNDS:
        killed.append(await cluster.kill_epmd())
        if step == "replace by C":
            cluster.start_c_epmd()
        waited.append(await cluster.await_names(ERL, *cluster.programs))
        await cluster.meet_anew()
        for name in set(PYTHONS) - set(cluster.programs):
            await cluster.start_program(name)
    print("killed:", *killed)
    print("seconds:", *(f"{seconds:.2f}" for seconds in waited))
    print(f"longest {max(waited):.2f} s, median {median(waited):.2f} s")
    assert max(waited) < PROMISE, waited
    assert killed.count("epmd") >= 2
    assert len(killed) - killed.count("epmd") >= 2


async def test_a_node_starts_although_the_epmd_it_finds_ends(
    free_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    ending = socket.create_server(("127.0.0.1", free_tcp_port))
    caplog.set_level("INFO", "ergo_node")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(end_at_the_first_client, ending)
        with anyio.fail_after(PROMISE):
            async with Node(PYTHONS[0], cookie="secret", epmd=Epmd(free_tcp_port)):
                assert [entry.name for entry in await names(epmd_port=free_tcp_port)] == ["py1"]
    assert f"{PYTHONS[0]} is the EPMD on port {free_tcp_port}" in caplog.messages


async def end_at_the_first_client(listening: socket.socket) -> None:
    with listening:
        await anyio.wait_readable(listening)
        client, _ = listening.accept()
        client.close()


async def test_a_node_does_not_start_beside_what_is_no_epmd(free_tcp_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_tcp_port)), anyio.fail_after(PATIENCE):
        with pytest.raises(CannotStart, match=f"port {free_tcp_port}, did not answer"):
            async with Node(PYTHONS[0], cookie="secret", epmd=Epmd(free_tcp_port)):
                pytest.fail("it started without an EPMD")


async def test_a_name_that_another_took_meanwhile_comes_back(
    free_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "ergo_node")
    alone = Epmd(free_tcp_port, embedded=False)
    async with serve(port=free_tcp_port, relaxed_command_check=True) as first:
        async with Node(PYTHONS[0], cookie="secret", epmd=alone) as node:
            await kill(epmd_port=free_tcp_port)
            await first.wait_closed()
            async with serve(port=free_tcp_port) as second:
                async with register("py1", 1, epmd_port=free_tcp_port):
                    await until(lambda: caplog.text.count("refuses") == 3, PATIENCE, lambda: caplog.text)
                again = NameEntry("py1", node.port)
                await until(lambda: second.names() == [again], PROMISE, lambda: caplog.text)
                refusals = [record.levelname for record in caplog.records if "refuses" in record.message]
                assert refusals.count("WARNING") == 1
