"""The same scenario of tasks in Elixir and with ours: results, ends and messages must agree.

The tasks run under a supervisor of their owner's kind, or of the other node's.
"""

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from elixir_peer import Elixir, needs_elixir, start_elixir
from ergo_node import Node
from erlang_peer import StartErl
from etf_codec import Atom, Pid, encode
from otp_behaviors import ExitError, Process
from twin_tasks import (
    LIMIT,
    Functions,
    Player,
    Steps,
    body,
    item,
    many,
    one,
    overtaking,
    plain,
    streams,
    walks,
)
from twin_tasks import supervisor as our_supervisor

pytestmark = [pytest.mark.anyio, needs_elixir]

MODULE = "Elixir.TwinTasks"
THEIRS: Functions = ((MODULE, "body"), (MODULE, "item"))
OURS: Functions = (body, item)
HOME = ("own", "link", "nolink")
AWAY = ("link", "nolink")
Scenarios = Callable[[tuple[str, ...]], Iterator[Steps]]


@pytest.fixture
async def elixir(start_erl: StartErl, node: Node, elixir_folders: list[str]) -> Elixir:
    """With one scheduler: a process that ends sends all its signals before the next one runs."""
    node.provide(MODULE, "body", body, process=True)
    node.provide(MODULE, "item", item, process=True)
    return await start_elixir(start_erl, elixir_folders, args=["+S", "1:1"])


async def by_elixir(elixir: Elixir, supervisor: Pid, trap: bool, steps: Steps) -> Any:
    """What Elixir makes of a scenario."""
    scenario = [supervisor, (Atom(MODULE), Atom("body")), trap, steps]
    coded = base64.b64encode(encode(scenario)).decode()
    return await elixir.erl.eval(
        f"apply('{MODULE}', play, binary_to_term(base64:decode(<<\"{coded}\">>)))", timeout=30
    )


async def by_us(node: Node, supervisor: Pid, functions: Functions, trap: bool, steps: Steps) -> Any:
    """What ours make of it."""
    events: list[Any] = []
    players: list[Player] = []

    async def play(process: Process) -> None:
        process.trap_exit = trap
        players.append(Player(process, supervisor, functions))
        await players[0].play(steps, events)
        raise ExitError(Atom("done"))

    with anyio.fail_after(30):
        down = await node.monitor(node.spawn(play))
        for pid in players[0].started:
            watch = node.monitor(pid)
            node.exit(pid, Atom("kill"))
            await watch
        await node.call(supervisor, Atom("which_children"))
    return [*events, (Atom("ended"), plain(down.reason))]


def in_order(events: list[Any]) -> list[Any]:
    """Messages of different senders come in any order."""
    return [sorted(event, key=repr) if is_mail(event) else event for event in events]


def is_mail(event: Any) -> bool:
    words = (Atom("down"), Atom("exited"), Atom("value"))
    return isinstance(event, list) and all(type(each) is tuple and each[0] in words for each in event)


async def agree(node: Node, elixir: Elixir, home: bool, scenarios: Iterator[Steps]) -> None:
    theirs, ours = await elixir(f"TwinTasks.supervise({LIMIT})"), (await node.start(our_supervisor())).pid
    differences = []
    count = 0
    for steps in scenarios:
        for trap in (False, True):
            count += 1
            expected = in_order(await by_elixir(elixir, theirs if home else ours, trap, steps))
            supervisor, functions = (ours, OURS) if home else (theirs, THEIRS)
            got = in_order(await by_us(node, supervisor, functions, trap, steps))
            if got != expected:
                pairs = zip(expected, got, strict=False)
                lines = [f"  Elixir {a}\n  ours   {b}" for a, b in pairs if a != b]
                differences.append("\n".join([f"{trap=} {steps}", *lines]))
    assert count > 0
    shown = re.sub(r"Atom\('(.*?)'\)", r"\1", "\n".join(differences[:12]))
    assert not differences, f"{len(differences)} of {count}:\n{shown}"


SCENARIOS = pytest.mark.parametrize("scenarios", [one, many, streams, overtaking])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # The walks are played on trio, too.
@SCENARIOS
async def test_tasks_do_what_those_of_elixir_do(node: Node, elixir: Elixir, scenarios: Scenarios) -> None:
    await agree(node, elixir, True, scenarios(HOME))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@SCENARIOS
async def test_tasks_of_the_other_node_do_the_same(node: Node, elixir: Elixir, scenarios: Scenarios) -> None:
    """Elixir's owners have tasks of ours, and ours tasks of Elixir."""
    await agree(node, elixir, False, scenarios(AWAY))


async def test_long_walks_with_tasks(node: Node, elixir: Elixir) -> None:
    await agree(node, elixir, True, walks(HOME, 80, seed=11))


async def test_long_walks_with_tasks_of_the_other_node(node: Node, elixir: Elixir) -> None:
    await agree(node, elixir, False, walks(AWAY, 80, seed=12))
