"""One TLS session, without I/O: what the socket brings goes in, what the peer said comes out, and back."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any, Final

from ergo_node._errors import TlsError

READ_BYTES: Final = 65_536
"""Plain bytes asked for at once; a TLS record has at most 16 KiB of them."""

OURS: Final = {
    "HTTP_REQUEST": "it speaks HTTP: this port is for Erlang nodes with TLS",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it showed no certificate: nodes with TLS need one each",
    "WRONG_VERSION_NUMBER": "it does not speak TLS: give both nodes TLS, or none",
    "UNSUPPORTED_PROTOCOL": "we have no version of TLS in common: see Tls(versions=...)",
    "NO_SHARED_CIPHER": "we have no cipher in common",
}
"""What OpenSSL found wrong with the peer, and what to do."""

THEIRS: Final = {
    "TLSV1_ALERT_UNKNOWN_CA": "it does not trust the authority that signed our certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate of ours",
    "TLSV1_ALERT_PROTOCOL_VERSION": "we have no version of TLS in common: see Tls(versions=...)",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "our certificate has expired",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not accept our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not accept our certificate",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "our certificate is not of a kind it takes",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it refused: no certificate of ours, or no cipher in common",
}
"""The alert by which the peer refused us, in words."""


class TlsSession:
    """Encrypts what one side of a connection says, decrypts what the other does.

    The side that connects gives `server_hostname`; the other has none. Methods raise TlsError when the
    session cannot go on; `output` then has the alert that tells the peer.
    """

    __slots__ = ("_input", "_object", "_output", "_plain", "established")

    def __init__(self, context: ssl.SSLContext, server_hostname: str | None = None) -> None:
        self._input, self._output = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._input, self._output, server_side=server_hostname is None, server_hostname=server_hostname
        )
        self._plain: list[bytes | memoryview] = []
        self.established = False

    def begin(self) -> None:
        """Say hello, if it is ours to say."""
        self._shake_hands()

    def decrypt(self, data: bytes) -> bytes:
        """Take what came from the socket; returns what the peer said, if that is anything yet.

        Raises:
            TlsError: the peer does not follow the protocol, is not who it should be, or does not want us.
        """
        self._input.write(data)
        if not self.established:
            self._shake_hands()
            if not self.established:
                return b""
        said: list[bytes] = []
        try:
            while self._input.pending or self._object.pending():
                record = self._object.read(READ_BYTES)
                if not record:
                    break
                said.append(record)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            # The peer has said goodbye; the end of the stream follows and is handled there.
            pass
        except ssl.SSLError as error:
            raise TlsError(_reason(error)) from error
        return said[0] if len(said) == 1 else b"".join(said)

    def encrypt(self, pieces: Iterable[bytes | memoryview]) -> bytes:
        """Return what to write to the socket for these pieces, and whatever else TLS has to say.

        Raises:
            TlsError: the session has failed.
        """
        if not self.established:
            self._plain += pieces
            return self.output()
        try:
            for piece in pieces:
                self._write(piece)
        except ssl.SSLError as error:
            raise TlsError(_reason(error)) from error
        return self.output()

    def output(self) -> bytes:
        """Return what TLS itself wants to be written."""
        return self._output.read()

    def close(self) -> bytes:
        """Say goodbye; returns what to write."""
        if self.established:
            try:
                self._object.unwrap()
            except ssl.SSLError:
                pass  # the peer has not said goodbye yet, or the session is broken: either way it is over
        return self.output()

    def peer_certificate(self) -> dict[str, Any]:
        """Return the peer's verified certificate as `SSLSocket.getpeercert` does; empty if it has none."""
        return self._object.getpeercert() or {}

    def version(self) -> str | None:
        """Return the version of TLS, as `TLSv1.3`; None while that is not settled."""
        return self._object.version()

    def _shake_hands(self) -> None:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            raise TlsError(_reason(error)) from error
        self.established = True
        waiting, self._plain = self._plain, []
        for piece in waiting:
            self._write(piece)

    def _write(self, piece: bytes | memoryview) -> None:
        view = memoryview(piece)
        while view:
            view = view[self._object.write(view) :]


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    reason = error.reason or str(error)
    if reason in OURS:
        return OURS[reason]
    return THEIRS.get(reason, reason.replace("_", " ").lower())
