"""Where the instructions of a call between two nodes go: `python stages.py`. Needs valgrind, as count.py.

Prints, in the order of a call, how many instructions pass from one mark to the next; a mark stands at the
beginning (<) and at the end (>) of each function in `MARKED`. A mark itself takes about 2000 of them, so read
the figures against each other, and leave functions out to see what a whole stretch takes.
"""

import gc
import itertools
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Final

# Before the packages import it, as in paths.py: the clock counts how often it is read.
time.monotonic = itertools.count(1.0, 1e-6).__next__

import anyio  # noqa: E402  # after the clock
from count import total, under_callgrind  # noqa: E402  # after the clock
from ergo_node import Node  # noqa: E402  # after the clock
from memory_loop import MemoryLoop  # noqa: E402  # after the clock
from paths import WARM, Server, start_counting  # noqa: E402  # after the clock

CALLS: Final = 20
MARKED: Final[dict[str, tuple[str, ...]]] = {
    "ergo_node._short_way:ShortWay": ("data_received",),
    "ergo_node._transport_asyncio:ProtocolTransport": ("transmit",),
    "otp_behaviors._deliveries:Deliveries": ("message_received", "alias_received"),
    "otp_behaviors._gen_server:ServerProcess": ("take", "_handle"),
    "otp_behaviors._gen_call": ("_send_request", "reply"),
    "otp_behaviors._gen_call:Request": ("alias_message",),
    "otp_behaviors._waiter_asyncio:FutureWaiter": ("wait",),
}
"""The insides of the packages, by their names: what is there today."""


class Marks:
    """The marks that were passed, in order; callgrind writes what it counted at each of them."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.counting = False

    def passes(self, name: str) -> None:
        """A mark."""
        if self.counting:
            self.passed.append(name)
            os.getppid()

    def marked(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function between two marks."""

        def between(*args: Any, **options: Any) -> Any:
            self.passes(f"{function.__name__} <")
            try:
                return function(*args, **options)
            finally:
                self.passes(f"{function.__name__} >")

        return between


async def calls(marks: Marks) -> None:
    """Make calls, and print the marks."""
    near, far = Node("near@127.0.0.1", "bench", epmd=None), Node("far@127.0.0.1", "bench", epmd=None)
    async with near, far:
        near.add_route(far.name, "127.0.0.1", far.port)
        server = await far.start(Server)
        for _ in range(WARM):
            await near.call(server.pid, 1)
        gc.collect()
        gc.disable()
        start_counting()
        marks.counting = True
        marks.passes("call <")
        for _ in range(CALLS):
            await near.call(server.pid, 1)
            marks.passes("call >")
        marks.counting = False
    print(json.dumps(marks.passed))


def count() -> None:
    """Run this file under callgrind, and print what passes between the marks."""
    with tempfile.TemporaryDirectory() as folder:
        done = under_callgrind(folder, [sys.executable, __file__, "marked"])
        done.check_returncode()
        passed: list[str] = json.loads(done.stdout)
        between: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        # The first file is of what came before the first mark.
        for number, stretch in enumerate(itertools.pairwise(passed), 2):
            between[stretch].append(total(Path(f"{folder}/counts.{number}")))
    for (begin, end), counts in between.items():
        print(f"{sum(counts) / CALLS:10,.0f}  {len(counts) / CALLS:4.1f} times  {begin:20} to {end}")


def main() -> None:
    """Count, or be counted."""
    if sys.argv[1:] != ["marked"]:
        count()
        return
    marks = Marks()
    for path, names in MARKED.items():
        owner = resolve_name(path)
        for name in names:
            setattr(owner, name, marks.marked(getattr(owner, name)))
    anyio.run(calls, marks, backend="asyncio", backend_options={"loop_factory": MemoryLoop})


if __name__ == "__main__":
    main()
