"""Answers to what a handshake asks by an event. Control messages are the other commands: see `_control`."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Accept:
    """Answers `ConnectionRequested`: let the peer try to prove that it knows the cookie.

    Args:
        cookie: The secret shared with this peer.
        challenge: 32 bits that no peer can guess; None draws them from `secrets`.
        status: `"ok"`; `"ok_simultaneous"` when we were connecting to it and its connection survives (see
            `simultaneous_status`); `"alive"` when it is connected already: it is then asked whether it means
            it.
        name: The node name given to a peer that asked for one (`ConnectionRequested.wants_name`).
        creation: The creation given with the name.
    """

    cookie: str = field(repr=False)
    challenge: int | None = None
    status: str = "ok"
    name: str | None = None
    creation: int | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answers `ConnectionRequested`: no. `"nok"`: our own connection survives; `"not_allowed"`: never."""

    status: str = "not_allowed"


@dataclass(frozen=True, slots=True)
class AnswerAlive:
    """Answers `AliveAsked`: go on with the new connection (the peer then drops the old one), or do not."""

    proceed: bool


Command = Accept | Refuse | AnswerAlive
