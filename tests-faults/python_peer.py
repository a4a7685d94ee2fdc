"""A node of ours in a process of its own, which a test kills, stops, and starts again.

Run as a program it is that node: `python python_peer.py NAME EPMD_PORT PORT TICK_TIME BACKEND`. An EPMD_PORT
of 0 has it use no EPMD, a PORT of 0 listen where the system likes. It says `ready`, and lives until its
standard input ends, so that it never outlives the tests.
"""

import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from subprocess import PIPE

import anyio
import anyio.to_thread
from ergo_node import Epmd, Listen, Node, RemoteName
from etf_codec import Atom, Pid, Term
from otp_behaviors import GenServer, Process

COOKIE = "secret"
BOOT_TIMEOUT = 30.0


async def idle(process: Process) -> None:
    """Live until somebody ends it, and drop what comes."""
    while True:
        await process.receive()


class Hatch(GenServer):
    """Registered as `hatch`: makes processes, forwards, echoes."""

    def init(self, node: Node) -> None:
        self.node = node

    def handle_call(self, request: Term, caller: object) -> Term:
        """A number makes as many processes; a pid and a number sends `{hatch, 1}` and so on; else an echo."""
        match request:
            case int():
                return [self.node.spawn(idle) for _ in range(request)]
            case (Pid() as to, int(count)):
                for number in range(1, count + 1):
                    self.send(to, (Atom("hatch"), number))
        return request


class PythonPeer:
    """The test's side of it."""

    def __init__(self, name: str, process: anyio.abc.Process) -> None:
        self.name = name
        self.hatch = RemoteName("hatch", name)
        self._process = process

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP, SIGCONT, SIGKILL."""
        self._process.send_signal(number)

    async def leave(self) -> None:
        """Have it leave its node in the orderly way, and end."""
        assert self._process.stdin is not None
        await self._process.stdin.aclose()
        await self._process.wait()

    async def kill(self) -> None:
        """`kill -9`."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def python_peer(
    name: str,
    epmd_port: int,
    *,
    port: int = 0,
    tick_time: float = 60.0,
    backend: str = "asyncio",
    prefix: Sequence[str] = (),
) -> AsyncIterator[PythonPeer]:
    """Start a node in a process of its own; it is killed at the end, if it still lives."""
    command = [*prefix, sys.executable, __file__, name, str(epmd_port), str(port), str(tick_time), backend]
    process = await anyio.open_process(
        command, stdin=PIPE, stdout=PIPE, stderr=None, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    peer = PythonPeer(name, process)
    try:
        assert process.stdout is not None
        with anyio.fail_after(BOOT_TIMEOUT):
            assert (await process.stdout.receive()).strip() == b"ready"
        yield peer
    finally:
        with anyio.CancelScope(shield=True):
            await peer.kill()
            await process.aclose()


async def until_stdin_ends() -> None:
    """Wait for the test."""
    await anyio.to_thread.run_sync(sys.stdin.buffer.read, abandon_on_cancel=True)


async def main(*arguments: str) -> None:
    """Be the node."""
    name, epmd_port, port, tick_time = arguments
    epmd = Epmd(int(epmd_port), embedded=False) if int(epmd_port) else None
    listen = Listen(ports=[int(port)])
    async with Node(name, COOKIE, epmd=epmd, listen=listen, tick_time=float(tick_time)) as node:
        await node.start(Hatch, node, name="hatch")
        print("ready")
        await until_stdin_ends()


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:5], backend=sys.argv[5])
