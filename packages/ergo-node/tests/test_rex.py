"""`rex`, asked as OTP 22 and C nodes ask it; what they see is in tests-interop/test_node_rpc.py."""

import anyio
import anyio.lowlevel
import pytest
from ergo_node import Node
from etf_codec import Atom, Pid, Term
from otp_behaviors import CallTimeout, RemoteName

pytestmark = pytest.mark.anyio

Pair = tuple[Node, Node]


async def wait(term: Term = None) -> Term:
    await anyio.lowlevel.checkpoint()
    return term


async def test_rex_blocks_one_call_after_the_other(pair: Pair) -> None:
    a, b = pair
    order: list[int] = []

    async def step(number: int) -> Pid | int:
        order.append(number)
        await anyio.lowlevel.checkpoint()
        order.append(number)
        return number

    b.provide("py", "step", step)
    rex = RemoteName("rex", b.name)
    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(
                a.call, rex, (Atom("block_call"), Atom("py"), Atom("step"), [number], Atom("user"))
            )
    assert sorted(order) == [0, 0, 1, 1, 2, 2]
    assert order[::2] == order[1::2]


async def test_rex_survives_what_it_does_not_know(pair: Pair) -> None:
    a, b = pair
    rex = RemoteName("rex", b.name)
    for message in (7, (), (Atom("call"),), (a.kernel.table.new_pid(), Atom("nonsense"))):
        await a.send(rex, message)
        await a.cast(rex, message)
        with pytest.raises(CallTimeout):
            await a.call(rex, message, timeout=0.01)
    b.provide("py", "wait", wait)
    request = (Atom("call"), Atom("py"), Atom("wait"), [1], Atom("user"))
    assert await a.call(rex, request) == 1
