"""The registrar: changes names on all nodes, one change after the other, under the lock of `global`.

Follows the registrar in `global.erl`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from etf_codec import Pid, Term
from otp_behaviors import Caller, Process

from ergo_node._global_lock_calls import LockCalls, pause
from ergo_node._global_locks import LockTable
from ergo_node._global_terms import GET_KNOWN, GLOBAL, NAME, LockId, boss_of


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the table of names on all nodes.

    Attributes:
        request: what the name servers are called with.
        allowed: asked under the lock whether there is to be a change.
    """

    request: Term
    allowed: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Order:
    """A change, and who waits for it."""

    change: Change
    caller: Caller


async def run_registrar(process: Process, server: Pid, own: str, locks: LockTable) -> None:
    """Be the registrar, until the name server ends."""
    registrar = Registrar(process, server, own, locks)
    while True:
        message = await process.receive()
        if isinstance(message, Order):
            process.reply(message.caller, await registrar.carry_out(message.change))


class Registrar:
    """Locks what is known, and has the change made there.

    Args:
        process: runs it.
        server: the name server of this node.
        own: this node.
        locks: the table of this node.
    """

    def __init__(self, process: Process, server: Pid, own: str, locks: LockTable) -> None:
        self._process = process
        self._server = server
        self._own = own
        self._calls = LockCalls(process, own, locks)

    async def carry_out(self, change: Change) -> bool:
        """Make a change on all nodes; False if it was not allowed."""
        lock: LockId = (GLOBAL, self._process.pid)
        nodes = await self._lock_known(lock)
        try:
            if not change.allowed():
                return False
            await self._process.multi_call(nodes, NAME, change.request)
            return True
        finally:
            await self._calls.delete_boss_last(lock, nodes)

    async def _lock_known(self, lock: LockId) -> list[str]:
        """Lock all known nodes, and make sure that there were no more of them when that was done."""
        times = 0
        while True:
            known = await self._known()
            nodes = [self._own, *known]
            boss = boss_of(nodes)
            # The same beginning as a locker's, so that both meet at the boss.
            if await self._calls.set_once(lock, [boss]):
                if await self._calls.set_once(lock, nodes):
                    later = await self._known()
                    if set(later) <= set(known):
                        return nodes
                    await self._calls.delete(lock, nodes)
                else:
                    await self._calls.delete(lock, [boss])
            await pause(times)
            times += 1

    async def _known(self) -> list[str]:
        known = await self._process.call(self._server, GET_KNOWN, None)
        return [str(node) for node in known]
