"""Making certificates: an authority of one's own, and the certificates of nodes it signs.

Needs `cryptography`, so only what makes certificates imports this file; TLS itself needs nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_FILE: Final = "ca.pem"
CA_KEY_FILE: Final = "ca-key.pem"

AUTHORITY_DAYS: Final = 3650
NODE_DAYS: Final = 365

BACKDATED: Final = timedelta(hours=1)
"""Certificates are valid from a little earlier on: the clocks of a cluster's hosts differ."""

EXPIRES_SOON: Final = timedelta(days=30)
"""A development certificate with less time left is made anew."""


class Authority:
    """A certificate authority: its certificate and its private key, which signs those of nodes."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self._key = key

    @classmethod
    def create(cls, name: str = "ergo-node authority", days: int = AUTHORITY_DAYS) -> Self:
        """Make an authority with a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            _valid(days)
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read an authority that was saved.

        Raises:
            OSError, ValueError: a file cannot be read, or is something else.
        """
        certificate = x509.load_pem_x509_certificate((folder / CA_FILE).read_bytes())
        key = serialization.load_pem_private_key((folder / CA_KEY_FILE).read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{folder / CA_KEY_FILE} is not a key that this command made")
        return cls(certificate, key)

    def save(self, folder: Path) -> None:
        """Write the certificate and, for the owner's eyes only, the key."""
        write_private(folder / CA_KEY_FILE, _key_pem(self._key))
        (folder / CA_FILE).write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, hosts: list[str], days: int = NODE_DAYS) -> tuple[bytes, bytes]:
        """Make the certificate of a node.

        Args:
            hosts: the host parts of the node names it is for: names and addresses.
            days: how long it is valid.

        Returns:
            The certificate and its private key, in PEM.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        public = self._key.public_key()
        builder = (
            _valid(days)
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .add_extension(x509.SubjectAlternativeName(_alternative_names(hosts)), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            # A node opens connections and accepts them.
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(_authority_key(public), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key)


def make_development(folder: Path, hosts: list[str]) -> None:
    """Have an authority and a certificate for these hosts in a folder, made on first use.

    Nodes that share the folder trust each other. Several may start at once: one makes it, all use it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            authority = Authority.create("ergo-node development")
            authority.save(made)
            write_node(made, "node", *authority.issue(hosts))
            made.rename(folder)
        except OSError:
            shutil.rmtree(made, ignore_errors=True)
            if not folder.exists():
                raise
    certificate = x509.load_pem_x509_certificate((folder / "node.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    short = certificate.not_valid_after_utc - datetime.now(UTC) < EXPIRES_SOON
    if short or any(name not in names for name in _alternative_names(hosts)):
        write_node(folder, "node", *Authority.load(folder).issue(hosts))


def write_node(folder: Path, name: str, certificate: bytes, key: bytes) -> None:
    """Write `NAME.pem`: the certificate and its key in one file, replaced at once, for its owner's eyes."""
    write_private(folder / f"{name}.pem", certificate + key)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read; whoever reads it meanwhile sees the old one or the new."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(temporary).replace(path)


def _valid(days: int) -> x509.CertificateBuilder:
    start = datetime.now(UTC) - BACKDATED
    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + BACKDATED + timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key(public: CertificateIssuerPublicKeyTypes) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(public)


def _alternative_names(hosts: list[str]) -> list[x509.GeneralName]:
    """An address goes in as an address and as a name: OpenSSL looks for the one, OTP for the other."""
    names: list[x509.GeneralName] = []
    for host in dict.fromkeys(hosts):
        try:
            names.append(x509.IPAddress(ip_address(host)))
        except ValueError:
            pass
        names.append(x509.DNSName(host))
    return names


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
