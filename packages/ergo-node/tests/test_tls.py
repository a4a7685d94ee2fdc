"""TLS between our own nodes: what is let in, what is refused, and certificates that change."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import anyio
import pytest
from ergo_node import CannotStart, Epmd, HandshakeRefused, Node, Tls, TlsError
from ergo_node._certificates import Authority, write_node
from ergo_node._tls import TlsContexts, Version, _matches
from erldist_proto import Accept, Closed, Connected, Connection, ConnectionRequested, LocalNode

HOST, COOKIE = "127.0.0.1", "secret"


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    authority = Authority.create()
    authority.save(folder)
    for host in (HOST, "localhost", "10.0.0.99"):
        write_node(folder, host, *authority.issue([host]))
    return folder


@pytest.fixture
def tls(certs: Path) -> Tls:
    return Tls(certs / f"{HOST}.pem", ca=certs / "ca.pem")


@pytest.fixture
async def secure(epmd: Epmd, tls: Tls) -> AsyncIterator[Node]:
    async with Node(f"a@{HOST}", COOKIE, epmd=epmd, tls=tls) as node:
        yield node


@pytest.mark.parametrize(
    ("kind", "name", "host", "same"),
    [
        ("DNS", "db.example.com", "DB.example.com", True),
        ("DNS", "db.example.com", "db.example.org", False),
        ("DNS", "*.example.com", "db.example.com", True),
        ("DNS", "*.example.com", "a.b.example.com", False),
        ("DNS", "*.example.com", "example.com", False),
        ("DNS", "*.com", "example.com", False),
        ("DNS", "*", "localhost", False),
        ("DNS", "*.0.0.1", "127.0.0.1", False),
        ("DNS", "127.0.0.1", "127.0.0.1", True),
        ("DNS", "d*.example.com", "db.example.com", False),
        ("DNS", "localhost", "localhost", True),
        ("DNS", "", "", False),
        ("IP Address", "127.0.0.1", "127.0.0.1", True),
        ("IP Address", "0:0:0:0:0:0:0:1", "::1", True),
        ("IP Address", "127.0.0.1", "localhost", False),
        ("URI", "localhost", "localhost", False),
    ],
)
def test_names_are_compared_as_openssl_does(kind: str, name: str, host: str, same: bool) -> None:
    assert _matches(kind, name, host) == same


def test_a_file_that_cannot_be_used_says_so(certs: Path, tmp_path: Path) -> None:
    own, other, ca = certs / f"{HOST}.pem", certs / "localhost.pem", certs / "ca.pem"
    empty = tmp_path / "empty.pem"
    empty.touch(0o600)
    with pytest.raises(CannotStart, match=r"Tls\(ca=...\) is missing"):
        TlsContexts(Tls(own))
    with pytest.raises(CannotStart, match="No such file"):
        TlsContexts(Tls(own, ca=tmp_path / "none.pem"))
    with pytest.raises(CannotStart, match=r"authorities in .*empty"):
        TlsContexts(Tls(own, ca=empty))
    with pytest.raises(CannotStart, match="not that of the certificate"):
        TlsContexts(Tls(own, other, ca))
    with pytest.raises(CannotStart, match="no PEM"):
        TlsContexts(Tls(empty, ca=ca))
    with pytest.raises(CannotStart, match="versions"):
        TlsContexts(Tls(own, ca=ca, versions=()))


@pytest.mark.skipif(os.name != "posix", reason="no file modes here")
def test_a_key_for_everybody_is_refused(certs: Path, tmp_path: Path) -> None:
    open_key = tmp_path / "open.pem"
    open_key.write_bytes((certs / f"{HOST}.pem").read_bytes())
    open_key.chmod(0o644)
    with pytest.raises(CannotStart, match="chmod 600"):
        TlsContexts(Tls(open_key, ca=certs / "ca.pem"))


@pytest.mark.anyio
@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_nodes_with_good_certificates_meet(
    secure: Node, epmd: Epmd, certs: Path, version: Version
) -> None:
    tls = Tls(certs / f"{HOST}.pem", ca=certs / "ca.pem", versions=(version,))
    async with Node(f"b@{HOST}", COOKIE, epmd=epmd, tls=tls) as other:
        with anyio.fail_after(10):
            await other.reach(secure.name)
            assert await secure.ping(other.name)
            assert secure.nodes() == [other.name]


@pytest.mark.anyio
async def test_a_claimed_host_must_be_in_the_certificate(
    secure: Node, epmd: Epmd, certs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other_host = Tls(certs / "10.0.0.99.pem", ca=certs / "ca.pem")
    async with Node(f"b@{HOST}", COOKIE, epmd=epmd, tls=other_host) as liar:
        with anyio.fail_after(10):
            with pytest.raises(HandshakeRefused):
                await liar.reach(secure.name)
            assert f"its certificate is not for {HOST}" in caplog.text
            with pytest.raises(TlsError, match="IP address mismatch"):
                await secure.reach(liar.name)


@pytest.mark.anyio
async def test_names_need_not_be_checked(epmd: Epmd, certs: Path) -> None:
    tls = Tls(certs / "10.0.0.99.pem", ca=certs / "ca.pem", check_names=False)
    async with (
        Node(f"a@{HOST}", COOKIE, epmd=epmd, tls=tls) as a,
        Node(f"b@{HOST}", COOKIE, epmd=epmd, tls=tls) as b,
    ):
        with anyio.fail_after(10):
            assert await a.ping(b.name)


@pytest.mark.anyio
async def test_encryption_without_verification(epmd: Epmd, tmp_path: Path) -> None:
    """Two authorities that know nothing of each other."""
    nodes = []
    for name in ("a", "b"):
        write_node(tmp_path, name, *Authority.create().issue(["elsewhere"]))
        nodes.append(
            Node(f"{name}@{HOST}", COOKIE, epmd=epmd, tls=Tls(tmp_path / f"{name}.pem", verify=False))
        )
    async with nodes[0] as a, nodes[1] as b:
        with anyio.fail_after(10):
            assert await a.ping(b.name)


@pytest.mark.anyio
async def test_plain_nodes_stay_out(secure: Node, epmd: Epmd) -> None:
    async with Node(f"b@{HOST}", COOKIE, epmd=epmd) as plain:
        with anyio.fail_after(20):
            assert not await plain.connect(secure.name)
            with pytest.raises(TlsError, match=r"does it use TLS|does not speak TLS"):
                await secure.reach(plain.name)


@pytest.mark.anyio
async def test_new_certificates_are_for_new_connections(epmd: Epmd, tmp_path: Path) -> None:
    old, new = Authority.create("old"), Authority.create("new")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        old.save(tmp_path / name)
        write_node(tmp_path / name, "node", *old.issue([HOST]))
    configs = [Tls(tmp_path / name / "node.pem", ca=tmp_path / name / "ca.pem") for name in ("a", "b")]
    async with (
        Node(f"a@{HOST}", COOKIE, epmd=epmd, tls=configs[0]) as a,
        Node(f"b@{HOST}", COOKIE, epmd=epmd, tls=configs[1]) as b,
    ):
        with anyio.fail_after(10), a.monitor_nodes() as events:
            assert await a.ping(b.name)
            await anext(events)
            new.save(tmp_path / "a")
            write_node(tmp_path / "a", "node", *new.issue([HOST]))
            a.reload_tls()
            assert await a.ping(b.name)  # over the old connection
            events.close()
            assert [event async for event in events] == []
            await a.disconnect(b.name)
            assert not await a.connect(b.name)
            new.save(tmp_path / "b")
            write_node(tmp_path / "b", "node", *new.issue([HOST]))
            b.reload_tls()
            assert await a.connect(b.name)
            (tmp_path / "a" / "node.pem").write_bytes(b"")
            with pytest.raises(CannotStart):
                a.reload_tls()
            await a.disconnect(b.name)
            with a.monitor_nodes() as more:
                assert await a.connect(b.name)  # with what was read last
                await anext(more)


@pytest.mark.anyio
async def test_a_session_that_is_cut_off_is_a_lost_connection(secure: Node, tls: Tls) -> None:
    """No goodbye of TLS, in the middle of a packet: an end as any other."""
    session = TlsContexts(tls).connect(HOST)
    connection = Connection.initiator(
        LocalNode(f"c@{HOST}", 9), secure.name, COOKIE, monotonic(), length_bytes=4
    )
    with anyio.fail_after(10), secure.monitor_nodes() as events:
        async with await anyio.connect_tcp(HOST, secure.port) as stream:
            session.begin()
            connected = False
            while not connected:
                await stream.send(session.encrypt(connection.data_to_send()))
                connection.receive_data(session.decrypt(await stream.receive()))
                connected = any(isinstance(event, Connected) for event in connection.events())
            await anext(events)
            await stream.send(session.encrypt([b"\0\0\1\0half"]))
        event = await anext(events)
        assert getattr(event, "reason", None) == "connection_closed"


@pytest.mark.anyio
async def test_a_stranger_at_our_port(secure: Node, caplog: pytest.LogCaptureFixture) -> None:
    with anyio.fail_after(10):
        async with await anyio.connect_tcp(HOST, secure.port) as stream:
            await stream.send(b"GET / HTTP/1.1\r\n\r\n")
            with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()
        while "it speaks HTTP" not in caplog.text:  # noqa: ASYNC110 (a log tells nobody that it has grown)
            await anyio.sleep(0.01)


@pytest.mark.anyio
async def test_a_node_that_asks_for_a_name_is_checked_too(secure: Node, tls: Tls) -> None:
    for host, outcome in ((HOST, Connected), ("10.0.0.99", Closed)):
        session = TlsContexts(tls).connect(HOST)
        connection = Connection.initiator(
            LocalNode.dynamic(host), secure.name, COOKIE, monotonic(), length_bytes=4
        )
        ends: list[object] = []
        with anyio.fail_after(10):
            async with await anyio.connect_tcp(HOST, secure.port) as stream:
                session.begin()
                while not ends:
                    await stream.send(session.encrypt(connection.data_to_send()))
                    connection.receive_data(session.decrypt(await stream.receive()))
                    for event in connection.events():
                        assert not isinstance(event, ConnectionRequested | Accept)
                        if isinstance(event, Connected | Closed):
                            ends.append(event)
        assert isinstance(ends[0], outcome)


@pytest.mark.anyio
async def test_development_certificates(epmd: Epmd, tmp_path: Path) -> None:
    folder = tmp_path / "made" / "tls"
    first, second = Tls.development(folder), Tls.development(folder)
    assert first == second
    names = ("a@127.0.0.1", "b@localhost")
    async with (
        Node(names[0], COOKIE, epmd=epmd, tls=first) as a,
        Node(names[1], COOKIE, epmd=epmd, tls=second, routes={names[0]: (HOST, 1)}) as b,
    ):
        a.add_route(b.name, HOST, b.port)
        with anyio.fail_after(10):
            assert await a.ping(b.name)


def test_development_certificates_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotStart, match="no development certificates"):
        Tls.development(tmp_path / "file" / "tls")
