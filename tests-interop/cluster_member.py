"""A Python node in a process of its own, for tests that kill it: `python cluster_member.py NAME BACKEND`.

It reads requests, one a line, and answers each with a line: external terms in base64. A request is the name
of a function below, and its arguments.
"""

import base64
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from anyio.lowlevel import checkpoint
from ergo_node import Node
from etf_codec import Atom, Pid, Term, decode, encode
from otp_behaviors import Process

SCOPE = "random"


async def idle(process: Process) -> None:
    """A process that others name, and put into groups, until it is told to stop."""
    await process.receive()


class Member:
    """What a test asks of the node."""

    def __init__(self, node: Node) -> None:
        self.node = node

    async def spawn(self) -> Pid:
        """Start a process."""
        return self.node.spawn(idle)

    async def stop(self, pid: Pid) -> bool:
        """End a process."""
        await self.node.send(pid, Atom("stop"))
        return True

    async def register(self, name: Atom, pid: Pid) -> bool:
        """Give a process a global name."""
        return await self.node.global_names.register(name, pid)

    async def join(self, group: Term, pid: Pid) -> bool:
        """Put a process into a group."""
        self.node.pg.join(SCOPE, group, pid)
        return True

    async def leave(self, group: Term, pid: Pid) -> bool:
        """Take a process out of a group."""
        return self.node.pg.leave(SCOPE, group, pid)

    async def connect(self, node: Atom) -> bool:
        """Connect to a node."""
        return await self.node.connect(str(node))

    async def disconnect(self, node: Atom) -> bool:
        """Close the connection to a node."""
        return await self.node.disconnect(str(node))

    async def lock(self) -> bool:
        """Hold a lock on all nodes that this one knows."""
        lock = (Atom("cluster"), Atom(self.node.name))
        return await self.node.global_names.trans(lock, lambda: True) is True

    async def view(self) -> Term:
        """The nodes, names and groups as this node knows them."""
        names, pg = self.node.global_names, self.node.pg
        return (
            [Atom(name) for name in self.node.nodes()],
            [(name, names.whereis(name)) for name in names.names()],
            [(group, pg.members(SCOPE, group)) for group in pg.which_groups(SCOPE)],
        )


async def serve(name: str) -> None:
    """Answer requests until there are no more."""
    async with Node(name, "secret") as node:
        await node.pg.start(SCOPE)
        member = Member(node)
        requests: dict[str, Callable[..., Awaitable[Term]]] = {
            each: getattr(member, each) for each in vars(Member) if not each.startswith("_")
        }
        print("ready", flush=True)
        async for line in anyio.wrap_file(sys.stdin):
            request: Any = decode(base64.b64decode(line))
            try:
                answer = await requests[str(request[0])](*request[1:])
            except Exception as error:
                answer = (Atom("error"), repr(error))
            print(base64.b64encode(encode(answer)).decode(), flush=True)
            await checkpoint()
        # Whoever asks has gone: killed, or done with us.
        os._exit(0)


if __name__ == "__main__":
    anyio.run(serve, sys.argv[1], backend=sys.argv[2])
