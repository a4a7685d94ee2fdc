"""The handshake, both roles, versions 6 and 5 (ERTS: Distribution Protocol; dist_util.erl).

What is legal is the table TRANSITIONS: in this state, this message or command, by this method, into one of
these states. What a method does is small. Everything that needs a decision is asked by an event and answered
by a command.
"""

import hmac
import secrets
from collections.abc import Callable, Mapping
from enum import StrEnum
from hashlib import md5
from typing import Any, Final

from erldist_proto._commands import Accept, AnswerAlive, Command, Refuse
from erldist_proto._errors import LocalProtocolError, RemoteProtocolError
from erldist_proto._events import AliveAnswered, AliveAsked, Closed, Connected, ConnectionRequested, Event
from erldist_proto._flags import MANDATORY_26, MANDATORY_FLAGS, NO_FLAGS, DistFlags, expand, flag_names
from erldist_proto._handshake_messages import (
    FROM_ACCEPTOR,
    FROM_INITIATOR,
    LOW_FLAGS,
    Challenge,
    ChallengeAck,
    ChallengeReply,
    Complement,
    HandshakeMessage,
    NamedStatus,
    OldChallenge,
    OldSendName,
    SendName,
    Status,
    parse,
    serialize,
)
from erldist_proto._names import MAX_CREATION, LocalNode, NodeName


class State(StrEnum):
    """Where a connection is: shaking hands in one of the two roles, up, or over."""

    AWAIT_STATUS = "await_status"
    DECIDING_ALIVE = "deciding_alive"
    AWAIT_CHALLENGE = "await_challenge"
    AWAIT_ACK = "await_ack"

    AWAIT_NAME = "await_name"
    DECIDING = "deciding"
    AWAIT_ALIVE = "await_alive"
    AWAIT_COMPLEMENT = "await_complement"
    AWAIT_REPLY = "await_reply"

    CONNECTED = "connected"
    CLOSED = "closed"


ACCEPTING: Final = frozenset(("ok", "ok_simultaneous"))
REFUSING: Final = frozenset(("nok", "not_allowed"))
ASKING: Final = frozenset((State.DECIDING, State.DECIDING_ALIVE))
"""States that wait for us; the peer's bytes wait meanwhile."""


def gen_digest(challenge: int, cookie: str) -> bytes:
    """MD5 of the cookie and the challenge in decimal, the proof that the cookie is known."""
    return md5(f"{cookie}{challenge}".encode("latin-1"), usedforsecurity=False).digest()


def check_cookie(cookie: str) -> str:
    """The cookie, if a digest can be made of it.

    Raises:
        ValueError: It is empty, or has a character beyond Latin-1, which no Erlang cookie has.
    """
    if not cookie:
        raise ValueError("the cookie is empty")
    if not all(ord(character) < 256 for character in cookie):
        raise ValueError("the cookie has a character beyond Latin-1, which no Erlang node can have")
    return cookie


def check_challenge(challenge: int) -> int:
    """The challenge, if it fits its 32 bits.

    Raises:
        ValueError: It does not.
    """
    if not 0 <= challenge < 1 << 32:
        raise ValueError(f"a challenge has 32 bits, {challenge:#x} does not fit")
    return challenge


class Handshake:
    """One handshake. `step` takes a message or command; `outgoing` and `events` collect what came of it."""

    def __init__(
        self,
        local: LocalNode,
        state: State,
        *,
        peer: str = "",
        cookie: str = "",
        challenge: int | None,
        version: int = 6,
    ) -> None:
        self.state = state
        self.peer = peer
        self.outgoing: list[bytes] = []
        self.events: list[Event] = []
        self.flags = NO_FLAGS
        self._local = local
        self._name = local.name
        self._creation = local.creation
        self._cookie = cookie
        self._challenge = None if challenge is None else check_challenge(challenge)
        self._offered = NO_FLAGS
        self._peer_creation = 0
        self._version = version
        self._parsers = FROM_ACCEPTOR if state is State.AWAIT_STATUS else FROM_INITIATOR

    def begin(self) -> None:
        """Say who we are: the initiator's first packet."""
        flags, name = self._local.flags, self._name
        self._say(
            SendName(flags, self._creation, name) if self._version >= 6 else OldSendName(_low(flags), name)
        )

    def receive(self, packet: bytes | memoryview) -> None:
        """Take a packet of the peer.

        Raises:
            RemoteProtocolError: It is malformed, or not allowed now.
        """
        self.step(parse(packet, self._parsers))

    def step(self, message: HandshakeMessage | Command) -> None:
        """Take a message of the peer, or an answer of the node.

        Raises:
            RemoteProtocolError: The message is not allowed now, or says what it must not.
            LocalProtocolError: Nothing was asked that the command answers, or it answers wrongly.
        """
        transition = TRANSITIONS.get((self.state, type(message)))
        if transition is None:
            fault = LocalProtocolError if isinstance(message, Command) else RemoteProtocolError
            raise fault(f"handshake: {type(message).__name__} is not allowed in {self.state}")
        handler, targets = transition
        state = handler(self, message)
        if state not in targets:
            raise AssertionError(
                f"{handler.__name__} led from {self.state} to {state}, which TRANSITIONS denies"
            )
        self.state = state

    def _say(self, message: HandshakeMessage) -> None:
        self.outgoing.append(serialize(message))

    def _closed(
        self, reason: str, text: str, *, status: str | None = None, missing: DistFlags = NO_FLAGS
    ) -> State:
        self.events.append(Closed(reason, text, None, status, missing))
        return State.CLOSED

    def _draw_challenge(self) -> int:
        if self._challenge is None:
            self._challenge = secrets.randbits(32)
        return self._challenge

    # Initiator

    def _on_status(self, status: Status) -> State:
        if status.text in REFUSING:
            return self._refused(status)
        if self._local.is_dynamic:
            raise RemoteProtocolError(f"handshake: status {status.text!r} although we asked for a name")
        if status.text in ACCEPTING:
            return State.AWAIT_CHALLENGE
        if status.text == "alive":
            self.events.append(AliveAsked(self.peer))
            return State.DECIDING_ALIVE
        raise RemoteProtocolError(f"handshake: unknown status {status.text[:40]!r}")

    def _on_named(self, status: NamedStatus) -> State:
        if not self._local.is_dynamic:
            raise RemoteProtocolError("handshake: we were given a name without asking for one")
        _demand_name(status.name)
        if status.name == self.peer:
            raise RemoteProtocolError("handshake: we were given the peer's own name")
        self._name, self._creation = status.name, status.creation
        return State.AWAIT_CHALLENGE

    def _refused(self, status: Status) -> State:
        if status.text == "nok":
            text = f"{self.peer} refused us: its own connection to us survives, wait for that"
            return self._closed("refused", text, status="nok")
        # No node demands what it does not offer; before its challenge we do not know what it offers.
        demanded = MANDATORY_26 & self._offered if self._offered else MANDATORY_26
        missing = demanded & ~expand(self._local.flags)
        if missing:
            text = f"{self.peer} refused us: it requires {flag_names(missing)}"
        else:
            text = f"{self.peer} refused us: {self._name or 'we'} may not be on its list (net_kernel:allow/1)"
        return self._closed("refused", text, status="not_allowed", missing=missing)

    def _on_answer_alive(self, answer: AnswerAlive) -> State:
        self._say(Status("true" if answer.proceed else "false"))
        if answer.proceed:
            return State.AWAIT_CHALLENGE
        return self._closed("refused", f"{self.peer} is connected to us already", status="alive")

    def _on_challenge(self, challenge: Challenge) -> State:
        self._peer_creation = challenge.creation
        if self._version < 6:
            self._say(Complement(self._local.flags, self._creation))
        return self._challenged(challenge)

    def _on_old_challenge(self, challenge: OldChallenge) -> State:
        if self._version >= 6:
            raise RemoteProtocolError("handshake: a challenge of version 5 in answer to a name of version 6")
        return self._challenged(challenge)

    def _challenged(self, challenge: Challenge | OldChallenge) -> State:
        if challenge.name != self.peer:
            raise RemoteProtocolError(
                f"we meant to reach {self.peer}, but {challenge.name!r} answered: is its port right?"
            )
        self._offered = expand(challenge.flags)
        missing = MANDATORY_FLAGS & ~self._offered
        if missing:
            text = f"{self.peer} is too old for us: it lacks {flag_names(missing)}"
            return self._closed("refused_by_us", text, status="not_allowed", missing=missing)
        digest = gen_digest(challenge.challenge, self._cookie)
        self._say(ChallengeReply(self._draw_challenge(), digest))
        return State.AWAIT_ACK

    def _on_late_status(self, status: Status) -> State:
        if status.text not in REFUSING:
            raise RemoteProtocolError(f"handshake: status {status.text[:40]!r} after the challenge")
        return self._refused(status)

    def _on_ack(self, ack: ChallengeAck) -> State:
        if not hmac.compare_digest(ack.digest, gen_digest(self._draw_challenge(), self._cookie)):
            return self._mismatch()
        return self._connected()

    # Acceptor

    def _on_name(self, name: SendName) -> State:
        self._peer_creation = name.creation
        return self._named(name.name, name.flags)

    def _on_old_name(self, name: OldSendName) -> State:
        self._version = 5
        return self._named(name.name, name.flags)

    def _named(self, name: str, flags: DistFlags) -> State:
        self._offered = expand(flags)
        wants_name = DistFlags.NAME_ME in flags
        if wants_name:
            _demand_host(name)
        else:
            _demand_name(name)
        self.peer = name
        if name == self._name:
            self._say(Status("nok"))
            return self._closed("refused_by_us", f"a peer has our own name, {name}", status="nok")
        missing = MANDATORY_FLAGS & ~self._offered
        if missing:
            self._say(Status("not_allowed"))
            text = f"refused {name}: it lacks {flag_names(missing)}"
            return self._closed("refused_by_us", text, status="not_allowed", missing=missing)
        hidden = DistFlags.PUBLISHED not in self._offered & self._local.flags
        self.events.append(ConnectionRequested(name, self._peer_creation, self._offered, wants_name, hidden))
        return State.DECIDING

    def _on_accept(self, accept: Accept) -> State:
        if accept.status not in ACCEPTING | {"alive"}:
            raise LocalProtocolError(
                f"Accept(status={accept.status!r}): use ok, ok_simultaneous, alive or Refuse"
            )
        self._cookie = _local_value(check_cookie, accept.cookie)
        if accept.challenge is not None:
            self._challenge = _local_value(check_challenge, accept.challenge)
        if DistFlags.NAME_ME in self._offered:
            return self._give_name(accept)
        self._say(Status(accept.status))
        return State.AWAIT_ALIVE if accept.status == "alive" else self._pose_challenge()

    def _give_name(self, accept: Accept) -> State:
        if accept.name is None or accept.creation is None or accept.status != "ok":
            raise LocalProtocolError(
                f"{self.peer} asked for a name: Accept(cookie=..., name=..., creation=...)"
            )
        _local_value(NodeName.parse, accept.name)
        if not 0 <= accept.creation <= MAX_CREATION:
            raise LocalProtocolError(f"creation {accept.creation} does not fit 32 bits")
        self.peer, self._peer_creation = accept.name, accept.creation
        self._say(NamedStatus(accept.name, accept.creation))
        return self._pose_challenge()

    def _on_refuse(self, refuse: Refuse) -> State:
        if refuse.status not in REFUSING:
            raise LocalProtocolError(f"Refuse({refuse.status!r}): use nok or not_allowed")
        self._say(Status(refuse.status))
        return self._closed("refused_by_us", f"refused {self.peer}: {refuse.status}", status=refuse.status)

    def _on_alive_answer(self, status: Status) -> State:
        if status.text not in ("true", "false"):
            raise RemoteProtocolError(f"handshake: status {status.text[:40]!r} in answer to alive")
        proceed = status.text == "true"
        self.events.append(AliveAnswered(self.peer, proceed))
        if proceed:
            return self._pose_challenge()
        return self._closed("refused_by_us", f"{self.peer} is connected already", status="alive")

    def _pose_challenge(self) -> State:
        """Peers that do not know version 6 (OTP 22) get an old challenge; others get the new one."""
        local, challenge = self._local, self._draw_challenge()
        if self._version < 6 and DistFlags.HANDSHAKE_23 not in self._offered:
            self._say(OldChallenge(_low(local.flags), challenge, self._name))
            return State.AWAIT_REPLY
        # OTP takes the name it asked for only if the flag by which it asked comes back.
        flags = local.flags | (self._offered & DistFlags.NAME_ME)
        self._say(Challenge(flags, challenge, self._creation, self._name))
        return State.AWAIT_REPLY if self._version >= 6 else State.AWAIT_COMPLEMENT

    def _on_complement(self, complement: Complement) -> State:
        self._offered |= complement.flags
        self._peer_creation = complement.creation
        return State.AWAIT_REPLY

    def _on_reply(self, reply: ChallengeReply) -> State:
        if not hmac.compare_digest(reply.digest, gen_digest(self._draw_challenge(), self._cookie)):
            return self._mismatch()
        self._say(ChallengeAck(gen_digest(reply.challenge, self._cookie)))
        return self._connected()

    # Both

    def _mismatch(self) -> State:
        return self._closed(
            "cookie_mismatch", f"cookie mismatch with {self.peer}: set the same cookie on both nodes"
        )

    def _connected(self) -> State:
        self.flags = self._offered & expand(self._local.flags) & ~DistFlags.NAME_ME
        hidden = DistFlags.PUBLISHED not in self.flags
        self.events.append(
            Connected(self.peer, self._peer_creation, self.flags, hidden, self._name, self._creation)
        )
        return State.CONNECTED


def _low(flags: DistFlags) -> DistFlags:
    return flags & DistFlags(LOW_FLAGS)


def _demand_name(name: str) -> None:
    try:
        NodeName.parse(name)
    except ValueError as wrong:
        raise RemoteProtocolError(f"handshake: {wrong}") from None


def _demand_host(host: str) -> None:
    if not host or "@" in host or not host.isprintable():
        raise RemoteProtocolError(f"handshake: a peer that asks for a name gives its host, not {host!r}")


def _local_value(check: Callable[[Any], Any], value: Any) -> Any:
    try:
        return check(value)
    except ValueError as wrong:
        raise LocalProtocolError(str(wrong)) from None


Handler = Callable[[Handshake, Any], State]
OVER = State.CLOSED

TRANSITIONS: Final[Mapping[tuple[State, type], tuple[Handler, tuple[State, ...]]]] = {
    # initiator
    (State.AWAIT_STATUS, Status): (Handshake._on_status, (State.AWAIT_CHALLENGE, State.DECIDING_ALIVE, OVER)),
    (State.AWAIT_STATUS, NamedStatus): (Handshake._on_named, (State.AWAIT_CHALLENGE,)),
    (State.DECIDING_ALIVE, AnswerAlive): (Handshake._on_answer_alive, (State.AWAIT_CHALLENGE, OVER)),
    (State.AWAIT_CHALLENGE, Challenge): (Handshake._on_challenge, (State.AWAIT_ACK, OVER)),
    (State.AWAIT_CHALLENGE, OldChallenge): (Handshake._on_old_challenge, (State.AWAIT_ACK, OVER)),
    (State.AWAIT_CHALLENGE, Status): (Handshake._on_late_status, (OVER,)),
    (State.AWAIT_ACK, Status): (Handshake._on_late_status, (OVER,)),
    (State.AWAIT_ACK, ChallengeAck): (Handshake._on_ack, (State.CONNECTED, OVER)),
    # acceptor
    (State.AWAIT_NAME, SendName): (Handshake._on_name, (State.DECIDING, OVER)),
    (State.AWAIT_NAME, OldSendName): (Handshake._on_old_name, (State.DECIDING, OVER)),
    (State.DECIDING, Accept): (
        Handshake._on_accept,
        (State.AWAIT_REPLY, State.AWAIT_COMPLEMENT, State.AWAIT_ALIVE),
    ),
    (State.DECIDING, Refuse): (Handshake._on_refuse, (OVER,)),
    (State.AWAIT_ALIVE, Status): (
        Handshake._on_alive_answer,
        (State.AWAIT_REPLY, State.AWAIT_COMPLEMENT, OVER),
    ),
    (State.AWAIT_COMPLEMENT, Complement): (Handshake._on_complement, (State.AWAIT_REPLY,)),
    (State.AWAIT_REPLY, ChallengeReply): (Handshake._on_reply, (State.CONNECTED, OVER)),
}
"""In this state, on this message or command: the method, and the states it may lead to."""
