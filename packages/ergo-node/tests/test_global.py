"""Global names and locks among Python nodes; among Erlang's they are in tests-interop/test_global.py."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from ergo_node import Epmd, Node, Policy
from etf_codec import Atom, Export, Pid, Term
from otp_behaviors import ExitError, GenServer, NameTaken, NoProcess, Process, ServerHandle

pytestmark = pytest.mark.anyio

HOST, COOKIE = "127.0.0.1", "secret"
SHOP, RESOURCE = Atom("shop"), Atom("resource")
CONFLICT = Atom("global_name_conflict")


class Shop(GenServer):
    """Answers with its node, and keeps what it is told."""

    def init(self) -> None:
        self.told: list[Any] = []

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.told if request == Atom("told") else (Atom(self.pid.node), request)

    def handle_info(self, message: Any) -> None:
        self.told.append(message)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110  # tables of other nodes give no event
            await anyio.sleep(0.01)


async def forever(process: Process) -> None:
    """Lives until it is killed."""
    await process.receive(lambda message: False)


async def synced(*nodes: Node) -> None:
    """Wait until all are connected, with the same names."""
    await until(lambda: all(len(node.nodes()) == len(nodes) - 1 for node in nodes))
    with anyio.fail_after(20):
        for node in nodes:
            await node.global_names.sync([other.name for other in nodes])


@pytest.fixture
async def three(epmd: Epmd) -> AsyncIterator[tuple[Node, Node, Node]]:
    """Three nodes of a cluster, of which the third has only heard of the first."""
    async with AsyncExitStack() as stack:
        a, b, c = [
            await stack.enter_async_context(Node(f"{name}@{HOST}", COOKIE, epmd=epmd)) for name in "abc"
        ]
        await a.connect(b.name)
        await c.connect(b.name)
        await synced(a, b, c)
        yield a, b, c


async def test_a_name_is_the_same_on_all_nodes(three: tuple[Node, Node, Node]) -> None:
    a, b, c = three
    shop = await a.start(Shop)
    assert await b.global_names.register("shop", shop.pid), "a process of another node"
    for node in three:
        assert node.global_names.whereis("shop") == node.global_names.whereis(SHOP) == shop.pid
        assert node.global_names.names() == [SHOP]
        assert await node.call(node.global_names.ref("shop"), 1) == (Atom(a.name), 1)
    assert await c.global_names.send("shop", 7) == shop.pid
    assert await c.call(c.global_names.ref("shop"), Atom("told")) == [7]
    await c.global_names.unregister("shop")
    await c.global_names.unregister("shop")
    assert [node.global_names.names() for node in three] == [[], [], []]


async def test_a_process_has_one_name_and_a_name_one_process(
    three: tuple[Node, Node, Node], caplog: pytest.LogCaptureFixture
) -> None:
    a, b, c = three
    first, second = await a.start(Shop), await c.start(Shop)
    assert await a.global_names.register("shop", first.pid)
    assert not await c.global_names.register("shop", second.pid)
    assert not await b.global_names.register("bank", first.pid)
    assert "registered under several names: [bank, shop]" in caplog.text
    assert await b.global_names.re_register("shop", second.pid)
    assert [node.global_names.whereis("shop") for node in three] == [second.pid] * 3
    assert await b.global_names.register("bank", first.pid)
    with pytest.raises(ValueError, match="random_exit_name"):
        await a.global_names.register("till", first.pid, "random")  # type: ignore[arg-type]  # as a typing mistake


async def test_a_name_ends_with_its_process_and_with_its_node(epmd: Epmd) -> None:
    async with Node(f"a@{HOST}", COOKIE, epmd=epmd) as a:
        async with Node(f"b@{HOST}", COOKIE, epmd=epmd) as b:
            await a.connect(b.name)
            await synced(a, b)
            shop, bank = await b.start(Shop), await b.start(Shop)
            assert await b.global_names.register("shop", shop.pid)
            assert await a.global_names.register("bank", bank.pid)
            await shop.stop()
            assert b.global_names.whereis("shop") is None
            await until(lambda: a.global_names.names() == [Atom("bank")])
        await until(lambda: a.global_names.names() == [])
        with pytest.raises(NoProcess, match="bank") as caught:
            await a.call(a.global_names.ref("bank"), 1)
        assert caught.value.reason == Atom("noproc")
        with pytest.raises(NoProcess) as caught:
            await a.global_names.send("bank", 1)
        assert caught.value.reason == (Atom("badarg"), (Atom("bank"), 1))
    assert a.global_names.names() == []


async def test_a_name_resolves_at_each_use(pair: tuple[Node, Node]) -> None:
    a, _ = pair
    shop = a.global_names.ref("shop")
    assert repr(shop) == f"GlobalName({SHOP!r})"
    handles = [await a.global_names.start(Shop, name="shop")]
    assert shop.pid == handles[0].pid
    await handles[0].stop()
    handles.append(await a.global_names.start(Shop, name="shop"))
    assert shop.pid == handles[1].pid
    await a.send(shop, 1)
    assert await a.call(shop, Atom("told")) == [1]


async def test_a_server_is_started_with_a_global_name(three: tuple[Node, Node, Node]) -> None:
    a, b, _ = three
    shop = await a.global_names.start(Shop, name="shop")
    assert b.global_names.whereis("shop") == shop.pid
    before = set(b.kernel.table.by_pid)
    with pytest.raises(NameTaken) as caught:
        await b.global_names.start(Shop, name="shop")
    assert caught.value.reason == (Atom("already_started"), shop.pid)
    assert set(b.kernel.table.by_pid) == before


async def test_two_start_a_server_of_the_same_name(three: tuple[Node, Node, Node]) -> None:
    outcomes: list[ServerHandle | NameTaken] = []

    async def start(node: Node) -> None:
        try:
            outcomes.append(await node.global_names.start(Shop, name="shop"))
        except NameTaken as error:
            outcomes.append(error)

    async with anyio.create_task_group() as tasks:
        for node in three:
            tasks.start_soon(start, node)
    [handle] = [outcome for outcome in outcomes if isinstance(outcome, ServerHandle)]
    for outcome in outcomes:
        if isinstance(outcome, NameTaken):
            assert outcome.reason == (Atom("already_started"), handle.pid)


async def test_a_callback_uses_global_names(three: tuple[Node, Node, Node]) -> None:
    a, b, _ = three

    class Clerk(GenServer):
        """Registers itself, and locks what it is told to."""

        async def init(self, node: Node) -> None:
            self.names = node.global_names.by(self)
            assert await self.names.register("clerk", self.pid)

        async def handle_call(self, request: Any, caller: Any) -> Any:
            if request == Atom("lock"):
                return await self.names.set_lock((RESOURCE, self.pid))
            return await self.call(self.names.ref("shop"), request)

    await b.global_names.start(Shop, name="shop")
    await a.start(Clerk, a)
    clerk = b.global_names.ref("clerk")
    assert await b.call(clerk, 1) == (Atom(b.name), 1)
    assert await b.call(clerk, Atom("lock"))
    assert not await b.global_names.set_lock((RESOURCE, Atom("b")), retries=0)
    b.exit(clerk.pid, Atom("kill"))
    assert await b.global_names.set_lock((RESOURCE, Atom("b"))), "a lock goes with the process that has it"


# Two clusters join


Registered = dict[str, ServerHandle]


async def joined(a: Node, b: Node, resolve: Any) -> Registered:
    """Have both register a shop each, and connect them."""
    shops = {}
    for node in (a, b):
        shops[node.name] = await node.start(Shop)
        assert await node.global_names.register("shop", shops[node.name].pid, resolve)
    await a.connect(b.name)
    await synced(a, b)
    return shops


async def test_one_of_two_is_killed(pair: tuple[Node, Node]) -> None:
    a, b = pair
    shops = await joined(a, b, "random_exit_name")
    await until(lambda: b.global_names.whereis("shop") == shops[a.name].pid)
    assert a.global_names.whereis("shop") == shops[a.name].pid
    assert (await shops[b.name].monitor()).reason in (Atom("killed"), Atom("noproc"))


async def test_one_of_two_is_told(pair: tuple[Node, Node]) -> None:
    a, b = pair
    shops = await joined(a, b, "random_notify_name")
    await until(lambda: b.global_names.whereis("shop") == shops[a.name].pid)
    assert a.global_names.whereis("shop") == shops[a.name].pid
    assert await shops[b.name].call(Atom("told")) == [(CONFLICT, SHOP)]
    assert await shops[a.name].call(Atom("told")) == []


async def test_both_are_told(pair: tuple[Node, Node]) -> None:
    a, b = pair
    shops = await joined(a, b, "notify_all_name")
    await until(lambda: a.global_names.names() == b.global_names.names() == [])
    assert await shops[a.name].call(Atom("told")) == [(CONFLICT, SHOP, shops[b.name].pid)]
    assert await shops[b.name].call(Atom("told")) == [(CONFLICT, SHOP, shops[a.name].pid)]


@pytest.mark.parametrize("kept", ["first", "second", "nobody", "raises", "nonsense"])
async def test_an_own_function_says_who_keeps_the_name(
    pair: tuple[Node, Node], kept: str, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = pair

    async def choose(name: Term, pid1: Pid, pid2: Pid) -> Any:
        await anyio.lowlevel.checkpoint()
        assert name == SHOP
        if kept == "raises":
            raise ValueError("cannot choose")
        by_node = {pid.node: pid for pid in (pid1, pid2)}
        return {"first": by_node[a.name], "second": by_node[b.name], "nonsense": 7}.get(kept)

    shops = await joined(a, b, choose)
    wanted = {"first": shops[a.name].pid, "second": shops[b.name].pid}.get(kept)
    await until(lambda: all(node.global_names.whereis("shop") == wanted for node in pair))
    assert ("cannot choose" in caplog.text) == (kept == "raises")
    for shop in shops.values():
        assert await shop.call(Atom("told")) == []


async def test_the_same_process_on_both_sides_is_no_conflict(three: tuple[Node, Node, Node]) -> None:
    a, b, c = three
    shop = await b.global_names.start(Shop, name="shop")
    assert await a.disconnect(c.name)
    await until(lambda: (not a.nodes() and not c.nodes()) or len(b.nodes()) == 1)
    await a.connect(b.name)
    await c.connect(b.name)
    await synced(a, b, c)
    assert [node.global_names.whereis("shop") for node in three] == [shop.pid] * 3


@pytest.mark.parametrize("method", [Export("os", "system", 3), Export("global", "resolve_it", 3), 7])
async def test_a_fun_from_elsewhere_is_never_looked_up(pair: tuple[Node, Node], method: Term) -> None:
    a, b = pair
    pids = [b.spawn(forever), b.spawn(forever)]
    answer = await a.rpc(b.name, "global", "resolve_it", [method, SHOP, *pids])
    assert answer[0] == Atom("EXIT")
    assert answer[1][0] == Atom("undef")
    assert set(pids) <= set(b.kernel.table.by_pid)


# Locks


async def test_a_lock_is_had_by_one_requester(three: tuple[Node, Node, Node]) -> None:
    a, b, _ = three
    assert await a.global_names.set_lock(("resource", 1))
    assert await b.global_names.set_lock((RESOURCE, 1), retries=0), "the same requester"
    assert not await b.global_names.set_lock((RESOURCE, 2), retries=0)
    assert await b.global_names.trans((RESOURCE, 2), lambda: 1, retries=0) == Atom("aborted")
    await a.global_names.del_lock((RESOURCE, 1))
    assert not await b.global_names.set_lock((RESOURCE, 2), retries=0), "b has set it as well"
    await b.global_names.del_lock((RESOURCE, 1))
    assert await b.global_names.trans((RESOURCE, 2), lambda: 1, retries=0) == 1
    assert await a.global_names.set_lock((RESOURCE, 3), [a.name, a.name])
    assert await b.global_names.set_lock((RESOURCE, 4), [b.name], retries=0), "on other nodes"
    assert await a.global_names.set_lock((RESOURCE, 5), [])
    with pytest.raises(ValueError, match="resource, requester"):
        await a.global_names.set_lock(RESOURCE)  # type: ignore[arg-type]  # no pair


async def test_transactions_exclude_each_other(three: tuple[Node, Node, Node]) -> None:
    inside = 0
    most = 0

    async def enter() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await anyio.lowlevel.checkpoint()
        inside -= 1

    async with anyio.create_task_group() as tasks:
        for number, node in enumerate(three):
            tasks.start_soon(node.global_names.trans, (RESOURCE, number), enter)
    assert most == 1


@pytest.mark.parametrize("ending", ["raises", "is cancelled"])
async def test_a_lock_ends_with_the_transaction_however_that_ends(
    three: tuple[Node, Node, Node], ending: str
) -> None:
    a, b, _ = three

    async def end() -> None:
        if ending == "raises":
            raise KeyError("boom")
        scope.cancel()
        await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        try:
            await a.global_names.trans((RESOURCE, 1), end)
        except KeyError:
            assert ending == "raises"
    assert scope.cancelled_caught == (ending == "is cancelled")
    assert await b.global_names.set_lock((RESOURCE, 2), retries=0)


async def test_who_gives_up_waiting_leaves_no_lock(three: tuple[Node, Node, Node]) -> None:
    a, b, c = three
    assert await b.global_names.set_lock((RESOURCE, 1), [b.name])
    with anyio.move_on_after(0.05) as scope:
        await a.global_names.set_lock((RESOURCE, 2))
    assert scope.cancelled_caught
    assert await c.global_names.set_lock((RESOURCE, 3), [a.name, c.name], retries=0)


# Members of the cluster


async def test_a_hidden_node_is_no_member(epmd: Epmd) -> None:
    async with (
        Node(f"a@{HOST}", COOKIE, epmd=epmd) as a,
        Node(f"h@{HOST}", COOKIE, epmd=epmd, hidden=True) as hidden,
    ):
        await hidden.connect(a.name)
        await hidden.global_names.sync()
        await a.global_names.sync()
        shop = await hidden.global_names.start(Shop, name="shop")
        assert a.global_names.whereis("shop") is None
        assert hidden.global_names.whereis("shop") == shop.pid
        assert await hidden.global_names.trans((RESOURCE, 1), lambda: 5, [a.name]) == 5


async def test_who_does_not_connect_to_all_is_no_member(epmd: Epmd) -> None:
    alone = Policy(connect_all=False)
    async with (
        Node(f"a@{HOST}", COOKIE, epmd=epmd) as a,
        Node(f"b@{HOST}", COOKIE, epmd=epmd, policy=alone) as b,
    ):
        await b.connect(a.name)
        shop = await b.global_names.start(Shop, name="shop")
        assert await a.global_names.set_lock((RESOURCE, 1), retries=0), "locks work all the same"
        assert a.global_names.whereis("shop") is None
        assert b.global_names.whereis("shop") == shop.pid


async def test_sync_does_not_wait_for_who_is_not_there(three: tuple[Node, Node, Node]) -> None:
    a, _, _ = three
    with anyio.fail_after(10):
        await a.global_names.sync([f"nobody@{HOST}", a.name, "no node"])


async def test_a_lost_connection_makes_partitions_that_do_not_overlap(
    three: tuple[Node, Node, Node], caplog: pytest.LogCaptureFixture
) -> None:
    a, b, c = three
    assert await a.disconnect(c.name)

    def disjoint() -> bool:
        groups = {frozenset({node.name, *node.nodes()}) for node in three}
        return sum(len(group) for group in groups) == len(three)

    await until(disjoint)
    assert "in order to prevent overlapping partitions" in caplog.text
    for node in (a, c):
        await node.connect(b.name)
    await synced(a, b, c)
    shop = await c.global_names.start(Shop, name="shop")
    assert [node.global_names.whereis("shop") for node in three] == [shop.pid] * 3


async def test_who_is_kept_connected_comes_back_after_the_partition(
    three: tuple[Node, Node, Node], caplog: pytest.LogCaptureFixture
) -> None:
    a, b, c = three
    for node in (a, c):
        node.keep_connected(b.name)
    assert await a.disconnect(c.name)
    await until(lambda: any("prevent overlapping partitions" in line for line in caplog.messages))
    await synced(a, b, c)


async def test_a_killed_name_server_comes_back_with_its_nodes(three: tuple[Node, Node, Node]) -> None:
    a, b, c = three
    shop = await b.global_names.start(Shop, name="shop")
    await c.global_names.start(Shop, name="bank")
    killed = b.whereis("global_name_server")
    assert killed is not None
    b.exit(killed, Atom("kill"))  # another node cannot
    await until(lambda: b.whereis("global_name_server") not in (killed, None))
    await until(lambda: b.global_names.names() == [] and not b.nodes())
    await b.connect(a.name)
    await synced(a, b, c)
    await until(lambda: b.global_names.names() == [Atom("bank")])
    assert await b.global_names.register("shop", shop.pid)
    assert [node.global_names.whereis("shop") for node in three] == [shop.pid] * 3


async def test_five_nodes_that_meet_at_once_agree(epmd: Epmd) -> None:
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(Node(f"n{number}@{HOST}", COOKIE, epmd=epmd))
            for number in range(5)
        ]
        for number, node in enumerate(nodes):
            await node.global_names.start(Shop, name=number)
        async with anyio.create_task_group() as tasks:
            for node in nodes[1:]:
                tasks.start_soon(node.connect, nodes[0].name)
        await until(lambda: all(len(node.nodes()) == 4 for node in nodes))
        with anyio.fail_after(60):
            for node in nodes:
                await node.global_names.sync()
        await until(
            lambda: all(sorted(map(repr, node.global_names.names())) == list("01234") for node in nodes)
        )


async def test_start_says_that_the_process_has_another_name(pair: tuple[Node, Node]) -> None:
    a, _ = pair

    class Known(GenServer):
        """Has a name already when it is started."""

        async def init(self, names: Any) -> None:
            await names.register("other", self.pid)

    with pytest.raises(ExitError, match="another global name than shop"):
        await a.global_names.start(Known, a.global_names, name="shop")
    assert a.global_names.names() == []
