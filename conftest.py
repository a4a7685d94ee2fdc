"""Free ports for all tests of this workspace, in place of those of anyio's fixtures of the same names."""

import errno
import itertools
import os
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

LOWEST: Final = 10_000
"""Beyond the ports that programs are known for, EPMD's 4369 among them."""

EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
EPHEMERAL_ELSEWHERE: Final = 49_152
"""Where macOS and Windows begin."""

LOOPBACKS: Final = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


@pytest.fixture(scope="session")
def free_tcp_port_factory() -> Callable[[], int]:
    """Returns another port at each call: of those that the system gives to nobody who does not ask for them.

    A port that it gave us would be free to be given again, to whatever listens anywhere or connects to
    anything before the test has come to use it. Workers that run side by side have no port in common.
    """
    ports = _candidates()
    return lambda: next(port for port in ports if not any(_is_taken(port, *at) for at in LOOPBACKS))


def _candidates() -> Iterator[int]:
    end = int(EPHEMERAL.read_text().split()[0]) if EPHEMERAL.exists() else EPHEMERAL_ELSEWHERE
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ports = range(LOWEST + worker, end, workers)
    # Two runs side by side begin at different places.
    first = random.SystemRandom().randrange(len(ports))
    return itertools.cycle([*ports[first:], *ports[:first]])


def _is_taken(port: int, family: socket.AddressFamily, host: str) -> bool:
    try:
        with socket.socket(family) as probe:
            probe.bind((host, port))
    except OSError as error:
        return error.errno in (errno.EADDRINUSE, errno.EACCES)  # not if this host has no IPv6
    return False
