"""Show a file of external terms as Erlang text or as JSON, or make one of Erlang text."""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from . import _json
from ._backend import decode_prefix, encode
from ._errors import EtfError
from ._limits import Limits
from ._terms import Term
from ._text_parser import from_text
from ._text_printer import to_text

# A file named on the command line is trusted more than a message; depth stays, as it guards memory safety.
_LIMITS: Final = Limits(max_bytes=None, max_uncompressed_bytes=1024 * 1024 * 1024)


def main(arguments: list[str] | None = None) -> int:
    """Run the command, and give its exit status: 0, or 1 if the input is not what it should be."""
    parser = argparse.ArgumentParser(prog="python -m etf_codec", description=__doc__)
    parser.add_argument("file", nargs="?", default="-", help="the input; standard input if - or left out")
    direction = parser.add_mutually_exclusive_group()
    direction.add_argument("--json", action="store_true", help="print JSON, where it fits")
    direction.add_argument("--from-text", action="store_true", help="read Erlang text, write external format")
    options = parser.parse_args(arguments)
    try:
        if options.file == "-":
            return _run(sys.stdin.buffer, options)
        with open(options.file, "rb") as stream:
            return _run(stream, options)
    except (OSError, EtfError, UnicodeDecodeError) as error:
        print(f"{options.file}: {error}", file=sys.stderr)
        return 1


def _run(stream: BinaryIO, options: argparse.Namespace) -> int:
    data = stream.read()
    if options.from_text:
        sys.stdout.buffer.write(encode(from_text(data.decode(), limits=_LIMITS), limits=_LIMITS))
        sys.stdout.buffer.flush()
        return 0
    for term in _terms(data):
        print(json.dumps(_json.to_json(term), ensure_ascii=False) if options.json else _line(term))
    return 0


def _line(term: Term) -> str:
    return to_text(term, max_chars=sys.maxsize) + "."


def _terms(data: bytes) -> Iterator[Any]:
    """The terms of a file, which may hold several in a row."""
    offset = 0
    while True:
        term, offset = decode_prefix(data, offset, limits=_LIMITS)
        yield term
        if offset == len(data):
            return


if __name__ == "__main__":
    sys.exit(main())
