"""A cluster of Erlang and Python nodes, as the tests of `global` see it."""

from collections.abc import Awaitable, Callable

import anyio
from ergo_node import Node
from erlang_peer import Erl
from etf_codec import Atom, Pid, Term
from otp_behaviors import Process
from witness import PATIENCE

HOST, COOKIE = "127.0.0.1", "secret"
A, B, PY, Z = f"a@{HOST}", f"b@{HOST}", f"py@{HOST}", f"z@{HOST}"

SERVER = """
spawn(fun Loop() ->
    receive
        {'$gen_call', From, Request} -> gen_server:reply(From, {node(), Request}), Loop();
        stop -> ok
    end
end)
"""


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(2 * PATIENCE):
        while not await condition():  # noqa: ASYNC110  # other nodes give no event
            await anyio.sleep(0.02)


async def there(erl: Erl, name: str) -> Term:
    """Whom an Erlang node knows by a global name."""
    return await erl.eval(f"global:whereis_name({name})")


async def all_know(name: str, pid: Pid | None, erls: list[Erl], nodes: list[Node]) -> None:
    """Wait until the name means the same everywhere."""

    async def same() -> bool:
        if any(node.global_names.whereis(name) != pid for node in nodes):
            return False
        seen = [await there(erl, name) for erl in erls]
        return all(each == (Atom("undefined") if pid is None else pid) for each in seen)

    await until(same)


async def meshed(erls: list[Erl], nodes: list[Node]) -> None:
    """Wait until all are connected, and `global` is in sync."""
    count = len(erls) + len(nodes) - 1

    async def all_connected() -> bool:
        if any(len(node.nodes()) != count for node in nodes):
            return False
        return all([len(as_list(await erl.eval("nodes()"))) == count for erl in erls])

    await until(all_connected)
    with anyio.fail_after(2 * PATIENCE):
        for node in nodes:
            await node.global_names.sync()
    for erl in erls:
        await erl.eval("global:sync()", 2 * PATIENCE)


def as_list(term: Term) -> list[Term]:
    """The term, which is a list."""
    assert isinstance(term, list)
    return term


async def started(erl: Erl) -> Pid:
    """A server on an Erlang node."""
    pid = await erl.eval(SERVER)
    assert isinstance(pid, Pid)
    return pid


def assert_quiet(*erls: Erl) -> None:
    """No warning and no error has been logged: the default handler prints all from `notice` on."""
    for erl in erls:
        assert erl.output == []


async def connected_to(erl: Erl, count: int) -> bool:
    """Whether an Erlang node is connected to so many."""
    return bool(await erl.eval("length(nodes())") == count)


async def known_there(erl: Erl, name: str) -> None:
    """Wait until an Erlang node knows a global name."""

    async def known() -> bool:
        return not await unknown_there(erl, name)

    await until(known)


async def unknown_there(erl: Erl, name: str) -> bool:
    """Whether an Erlang node does not know a global name."""
    return bool(await there(erl, name) == Atom("undefined"))


def erl_pid(pid: Pid) -> str:
    """An expression that gives a pid in Erlang."""
    parts = f"'{pid.node}', {pid.id}, {pid.serial}, {pid.creation}"
    return (
        f"(fun(N, I, S, C) -> A = atom_to_binary(N), L = byte_size(A),"
        f" binary_to_term(<<131, 88, 119, L, A/binary, I:32, S:32, C:32>>) end)({parts})"
    )


async def forever(process: Process) -> None:
    """Lives until it is killed."""
    await process.receive(lambda message: False)
