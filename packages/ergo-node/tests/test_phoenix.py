"""PubSub between Python nodes, and what its parts do when processes end or messages are strange."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from ergo_node import Broadcast, Node, PubSub, RemoteName, SlowSubscriber, Subscription
from etf_codec import Atom, EncodeError, Term
from otp_behaviors import ExitError, GenServer, LocalRuntime, Process

pytestmark = pytest.mark.anyio

SCOPE, ADAPTER = "Elixir.Phoenix.PubSub", "Elixir.MyApp.PubSub.Adapter"


class Channel(GenServer):
    """Subscribes in `init`, keeps what comes, and broadcasts what it is asked to, all without waiting."""

    def init(self, pubsub: PubSub, *topics: str) -> None:
        self.pubsub = pubsub
        self.seen: list[Any] = []
        for topic in topics:
            pubsub.subscribe(topic, self.pid)

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.seen

    def handle_cast(self, message: Any) -> None:
        self.pubsub.broadcast_from(self.pid, *message)

    def handle_info(self, message: Any) -> None:
        self.seen.append(message)


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110  # it polls what another node does
            await anyio.sleep(0.005)


async def following(messages: Subscription) -> Term:
    with anyio.fail_after(10):
        return await anext(messages)


@pytest.fixture
async def pubsubs(pair: tuple[Node, Node]) -> tuple[PubSub, PubSub]:
    """One on each node, which know each other."""
    both = PubSub("MyApp.PubSub"), PubSub("Elixir.MyApp.PubSub")
    for node, pubsub in zip(pair, both, strict=True):
        await node.start(pubsub)
    a, b = pair
    assert await a.ping(b.name)
    await until(lambda: all(len(node.pg.members(SCOPE, Atom(ADAPTER))) == 2 for node in pair))
    return both


async def test_tasks_and_processes_of_both_nodes(
    pair: tuple[Node, Node], pubsubs: tuple[PubSub, PubSub]
) -> None:
    (a, b), (here, there) = pair, pubsubs
    left, right = await a.start(Channel, here, "t"), await b.start(Channel, there, "t", "t", "u")
    with here.subscribe("t") as messages, there.subscribe(b"t") as others:
        await here.broadcast("t", 1)
        assert [await following(messages), await following(others)] == [1, 1]
        await left.cast(("t", 2))
        assert [await following(messages), await following(others)] == [2, 2]
        assert await left.call(Atom("seen")) == [1]
        assert await right.call(Atom("seen")) == [1, 1, 2, 2]
        there.broadcast_event("t", "new_msg", {"n": 1})
        assert await following(messages) == Broadcast("t", "new_msg", {b"n": 1})
        assert await following(others) == Broadcast("t", "new_msg", {"n": 1})
        here.local_broadcast("t", 3)
        here.local_broadcast_from(messages, "t", 4)
        await there.direct_broadcast(a.name, "t", 5)
        assert [await following(messages) for _ in range(2)] == [3, 5]
        assert there.unsubscribe("t", right)
        assert not there.unsubscribe("t", right)
    seen = len(await right.call(Atom("seen")))
    await here.broadcast("t", 6)
    await here.broadcast("u", 7)
    await until(lambda: b.kernel.idle)
    with anyio.fail_after(10):
        while (await right.call(Atom("seen")))[seen:] != [7]:  # noqa: ASYNC110  # as above
            await anyio.sleep(0.005)


async def test_subscribers_that_end_are_forgotten(
    pair: tuple[Node, Node], pubsubs: tuple[PubSub, PubSub]
) -> None:
    (a, b), (here, _) = pair, pubsubs
    channel = await a.start(Channel, here, "t", "t", "u")
    assert sorted(here._topics) == [b"t", b"u"]
    await channel.stop()
    assert list(here._topics) == []
    here.subscribe("t", channel)  # gone already
    assert list(here._topics) == []
    with here.subscribe("t"):
        assert list(here._topics) == [b"t"]
    assert list(here._topics) == []
    stranger = await b.start(GenServer)
    with pytest.raises(ExitError) as raised:
        here.subscribe("t", stranger)
    assert raised.value.reason == (Atom("nolocal"), stranger.pid)


async def test_a_slow_task_is_told_and_the_others_go_on(pubsubs: tuple[PubSub, PubSub]) -> None:
    here, there = pubsubs
    with here.subscribe("t", max_unread=2) as slow, here.subscribe("t") as quick:
        for number in range(5):
            await there.broadcast("t", number)
        assert [await following(quick) for _ in range(5)] == list(range(5))
        assert [await following(slow) for _ in range(2)] == [0, 1]
        with pytest.raises(SlowSubscriber):
            await following(slow)


async def test_what_cannot_be_sent_reaches_nobody(pubsubs: tuple[PubSub, PubSub]) -> None:
    here, there = pubsubs
    with here.subscribe("t") as messages, there.subscribe("t") as others:
        with pytest.raises(EncodeError):
            here.broadcast("t", None)
        with pytest.raises(EncodeError):
            here.broadcast_event("t", "e", object())
        with pytest.raises(EncodeError):
            here.direct_broadcast("b@127.0.0.1", "t", None)
        await here.broadcast("t", 1)
        assert [await following(messages), await following(others)] == [1, 1]


async def test_strangers_do_not_end_an_adapter(
    pair: tuple[Node, Node], pubsubs: tuple[PubSub, PubSub]
) -> None:
    (a, b), (here, _) = pair, pubsubs
    before, there = a.whereis(ADAPTER), RemoteName(ADAPTER, a.name)
    forward = Atom("forward_to_local")
    with here.subscribe("t") as messages:
        for message in (1, (forward, b"t", 1), (forward, 1, 2, Atom("x")), (forward, b"t", 3, b"no atom")):
            await b.send(there, message)
        await b.cast(there, 1)
        assert (await b.call(there, 1))[0] == Atom("error")
        await b.send(there, Atom("rejoin"))
        await b.send(there, (forward, b"t", 4, Atom("os")))
        assert await following(messages) == 4
    assert len(a.pg.local_members(SCOPE, Atom(ADAPTER))) == 1
    assert a.whereis(ADAPTER) == before


async def test_names_and_pools(pair: tuple[Node, Node]) -> None:
    a, _ = pair
    pubsub = PubSub("P", pool_size=2, broadcast_pool_size=1)
    assert (pubsub.name, pubsub.groups) == ("Elixir.P", ["Elixir.P.Adapter", "Elixir.P.Adapter_2"])
    assert repr(pubsub) == "PubSub('P')"
    for sizes in ({"pool_size": 0}, {"broadcast_pool_size": 2}, {"pool_size": 2, "broadcast_pool_size": 0}):
        with pytest.raises(ValueError, match="broadcast_pool_size"):
            PubSub("P", **sizes)
    with pytest.raises(RuntimeError, match="does not run"):
        pubsub.subscribe("t")
    with pytest.raises(RuntimeError, match="does not run"):
        pubsub.broadcast("t", 1)
    await a.start(pubsub)
    assert a.whereis("Elixir.P.Adapter_2") is not None
    assert sorted(map(str, a.pg.which_groups(SCOPE))) == pubsub.groups
    async with LocalRuntime() as runtime:
        with pytest.raises(TypeError, match="needs a Node"):
            await runtime.start(PubSub("Q"))


async def test_its_end_ends_the_subscriptions(pair: tuple[Node, Node]) -> None:
    a, _ = pair
    pubsub = PubSub("P")
    handle = await a.start(pubsub)
    messages = pubsub.subscribe("t")
    pubsub.local_broadcast("t", 1)
    await handle.stop(Atom("shutdown"))
    with anyio.fail_after(10):
        assert [message async for message in messages] == [1]
    with pytest.raises(RuntimeError, match="does not run"):
        pubsub.subscribe("t")


async def test_a_process_broadcasts_in_order(pair: tuple[Node, Node], pubsubs: tuple[PubSub, PubSub]) -> None:
    (a, _), (here, there) = pair, pubsubs

    async def talk(process: Process) -> None:
        for number in range(500):
            await here.broadcast("t", number)

    with there.subscribe("t") as messages:
        a.spawn(talk)
        assert [await following(messages) for _ in range(500)] == list(range(500))
