"""One TLS session in memory: how its bytes are split, and what ends it."""

import ssl

import pytest
from ergo_node import Tls, TlsError
from ergo_node._certificates import Authority, write_node
from ergo_node._tls import TlsContexts
from ergo_node._tls_session import TlsSession

Sessions = tuple[TlsSession, TlsSession]


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> TlsContexts:
    folder = tmp_path_factory.mktemp("certs")
    authority = Authority.create()
    authority.save(folder)
    write_node(folder, "host", *authority.issue(["host"]))
    return TlsContexts(Tls(folder / "host.pem", ca=folder / "ca.pem"))


def shake_hands(client: TlsSession, server: TlsSession, step: int = 1 << 20) -> tuple[bytes, bytes]:
    """Carry bytes both ways until both are quiet; returns what each of them was told."""
    client.begin()
    server.begin()
    told = {client: b"", server: b""}
    moved = True
    while moved:
        moved = False
        for sender, receiver in ((client, server), (server, client)):
            data = sender.output()
            for start in range(0, len(data), step):
                told[receiver] += receiver.decrypt(data[start : start + step])
                moved = True
    return told[client], told[server]


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_what_is_said_arrives_in_any_split(contexts: TlsContexts, step: int) -> None:
    client, server = contexts.connect("host"), contexts.accept()
    assert client.encrypt([b"early ", memoryview(b"words")]) == b""
    to_client, to_server = shake_hands(client, server, step)
    assert (to_client, to_server) == (b"", b"early words")
    assert client.established
    assert server.established
    large = bytes(range(256)) * 400
    data = server.encrypt([b"a", large, b"b"])
    told = b"".join(
        client.decrypt(data[start : start + step * 100]) for start in range(0, len(data), step * 100)
    )
    assert told == b"a" + large + b"b"
    assert client.version() == "TLSv1.3"


def test_goodbye_is_no_error(contexts: TlsContexts) -> None:
    client, server = contexts.connect("host"), contexts.accept()
    shake_hands(client, server)
    assert server.decrypt(client.encrypt([b"last"]) + client.close()) == b"last"


def test_a_session_that_never_began_says_nothing_at_the_end(contexts: TlsContexts) -> None:
    assert contexts.accept().close() == b""


def test_the_wrong_host_is_told(contexts: TlsContexts) -> None:
    client, server = contexts.connect("another"), contexts.accept()
    with pytest.raises(TlsError, match="Hostname mismatch"):
        shake_hands(client, server)
    with pytest.raises(TlsError, match="our certificate"):
        server.decrypt(client.output())


def test_garbage_after_the_handshake(contexts: TlsContexts) -> None:
    client, server = contexts.connect("host"), contexts.accept()
    shake_hands(client, server)
    data = bytearray(client.encrypt([b"secret"]))
    data[-1] ^= 1
    with pytest.raises(TlsError, match=r"bad record mac|record layer failure"):  # by release of OpenSSL
        server.decrypt(bytes(data))


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"GET / HTTP/1.1\r\n\r\n", "speaks HTTP"), (b"\0\x15N\0\0\0\0\0\0\0\0\0", "does not speak TLS")],
)
def test_strangers_are_named(contexts: TlsContexts, data: bytes, reason: str) -> None:
    with pytest.raises(TlsError, match=reason):
        contexts.accept().decrypt(data)


def test_what_browsers_would_allow_is_off(contexts: TlsContexts) -> None:
    for context in (contexts._server, contexts._client):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert not context.hostname_checks_common_name
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert context.verify_flags & ssl.VERIFY_X509_STRICT
        assert context.security_level == 2  # no SHA-1, no short keys
