"""Certificates for 127.0.0.1 that are good, or have one thing wrong with them; each with its own files."""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOST: Final = "127.0.0.1"
NOW: Final = datetime.datetime.now(datetime.UTC)
DAY: Final = datetime.timedelta(days=1)
BOTH: Final = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)

Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass
class Recipe:
    """What a certificate is made of; the default is a good one.

    Attributes:
        issuer: `ca`, `self`, `other` (an authority nobody trusts, of the same name), `leaf` (a node's
            certificate), or `elsewhere` (an intermediate authority that may speak for 10.0.0.0/8 alone).
    """

    issuer: str = "ca"
    begins: datetime.datetime = NOW - 2 * DAY
    ends: datetime.datetime = NOW + DAY
    names: tuple[x509.GeneralName, ...] = (x509.IPAddress(IPv4Address(HOST)), x509.DNSName(HOST))
    purposes: tuple[x509.ObjectIdentifier, ...] | None = BOTH
    key: Callable[[], Key] = lambda: ec.generate_private_key(ec.SECP256R1())


def rsa_key(bits: int) -> Callable[[], Key]:
    """Makes RSA keys of a size."""
    return lambda: rsa.generate_private_key(65537, bits)


RECIPES: Final[dict[str, Recipe]] = {
    "good": Recipe(),
    "good, RSA": Recipe(key=rsa_key(2048)),
    "good, no purposes": Recipe(purposes=None),
    "self-signed": Recipe(issuer="self"),
    "other CA": Recipe(issuer="other"),
    "expired": Recipe(ends=NOW - DAY),
    "not yet valid": Recipe(begins=NOW + DAY, ends=NOW + 2 * DAY),
    "for servers only": Recipe(purposes=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    "for clients only": Recipe(purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
    "for mail": Recipe(purposes=(ExtendedKeyUsageOID.EMAIL_PROTECTION,)),
    "short key": Recipe(key=rsa_key(1024)),
    "no SAN": Recipe(names=()),
    "wrong host": Recipe(names=(x509.IPAddress(IPv4Address("10.0.0.99")), x509.DNSName("10.0.0.99"))),
    "wildcard": Recipe(names=(x509.DNSName("*.0.0.1"),)),
    "CA:false issuer": Recipe(issuer="leaf"),
    "name-constrained CA": Recipe(issuer="elsewhere"),
}


class Zoo:
    """Makes the certificates in a folder: one PEM file each, with the chain to the authority and the key.

    Args:
        folder: where they go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._ca = self._authority("zoo", self._key, None, None)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(self._ca.public_bytes(serialization.Encoding.PEM))

    def make(self, name: str) -> Path:
        """Make the certificate of a recipe; its common name is always the host."""
        recipe = RECIPES[name]
        key = recipe.key()
        issuer, issuer_key, chain = self._issuer(recipe.issuer, key)
        builder = self._builder(HOST, key, issuer, issuer_key, recipe.begins, recipe.ends).add_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        )
        if recipe.names:
            builder = builder.add_extension(x509.SubjectAlternativeName(recipe.names), critical=False)
        if recipe.purposes is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(recipe.purposes), critical=False)
        path = self._folder / f"{name.replace(' ', '-').replace(':', '-')}.pem"
        certificate = builder.sign(issuer_key, hashes.SHA256())
        path.touch(0o600)
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + chain
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return path

    def _issuer(self, kind: str, key: Key) -> tuple[x509.Certificate | None, Key, bytes]:
        """Who signs: its certificate and key, and what goes into the file besides."""
        if kind == "ca":
            return self._ca, self._key, b""
        if kind == "self":
            return None, key, b""
        other = ec.generate_private_key(ec.SECP256R1())
        if kind == "other":
            return self._ca, other, b""
        if kind == "leaf":
            leaf = self._builder("leaf", other, self._ca, self._key, NOW - DAY, NOW + DAY).add_extension(
                x509.BasicConstraints(ca=False, path_length=None), critical=True
            )
            issuer = leaf.sign(self._key, hashes.SHA256())
        else:
            issuer = self._authority("elsewhere", other, self._ca, IPv4Network("10.0.0.0/8"))
        return issuer, other, issuer.public_bytes(serialization.Encoding.PEM)

    def _authority(
        self, name: str, key: Key, issuer: x509.Certificate | None, only: IPv4Network | None
    ) -> x509.Certificate:
        builder = (
            self._builder(name, key, issuer, self._key, NOW - 2 * DAY, NOW + 2 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=False, key_cert_sign=True, crl_sign=True, content_commitment=False,
                    key_encipherment=False, data_encipherment=False, key_agreement=False,
                    encipher_only=False, decipher_only=False,
                ),
                critical=True,
            )
        )  # fmt: skip
        if only is not None:
            names = x509.NameConstraints([x509.IPAddress(only)], None)
            builder = builder.add_extension(names, critical=True)
        return builder.sign(self._key, hashes.SHA256())

    @staticmethod
    def _builder(
        name: str,
        key: Key,
        issuer: x509.Certificate | None,
        issuer_key: Key,
        begins: datetime.datetime,
        ends: datetime.datetime,
    ) -> x509.CertificateBuilder:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return (
            x509.CertificateBuilder()
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .subject_name(subject)
            .issuer_name(subject if issuer is None else issuer.subject)
            .public_key(key.public_key())
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
