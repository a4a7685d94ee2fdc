"""Partitions of a cluster with a Python node in it: they never overlap, and heal, as those of OTP alone."""

from functools import partial

import pytest
from ergo_node import Node, Policy
from erlang_peer import Erl, StartErl
from etf_codec import Atom
from global_cluster import (
    COOKIE,
    HOST,
    PY,
    A,
    B,
    Z,
    as_list,
    assert_quiet,
    connected_to,
    erl_pid,
    meshed,
    started,
    until,
)

pytestmark = pytest.mark.anyio


async def who_sees_whom(members: dict[str, Erl | Node]) -> dict[str, set[str]]:
    """The nodes that each member is connected to."""
    seen: dict[str, set[str]] = {}
    for name, member in members.items():
        others = member.nodes() if isinstance(member, Node) else as_list(await member.eval("nodes()"))
        seen[name] = {str(other) for other in others}
    return seen


def partitions(seen: dict[str, set[str]]) -> set[frozenset[str]] | None:
    """The partitions, if they do not overlap."""
    groups = {frozenset({name, *others}) for name, others in seen.items()}
    return groups if sum(len(group) for group in groups) == len(seen) else None


CUTS = {"by us": (PY, A), "from us": (A, PY), "beside us": (A, Z), "without us": (A, Z)}


@pytest.mark.parametrize("cut", CUTS)
async def test_one_lost_connection_leaves_no_overlapping_partitions(
    cut: str, start_erl: StartErl, node: Node
) -> None:
    members: dict[str, Erl | Node] = {name: await start_erl(name) for name in (A, B, Z)}
    members[PY] = await start_erl(f"other@{HOST}") if cut == "without us" else node
    if cut == "without us":
        members[f"other@{HOST}"] = members.pop(PY)
    erls = [member for member in members.values() if isinstance(member, Erl)]
    for name in list(members)[1:]:
        await erls[0].eval(f"net_kernel:connect_node('{name}')")
    await meshed(erls, [member for member in members.values() if isinstance(member, Node)])
    # The lock under which names are merged: had by us, no name server has anything more to say.
    merged = "global:trans({global, self()}, fun() -> done end)"
    assert await erls[0].eval(merged) == Atom("done")
    by, other = CUTS[cut]
    cutter = members[by]
    if isinstance(cutter, Node):
        assert await cutter.disconnect(other)
    else:
        await cutter.eval(f"erlang:disconnect_node('{other}')")

    seen: dict[str, set[str]] = {}

    async def settled() -> bool:
        seen.update(await who_sees_whom(members))
        groups = partitions(seen)
        return groups is not None and apart(groups)

    async def all_settled() -> None:
        try:
            await until(settled)
        except TimeoutError:
            raise AssertionError(
                f"{other} was cut off by {by}, and they see one another so: {seen}"
            ) from None

    def apart(groups: set[frozenset[str]]) -> bool:
        rest = frozenset(members) - {by, other}
        # Who notices the loss second may hear of it from others first: then only that one is left by all.
        # And whatever one of them still sends to another connects all of them again.
        return groups in (
            {frozenset(members)},
            {rest, frozenset({by}), frozenset({other})},
            {rest | {by}, frozenset({other})},
            {rest | {other}, frozenset({by})},
        )

    await all_settled()
    for erl in erls:
        # Whatever was still to be decided is when all that are left have been locked.
        assert await erl.eval("global:trans({r, self()}, fun() -> done end)") == Atom("done")
    await all_settled()

    # The partition heals: all meet again by way of one node, and agree.
    middle = next(erl for erl in erls if erl.name not in (by, other))
    for name in members:
        await middle.eval(f"net_kernel:connect_node('{name}')")
    await meshed(erls, [member for member in members.values() if isinstance(member, Node)])
    for erl in erls:
        assert await erl.eval(f"global:register_name('{erl.name}', {erl_pid(await started(erl))})") == Atom(
            "yes"
        )
    for name in (erl.name for erl in erls):
        for erl in erls:
            assert await erl.eval(f"node(global:whereis_name('{name}'))") == Atom(name)
        assert cut == "without us" or node.global_names.whereis(name) is not None


async def test_overlapping_partitions_are_allowed_if_we_are_told_so(
    start_erl: StartErl, epmd_port: int
) -> None:
    off = ["-kernel", "prevent_overlapping_partitions", "false"]
    a, z = await start_erl(A, args=off), await start_erl(Z, args=off)
    async with Node(PY, COOKIE, policy=Policy(prevent_overlapping_partitions=False)) as node:
        await a.eval(f"net_kernel:connect_node('{Z}')")
        await node.connect(A)
        await meshed([a, z], [node])
        assert await node.disconnect(A)
        await until(partial(connected_to, a, 1))
        assert await z.eval("lists:sort(nodes())") == [Atom(A), Atom(PY)]
        assert await z.eval("global:trans({r, self()}, fun() -> done end)") == Atom("done")
        assert node.nodes() == [Z]
        assert_quiet(a, z)
