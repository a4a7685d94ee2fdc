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
