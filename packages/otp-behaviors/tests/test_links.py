"""Links inside the node, and the link protocol between nodes: signals in, `outgoing()` out."""

from collections.abc import Callable
from typing import Any

import pytest
from etf_codec import Atom, Pid
from otp_behaviors import (
    KILL,
    KILLED,
    NOCONNECTION,
    NOPROC,
    NORMAL,
    Exit,
    ExitError,
    ExitSignal,
    Kernel,
    LinkSignal,
    MessageSignal,
    NoProcess,
    Process,
    UnlinkAckSignal,
    UnlinkSignal,
)

Spawn = Callable[..., Pid]
Play = Callable[..., Any]

BOOM = Atom("boom")
REMOTE = Pid("b@host", 5, 0, 1)
GONE = Pid("a@host", 4000, 0, 7)


async def end_when_told(self: Process) -> None:
    raise ExitError(await self.receive())


@pytest.fixture
def seen() -> list[Any]:
    return []


@pytest.fixture
def trapper(kernel: Kernel, spawn: Spawn, seen: list[Any]) -> Pid:
    """A process that traps exits and keeps what it receives in `seen`."""

    async def trap(self: Process) -> None:
        self.trap_exit = True
        while True:
            seen.append(await self.receive())

    pid = spawn(trap)
    kernel.run()
    return pid


def link(kernel: Kernel, pid: Pid, other: Pid) -> None:
    kernel.links.link(kernel.table.by_pid[pid], other)


def unlink(kernel: Kernel, pid: Pid, other: Pid) -> None:
    kernel.links.unlink(kernel.table.by_pid[pid], other)


@pytest.mark.parametrize("reason", [BOOM, NORMAL, KILL, NOPROC, (Atom("shutdown"), 1)])
def test_an_exit_reaches_the_other_side_once(play: Play, spawn: Spawn, reason: Any) -> None:
    async def scenario(self: Process) -> Any:
        self.trap_exit = True
        pid = spawn(end_when_told)
        for _ in range(3):
            self.link(pid)
        self.send(pid, reason)
        first = await self.receive()
        with pytest.raises(TimeoutError):
            await self.receive(timeout=1.0)
        return first == Exit(pid, reason)

    assert play(scenario)


def test_normal_ends_no_linked_process(play: Play, spawn: Spawn) -> None:
    async def scenario(self: Process) -> str:
        pid = spawn(end_when_told)
        self.link(pid)
        self.send(pid, NORMAL)
        with pytest.raises(TimeoutError):
            await self.receive(timeout=1.0)
        return "alive"

    assert play(scenario) == "alive"


def test_an_exit_passes_through_who_does_not_trap(
    kernel: Kernel, trapper: Pid, spawn: Spawn, seen: Any
) -> None:
    first, second = spawn(end_when_told), spawn(end_when_told)
    link(kernel, first, second)
    link(kernel, second, trapper)
    kernel.run()
    kernel.send(trapper, first, BOOM)
    kernel.run()
    assert seen == [Exit(second, BOOM)]


def test_an_unlinked_process_hears_nothing(play: Play, spawn: Spawn) -> None:
    async def scenario(self: Process) -> str:
        pid = spawn(end_when_told)
        self.link(pid)
        self.unlink(pid)
        self.unlink(pid)
        self.send(pid, BOOM)
        with pytest.raises(TimeoutError):
            await self.receive(timeout=1.0)
        return "alive"

    assert play(scenario) == "alive"


def test_a_link_is_removed_from_both_sides(kernel: Kernel, trapper: Pid, spawn: Spawn, seen: Any) -> None:
    pid = spawn(end_when_told)
    link(kernel, pid, trapper)
    unlink(kernel, trapper, pid)
    kernel.send_exit(REMOTE, pid, BOOM)
    kernel.run()
    assert seen == []
    assert not kernel.table.by_pid[trapper].links


def test_a_link_to_nobody(kernel: Kernel, trapper: Pid, seen: Any) -> None:
    link(kernel, trapper, GONE)
    kernel.run()
    assert seen == [Exit(GONE, NOPROC)]


def test_a_link_to_nobody_raises_in_who_does_not_trap(play: Play, spawn: Spawn) -> None:
    async def lonely(self: Process) -> None:
        self.link(GONE)
        await self.receive()

    async def scenario(self: Process) -> Any:
        self.monitor(spawn(lonely))
        with pytest.raises(NoProcess, match=r"no process .* to link with"):
            self.link(GONE)
        return (await self.receive())[4]

    assert play(scenario) == (NOPROC, [(Atom("erlang"), Atom("link"), 1, [])])


def test_a_link_to_itself_is_none(play: Play) -> None:
    async def scenario(self: Process) -> Any:
        self.link(self.pid)
        return self._record.links

    assert play(scenario) is None


# Between nodes


def test_link_and_exit_of_the_other_node(kernel: Kernel, trapper: Pid, seen: Any) -> None:
    kernel.deliver(LinkSignal(REMOTE, trapper))
    kernel.deliver(LinkSignal(REMOTE, trapper))
    assert len(kernel.links) == 1
    kernel.deliver(ExitSignal(REMOTE, trapper, KILL, linked=True))
    kernel.deliver(ExitSignal(REMOTE, trapper, BOOM, linked=True))
    kernel.run()
    assert seen == [Exit(REMOTE, KILL)]
    assert kernel.outgoing() == []
    assert len(kernel.links) == 0


def test_link_from_afar_to_nobody(kernel: Kernel) -> None:
    kernel.deliver(LinkSignal(REMOTE, GONE))
    assert kernel.outgoing() == [ExitSignal(GONE, REMOTE, NOPROC, linked=True)]


def test_our_link_is_asked_for_once_and_our_end_told_once(kernel: Kernel, trapper: Pid) -> None:
    link(kernel, trapper, REMOTE)
    link(kernel, trapper, REMOTE)
    kernel.send_exit(REMOTE, trapper, KILL)
    assert kernel.outgoing() == [
        LinkSignal(trapper, REMOTE),
        ExitSignal(trapper, REMOTE, KILLED, linked=True),
    ]
    assert len(kernel.links) == 0


def test_exit_without_a_link_is_ignored(kernel: Kernel, trapper: Pid, seen: Any) -> None:
    kernel.deliver(ExitSignal(REMOTE, trapper, BOOM, linked=True))
    kernel.deliver(ExitSignal(REMOTE, GONE, BOOM, linked=True))
    kernel.run()
    assert seen == []


def test_unlink_drops_the_exit_that_is_on_its_way(kernel: Kernel, trapper: Pid, seen: Any) -> None:
    link(kernel, trapper, REMOTE)
    unlink(kernel, trapper, REMOTE)
    kernel.deliver(ExitSignal(REMOTE, trapper, BOOM, linked=True))
    kernel.deliver(UnlinkAckSignal(REMOTE, trapper, 1))
    kernel.run()
    assert seen == []
    assert kernel.outgoing() == [LinkSignal(trapper, REMOTE), UnlinkSignal(trapper, REMOTE, 1)]
    assert len(kernel.links) == 0


def test_an_end_while_an_unlink_is_pending_is_not_told(kernel: Kernel, trapper: Pid) -> None:
    link(kernel, trapper, REMOTE)
    unlink(kernel, trapper, REMOTE)
    kernel.outgoing()
    kernel.send_exit(REMOTE, trapper, KILL)
    assert kernel.outgoing() == []
    kernel.deliver(UnlinkAckSignal(REMOTE, trapper, 1))
    assert len(kernel.links) == 0


def test_linked_again_before_the_acknowledgement(kernel: Kernel, trapper: Pid, seen: Any) -> None:
    link(kernel, trapper, REMOTE)
    unlink(kernel, trapper, REMOTE)
    link(kernel, trapper, REMOTE)
    kernel.deliver(UnlinkAckSignal(REMOTE, trapper, 1))
    unlink(kernel, trapper, REMOTE)
    kernel.deliver(UnlinkAckSignal(REMOTE, trapper, 1))  # not of the second unlink: still pending
    assert len(kernel.links) == 1
    link(kernel, trapper, REMOTE)
    kernel.deliver(ExitSignal(REMOTE, trapper, BOOM, linked=True))
    kernel.run()
    assert seen == [Exit(REMOTE, BOOM)]
    sent = [type(signal) for signal in kernel.outgoing()]
    assert sent == [LinkSignal, UnlinkSignal, LinkSignal, UnlinkSignal, LinkSignal]


def test_a_pending_unlink_is_not_undone_by_their_link(kernel: Kernel, trapper: Pid, seen: Any) -> None:
    link(kernel, trapper, REMOTE)
    unlink(kernel, trapper, REMOTE)
    kernel.deliver(LinkSignal(REMOTE, trapper))  # sent before our unlink arrived there
    kernel.deliver(ExitSignal(REMOTE, trapper, BOOM, linked=True))
    kernel.run()
    assert seen == []


def test_their_unlink_is_acknowledged_before_anything_else(kernel: Kernel, trapper: Pid, seen: Any) -> None:
    kernel.deliver(LinkSignal(REMOTE, trapper))
    kernel.deliver(UnlinkSignal(REMOTE, trapper, 77))
    kernel.send(trapper, REMOTE, 1)
    assert kernel.outgoing() == [UnlinkAckSignal(trapper, REMOTE, 77), MessageSignal(trapper, REMOTE, 1)]
    kernel.deliver(ExitSignal(REMOTE, trapper, BOOM, linked=True))
    kernel.run()
    assert seen == []


@pytest.mark.parametrize("to", ["living", "gone"])
def test_their_unlink_is_acknowledged_in_any_case(kernel: Kernel, trapper: Pid, to: str) -> None:
    pid = trapper if to == "living" else GONE
    kernel.deliver(UnlinkSignal(REMOTE, pid, 1 << 63))
    assert kernel.outgoing() == [UnlinkAckSignal(pid, REMOTE, 1 << 63)]
    kernel.deliver(UnlinkAckSignal(REMOTE, pid, 5))
    assert kernel.outgoing() == []


def test_both_unlink_at_once(kernel: Kernel, trapper: Pid) -> None:
    link(kernel, trapper, REMOTE)
    unlink(kernel, trapper, REMOTE)
    kernel.outgoing()
    kernel.deliver(UnlinkSignal(REMOTE, trapper, 9))
    assert kernel.outgoing() == [UnlinkAckSignal(trapper, REMOTE, 9)]
    assert len(kernel.links) == 1  # until our own unlink is acknowledged
    kernel.deliver(UnlinkAckSignal(REMOTE, trapper, 1))
    assert len(kernel.links) == 0


def test_a_lost_node_breaks_active_links_once(kernel: Kernel, trapper: Pid, seen: Any) -> None:
    others = [Pid("b@host", number, 0, 1) for number in range(1, 4)]
    elsewhere = Pid("c@host", 1, 0, 1)
    for other in [*others, elsewhere]:
        link(kernel, trapper, other)
    unlink(kernel, trapper, others[1])
    kernel.nodes.down("b@host")
    kernel.nodes.down("b@host")
    kernel.run()
    assert seen == [Exit(others[0], NOCONNECTION), Exit(others[2], NOCONNECTION)]
    assert list(kernel.table.by_pid[trapper].links or ()) == [elsewhere]
    assert len(kernel.links) == 1


def test_a_lost_node_ends_who_does_not_trap(kernel: Kernel, trapper: Pid, spawn: Spawn, seen: Any) -> None:
    pids = [spawn(end_when_told) for _ in range(3)]
    kernel.run()
    for pid in pids:
        link(kernel, pid, REMOTE)
        link(kernel, pid, pids[0])
    link(kernel, trapper, pids[2])
    kernel.outgoing()
    kernel.nodes.down("b@host")
    kernel.run()
    assert seen == [Exit(pids[2], NOCONNECTION)]
    assert list(kernel.table.by_pid) == [trapper]
    assert kernel.outgoing() == []
