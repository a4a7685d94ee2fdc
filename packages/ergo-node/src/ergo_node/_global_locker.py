"""The locker: locks both partitions while two nodes that met exchange their names.

There is one on every node. It picks one of the nodes to be synchronised with, locks `global` on all nodes it
knows and on that one, and tells the locker there, which locks all it knows. When both have, the names are
exchanged; when that is over both unlock. Both use the requester `[Locker, Locker]`, so a node that both
know is locked by both, and nobody else gets in between.

Follows the locker in `global.erl`.
"""

from __future__ import annotations

from secrets import choice
from typing import Final

from etf_codec import Atom, Pid, Term
from otp_behaviors import Process, RemoteName

from ergo_node._global_effects import Cancel, Cast, Him, Known, LockSet, Unknown
from ergo_node._global_lock_calls import LockCalls
from ergo_node._global_locks import LockTable
from ergo_node._global_terms import (
    GLOBAL,
    LEAST_VERSION,
    LOCK_SET,
    NAME,
    SERVER_VERSION,
    VERIFIED_VERSION,
    LockId,
    boss_of,
    sorted_pids,
)

FIRST_WAIT: Final = 0.2
"""Seconds before a node that is alone begins: its peer may be quicker."""

LEAST_WAIT: Final = 1.0
WAIT_PER_NODE: Final = 0.1
MOST_WAIT: Final = 3.0
"""Seconds before a node of a partition begins, so that one of the others may. All of these are OTP's."""


class BothLocked:
    """For the name server: both partitions are locked."""

    __slots__ = ("lock", "node", "tag")

    def __init__(self, node: str, tag: int, lock: LockId) -> None:
        self.node = node
        self.tag = tag
        self.lock = lock


async def run_locker(process: Process, server: Pid, own: str, locks: LockTable) -> None:
    """Be the locker, until the name server ends."""
    await Locker(process, server, own, locks).run()


class Locker:
    """The state of the locker.

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
        self._locks = locks
        self._calls = LockCalls(process, own, locks)
        self._others: dict[str, Him] = {}
        self._known: dict[str, None] = {}
        self._just_synced = False

    async def run(self) -> None:
        """Take one message after the other; begin with somebody when none comes for a while."""
        while True:
            try:
                message = await self._process.receive(timeout=self._time_to_wait())
            except TimeoutError:
                self._just_synced = False
                if GLOBAL not in self._locks:
                    await self._begin_with_somebody()
            else:
                await self._take(message)

    def _time_to_wait(self) -> float | None:
        if not self._others:
            return None
        if self._just_synced:
            return 0.0
        if not self._known:
            return FIRST_WAIT
        return min(LEAST_WAIT + WAIT_PER_NODE * len(self._known), MOST_WAIT)

    async def _take(self, message: object) -> None:
        match message:
            case Him():
                self._others[message.node] = message
            case Cancel():
                self._forget(message.node, message.tag)
            case Known() | Unknown():
                self._update_known(message)
            case _:
                said = _lock_set_in(message)
                if said is not None and said.is_set:
                    await self._he_has_locked(said)

    def _forget(self, node: str, tag: int) -> None:
        him = self._others.get(node)
        if him is not None and him.my_tag == tag:
            del self._others[node]

    def _update_known(self, message: object) -> None:
        match message:
            case Known(nodes):
                self._known.update(dict.fromkeys(nodes))
            case Unknown(node):
                self._known.pop(node, None)

    # Two ways to begin: by ourselves, or because the other one has

    async def _begin_with_somebody(self) -> None:
        self._others = {node: him for node, him in self._others.items() if node not in self._known}
        if not self._others:
            return
        him = choice(self._nearest())
        lock = self._lock_with(him.locker)
        if not await self._lock_partition(lock, [him.node]):
            return
        locked = [self._own, him.node, *self._known]
        self._say(him.locker, him.version, him.his_tag, True)
        while True:
            answer = await self._process.receive(lambda message: _concerns(message, him))
            if isinstance(answer, Cancel):
                self._send(answer.casts)
                await self._calls.delete_boss_last(lock, locked)
                self._forget(him.node, him.my_tag)
                return
            said = _lock_set_in(answer)
            if said is None or (said.tag is not None and said.tag != him.my_tag):
                continue
            if not said.is_set:
                await self._calls.delete_boss_last(lock, locked)
                return
            await self._exchange_under(lock, him, locked)
            return

    async def _he_has_locked(self, said: LockSet) -> None:
        him = self._others.get(said.locker.node)
        if him is None or (said.tag is not None and said.tag != him.my_tag):
            self._say(said.locker, LEAST_VERSION, 0, False)
            return
        lock = self._lock_with(said.locker)
        is_set = await self._lock_partition(lock, [])
        self._say(said.locker, him.version, him.his_tag, is_set)
        if is_set:
            await self._exchange_under(lock, him, [self._own, *self._known])
        else:
            self._just_synced = False

    def _nearest(self) -> list[Him]:
        """Return those of this host, as OTP prefers them, or all."""
        host = self._own.partition("@")[2]
        here = [him for him in self._others.values() if him.node.partition("@")[2] == host]
        return here or list(self._others.values())

    async def _exchange_under(self, lock: LockId, him: Him, locked: list[str]) -> None:
        """Keep both partitions locked until the name server says that all is done, or over."""
        process, node, tag = self._process, him.node, him.my_tag
        process.send(self._server, BothLocked(node, tag, lock))
        over = await process.receive(
            lambda message: isinstance(message, Cancel) and message.node == node and message.tag == tag
        )
        assert isinstance(over, Cancel)
        self._send(over.casts)
        await self._calls.delete_boss_last(lock, locked)
        self._just_synced = True
        self._forget(node, tag)

    async def _lock_partition(self, lock: LockId, extra: list[str]) -> bool:
        """Lock all that is known, the boss first; if that fails nothing is locked by it."""
        boss = boss_of([self._own, *self._known])
        # Locking this node first could stop one that has locked the boss.
        if boss != self._own and not self._locks.can_set(lock):
            return False
        if not await self._calls.set_once(lock, [boss]):
            return False
        await self._take_updates()
        second = [node for node in (self._own, *extra) if node != boss]
        if not await self._calls.set_once(lock, second):
            await self._calls.delete(lock, [boss])
            return False
        if not await self._calls.set_once(lock, [node for node in self._known if node != boss]):
            await self._calls.delete(lock, [boss, *second])
            return False
        return True

    async def _take_updates(self) -> None:
        while True:
            try:
                message = await self._process.receive(
                    lambda message: isinstance(message, Known | Unknown), timeout=0.0
                )
            except TimeoutError:
                return
            self._update_known(message)

    def _lock_with(self, locker: Pid) -> LockId:
        return (GLOBAL, sorted_pids([self._process.pid, locker]))

    def _say(self, locker: Pid, version: int, his_tag: Term, is_set: bool) -> None:
        """Tell the other locker whether we have locked; old ones directly, others by their name server."""
        known: list[Term] = [Atom(node) for node in self._known]
        message: tuple[Term, ...] = (LOCK_SET, self._process.pid, is_set, known)
        if version >= VERIFIED_VERSION:
            message = (*message, his_tag)
        if version < SERVER_VERSION:
            self._process.send(locker, message)
        else:
            self._process.cast(RemoteName(NAME, locker.node), message)

    def _send(self, casts: tuple[Cast, ...]) -> None:
        for cast in casts:
            self._process.cast(RemoteName(NAME, cast.node), cast.message)


def _lock_set_in(message: object) -> LockSet | None:
    """Return what the name server passes on, or an old locker says itself: `{lock_set, Pid, Bool, Known}`."""
    match message:
        case LockSet():
            return message
        case (Atom("lock_set"), Pid() as locker, bool() as is_set, _):
            return LockSet(locker, is_set, None)
    return None


def _concerns(message: object, him: Him) -> bool:
    if isinstance(message, Cancel):
        return message.node == him.node and message.tag == him.my_tag
    said = _lock_set_in(message)
    return said is not None and said.locker.node == him.node
