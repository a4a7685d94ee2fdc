"""Many connections, monitors and links: all fire once when their node is lost, and nothing of them stays."""

import gc
import tracemalloc
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream
from ergo_node import Epmd, Node, Policy
from erldist_proto import Connected, Connection, Link, LocalNode, MonitorP
from etf_codec import Atom, Pid, Reference
from otp_behaviors import Down, Exit, Process

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(50)]

HOST, COOKIE, PEER = "127.0.0.1", "secret", "p@127.0.0.1"
NOCONNECTION = Atom("noconnection")
CONNECTIONS = 200
BONDS = 5 * 2048
"""Ten thousand and some. Both codecs remember 4096 pids and then begin anew, so that they hold as many after
as many as before."""


async def connect(node: Node, name: str) -> SocketStream:
    """Connect to a node as another one, by hand; nothing is read or written afterwards."""
    connection = Connection.initiator(LocalNode(name, 9), node.name, COOKIE, monotonic())
    stream = await anyio.connect_tcp(HOST, node.port)
    connected = False
    while not connected:
        await stream.send(b"".join(connection.data_to_send()))
        connection.receive_data(await stream.receive())
        connected = any(isinstance(event, Connected) for event in connection.events())
    return stream


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nothing tells."""
    while not condition():  # noqa: ASYNC110 (tables shrink without a word)
        await anyio.sleep(0.01)


def held() -> int:
    """The bytes that are in use."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def bonds_and_loss(node: Node, seen: Counter[Any]) -> None:
    """A process of ours watches and links many of a peer, which is then lost."""

    async def bind(process: Process) -> None:
        process.trap_exit = True
        for number in range(BONDS):
            process.monitor(Pid(PEER, number, 1, 9))
            process.link(Pid(PEER, number, 2, 9))
        bound.set()
        for _ in range(2 * BONDS):
            message = await process.receive()
            assert isinstance(message, Down | Exit)
            seen[type(message), message.reason] += 1

    bound = anyio.Event()
    stream = await connect(node, PEER)
    done = node.monitor(node.spawn(bind))
    await bound.wait()
    await anyio.aclose_forcefully(stream)
    await done


async def test_bonds_of_ours_are_freed_when_their_node_is_lost(epmd: Epmd) -> None:
    async with Node(f"a@{HOST}", COOKIE, epmd=epmd) as node:
        with anyio.fail_after(40):
            seen = Counter[Any]()
            tracemalloc.start()
            try:
                await bonds_and_loss(node, seen)  # what is made once and kept, is made now
                assert seen == {(Down, NOCONNECTION): BONDS, (Exit, NOCONNECTION): BONDS}
                baseline = held()
                tracemalloc.reset_peak()
                await bonds_and_loss(node, seen)
                peak = tracemalloc.get_traced_memory()[1]
                # A bond takes hundreds of bytes; what is left of one must be none.
                await until(lambda: held() - baseline < 10 * BONDS)
            finally:
                tracemalloc.stop()
        assert seen[Down, NOCONNECTION] == seen[Exit, NOCONNECTION] == 2 * BONDS
        assert peak - baseline > 100 * BONDS


async def test_bonds_of_a_peer_are_freed_when_it_is_lost(epmd: Epmd) -> None:
    async with Node(f"a@{HOST}", COOKIE, epmd=epmd, shutdown=0.1) as node:

        async def idle(process: Process) -> None:
            process.trap_exit = True
            while True:
                seen[type(await process.receive())] += 1

        seen = Counter[Any]()
        pid = node.spawn(idle)
        with anyio.fail_after(40):
            connection = Connection.initiator(LocalNode(PEER, 9), node.name, COOKIE, monotonic())
            async with await anyio.connect_tcp(HOST, node.port) as stream:
                connected = False
                while not connected:
                    await stream.send(b"".join(connection.data_to_send()))
                    connection.receive_data(await stream.receive())
                    connected = any(isinstance(event, Connected) for event in connection.events())
                for number in range(BONDS):
                    sender = Pid(PEER, number, 0, 9)
                    connection.send(MonitorP(sender, pid, Reference(PEER, 9, (number, 1, 2))))
                    connection.send(Link(sender, pid))
                await stream.send(b"".join(connection.data_to_send()))
                record = node.kernel.table.by_pid[pid]
                await until(lambda: len(record.monitored_by or ()) == len(record.links or ()) == BONDS)
            await until(lambda: not record.monitored_by and not record.links)
            await until(lambda: seen[Exit] == BONDS)
        assert seen == {Exit: BONDS}


async def come_and_go(node: Node) -> None:
    """Many nodes connect at once, and leave."""

    async def one(name: str) -> None:
        streams.push_async_callback((await connect(node, name)).aclose)

    async with AsyncExitStack() as streams:
        async with anyio.create_task_group() as tasks:
            for number in range(CONNECTIONS):
                tasks.start_soon(one, f"n{number}@{HOST}")
        await until(lambda: len(node.nodes()) == CONNECTIONS)
    await until(lambda: not node.nodes())


async def test_many_connections_come_and_go(epmd: Epmd) -> None:
    async with Node(f"a@{HOST}", COOKIE, epmd=epmd, policy=Policy(max_handshakes=CONNECTIONS)) as node:
        with anyio.fail_after(40):
            tracemalloc.start()
            try:
                await come_and_go(node)  # tables grow to their size, names are remembered
                baseline = held()
                await come_and_go(node)
                # Far less than the kilobytes that a connection takes.
                await until(lambda: held() - baseline < 500 * CONNECTIONS)
            finally:
                tracemalloc.stop()
