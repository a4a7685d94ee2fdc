"""The `epmd-server` command, with the flags, texts and exit codes of `epmd`."""

import argparse
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final, NoReturn

import anyio

from . import __version__, _commands, _daemon, _environment
from ._addresses import parse_addresses, with_loopback
from ._errors import AddressInUse, EpmdError
from ._listening import bind
from ._server import Server, serve

USAGE: Final = """\
usage: epmd-server [-d|-debug] [-address List] [-port No] [-daemon] [-systemd] [-relaxed_command_check]
                   [-packet_timeout Seconds] [-delay_accept Seconds] [-delay_write Seconds]
       epmd-server [-d|-debug] [-port No] [-names|-started|-dump|-kill|-stop Name]

Server
    -address List           listen on these IP addresses, separated by commas, and on loopback
                            (ERL_EPMD_ADDRESS; default: loopback only; 0.0.0.0,:: for all)
    -port No                listen on this port (ERL_EPMD_PORT; default 4369)
    -daemon                 start detached; returns once the port is listened on
    -systemd                use the sockets that systemd passes
    -relaxed_command_check  allow -kill while nodes are registered, and -stop
                            (ERL_EPMD_RELAXED_COMMAND_CHECK)
    -packet_timeout Seconds close connections that are silent for so long (default 60)
    -delay_accept Seconds   wait before each accept, to simulate a busy server
    -delay_write Seconds    wait before each reply, to simulate a busy server
    -d, -debug              log every registration to standard error

Questions and orders to the EPMD that runs
    -names                  list the registered nodes
    -started                exit code 0 if an EPMD runs, without a word
    -dump                   list the registered nodes and the names no longer used
    -kill                   end it
    -stop Name              unregister a node
    --version, --help
"""


class _Parser(argparse.ArgumentParser):
    """`epmd` prints its usage to standard error and exits with 1, whatever is wrong."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"epmd-server: {message}\n{USAGE}")
        raise SystemExit(1)


class _Help(argparse.Action):
    def __call__(self, *_: object) -> NoReturn:
        sys.stdout.write(USAGE)
        raise SystemExit(0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code.

    Args:
        arguments: None is the command line.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(given)
    try:
        port = options.port or _environment.epmd_port()
        if options.command is not None:
            return anyio.run(_commands.run, options.command, port)
        if options.stop is not None:
            return anyio.run(_commands.run, partial(_commands.stop_node, name=options.stop), port)
        return _serve(options, port, given)
    except AddressInUse as error:
        # Not a failure: what the caller wants is that an EPMD runs.
        _log_to_stderr(error, shown=options.debug > 0)
        return 0
    except EpmdError as error:
        _log_to_stderr(error)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _serve(options: argparse.Namespace, port: int, given: Sequence[str]) -> int:
    if sys.platform == "win32" and options.daemon:
        return _daemon.spawn_detached([each for each in given if each != "-daemon"], port)
    sockets = _sockets(options, port)
    if sys.platform != "win32" and options.daemon:
        _daemon.daemonize(sockets)
        logging.getLogger("epmd_server").addHandler(logging.NullHandler())
    else:
        _configure_logging(options.debug)
    return anyio.run(_run_server, options, sockets)


def _sockets(options: argparse.Namespace, port: int) -> list[socket.socket]:
    if options.systemd:
        return _daemon.inherited_sockets()
    if options.address is None:
        return bind(_environment.listen_addresses(), port)
    return bind(with_loopback(parse_addresses(options.address)), port)


async def _run_server(options: argparse.Namespace, sockets: Sequence[socket.socket]) -> int:
    async with serve(
        sockets=sockets,
        relaxed_command_check=options.relaxed_command_check or _environment.relaxed_command_check(),
        packet_timeout=options.packet_timeout,
        delay_accept=options.delay_accept,
        delay_write=options.delay_write,
    ) as server:
        if options.systemd:
            _daemon.notify_ready()
        if sys.platform == "win32":
            await server.wait_closed()
            return 0
        else:
            return await _wait_for_end(server)


async def _wait_for_end(server: Server) -> int:
    """0 when the server was killed by `epmd -kill`, the shell's code for the signal when by a signal."""
    exit_code = 0
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as tasks:

            async def wait_for_kill() -> None:
                await server.wait_closed()
                tasks.cancel_scope.cancel()

            tasks.start_soon(wait_for_kill)
            exit_code = 128 + await anext(aiter(signals))
            tasks.cancel_scope.cancel()
    return exit_code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="epmd-server", add_help=False, allow_abbrev=False)
    parser.add_argument("-d", "-debug", dest="debug", action="count", default=0)
    parser.add_argument("-address")
    parser.add_argument("-port", type=_port)
    parser.add_argument("-packet_timeout", type=_seconds, default=60.0)
    parser.add_argument("-delay_accept", type=_seconds, default=0.0)
    parser.add_argument("-delay_write", type=_seconds, default=0.0)
    for flag in ("-daemon", "-systemd", "-relaxed_command_check"):
        parser.add_argument(flag, action="store_true")
    commands = parser.add_mutually_exclusive_group()
    for flag, command in COMMANDS.items():
        commands.add_argument(flag, dest="command", action="store_const", const=command)
    commands.add_argument("-stop", metavar="Name")
    parser.add_argument("--help", action=_Help, nargs=0)
    parser.add_argument("--version", action="version", version=f"epmd-server {__version__}")
    return parser


COMMANDS: Final = {
    "-names": _commands.print_names,
    "-started": _commands.check_started,
    "-dump": _commands.print_dump,
    "-kill": _commands.kill_epmd,
}


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 1 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: give a number of seconds, 1 or more")
    return float(text)


def _configure_logging(debug: int) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("epmd: %(asctime)s: %(message)s", "%a %b %d %H:%M:%S %Y"))
    logger = logging.getLogger("epmd_server")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.INFO)


def _log_to_stderr(error: EpmdError, *, shown: bool = True) -> None:
    if shown:
        sys.stderr.write(f"epmd: {error}\n")


if __name__ == "__main__":
    raise SystemExit(main())
