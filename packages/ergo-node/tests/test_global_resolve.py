"""Who keeps a name that two partitions have: what each does about it, and what if nobody answers."""

from itertools import count
from typing import Any

import pytest
from ergo_node import ErlangError
from ergo_node._global_names import NameTable, deleted, inserted
from ergo_node._global_resolve import Methods, Settled, resolve
from etf_codec import Atom, Export, Fun, Pid, Reference, Term
from otp_behaviors import LocalRuntime, NoConnection, Process

pytestmark = pytest.mark.anyio

A, B, C = "a@host", "b@host", "c@host"
OURS, HIS = Pid(C, 1, 0, 1), Pid(B, 1, 0, 1)
SHOP, BANK = Atom("shop"), Atom("bank")
FUN, HIS_FUN = Export("global", "random_exit_name", 3), Export("his", "fun", 3)


class Rpc:
    """A node that has an answer, or an error, for every function it is to run elsewhere.

    Args:
        name: the node's name.
        answer: what comes back.
    """

    def __init__(self, name: str, answer: Any = None) -> None:
        self.name = name
        self.answer = answer
        self.asked: list[Any] = []

    async def rpc(self, node: str, module: Any, function: Any, args: Any, timeout: float | None) -> Any:
        self.asked.append((node, str(module), str(function), args, timeout))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def table() -> NameTable:
    """We have one name: that of a process of a third node."""
    numbers = count()
    names = NameTable(lambda pid: Reference(A, 1, (next(numbers), 0, 0)), lambda ref: None)
    names.insert(SHOP, OURS, FUN)
    return names


async def settled(host: Rpc, names: Term, node: str = B) -> Settled:
    """What the resolver makes of the names of a node."""
    results: list[Any] = []

    async def run(process: Process) -> None:
        await resolve(process, process.pid, host, table(), node, 7, names)
        results.append(await process.receive())

    async with LocalRuntime() as runtime:
        await runtime.monitor(runtime.spawn(run))
    [result] = results
    assert isinstance(result, Settled)
    assert (result.node, result.tag) == (node, 7)
    return result


async def test_new_names_are_taken_and_the_same_is_no_conflict() -> None:
    host = Rpc(A)
    result = await settled(host, [(BANK, HIS, HIS_FUN), (SHOP, OURS, HIS_FUN), 7])
    assert result.ours == [inserted(BANK, HIS, HIS_FUN)]
    assert result.his == []
    assert host.asked == []


async def test_the_greater_node_leaves_a_conflict_to_the_smaller() -> None:
    host = Rpc(C)
    result = await settled(host, [(SHOP, HIS, HIS_FUN)])
    assert (result.ours, result.his, host.asked) == ([], [], [])


BADRPC = (NoConnection((Atom("nodedown"), Atom(C))), ErlangError(Atom("undef")))


@pytest.mark.parametrize(
    ("answer", "ours", "his"),
    [
        (HIS, [inserted(SHOP, HIS, HIS_FUN)], []),
        (OURS, [], [inserted(SHOP, OURS, FUN)]),
        (Atom("none"), [deleted(SHOP)], [deleted(SHOP)]),
        (Pid(A, 9, 9, 9), [deleted(SHOP)], [deleted(SHOP)]),
        ((Atom("EXIT"), Atom("undef")), [deleted(SHOP)], [deleted(SHOP)]),
        (BADRPC[0], [inserted(SHOP, HIS, HIS_FUN)], []),
        (BADRPC[1], [inserted(SHOP, HIS, HIS_FUN)], []),
    ],
    ids=repr,
)
async def test_the_smaller_node_has_the_function_of_its_process_run(
    answer: Any, ours: list[Any], his: list[Any]
) -> None:
    host = Rpc(A, answer)
    result = await settled(host, [(SHOP, HIS, HIS_FUN)])
    assert host.asked == [(C, "global", "resolve_it", [FUN, SHOP, HIS, OURS], None)]
    assert (result.ours, result.his) == (ours, his)


async def resolved(methods: Methods, method: Term, pid1: Term = HIS, pid2: Term = OURS) -> Any:
    """What `global:resolve_it/4` returns."""
    results: list[Any] = []

    async def run(process: Process) -> None:
        results.append(await methods.resolve_it(process, method, SHOP, pid1, pid2))

    async with LocalRuntime() as runtime:
        await runtime.monitor(runtime.spawn(run))
    return results[0]


async def test_a_function_of_ours_is_found_by_its_fun_until_that_is_forgotten() -> None:
    methods = Methods()
    fun = methods.term_of(lambda name, pid1, pid2: pid2)
    other = methods.term_of(lambda name, pid1, pid2: None)
    assert await resolved(methods, fun) == OURS
    assert await resolved(methods, Export(fun.module, fun.function, 3, wire=b"as it came")) == OURS
    assert await resolved(methods, other) == Atom("none")
    methods.forget(fun)
    methods.forget(fun)
    methods.forget(7)
    assert await resolved(methods, fun) == (
        Atom("EXIT"),
        (Atom("undef"), [(fun.module, fun.function, [SHOP, HIS, OURS], [])]),
    )


@pytest.mark.parametrize("form", [FUN, (Atom("global"), Atom("random_exit_name"))])
async def test_otps_own_are_known_by_their_names(form: Term) -> None:
    assert await resolved(Methods(), form) == HIS


@pytest.mark.parametrize(
    "method",
    [
        Export("global", "random_exit_name", 2),
        Export("global", "__class__", 3),
        Export("builtins", "exec", 3),
        (Atom("os"), Atom("cmd")),
        Fun(module="m", index=0, uniq=bytes(16), old_index=0, old_uniq=0, arity=3, pid=HIS, free=[]),
        b"random_exit_name",
    ],
    ids=repr,
)
async def test_nothing_else_is_found(method: Term) -> None:
    reason, undef = await resolved(Methods(), method)
    assert (reason, undef[0]) == (Atom("EXIT"), Atom("undef"))


async def test_what_are_no_pids_is_not_passed_on() -> None:
    reason, undef = await resolved(Methods(), FUN, 7, b"pid")
    assert (reason, undef[0]) == (Atom("EXIT"), Atom("undef"))
