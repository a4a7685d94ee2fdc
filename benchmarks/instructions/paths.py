"""The hot paths, each as often as says how many instructions it takes. Run by count.py, under callgrind.

Callgrind writes its counts, and begins anew, at each call of `getppid`: here, before and after each path.
Nothing depends on the machine's speed: the clock counts how often it is read, connections are in memory.
"""

import gc
import itertools
import json
import os
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

# Before the packages import it: a microsecond passes each time that somebody looks.
time.monotonic = itertools.count(1.0, 1e-6).__next__

import anyio  # noqa: E402  # after the clock
from ergo_node import Node, RemoteName  # noqa: E402  # after the clock
from erldist_proto import RegSend  # noqa: E402  # after the clock
from erldist_proto.testing import connected_pair  # noqa: E402  # after the clock
from etf_codec import Atom, ImproperList, Pid, Reference, backend, decode, encode  # noqa: E402  # after the clock
from memory_loop import MemoryLoop  # noqa: E402  # after the clock
from otp_behaviors import GenServer  # noqa: E402  # after the clock

WARM: Final = 300
"""Turns before the counted ones: CPython rewrites the code that it runs often."""

ME: Final = Pid("alice@host", 85, 0, 1)
TAG: Final = ImproperList([Atom("alias")], Reference("alice@host", 1, (1, 2, 3)))
CALL: Final = (Atom("$gen_call"), (ME, TAG), (Atom("add"), 12345))
PING: Final = Atom("ping")
OK: Final = Atom("ok")

Path = Callable[[int], Awaitable[None]]


class Server(GenServer):
    """Answers with ok."""

    def init(self) -> None: ...

    def handle_call(self, request: Any, caller: Any) -> Any:
        return OK


def repeated(action: Callable[[], object]) -> Path:
    """A path of something that does not wait."""

    async def path(count: int) -> None:
        for _ in range(count):
            action()

    return path


def called(ask: Callable[..., Awaitable[Any]], *args: Any) -> Path:
    """A path of a call."""

    async def path(count: int) -> None:
        for _ in range(count):
            await ask(*args)

    return path


class Ruler:
    """What Python code is mostly made of: calls of methods, attributes, tuples, tables, a little bytes."""

    __slots__ = ("handlers", "queue", "total")

    def __init__(self) -> None:
        self.handlers = {"add": self.add, "join": self.join}
        self.queue: list[tuple[str, Any]] = []
        self.total = 0

    def push(self, tag: str, value: object, *, times: int = 1) -> None:
        """Queue something."""
        for _ in range(times):
            self.queue.append((tag, value))

    def add(self, value: Any) -> None:
        """Handle a number."""
        if isinstance(value, int) and value is not None:
            self.total += value

    def join(self, value: Any) -> None:
        """Handle bytes."""
        self.total += len(b"".join((value, value[2:4])))

    def run(self) -> int:
        """Handle what is queued."""
        queue, self.queue = self.queue, []
        for tag, value in queue:
            handler = self.handlers.get(tag)
            if handler is not None:
                handler(value)
        return self.total


def yardstick() -> None:
    """Work of CPython alone: its instructions say how this build of it compares with the baseline's."""
    for number in range(20):
        ruler = Ruler()
        ruler.push("add", number, times=2)
        ruler.push("join", b"abcdef")
        assert ruler.run() == 2 * number + 8


def wire_paths() -> dict[str, tuple[Path, int]]:
    """Writing a small message, and reading it."""
    alice, bob = connected_pair()
    to = Atom("echo")

    def written() -> bytes:
        alice.send(RegSend(ME, to), CALL)
        return b"".join(alice.data_to_send())

    def read() -> None:
        bob.receive_data(message)
        assert bob.events()

    bob.receive_data(written())  # the message that fills the atom cache
    bob.events()
    message = written()
    return {"write a message": (repeated(written), 200), "read a message": (repeated(read), 200)}


def mark() -> None:
    """Have callgrind write what it counted."""
    os.getppid()


def start_counting() -> None:
    """Switch callgrind's counting on; until now the program ran as fast as valgrind can."""
    if "ERGO_UNCOUNTED" in os.environ:
        return
    command = ["vgdb", f"--pid={os.getpid()}", "instrumentation", "on"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as vgdb:
        # Busy, for vgdb is heard between instructions only; to interrupt a process that waits takes ptrace.
        while vgdb.poll() is None:
            pass
    if vgdb.returncode != 0:
        raise SystemExit(f"vgdb ended with status {vgdb.returncode}")


async def main() -> None:
    """Prepare all paths, warm them, count them; print their names and turns."""
    message = encode(CALL)
    near, far = Node("near@127.0.0.1", "bench", epmd=None), Node("far@127.0.0.1", "bench", epmd=None)
    async with near, far:
        near.add_route(far.name, "127.0.0.1", far.port)
        local = await near.start(Server)
        server = await far.start(Server, name="server")
        paths: dict[str, tuple[Path, int]] = {
            "yardstick": (repeated(yardstick), 100),
            "encode $gen_call": (repeated(lambda: encode(CALL)), 200),
            "decode $gen_call": (repeated(lambda: decode(message)), 200),
            **wire_paths(),
            "local call": (called(local.call, PING), 200),
            "remote call": (called(near.call, server.pid, PING), 100),
            "remote call by name": (called(near.call, RemoteName("server", far.name), PING), 100),
        }
        for path, _ in paths.values():
            await path(WARM)
        gc.collect()
        gc.disable()
        start_counting()
        mark()
        for path, count in paths.values():
            await path(count)
            mark()
    print(json.dumps({"codec": backend(), "turns": {name: count for name, (_, count) in paths.items()}}))


if __name__ == "__main__":
    anyio.run(main, backend="asyncio", backend_options={"loop_factory": MemoryLoop})
