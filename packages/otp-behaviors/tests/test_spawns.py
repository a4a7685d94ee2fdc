"""Spawn requests: signals in, `outgoing()` out."""

from collections.abc import Callable
from typing import Any

import pytest
from etf_codec import Atom, Pid, Reference, Term
from otp_behaviors import (
    NOCONNECTION,
    NOPROC,
    NORMAL,
    DemonitorSignal,
    DownSignal,
    ExitError,
    ExitSignal,
    Kernel,
    Process,
    Signal,
    SpawnReplySignal,
    SpawnSignal,
)
from otp_behaviors._bonds import Monitor

Spawn = Callable[..., Pid]
Started = list[SpawnSignal]

THERE = "b@host"
REMOTE, LEADER, NEW = Pid(THERE, 5, 0, 1), Pid(THERE, 6, 0, 1), Pid(THERE, 9, 0, 1)
REF = Reference(THERE, 1, (1, 2, 3))
LINK, MONITOR, BADOPT = Atom("link"), Atom("monitor"), Atom("badopt")
MFA = (Atom("m"), Atom("f"), 1)


async def end_when_told(self: Process) -> None:
    raise ExitError(await self.receive())


@pytest.fixture
def started(kernel: Kernel, spawn: Spawn) -> Started:
    """The kernel starts a process that ends when told for each request; these are the requests."""
    requests: Started = []

    def start(signal: SpawnSignal) -> Pid:
        requests.append(signal)
        return spawn(end_when_told)

    kernel.spawns.start = start
    return requests


def ask(kernel: Kernel, options: Term) -> list[Signal]:
    kernel.deliver(SpawnSignal(REMOTE, "a@host", REF, LEADER, MFA, options, [1]))
    return kernel.outgoing()


@pytest.mark.parametrize(
    ("options", "linked", "monitored"),
    [
        ([], False, False),
        ([LINK], True, False),
        ([MONITOR], False, True),
        ([(MONITOR, [])], False, True),
        ([LINK, MONITOR, (Atom("priority"), Atom("high")), (Atom("min_heap_size"), 233)], True, True),
    ],
)
def test_a_request_is_answered_before_anything_else(
    kernel: Kernel, started: Started, options: Term, linked: bool, monitored: bool
) -> None:
    (reply,) = ask(kernel, options)
    assert isinstance(reply, SpawnReplySignal)
    pid = reply.result
    assert reply == SpawnReplySignal(REMOTE, REF, linked, monitored, pid)
    assert started[0].args == [1]
    assert isinstance(pid, Pid)
    kernel.send(REMOTE, pid, Atom("boom"))
    kernel.run()
    told: list[Signal] = [ExitSignal(pid, REMOTE, Atom("boom"), True)] if linked else []
    told += [DownSignal(pid, REMOTE, REF, Atom("boom"))] if monitored else []
    assert kernel.outgoing() == told


@pytest.mark.parametrize(
    "options",
    [[Atom("nonsense")], [(Atom("reply"), Atom("no"))], [(Atom("name"), Atom("x"))], [1], Atom("x")],
)
def test_an_unknown_option_is_refused(kernel: Kernel, started: Started, options: Term) -> None:
    assert ask(kernel, options) == [SpawnReplySignal(REMOTE, REF, False, False, BADOPT)]
    assert started == []


def test_a_kernel_that_starts_nothing_says_so(kernel: Kernel) -> None:
    assert ask(kernel, [LINK]) == [SpawnReplySignal(REMOTE, REF, False, False, Atom("notsup"))]


def test_too_many_processes(kernel: Kernel) -> None:
    def start(signal: SpawnSignal) -> Pid:
        raise ExitError(Atom("system_limit"))

    kernel.spawns.start = start
    assert ask(kernel, [LINK]) == [SpawnReplySignal(REMOTE, REF, False, False, Atom("system_limit"))]


class Asker:
    """Asks for a process, and keeps what it is told."""

    def __init__(self, kernel: Kernel, sender: Pid) -> None:
        self.told: list[Any] = []
        self.ref = kernel.make_ref()
        self.sender = sender
        self.kernel = kernel

    def ask(self, *options: Term, node: str = THERE) -> SpawnSignal:
        signal = SpawnSignal(self.sender, node, self.ref, self.sender, MFA, list(options), [1])
        self.kernel.spawns.request(self, signal)
        return signal

    def spawned(self, ref: Reference, pid: Pid) -> None:
        self.told.append(pid)

    def not_spawned(self, ref: Reference, error: Exception) -> None:
        assert isinstance(error, ExitError)
        self.told.append(error.reason)

    def monitoring(self, ref: Reference, monitor: Monitor) -> None:
        self.told.append(monitor.target)

    def down(self, ref: Reference, reason: Term) -> None:
        self.told.append((Atom("DOWN"), reason))


@pytest.fixture
def asker(kernel: Kernel, spawn: Spawn) -> Asker:
    asker = Asker(kernel, spawn(end_when_told))
    kernel.run()
    return asker


def test_the_answer_sets_up_link_and_monitor(kernel: Kernel, asker: Asker) -> None:
    signal = asker.ask(LINK, MONITOR)
    assert kernel.outgoing() == [signal]
    assert len(kernel.spawns) == 1
    kernel.deliver(SpawnReplySignal(asker.sender, asker.ref, True, True, NEW))
    assert asker.told == [NEW, NEW]
    assert (len(kernel.spawns), len(kernel.links), len(kernel.monitors)) == (0, 1, 1)
    kernel.deliver(DownSignal(NEW, asker.sender, asker.ref, Atom("why")))
    kernel.deliver(ExitSignal(NEW, asker.sender, Atom("why"), True))
    assert asker.told == [NEW, NEW, (Atom("DOWN"), Atom("why"))]
    assert asker.sender not in kernel.table.by_pid


def test_whoever_ended_meanwhile_breaks_the_link(kernel: Kernel, asker: Asker) -> None:
    asker.ask(LINK)
    kernel.send(REMOTE, asker.sender, NORMAL)
    kernel.run()
    kernel.outgoing()
    kernel.deliver(SpawnReplySignal(asker.sender, asker.ref, True, False, NEW))
    assert kernel.outgoing() == [ExitSignal(asker.sender, NEW, NOPROC, True)]


def test_a_refusal(kernel: Kernel, asker: Asker) -> None:
    asker.ask()
    kernel.deliver(SpawnReplySignal(asker.sender, asker.ref, False, False, BADOPT))
    assert asker.told == [BADOPT]
    assert len(kernel.spawns) == 0


def test_a_lost_node(kernel: Kernel, asker: Asker) -> None:
    asker.ask(MONITOR)
    kernel.nodes.down("c@host")
    assert asker.told == []
    kernel.nodes.down(THERE)
    assert asker.told == [NOCONNECTION]


def test_an_abandoned_request_gets_no_link_and_no_monitor(kernel: Kernel, asker: Asker) -> None:
    asker.ask(LINK, MONITOR)
    kernel.spawns.abandon(THERE, asker.ref)
    kernel.outgoing()
    kernel.deliver(SpawnReplySignal(asker.sender, asker.ref, True, True, NEW))
    assert kernel.outgoing() == [
        DemonitorSignal(asker.sender, NEW, asker.ref),
        ExitSignal(asker.sender, NEW, Atom("abandoned"), True),
    ]
    assert asker.told == []


def test_a_request_that_cannot_be_sent(kernel: Kernel, asker: Asker) -> None:
    signal = asker.ask(MONITOR)
    assert kernel.spawns.refuse(signal, ExitError(Atom("badarg")))
    assert asker.told == [Atom("badarg")]
    assert not kernel.spawns.refuse(signal, ExitError(Atom("badarg")))
    assert len(asker.told) == 1


def test_a_node_may_ask_itself(kernel: Kernel, started: Started, asker: Asker) -> None:
    asker.ask(LINK, MONITOR, node="a@host")
    assert kernel.outgoing() == []
    pid = asker.told[-1]
    assert asker.told == [pid, pid]
    kernel.run()
    kernel.send(REMOTE, pid, Atom("boom"))
    kernel.run()
    assert asker.told[2:] == [(Atom("DOWN"), Atom("boom"))]
    assert asker.sender not in kernel.table.by_pid
    assert kernel.outgoing() == []
