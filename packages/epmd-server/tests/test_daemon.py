import os
import socket
import sys
from pathlib import Path

import pytest
from epmd_server import CannotListen
from epmd_server import _daemon as daemon

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd and fork")

ACTIVATED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", NOTIFY_SOCKET=sys.argv[2])
os.execv(sys.executable, [sys.executable, "-m", "epmd_server", "-systemd"])
"""


def test_a_socket_from_systemd_is_served_and_readiness_told(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifications,
    ):
        notifications.bind(str(tmp_path / "notify"))
        notifications.settimeout(10)
        arguments = [sys.executable, "-c", ACTIVATED, str(listener.fileno()), str(tmp_path / "notify")]
        listener.set_inheritable(True)
        pid = os.posix_spawn(sys.executable, arguments, os.environ)
        try:
            assert f"READY=1\nSTATUS=Processing port mapping requests...\nMAINPID={pid}".encode() == (
                notifications.recv(4096)
            )
            with socket.create_connection(listener.getsockname(), timeout=10) as client:
                client.sendall(b"\0\1k")
                assert client.recv(2) == b"OK"
        finally:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())},
        {"LISTEN_FDS": "x", "LISTEN_PID": str(os.getpid())},
    ],
)
def test_no_sockets_for_this_process(environ: dict[str, str]) -> None:
    with pytest.raises(CannotListen, match="provides no sockets"):
        daemon.inherited_sockets(environ)


def test_readiness_is_told_to_nobody_without_systemd() -> None:
    daemon.notify_ready({})


def test_the_daemon_keeps_only_its_sockets(tmp_path: Path) -> None:
    """A pipe that stayed open in the daemon would keep whoever started it waiting."""
    reader, writer = os.pipe()
    listener = socket.create_server(("127.0.0.1", 0))
    child = os.fork()
    if child == 0:
        os.close(reader)
        daemon.daemonize([listener])
        accepted, _ = listener.accept()
        leads_session = os.getsid(0) == os.getpid()
        accepted.sendall(f"{os.getcwd()} {leads_session}".encode())
        os._exit(0)
    os.close(writer)
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert os.read(reader, 1) == b""
        with socket.create_connection(listener.getsockname(), timeout=10) as client:
            assert client.recv(100) == b"/ False"
    finally:
        os.close(reader)
        listener.close()
