"""Show what nodes said to each other, or how a handshake goes: `python -m erldist_proto dissect FILE`."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

from etf_codec import to_text

from erldist_proto._diagram import state_diagram
from erldist_proto._dissector import Dissector, Observed
from erldist_proto._events import Received, Ticked
from erldist_proto._flags import DistFlags
from erldist_proto._handshake_messages import HandshakeMessage
from erldist_proto._recording import read_recording


def main(arguments: list[str] | None = None) -> int:
    """Run the command, and give its exit status: 0, or 1 if the input is not what it should be."""
    parser = argparse.ArgumentParser(prog="python -m erldist_proto", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    dissect = commands.add_parser("dissect", help="print a recorded conversation")
    dissect.add_argument(
        "file", nargs="?", default="-", help="lines `time connection direction hex`; - is stdin"
    )
    dissect.add_argument(
        "--tls", action="store_true", help="taken from inside TLS: four bytes of length throughout"
    )
    dissect.add_argument("--max-chars", type=int, default=400, help="where to cut a line (400)")
    dissect.set_defaults(run=_dissect)
    commands.add_parser("diagram", help="print the handshake's states for Mermaid").set_defaults(run=_diagram)
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
    except BrokenPipeError:
        return 1  # the reader has seen enough
    except (OSError, ValueError) as error:
        print(f"{options.file}: {error}", file=sys.stderr)
        return 1
    return status


def _diagram(options: argparse.Namespace) -> int:
    print(state_diagram())
    return 0


def _dissect(options: argparse.Namespace) -> int:
    if options.file == "-":
        return _print_conversations(sys.stdin, options)
    with open(options.file, encoding="utf-8") as lines:
        return _print_conversations(lines, options)


def _print_conversations(lines: TextIO, options: argparse.Namespace) -> int:
    for line in conversations(lines, 4 if options.tls else 2, options.max_chars):
        print(line)
    return 0


def conversations(lines: Iterable[str], length_bytes: int, max_chars: int) -> Iterator[str]:
    """A recording, one line for each packet of the handshake, message and tick.

    Raises:
        ValueError: A line is no line of a recording.
    """
    dissectors: dict[str, tuple[str, Dissector]] = {}
    began = None
    for time, connection, direction, data in read_recording(lines):
        began = time if began is None else began
        if connection not in dissectors:
            dissectors[connection] = direction, Dissector(length_bytes)
        initiator, dissector = dissectors[connection]
        start = f"{time - began:10.4f} {connection} {direction}"
        for observed in dissector.observe(data, from_initiator=direction == initiator):
            yield f"{start} {describe(observed, max_chars)}"
        if not data:
            yield f"{start} end"


def describe(observed: Observed, max_chars: int) -> str:
    """What one side said, as Erlang would print it."""
    match observed.value:
        case Received(message, payload):
            text = f"{type(message).__name__} {to_text(message.to_term(), max_chars=max_chars)}"
            return f"{text} {to_text(payload, max_chars=max_chars)}" if message.has_payload else text
        case Ticked():
            return "tick"
        case Exception() as error:
            return f"error: {error}"
        case message:
            return _handshake_packet(message)


def _handshake_packet(message: HandshakeMessage) -> str:
    values = (f"{name}={_value(getattr(message, name))}" for name in message.__slots__)
    return f"{type(message).__name__} {' '.join(values)}"


def _value(value: object) -> str:
    match value:
        case DistFlags():
            return hex(value)
        case bytes():
            return value.hex()
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
