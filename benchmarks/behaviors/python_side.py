"""One round of the loops, in a process of its own: prints `name microseconds` lines. Run by __main__.py.

python python_side.py uvloop|asyncio|trio    otp_behaviors on that event loop
python python_side.py raw                    a task, a queue and a future on bare uvloop
python python_side.py links ring|star 10000  the end of so many linked processes
python python_side.py memory 100000          what so many servers take
python python_side.py late                   a timer beside a tight loop of calls
"""

import asyncio
import gc
import logging
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from etf_codec import Atom, Pid
from otp_behaviors import GenServer, Kernel, LocalRuntime, Process, ServerHandle

PAIRS = 120


class Counter(GenServer):
    def init(self, count: int) -> None:
        self.count = count

    def handle_call(self, request: Any, caller: Any) -> int:
        return self.count

    def handle_cast(self, message: Any) -> None:
        self.count += 1


class AsyncCounter(Counter):
    async def handle_call(self, request: Any, caller: Any) -> int:  # type: ignore[override]  # either is allowed
        return self.count


async def timed(name: str, count: int, loop: Callable[[int], Awaitable[None]]) -> None:
    """Print how many microseconds each of `count` turns of a loop takes."""
    start = time.perf_counter()
    await loop(count)
    print(f"{name} {(time.perf_counter() - start) / count * 1e6:.4f}")


async def calls(server: ServerHandle, count: int) -> None:
    for _ in range(count):
        await server.call("get")


async def behaviors() -> None:
    """Print the rows of otp_behaviors."""
    async with LocalRuntime() as runtime:
        server = await runtime.start(Counter, 10)
        waiting = await runtime.start(AsyncCounter, 10)
        servers = [await runtime.start(Counter, 10) for _ in range(PAIRS)]

        async def casts(count: int) -> None:
            for _ in range(count):
                await server.cast("add")
            await server.call("get")

        async def pairs(count: int) -> None:
            async with anyio.create_task_group() as tasks:
                for each in servers:
                    tasks.start_soon(calls, each, count // PAIRS)

        async def starts(count: int) -> None:
            for _ in range(count):
                await runtime.start(Counter, 10)

        await calls(server, 2000)
        await timed("call", 50_000, lambda count: calls(server, count))
        await timed("async call", 5_000, lambda count: calls(waiting, count))
        await timed("cast", 50_000, casts)
        await timed("pairs", PAIRS * 1000, pairs)
        await timed("start", 20_000, starts)


async def links(shape: str, count: int) -> None:
    """Print how many milliseconds the end of one of `count` linked processes takes to end all."""
    started = anyio.Event()

    async def ring(process: Process, left: int, first: Pid | None) -> None:
        first = first or process.pid
        if left:
            process.spawn(ring, left - 1, first, link=True)
        else:
            process.link(first)
            started.set()
        await process.receive()

    async def star(process: Process, left: int, first: Pid | None) -> None:
        for _ in range(left):
            process.spawn(ray, link=True)
        started.set()
        await process.receive()

    async def ray(process: Process) -> None:
        await process.receive()

    async with LocalRuntime() as runtime:
        logging.disable()  # the report of the first crash
        first = runtime.spawn(ring if shape == "ring" else star, count - 1, None)
        await started.wait()
        watch = runtime.monitor(first)
        processes = runtime.kernel.table.by_pid
        start = time.perf_counter()
        runtime.exit(first, Atom("enough"))
        await watch
        if len(processes) > 1:  # the one that stands for this program stays
            raise SystemExit(f"{len(processes) - 1} processes of a {shape} have not ended")
        print(f"{shape} {(time.perf_counter() - start) * 1e3:.1f}")


async def memory(count: int) -> None:
    """Print what `count` servers take, in bytes each, and how many start in a second."""

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    async with LocalRuntime(Kernel(now=time.monotonic(), max_processes=count + 10)) as runtime:
        gc.collect()
        empty = resident()
        start = time.perf_counter()
        for _ in range(count):
            await runtime.start(Counter, 10)
        seconds = time.perf_counter() - start
        print(f"memory {(resident() - empty) / count:.0f}")
        print(f"starts {count / seconds:.0f}")


async def lateness() -> None:
    """Print by how many milliseconds a tight loop of calls delays a timer of 10 ms, at worst."""
    async with LocalRuntime() as runtime:
        server = await runtime.start(Counter, 10)
        late = [0.0]
        with anyio.CancelScope() as scope:

            async def watch() -> None:
                for _ in range(50):
                    due = anyio.current_time() + 0.01
                    await anyio.sleep_until(due)
                    late.append(anyio.current_time() - due)
                scope.cancel()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch)
                while True:
                    await server.call("get")
        print(f"late {max(late) * 1e3:.2f}")


async def raw() -> None:
    """Print what a task, a queue and a future take for a request and its reply."""
    requests: asyncio.Queue[asyncio.Future[int]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    async def serve() -> None:
        while True:
            (await requests.get()).set_result(10)

    async def ask(count: int) -> None:
        for _ in range(count):
            reply = loop.create_future()
            requests.put_nowait(reply)
            await reply

    server = asyncio.create_task(serve())
    await timed("call", 20_000, ask)
    server.cancel()


def run(main: Callable[..., Awaitable[None]], loop: str, *args: Any) -> None:
    """Run a coroutine function on uvloop, asyncio or trio."""
    backend = "trio" if loop == "trio" else "asyncio"
    options = {"use_uvloop": True} if loop == "uvloop" else {}
    anyio.run(main, *args, backend=backend, backend_options=options)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["raw"]:
            run(raw, "uvloop")
        case ["links", shape, count]:
            run(links, "uvloop", shape, int(count))
        case ["memory", count]:
            run(memory, "uvloop", int(count))
        case ["late"]:
            run(lateness, "uvloop")
        case [loop]:
            run(behaviors, loop)
        case _:
            sys.exit(__doc__)
