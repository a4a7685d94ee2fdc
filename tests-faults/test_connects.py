"""D1, D2, D4, D5: many connections at once, storms of them, and names that cannot be.

D1 beside Erlang is in tests-interop/test_parity_wire.py, `test_simultaneous_connect`.
"""

import itertools
from pathlib import Path

import anyio
import epmd_server
import pytest
from ergo_node import BadName, Epmd, NameInUse, Node, NodeDown, NodeUp, Policy, Tls
from erlang_peer import ErlangError, StartErl
from etf_codec import Atom
from invariants import Invariants, Numbered, Numbers, eventually
from otp_behaviors import RemoteName

pytestmark = pytest.mark.anyio

HOST, COOKIE = "127.0.0.1", "secret"
FIRST_MESSAGES = 3
PEERS = 200


async def greet(node: Node, other: Node, round: int) -> None:
    """The first messages make the connection and must wait for it in their order."""
    for number in range(1, FIRST_MESSAGES + 1):
        await node.send(RemoteName("numbered", other.name), (node.name, round * FIRST_MESSAGES + number))


@pytest.mark.parametrize(
    ("rounds", "secure"), [(10, False), (5, True), pytest.param(1000, False, marks=pytest.mark.slow)]
)
async def test_two_nodes_connect_at_once(
    rounds: int, secure: bool, epmd: Epmd, invariants: Invariants, tmp_path: Path
) -> None:
    """Both send first, at the same time: one connection, no message lost or late, nobody told twice."""
    numbers = [Numbers(), Numbers()]
    tls = Tls.development(tmp_path / "tls") if secure else None
    async with (
        Node(f"a@{HOST}", COOKIE, epmd=epmd, tls=tls) as a,
        Node(f"b@{HOST}", COOKIE, epmd=epmd, tls=tls) as b,
    ):
        pair = (a, b)
        for node, taken in zip(pair, numbers, strict=True):
            await node.start(Numbered, taken, name="numbered")
            invariants.watch(node)
        for round in range(rounds):
            with a.monitor_nodes() as of_a, b.monitor_nodes() as of_b, anyio.fail_after(30):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(greet, a, b, round)
                    tasks.start_soon(greet, b, a, round)
                expected = (round + 1) * FIRST_MESSAGES
                await eventually(lambda: [each.received for each in numbers] == [expected, expected])  # noqa: B023  # awaited here
                assert [node.nodes() for node in pair] == [[b.name], [a.name]]
                await pair[round % 2].disconnect(pair[1 - round % 2].name)
                for events in (of_a, of_b):
                    assert isinstance(await anext(events), NodeUp)
                    assert isinstance(await anext(events), NodeDown)
        for taken in numbers:
            taken.assert_in_order()
        await invariants.settled()


@pytest.mark.parametrize("size", [7, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
async def test_a_full_mesh_at_once(size: int, epmd: Epmd, invariants: Invariants) -> None:
    """Each node sends to each other one before it has any connection."""
    numbers = [Numbers() for _ in range(size)]
    async with anyio.create_task_group() as running:
        nodes: list[Node] = []
        leave = anyio.Event()

        async def live(number: int, *, task_status: anyio.abc.TaskStatus[Node]) -> None:
            async with Node(f"n{number}@{HOST}", COOKIE, epmd=epmd) as node:
                await node.start(Numbered, numbers[number], name="numbered")
                task_status.started(node)
                await leave.wait()

        for number in range(size):
            nodes.append(invariants.watch(await running.start(live, number)))
        events = [node.monitor_nodes() for node in nodes]
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for one, other in itertools.permutations(nodes, 2):
                    tasks.start_soon(greet, one, other, 0)
            everything = (size - 1) * FIRST_MESSAGES
            await eventually(lambda: all(each.received == everything for each in numbers), 60)
        for node, taken, told in zip(nodes, numbers, events, strict=True):
            taken.assert_in_order()
            others = sorted(each.name for each in nodes if each is not node)
            assert sorted(node.nodes()) == others
            told.close()
            assert sorted([each.node async for each in told]) == others  # nodeup once each, no nodedown
        leave.set()


async def test_a_storm_of_reconnects(epmd: Epmd, invariants: Invariants) -> None:
    """All peers lose their connection at once, keep trying, and are back soon, in bounds."""
    peers = 20
    policy = Policy(max_handshakes=8, max_handshakes_per_host=8)
    await storm(peers, policy, epmd, invariants)


@pytest.mark.slow
async def test_a_storm_of_two_hundred_reconnects(epmd: Epmd, invariants: Invariants) -> None:
    await storm(PEERS, Policy(max_handshakes=64, max_handshakes_per_host=64), epmd, invariants)


async def storm(peers: int, policy: Policy, epmd: Epmd, invariants: Invariants) -> None:
    name, leave = f"hub@{HOST}", anyio.Event()
    handshakes = [0]

    async def peer(number: int, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        # Hidden: the hub is what is stormed, and visible peers would all connect with one another as well.
        async with Node(f"p{number}@{HOST}", COOKIE, epmd=epmd, hidden=True) as node:
            node.keep_connected(name)
            task_status.started()
            await leave.wait()

    async with Node(f"epmd@{HOST}", COOKIE, epmd=epmd), anyio.create_task_group() as running:
        for _ in range(2):  # the second one comes back after all were lost
            async with Node(name, COOKIE, epmd=epmd, policy=policy) as hub:
                with hub.monitor_nodes() as events:
                    if not handshakes[0]:
                        for number in range(peers):
                            await running.start(peer, number)
                    handshakes[0] += 1
                    with anyio.fail_after(30):
                        up = set[str]()
                        while len(up) < peers:
                            event = await anext(events)
                            assert isinstance(event, NodeUp)
                            assert event.node not in up
                            up.add(event.node)
                    assert len(hub.nodes("hidden")) == peers
        leave.set()


async def test_the_same_name_at_once(epmd: Epmd) -> None:
    """D4: one of two gets the name, the other one is told so; the first does not notice."""
    outcomes: list[str] = []
    done, leave = anyio.Event(), anyio.Event()

    async def claim() -> None:
        try:
            async with Node(f"same@{HOST}", COOKIE, epmd=epmd) as node:
                outcomes.append("started")
                await done.wait()
                assert await node.ping(f"other@{HOST}")
                await leave.wait()
        except NameInUse as error:
            outcomes.append(str(error))
            done.set()

    async with Node(f"other@{HOST}", COOKIE, epmd=epmd) as other:
        with anyio.fail_after(15):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(claim)
                tasks.start_soon(claim)
                await done.wait()
                assert await other.ping(f"same@{HOST}")
                leave.set()
    first, second = sorted(outcomes)
    assert first == "started"
    assert f"the name same@{HOST} is in use" in second


async def test_the_same_name_as_a_node_of_erlang(start_erl: StartErl, epmd_port: int) -> None:
    """D4 beside Erlang, both ways round."""
    erl = await start_erl(f"same@{HOST}")
    with pytest.raises(NameInUse):
        async with Node(f"same@{HOST}", COOKIE):
            pytest.fail("the name was taken")
    assert await erl.eval("node()") == Atom(f"same@{HOST}")
    async with Node(f"ours@{HOST}", COOKIE) as node:
        with pytest.raises(ErlangError, match=r"already in use|duplicate_name|ended"):
            await start_erl(f"ours@{HOST}")
        assert await erl.eval(f"net_adm:ping('{node.name}')") == Atom("pong")


LONG = "n" * 250


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("nohost", "no host part"),
        (f"{LONG}{LONG}@{HOST}", "255"),
        ("two@hosts@here", "@"),
        (f"@{HOST}", "name"),
        ("bad name\n@host", "character"),
    ],
)
async def test_names_that_cannot_be(name: str, hint: str, epmd: Epmd) -> None:
    """D5: refused before anything is opened, with a hint."""
    with pytest.raises(BadName, match=hint):
        Node(name, COOKIE, epmd=epmd)
    async with Node(f"a@{HOST}", COOKIE, epmd=epmd) as node:
        with pytest.raises(BadName, match=hint):
            await node.connect(name)


async def test_names_that_can_be(epmd: Epmd) -> None:
    """D5: upper case, Unicode, and an IPv6 host."""
    async with Node(f"A@{HOST}", COOKIE, epmd=epmd) as upper, Node(f"a@{HOST}", COOKIE, epmd=epmd) as lower:
        assert await upper.ping(lower.name)
        assert lower.nodes() == [upper.name]
        async with Node(f"zoë@{HOST}", COOKIE, epmd=epmd) as unicode:
            assert await unicode.ping(lower.name)
            assert sorted(lower.nodes()) == [upper.name, unicode.name]


async def test_long_and_short_names(start_erl: StartErl, epmd_port: int) -> None:
    """D5 beside Erlang: a node of short names refuses to connect to one of long names, and logs why.

    We know no such modes: our connection to it works, for OTP checks names only where it connects itself.
    """
    short = await start_erl("short@localhost")
    async with Node(f"long@{HOST}", COOKIE) as node:
        port = (await epmd_server.look_up("short", epmd_port=epmd_port)).port
        node.add_route(short.name, HOST, port)
        with anyio.fail_after(20):
            assert await short.eval(f"net_adm:ping('{node.name}')") == Atom("pang")
            await eventually(lambda: any("System NOT running to use fully" in line for line in short.output))
            assert node.nodes("all") == []
            await node.reach(short.name)
            assert await short.eval("nodes()") == [Atom(node.name)]
