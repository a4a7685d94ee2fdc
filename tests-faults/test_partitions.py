"""F1, F2 with visible nodes: names and groups of a cluster that falls apart, and comes together again."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from ergo_node import Node, NodeDown
from erlang_peer import StartErl
from etf_codec import Atom, Pid
from invariants import PATIENCE, Bonded, Bonds, Invariants, eventually, handled_by, memory_within, told
from links import HOST
from wires import CONTESTED, View, Wires, wired

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

A, B = f"a@{HOST}", f"b@{HOST}"
PYA, PYB = f"pya@{HOST}", f"pyb@{HOST}"
ALL, LEFT, RIGHT = frozenset({A, B, PYA, PYB}), frozenset({A, PYA}), frozenset({B, PYB})
NOCONNECTION, NORMAL = Atom("noconnection"), Atom("normal")
MIB_OF_GROWTH = 16

Views = dict[str, View]


@asynccontextmanager
async def cluster(
    start_erl: StartErl, free_ports: Callable[[], int], invariants: Invariants
) -> AsyncIterator[tuple[Wires, dict[str, Pid]]]:
    """Four nodes, all connected; of each a process is in the group, and has the name of its node.

    Processes of ours are linked with all of these and watch them. In the end the test leaves the cluster
    healed; then these are stopped, and what is left is what there was before them.
    """
    erls = {A: free_ports(), B: free_ports()}
    async with wired(start_erl, erls, [PYA, PYB]) as wires:
        for one, other in ((A, PYA), (A, B), (A, PYB)):
            assert await wires.members[one].connect(other)
        await agree(wires, lambda views: all(view.nodes == ALL for view in views.values()))
        # Who has seen names and members of all has met all in `global` and `pg`, and holds what it will keep.
        await emptied(wires, await populated(wires))
        ours = [each.node for each in wires.members.values() if isinstance(each.node, Node)]
        bonds = {node.name: Bonds() for node in ours}
        bonded = [await node.start(Bonded, bonds[node.name]) for node in ours]
        monitors = {invariants.watch(node).name: node.monitor_nodes() for node in ours}
        with memory_within(MIB_OF_GROWTH):
            pids = await populated(wires)
            for node, each in zip(ours, bonded, strict=True):
                await each.call(list(pids.values()))
                for name in ALL - {node.name}:
                    await handled_by(node, name)
            yield wires, pids
            await emptied(wires, pids)
            await eventually(lambda: all(each.all_resolved for each in bonds.values()))
            await invariants.settled()
        for name, monitor in monitors.items():
            lost = {each.node for each in await told(monitor) if isinstance(each, NodeDown)}
            assert bonds[name].resolved == Counter(bonds[name].expected)
            # A link and a monitor each: of nodes that were lost they ended by it, of others with the process.
            reasons = {NOCONNECTION: 2 * len(lost), NORMAL: 2 * len(ALL - lost)}
            assert bonds[name].reasons == Counter(reasons)


async def populated(wires: Wires) -> dict[str, Pid]:
    """Start a process of each node, give it to the group and the node's name to it; wait until all know."""
    pids = {name: await member.started() for name, member in wires.members.items()}
    for name, member in wires.members.items():
        await member.join(pids[name])
        await member.register(Atom(name), pids[name])
    await agree(wires, know(ALL, pids))
    return pids


async def emptied(wires: Wires, pids: dict[str, Pid]) -> None:
    """End these processes, and wait until nobody knows a name or a member any more."""
    for name, pid in pids.items():
        await wires.members[name].stop(pid)
    await agree(wires, know(ALL, {}))


async def agree(wires: Wires, on: Callable[[Views], bool]) -> Views:
    """Wait until what all know is so."""
    views: Views = {}
    try:
        with anyio.fail_after(PATIENCE):
            while not on(views := await wires.views()):  # noqa: ASYNC110  # other nodes give no event
                await anyio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"they never agreed: {views}") from None
    return views


def know(names: frozenset[str], pids: dict[str, Pid]) -> Callable[[Views], bool]:
    """That these nodes see one another and nobody else, with their names and members and no others'."""
    mine = {Atom(name): pids[name] for name in names if name in pids}

    def so(views: Views) -> bool:
        for name in names:
            view = views[name]
            own = {key: pid for key, pid in view.names.items() if key != CONTESTED}
            if (view.nodes, own, view.members) != (names, mine, frozenset(mine.values())):
                return False
        return True

    return so


@pytest.mark.parametrize(
    "silent", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["told", "silent"]
)
async def test_a_netsplit_of_visible_nodes_heals(
    silent: bool,
    start_erl: StartErl,
    free_tcp_port_factory: Callable[[], int],
    invariants: Invariants,
) -> None:
    """F1: {a, pya} against {b, pyb}; a process ends on each side and both give one name away meanwhile."""
    async with cluster(start_erl, free_tcp_port_factory, invariants) as (wires, pids):
        for proxy in wires.between(LEFT, RIGHT):
            proxy.drop() if silent else proxy.cut()
        await agree(wires, lambda views: know(LEFT, pids)(views) and know(RIGHT, pids)(views))
        for gone in (PYA, B):
            await wires.members[gone].stop(pids.pop(gone))
        rivals = {name: await wires.members[name].started() for name in (A, PYB)}
        for name, pid in rivals.items():
            await wires.members[name].register(CONTESTED, pid)
        await agree(wires, lambda views: know(LEFT, pids)(views) and know(RIGHT, pids)(views))
        wires.heal()
        assert await wires.members[PYA].connect(B)
        healed = know(ALL, pids)

        def one_is_left(views: Views) -> bool:
            holders = {view.names.get(CONTESTED) for view in views.values()}
            return healed(views) and len(holders) == 1 and holders <= set(rivals.values())

        await agree(wires, one_is_left)
        for name, pid in rivals.items():
            await wires.members[name].stop(pid)  # the other one has ended already


def overlap(views: Views) -> bool:
    """Whether a node sees two that do not see each other."""
    return sum(map(len, {view.nodes for view in views.values()})) != len(views)


CUTS = {"erl-erl": (A, B), "py-erl": (PYA, B), "py-py": (PYA, PYB)}
KINDS = [
    pytest.param("erl-erl", False, id="erl-erl"),
    *(pytest.param(each, True, id=f"{each}-silent", marks=pytest.mark.slow) for each in CUTS),
    *(pytest.param(each, False, id=each, marks=pytest.mark.slow) for each in ("py-erl", "py-py")),
]


@pytest.mark.parametrize(("cut", "silent"), KINDS)
async def test_a_partial_split_leaves_no_overlapping_partitions(
    cut: str,
    silent: bool,
    start_erl: StartErl,
    free_tcp_port_factory: Callable[[], int],
    invariants: Invariants,
) -> None:
    """F2: two visible nodes lose each other, and the others see both: `global` makes partitions of it."""
    one, other = CUTS[cut]
    async with cluster(start_erl, free_tcp_port_factory, invariants) as (wires, pids):
        for proxy in wires.between([one], [other]):
            proxy.drop() if silent else proxy.cut()

        def apart(views: Views) -> bool:
            parts = {view.nodes for view in views.values()}
            return (
                other not in views[one].nodes
                and not overlap(views)
                and all(know(each, pids)(views) for each in parts)
            )

        await agree(wires, apart)
        wires.heal()
        middle, *_ = sorted(ALL - {one, other})
        for name in ALL - {middle}:
            await wires.members[middle].connect(name)
        await agree(wires, know(ALL, pids))
