"""sys of a supervisor: its state, suspension, debugging, and change of its specification."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from etf_codec import Atom
from otp_behaviors import (
    SHUTDOWN,
    Child,
    ExitError,
    GenServer,
    LocalRuntime,
    Runtime,
    ServerHandle,
    Supervisor,
    sys,
)

pytestmark = pytest.mark.anyio


class Worker(GenServer):
    """Does nothing."""


class Worker2(Worker):
    pass


TREE = Supervisor(Child(Worker, name="one"), Child(Worker, name="two"), name="tree")


@asynccontextmanager
async def supervising() -> AsyncIterator[tuple[Runtime, ServerHandle]]:
    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            yield runtime, await runtime.start(TREE)


async def test_the_state_of_a_supervisor_is_otps_record() -> None:
    async with supervising() as (runtime, tree):
        state = await sys.get_state(runtime, tree)
        assert state[:3] == (Atom("state"), (Atom("local"), Atom("tree")), Atom("one_for_one"))
        ids, children = state[3]
        assert ids == [Atom("one"), Atom("two")]
        assert children[Atom("two")][Atom("pid")] == runtime.whereis("two")
        assert state[5:8] == (1, 5, [])
        with pytest.raises(ExitError, match="callback_failed"):
            await sys.replace_state(runtime, tree, lambda state: state)


async def test_a_suspended_supervisor_restarts_later() -> None:
    async with supervising() as (runtime, tree):
        await sys.suspend(runtime, tree)
        watch = runtime.monitor("one")
        await sys.terminate(runtime, "one", Atom("boom"))
        await watch
        status = await sys.get_status(runtime, tree)
        assert status[3][1] == Atom("suspended")
        assert runtime.whereis("one") is None
        await sys.resume(runtime, tree)
        assert (await runtime.call(tree, Atom("count_children")))[1] == (Atom("active"), 2)
        assert runtime.whereis("one") is not None


async def test_a_supervisor_ends_with_its_children_while_suspended() -> None:
    async with supervising() as (runtime, tree):
        await sys.suspend(runtime, tree)
        watch, child = tree.monitor(), runtime.monitor("two")
        await sys.terminate(runtime, tree, SHUTDOWN)
        assert (await watch).reason == SHUTDOWN
        assert (await child).reason == SHUTDOWN


async def test_a_supervisor_is_traced(capsys: pytest.CaptureFixture[str]) -> None:
    async with supervising() as (runtime, tree):
        await sys.trace(runtime, tree, True)
        await sys.statistics(runtime, tree, True)
        await runtime.call(tree, Atom("count_children"))
        watch = runtime.monitor("one")
        await sys.terminate(runtime, "one", Atom("boom"))
        await watch
        await runtime.call(tree, Atom("which_children"))
        counts = await sys.statistics(runtime, tree, "get")
        assert counts is not None
        assert (counts["messages_in"], counts["messages_out"]) == (3, 2)
        await sys.no_debug(runtime, tree)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "*DBG* tree got call count_children from <0.1.0>"
    assert lines[1].startswith(
        "*DBG* tree sent [{specs,2},{active,2},{supervisors,0},{workers,2}] to <0.1.0>"
    )
    assert lines[2].startswith("*DBG* tree got {'EXIT',<0.")
    assert lines[3].startswith("*DBG* tree new state {state,")


async def test_a_supervisor_changes_its_specification() -> None:
    new = Supervisor(Child(Worker2, name="two"), Child(Worker, name="three"), intensity=7, period=9)
    async with supervising() as (runtime, tree):
        two = runtime.whereis("two")
        assert two is not None
        await sys.suspend(runtime, tree)
        await sys.change_code(runtime, tree, new, Atom("undefined"), [])
        await sys.resume(runtime, tree)
        state = await sys.get_state(runtime, tree)
        assert state[3][0] == [Atom("one"), Atom("two"), Atom("three")]
        assert state[5:7] == (7, 9)
        assert runtime.whereis("two") == two
        assert runtime.whereis("three") is None
        assert (await runtime.call(tree, (Atom("restart_child"), Atom("three"))))[0] == Atom("ok")
        await sys.terminate(runtime, "two", Atom("boom"))
        await runtime.monitor(two)
        assert (await runtime.call(tree, Atom("which_children")))[1][3] == [Atom("Worker2")]
