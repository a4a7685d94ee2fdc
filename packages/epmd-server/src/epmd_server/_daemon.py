"""Leaving the terminal: `-daemon`, and starting under systemd."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from ._addresses import LOOPBACK
from ._errors import CannotListen, EpmdError

FIRST_INHERITED_FD: Final = 3
"""Where systemd puts the first socket: SD_LISTEN_FDS_START in sd-daemon.h."""

MAX_INHERITED_FDS: Final = 65536
"""Up to which number inherited files are closed: the limit itself can be a number that no loop reaches."""

START_SECONDS: Final = 10.0
"""How long a detached process may take until it listens; Python starts in well under one second."""


def inherited_sockets(environ: Mapping[str, str] = os.environ) -> list[socket.socket]:
    """The listening sockets that systemd passes, by the protocol of sd_listen_fds(3).

    Raises:
        CannotListen: there are none for this process.
    """
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdigit() or count == "0":
        raise CannotListen("systemd provides no sockets")
    fds = range(FIRST_INHERITED_FD, FIRST_INHERITED_FD + int(count))
    try:
        sockets = [socket.socket(fileno=fd) for fd in fds]
    except OSError as error:
        raise CannotListen(f"systemd provides something that is no socket: {error.strerror}") from error
    for sock in sockets:
        sock.setblocking(False)
        sock.set_inheritable(False)
    return sockets


def notify_ready(environ: Mapping[str, str] = os.environ) -> None:
    """Tell systemd that requests are processed, by the protocol of sd_notify(3)."""
    path = environ.get("NOTIFY_SOCKET")
    if path and sys.platform != "win32":
        message = f"READY=1\nSTATUS=Processing port mapping requests...\nMAINPID={os.getpid()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(message.encode(), path.replace("@", "\0", 1) if path.startswith("@") else path)


if sys.platform == "win32":

    def spawn_detached(arguments: Sequence[str], port: int) -> int:
        """Start this program without a console, with these arguments; 0 once an EPMD listens."""
        process = subprocess.Popen(  # noqa: S603  our own interpreter and arguments
            [sys.executable, "-m", "epmd_server", *arguments],
            creationflags=subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=True,
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            exit_code = process.poll()
            if exit_code is not None:
                return exit_code
            if _listens(port):
                return 0
            time.sleep(0.05)
        raise EpmdError(f"the detached EPMD did not listen on port {port} within {START_SECONDS} s")

    def _listens(port: int) -> bool:
        for host in LOOPBACK:
            try:
                socket.create_connection((host, port), timeout=1.0).close()
            except OSError:
                continue
            return True
        return False

else:

    def daemonize(sockets: Iterable[socket.socket]) -> None:
        """Go on in a process that no terminal, session or open file ties to its caller.

        The sockets stay open. They listen already: when the caller's process ends, clients can connect.
        Must run before any event loop and any thread.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        _fork()
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        # The second child leads no session, so that it can never acquire a controlling terminal.
        _fork()
        os.chdir("/")
        _close_files(sorted(sock.fileno() for sock in sockets))

    def _fork() -> None:
        """Go on in a child; its parent ends here, without running its exit handlers a second time."""
        if os.fork():
            os._exit(0)

    def _close_files(kept: Sequence[int]) -> None:
        null = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(null, standard)
        lowest = 3
        for fd in kept:
            os.closerange(lowest, fd)
            lowest = fd + 1
        os.closerange(lowest, MAX_INHERITED_FDS)
