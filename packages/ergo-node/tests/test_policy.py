"""Whom a node connects with: what the policy says, and that the node follows it."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream
from ergo_node import Epmd, HandshakeRefused, Listen, Node, NodeDown, NodeUp, NotAllowed, Policy, RemoteName
from ergo_node._policy import FIRST_RETRY, LAST_RETRY, Gate, retry_after
from etf_codec import Atom
from hypothesis import given
from hypothesis import strategies as st
from otp_behaviors import NoConnection, Process

HOST, COOKIE = "127.0.0.1", "secret"
NET_KERNEL = RemoteName("net_kernel", f"b@{HOST}")
IS_AUTH = (Atom("is_auth"), Atom("a"))


@asynccontextmanager
async def two(epmd: Epmd, policy: Policy) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes, `a` with a policy and `b` without."""
    async with (
        Node(f"a@{HOST}", COOKIE, epmd=epmd, policy=policy) as a,
        Node(f"b@{HOST}", COOKIE, epmd=epmd) as b,
    ):
        yield a, b


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"auto_connect": "sometimes"}, "auto_connect is one of"),
        ({"allow": ["host"]}, r"\*@host"),
        ({"networks": ["10.0.0.0/99"]}, "10.0.0.0/99"),
        ({"networks": ["host"]}, "host"),
    ],
)
def test_a_policy_that_is_none(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Policy(**options)


def test_nodes_are_allowed_by_name_or_host() -> None:
    assert Policy().allows("any@where")
    policy = Policy(allow=["db@10.0.0.4", "*@10.0.0.5"])
    allowed = ["db@10.0.0.4", "x@10.0.0.5", "y@10.0.0.5"]
    assert [node for node in [*allowed, "x@10.0.0.4", "x@10.0.0.50", "*@x"] if policy.allows(node)] == allowed
    assert not Policy(allow=[]).allows("any@where")


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("11.0.0.1", False),
        ("::ffff:11.0.0.1", False),
        ("fd00::7", True),
        ("fd01::7", False),
        ("192.168.1.1", True),
        ("192.168.1.2", False),
        ("?", False),
        ("", False),
    ],
)
def test_addresses_are_allowed_by_network(address: str, allowed: bool) -> None:
    policy = Policy(networks=["10.0.0.0/8", "fd00::/16", "192.168.1.1"])
    assert policy.allows_address(address) == allowed
    assert Policy().allows_address(address)


def test_one_host_leaves_room_for_others() -> None:
    gate = Gate(Policy(max_handshakes=5, max_handshakes_per_host=2))
    assert [gate.enter("10.0.0.1") is None for _ in range(3)] == [True, True, False]
    assert gate.enter("10.0.0.2") is None
    gate.leave("10.0.0.1")
    assert gate.enter("10.0.0.1") is None
    assert [gate.enter("127.0.0.1") for _ in range(2)] == [None, None]
    reason = gate.enter("127.0.0.1")
    assert reason is not None
    assert "5 connections" in reason
    for address in ("10.0.0.1", "10.0.0.1", "10.0.0.2", "127.0.0.1", "127.0.0.1"):
        gate.leave(address)
    assert not gate._inside


@given(failures=st.integers(0, 10_000), chance=st.floats(0, 1))
def test_tries_come_later_and_later(failures: int, chance: float) -> None:
    wait = retry_after(failures, chance)
    assert FIRST_RETRY / 2 <= wait <= LAST_RETRY
    assert wait <= retry_after(failures + 1, chance)
    assert failures < 6 or wait >= LAST_RETRY / 2


@pytest.mark.anyio
async def test_only_nodes_on_the_list(epmd: Epmd, caplog: pytest.LogCaptureFixture) -> None:
    async with two(epmd, Policy(allow=["c@127.0.0.1"])) as (a, b):
        with anyio.fail_after(10):
            with pytest.raises(NotAllowed, match=f"does not allow {b.name}"):
                await a.reach(b.name)
            with pytest.raises(HandshakeRefused):
                await b.reach(a.name)
            assert f"does not allow {b.name}" in caplog.text
            async with Node("c@127.0.0.1", COOKIE, epmd=epmd) as c:
                assert await c.ping(a.name)
                with pytest.raises(NoConnection, match="does not allow"):
                    await a.call(NET_KERNEL, IS_AUTH)
                assert await a.ping(c.name)


@pytest.mark.anyio
async def test_only_from_known_networks(epmd: Epmd, caplog: pytest.LogCaptureFixture) -> None:
    async with two(epmd, Policy(networks=["127.0.0.2"])) as (a, b):
        with anyio.fail_after(10):
            assert not await b.connect(a.name)
            assert await a.connect(b.name)  # a list for those who come
        assert "127.0.0.1 is not in the networks of the policy" in caplog.text


@pytest.mark.anyio
@pytest.mark.parametrize("when", ["once", "never"])
async def test_connections_that_are_not_made_by_themselves(epmd: Epmd, when: Any) -> None:
    async with two(epmd, Policy(auto_connect=when)) as (a, b):
        with anyio.fail_after(10), a.monitor_nodes() as events:
            if when == "once":
                await a.call(NET_KERNEL, IS_AUTH)
            else:
                with pytest.raises(NoConnection, match="auto_connect is never"):
                    await a.call(NET_KERNEL, IS_AUTH)
                assert await a.connect(b.name)
            assert await a.call(NET_KERNEL, IS_AUTH) == Atom("yes")
            await a.disconnect(b.name)
            assert [type(await anext(events)) for _ in range(2)] == [NodeUp, NodeDown]
            with pytest.raises(NoConnection, match=f"auto_connect is {when}: connect to {b.name} first"):
                await a.call(NET_KERNEL, IS_AUTH)
            await a.send(NET_KERNEL, Atom("lost"))
            assert (await a.monitor(NET_KERNEL)).reason == Atom("noconnection")
            assert a.nodes() == []
            assert await a.connect(b.name)


@pytest.mark.anyio
async def test_no_more_connections_than_allowed(epmd: Epmd) -> None:
    async with two(epmd, Policy(max_connections=1)) as (a, b):
        async with Node("c@127.0.0.1", COOKIE, epmd=epmd) as c:
            with anyio.fail_after(10):
                assert await b.ping(a.name)
                assert await b.ping(a.name)
                assert not await c.connect(a.name)
                with pytest.raises(NotAllowed, match="max_connections"):
                    await a.reach(c.name)
                await a.disconnect(b.name)
                assert await a.connect(c.name)


@pytest.mark.anyio
async def test_a_node_is_kept_connected(epmd: Epmd, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "ergo_node")
    async with Node(f"a@{HOST}", COOKIE, epmd=epmd) as a:
        with anyio.fail_after(30), a.monitor_nodes() as events:
            a.keep_connected(f"b@{HOST}")
            a.keep_connected(f"b@{HOST}")
            for _ in range(2):
                async with Node(f"b@{HOST}", COOKIE, epmd=epmd) as b:
                    assert await anext(events) == NodeUp(b.name, hidden=False)
                    assert await b.disconnect(a.name)
                    assert isinstance(await anext(events), NodeDown)
                    assert await anext(events) == NodeUp(b.name, hidden=False)
                assert isinstance(await anext(events), NodeDown)
            async with Node(f"b@{HOST}", COOKIE, epmd=epmd) as b:
                await anext(events)
                await a.disconnect(b.name)
                assert isinstance(await anext(events), NodeDown)
            assert f"b@{HOST}" not in a._reconnects


def test_a_node_that_was_not_started_keeps_none() -> None:
    with pytest.raises(RuntimeError, match="has not been started"):
        Node(f"a@{HOST}", COOKIE).keep_connected(f"b@{HOST}")


@pytest.mark.anyio
async def test_slow_handshakes_make_room_again(epmd: Epmd) -> None:
    async with two(epmd, Policy(max_handshakes=2)) as (a, b):
        with anyio.fail_after(10):
            strangers: list[SocketStream] = [await anyio.connect_tcp(HOST, a.port) for _ in range(2)]
            async with await anyio.connect_tcp(HOST, a.port) as third:
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await third.receive()
            for stranger in strangers:
                await stranger.aclose()
            while not await b.connect(a.name):
                await anyio.lowlevel.checkpoint()


async def endless(process: Process) -> None:
    process.trap_exit = True
    while True:
        await process.receive()


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["links", "monitors"])
async def test_links_and_monitors_without_end(
    epmd: Epmd, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with two(epmd, Policy(max_links_monitors=20)) as (a, b):
        pids = [a.spawn(endless) for _ in range(30)]
        downs: list[Any] = []

        async def grasp(process: Process, count: int) -> None:
            process.trap_exit = True
            for pid in pids[:count]:
                if kind == "links":
                    process.link(pid)
                else:
                    process.monitor(pid)
            if count > 20:
                downs.extend([await process.receive(timeout=10) for _ in range(count)])
            await process.receive()

        modest = b.spawn(grasp, 20)
        with anyio.fail_after(10), a.monitor_nodes() as events:
            while a.kernel.nodes.bonds_with(b.name) < 20:  # noqa: ASYNC110  # a count has no event
                await anyio.sleep(0.01)
            assert a.nodes() == [b.name]
            b.spawn(grasp, 30)
            async for event in events:
                if isinstance(event, NodeDown):
                    break
        assert "b@127.0.0.1 has more than 20 links and monitors with our processes" in caplog.text
        assert a.kernel.nodes.bonds_with(b.name) == 0
        with anyio.fail_after(10):
            while len(downs) < 30:  # noqa: ASYNC110  # nor has a list
                await anyio.sleep(0.01)
        assert {down.reason for down in downs} == {Atom("noconnection")}
        assert all(not a.kernel.table.by_pid[pid].monitored_by for pid in pids)
        assert all(not a.kernel.table.by_pid[pid].links for pid in pids)
        for pid in pids:
            a.exit(pid, Atom("kill"))
        b.exit(modest, Atom("kill"))
        assert await b.ping(a.name)


@pytest.mark.anyio
async def test_plain_and_open_to_the_network_is_told(caplog: pytest.LogCaptureFixture) -> None:
    everywhere = Listen("0.0.0.0")  # the very thing that is warned of
    for options, warned in (
        ({"listen": everywhere}, True),
        ({"listen": everywhere, "policy": Policy(allow_plain=True)}, False),
        ({"listen": Listen("127.0.0.1")}, False),
        ({}, False),
    ):
        caplog.clear()
        async with Node(f"a@{HOST}", COOKIE, epmd=None, **options):
            pass
        assert ("listens on 0.0.0.0, port" in caplog.text) == warned
