"""TLS beside `erl -proto_dist inet_tls`: who gets in on both sides, who does not, and what the log says."""

import datetime
import logging
import subprocess
import sys
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ergo_node import Node, RemoteName, Tls, TlsError
from erlang_peer import StartErl
from etf_codec import Atom

pytestmark = pytest.mark.anyio

HOST = "127.0.0.1"
PY, ERL = f"py@{HOST}", f"erl@{HOST}"
PONG, PANG = Atom("pong"), Atom("pang")
NOW = datetime.datetime.now(datetime.UTC)
Signer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `ergo-node certs` makes for our host."""
    folder = tmp_path_factory.mktemp("certs")
    command = [sys.executable, "-m", "ergo_node", "certs", str(folder), PY]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    return folder


def signer(path: Path, key: Path) -> Signer:
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return x509.load_pem_x509_certificates(path.read_bytes())[0], private


def bad_certificate(fault: str, certs: Path, folder: Path) -> Path:
    """A PEM file with a certificate that has one fault, and its key."""
    issuer, issuer_key = signer(certs / "ca.pem", certs / "ca-key.pem")
    chain = b""
    if fault == "other CA":
        issuer_key = ec.generate_private_key(ec.SECP256R1())
    elif fault == "CA:false issuer":
        issuer, issuer_key = signer(certs / f"{HOST}.pem", certs / f"{HOST}.pem")
        chain = issuer.public_bytes(serialization.Encoding.PEM)
    key = ec.generate_private_key(ec.SECP256R1())
    end = NOW - datetime.timedelta(days=1) if fault == "expired" else NOW + datetime.timedelta(days=1)
    builder = (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=2))
        .not_valid_after(end)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if fault != "no SAN":
        host = "10.0.0.99" if fault == "wrong host" else HOST
        names = [x509.IPAddress(IPv4Address(host)), x509.DNSName(host)]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(issuer_key, hashes.SHA256())
    path = folder / "bad.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + chain
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    path.chmod(0o600)
    return path


def erl_args(
    certs: Path, folder: Path, version: str, bad: Path | None = None, hide: bool = False
) -> list[str]:
    """Arguments for an Erlang node that speaks one version of TLS, with a certificate of its own."""
    text = (certs / f"{HOST}.conf").read_text()
    text = text.replace("'tlsv1.3', 'tlsv1.2'", f"'tlsv{version}'")
    if bad is not None:
        text = text.replace(str(certs / f"{HOST}.pem"), str(bad))
    if hide:
        head, tail = text.split("{client, [")
        text = head + "{client, [" + tail.partition("}, ")[2]
    conf = folder / "dist.conf"
    conf.write_text(text)
    return ["-proto_dist", "inet_tls", "-ssl_dist_optfile", str(conf)]


def good(certs: Path, **options: Any) -> Tls:
    return Tls(certs / f"{HOST}.pem", ca=certs / "ca.pem", **options)


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110 (a log tells nobody that it has grown)
            await anyio.sleep(0.02)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_good_certificates_connect(
    version: str, start_erl: StartErl, epmd_port: int, certs: Path, tmp_path: Path
) -> None:
    erl = await start_erl(ERL, args=erl_args(certs, tmp_path, version))
    echo = "fun F() -> receive {'$gen_call', From, Term} -> gen_server:reply(From, Term), F() end end"
    await erl.eval(f"register(echo, spawn({echo}))")
    async with Node(PY, "secret", tls=good(certs)) as node:
        for first in ("py", "erl"):
            if first == "py":
                await node.reach(ERL)
                # Who has accepted a connection knows it as one only a little after it has said so.
                assert await node.ping(ERL)
            else:
                assert await erl.eval(f"net_adm:ping('{PY}')") == PONG
            assert node.nodes() == [ERL]
            assert await erl.eval(f"monitor_node('{PY}', true), nodes()") == [Atom(PY)]
            large = bytes(range(256)) * 8192
            assert await node.call(RemoteName("echo", ERL), large) == large
            assert await node.disconnect(ERL)
            assert await erl.eval(f"receive {{nodedown, '{PY}'}} -> down end") == Atom("down")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(
    ("fault", "when_it_accepts", "when_it_connects"),
    [
        ("other CA", "unable to get local issuer", "unable to get local issuer"),
        ("expired", "certificate has expired", "certificate has expired"),
        ("no SAN", "IP address mismatch", f"not for {HOST}"),
        ("wrong host", "IP address mismatch", f"not for {HOST}"),
        ("CA:false issuer", "invalid CA certificate", "invalid CA certificate"),
        ("none", "", "no certificate"),
    ],
)
async def test_we_refuse_bad_certificates(
    fault: str,
    when_it_accepts: str,
    when_it_connects: str,
    version: str,
    start_erl: StartErl,
    epmd_port: int,
    certs: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = None if fault == "none" else bad_certificate(fault, certs, tmp_path)
    erl = await start_erl(ERL, args=erl_args(certs, tmp_path, version, bad, hide=fault == "none"))
    async with Node(PY, "secret", tls=good(certs)) as node:
        caplog.set_level(logging.INFO, "ergo_node")
        assert await erl.eval(f"net_adm:ping('{PY}')") == PANG
        await eventually(lambda: when_it_connects in caplog.text)
        if when_it_accepts:
            with pytest.raises(TlsError, match=when_it_accepts):
                await node.reach(ERL)
        assert node.nodes("all") == []
        assert await erl.eval("nodes(connected)") == []


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("other CA", "Unknown CA"),
        ("expired", "Certificate Expired"),
        ("no SAN", "hostname_check_failed"),
        ("wrong host", "hostname_check_failed"),
        ("CA:false issuer", "Fatal - "),
    ],
)
async def test_erlang_refuses_our_bad_certificate(
    fault: str,
    reason: str,
    version: str,
    start_erl: StartErl,
    epmd_port: int,
    certs: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    erl = await start_erl(ERL, args=erl_args(certs, tmp_path, version))
    tls = Tls(bad_certificate(fault, certs, tmp_path), ca=certs / "ca.pem")
    async with Node(PY, "secret", tls=tls) as node:
        assert await erl.eval(f"net_adm:ping('{PY}')") == PANG
        await eventually(lambda: f"TLS with {HOST} failed" in caplog.text)
        if reason != "hostname_check_failed":
            # OTP does not compare the certificate of who connects with a name.
            with pytest.raises(TlsError, match=r"it refused|it does not|has expired|our certificate"):
                await node.reach(ERL)
        assert node.nodes("all") == []
    await eventually(lambda: any(reason in line for line in erl.output))


async def test_tls_and_plain_nodes_do_not_meet(
    start_erl: StartErl, epmd_port: int, certs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = await start_erl("plain@127.0.0.1")
    secure = await start_erl("secure@127.0.0.1", args=erl_args(certs, tmp_path, "1.3"))
    async with Node(PY, "secret", tls=good(certs)) as node, Node("py2@127.0.0.1", "secret") as plain_node:
        with anyio.fail_after(20):
            assert await plain.eval(f"net_adm:ping('{PY}')", 10) == PANG
            await eventually(lambda: "it does not speak TLS" in caplog.text)
            assert not await node.connect(plain.name)
            assert await secure.eval("net_adm:ping('py2@127.0.0.1')", 10) == PANG
            await eventually(lambda: "the other side speaks TLS" in caplog.text)
            assert not await plain_node.connect(secure.name)


async def test_versions_that_do_not_meet(
    start_erl: StartErl, epmd_port: int, certs: Path, tmp_path: Path
) -> None:
    erl = await start_erl(ERL, args=erl_args(certs, tmp_path, "1.2"))
    async with Node(PY, "secret", tls=good(certs, versions=("1.3",))) as node:
        with anyio.fail_after(15):
            assert await erl.eval(f"net_adm:ping('{PY}')") == PANG
            with pytest.raises(TlsError, match="no version of TLS in common"):
                await node.reach(ERL)
