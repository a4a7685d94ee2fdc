"""What clients say to an EPMD, legal and illegal, and what epmd-server does otherwise than the C `epmd`."""

from dataclasses import dataclass
from enum import Enum

from epmd_server import Alive2Request, Port2Request, StopRequest, encode_request

SMILE = "\N{GRINNING FACE}".encode()


class Do(Enum):
    """What a client does besides sending bytes."""

    LISTEN = "nothing"
    SHUT = "close the sending side"
    CLOSE = "close"


Step = tuple[str, bytes | Do]
"""A client's name, and what it sends or does."""

Seen = tuple[str, bytes, str]
"""A client's name, what it received after its step, and whether its connection is open or closed."""


@dataclass(frozen=True)
class Case:
    """Steps of clients, in order, and the flags of the EPMD they go to."""

    steps: tuple[Step, ...]
    flags: tuple[str, ...] = ()


def packet(body: bytes) -> bytes:
    return len(body).to_bytes(2) + body


def alive(
    name: bytes = b"n", *, port: int = 4000, kind: int = 77, high: int = 6, extra: bytes = b""
) -> bytes:
    return encode_request(Alive2Request(port, kind, 0, high, 5, name, extra))


def one(*sent: bytes | Do) -> Case:
    return Case(tuple(("a", each) for each in sent))


def with_node(*sent: bytes) -> Case:
    return Case((("node", alive(port=4001, extra=b"xy")), *(("a", each) for each in sent)))


def relaxed(case: Case) -> Case:
    return Case(case.steps, ("-relaxed_command_check",))


FOUND = encode_request(Port2Request(b"n"))
STOP = encode_request(StopRequest(b"n"))
REQUESTS = b"dknsxz"
ANSWERS = bytes([118, 119, 121])
OTHERS = sorted(set(range(256)) - set(REQUESTS + ANSWERS))

CASES: dict[str, Case] = {
    "register": one(alive()),
    "register hidden": one(alive(kind=72), Do.CLOSE),
    "register unknown type and protocol": one(packet(b"x\0\1\0\xff\0\x06\0\5\0\1n\0\0")),
    "register version 5": one(alive(high=5)),
    "register version 4": one(alive(high=4)),
    "register version 0": one(alive(high=0)),
    "register version 7": one(alive(high=7)),
    "register version 65535": one(alive(high=65535)),
    "register port 0": one(alive(port=0)),
    "register port 65535": one(alive(port=65535)),
    "register long extra": one(alive(extra=b"e" * 1020)),
    "register too long extra": one(alive(extra=b"e" * 1021)),
    "register host part": one(alive(b"n@h")),
    "register space and newline": one(alive(b"a b\n")),
    "register 255 characters": one(alive(b"a" * 255)),
    "register 256 characters": one(alive(b"a" * 256)),
    "register 255 characters of 4 bytes": one(alive(SMILE * 255)),
    "register 256 characters of 4 bytes": one(alive(SMILE * 256)),
    "register the largest": one(alive(SMILE * 255, extra=b"e" * 1020)),
    "register bad utf-8": one(alive(b"\xff")),
    "register overlong utf-8": one(alive(b"\xc0\x80")),
    "register surrogate": one(alive(b"\xed\xa0\x80")),
    "register beyond unicode": one(alive(b"\xf4\x90\x80\x80")),
    "register truncated utf-8": one(alive(b"a\xe2\x82")),
    "register empty name": one(alive(b"")),
    "register empty name with extra": one(alive(b"", extra=b"xy")),
    "register NUL in name": one(alive(b"a\0b")),
    "register NUL at the end": one(alive(b"ab\0")),
    "register trailing bytes": one(packet(alive()[2:] + b"junk")),
    "register name length too large": one(packet(b"x\x0f\xa0M\0\0\6\0\5\0\2n\0\0")),
    "register name length 65535": one(packet(b"x\x0f\xa0M\0\0\6\0\5\xff\xffn\0\0")),
    "register extra length too large": one(packet(b"x\x0f\xa0M\0\0\6\0\5\0\1n\0\1")),
    "register without extra length": one(packet(alive()[2:-2])),
    "register cut to one byte": one(packet(b"x")),
    "register twice": Case((("a", alive()), ("b", alive()), ("a", Do.LISTEN))),
    "register twice, version 5": Case((("a", alive()), ("b", alive(high=5)))),
    "register after the first left": Case((("a", alive()), ("a", Do.CLOSE), ("b", alive()))),
    "register after the first half-closed": Case((("a", alive()), ("a", Do.SHUT), ("b", alive()))),
    "a byte after registering": Case((("a", alive()), ("a", b"x"), ("b", FOUND))),
    "a request after registering": one(alive(), FOUND),
    "a byte after a refused registration": Case(
        (("a", alive()), ("b", alive()), ("b", b"x"), ("a", Do.LISTEN))
    ),
    "the refused one leaves": Case((("a", alive()), ("b", alive()), ("b", Do.CLOSE), ("c", FOUND))),
    "register and one byte at once": Case((("a", alive() + b"z"), ("b", FOUND))),
    "register in two": one(alive()[:5], alive()[5:]),
    "register byte by byte": one(*(bytes([byte]) for byte in alive())),
    "look up": with_node(FOUND),
    "look up hidden": Case((("node", alive(kind=72, extra=bytes(range(256)))), ("a", FOUND))),
    "look up version 5": Case((("node", alive(high=5)), ("a", FOUND))),
    "look up the largest": Case(
        (("node", alive(SMILE * 254, extra=b"e" * 1020)), ("a", encode_request(Port2Request(SMILE * 254))))
    ),
    "look up 255 characters": Case(
        (("node", alive(b"a" * 255)), ("a", encode_request(Port2Request(b"a" * 255))))
    ),
    "look up nobody": one(FOUND),
    "look up prefix": with_node(packet(b"znn")),
    "look up NUL at the end": with_node(packet(b"zn\0")),
    "look up two NULs at the end": with_node(packet(b"zn\0\0")),
    "look up NUL inside": with_node(packet(b"zn\0n")),
    "look up empty": one(packet(b"z")),
    "look up NUL": one(packet(b"z\0")),
    "look up bad utf-8": one(packet(b"z\xff")),
    "look up 256 characters": one(packet(b"z" + b"a" * 256)),
    "look up in two": with_node(FOUND[:3], FOUND[3:]),
    "names of nobody": one(packet(b"n")),
    "names": Case(
        (("a", alive(b"a")), ("b", alive(SMILE, port=1)), ("c", alive(b"c d", port=0)), ("d", packet(b"n")))
    ),
    "names trailing bytes": with_node(packet(b"nxyz")),
    "dump": Case(
        (
            ("a", alive(b"a")),
            ("b", alive(b"b")),
            ("c", alive(b"c")),
            ("a", Do.CLOSE),
            ("b", Do.CLOSE),
            ("d", packet(b"d")),
        )
    ),
    "dump trailing bytes": one(packet(b"dxyz")),
    "kill": one(packet(b"k")),
    "kill trailing bytes": one(packet(b"kxyz")),
    "kill beside a node": with_node(packet(b"k")),
    "kill after the node left": Case((("a", alive()), ("a", Do.CLOSE), ("b", packet(b"k")))),
    "kill relaxed": relaxed(Case((("a", alive()), ("b", packet(b"k")), ("a", Do.LISTEN)))),
    "stop": with_node(STOP),
    "stop relaxed": relaxed(Case((("a", alive()), ("b", STOP), ("a", Do.LISTEN), ("c", alive())))),
    "stop relaxed nobody": relaxed(one(STOP)),
    "stop relaxed empty": relaxed(one(packet(b"s"))),
    "stop relaxed NUL": relaxed(one(packet(b"s\0"))),
    "stop relaxed after NUL": relaxed(with_node(packet(b"sn\0x"))),
    "length 0": one(b"\0\0"),
    "length 3057": one(packet(b"n" * 3057)),
    "length 3057 announced": one(b"\x0b\xf1n"),
    "length 3058 announced": one(b"\x0b\xf2"),
    "length 3058": one(packet(b"n" * 3058)),
    "length 65535": one(b"\xff\xffn"),
    "more bytes than announced": one(b"\0\1nn"),
    "two requests at once": one(packet(b"n") * 2),
    "more bytes than announced, after the length": one(b"\0\1", b"nn"),
    "nothing": one(Do.LISTEN),
    "nothing, then the end": one(Do.SHUT),
    "half a length": one(b"\0"),
    "half a length, then the end": one(b"\0", Do.SHUT),
    "half a request, then the end": one(b"\0\5n", Do.SHUT),
    "a request and the end": one(packet(b"n"), Do.SHUT),
    "answers of epmd as requests": Case(tuple((str(op), packet(bytes([op, 0, 0]))) for op in ANSWERS)),
    "all other ops": Case(tuple((str(op), packet(bytes([op]) + b"abc")) for op in OTHERS)),
}

PORT = b"<PORT>"

DEVIATIONS: dict[str, list[Seen]] = {
    "register empty name with extra": [("a", b"", "closed")],
    "look up 255 characters": [
        ("node", b"v\0<CREATION>", "open"),
        ("a", b"w\0\x0f\xa0M\0\0\6\0\5\0\xff" + b"a" * 255 + b"\0\0", "closed"),
    ],
    "more bytes than announced, after the length": [("a", b"", "open"), ("a", b"", "closed")],
}
