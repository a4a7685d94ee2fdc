"""What `epmd -names`, `-kill`, `-stop` and their kin say, to the letter and the exit code.

Each command asks the EPMD of this host, prints to standard output and returns the exit code.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import Final

from ._addresses import LOOPBACK
from ._client import Epmd
from ._errors import EpmdError, EpmdRefused, EpmdUnreachable
from ._messages import DumpRequest, KillRequest, NamesRequest, Request, StopRequest

TIMEOUT: Final = 5.0
"""Seconds to wait for an answer; the C `epmd` waits for ever."""


async def print_names(port: int) -> int:
    """`-names`: the living nodes."""
    return await _list(port, NamesRequest())


async def print_dump(port: int) -> int:
    """`-dump`: the living nodes, and the names that are free again."""
    return await _list(port, DumpRequest())


async def check_started(port: int) -> int:
    """`-started`: nothing but the exit code, 0 if an EPMD runs."""
    try:
        return 0 if len(await _ask(port, NamesRequest())) >= 4 else 1
    except EpmdError:
        return 1


async def kill_epmd(port: int) -> int:
    """`-kill`: end the EPMD."""
    answer = await _ask(port, KillRequest())
    if answer == b"OK":
        return _say("Killed\n", 0)
    if len(answer) == 2:
        return _say("Killing not allowed - living nodes in database.\n", 1)
    return _say(f"epmd: local epmd responded with <{_shown(answer)}>\n", 1)


async def stop_node(port: int, name: str) -> int:
    """`-stop NAME`: unregister a node."""
    # The answer for an unknown name is NOEXISTSTOPPED; one word of seven letters is all there is to say.
    answer = await _ask(port, StopRequest(name.encode(errors="surrogateescape")))
    if len(answer) >= 7:
        return _say(f"{_shown(answer[:7])}\n", 0)
    return _say(f"epmd: local epmd responded with <{_shown(answer)}>\n", 1)


async def run(command: Callable[[int], Awaitable[int]], port: int) -> int:
    """Run a command; when no EPMD answers, say so."""
    try:
        return await command(port)
    except EpmdUnreachable:
        sys.stderr.write("epmd: Cannot connect to local epmd\n")
        return 1


async def _ask(port: int, request: Request) -> bytes:
    """The answer of the EPMD of this host, empty when it closed the connection without one."""
    *others, last = LOOPBACK
    try:
        for host in others:
            try:
                return await Epmd(host, port, TIMEOUT).ask(request)
            except EpmdUnreachable:
                continue
        return await Epmd(last, port, TIMEOUT).ask(request)
    except EpmdRefused:
        return b""


async def _list(port: int, request: Request) -> int:
    answer = await _ask(port, request)
    if len(answer) < 4:
        return _say("epmd: no response from local epmd\n", 1)
    heading = f"epmd: up and running on port {int.from_bytes(answer[:4])} with data:\n"
    # As bytes: names are UTF-8, whatever the terminal's encoding is.
    sys.stdout.flush()
    sys.stdout.buffer.write(heading.encode() + answer[4:])
    sys.stdout.buffer.flush()
    return 0


def _say(text: str, exit_code: int) -> int:
    sys.stdout.write(text)
    return exit_code


def _shown(answer: bytes) -> str:
    return answer.decode("ascii", errors="backslashreplace")
