"""What a connection reports. `Closed` is always the last."""

from dataclasses import dataclass

from etf_codec import Term

from erldist_proto._control import ControlMessage
from erldist_proto._errors import ProtocolError
from erldist_proto._flags import NO_FLAGS, DistFlags
from erldist_proto._record import record


@dataclass(frozen=True, slots=True)
class ConnectionRequested:
    """A peer introduced itself to us, the acceptor. Answer with `Accept` or `Refuse`."""

    name: str
    """The name it claims; nothing is proved yet. For `wants_name` only the host part."""
    creation: int
    """0 where the peer speaks version 5 and has not told it yet; `Connected` has the final one."""
    flags: DistFlags
    """What it offers, MANDATORY_25_DIGEST spelled out."""
    wants_name: bool = False
    """It asks for a node name: give one in `Accept(name=..., creation=...)`."""
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class AliveAsked:
    """The acceptor believes to be connected to us already. Answer with `AnswerAlive`.

    OTP answers true exactly when its own attempt to connect is still pending: it knows the old connection is
    dead.
    """

    name: str


@dataclass(frozen=True, slots=True)
class AliveAnswered:
    """The initiator's answer to our status `alive`. After False the connection closes.

    After True comes `Connected` if its digest is right: close the old connection before you write what
    `data_to_send` returns, for the acknowledgement is in it.
    """

    name: str
    proceed: bool


@dataclass(frozen=True, slots=True)
class Connected:
    """Both sides proved that they know the cookie: control messages may flow."""

    name: str
    creation: int
    flags: DistFlags
    """What both sides offer."""
    hidden: bool
    """At least one side is hidden."""
    our_name: str
    """Our name: for a dynamic node the one we were given."""
    our_creation: int


@record
class Received:
    """A control message, with its payload where it has one (None else)."""

    message: ControlMessage
    payload: Term


@dataclass(frozen=True, slots=True)
class Ticked:
    """The peer sent a tick: it is alive and has nothing to say."""


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is over; nothing follows. Write the rest of `data_to_send`, then close the socket."""

    reason: str
    """One of:

    - `connection_closed`: the peer closed it
    - `disconnect`: `Connection.close` was called
    - `net_tick_timeout`: the peer was silent for too long
    - `setup_timeout`: the peer was too slow in the handshake
    - `refused`: the peer answered the handshake with `status`
    - `refused_by_us`: we answered the handshake with `status`
    - `cookie_mismatch`: one side's digest was wrong
    - `protocol_error`: the peer broke a rule; see `error`
    """
    text: str
    """A sentence for a person: who, what, and what to do."""
    error: ProtocolError | None = None
    status: str | None = None
    """The handshake status that refused."""
    missing: DistFlags = NO_FLAGS
    """The mandatory flags whose absence the refusal came from, as far as they can be known."""


Event = ConnectionRequested | AliveAsked | AliveAnswered | Connected | Received | Ticked | Closed
