"""Locks on several nodes: `global:set_lock` and `del_lock`, for the locker, the registrar, programs."""

from __future__ import annotations

from collections.abc import Iterable
from secrets import randbelow
from typing import Any, Final, Protocol

import anyio
from etf_codec import Atom, Term

from ergo_node._global_locks import LockTable
from ergo_node._global_terms import DEL_LOCK, NAME, SET_LOCK, LockId, boss_of

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 8.0
"""Seconds between two tries at most, at first and after doubling: those of OTP."""


class Asker(Protocol):
    """Who sets locks: a process, or the program."""

    async def multi_call(
        self, nodes: Iterable[str], name: str | Atom, request: Term, timeout: float | None = None
    ) -> tuple[dict[str, Any], list[str]]:
        """Call the servers registered under a name on several nodes."""


class LockCalls:
    """Sets locks on nodes.

    Args:
        asker: whose locks they are: they go when its process ends.
        own: this node.
        locks: the table of this node.
    """

    def __init__(self, asker: Asker, own: str, locks: LockTable) -> None:
        self._asker = asker
        self._own = own
        self._locks = locks

    async def set_once(self, id: LockId, nodes: Iterable[str]) -> bool:
        """Set a lock on all of the nodes, or on none. Nodes that are not there do not count."""
        nodes = list(dict.fromkeys(nodes))
        if len(nodes) > 1 and self._own in nodes and not self._locks.can_set(id):
            return False  # so the others need not be asked
        if not nodes:
            return True
        replies, _ = await self._asker.multi_call(nodes, NAME, (SET_LOCK, id))
        if all(reply is True for reply in replies.values()):
            return True
        await self.delete(id, [node for node, reply in replies.items() if reply is True])
        return False

    async def set(self, id: LockId, nodes: Iterable[str], retries: int | None) -> bool:
        """Set a lock, and try again after random pauses; `retries` None is for ever."""
        nodes = list(nodes)
        times = 1
        while not await self.set_once(id, nodes):
            if retries is not None and times > retries:
                return False
            await pause(times)
            times += 1
        return True

    async def delete(self, id: LockId, nodes: Iterable[str]) -> None:
        """Delete a lock on nodes."""
        nodes = list(nodes)
        if nodes:
            await self._asker.multi_call(nodes, NAME, (DEL_LOCK, id))

    async def delete_boss_last(self, id: LockId, nodes: Iterable[str]) -> None:
        """Delete a lock: on the boss last, where whoever comes next begins."""
        nodes = list(dict.fromkeys(nodes))
        boss = boss_of(nodes)
        await self.delete(id, [node for node in nodes if node != boss])
        await self.delete(id, [boss])


async def pause(times: int) -> None:
    """Sleep for a random time, which may be longer the more tries have failed."""
    await anyio.sleep(pause_after(times, randbelow(1000) / 1000))


def pause_after(times: int, chance: float) -> float:
    """Return how many seconds to sleep after so many tries; `chance` is from 0 to 1."""
    longest = LONGEST_PAUSE if times > 5 else FIRST_PAUSE / 2 * 2**times
    return longest * chance
