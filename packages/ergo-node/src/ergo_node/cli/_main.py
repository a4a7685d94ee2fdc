"""Arguments of the command, and its exit codes: 0 well, 1 a one-line error, 2 wrong usage, 130 Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from importlib.util import find_spec
from typing import Any, Final

import anyio
from etf_codec import EtfError, from_text, to_text
from otp_behaviors import ExitError, RemoteName

import ergo_node
from ergo_node._config import Epmd
from ergo_node._errors import NodeError
from ergo_node._node import Node
from ergo_node.cli import _certs
from ergo_node.cli._demo import demo
from ergo_node.cli._doctor import add_arguments as add_doctor_arguments
from ergo_node.cli._doctor import doctor

BACKENDS: Final[dict[str, dict[str, Any]]] = {
    "asyncio": {},
    # Else trio raises Ctrl-C in whatever task runs, at whatever line, and no `with` there is safe from it.
    "trio": {"restrict_keyboard_interrupt_to_checkpoints": True},
}
"""What runs the tasks, and its options: with both, Ctrl-C ends the main task where that waits."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: what follows the command's name; None takes those of the process.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.CRITICAL)
    backend = options.backend
    if find_spec(backend) is None:
        print(f"ergo-node: {backend} is not installed: pip install {backend}", file=sys.stderr)
        return 1
    try:
        anyio.run(options.command, options, backend=backend, backend_options=BACKENDS[backend])
    except KeyboardInterrupt:
        return 130
    except BaseExceptionGroup as group:
        # On trio it is raised where the main task waits, and a task group around that wraps it.
        if group.subgroup(KeyboardInterrupt) is None:
            raise
        return 130
    except (NodeError, ExitError, EtfError) as error:
        print(f"ergo-node: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ergo-node", description="An Erlang node in Python.")
    parser.add_argument("--version", action="version", version=f"ergo-node {ergo_node.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _command(commands, "demo", demo, "show what it does: two Python nodes, and Erlang if there is one")
    certs = _command(
        commands, "certs", _certs.certs, "make certificates for TLS, for Python and Erlang nodes"
    )
    _certs.add_arguments(certs)
    for name, command, help in COMMANDS:
        sub = _command(commands, name, command, help)
        ours = None if name == "doctor" else "ergo@127.0.0.1"
        sub.add_argument("--name", default=ours, help="our node name (default: %(default)s)")
        sub.add_argument("--cookie", help="the cookie; ~/.erlang.cookie if left out")
        sub.add_argument("--epmd-port", type=int, help="the port of EPMD; ERL_EPMD_PORT, else 4369")
        sub.add_argument("node", help="the other node, name@host")
        if name == "doctor":
            add_doctor_arguments(sub)
        if name == "call":
            sub.add_argument("server", help="the registered name of a gen_server")
            sub.add_argument("request", help="an Erlang term, as '{get, 7}'")
            sub.add_argument("--timeout", type=float, default=5.0, help="seconds (default: %(default)s)")
    return parser


def _command(
    commands: Any, name: str, command: Callable[[argparse.Namespace], Awaitable[None]], help: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
    parser.set_defaults(command=command)
    parser.add_argument("--backend", choices=BACKENDS, default="asyncio", help="what runs the tasks")
    parser.add_argument("-v", "--verbose", action="store_true", help="write the log to stderr")
    return parser


def _node(options: argparse.Namespace) -> Node:
    return Node(options.name, options.cookie, hidden=True, epmd=Epmd(options.epmd_port))


async def _ping(options: argparse.Namespace) -> None:
    async with _node(options) as node:
        await node.reach(options.node)
        print("pong" if await node.ping(options.node) else "pang")


async def _call(options: argparse.Namespace) -> None:
    request = from_text(options.request)
    async with _node(options) as node:
        await node.reach(options.node)
        reply = await node.call(RemoteName(options.server, options.node), request, timeout=options.timeout)
        print(to_text(reply))


COMMANDS: Final = (
    ("ping", _ping, "ask a node whether it is there: pong or pang"),
    ("doctor", doctor, "say why a node cannot be reached: each step by itself, and what to do"),
    ("call", _call, "send a request to a gen_server of a node and print its reply"),
)
