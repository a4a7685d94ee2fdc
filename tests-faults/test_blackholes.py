"""B1, B2 with a network of their own: packets are lost on the way, and TCP itself hears nothing.

The peer lives in a network namespace; frames to a neighbour whose address is wrong are lost, silently, in
that direction alone. That needs Linux, `ip`, and the right to make a namespace.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from time import monotonic

import anyio
import pytest
from ergo_node import Node, NodeDown, NodeUp
from invariants import Bonded, Bonds, Invariants, eventually, handled_by
from links import COOKIE
from python_peer import python_peer

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

TICK_TIME = 2.0
LATEST = 1.25 * TICK_TIME + 3
PORT = 9100
"""Of the peer, which has all ports of its namespace to itself."""

NOBODY = "02:00:00:00:00:01"


class Cable:
    """A pair of virtual Ethernet interfaces: ours, and one in a namespace."""

    def __init__(self) -> None:
        number = os.getpid()
        self.namespace = f"ergo{number}"
        self.inside = ["ip", "netns", "exec", self.namespace]
        self._names = f"ea{number}", f"eb{number}"
        net = f"10.{200 + number % 50}.{number // 50 % 250}"
        self.ours, self.theirs = f"{net}.1", f"{net}.2"

    def plug(self) -> None:
        """Make it."""
        a, b = self._names
        run("ip", "netns", "add", self.namespace)
        run("ip", "link", "add", a, "type", "veth", "peer", "name", b, "netns", self.namespace)
        for where, name, address in (([], a, self.ours), (self.inside, b, self.theirs)):
            run(*where, "ip", "address", "add", f"{address}/24", "dev", name)
            run(*where, "ip", "link", "set", name, "up")
        run(*self.inside, "ip", "link", "set", "lo", "up")

    def unplug(self) -> None:
        """Take it away, and the namespace with it."""
        subprocess.run(["ip", "link", "delete", self._names[0]], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "delete", self.namespace], check=False, capture_output=True)

    def lose(self, *, ours: bool = False, theirs: bool = False) -> None:
        """Lose what we send, or what the peer sends."""
        a, b = self._names
        if ours:
            run("ip", "neighbour", "replace", self.theirs, "lladdr", NOBODY, "dev", a, "nud", "permanent")
        if theirs:
            run(*self.inside, "ip", "neighbour", "replace", self.ours, "lladdr", NOBODY, "dev", b,
                "nud", "permanent")  # fmt: skip

    def heal(self) -> None:
        """Lose nothing more."""
        a, b = self._names
        for where, name, address in (([], a, self.theirs), (self.inside, b, self.ours)):
            subprocess.run([*where, "ip", "neighbour", "delete", address, "dev", name], check=False)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=30)


@pytest.fixture
def cable() -> Iterator[Cable]:
    if shutil.which("ip") is None:
        pytest.skip("no `ip` on PATH: network namespaces are made with iproute2, on Linux")
    cable = Cable()
    try:
        cable.plug()
    except subprocess.CalledProcessError as error:
        cable.unplug()
        pytest.skip(f"no network namespace can be made here: {error.stderr.decode().strip()}")
    try:
        yield cable
    finally:
        cable.unplug()


@pytest.mark.parametrize(
    ("ours", "theirs"), [(True, True), (True, False), (False, True)], ids=["both", "ours", "theirs"]
)
async def test_packets_that_are_lost(
    cable: Cable, anyio_backend: str, invariants: Invariants, ours: bool, theirs: bool
) -> None:
    """Whichever direction is lost, TCP's acknowledgements are: the ticks of each side tell it."""
    bonds, name = Bonds(), f"peer@{cable.theirs}"
    peering = python_peer(name, 0, port=PORT, tick_time=TICK_TIME, backend=anyio_backend, prefix=cable.inside)
    async with (
        peering as peer,
        Node(f"py@{cable.ours}", COOKIE, epmd=None, routes={name: (cable.theirs, PORT)},
             tick_time=TICK_TIME) as node,
    ):  # fmt: skip
        bonded = await node.start(Bonded, bonds)
        events = node.monitor_nodes()
        pids = await node.call(peer.hatch, 10, timeout=30)
        invariants.watch(node)
        await bonded.call(pids)
        await handled_by(node, name)
        cable.lose(ours=ours, theirs=theirs)
        began = monotonic()
        with anyio.fail_after(30):
            assert await anext(events) == NodeUp(name, False)
            down = await anext(events)
        assert isinstance(down, NodeDown)
        # If only ours are lost, the peer hears nothing, gives up first, and its end may reach us.
        assert down.reason == "net_tick_timeout" or (ours and not theirs)
        assert 0.75 * TICK_TIME <= monotonic() - began <= LATEST
        await eventually(lambda: bonds.all_resolved)
        bonds.assert_exactly_once()
        cable.heal()
        with anyio.fail_after(30):
            while not await node.connect(name):  # noqa: ASYNC110  # ARP asks anew when it likes
                await anyio.sleep(0.1)
        assert await node.call(peer.hatch, "back", timeout=30) == b"back"
        assert await anext(events) == NodeUp(name, False)
        await invariants.settled()
