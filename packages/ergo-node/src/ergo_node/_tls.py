"""TLS distribution, as `erl -proto_dist inet_tls`: certificates, and whom they let in.

All is set explicitly, for the defaults of `ssl` are those of browsers: both sides show a certificate, names
are those of the subjectAltName alone, and an issuer must be an authority.
"""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal, Self

from ergo_node._errors import CannotStart
from ergo_node._tls_session import TlsSession

Version = Literal["1.2", "1.3"]

VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
"""For TLS 1.2: forward secret and authenticated only. Those of 1.3 are all good.

Level 2 refuses certificates with SHA-1 or with RSA keys below 2048 bits, however OpenSSL was built.
"""

OPTIONS: Final = ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_SINGLE_ECDH_USE

NEEDED: Final = "making certificates needs `cryptography`: pip install 'ergo-node[certs]'"


@dataclass(frozen=True, slots=True)
class Tls:
    """Connections to other nodes are encrypted, and both sides prove by certificates who they are.

    Args:
        certificate: PEM file of the node's certificate, with those of intermediate authorities after it. Its
            subjectAltName has the host part of the node's name.
        key: PEM file of the private key; None if it is in the file of the certificate.
        ca: PEM file of the authorities that sign the certificates of the cluster. Those of the system are
            not trusted.
        password: of the private key.
        versions: of TLS; both sides must have one in common. Up to OTP 27, Erlang has 1.2 unless told
            otherwise.
        verify: whether the certificate of the peer is checked (`verify_peer`). Without it the connection is
            encrypted, but nobody knows with whom.
        fail_if_no_peer_cert: whether a peer that connects to us must have a certificate.
        check_names: whether the host of a peer's node name must be in the subjectAltName of its certificate.
        strict: whether certificates must follow RFC 5280 to the letter (OpenSSL's `X509_STRICT`).
    """

    certificate: str | Path
    key: str | Path | None = None
    ca: str | Path | None = None
    password: str | None = field(default=None, repr=False)
    versions: Iterable[Version] = ("1.2", "1.3")
    verify: bool = True
    fail_if_no_peer_cert: bool = True
    check_names: bool = True
    strict: bool = True

    @classmethod
    def development(
        cls, folder: str | Path | None = None, hosts: Iterable[str] = ("localhost", "127.0.0.1", "::1")
    ) -> Self:
        """Use certificates that are made on first use; nodes that share the folder trust each other.

        Args:
            folder: where they are; None for `ergo-node/development-tls` in the user's data folder.
            hosts: host parts of the node names they are for.

        Raises:
            CannotStart: the package `cryptography` is missing, or the folder cannot be written.
        """
        folder = _data_folder() / "development-tls" if folder is None else Path(folder)
        try:
            # Loaded here, for who does not make certificates need not install what makes them.
            certificates = import_module("ergo_node._certificates")
            certificates.make_development(folder, list(hosts))
        except ImportError as error:
            raise CannotStart(NEEDED) from error
        except (OSError, ValueError) as error:
            raise CannotStart(f"no development certificates in {folder}: {error}") from error
        return cls(folder / "node.pem", ca=folder / "ca.pem")


class TlsContexts:
    """What sessions are made from; `reload` reads the files again, for sessions to come.

    Raises:
        CannotStart: a file cannot be used; the text says which and why.
    """

    def __init__(self, tls: Tls) -> None:
        self.config = tls
        self._server, self._client = _context(tls, server=True), _context(tls, server=False)

    def reload(self) -> None:
        """Read certificates and keys again; on an error the old ones stay.

        Raises:
            CannotStart: as when the node started.
        """
        self._server, self._client = (_context(self.config, server=each) for each in (True, False))

    def connect(self, host: str) -> TlsSession:
        """Begin a session with a node that we connect to.

        Args:
            host: the host part of its node name, which its certificate must be for.
        """
        return TlsSession(self._client, server_hostname=host)

    def accept(self) -> TlsSession:
        """Begin a session with a peer that connects to us."""
        return TlsSession(self._server)

    def vouches(self, session: TlsSession, host: str) -> bool:
        """Tell whether the peer's certificate is for this host; always so if names are not checked."""
        config = self.config
        if not (config.verify and config.check_names):
            return True
        certificate = session.peer_certificate()
        if not certificate:
            return not config.fail_if_no_peer_cert
        names = certificate.get("subjectAltName", ())
        return any(_matches(str(kind), str(name), host) for kind, name in names)


def _matches(kind: str, name: str, host: str) -> bool:
    """Compare a subjectAltName with a host as OpenSSL does: a `*` stands for one whole label, the first.

    An address has no labels: a `*` stands for no part of it.
    """
    if kind == "IP Address":
        try:
            return ip_address(name) == ip_address(host)
        except ValueError:
            return False
    if kind != "DNS":
        return False
    name, host = name.lower().rstrip("."), host.lower().rstrip(".")
    label, dot, domain = name.partition(".")
    if label == "*" and "." in domain and not _is_address(host):
        first, _, rest = host.partition(".")
        return bool(first) and rest == domain
    return bool(dot or label) and name == host


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _context(tls: Tls, *, server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    versions = sorted(VERSIONS[version] for version in tls.versions)
    if not versions:
        raise CannotStart("Tls(versions=...) is empty: give '1.2', '1.3' or both")
    context.minimum_version, context.maximum_version = versions[0], versions[-1]
    context.set_ciphers(CIPHERS)
    context.options |= OPTIONS
    if tls.strict:
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.hostname_checks_common_name = False
    context.check_hostname = not server and tls.verify and tls.check_names
    if not tls.verify:
        context.verify_mode = ssl.CERT_NONE
    else:
        needed = tls.fail_if_no_peer_cert or not server
        context.verify_mode = ssl.CERT_REQUIRED if needed else ssl.CERT_OPTIONAL
        _trust(context, tls)
    _load_key(context, tls)
    return context


def _trust(context: ssl.SSLContext, tls: Tls) -> None:
    if tls.ca is None:
        raise CannotStart("Tls(ca=...) is missing: give the file of the authorities that the cluster trusts")
    try:
        context.load_verify_locations(tls.ca)
    except OSError as error:
        raise CannotStart(f"authorities in {tls.ca} cannot be read: {_why(error)}") from error


def _load_key(context: ssl.SSLContext, tls: Tls) -> None:
    key = Path(tls.certificate if tls.key is None else tls.key)
    try:
        if os.name == "posix" and key.stat().st_mode & stat.S_IRWXO:
            raise CannotStart(f"private key {key} must not be accessible by everybody: chmod 600 {key}")
        # Without a password OpenSSL would ask at the terminal: an empty one makes it fail.
        context.load_cert_chain(tls.certificate, tls.key, tls.password or "")
    except OSError as error:
        raise CannotStart(f"certificate {tls.certificate} with key {key}: {_why(error)}") from error


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return {
            "KEY_VALUES_MISMATCH": "the private key is not that of the certificate",
            None: "it holds no PEM certificate or key",
            "NO_CERTIFICATE_OR_CRL_FOUND": "it holds no PEM certificate",
            "BAD_DECRYPT": "the password of the private key is wrong, or missing",
        }.get(error.reason or None, str(error.reason).replace("_", " ").lower())
    return error.strerror or str(error)


def _data_folder() -> Path:
    home = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(home) if home else Path.home() / ".local" / "share") / "ergo-node"
