"""Nodes coming and going, as processes and tasks are told of them."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from ergo_node import Epmd, Node, RemoteName
from etf_codec import Atom, Pid
from otp_behaviors import GenServer, ServerHandle

HOST, COOKIE = "127.0.0.1", "secret"
UP, DOWN = Atom("nodeup"), Atom("nodedown")


class Witness(GenServer):
    """Keeps all messages, with links and monitors to what it is told to."""

    def init(self) -> None:
        self.seen: list[Any] = []

    def handle_call(self, request: Any, caller: Any) -> Any:
        if isinstance(request, Pid):
            self.monitor(request)
        return self.seen

    def handle_info(self, message: Any) -> None:
        self.seen.append(message)


async def until(witness: ServerHandle, count: int) -> list[Any]:
    """What the witness has seen, once that is so much."""
    with anyio.fail_after(5):
        while True:
            seen: list[Any] = await witness.call(Atom("seen"))
            if len(seen) >= count:
                return seen
            await anyio.sleep(0.01)


@pytest.mark.anyio
async def test_a_process_is_told_before_and_after_all_else(epmd: Epmd) -> None:
    async with Node(f"a@{HOST}", COOKIE, epmd=epmd) as a:
        witness = await a.start(Witness, name="witness")
        a.subscribe(witness.pid)
        async with Node(f"b@{HOST}", COOKIE, epmd=epmd) as b:
            there = await b.start(Witness)
            await b.send(RemoteName("witness", a.name), 1)
            await until(witness, 2)
            await witness.call(there.pid)
            await a.ping(b.name)
            await b.send(RemoteName("witness", a.name), 2)
            await until(witness, 3)
        seen = await until(witness, 5)
        assert seen[:3] == [(UP, Atom(b.name)), 1, 2]
        assert seen[3].who == there.pid
        assert seen[4:] == [(DOWN, Atom(b.name))]


@pytest.mark.anyio
@pytest.mark.parametrize("hidden", [False, True])
async def test_hidden_nodes_are_told_of_to_who_asks(epmd: Epmd, hidden: bool) -> None:
    async with Node(f"a@{HOST}", COOKIE, epmd=epmd) as a:
        all_of_them, visible = await a.start(Witness), await a.start(Witness)
        a.subscribe(all_of_them.pid, hidden=True)
        a.subscribe(visible.pid)
        async with Node(f"b@{HOST}", COOKIE, epmd=epmd, hidden=hidden) as b:
            assert await b.ping(a.name)
        both = [(UP, Atom(b.name)), (DOWN, Atom(b.name))]
        assert await until(all_of_them, 2) == both
        assert await visible.call(Atom("seen")) == ([] if hidden else both)


@pytest.mark.anyio
@pytest.mark.parametrize("ending", ["unsubscribe", "stop"])
async def test_who_has_left_is_told_no_more(epmd: Epmd, ending: str) -> None:
    async with Node(f"a@{HOST}", COOKIE, epmd=epmd) as a:
        witness, other = await a.start(Witness), await a.start(Witness)
        a.subscribe(witness.pid)
        a.subscribe(other.pid)
        endings: dict[str, Callable[[], Awaitable[object]]] = {
            "unsubscribe": lambda: _awaited(a.unsubscribe(witness.pid)),
            "stop": witness.stop,
        }
        await endings[ending]()
        async with Node(f"b@{HOST}", COOKIE, epmd=epmd) as b:
            assert await b.ping(a.name)
        await until(other, 2)
        assert not a.unsubscribe(witness.pid)
        if ending == "unsubscribe":
            assert await witness.call(Atom("seen")) == []


async def _awaited(result: bool) -> None:
    assert result
