"""Microseconds a message between two nodes over TCP: `python benchmarks/node [--rounds 3] [--count 2000]`.

Both nodes are in one process and share one core, so a cell is what both sides pay together. The loops take
turns, and the best round of each counts: judge them by their ratios. TLS needs `cryptography`.
"""

import argparse
import math
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
from ergo_node import Epmd, Node, RemoteName, Tls
from otp_behaviors import GenServer

HOST: Final = "127.0.0.1"
CALLERS: Final = 50
LOOPS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "asyncio": ("asyncio", {}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}
COLUMNS: Final = ("call", f"{CALLERS} callers", "cast", "call, TLS")


class Echo(GenServer):
    """Answers with the request."""

    def init(self) -> None:
        self.count = 0

    def handle_call(self, request: Any, caller: Any) -> Any:
        return request

    def handle_cast(self, message: Any) -> None:
        self.count += 1


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


async def timed(count: int, action: Callable[[], Awaitable[object]]) -> float:
    """Microseconds for each of so many messages."""
    start = time.perf_counter()
    await action()
    return (time.perf_counter() - start) / count * 1e6


async def measure(count: int, tls: Tls | None) -> list[float]:
    """One call after the other, calls of many tasks, casts."""
    epmd = Epmd(free_port())
    async with (
        Node(f"a@{HOST}", "secret", epmd=epmd, tls=tls) as a,
        Node(f"b@{HOST}", "secret", epmd=epmd, tls=tls) as b,
    ):
        await b.start(Echo, name="echo")
        echo = RemoteName("echo", b.name)

        async def calls(number: int = count) -> None:
            for each in range(number):
                await a.call(echo, each)

        async def many() -> None:
            async with anyio.create_task_group() as tasks:
                for _ in range(CALLERS):
                    tasks.start_soon(calls, count // CALLERS)

        async def casts() -> None:
            for each in range(count):
                await a.cast(echo, each)
            await a.call(echo, count)

        await calls(100)
        actions = [calls] if tls is not None else [calls, many, casts]
        return [await timed(count, action) for action in actions]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=2000, help="messages in a cell")
    options = parser.parse_args()
    best = {loop: [math.inf] * len(COLUMNS) for loop in LOOPS}
    with tempfile.TemporaryDirectory() as folder:
        tls = Tls.development(f"{folder}/tls")
        for _ in range(options.rounds):
            for loop, (backend, settings) in LOOPS.items():
                times: list[float] = []
                for each in (None, tls):
                    times += anyio.run(
                        measure, options.count, each, backend=backend, backend_options=settings
                    )
                best[loop] = [min(pair) for pair in zip(best[loop], times, strict=True)]
    print(f"{'us a message':14}" + "".join(f"{column:>14}" for column in COLUMNS))
    for loop, row in best.items():
        print(f"{loop:14}" + "".join(f"{cell:14.1f}" for cell in row))


if __name__ == "__main__":
    main()
