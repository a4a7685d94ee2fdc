"""What calls to processes of other nodes watch: one monitor for many calls, for as long as there are any."""

from collections.abc import Callable
from typing import Any

import pytest
from etf_codec import Atom, Pid
from otp_behaviors import (
    KILL,
    AliasSignal,
    DemonitorSignal,
    DownSignal,
    ExitError,
    Kernel,
    MessageSignal,
    MonitorSignal,
    NoConnection,
    NoProcess,
    Process,
    RemoteName,
)
from otp_behaviors._callees import KEEP

OTHER, ANOTHER = Pid("b@host", 1, 0, 1), Pid("b@host", 2, 0, 1)
Spawn = Callable[..., Pid]


class Callers:
    """Processes that make a call for each message they get, and what became of the calls."""

    def __init__(self, kernel: Kernel, spawn: Spawn) -> None:
        self.kernel = kernel
        self.spawn = spawn
        self.results: list[Any] = []

    def start(self) -> Pid:
        """A process that calls one after the other."""

        async def caller(process: Process) -> None:
            while True:
                to: Any = await process.receive()
                try:
                    self.results.append(await process.call(to, "hi", None))
                except ExitError as error:
                    self.results.append(error)

        return self.spawn(caller)

    def call(self, caller: Pid, to: Pid | RemoteName = OTHER) -> list[Any]:
        """Have a process make a call; returns what it sends."""
        self.kernel.send(caller, caller, to)
        self.kernel.run()
        return self.kernel.outgoing()

    def answer(self, signal: Any) -> None:
        """Answer a call."""
        assert isinstance(signal, MessageSignal)
        assert isinstance(signal.to, Pid)
        tag: Any = signal.message[1][1]
        self.kernel.deliver(AliasSignal(signal.to, tag.tail, (tag, "reply")))
        self.kernel.run()

    def wait(self) -> list[Any]:
        """Let time pass to the next deadline; returns what is sent then."""
        deadline = self.kernel.deadline()
        assert deadline is not None
        self.kernel.handle_time(deadline)
        self.kernel.run()
        return self.kernel.outgoing()


@pytest.fixture
def callers(kernel: Kernel, spawn: Spawn) -> Callers:
    return Callers(kernel, spawn)


def test_one_monitor_serves_all_calls_of_a_process_to_another(callers: Callers) -> None:
    first, second = callers.start(), callers.start()
    monitor, request = callers.call(first)
    assert monitor == MonitorSignal(first, OTHER, monitor.ref)
    callers.answer(request)
    (request,) = callers.call(first)
    assert request.message[1][1].tail != monitor.ref
    callers.answer(request)
    monitor_of_another, _ = callers.call(first, ANOTHER)
    assert monitor_of_another.to == ANOTHER
    monitor_of_second, _ = callers.call(second)
    assert (monitor_of_second.sender, monitor_of_second.to) == (second, OTHER)
    assert callers.results == ["reply", "reply"]
    assert len(callers.kernel.callees) == len(callers.kernel.monitors) == 3


def test_a_call_after_an_answered_one_keeps_nothing_of_it(callers: Callers) -> None:
    caller = callers.start()
    _, request = callers.call(caller)
    callers.answer(request)
    named = RemoteName("b", "b@host")
    monitor, second = callers.call(caller, named)
    assert monitor == MonitorSignal(caller, named, monitor.ref)
    first_tag, second_tag = (each.message[1][1] for each in (request, second))
    assert second_tag.tail == monitor.ref != first_tag.tail
    # The late reply to the first is nobody's.
    callers.kernel.deliver(AliasSignal(OTHER, first_tag.tail, (first_tag, "late")))
    callers.kernel.run()
    assert callers.results == ["reply"]
    callers.kernel.deliver(AliasSignal(OTHER, second_tag.tail, (second_tag, "second")))
    callers.kernel.run()
    assert callers.results == ["reply", "second"]
    assert callers.kernel.outgoing() == [DemonitorSignal(caller, named, monitor.ref)]


def test_a_call_after_one_that_was_answered_here_learns_of_the_end_of_the_callee(
    callers: Callers, spawn: Spawn
) -> None:
    caller = callers.start()
    monitor, request = callers.call(caller)
    ref = request.message[1][1].tail

    async def answers(process: Process) -> None:
        process.reply((caller, ref), "from here")

    spawn(answers)
    callers.kernel.run()
    assert callers.results == ["from here"]
    callers.call(caller)
    callers.kernel.deliver(DownSignal(OTHER, caller, monitor.ref, Atom("boom")))
    callers.kernel.run()
    assert [type(result) for result in callers.results] == [str, ExitError]
    assert not callers.kernel.aliases


def test_no_two_calls_have_one_tag(callers: Callers) -> None:
    names = [callers.start() for _ in range(3)]
    requests: list[Any] = []
    for turn in range(4):
        for caller in names:
            requests += [each for each in callers.call(caller) if isinstance(each, MessageSignal)]
            if turn % 2:
                callers.answer(requests[-1])
        for request in requests[-3:] if not turn % 2 else ():
            callers.answer(request)
    refs = [request.message[1][1].tail for request in requests]
    assert len({ref.ids for ref in refs}) == len(refs) == 12
    assert callers.results == ["reply"] * 12
    assert not callers.kernel.aliases


def test_who_is_called_no_more_is_watched_no_more(callers: Callers) -> None:
    caller = callers.start()
    monitor, request = callers.call(caller)
    callers.answer(request)
    assert callers.kernel.deadline() == KEEP
    assert callers.wait() == []
    (request,) = callers.call(caller)  # it was called between two looks
    callers.answer(request)
    assert callers.wait() == []
    assert callers.wait() == [DemonitorSignal(caller, OTHER, monitor.ref)]
    assert callers.kernel.deadline() is None
    assert len(callers.kernel.callees) == len(callers.kernel.monitors) == 0
    again, _ = callers.call(caller)
    assert again.ref != monitor.ref


def test_a_long_call_is_watched_to_its_end(callers: Callers) -> None:
    caller = callers.start()
    monitor, request = callers.call(caller)
    for _ in range(5):
        assert callers.wait() == []
    callers.answer(request)
    assert [*callers.wait(), *callers.wait()] == [DemonitorSignal(caller, OTHER, monitor.ref)]
    assert callers.results == ["reply"]


@pytest.mark.parametrize("again", [False, True])
def test_the_end_of_a_callee_ends_the_calls_to_it(callers: Callers, again: bool) -> None:
    caller, waiting = callers.start(), callers.start()
    monitor, request = callers.call(caller)
    callers.answer(request)
    of_waiting, _ = callers.call(waiting)
    if again:
        callers.call(caller)
    callers.kernel.deliver(DownSignal(OTHER, caller, monitor.ref, Atom("boom")))
    callers.kernel.deliver(DownSignal(OTHER, waiting, of_waiting.ref, Atom("noproc")))
    callers.kernel.run()
    assert [type(each) for each in callers.results[1:]] == ([ExitError] if again else []) + [NoProcess]
    assert len(callers.kernel.callees) == len(callers.kernel.monitors) == 0
    new_monitor, _ = callers.call(caller)
    assert new_monitor.ref != monitor.ref


def test_a_lost_connection_ends_the_calls_over_it(callers: Callers) -> None:
    caller = callers.start()
    callers.call(caller)
    callers.kernel.nodes.down("b@host", "it is gone")
    callers.kernel.run()
    assert [type(each) for each in callers.results] == [NoConnection]
    assert "it is gone" in str(callers.results[0])
    assert callers.kernel.outgoing() == []
    assert len(callers.kernel.callees) == 0


@pytest.mark.parametrize("answered", [False, True])
def test_who_ends_takes_its_monitors_along(callers: Callers, answered: bool) -> None:
    caller = callers.start()
    monitor, request = callers.call(caller)
    if answered:
        callers.answer(request)
    callers.kernel.send_exit(caller, caller, KILL)
    callers.kernel.run()
    assert callers.kernel.outgoing() == [DemonitorSignal(caller, OTHER, monitor.ref)]
    assert len(callers.kernel.callees) == len(callers.kernel.monitors) == 0
    assert not callers.kernel.aliases
