"""From a control message to the buffers of its frames, once the connection is up."""

from struct import Struct
from typing import Any, Final

from etf_codec import Atom, PacketWriter, Pid, Reference, Term, encode_bare, encode_referring

from erldist_proto._control import ControlMessage, serialize
from erldist_proto._control_messages import AliasSend, DemonitorP, MonitorP, RegSend, SendSender
from erldist_proto._dist_header import NO_REFS_HEADER, InlineAtoms, OutgoingAtoms, Refs
from erldist_proto._errors import LocalProtocolError
from erldist_proto._flags import DistFlags
from erldist_proto._fragments import FRAGMENT_BYTES, Buffer, cut
from erldist_proto._limits import ConnectionLimits, term_options
from erldist_proto._turns import Frames, Turns
from erldist_proto._variants import conversions

MESSAGE_START: Final = Struct(">IBB")
FRAGMENT_START: Final = Struct(">IBBQQ")
VERSION_MAGIC: Final = 131
DIST_HEADER: Final = 68
FIRST_FRAGMENT: Final = 69
NEXT_FRAGMENT: Final = 70
PASS_THROUGH: Final = 112


MESSAGES: Final[dict[type, type[Any]]] = {Pid: SendSender, Reference: AliasSend, Atom: RegSend}
"""The control message with which a message goes to a process, an alias, or a registered name."""

QUICK: Final = (MonitorP, DemonitorP)
"""What `Connection.send_quickly` sends at once, beside messages."""

OPERATIONS: Final[dict[type, int]] = {Pid: SendSender.op, Reference: AliasSend.op}
"""Those that have the form `{Op, FromPid, To}`, by the class of `To`."""


class Outgoing:
    """Writes what we send to a connected peer, in the newest form it understands; keeps our atom cache."""

    __slots__ = (
        "_atoms",
        "_conversions",
        "_fragments",
        "_inline",
        "_limits",
        "_options",
        "_sequence",
        "turns",
        "writer",
    )

    def __init__(self, flags: DistFlags, limits: ConnectionLimits, none: Atom | None) -> None:
        self._atoms = OutgoingAtoms() if DistFlags.DIST_HDR_ATOM_CACHE in flags else None
        self._fragments = DistFlags.FRAGMENTS in flags
        self._options = term_options(limits, none)
        if DistFlags.BIG_CREATION not in flags:
            self._options["legacy_identifiers"] = True
        self._conversions = conversions(flags)
        self._inline = InlineAtoms()
        self._limits = limits
        headers = {} if self._atoms is None else self._atoms.known
        packet_bytes = min(limits.max_message_bytes, FRAGMENT_BYTES)
        self.writer = PacketWriter(headers, packet_bytes, OPERATIONS, **self._options)
        self._sequence = 0
        self.turns = Turns()

    def quick_writer(self) -> PacketWriter | None:
        """What writes MESSAGES and QUICK, if the peer takes them in that form, behind a header."""
        usual = self._conversions.keys().isdisjoint((*MESSAGES.values(), *QUICK))
        return self.writer if usual and self._atoms is not None else None

    def send(self, message: ControlMessage, payload: Term) -> list[Buffer]:
        """The buffers to write for a message now; none where it waits in `turns`, or must not be told.

        The atom cache changes only when the whole message has been encoded, so an error leaves no trace.

        Raises:
            LocalProtocolError: The message breaks a rule, was not negotiated, or is too large.
            etf_codec.EncodeError: The payload, or a term in the message, has no external form.
        """
        sender = message
        if type(message) in self._conversions:
            converted = self._convert(message, payload)
            if converted is None:
                return []
            message, payload = converted
        if message.has_payload:
            terms: tuple[Term, ...] = (serialize(message), payload)
        elif payload is None:
            terms = (serialize(message),)
        else:
            raise LocalProtocolError(f"{type(message).__name__} has no payload")
        if self._atoms is not None and not self.turns.held_bytes:
            packet = self.writer.write(terms)
            if isinstance(packet, bytes):
                return [packet]
            refs, pieces = packet
        elif self._atoms is None and not self._fragments:
            return self._pass_through(terms)
        else:
            refs, pieces = self._encode(terms)
        return self.put(sender.sent_by(), terms, refs, pieces)

    def put(
        self, sender: Pid | None, terms: tuple[Term, ...], refs: Refs, pieces: list[Buffer]
    ) -> list[Buffer]:
        """The buffers to write for terms that are encoded; none where they wait in `turns`."""
        size = self._checked_size(pieces)
        if size > FRAGMENT_BYTES and self._fragments and len(terms) > 1:
            _, control = self._encode(terms[:1])
            frames = self._in_fragments(refs, pieces, size, sum(map(len, control)))
        elif self.turns.held_bytes and self.turns.holds(sender):
            frames = self._in_turn(refs, pieces, size)
        else:
            return self._frame(refs, pieces, size)
        self.turns.add(sender, frames, size)
        return []

    def put_message(
        self, sender: Pid, to: Pid | Reference | Atom, message: Term, refs: Refs, pieces: list[Buffer]
    ) -> list[Buffer]:
        """The same for a message that `quick_writer` has encoded, but for which it had no header."""
        return self.put(sender, (serialize(MESSAGES[type(to)](sender, to)), message), refs, pieces)

    def _convert(self, message: ControlMessage, payload: Term) -> tuple[ControlMessage, Term] | None:
        """What to send in the message's place; one conversion may lead to another."""
        while (convert := self._conversions.get(type(message))) is not None:
            converted = convert(message, payload)
            if converted is None or converted[0] is message:
                return converted
            message, payload = converted
        return message, payload

    def _encode(self, terms: tuple[Term, ...]) -> tuple[Refs, list[Buffer]]:
        """The atoms for the header, and the terms that may refer to them."""
        pieces: list[Buffer]
        if self._atoms is None:
            pieces = encode_bare(terms, self._inline, **self._options)
            return (), pieces
        refs, pieces = encode_referring(terms, **self._options)
        return refs, pieces

    def _header(self, refs: Refs) -> bytes:
        return NO_REFS_HEADER if self._atoms is None else self._atoms.header(refs)

    def _frame(self, refs: Refs, pieces: list[Buffer], size: int) -> list[Buffer]:
        """The message in one frame."""
        header = self._header(refs)
        start = MESSAGE_START.pack(2 + len(header) + size, VERSION_MAGIC, DIST_HEADER)
        if len(pieces) == 1:
            return [b"".join((start, header, pieces[0]))]
        return [start + header, *pieces]

    def _in_turn(self, refs: Refs, pieces: list[Buffer], size: int) -> Frames:
        """The same, when it is asked for."""
        yield size, self._frame(refs, pieces, size)

    def _checked_size(self, pieces: list[Buffer]) -> int:
        size = len(pieces[0]) if len(pieces) == 1 else sum(map(len, pieces))
        if size > self._limits.max_message_bytes:
            raise LocalProtocolError(
                f"message of {size} bytes, max_message_bytes is {self._limits.max_message_bytes}: "
                "raise that limit on both nodes, or send less at once"
            )
        return size

    def _in_fragments(self, refs: Refs, pieces: list[Buffer], size: int, control_bytes: int) -> Frames:
        """The message cut up; the whole control message must be in the first fragment."""
        first_bytes = max(control_bytes, FRAGMENT_BYTES)
        left = 1 + -(-(size - first_bytes) // FRAGMENT_BYTES)
        header = self._header(refs)
        self._sequence += 1
        sequence = self._sequence
        form = FIRST_FRAGMENT
        for portion in cut(pieces, first_bytes):
            held = sum(map(len, portion))
            length = FRAGMENT_START.size - 4 + len(header) + held
            start = FRAGMENT_START.pack(length, VERSION_MAGIC, form, sequence, left)
            yield held, [start + header, *portion]
            left -= 1
            form, header = NEXT_FRAGMENT, b""

    def _pass_through(self, terms: tuple[Term, ...]) -> list[Buffer]:
        """Type 112, then each term with its version magic."""
        control, *payload = (self._encode((term,))[1] for term in terms)
        pieces = [*control, *(piece for term in payload for piece in (b"\x83", *term))]
        size = self._checked_size(pieces)
        return [MESSAGE_START.pack(2 + size, PASS_THROUGH, VERSION_MAGIC), *pieces]
