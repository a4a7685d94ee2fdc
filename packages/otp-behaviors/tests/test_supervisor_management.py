"""Children added at run time, and what a supervisor tells of its children."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from etf_codec import Atom, encode
from otp_behaviors import Child, ExitError, GenServer, LocalRuntime, Supervisor, start_child

pytestmark = pytest.mark.anyio


class Worker(GenServer):
    def init(self, *args: Any) -> None:
        self.args = args


@pytest.fixture
async def runtime() -> AsyncIterator[LocalRuntime]:
    with anyio.fail_after(10):
        async with LocalRuntime(shutdown=1) as runtime:
            yield runtime


async def test_a_class_or_a_supervisor_is_added_with_default_options(runtime: LocalRuntime) -> None:
    top = await runtime.start(Supervisor())
    worker = await start_child(runtime, top, Worker)
    inner = await start_child(runtime, top, Supervisor(Worker, name="inner"))
    rows = await runtime.call(top, Atom("which_children"))
    assert rows == [
        (Atom("inner"), inner, Atom("supervisor"), [Atom("Supervisor")]),
        (Atom("Worker"), worker, Atom("worker"), [Atom("Worker")]),
    ]


async def test_a_significant_child_needs_a_supervisor_that_shuts_down(runtime: LocalRuntime) -> None:
    top = await runtime.start(Supervisor())
    with pytest.raises(ExitError) as caught:
        await start_child(runtime, top, Child(Worker, restart="transient", significant=True))
    never = (Atom("auto_shutdown"), Atom("never"))
    assert caught.value.reason == (Atom("bad_combination"), [never, (Atom("significant"), True)])


async def test_get_childspec_has_the_shape_of_otp_and_an_external_form(runtime: LocalRuntime) -> None:
    unknown = object()
    child = Child(Worker, 1, unknown, id=Atom("w"), restart="transient", shutdown=2.5)
    top = await runtime.start(Supervisor(child))
    ok, spec = await runtime.call(top, (Atom("get_childspec"), Atom("w")))
    assert ok == Atom("ok")
    start = spec.pop(Atom("start"))
    assert start == (Atom("Worker"), Atom("init"), [1, repr(unknown).encode()])
    assert {str(key): value for key, value in spec.items()} == {
        "id": Atom("w"),
        "restart": Atom("transient"),
        "shutdown": 2500,
        "significant": False,
        "type": Atom("worker"),
        "modules": [Atom("Worker")],
    }
    assert encode(spec)
    answer = await runtime.call(top, (Atom("get_childspec"), Atom("other")))
    assert answer == (Atom("error"), Atom("not_found"))


async def test_which_child_tells_of_one_child_what_which_children_does(runtime: LocalRuntime) -> None:
    top = await runtime.start(Supervisor(Child(Worker, id=Atom("w")), Supervisor(name="inner")))

    async def ask(id: object) -> object:
        return await runtime.call(top, (Atom("which_child"), id))

    rows = await runtime.call(top, Atom("which_children"))
    assert [await ask(row[0]) for row in rows] == [(Atom("ok"), row) for row in rows]
    await runtime.call(top, (Atom("terminate_child"), Atom("w")))
    stopped = (Atom("w"), Atom("undefined"), Atom("worker"), [Atom("Worker")])
    assert await ask(Atom("w")) == (Atom("ok"), stopped)
    not_found = (Atom("error"), Atom("not_found"))
    assert await ask("nobody") == await ask(rows[1][1]) == not_found


async def test_which_child_of_a_simple_supervisor_goes_by_the_pid(runtime: LocalRuntime) -> None:
    # The answers are those that a supervisor of OTP 29 was seen to give.
    top = await runtime.start(Supervisor(Child(Worker, id=Atom("w")), strategy="simple_one_for_one"))
    pid = await start_child(runtime, top, [])

    async def ask(id: object) -> object:
        return await runtime.call(top, (Atom("which_child"), id))

    row = (Atom("undefined"), pid, Atom("worker"), [Atom("Worker")])
    assert await ask(pid) == (Atom("ok"), row)
    assert await ask(top.pid) == (Atom("error"), Atom("not_found"))
    for id in (Atom("w"), Atom("undefined")):
        assert await ask(id) == (Atom("error"), Atom("simple_one_for_one"))
