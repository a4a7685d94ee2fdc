"""Which addresses an EPMD listens on, and which clients it takes for local ones. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

LOOPBACK: Final = ("127.0.0.1", "::1")
"""Where nodes on this host register, and the only addresses listened on unless others are asked for."""

WILDCARDS: Final = {4: "0.0.0.0", 6: "::"}  # noqa: S104  recognised here, chosen only by the user


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """An address to listen on. One that is not `required` may be missing on this host."""

    host: str
    required: bool = True


def parse_addresses(text: str) -> list[str]:
    """The addresses in a list such as `-address` and ERL_EPMD_ADDRESS take: `192.0.2.1, 2001:db8::1`."""
    return [host for host in re.split(r"[, ]+", text) if host]


def with_loopback(hosts: Iterable[str]) -> list[ListenAddress]:
    """These addresses, and the loopback ones that they do not cover, as `epmd -address` adds them."""
    wanted = dict.fromkeys(hosts)
    missing = [
        loopback
        for loopback in LOOPBACK
        if loopback not in wanted and WILDCARDS[ip_address(loopback).version] not in wanted
    ]
    return [*map(ListenAddress, wanted), *(ListenAddress(host, required=False) for host in missing)]


def is_local_peer(peer: str, own: str) -> bool:
    """Whether a connection from `peer` to our address `own` comes from this host.

    It does when it comes over the loopback interface, or from the very address it goes to.
    """
    peer_ip, own_ip = _parse(peer), _parse(own)
    return peer_ip is not None and (peer_ip.is_loopback or peer_ip == own_ip)


def _parse(host: str) -> IPv4Address | IPv6Address | None:
    """The address without its scope; IPv4 seen through an IPv6 socket is IPv4."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
