"""For how long the event loop stays awake after a message, and that it does."""

import asyncio
import selectors
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import anyio
import pytest
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from ergo_node import Epmd, Node
from ergo_node._busy_wait import BUSY_WAIT, HOPS, LEFT_OUT, NEEDLESS, REST, BusyWait, EventLoop
from ergo_node._event_loop import TaskLoop, shared
from ergo_node._event_loop_asyncio import AsyncioLoop
from ergo_node._transport_asyncio import on_asyncio
from etf_codec import Atom
from hypothesis import given
from hypothesis import strategies as st

SECONDS = 10.0


class Loop:
    """An event loop that turns when it is told to."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.wait = BusyWait(seconds)
        self.timer: tuple[float, Callable[[], None]] | None = None
        self.turn: Callable[[float], bool] | None = None
        self.now = 0.0
        self.begun = 0

    def keep_awake(self, turn: Callable[[float], bool], ended: Callable[[], None]) -> None:
        assert self.turn is None
        self.turn, self.ended = turn, ended
        self.begun += 1

    def call_later(self, seconds: float, action: Callable[[], None]) -> None:
        assert self.timer is None
        self.timer = (self.now + seconds, action)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in which the loop may sleep."""
        self.now += seconds
        if self.timer is not None and self.timer[0] <= self.now:
            (_, action), self.timer = self.timer, None
            action()

    def turns(self, count: int, seconds: float = 0.0) -> bool:
        """Turn so many times, that much time apart; whether the loop stays awake."""
        for _ in range(count):
            self.pass_time(seconds)
            if self.turn is not None and not self.turn(self.now):
                self.turn = None
        return self.turn is not None

    def end(self) -> None:
        """The node that has the loop stay awake ends."""
        self.turn = None
        self.ended()

    def message(self) -> bool:
        """A message; whether the loop stays awake for the next one."""
        self.wait.message(self)
        return self.turn is not None

    def message_in_vain(self) -> bool:
        """A message that nothing follows; whether the loop stayed awake for it."""
        awake = self.message()
        self.turns(2, SECONDS)
        assert self.turn is None
        return awake

    def conversation(self, messages: int) -> int:
        """Messages that follow each other; for how many of them the loop was awake."""
        awake = 0
        for _ in range(messages):
            awake += self.turn is not None
            self.message()
            self.turns(HOPS + 1, SECONDS / 100)
        return awake


def test_the_loop_stays_awake_for_the_time_after_a_message_and_no_longer() -> None:
    loop = Loop()
    assert not loop.turns(1)
    assert loop.message()
    assert loop.turns(1)
    assert loop.turns(9, SECONDS / 10)
    assert not loop.turns(1, SECONDS / 10)


def test_each_message_of_a_conversation_begins_the_time_anew() -> None:
    loop = Loop()
    assert loop.conversation(1000) == 999
    assert loop.begun == 1


def test_a_loop_that_does_not_sleep_anyway_is_left_alone() -> None:
    loop = Loop()
    turns = 0
    for _ in range(100 * NEEDLESS):
        loop.message()
        turns += loop.turn is not None
        loop.turns(HOPS)
    assert turns <= NEEDLESS + 2
    loop.pass_time(REST)
    assert loop.message()  # once more it is looked at, by one message
    loop.turns(HOPS)
    loop.message()
    assert not loop.turns(1)


def test_an_answer_that_is_there_at_once_now_and_then_is_no_reason_to_sleep() -> None:
    loop = Loop()
    for number in range(100 * NEEDLESS):
        loop.message()
        loop.turns(HOPS if number % NEEDLESS else HOPS + 1)
    assert loop.begun == 1
    for _ in range(2 * NEEDLESS):  # so it rests, and begins again
        loop.message()
        loop.turns(HOPS)
    loop.pass_time(REST)
    assert loop.conversation(200) == 199
    assert loop.begun == 2


def test_the_node_that_keeps_the_loop_awake_may_end_and_another_one_goes_on() -> None:
    loop = Loop()
    for _ in range(3):
        assert loop.message()
        loop.turns(1)
        loop.message()
        loop.end()
    assert loop.begun == 3


def test_a_wait_that_nothing_came_in_is_left_out_more_and_more_often() -> None:
    loop = Loop()
    waits = [number for number in range(127) if loop.message_in_vain()]
    assert waits == [0, 2, 6, 14, 30, 62, 126]
    assert waits[-1] - waits[-2] == LEFT_OUT + 1


def test_waits_that_never_pay_are_left_out_for_a_while_each() -> None:
    loop = Loop(BUSY_WAIT)
    begun = []
    for _ in range(10_000):
        if loop.message():
            begun.append(loop.now)
        loop.turns(3, BUSY_WAIT)
    waits = list(pairwise(begun[8:]))
    assert len(waits) > 100
    assert all(REST <= later - earlier <= REST + 6 * BUSY_WAIT for earlier, later in waits)


def test_a_conversation_after_waits_in_vain_has_the_loop_awake_again() -> None:
    loop = Loop()
    for _ in range(1000):
        loop.message_in_vain()
    assert loop.conversation(200) >= 200 - LEFT_OUT - 1
    loop.turns(2, SECONDS)
    assert loop.conversation(200) >= 197  # one wait in vain is forgiven soon


@given(st.lists(st.one_of(st.just("message"), st.floats(0, 3 * SECONDS))))
def test_it_is_awake_only_within_the_time_after_a_message(steps: list[str | float]) -> None:
    loop = Loop()
    last = None
    for step in steps:
        if isinstance(step, str):
            loop.message()
            loop.turns(1)
            last = loop.now
        elif loop.turns(1, step):
            assert last is not None
            assert loop.now < last + SECONDS
        assert loop.wait.waiting == (loop.turn is not None)


@pytest.mark.parametrize("seconds", [-0.1, float("inf"), float("nan")])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="busy_wait is a number of seconds from 0 up"):
        Node("a@127.0.0.1", "secret", busy_wait=seconds)


def event_loops(tasks: TaskGroup) -> list[EventLoop]:
    """Those of the backend that runs."""
    return [TaskLoop(tasks), AsyncioLoop()] if on_asyncio() else [TaskLoop(tasks)]


@pytest.mark.anyio
async def test_an_event_loop_turns_until_it_is_told_not_to_and_lets_others_run() -> None:
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for loop in event_loops(tasks):
                turns: list[float] = []
                done = anyio.Event()

                def turn(now: float, turns: list[float] = turns, done: anyio.Event = done) -> bool:
                    turns.append(now)
                    if len(turns) == 50:
                        done.set()
                    return len(turns) < 50

                loop.keep_awake(turn, done.set)
                await done.wait()
                await anyio.wait_all_tasks_blocked()
                assert len(turns) == 50
                assert turns == sorted(turns)


@pytest.mark.anyio
async def test_an_event_loop_calls_later_and_not_before() -> None:
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for loop in event_loops(tasks):
                called = anyio.Event()
                began = anyio.current_time()
                loop.call_later(0.05, called.set)
                await called.wait()
                # Loops that count in milliseconds may be early.
                assert anyio.current_time() >= began + 0.045


@pytest.mark.anyio
async def test_what_the_tasks_of_a_node_did_is_not_left_open_when_they_end() -> None:
    done = []
    async with anyio.create_task_group() as tasks:
        loop = TaskLoop(tasks)
        loop.keep_awake(lambda now: True, lambda: done.append("awake"))
        loop.call_later(1000.0, lambda: done.append("later"))
        await checkpoint()
        tasks.cancel_scope.cancel()
    assert sorted(done) == ["awake", "later"]


def test_nodes_of_one_event_loop_share_what_takes_equally_long() -> None:
    async def get(*seconds: float) -> list[BusyWait]:
        return [shared(BusyWait(each)) for each in seconds]

    first, second, other = anyio.run(get, 0.1, 0.1, 0.2)
    assert first is second
    assert other is not first
    assert anyio.run(get, 0.1) != [first]


class LookingSelector(selectors.DefaultSelector):
    """Counts how often it was asked what there is without being asked to wait for it."""

    looks = 0

    def select(self, timeout: float | None = None) -> Any:
        """Return what is ready."""
        self.looks += timeout == 0
        return super().select(timeout)


@pytest.mark.parametrize(("busy_wait", "least", "most"), [(0.2, 1000, 10**9), (0.0, 0, 999)])
def test_a_node_looks_for_what_follows_a_message(
    free_tcp_port: int, busy_wait: float, least: int, most: int
) -> None:
    selector = LookingSelector()

    async def looked() -> int:
        epmd = Epmd(free_tcp_port)
        async with (
            Node("a@127.0.0.1", "secret", epmd=epmd, busy_wait=0) as a,
            Node("b@127.0.0.1", "secret", epmd=epmd, busy_wait=busy_wait) as b,
        ):
            assert await a.ping(b.name)
            answered = anyio.Event()

            async def answer(process: Any) -> None:
                for _ in range(LEFT_OUT + 1):
                    await process.receive()
                    answered.set()

            to = b.spawn(answer)
            selector.looks = 0
            for _ in range(LEFT_OUT + 1):
                answered = anyio.Event()
                await a.send(to, Atom("hello"))
                await answered.wait()
                await anyio.sleep(0.01)  # there is nothing to do: what the loop does now is counted
            return selector.looks

    options = {"loop_factory": lambda: asyncio.SelectorEventLoop(selector)}
    assert least <= anyio.run(looked, backend="asyncio", backend_options=options) <= most
