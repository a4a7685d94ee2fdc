"""DNS beyond `getaddrinfo`: SRV records, and nameservers of one's own.

Needs `dnspython`, so only strategies that ask for it load this file.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.resolver

from ergo_node._errors import DiscoveryFailed

ANSWER_SECONDS: Final = 5.0
"""For all tries of one question together."""


async def addresses(query: str, records: Iterable[str], nameserver: tuple[str, int] | None) -> set[str]:
    """Return the addresses of a name.

    Raises:
        DiscoveryFailed: there is none of that name, or no answer.
    """
    found: set[str] = set()
    for record in records:
        found |= {rdata.address for rdata in await _answers(query, record, nameserver)}
    if not found:
        raise DiscoveryFailed(f"{query} has no addresses")
    return found


async def services(query: str, nameserver: tuple[str, int] | None) -> dict[str, int]:
    """Return the targets of SRV records and their ports; priorities are not for a mesh of equals.

    Raises:
        DiscoveryFailed: there is none of that name, or no answer.
    """
    # "." as target says that the service is decidedly not there (RFC 2782).
    found = {
        rdata.target.to_text(omit_final_dot=True): rdata.port
        for rdata in await _answers(query, "SRV", nameserver)
        if len(rdata.target) > 1
    }
    if not found:
        raise DiscoveryFailed(f"{query} has no SRV records")
    return found


async def _answers(query: str, record: str, nameserver: tuple[str, int] | None) -> list[Any]:
    try:
        resolver = dns.asyncresolver.Resolver(configure=nameserver is None)
        if nameserver is not None:
            resolver.nameservers = [nameserver[0]]
            resolver.port = nameserver[1]
        answer = await resolver.resolve(
            query,
            record,
            raise_on_no_answer=False,
            lifetime=ANSWER_SECONDS,
            search=nameserver is None,
            # By default it takes what the first caller of the program runs on.
            backend=dns.asyncbackend.get_backend(dns.asyncbackend.sniff()),
        )
    except (dns.exception.DNSException, OSError, ValueError) as error:
        raise DiscoveryFailed(f"{query} is not to be resolved ({record}): {error}") from error
    return [] if answer.rrset is None else list(answer.rrset)
