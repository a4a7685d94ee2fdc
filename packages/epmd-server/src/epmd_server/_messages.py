"""EPMD's wire format, both directions.

Follows "EPMD Protocol" in the ERTS User's Guide, chapter Distribution Protocol, and the observed
behaviour of the C `epmd` where that document is silent. A request is `Length:16, op, ...`; an answer
has no length: it ends where the server closes the connection.
"""

import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Final

from ._errors import BadAnswer, BadRequest, InvalidName

MAX_NAME_CHARS: Final = 255
"""An atom holds no more, and a node name is an atom."""

MAX_NAME_BYTES: Final = 4 * MAX_NAME_CHARS
"""The longest name in UTF-8."""

MAX_EXTRA_BYTES: Final = MAX_NAME_BYTES
"""The C `epmd` keeps extra data in a buffer of a name's size."""

MAX_REQUEST_BYTES: Final = 3 * MAX_NAME_BYTES - 3
"""The C `epmd` reads length and request into a buffer of 3060 bytes and leaves the last one free."""

WIDE_CREATION_VERSION: Final = 6
"""Nodes that speak this distribution version or a newer one are given 32-bit creations."""

NO_CREATION: Final = 99
"""Stands in the creation's place when a registration is refused."""

ALIVE2_RESP, ALIVE2_X_RESP, PORT2_RESP = 121, 118, 119

_ALIVE2: Final = struct.Struct("!HBBHHH")
_PORT2: Final = struct.Struct("!HBBHHH")
_WIDE, _NARROW = struct.Struct("!BBI"), struct.Struct("!BBH")
_NAME_LINE: Final = re.compile(rb"name (.+?) at port (\d{1,5})\n", re.DOTALL)


class NodeType(IntEnum):
    """What a node calls itself when it registers."""

    HIDDEN = 72
    VISIBLE = 77


@dataclass(frozen=True, slots=True)
class Alive2Request:
    """Register a node.

    `{120, Port:16, NodeType:8, Protocol:8, Highest:16, Lowest:16, NLen:16, Name, ELen:16, Extra}`
    """

    op: ClassVar[int] = 120
    port: int
    node_type: int
    protocol: int
    highest_version: int
    lowest_version: int
    name: bytes
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class Port2Request:
    """`{122, Name}`: look a node up."""

    op: ClassVar[int] = 122
    name: bytes


@dataclass(frozen=True, slots=True)
class NamesRequest:
    """`{110}`: list the living nodes."""

    op: ClassVar[int] = 110


@dataclass(frozen=True, slots=True)
class DumpRequest:
    """`{100}`: list the living nodes and the names once used."""

    op: ClassVar[int] = 100


@dataclass(frozen=True, slots=True)
class KillRequest:
    """`{107}`: end the EPMD."""

    op: ClassVar[int] = 107


@dataclass(frozen=True, slots=True)
class StopRequest:
    """`{115, Name}`: unregister a node against its will."""

    op: ClassVar[int] = 115
    name: bytes


Request = Alive2Request | Port2Request | NamesRequest | DumpRequest | KillRequest | StopRequest


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """A living node, as an EPMD describes it.

    Attributes:
        name: the part of the node name before the `@`.
        port: the TCP port on which the node accepts distribution connections.
        node_type: 77 visible, 72 hidden; see `NodeType`.
        protocol: 0 is TCP (over IPv4 and IPv6 alike).
        highest_version: highest distribution protocol version, 6 since OTP 23.
        lowest_version: lowest distribution protocol version.
        extra: opaque bytes that the node registered with. Peers choose them: do not trust them.
    """

    name: str
    port: int
    node_type: int
    protocol: int
    highest_version: int
    lowest_version: int
    extra: bytes = b""

    @property
    def hidden(self) -> bool:
        """Whether the node registered as a hidden one."""
        return self.node_type == NodeType.HIDDEN


@dataclass(frozen=True, slots=True)
class NameEntry:
    """One line of the list of living nodes: the name before the `@`, and the port."""

    name: str
    port: int


def _parse_alive2(body: bytes) -> Alive2Request:
    if len(body) < 14:
        raise BadRequest(f"packet too small for ALIVE2_REQ ({len(body)})")
    port, node_type, protocol, highest, lowest, name_length = _ALIVE2.unpack_from(body, 1)
    name_end = 11 + name_length
    if name_end + 2 > len(body):
        raise BadRequest("node name size error in ALIVE2_REQ")
    extra_end = name_end + 2 + int.from_bytes(body[name_end : name_end + 2])
    if extra_end > len(body):
        raise BadRequest("extra data size error in ALIVE2_REQ")
    name = body[11:name_end]
    if not name:
        raise BadRequest("empty node name in ALIVE2_REQ")
    if 0 in name:
        raise BadRequest("node name contains ascii 0 in ALIVE2_REQ")
    extra = body[name_end + 2 : extra_end]
    return Alive2Request(port, node_type, protocol, highest, lowest, name, extra)


def _parse_port2(body: bytes) -> Port2Request:
    name = body[1:].removesuffix(b"\0")
    if not name:
        raise BadRequest(f"packet too small for PORT2_REQ ({len(body)})")
    if 0 in name or not is_node_name(name):
        raise BadRequest("invalid node name in PORT2_REQ")
    return Port2Request(name)


def _parse_stop(body: bytes) -> StopRequest:
    if len(body) < 2:
        raise BadRequest("packet too small for STOP_REQ (1)")
    return StopRequest(body[1:].split(b"\0", 1)[0])


PARSERS: Final[dict[int, Callable[[bytes], Request]]] = {
    DumpRequest.op: lambda _: DumpRequest(),
    KillRequest.op: lambda _: KillRequest(),
    NamesRequest.op: lambda _: NamesRequest(),
    StopRequest.op: _parse_stop,
    Alive2Request.op: _parse_alive2,
    Port2Request.op: _parse_port2,
}


def parse_request(body: bytes) -> Request:
    """Read one request, without its length field.

    Raises:
        BadRequest: it is none. The C `epmd` closes such a connection without an answer.
    """
    parser = PARSERS.get(body[0]) if body else None
    if parser is None:
        raise BadRequest("got garbage")
    return parser(body)


def encode_request(request: Request) -> bytes:
    """Write one request, with its length field."""
    match request:
        case Alive2Request(port, node_type, protocol, highest, lowest, name, extra):
            fields = _ALIVE2.pack(port, node_type, protocol, highest, lowest, len(name))
            rest = fields + name + len(extra).to_bytes(2) + extra
        case Port2Request(name) | StopRequest(name):
            rest = name
        case _:
            rest = b""
    return (1 + len(rest)).to_bytes(2) + bytes([request.op]) + rest


def is_node_name(name: bytes) -> bool:
    """Whether EPMD takes these bytes for a name: UTF-8, at most 255 characters."""
    try:
        return len(name) <= MAX_NAME_BYTES and len(name.decode()) <= MAX_NAME_CHARS
    except UnicodeDecodeError:
        return False


def encode_name(name: str) -> bytes:
    """The name as it goes on the wire.

    Raises:
        InvalidName: no EPMD would accept it.
    """
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise InvalidName(f"node name {name!r} is not valid Unicode") from None
    if "@" in name:
        raise InvalidName(f"node name {name!r} has a host part: EPMD knows only the part before '@'")
    if not encoded or 0 in encoded or len(name) > MAX_NAME_CHARS:
        raise InvalidName(f"node name {name!r} must have 1 to {MAX_NAME_CHARS} characters, none of them NUL")
    return encoded


def encode_alive2_answer(creation: int | None, highest_version: int) -> bytes:
    """The answer to a registration; `creation=None` refuses it."""
    result, value = (1, NO_CREATION) if creation is None else (0, creation)
    if highest_version >= WIDE_CREATION_VERSION:
        return _WIDE.pack(ALIVE2_X_RESP, result, value)
    return _NARROW.pack(ALIVE2_RESP, result, value)


def parse_alive2_answer(data: bytes) -> tuple[int, int] | None:
    """`(result, creation)` of the answer to a registration, None while it is incomplete.

    Raises:
        BadAnswer: these bytes do not begin such an answer, or the creation is 0, which no living node has.
    """
    if not data:
        return None
    layout = {ALIVE2_X_RESP: _WIDE, ALIVE2_RESP: _NARROW}.get(data[0])
    if layout is None or len(data) > layout.size:
        raise BadAnswer(f"expected ALIVE2_RESP, got {data[:16].hex(' ')}: is the port really EPMD's?")
    if len(data) < layout.size:
        return None
    _, result, creation = layout.unpack(data)
    if result == 0 and creation == 0:
        raise BadAnswer("EPMD gave creation 0, which stands for 'unknown'")
    return result, creation


def encode_port2_answer(node: Alive2Request | None) -> bytes:
    """The answer to a look-up: what the node registered with, or None when there is no such node."""
    if node is None:
        return bytes([PORT2_RESP, 1])
    fields = _PORT2.pack(
        node.port, node.node_type, node.protocol, node.highest_version, node.lowest_version, len(node.name)
    )
    return bytes([PORT2_RESP, 0]) + fields + node.name + len(node.extra).to_bytes(2) + node.extra


def parse_port2_answer(data: bytes, name: str) -> NodeEntry | None:
    """The node called `name` in a whole answer to a look-up; None when there is no such node.

    Raises:
        BadAnswer: a length is wrong, or the answer is about another node.
    """
    if len(data) >= 2 and data[0] == PORT2_RESP and data[1] != 0:
        return None
    if len(data) < 14 or data[0] != PORT2_RESP:
        raise BadAnswer(f"expected PORT2_RESP, got {data[:16].hex(' ')}: is the port really EPMD's?")
    port, node_type, protocol, highest, lowest, name_length = _PORT2.unpack_from(data, 2)
    name_end = 12 + name_length
    extra_end = name_end + 2 + int.from_bytes(data[name_end : name_end + 2])
    extra = data[name_end + 2 : extra_end]
    if extra_end != len(data) or len(extra) > MAX_EXTRA_BYTES:
        raise BadAnswer(f"PORT2_RESP of {len(data)} bytes announces {extra_end}")
    if data[12:name_end] != name.encode():
        raise BadAnswer(f"asked for node {name!r}, got an answer about {data[12:name_end][:64]!r}")
    return NodeEntry(name, port, node_type, protocol, highest, lowest, extra)


def encode_names_answer(port: int, nodes: Iterable[Alive2Request]) -> bytes:
    """EPMD's own port and one line a node; `erl_epmd` parses these lines, so they never change."""
    lines = [b"name %b at port %d\n" % (node.name, node.port) for node in nodes]
    return port.to_bytes(4) + b"".join(lines)


def parse_names_answer(data: bytes) -> list[NameEntry]:
    """The living nodes in a whole answer to NAMES_REQ, in the order of the answer.

    Raises:
        BadAnswer: the port is missing, or a line is not `name N at port P`.
    """
    if len(data) < 4:
        raise BadAnswer(f"a list of names begins with EPMD's port in 4 bytes, got {len(data)}")
    found: list[NameEntry] = []
    position = 4
    while position < len(data):
        line = _NAME_LINE.match(data, position)
        if line is None:
            raise BadAnswer(f"not a line of the list of names: {data[position:][:64]!r}")
        try:
            found.append(NameEntry(line[1].decode(), int(line[2])))
        except UnicodeDecodeError:
            raise BadAnswer(f"node name {line[1][:64]!r} is not UTF-8") from None
        position = line.end()
    return found
