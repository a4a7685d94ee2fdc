"""Phoenix.PubSub between a Python node and a node of Elixir: broadcasts, channels, pools, lost processes."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from ergo_node import Broadcast, Node, PubSub, Subscription
from erlang_peer import Erl, StartErl
from etf_codec import Atom, Term
from witness import StartWitness

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("elixir") is None, reason="no `elixir` on PATH: apt install elixir"),
]

PY, EX = "py@127.0.0.1", "ex@127.0.0.1"
ADAPTER = "Elixir.MyApp.PubSub.Adapter"
HELLO = Atom("hello")
PATIENCE = 10.0

Elixir = Callable[[str], Awaitable[Term]]


@pytest.fixture(scope="session")
def elixir_code(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The folders of Elixir's own modules, and of those of this test."""
    found = subprocess.run(
        ["elixir", "-e", "IO.write(:code.lib_dir(:elixir))"], capture_output=True, check=True, timeout=60
    )
    folder = tmp_path_factory.mktemp("elixir")
    source = Path(__file__).with_name("phoenix_shaped.ex")
    subprocess.run(["elixirc", "-o", str(folder), str(source)], check=True, timeout=120)
    return [found.stdout.decode() + "/ebin", str(folder)]


@pytest.fixture
async def erl(start_erl: StartErl, elixir_code: list[str]) -> AsyncIterator[Erl]:
    """A node of Elixir, none of whose processes crashes."""
    erl = await start_erl(EX, args=["-pa", *elixir_code])
    await erl.eval("{ok, _} = application:ensure_all_started(elixir), io:setopts([{binary, false}])")
    yield erl
    assert [line for line in erl.output if "rror" in line] == [], "\n".join(erl.output)


@pytest.fixture
def elixir(erl: Erl) -> Elixir:
    """Evaluates Elixir there."""

    async def evaluate(source: str) -> Term:
        code = source.encode().hex()
        return await erl.eval(f"element(1, 'Elixir.Code':eval_string(binary:decode_hex(<<\"{code}\">>)))", 30)

    return evaluate


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110  # it polls what another node does
            await anyio.sleep(0.005)


async def until_elixir(elixir: Elixir, condition: str) -> None:
    with anyio.fail_after(PATIENCE):
        while await elixir(condition) is not True:  # noqa: ASYNC110  # as above
            await anyio.sleep(0.005)


async def following(messages: Subscription) -> Term:
    """The next message of a subscription."""
    with anyio.fail_after(PATIENCE):
        return await anext(messages)


async def met(node: Node, elixir: Elixir, members: int = 2) -> None:
    """Both sides know both members of the adapter's group."""
    assert await node.ping(EX)
    await until(lambda: len(node.pg.members("Elixir.Phoenix.PubSub", Atom(ADAPTER))) == members)
    await until_elixir(elixir, f':pg.get_members(Phoenix.PubSub, :"{ADAPTER}") |> length() == {members}')


RECEIVE = "receive do message -> message after 5000 -> :nothing end"
SILENCE = "receive do message -> message after 50 -> :nothing end"


async def test_broadcasts_both_ways(elixir: Elixir, node: Node, start_witness: StartWitness) -> None:
    pubsub = PubSub("MyApp.PubSub")
    await node.start(pubsub)
    await elixir(
        'Phoenix.PubSub.start(MyApp.PubSub, 1); Phoenix.PubSub.subscribe(MyApp.PubSub, "room:1"); :ok'
    )
    await met(node, elixir)
    witness = await start_witness()
    pubsub.subscribe("room:1", witness.pid)
    with pubsub.subscribe("room:1") as messages, pubsub.subscribe("room:2") as others:
        await elixir(
            'Phoenix.PubSub.broadcast_from(MyApp.PubSub, self(), "room:1", {:hello, %{text: "größe"}})'
        )
        text = {Atom("text"): "größe".encode()}
        assert await following(messages) == (HELLO, text)
        assert await witness.next() == (HELLO, text)

        await pubsub.broadcast("room:1", (HELLO, {"n": [1, 2.5]}))
        assert await elixir(f'{RECEIVE} == {{:hello, %{{"n" => [1, 2.5]}}}}') is True
        assert await following(messages) == (HELLO, {"n": [1, 2.5]})
        assert await witness.next() == (HELLO, {"n": [1, 2.5]})

        pubsub.broadcast_from(witness.pid, "room:1", 1)
        pubsub.broadcast_from(messages, "room:1", 2)
        assert [await elixir(RECEIVE), await elixir(RECEIVE)] == [1, 2]
        assert await following(messages) == 1
        assert await witness.next() == 2

        pubsub.local_broadcast("room:1", 3)
        assert await following(messages) == 3
        await pubsub.direct_broadcast(EX, "room:1", 4)
        assert await elixir(RECEIVE) == 4
        await elixir(f'Phoenix.PubSub.direct_broadcast(:"{PY}", MyApp.PubSub, "room:1", 5)')
        assert await following(messages) == 5
        assert [await witness.next(), await witness.next()] == [3, 5]

        assert pubsub.unsubscribe("room:1", witness.pid)
        await elixir('Phoenix.PubSub.broadcast(MyApp.PubSub, "room:2", 6)')
        assert await following(others) == 6
        await elixir('Phoenix.PubSub.broadcast_from(MyApp.PubSub, self(), "room:1", 7)')
        assert await following(messages) == 7
    assert await elixir(SILENCE) == Atom("nothing")
    assert witness.unread() == 0


async def test_channels_both_ways(elixir: Elixir, node: Node) -> None:
    pubsub = PubSub("MyApp.PubSub")
    await node.start(pubsub)
    await elixir(
        'Phoenix.PubSub.start(MyApp.PubSub, 1); Phoenix.PubSub.subscribe(MyApp.PubSub, "room:1"); :ok'
    )
    await met(node, elixir)
    with pubsub.subscribe("room:1") as messages:
        await elixir(
            'Phoenix.PubSub.broadcast_from(MyApp.PubSub, self(), "room:1",'
            ' %Phoenix.Socket.Broadcast{topic: "room:1", event: "new_msg", payload: %{body: "hi"}},'
            " Phoenix.Channel.Server)"
        )
        assert await following(messages) == Broadcast("room:1", "new_msg", {Atom("body"): b"hi"})
        pubsub.broadcast_event("room:1", "new_msg", {"body": "hello", "n": 1})
        assert await following(messages) == Broadcast("room:1", "new_msg", {"body": "hello", "n": 1})
    assert (
        await elixir(
            f'{{:fastlane, %Phoenix.Socket.Broadcast{{topic: "room:1"}} = sent}} = {RECEIVE};'
            ' sent.event == "new_msg" and sent.payload == %{"body" => "hello", "n" => 1}'
        )
        is True
    )


async def test_dispatchers_are_never_called(elixir: Elixir, node: Node) -> None:
    pubsub = PubSub("MyApp.PubSub")
    await node.start(pubsub)
    await elixir("Phoenix.PubSub.start(MyApp.PubSub, 1)")
    await met(node, elixir)
    with pubsub.subscribe("room:1") as messages:
        direct = f'Phoenix.PubSub.direct_broadcast(:"{PY}", MyApp.PubSub, "room:1", %s, %s)'
        await elixir(direct % (1, ":os"))
        await elixir(direct % (2, '"no module at all"'))
        await elixir(f'send({{:"{ADAPTER}", :"{PY}"}}, {{:forward_to_local, :no_topic, 3, Phoenix.PubSub}})')
        await elixir(f'send({{:"{ADAPTER}", :"{PY}"}}, :nonsense)')
        await elixir(direct % ("%Phoenix.Socket.Broadcast{topic: 1}", "Phoenix.Channel.Server"))
        await elixir(direct % (4, "MyApp.Dispatcher"))
        assert await following(messages) == 1
        broken = await following(messages)
        assert isinstance(broken, dict)
        assert broken[Atom("topic")] == 1
        assert await following(messages) == 4


async def test_pools(elixir: Elixir, node: Node) -> None:
    pubsub = PubSub("MyApp.PubSub", pool_size=3)
    assert pubsub.groups == [ADAPTER, f"{ADAPTER}_2", f"{ADAPTER}_3"]
    await node.start(pubsub)
    await elixir('Phoenix.PubSub.start(MyApp.PubSub, 3); Phoenix.PubSub.subscribe(MyApp.PubSub, "t"); :ok')
    await met(node, elixir)
    with pubsub.subscribe("t") as messages:
        # Each process of Elixir broadcasts by one of the three.
        await elixir(
            "for n <- 1..60, do: spawn(fn ->"
            ' Phoenix.PubSub.broadcast_from(MyApp.PubSub, :erlang.whereis(:evaluator), "t", n) end)'
        )
        assert sorted([await following(messages) for _ in range(60)]) == list(range(1, 61))
        await pubsub.broadcast_from(messages, "t", HELLO)
        assert await elixir(RECEIVE) == HELLO


async def test_scope_and_adapters_start_again(elixir: Elixir, node: Node) -> None:
    pubsub = PubSub("MyApp.PubSub")
    await node.start(pubsub)
    await elixir("Phoenix.PubSub.start(MyApp.PubSub, 1)")
    await met(node, elixir)
    with pubsub.subscribe("room:1") as messages:
        for name in ("Elixir.Phoenix.PubSub", ADAPTER):
            pid = node.whereis(name)
            assert pid is not None
            node.exit(pid, Atom("kill"))
            await until(lambda: node.whereis(name) not in (None, pid))  # noqa: B023  # called in this round only
            await met(node, elixir)
            await elixir('Phoenix.PubSub.broadcast(MyApp.PubSub, "room:1", :again)')
            assert await following(messages) == Atom("again")


async def test_nodes_of_pg2_do_not_disturb(elixir: Elixir, node: Node) -> None:
    await node.start(PubSub("MyApp.PubSub"))
    assert await node.ping(EX)
    # What `pg2` of OTP 23 and before sends to nodes that come up, and when groups change: nobody is there.
    await elixir(f'send({{:pg2, :"{PY}"}}, {{:new_pg2, node()}})')
    await elixir(
        f'GenServer.cast({{:pg2, :"{PY}"}}, {{:exchange, node(), [{{{{:phx, MyApp.PubSub}}, [self()]}}]}})'
    )
    assert await elixir(
        f'GenServer.multi_call([:"{PY}"], :pg2, {{:join, {{:phx, MyApp.PubSub}}, self()}}, 5000)'
    ) == ([], [Atom(PY)])
    assert node.nodes() == [EX]
