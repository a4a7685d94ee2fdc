"""Monitors inside the node and between nodes."""

from collections.abc import Callable
from typing import Any

import pytest
from etf_codec import Atom, Pid, Reference
from otp_behaviors import (
    KILL,
    KILLED,
    NOCONNECTION,
    NOPROC,
    DemonitorSignal,
    Down,
    DownSignal,
    ExitError,
    Kernel,
    MonitorSignal,
    Process,
    RemoteName,
)

Spawn = Callable[..., Pid]
Play = Callable[..., Any]

BOOM = Atom("boom")
REMOTE = Pid("b@host", 5, 0, 1)
THEIR_NAME = RemoteName("server", "b@host")
THEIR_REF = Reference("b@host", 1, (1, 2, 3))
GONE = Pid("a@host", 4000, 0, 7)


async def end_when_told(self: Process) -> None:
    raise ExitError(await self.receive())


async def wait(self: Process) -> None:
    await self.receive(lambda message: False)


def test_each_monitor_fires_once(play: Play, spawn: Spawn) -> None:
    async def scenario(self: Process) -> None:
        pid = spawn(end_when_told)
        refs = [self.monitor(pid) for _ in range(3)]
        self.send(pid, BOOM)
        assert [await self.receive() for _ in refs] == [Down(ref, pid, BOOM) for ref in refs]
        with pytest.raises(TimeoutError):
            await self.receive(timeout=1.0)
        assert not any(self.demonitor(ref) for ref in refs)

    play(scenario)


def test_down_is_erlangs_tuple(play: Play, spawn: Spawn) -> None:
    async def scenario(self: Process) -> None:
        ref = self.monitor(GONE)
        match await self.receive():
            case Down(found, who, reason):
                assert (found, who, reason) == (ref, GONE, NOPROC)
        self.send(self.pid, Down(ref, GONE, NOPROC))
        assert await self.receive() == (Atom("DOWN"), ref, Atom("process"), GONE, NOPROC)

    play(scenario)


def test_a_name_is_watched_by_its_holder(play: Play, spawn: Spawn) -> None:
    async def scenario(self: Process) -> None:
        pid = spawn(end_when_told, name="server")
        by_name, by_remote_name = self.monitor("server"), self.monitor(RemoteName("server", "a@host"))
        self.unregister("server")
        spawn(wait, name="server")  # another holder of the name changes nothing
        self.send(pid, BOOM)
        who = (Atom("server"), Atom("a@host"))
        assert await self.receive() == Down(by_name, who, BOOM)
        assert await self.receive() == Down(by_remote_name, who, BOOM)

    play(scenario)


@pytest.mark.parametrize("to", [GONE, "nobody", Atom("nobody"), RemoteName("nobody", "a@host")])
def test_nobody_there(play: Play, to: Any) -> None:
    async def scenario(self: Process) -> Any:
        ref = self.monitor(to)
        down = await self.receive(timeout=0)
        assert down[1] == ref
        return down[4]

    assert play(scenario) == NOPROC


def test_a_process_that_watches_itself_hears_nothing(play: Play, spawn: Spawn, kernel: Kernel) -> None:
    async def narcissus(self: Process) -> None:
        self.monitor(self.pid)

    pid = spawn(narcissus)
    kernel.run()
    assert pid not in kernel.table.by_pid


def test_demonitor(play: Play, spawn: Spawn) -> None:
    async def scenario(self: Process) -> None:
        pid = spawn(end_when_told)
        ref = self.monitor(pid)
        assert self.demonitor(ref)
        assert not self.demonitor(ref)
        self.send(pid, BOOM)
        with pytest.raises(TimeoutError):
            await self.receive(timeout=1.0)

    play(scenario)


@pytest.mark.parametrize("flush", [False, True])
def test_flush_takes_the_down_and_nothing_else(play: Play, flush: bool) -> None:
    async def scenario(self: Process) -> int:
        refs = [self.monitor(GONE), self.monitor(GONE)]
        self.send(self.pid, "else")
        assert self.demonitor(refs[1], flush) is False
        left = 0
        while True:
            try:
                message = await self.receive(timeout=0)
            except TimeoutError:
                return left
            left += 1
            if flush:
                assert message in (Down(refs[0], GONE, NOPROC), "else")

    assert play(scenario) == (2 if flush else 3)


def test_the_watcher_that_ends_takes_its_monitors_along(kernel: Kernel, spawn: Spawn) -> None:
    watched = spawn(wait)

    async def watch(self: Process) -> None:
        self.monitor(watched)
        self.monitor(REMOTE)

    watcher = spawn(watch)
    kernel.run()
    assert not kernel.table.by_pid[watched].monitored_by
    monitor, demonitor = kernel.outgoing()
    assert isinstance(monitor, MonitorSignal)
    assert demonitor == DemonitorSignal(watcher, REMOTE, monitor.ref)
    assert len(kernel.monitors) == 0


# Between nodes


@pytest.mark.parametrize(
    ("to", "who"), [(REMOTE, REMOTE), (THEIR_NAME, (Atom("server"), Atom("b@host")))], ids=["pid", "name"]
)
def test_ours_watches_theirs(play: Play, kernel: Kernel, to: Any, who: Any) -> None:
    async def scenario(self: Process) -> None:
        ref = self.monitor(to)
        assert kernel.outgoing() == [MonitorSignal(self.pid, to, ref)]
        kernel.deliver(DownSignal(to, self.pid, ref, BOOM))
        kernel.deliver(DownSignal(to, self.pid, ref, BOOM))
        kernel.nodes.down("b@host")
        assert await self.receive() == Down(ref, who, BOOM)
        with pytest.raises(TimeoutError):
            await self.receive(timeout=1.0)

    play(scenario)
    assert len(kernel.monitors) == 0
    assert kernel.outgoing() == []


def test_demonitor_of_theirs(play: Play, kernel: Kernel) -> None:
    async def scenario(self: Process) -> None:
        ref = self.monitor(THEIR_NAME)
        assert self.demonitor(ref)
        assert kernel.outgoing()[1:] == [DemonitorSignal(self.pid, THEIR_NAME, ref)]
        kernel.deliver(DownSignal(THEIR_NAME, self.pid, ref, BOOM))  # it crossed our demonitor
        with pytest.raises(TimeoutError):
            await self.receive(timeout=1.0)

    play(scenario)


def test_a_down_of_another_node_than_the_watched_one_is_ignored(play: Play, kernel: Kernel) -> None:
    async def scenario(self: Process) -> None:
        ref = self.monitor(REMOTE)
        kernel.deliver(DownSignal(Pid("c@host", 5, 0, 1), self.pid, ref, BOOM))
        with pytest.raises(TimeoutError):
            await self.receive(timeout=1.0)

    play(scenario)


@pytest.mark.parametrize("by", ["pid", "name"])
def test_theirs_watches_ours(kernel: Kernel, spawn: Spawn, by: str) -> None:
    pid = spawn(wait, name="server")
    to: Pid | RemoteName = pid if by == "pid" else RemoteName("server", "a@host")
    kernel.deliver(MonitorSignal(REMOTE, to, THEIR_REF))
    assert len(kernel.monitors) == 1
    kernel.send_exit(REMOTE, pid, BOOM)
    assert kernel.outgoing() == [DownSignal(to, REMOTE, THEIR_REF, BOOM)]
    assert len(kernel.monitors) == 0


@pytest.mark.parametrize("to", [GONE, RemoteName("nobody", "a@host")])
def test_theirs_watches_nobody(kernel: Kernel, to: Pid | RemoteName) -> None:
    kernel.deliver(MonitorSignal(REMOTE, to, THEIR_REF))
    assert kernel.outgoing() == [DownSignal(to, REMOTE, THEIR_REF, NOPROC)]


def test_their_demonitor(kernel: Kernel, spawn: Spawn) -> None:
    pid = spawn(wait)
    kernel.deliver(MonitorSignal(REMOTE, pid, THEIR_REF))
    kernel.deliver(DemonitorSignal(REMOTE, pid, THEIR_REF))
    kernel.deliver(DemonitorSignal(REMOTE, pid, THEIR_REF))
    kernel.send_exit(REMOTE, pid, KILL)
    assert kernel.outgoing() == []
    assert len(kernel.monitors) == 0


def test_their_reference_stands_for_one_monitor(kernel: Kernel, spawn: Spawn) -> None:
    first, second = spawn(wait), spawn(wait)
    for pid in (first, second, second):
        kernel.deliver(MonitorSignal(REMOTE, pid, THEIR_REF))
    assert (kernel.monitors.count("b@host"), kernel.nodes.bonds_with("b@host")) == (1, 1)
    kernel.send_exit(REMOTE, first, KILL)
    assert kernel.outgoing() == []
    kernel.send_exit(REMOTE, second, KILL)
    assert kernel.outgoing() == [DownSignal(second, REMOTE, THEIR_REF, KILLED)]
    assert kernel.nodes.bonds_with("b@host") == 0


def test_a_lost_node_fires_each_monitor_once(play: Play, kernel: Kernel) -> None:
    async def scenario(self: Process) -> None:
        refs = [self.monitor(REMOTE), self.monitor(THEIR_NAME)]
        elsewhere = self.monitor(Pid("c@host", 1, 0, 1))
        kernel.deliver(MonitorSignal(REMOTE, self.pid, THEIR_REF))
        kernel.outgoing()
        kernel.nodes.down("b@host")
        kernel.nodes.down("b@host")
        assert {(await self.receive())[1:5:3] for _ in refs} == {(ref, NOCONNECTION) for ref in refs}
        with pytest.raises(TimeoutError):
            await self.receive(timeout=1.0)
        assert len(kernel.monitors) == 1
        assert self.demonitor(elsewhere)

    play(scenario)
    assert [type(signal) for signal in kernel.outgoing()] == [DemonitorSignal]
