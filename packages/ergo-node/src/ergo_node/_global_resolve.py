"""Conflicts of names: two partitions that join have a process of the same name each.

The smaller of the two nodes settles it, by the function that was given when its own process was registered:
that is run on the node of this process, as `global:resolve_it/4`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from itertools import count
from typing import Any, Final, Literal, Protocol, TypeAlias

from etf_codec import Atom, Export, Pid, Term, to_text
from otp_behaviors import KILL, ExitError, Process, from_exception

from ergo_node._erpc import MAX_SHOWN, RpcError
from ergo_node._global_names import NameTable, Operation, deleted, entries_in, inserted
from ergo_node._global_terms import GLOBAL, NONE

logger: Final = logging.getLogger("ergo_node")

CONFLICT: Final = Atom("global_name_conflict")
OURS: Final = "ergo_node_global"
"""The module that stands for functions of this program in funs that travel."""

Function: TypeAlias = Callable[[Any, Pid, Pid], "Pid | Awaitable[Pid | None] | None"]
Method: TypeAlias = Literal["random_exit_name", "random_notify_name", "notify_all_name"] | Function
"""What settles a conflict: one of OTP's three, or `(name, pid1, pid2)` to who keeps it."""


class Methods:
    """The functions that settle conflicts, and the funs that stand for them on other nodes.

    A fun from another node is looked up here and nowhere else.
    """

    def __init__(self) -> None:
        self._functions: dict[Export, Function] = {}
        self._numbers = count(1)

    def term_of(self, method: Method) -> Export:
        """Return the fun that stands for a method.

        Raises:
            ValueError: it is neither one of OTP's nor a function.
        """
        if callable(method):
            term = Export(OURS, f"resolve_{next(self._numbers)}", 3)
            self._functions[term] = method
            return term
        if method not in BUILT_IN:
            raise ValueError(f"resolve is one of {sorted(BUILT_IN)} or a function, not {method!r}")
        return Export(GLOBAL, method, 3)

    def forget(self, method: Term) -> None:
        """Nothing is registered with this fun any more."""
        if isinstance(method, Export):
            self._functions.pop(_plain(method), None)

    async def resolve_it(self, process: Process, method: Term, name: Term, pid1: Term, pid2: Term) -> Term:
        """Settle a conflict (`global:resolve_it/4`).

        Returns:
            Who keeps the name; `none`; or `{'EXIT', Reason}`, which takes it from both.
        """
        function = self._find(method)
        if function is None or not isinstance(pid1, Pid) or not isinstance(pid2, Pid):
            return (Atom("EXIT"), (Atom("undef"), [_called(method, name, pid1, pid2)]))
        try:
            kept = function(process, name, pid1, pid2)
            if isawaitable(kept):
                kept = await kept
        except Exception as error:
            logger.exception("the function that settles conflicts of the global name %s failed", shown(name))
            return (Atom("EXIT"), from_exception(error))
        return NONE if kept is None else kept

    def _find(self, method: Term) -> Callable[[Process, Term, Pid, Pid], Any] | None:
        match method:
            case Export(module, function, 3) if module == GLOBAL:
                return BUILT_IN.get(str(function))
            case Export() if (ours := self._functions.get(_plain(method))) is not None:
                return lambda process, name, pid1, pid2: ours(name, pid1, pid2)
            case (Atom() as module, Atom() as function) if module == GLOBAL:
                return BUILT_IN.get(str(function))  # what was a fun before R13
        return None


def random_exit_name(process: Process, name: Term, pid1: Pid, pid2: Pid) -> Pid:
    """Kill one of the two; the other one keeps the name."""
    stays, goes = _by_node(pid1, pid2)
    logger.info("global: Name conflict terminating {%s,%s}", shown(name), shown(goes))
    process.exit(goes, KILL)
    return stays


def random_notify_name(process: Process, name: Term, pid1: Pid, pid2: Pid) -> Pid:
    """Tell one of the two, `{global_name_conflict, Name}`; the other one keeps the name."""
    stays, goes = _by_node(pid1, pid2)
    process.send(goes, (CONFLICT, name))
    return stays


def notify_all_name(process: Process, name: Term, pid1: Pid, pid2: Pid) -> None:
    """Tell both, `{global_name_conflict, Name, OtherPid}`; nobody keeps the name."""
    process.send(pid1, (CONFLICT, name, pid2))
    process.send(pid2, (CONFLICT, name, pid1))


BUILT_IN: Final[dict[str, Callable[[Process, Term, Pid, Pid], Pid | None]]] = {
    "random_exit_name": random_exit_name,
    "random_notify_name": random_notify_name,
    "notify_all_name": notify_all_name,
}


class Host(Protocol):
    """The node, as the resolver sees it."""

    @property
    def name(self) -> str:
        """The node's name."""

    async def rpc(
        self, node: str, module: str | Atom, function: str | Atom, args: Any, timeout: float | None
    ) -> Any:
        """Run a function on a node."""


class Settled:
    """For the name server: the names of a node have been compared with ours."""

    __slots__ = ("his", "node", "ours", "tag")

    def __init__(self, node: str, tag: int) -> None:
        self.node = node
        self.tag = tag
        self.ours: list[Operation] = []
        self.his: list[Operation] = []


async def resolve(
    process: Process, server: Pid, host: Host, table: NameTable, node: str, tag: int, names: Term
) -> None:
    """Compare the names of a node with ours, and tell the name server what follows. Runs in a process."""
    settled = Settled(node, tag)
    for name, pid, method in entries_in(names):
        ours = table.find(name)
        if ours is None:
            settled.ours.append(inserted(name, pid, method))
        elif ours.pid != pid and host.name < node:
            await _settle(host, settled, (name, pid, method), (ours.pid, ours.method))
    process.send(server, settled)


async def _settle(host: Host, settled: Settled, his: tuple[Term, Pid, Term], ours: tuple[Pid, Term]) -> None:
    (name, pid, method), (our_pid, our_method) = his, ours
    try:
        # On the node of our process, which need not be this one.
        kept = await host.rpc(our_pid.node, GLOBAL, "resolve_it", [our_method, name, pid, our_pid], None)
    except (RpcError, ExitError) as error:
        logger.info("global: badrpc %s received when conflicting name %s was found", error, shown(name))
        kept = pid
    if kept == pid:
        settled.ours.append(inserted(name, pid, method))
    elif kept == our_pid:
        settled.his.append(inserted(name, our_pid, our_method))
    else:
        if kept != NONE:
            logger.info(
                "global: Resolve method %s for conflicting name %s returned %s",
                shown(our_method),
                shown(name),
                shown(kept),
            )
        settled.ours.append(deleted(name))
        settled.his.append(deleted(name))


def shown(term: Term) -> str:
    """Return a foreign term as a line of the log has it."""
    return to_text(term, max_chars=MAX_SHOWN)


def _by_node(pid1: Pid, pid2: Pid) -> tuple[Pid, Pid]:
    return (pid1, pid2) if pid1.node < pid2.node else (pid2, pid1)


def _plain(method: Export) -> Export:
    return Export(method.module, method.function, method.arity)


def _called(method: Term, name: Term, pid1: Term, pid2: Term) -> Term:
    match method:
        case Export(module, function, _) | (module, function):
            return (module, function, [name, pid1, pid2], [])
    return (method, [name, pid1, pid2], [])
