"""One client connection as a state machine, without I/O.

READING ──whole request──> CLOSED          answered, or refused in silence
   └──────ALIVE2_REQ─────> KEPT            until the client closes, or sends one byte more

A client that stays silent for too long while READING is CLOSED; one that is KEPT may be silent for ever.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from ._errors import BadRequest
from ._messages import (
    MAX_REQUEST_BYTES,
    Alive2Request,
    DumpRequest,
    KillRequest,
    NamesRequest,
    Port2Request,
    Request,
    StopRequest,
    encode_alive2_answer,
    encode_names_answer,
    encode_port2_answer,
    parse_request,
)
from ._registry import Life, Registry, encode_dump_answer


class State(Enum):
    """Where a session stands."""

    READING = "reading a request"
    KEPT = "kept open by a registration"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Policy:
    """What an EPMD allows.

    Attributes:
        port: EPMD's own port, which lists of names begin with.
        relaxed_command_check: KILL_REQ is obeyed beside living nodes, and STOP_REQ is obeyed at all.
        allow_kill: KILL_REQ is obeyed. Off, it is answered as if nodes were living.
        packet_timeout: seconds a client may be silent before its request is complete.
    """

    port: int
    relaxed_command_check: bool = False
    allow_kill: bool = True
    packet_timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class Registered:
    """A node has got its name."""

    life: Life


@dataclass(frozen=True, slots=True)
class Unregistered:
    """A name is free again."""

    life: Life


@dataclass(frozen=True, slots=True)
class Stopped:
    """A node was unregistered by STOP_REQ: the connection of this number is to be closed."""

    connection: int


@dataclass(frozen=True, slots=True)
class Killed:
    """EPMD is to end, once the answer is sent."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The client got no answer, or a refusal; `reason` is for the log."""

    reason: str


Event = Registered | Unregistered | Stopped | Killed | Refused


class Session:
    """One client of EPMD.

    Feed it bytes (`receive_data`, `receive_eof`), send its bytes (`data_to_send`), act on its `events`,
    and call `handle_time` no later than `deadline()`. Close the connection once `state` is CLOSED and
    everything is sent.

    Args:
        registry: shared by all sessions of one EPMD.
        policy: shared by all sessions of one EPMD.
        connection: a number that no other session of this EPMD has.
        local: whether the client runs on this host; only such a one may do more than ask.
        now: seconds on the caller's clock.
    """

    def __init__(
        self, registry: Registry, policy: Policy, *, connection: int, local: bool, now: float
    ) -> None:
        self.state = State.READING
        self._registry = registry
        self._policy = policy
        self._connection = connection
        self._local = local
        self._active_at = now
        self._buffer = bytearray()
        self._answer = b""
        self._events: list[Event] = []
        self._life: Life | None = None

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes from the client."""
        if self.state is State.READING:
            self._active_at = now
            self._buffer += data
            self._read_request()
        elif self.state is State.KEPT:
            self._refuse(f"got more than expected on ALIVE socket {self._connection} ({len(data)})")

    def receive_eof(self) -> None:
        """The client has closed its side, or the connection is lost."""
        if self.state is State.READING and self._buffer:
            self._refuse(f"got partial packet only on connection {self._connection} ({len(self._buffer)})")
        self._close()

    def deadline(self) -> float | None:
        """When `handle_time` must be called; None while the session may be silent for ever."""
        return self._active_at + self._policy.packet_timeout if self.state is State.READING else None

    def handle_time(self, now: float) -> None:
        """Close a session whose client has been silent for too long."""
        deadline = self.deadline()
        if deadline is not None and now >= deadline:
            self._refuse("closing because timed out on receive")

    def events(self) -> list[Event]:
        """What happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def data_to_send(self) -> bytes:
        """What the client is to be sent since the last call."""
        answer, self._answer = self._answer, b""
        return answer

    def _read_request(self) -> None:
        buffer = self._buffer
        if len(buffer) < 2:
            return
        length = int.from_bytes(buffer[:2])
        if not 0 < length <= MAX_REQUEST_BYTES:
            self._refuse(f"invalid packet size ({length})")
        elif len(buffer) - 2 > length:
            self._refuse(f"got {len(buffer) - 2} bytes in packet, expected {length}")
        elif len(buffer) - 2 == length:
            self._obey(bytes(buffer[2:]))
            buffer.clear()

    def _obey(self, body: bytes) -> None:
        try:
            request = parse_request(body)
        except BadRequest as error:
            self._refuse(str(error))
            return
        if not self._local and type(request) in LOCAL_ONLY:
            self._refuse(f"{type(request).__name__} from non local address")
            return
        HANDLERS[type(request)](self, request)
        if self.state is State.READING:
            self._close()

    def _on_alive2(self, request: Alive2Request) -> None:
        life = self._registry.register(request, connection=self._connection, now=self._active_at)
        if life is None:
            # As the C `epmd` does, the connection stays open: the client closes it.
            self._events.append(Refused(f"node name {request.name[:64]!r} is occupied or invalid"))
            self._answer = encode_alive2_answer(None, request.highest_version)
        else:
            self._life = life
            self._events.append(Registered(life))
            self._answer = encode_alive2_answer(life.creation, request.highest_version)
        self.state = State.KEPT

    def _on_port2(self, request: Port2Request) -> None:
        found = self._registry.look_up(request.name)
        self._answer = encode_port2_answer(None if found is None else found.node)

    def _on_names(self, _: NamesRequest) -> None:
        self._answer = encode_names_answer(self._policy.port, (life.node for life in self._registry))

    def _on_dump(self, _: DumpRequest) -> None:
        self._answer = encode_dump_answer(self._policy.port, self._registry)

    def _on_kill(self, _: KillRequest) -> None:
        policy = self._policy
        if not policy.allow_kill or (self._registry and not policy.relaxed_command_check):
            self._answer = b"NO"
            self._events.append(Refused("disallowed KILL_REQ, live nodes"))
        else:
            self._answer = b"OK"
            self._events.append(Killed())

    def _on_stop(self, request: StopRequest) -> None:
        if not self._policy.relaxed_command_check:
            self._refuse("disallowed STOP_REQ, no relaxed_command_check")
            return
        found = self._registry.look_up(request.name)
        if found is None:
            # Both words: a quirk of the C `epmd` that its command line tool relies on.
            self._answer = b"NOEXISTSTOPPED"
            return
        self._registry.release(found)
        self._events += [Unregistered(found), Stopped(found.connection)]
        self._answer = b"STOPPED"

    def _refuse(self, reason: str) -> None:
        self._events.append(Refused(reason))
        self._close()

    def _close(self) -> None:
        self.state = State.CLOSED
        self._buffer.clear()
        life, self._life = self._life, None
        if life is not None and self._registry.release(life):
            self._events.append(Unregistered(life))


HANDLERS: Final[dict[type[Request], Callable[[Session, Any], None]]] = {
    Alive2Request: Session._on_alive2,
    Port2Request: Session._on_port2,
    NamesRequest: Session._on_names,
    DumpRequest: Session._on_dump,
    KillRequest: Session._on_kill,
    StopRequest: Session._on_stop,
}

LOCAL_ONLY: Final = frozenset({Alive2Request, DumpRequest, KillRequest, StopRequest})
"""Requests that only clients on this host may make; a look-up and a list of names are for everybody."""
