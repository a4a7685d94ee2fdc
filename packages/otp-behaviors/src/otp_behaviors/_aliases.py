"""Aliases: references that stand for a process, or for a request that waits for its reply."""

from __future__ import annotations

from typing import Final, Protocol

from etf_codec import Atom, ImproperList, Reference, Term

ALIAS: Final = Atom("alias")


class AliasTarget(Protocol):
    """What a message to an alias reaches."""

    def alias_message(self, alias: Reference, message: Term) -> None:
        """Take a message sent to the alias."""


def alias_of(tag: Term) -> Reference | None:
    """Return the alias in a call's tag: `[alias|Alias]`, or `[[alias|Alias]|Monitor]` of a multi_call."""
    for _ in range(2):
        if type(tag) is not ImproperList or len(tag.items) != 1:
            return None
        if tag.items[0] == ALIAS:
            return tag.tail if isinstance(tag.tail, Reference) else None
        tag = tag.items[0]
    return None
