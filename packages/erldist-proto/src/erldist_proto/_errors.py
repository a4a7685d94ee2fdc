"""What can go wrong, by whose fault it is.

    ProtocolError
    ├── LocalProtocolError     we broke a rule: raised by `Connection.send`
    └── RemoteProtocolError    the peer broke a rule: never raised at you, found in `Closed.error`

Anything else that leaves this package for bytes that came from a peer is a bug. `etf_codec.EncodeError`
passes through `Connection.send` unchanged, because it names the term that has no external form.
"""


class ProtocolError(Exception):
    """A rule of the distribution protocol was broken."""


class LocalProtocolError(ProtocolError):
    """We asked for something the protocol, or what was negotiated, does not allow."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something no correct node sends, or more than the limits let it."""
