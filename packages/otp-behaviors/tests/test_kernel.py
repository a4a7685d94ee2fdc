"""Mailboxes, the run queue, names and exits."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from etf_codec import Atom, Pid, Reference
from otp_behaviors import (
    KILL,
    KILLED,
    NORMAL,
    CrashReport,
    Exit,
    ExitError,
    ExitSignal,
    GenServer,
    GroupLeaderSignal,
    Kernel,
    MessageSignal,
    NameTaken,
    Process,
    RemoteName,
)
from otp_behaviors._process import FunctionProcess

Spawn = Callable[..., Pid]
Play = Callable[..., Any]

BOOM = Atom("boom")
OTHER = Pid("b@host", 1, 0, 1)


async def wait(self: Process) -> None:
    await self.receive(lambda message: False)


async def trap_into(self: Process, seen: list[Any]) -> None:
    self.trap_exit = True
    while True:
        seen.append(await self.receive())


def test_messages_of_one_sender_keep_their_order(play: Play, spawn: Spawn) -> None:
    async def send_thousand(self: Process, to: Pid) -> None:
        for number in range(1000):
            self.send(to, number)

    async def scenario(self: Process) -> list[Any]:
        spawn(send_thousand, self.pid)
        return [await self.receive() for _ in range(1000)]

    assert play(scenario) == list(range(1000))


def test_a_selective_receive_leaves_the_rest_in_order(play: Play) -> None:
    async def scenario(self: Process) -> list[Any]:
        for number in range(6):
            self.send(self.pid, number)
        odd = [await self.receive(lambda message: message % 2) for _ in range(3)]
        return odd + [await self.receive() for _ in range(3)]

    assert play(scenario) == [1, 3, 5, 0, 2, 4]


def test_messages_of_another_node_find_who_is_there_and_keep_nobody(kernel: Kernel) -> None:
    class Ear(GenServer):
        def init(self, heard: list[Any]) -> None:
            self.heard = heard
            ears.append(weakref.ref(self))

        def handle_info(self, message: Any) -> None:
            self.heard.append(message)

    def tell(*pids: Pid) -> None:
        for pid in pids:
            kernel.deliver(MessageSignal(OTHER, pid, "hello"))
        kernel.run()

    ears: list[weakref.ref[Ear]] = []
    heard: list[list[Any]] = [[], []]
    first, second = (kernel.spawn(Ear.__process__(kernel, (each,))) for each in heard)
    kernel.run()
    tell(first, first, second, first, Pid("a@host", 999, 0, 7), first)
    assert heard == [["hello"] * 4, ["hello"]]
    kernel.send_exit(OTHER, first, KILL)
    tell(first)
    assert heard[0] == ["hello"] * 4
    gc.collect()
    assert [ear() is None for ear in ears] == [True, False]


def test_a_message_to_nobody_is_dropped(play: Play, kernel: Kernel) -> None:
    async def scenario(self: Process) -> None:
        self.send(Pid("a@host", 999, 0, 7), 1)
        self.send("nobody", 1)
        self.send(RemoteName("nobody", "a@host"), 1)
        self.send(self._kernel.make_ref(), 1)

    play(scenario)
    assert kernel.outgoing() == []


def test_what_goes_to_another_node_comes_out_in_order(kernel: Kernel, spawn: Spawn) -> None:
    pid = spawn(wait)
    for number in range(3):
        kernel.send(pid, OTHER if number % 2 else RemoteName("x", "b@host"), number)
    assert kernel.outbox
    assert kernel.outgoing() == [
        MessageSignal(pid, RemoteName("x", "b@host"), 0),
        MessageSignal(pid, OTHER, 1),
        MessageSignal(pid, RemoteName("x", "b@host"), 2),
    ]
    assert not kernel.outbox


def test_what_comes_from_another_node_reaches_pid_and_name(kernel: Kernel, spawn: Spawn) -> None:
    seen: list[Any] = []
    pid = spawn(trap_into, seen, name="x")
    kernel.run()
    kernel.deliver(MessageSignal(OTHER, pid, 1))
    kernel.deliver(MessageSignal(OTHER, RemoteName("x", "a@host"), 2))
    kernel.deliver(MessageSignal(OTHER, RemoteName("y", "a@host"), 3))
    kernel.deliver(ExitSignal(OTHER, pid, BOOM, linked=False))
    kernel.deliver(GroupLeaderSignal(None, pid, OTHER))
    kernel.run()
    assert seen == [1, 2, Exit(OTHER, BOOM)]
    assert kernel.table.by_pid[pid].group_leader == OTHER


def test_processes_take_turns(kernel: Kernel, spawn: Spawn) -> None:
    order: list[str] = []

    async def pass_on(self: Process, name: str) -> None:
        while True:
            await self.receive()
            order.append(name)

    a, b = spawn(pass_on, "a"), spawn(pass_on, "b")
    kernel.run()
    for pid in (a, b, a):
        kernel.send(a, pid, 1)
    kernel.run()
    assert order == ["a", "a", "b"]


def test_a_budget_ends_the_run_and_loses_nothing(kernel: Kernel, spawn: Spawn) -> None:
    ended: list[int] = []

    async def end(self: Process, number: int) -> None:
        ended.append(number)

    for number in range(10):
        spawn(end, number)
    assert kernel.run(15) == 15
    assert ended == list(range(5))
    while kernel.run(3):
        assert len(ended) <= 10
    assert kernel.idle
    assert ended == list(range(10))


def test_run_inside_run_does_nothing(play: Play, kernel: Kernel) -> None:
    async def scenario(self: Process) -> tuple[bool, int]:
        return kernel.running, kernel.run()

    assert play(scenario) == (True, 0)
    assert not kernel.running


def test_a_name_is_released_before_links_and_monitors_fire(play: Play, spawn: Spawn) -> None:
    async def named(self: Process) -> None:
        await self.receive()

    async def scenario(self: Process) -> list[Any]:
        self.trap_exit = True
        pid = spawn(named, name="x")
        self.link(pid)
        ref = self.monitor("x")
        assert self.whereis("x") == pid
        self.send("x", "go")
        first, second = await self.receive(), await self.receive()
        return [first, second[:1] + second[3:], second[1] == ref, self.whereis("x")]

    exit, down, same, there = play(scenario)
    assert exit == Exit(exit.pid, NORMAL)
    assert down == (Atom("DOWN"), (Atom("x"), Atom("a@host")), NORMAL)
    assert same
    assert there is None


def test_a_taken_name_starts_nothing(kernel: Kernel, spawn: Spawn) -> None:
    first = spawn(wait, name="x")
    with pytest.raises(NameTaken, match="'x'") as caught:
        spawn(wait, name="x")
    assert caught.value.reason == (Atom("already_started"), first)
    assert list(kernel.table.by_pid) == [first]


def test_too_many_processes() -> None:
    kernel = Kernel(max_processes=2)
    records = [FunctionProcess(kernel, wait, ()) for _ in range(3)]
    for record in records:
        record.driven = True
    kernel.spawn(records[0])
    kernel.spawn(records[1])
    with pytest.raises(ExitError, match="2 processes") as caught:
        kernel.spawn(records[2])
    assert caught.value.reason == Atom("system_limit")


def test_references_differ_and_are_marked(kernel: Kernel) -> None:
    refs: list[Reference] = [kernel.make_ref(number % 2) for number in range(1000)]
    assert len(set(refs)) == 1000
    assert [kernel.references.is_request(ref) for ref in refs] == [bool(number % 2) for number in range(1000)]
    assert all(ref.ids[0] < 1 << 18 and max(ref.ids) < 1 << 32 for ref in refs)
    other_seed = Kernel("a@host", 7, seed=43 << 40)
    assert other_seed.make_ref().ids != Kernel("a@host", 7, seed=42).make_ref().ids


# Exit signals; the table of "Receiving Exit Signals" in the Erlang reference manual.


@pytest.mark.parametrize(
    ("reason", "trapping", "ends_with", "message"),
    [
        (BOOM, False, BOOM, None),
        (BOOM, True, None, BOOM),
        (NORMAL, False, None, None),
        (NORMAL, True, None, NORMAL),
        (KILLED, True, None, KILLED),
        (KILL, False, KILLED, None),
        (KILL, True, KILLED, None),
        ((Atom("kill"), 1), True, None, (Atom("kill"), 1)),
    ],
)
def test_exit_2(play: Play, spawn: Spawn, reason: Any, trapping: bool, ends_with: Any, message: Any) -> None:
    seen: list[Any] = []

    async def scenario(self: Process) -> tuple[Pid, list[Any]]:
        pid = spawn(trap_into, seen) if trapping else spawn(wait)
        ref = self.monitor(pid)
        self.send(pid, "started?")
        with pytest.raises(TimeoutError):
            await self.receive(timeout=0.1)
        self.exit(pid, reason)
        try:
            down = await self.receive(timeout=0.1)
        except TimeoutError:
            return self.pid, [None]
        assert down[1] == ref
        return self.pid, [down[4]]

    sender, ended = play(scenario)
    assert ended == [ends_with]
    if trapping:
        assert seen[1:] == ([] if message is None else [Exit(sender, message)])


@pytest.mark.parametrize(("reason", "ends_with"), [(NORMAL, NORMAL), (BOOM, BOOM), (KILL, KILLED)])
def test_exit_2_to_itself_ends_it_after_the_turn(
    play: Play, spawn: Spawn, reason: Any, ends_with: Any
) -> None:
    after: list[str] = []

    async def suicide(self: Process) -> None:
        self.exit(self.pid, reason)
        after.append("the turn goes on")
        await self.receive()
        after.append("never reached")

    async def scenario(self: Process) -> Any:
        self.monitor(spawn(suicide))
        return (await self.receive())[4]

    assert play(scenario) == ends_with
    assert after == ["the turn goes on"]


def test_a_link_carries_kill_unchanged_and_it_can_be_trapped(play: Play, spawn: Spawn) -> None:
    async def die(self: Process) -> None:
        raise ExitError(KILL)

    async def scenario(self: Process) -> Any:
        self.trap_exit = True
        pid = spawn(die, parent=self, link=True)
        return pid, await self.receive()

    pid, message = play(scenario)
    assert message == Exit(pid, KILL)


def test_an_uncaught_exception_becomes_error_and_stack_trace(play: Play, spawn: Spawn) -> None:
    async def crash(self: Process) -> None:
        raise ValueError("no such value")

    async def scenario(self: Process) -> Any:
        self.monitor(spawn(crash))
        return (await self.receive())[4]

    (name, text), stack = play(scenario)
    assert (name, text) == (Atom("ValueError"), b"no such value")
    assert stack[0][1:3] == (Atom("crash"), 1)


def test_only_an_end_that_is_not_clean_is_reported(kernel: Kernel, spawn: Spawn) -> None:
    async def end(self: Process, reason: Any) -> None:
        raise ExitError(reason)

    for reason in (NORMAL, Atom("shutdown"), (Atom("shutdown"), 1), BOOM):
        spawn(end, reason)
    kernel.run()
    reports = [effect for effect in kernel.effects if isinstance(effect, CrashReport)]
    assert [(report.reason, report.initial_call[1:]) for report in reports] == [
        (BOOM, (end.__qualname__, 1)),
    ]


def test_ten_thousand_linked_in_a_ring_end_once(kernel: Kernel, spawn: Spawn) -> None:
    ends: list[tuple[Pid, Any]] = []

    class Watcher:
        def monitoring(self, ref: Reference, monitor: Any) -> None:
            pass

        def down(self, ref: Reference, reason: Any) -> None:
            ends.append((pids[ref], reason))

    ring = [spawn(wait) for _ in range(10_000)]
    kernel.run(100_000)
    watcher, pids = Watcher(), {}
    for pid, following in zip(ring, [*ring[1:], ring[0]], strict=True):
        kernel.links.link(kernel.table.by_pid[pid], following)
        pids[kernel.monitor(watcher, ring[0], pid)] = pid
    kernel.send_exit(ring[0], ring[5000], BOOM)
    assert len(ends) == 10_000
    assert {pid for pid, _ in ends} == set(ring)
    assert {reason for _, reason in ends} == {BOOM}
    assert not kernel.table.by_pid


def test_a_star_of_ten_thousand_ends_once(kernel: Kernel, spawn: Spawn) -> None:
    centre = spawn(wait)
    for _ in range(10_000):
        kernel.links.link(kernel.table.by_pid[spawn(wait)], centre)
    kernel.send_exit(OTHER, centre, BOOM)
    assert not kernel.table.by_pid


class Book(GenServer):
    """Writes down what it gets."""

    def init(self, pages: list[Any]) -> None:
        self.pages = pages

    def handle_info(self, message: Any) -> None:
        self.pages.append(message)


def test_a_suspended_server_gets_no_turns_until_it_is_resumed(kernel: Kernel) -> None:
    pages: list[Any] = []
    pid = kernel.spawn(Book.__process__(kernel, (pages,)))
    assert kernel.suspend(pid)  # before its first turn
    kernel.send(OTHER, pid, 1)
    kernel.run()
    assert pages == []
    kernel.resume(pid)
    kernel.run()
    assert pages == [1]
    assert kernel.suspend(pid)  # between two
    assert not kernel.suspend(pid)
    kernel.send(OTHER, pid, 2)
    kernel.run()
    assert pages == [1]
    kernel.resume(pid)
    kernel.resume(pid)
    kernel.run()
    assert pages == [1, 2]
    assert kernel.suspend(pid)
    kernel.send_exit(OTHER, pid, KILL)
    kernel.resume(pid)
    kernel.run()
    assert not kernel.suspend(pid)
    assert kernel.idle


def test_a_process_that_waits_in_a_coroutine_is_not_suspended(kernel: Kernel, spawn: Spawn) -> None:
    pid = spawn(wait)
    kernel.run()
    assert not kernel.suspend(pid)


def test_signals_go_out_before_more_processes_run(kernel: Kernel, spawn: Spawn) -> None:
    async def tell(self: Process) -> None:
        self.send(OTHER, "hello")

    for _ in range(100):
        spawn(tell)
    batches = []
    while not kernel.idle:
        kernel.run()
        batches.append(len(kernel.outgoing()))
    assert batches == [64, 36]
