"""Aliases: references that stand for a process, or for a request that waits for its reply.

Follows `erlang:alias/1` and the option `alias` of `erlang:monitor/3`.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from etf_codec import Atom, ImproperList, Reference, Term

ALIAS: Final = Atom("alias")
ALIASED: Final = (ALIAS,)
"""What precedes the alias in the tag of a request."""

AliasMode: TypeAlias = Literal["explicit_unalias", "demonitor", "reply_demonitor", "reply"]
"""When an alias ends, besides `unalias`: never, with its monitor, also with the first message, with that."""

MonitorAlias: TypeAlias = Literal["explicit_unalias", "demonitor", "reply_demonitor"]
MONITOR_MODES: Final = ("explicit_unalias", "demonitor", "reply_demonitor")
ALIAS_MODES: Final = ("explicit_unalias", "reply")


class AliasTarget(Protocol):
    """What a message to an alias reaches."""

    def alias_message(self, alias: Reference, message: Term) -> None:
        """Take a message sent to the alias."""


class Alias(NamedTuple):
    """An alias of a process.

    Attributes:
        mode: when it ends.
        urgent: for a priority alias, the priority messages that came; all such aliases of a process share it.
    """

    mode: AliasMode
    urgent: deque[Term] | None = None


@runtime_checkable
class AliasOwner(AliasTarget, Protocol):
    """A process of this node."""

    aliases: dict[Reference, Alias] | None
    mailbox: deque[Term]


AliasTable: TypeAlias = dict[tuple[int, ...], AliasTarget]


def activate(
    table: AliasTable, owner: AliasOwner, ref: Reference, mode: AliasMode, *, priority: bool = False
) -> None:
    """Make a reference an alias of a process."""
    if owner.aliases is None:
        owner.aliases = {}
    owner.aliases[ref] = Alias(mode, _urgent_of(owner) if priority else None)
    table[ref.ids] = owner


def deactivate(table: AliasTable, owner: AliasOwner, ref: Reference) -> bool:
    """End an alias (`erlang:unalias/1`); False if it was none of this process."""
    if owner.aliases is None or owner.aliases.pop(ref, None) is None:
        return False
    table.pop(ref.ids, None)
    return True


def monitor_gone(table: AliasTable, owner: AliasOwner, ref: Reference) -> None:
    """The monitor that came with an alias has fired, or was removed."""
    alias = None if owner.aliases is None else owner.aliases.get(ref)
    if alias is not None and alias.mode != "explicit_unalias":
        deactivate(table, owner, ref)


def _urgent_of(owner: AliasOwner) -> deque[Term]:
    for alias in (owner.aliases or {}).values():
        if alias.urgent is not None:
            return alias.urgent
    return deque()


def put_first(mailbox: deque[Term], urgent: deque[Term]) -> None:
    """Move the last message before all ordinary ones, behind the priority messages that still wait.

    Those are at the head of the mailbox, in order; some may have been taken out since.
    """
    message = mailbox.pop()
    waiting: list[Term] = []
    for earlier in urgent:
        if len(waiting) < len(mailbox) and mailbox[len(waiting)] is earlier:
            waiting.append(earlier)
    mailbox.insert(len(waiting), message)
    urgent.clear()
    urgent.extend(waiting)
    urgent.append(message)


def alias_of(tag: Term) -> Reference | None:
    """Return the alias in a call's tag: `[alias|Alias]`, or `[[alias|Alias]|Monitor]` of a multi_call."""
    if type(tag) is not ImproperList or len(tag.items) != 1:
        return None
    head = tag.items[0]
    if head is not ALIAS and type(head) is ImproperList and len(head.items) == 1:
        tag, head = head, head.items[0]
    return tag.tail if head is ALIAS and type(tag.tail) is Reference else None
