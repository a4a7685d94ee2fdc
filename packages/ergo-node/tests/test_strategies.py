"""Strategies, and nodes that meet by them, with a DNS server of their own on loopback."""

import logging
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

import anyio
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from anyio.abc import SocketAttribute
from ergo_node import DiscoveryFailed, DnsNodes, Epmd, Listen, Node, SrvNodes, StaticNodes, Strategy

COOKIE = "secret"
QUERY = "app.default.svc.cluster.local"
SRV = ("0 50 9101 app-0.app.local.", "0 50 9102 app-1.app.local.")


class NameServer:
    """A DNS server: it answers what `records` has, by name and type, and refuses to while `broken`."""

    def __init__(self, port: int) -> None:
        self.address = ("127.0.0.1", port)
        self.records: dict[tuple[str, str], list[str]] = {}
        self.broken = False
        self.asked = 0

    def answer(self, data: bytes) -> bytes:
        query = dns.message.from_wire(data)
        response = dns.message.make_response(query)
        self.asked += 1
        if self.broken:
            response.set_rcode(dns.rcode.REFUSED)
            return response.to_wire()
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        texts = self.records.get((name, kind), [])
        if texts:
            response.answer.append(dns.rrset.from_text_list(question.name, 1, "IN", kind, texts))
        elif not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()


@pytest.fixture
async def name_server() -> AsyncIterator[NameServer]:
    async with (
        await anyio.create_udp_socket(local_host="127.0.0.1") as socket,
        anyio.create_task_group() as tasks,
    ):
        server = NameServer(socket.extra(SocketAttribute.local_port))

        async def serve() -> None:
            async for data, (host, port) in socket:
                await socket.sendto(server.answer(data), host, port)

        tasks.start_soon(serve)
        yield server
        tasks.cancel_scope.cancel()


async def until(condition: Callable[[], Any]) -> None:
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event
            await anyio.sleep(0.01)


@pytest.mark.parametrize(
    "make",
    [
        lambda: StaticNodes("db@10.0.0.4"),
        lambda: StaticNodes(["db"]),
        lambda: DnsNodes(QUERY, ""),
        lambda: DnsNodes(QUERY, "a@b"),
        lambda: DnsNodes(QUERY, "app", interval=0),
        lambda: DnsNodes(QUERY, "app", interval=float("nan")),
        lambda: DnsNodes(QUERY, "app", family="ipx"),  # type: ignore[arg-type]  # what a user may write
        lambda: SrvNodes(QUERY, "a b\n"),
    ],
)
def test_what_is_no_strategy(make: Callable[[], Strategy]) -> None:
    with pytest.raises(ValueError, match=r"."):
        make()


def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ergo_node._dns", None)
    for make in (lambda: SrvNodes(QUERY, "app"), lambda: DnsNodes(QUERY, "app", nameserver=("::1", 53))):
        with pytest.raises(DiscoveryFailed, match=r"pip install 'ergo-node\[dns\]'"):
            make()
    DnsNodes(QUERY, "app")


pytestmark = pytest.mark.anyio


async def test_static_nodes() -> None:
    assert await StaticNodes(["a@x", "b@x"]).find() == {"a@x": None, "b@x": None}
    routes = {"a@x": ("10.0.0.4", 9100), "b@x": None}
    assert await StaticNodes(routes).find() == routes


async def test_addresses_by_the_system() -> None:
    found = await DnsNodes("localhost", "app", family="ipv4").find()
    assert found == {"app@127.0.0.1": None}
    with pytest.raises(DiscoveryFailed, match=r"nobody\.invalid is not to be resolved"):
        await DnsNodes("nobody.invalid", "app").find()
    with pytest.raises(DiscoveryFailed, match="is not to be resolved"):
        await DnsNodes("x" * 70 + ".example", "app").find()


async def test_addresses_by_a_nameserver(name_server: NameServer) -> None:
    name_server.records = {(QUERY, "A"): ["10.0.0.2", "10.0.0.1"], (QUERY, "AAAA"): ["fd00::4"]}
    ipv4, ipv6 = ["app@10.0.0.1", "app@10.0.0.2"], ["app@fd00::4"]
    expected: dict[Literal["any", "ipv4", "ipv6"], list[str]] = {
        "ipv4": ipv4,
        "ipv6": ipv6,
        "any": ipv4 + ipv6,
    }
    for family, nodes in expected.items():
        strategy = DnsNodes(QUERY, "app", family=family, nameserver=name_server.address)
        assert list(await strategy.find()) == nodes
    with pytest.raises(DiscoveryFailed, match="is not to be resolved"):
        await DnsNodes(f"no.{QUERY}", "app", nameserver=name_server.address).find()
    name_server.records[f"empty.{QUERY}", "TXT"] = ['"here"']
    with pytest.raises(DiscoveryFailed, match="has no addresses"):
        await DnsNodes(f"empty.{QUERY}", "app", nameserver=name_server.address).find()


async def test_services(name_server: NameServer) -> None:
    name_server.records = {(QUERY, "SRV"): list(SRV)}
    by_epmd = SrvNodes(QUERY, "app", nameserver=name_server.address)
    assert await by_epmd.find() == {"app@app-0.app.local": None, "app@app-1.app.local": None}
    by_port = SrvNodes(QUERY, "app", ports=True, nameserver=name_server.address)
    assert await by_port.find() == {
        "app@app-0.app.local": ("app-0.app.local", 9101),
        "app@app-1.app.local": ("app-1.app.local", 9102),
    }
    name_server.records[QUERY, "SRV"] = ["0 0 0 ."]
    with pytest.raises(DiscoveryFailed, match="has no SRV records"):
        await by_port.find()
    name_server.broken = True
    with pytest.raises(DiscoveryFailed, match=r"is not to be resolved \(SRV\)"):
        await by_port.find()


async def test_nodes_meet_by_dns(name_server: NameServer, epmd: Epmd) -> None:
    name_server.records = {(QUERY, "A"): ["127.0.0.1"]}
    strategy = DnsNodes(QUERY, "b", interval=0.05, nameserver=name_server.address)
    async with (
        Node("a@127.0.0.1", COOKIE, epmd=epmd, cluster=strategy) as a,
        Node("b@127.0.0.1", COOKIE, epmd=epmd, cluster=[strategy]) as b,
    ):
        await until(lambda: a.nodes() == [b.name] and b.nodes() == [a.name])
        assert b.health().missing == ()  # itself it does not look for
        assert await a.disconnect(b.name)
        await until(lambda: not a.nodes() and not b.nodes())


async def test_nodes_meet_by_services_without_epmd(
    name_server: NameServer, free_tcp_port_factory: Callable[[], int]
) -> None:
    ports = {name: free_tcp_port_factory() for name in ("localhost",)}
    name_server.records = {(QUERY, "SRV"): [f"0 0 {port} {host}." for host, port in ports.items()]}
    strategy = SrvNodes(QUERY, "b", ports=True, interval=0.05, nameserver=name_server.address)
    listen = Listen("127.0.0.1", [ports["localhost"]])
    async with (
        Node("b@localhost", COOKIE, epmd=None, listen=listen) as b,
        Node("a@127.0.0.1", COOKIE, epmd=None, cluster=strategy) as a,
    ):
        await until(lambda: a.nodes() == [b.name])


async def test_what_vanishes_stays_connected_but_is_tried_no_more(
    name_server: NameServer, epmd: Epmd, caplog: pytest.LogCaptureFixture
) -> None:
    name_server.records = {(QUERY, "A"): ["127.0.0.1", "127.0.0.2"]}
    strategy = DnsNodes(QUERY, "b", interval=0.05, nameserver=name_server.address)
    caplog.set_level(logging.INFO, "ergo_node")
    async with Node("a@127.0.0.1", COOKIE, epmd=epmd, cluster=strategy) as a:
        async with Node("b@127.0.0.1", COOKIE, epmd=epmd) as b:
            await until(lambda: a.nodes() == [b.name])
            assert a.health().missing == ("b@127.0.0.2",)
            assert a.health().ready
            name_server.records[QUERY, "A"] = ["127.0.0.2"]
            await until(lambda: "b@127.0.0.1 is not of the cluster any more" in caplog.text)
            assert a.nodes() == [b.name]
        await until(lambda: not a.nodes())
        assert a.health().missing == ("b@127.0.0.2",)  # the one that is lost is not wanted any more


async def test_what_the_program_keeps_connected_is_its_own(name_server: NameServer, epmd: Epmd) -> None:
    name_server.records = {(QUERY, "A"): ["127.0.0.1"]}
    strategy = DnsNodes(QUERY, "b", interval=0.05, nameserver=name_server.address)
    async with Node("a@127.0.0.1", COOKIE, epmd=epmd, cluster=strategy) as a:
        a.keep_connected("b@127.0.0.1")
        await until(lambda: name_server.asked > 2)
        name_server.records[QUERY, "A"] = ["127.0.0.3"]
        await until(lambda: "b@127.0.0.3" in a.health().missing)
        assert "b@127.0.0.1" in a.health().missing


async def test_a_failure_is_logged_once_until_it_changes(
    name_server: NameServer, epmd: Epmd, caplog: pytest.LogCaptureFixture
) -> None:
    name_server.records = {(QUERY, "A"): ["127.0.0.2"]}
    strategy = DnsNodes(QUERY, "b", interval=0.02, family="ipv4", nameserver=name_server.address)
    caplog.set_level(logging.INFO, "ergo_node")

    def said(word: str) -> int:
        return sum("DnsNodes" in record.message and word in record.message for record in caplog.records)

    async with Node("a@127.0.0.1", COOKIE, epmd=epmd, cluster=strategy) as a:
        await until(lambda: a.health().missing)
        name_server.broken, name_server.asked = True, 0
        await until(lambda: name_server.asked > 6)
        assert said("REFUSED") == 1
        assert a.health().missing == ("b@127.0.0.2",)  # what it found last is wanted all the same
        name_server.broken, name_server.records = False, {("else", "A"): ["127.0.0.2"]}
        await until(lambda: said("does not exist"))
        name_server.records = {(QUERY, "A"): ["127.0.0.2"]}
        await until(lambda: said("found again"))


async def test_a_strategy_of_ones_own(epmd: Epmd) -> None:
    class Neighbours:
        interval = None
        asked = 0

        async def find(self) -> dict[str, tuple[str, int] | None]:
            self.asked += 1
            return {f"b@{host}": None for host in ("127.0.0.1", "127.0.0.2")}

    neighbours = Neighbours()
    async with (
        Node("b@127.0.0.1", COOKIE, epmd=epmd) as b,
        Node("a@127.0.0.1", COOKIE, epmd=epmd, cluster=[neighbours, StaticNodes([b.name])]) as a,
    ):
        await until(lambda: a.nodes() == [b.name])
        assert a.health().missing == ("b@127.0.0.2",)
        assert neighbours.asked == 1
