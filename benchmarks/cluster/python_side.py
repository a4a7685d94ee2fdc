"""Nodes in Python that the benchmark drives: `python python_side.py LOOP EPMD_PORT NODE...`.

Reads requests and writes answers as `__main__.py` says; the first of the nodes makes the calls. Run by
contenders.py. `python python_side.py epmd` is the EPMD of all contenders.
"""

import json
import math
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final

import anyio
from anyio.to_thread import run_sync
from epmd_server import serve
from ergo_node import Epmd, Node, RemoteName, Tls
from etf_codec import Atom, Pid, backend
from otp_behaviors import GenServer, ServerHandle

HOST: Final = "127.0.0.1"
COOKIE: Final = "bench"
PAIRS: Final = 120
CALLERS: Final = 50
OK: Final = Atom("ok")
PING: Final = Atom("ping")
REQUESTS: Final[dict[str, Any]] = {
    "number": 12345,
    "string": list(b"hello world"),
    "pid": Pid("node@localhost", 1, 1000, 0),
    "binary": bytes(1 << 20),
}
ECHOES: Final = {"echo 1 MB": bytes(1 << 20), "echo 16 MB": bytes(16 << 20)}
CASTS: Final = {"cast": PING, "cast 1 KB": bytes(1024)}
SHARE: Final = 5
"""A trial run is long enough when it takes this part of the time: it says how many calls fill all of it."""

Ask = Callable[[Any], Awaitable[Any]]
Answer = dict[str, object]


class Server(GenServer):
    """Answers every call with ok."""

    def init(self) -> None:
        self.casts = 0

    def handle_call(self, request: Any, caller: Any) -> Any:
        return OK

    def handle_cast(self, message: Any) -> None:
        self.casts += 1


class Echo(Server):
    """Answers with the request."""

    def handle_call(self, request: Any, caller: Any) -> Any:
        return request


class Sink(Server):
    """Says how many casts came since it was last asked."""

    def handle_call(self, request: Any, caller: Any) -> Any:
        casts, self.casts = self.casts, 0
        return casts


async def calls(ask: Ask, request: Any, count: int) -> None:
    """One call after the other."""
    for _ in range(count):
        await ask(request)


async def filled(seconds: float, action: Callable[[int], Awaitable[None]], least: int = 1) -> Answer:
    """Run the action, untimed until it is warm, then as often as fills the seconds."""
    count, took = least, 0.0
    while took < seconds / SHARE:
        count = count if not took else math.ceil(count * min(10.0, seconds / SHARE / took * 1.2))
        took = await timed(action, count)
    count = max(least, int(count * seconds / took))
    return {"count": count, "seconds": await timed(action, count)}


async def timed(action: Callable[[int], Awaitable[None]], count: int) -> float:
    """Seconds that the action takes for so many."""
    start = time.perf_counter()
    await action(count)
    return time.perf_counter() - start


class Driven:
    """The nodes of this process, and what can be asked of them."""

    def __init__(self, epmd: Epmd, stack: AsyncExitStack) -> None:
        self.epmd = epmd
        folder = os.environ.get("BENCH_TLS")
        self.tls = None if folder is None else Tls(f"{folder}/node.pem", ca=f"{folder}/ca.pem")
        self.stack = stack
        self.nodes: list[Node] = []
        self.spoked = 0
        self.servers: dict[str, ServerHandle] = {}

    async def open(self, name: str) -> None:
        """Start a node with its servers."""
        node = await self.stack.enter_async_context(Node(name, COOKIE, epmd=self.epmd, tls=self.tls))
        self.nodes.append(node)
        node.provide("erlang", "whereis", node.whereis)
        for server, behavior in {"server": Server, "echo": Echo, "sink": Sink}.items():
            self.servers.setdefault(server, await node.start(behavior, name=server))
        for number in range(PAIRS):
            self.servers.setdefault(f"pair{number}", await node.start(Server, name=f"pair{number}"))

    async def ask(self, server: str, where: str) -> Ask:
        """The call of a server, here or on another node: of its pid, as in the original's benchmark."""
        if where == "local":
            return self.servers[server].call
        pid = await self.nodes[0].erpc(where, "erlang", "whereis", [Atom(server)])
        return partial(self.nodes[0].call, pid)

    async def measure(self, row: str, where: str, seconds: float) -> Answer:
        """Fill the seconds with one row's calls or casts."""
        if row == "parallel":
            asks = [await self.ask(f"pair{number}", where) for number in range(PAIRS)]

            async def pairs(count: int) -> None:
                async with anyio.create_task_group() as tasks:
                    for ask in asks:
                        tasks.start_soon(calls, ask, PING, count // PAIRS)

            return await filled(seconds, pairs, PAIRS)
        if row in CASTS:
            return await self.cast(CASTS[row], where, seconds)
        server, request = ("echo", ECHOES[row]) if row in ECHOES else ("server", REQUESTS[row])
        ask = await self.ask(server, where)
        answer = await ask(request)
        if answer != (OK if server == "server" else request):
            raise ValueError(f"{row}: the answer was {str(answer)[:40]}")
        return await filled(seconds, partial(calls, ask, request))

    async def cast(self, message: Any, where: str, seconds: float) -> Answer:
        """Casts, and at their end one call that finds them all arrived."""
        node, sink = self.nodes[0], RemoteName("sink", where)

        async def casts(count: int) -> None:
            for _ in range(count):
                await node.cast(sink, message)
            arrived = await node.call(sink, PING, timeout=60.0)
            if arrived != count:
                raise ValueError(f"{count} casts were sent, {arrived} arrived")

        return await filled(seconds, casts)

    async def latency(self, where: str, seconds: float) -> Answer:
        """What single calls take while so many callers make them, in microseconds."""
        times: list[float] = []

        async def caller(ask: Ask, end: float) -> None:
            start = time.perf_counter()
            while start < end:
                await ask(PING)
                now = time.perf_counter()
                times.append(now - start)
                start = now

        async with anyio.create_task_group() as tasks:
            end = time.perf_counter() + seconds
            for number in range(CALLERS):
                tasks.start_soon(caller, await self.ask(f"pair{number}", where), end)
        times.sort()
        return {f"p{part}": times[len(times) * part // 100] * 1e6 for part in (50, 90, 99)}

    async def connect(self, where: str, seconds: float) -> Answer:
        """Connect and disconnect in turn; only the connecting counts."""
        node, spent, count = self.nodes[0], 0.0, 0
        while spent < seconds:
            await node.disconnect(where)
            start = time.perf_counter()
            await node.reach(where)
            spent += time.perf_counter() - start
            count += 1
        return {"count": count, "seconds": spent}

    async def start(self, count: int) -> Answer:
        """Hold so many more servers."""
        for _ in range(count):
            await self.nodes[0].start(Server)
        return {"count": count}

    async def spokes(self, where: str, count: int) -> Answer:
        """Start so many more nodes, each with a connection to another node."""
        for _ in range(count):
            self.spoked += 1
            name = f"spoke{self.spoked}_{os.getpid()}@{HOST}"
            spoke = await self.stack.enter_async_context(Node(name, COOKIE, epmd=self.epmd, hidden=True))
            await spoke.reach(where)
        return {"count": count}


ANSWERS: Final[dict[str, Callable[..., Awaitable[Answer]]]] = {
    "measure": Driven.measure,
    "latency": Driven.latency,
    "connect": Driven.connect,
    "start": Driven.start,
    "spokes": Driven.spokes,
}


async def driven(port: int, names: list[str]) -> None:
    """Answer requests until they end."""
    async with AsyncExitStack() as stack:
        nodes = Driven(Epmd(port, embedded=False), stack)
        for name in names:
            await nodes.open(name)
        say({"ready": True, "codec": backend()})
        while line := await run_sync(sys.stdin.readline):
            request, *args = json.loads(line)
            try:
                say(await ANSWERS[request](nodes, *args))
            except Exception as error:
                say({"error": f"{type(error).__name__}: {error}"})


async def epmd() -> None:
    """Be an EPMD until the standard input ends."""
    async with serve(HOST, 0) as server:
        say({"port": server.port})
        await run_sync(sys.stdin.readline)


def say(answer: Answer) -> None:
    """Write an answer."""
    print(json.dumps(answer), flush=True)


def main(loop: str, *args: str) -> None:
    """Run the nodes, or the EPMD."""
    if loop == "epmd":
        anyio.run(epmd)
        return
    options = {"use_uvloop": True} if loop == "uvloop" else {}
    backend = "trio" if loop == "trio" else "asyncio"
    anyio.run(driven, int(args[0]), list(args[1:]), backend=backend, backend_options=options)


if __name__ == "__main__":
    main(*sys.argv[1:])
