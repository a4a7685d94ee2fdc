"""`ergo-node doctor NODE`: why can I not connect? Each step of a connection by itself, and what to do."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import epmd_server
from erldist_proto import NodeName

from ergo_node._config import Epmd
from ergo_node._errors import CannotStart, CookieMismatch, HandshakeRefused, NodeError, NotConnected, TlsError
from ergo_node._names import Address
from ergo_node._node import Node
from ergo_node._own_name import DYNAMIC
from ergo_node._tls import Tls

STEP_SECONDS: Final = 5.0
"""For a step that waits for the network."""


class Failed(Exception):
    """A step failed.

    Args:
        what: happened.
        advice: what to do.
    """

    def __init__(self, what: object, advice: str) -> None:
        super().__init__(str(what))
        self.advice = advice


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("--port", type=int, help="where the node listens, if no EPMD knows")
    parser.add_argument("--certificate", help="PEM file of our certificate and key: connect with TLS")
    parser.add_argument("--ca", help="PEM file of the authorities, for TLS")


async def doctor(options: argparse.Namespace) -> None:
    """Go through the steps, print a line for each, and stop at the first that fails.

    Raises:
        CannotStart: a step failed; the text says which.
    """
    patient = Patient(options)
    for name, step in STEPS:
        try:
            with anyio.fail_after(STEP_SECONDS * 3):
                found = await step(patient)
        except Failed as error:
            print(f"FAILED  {name}: {error}")
            print(f"        {error.advice}")
            raise CannotStart(f"{options.node} cannot be reached: {name}") from error
        except TimeoutError as error:
            print(f"FAILED  {name}: no answer within {STEP_SECONDS * 3:g} s")
            print("        is there a firewall that drops packets?")
            raise CannotStart(f"{options.node} cannot be reached: {name}") from error
        if found is not None:
            print(f"ok      {name}: {found}")
    print(f"{options.node} can be reached from here")


class Patient:
    """The node that is looked at, and what has been found out about it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.name = NodeName("", "")
        self.address = Address("", 0)

    async def parse(self) -> str:
        """Is that a node name?"""
        try:
            self.name = NodeName.parse(self.options.node)
        except ValueError as error:
            raise Failed(
                error, "a node is called name@host; `epmd -names` on its host shows the first part"
            ) from error
        long = "." in self.name.host or ":" in self.name.host
        kind = "a long name (erl -name)" if long else "a short name (erl -sname)"
        return f"{self.name.name} on {self.name.host}, {kind}"

    async def resolve(self) -> str:
        """Does the host exist?"""
        try:
            infos = await anyio.getaddrinfo(self.name.host, None)
        except (OSError, UnicodeError) as error:
            advice = f"add {self.name.host} to DNS or /etc/hosts, or name the node by its address"
            raise Failed(error, advice) from error
        return ", ".join(sorted({str(address[0]) for *_, address in infos}))

    async def ask_epmd(self) -> str | None:
        """Is there an EPMD, and does it know the node?"""
        options, name = self.options, self.name
        if options.port is not None:
            self.address = Address(name.host, options.port)
            return None
        try:
            entry = await epmd_server.look_up(
                name.name, name.host, epmd_port=options.epmd_port, timeout=STEP_SECONDS
            )
        except epmd_server.NotRegistered as error:
            known = await epmd_server.names(name.host, epmd_port=options.epmd_port, timeout=STEP_SECONDS)
            others = ", ".join(f"{each.name}@{name.host}" for each in known) or "nobody"
            raise Failed(error, f"it knows {others}: start the node, or mind its spelling") from error
        except epmd_server.EpmdUnreachable as error:
            advice = (
                "start a node or `epmd -daemon` there, and open its port in the firewall; is ERL_EPMD_PORT"
                " the same on both sides? A node without EPMD needs --port"
            )
            raise Failed(error, advice) from error
        except epmd_server.EpmdError as error:
            raise Failed(
                error, "what listens there is no EPMD: mind --epmd-port and ERL_EPMD_PORT"
            ) from error
        self.address = Address(name.host, entry.port, min(6, entry.highest_version))
        return f"port {entry.port}, handshake version {entry.highest_version}"

    async def open_port(self) -> str:
        """Does anybody listen at the node's port?"""
        host, port = self.address.host, self.address.port
        try:
            with anyio.fail_after(STEP_SECONDS):
                stream = await anyio.connect_tcp(host, port)
            await stream.aclose()
        except (OSError, TimeoutError) as error:
            advice = (
                f"open port {port} in the firewall (inet_dist_listen_min and _max make it a known one), and"
                " see that the node listens at this address (inet_dist_use_interface)"
            )
            raise Failed(f"{host}:{port}: {str(error) or 'no answer'}", advice) from error
        return f"{host}:{port} accepts connections"

    async def shake_hands(self) -> str:
        """Does it take us for a node of its cluster?"""
        options, address = self.options, self.address
        try:
            tls = Tls(options.certificate, ca=options.ca) if options.certificate else None
            ours = Node(
                options.name or f"{DYNAMIC}@{self.name.host}",
                options.cookie,
                hidden=True,
                epmd=Epmd(options.epmd_port),
                tls=tls,
                routes={options.node: (address.host, address.port)},
            )
            async with ours as node:
                await node.reach(options.node)
                called = node.name
                if not await node.ping(options.node):
                    raise Failed("no answer to a ping", "it is connected, but its net_kernel does not answer")
        except NodeError as error:
            raise Failed(error, _advice(error)) from error
        return f"it knows us as {called}, the cookies are the same, and it answers a ping"


def _advice(error: NodeError) -> str:
    return next(advice for kind, advice in ADVICE if isinstance(error, kind))


ADVICE: Final[tuple[tuple[type[NodeError], str], ...]] = (
    (CookieMismatch, "compare erlang:get_cookie() there with --cookie, or ~/.erlang.cookie here"),
    (TlsError, "give --certificate and --ca if it runs with -proto_dist inet_tls, and not if it does not"),
    (
        HandshakeRefused,
        "see its log: it lets certain nodes in only (net_kernel:allow/1), or is connected to us already",
    ),
    (NotConnected, "see its log. If it runs with -proto_dist inet_tls, give --certificate and --ca"),
    (CannotStart, "this is about our own side: mind --name, --cookie and the files given"),
    (NodeError, "see its log"),
)

STEPS: Final[tuple[tuple[str, Callable[[Patient], Awaitable[str | None]]], ...]] = (
    ("name", Patient.parse),
    ("host", Patient.resolve),
    ("EPMD", Patient.ask_epmd),
    ("port", Patient.open_port),
    ("handshake", Patient.shake_hands),
)
