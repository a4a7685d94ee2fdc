"""A server's callbacks, one at a time, with everything they do written down."""

from typing import Any

import pytest
from etf_codec import Atom
from otp_behaviors import (
    NO_REPLY,
    NORMAL,
    Caller,
    CallTimeout,
    CrashReport,
    Down,
    Exit,
    ExitError,
    GenServer,
    Ignore,
    Stop,
    TerminateReport,
    UnexpectedMessage,
)
from otp_behaviors._gen_server import GenServer as Base
from otp_behaviors.testing import RecordingRuntime
from otp_behaviors.testing._recording import RECORDED

GET, TICK, BOOM, STOP, LATER, ASK = map(Atom, ("get", "tick", "boom", "stop", "later", "ask"))
CALLBACKS = {name for name in vars(Base) if name.startswith("handle_")} | {
    "init",
    "terminate",
    "format_status",
    "code_change",
}


class Counter(GenServer):
    def init(self, start: int = 0, every: float = 0) -> None:
        if start < 0:
            raise Stop((Atom("negative"), start))
        if start == 13:
            raise Ignore
        self.count = start
        self.waiting: list[Caller] = []
        self.seen: list[Any] = []
        self.trap_exit = True
        if every:
            self.send_after(every, self.pid, TICK)

    def handle_call(self, request: Any, caller: Caller) -> Any:
        if request == LATER:
            self.waiting.append(caller)
            return NO_REPLY
        if request == STOP:
            raise Stop(NORMAL, reply=self.count)
        if request == BOOM:
            raise ValueError("boom")
        self.cast("log", request)
        return self.count

    async def handle_cast(self, message: Any) -> None:
        if message == ASK:
            message = await self.call("log", ASK, timeout=2.0)
        self.count += message
        for caller in self.waiting:
            self.reply(caller, self.count)

    def handle_info(self, message: Any) -> None:
        self.seen.append(message)
        if message == TICK:
            self.count += 1

    def terminate(self, reason: Any) -> None:
        self.send("log", (STOP, reason))


@pytest.fixture
def recorder() -> RecordingRuntime:
    return RecordingRuntime()


def test_what_callbacks_do_is_written_down_and_done(recorder: RecordingRuntime) -> None:
    log = recorder.probe("log")
    counter = recorder.start(Counter, 10, name="counter")
    assert recorder.call(counter, GET) == 10
    assert recorder.did == [("cast", "log", GET)]
    assert log.received == [("cast", GET)]
    assert recorder.take() == [("cast", "log", GET)]
    assert recorder.did == []


def test_the_instance_is_of_the_class_with_its_state(recorder: RecordingRuntime) -> None:
    counter = recorder.start(Counter, 3)
    assert isinstance(counter, Counter)
    assert type(counter).__qualname__ == "Counter"
    assert vars(counter) | {"_record": 0, "_kernel": 0} == {
        "count": 3, "waiting": [], "seen": [], "_record": 0, "_kernel": 0,
    }  # fmt: skip


def test_a_callback_may_be_called_directly(recorder: RecordingRuntime) -> None:
    counter = recorder.start(Counter, 1)
    counter.handle_info(TICK)
    assert counter.count == 2
    assert recorder.run(counter, counter.handle_cast(40)) is None
    assert counter.count == 42
    with pytest.raises(Stop):
        counter.handle_call(STOP, recorder.caller())
    assert recorder.alive(counter)
    assert recorder.call(counter, GET) == 42


def test_an_error_of_a_direct_call_is_the_tests_own(recorder: RecordingRuntime) -> None:
    counter = recorder.start(Counter)
    with pytest.raises(TypeError):
        recorder.run(counter, counter.handle_cast("not a number"))
    assert recorder.alive(counter)


def test_deferred_replies(recorder: RecordingRuntime) -> None:
    counter = recorder.start(Counter)
    caller = recorder.caller()
    assert counter.handle_call(LATER, caller) is NO_REPLY
    recorder.cast(counter, 5)
    assert recorder.did == [("reply", caller, 5)]
    with pytest.raises(CallTimeout):
        recorder.call(counter, LATER, timeout=1.0)


def test_a_probe_answers_by_a_function(recorder: RecordingRuntime) -> None:
    log = recorder.probe("log", answer=lambda request: 7)
    counter = recorder.start(Counter)
    recorder.cast(counter, ASK)
    assert counter.count == 7
    assert recorder.did == [("call", "log", ASK, {"timeout": 2.0})]
    assert log.received == [("call", ASK)]


def test_a_probe_answers_when_the_test_says(recorder: RecordingRuntime) -> None:
    log = recorder.probe("log")
    counter = recorder.start(Counter)
    with pytest.raises(LookupError):
        log.reply(1)
    recorder.cast(counter, ASK)
    assert counter.count == 0
    log.reply(8)
    assert counter.count == 8


def test_a_probe_that_never_answers_lets_the_call_time_out(recorder: RecordingRuntime) -> None:
    recorder.probe("log")
    counter = recorder.start(Counter)
    recorder.cast(counter, ASK)
    recorder.advance(1.9)
    assert recorder.alive(counter)
    recorder.advance(0.2)
    reason = recorder.exit_reason(counter)
    assert isinstance(reason, tuple)
    assert reason[0] == Atom("timeout")


def test_time_is_virtual(recorder: RecordingRuntime) -> None:
    counter = recorder.start(Counter, 0, 60.0)
    assert recorder.did == [("send_after", 60.0, counter.pid, TICK)]
    recorder.advance(59.9)
    assert counter.count == 0
    recorder.advance(0.1)
    assert counter.count == 1


def test_links_and_monitors_of_a_probe_fire(recorder: RecordingRuntime) -> None:
    log = recorder.probe("log")
    counter = recorder.start(Counter)
    counter.link(log.pid)
    ref = counter.monitor("log")
    log.exit(BOOM)
    assert set(counter.seen) == {Exit(log.pid, BOOM), Down(ref, (Atom("log"), Atom("nonode@nohost")), BOOM)}
    assert recorder.did == [("link", log.pid), ("monitor", "log")]


def test_the_end_of_a_server(recorder: RecordingRuntime) -> None:
    log = recorder.probe("log")
    counter = recorder.start(Counter, 4)
    with pytest.raises(LookupError):
        recorder.exit_reason(counter)
    assert recorder.call(counter, STOP) == 4
    assert not recorder.alive(counter)
    assert recorder.exit_reason(counter) == NORMAL
    assert log.received == [("info", (STOP, NORMAL))]


def test_crashes_are_reported_and_raised_where_the_call_was(recorder: RecordingRuntime) -> None:
    counter = recorder.start(Counter)
    with pytest.raises(ExitError):
        recorder.call(counter, BOOM)
    terminated, report = recorder.reports
    assert isinstance(terminated, TerminateReport)
    assert terminated.status()["message"] == BOOM
    assert isinstance(report, CrashReport)
    assert isinstance(report.error, ValueError)


def test_a_start_may_fail(recorder: RecordingRuntime) -> None:
    with pytest.raises(ExitError) as info:
        recorder.start(Counter, -1)
    assert info.value.reason == (Atom("negative"), -1)
    with pytest.raises(Ignore):
        recorder.start(Counter, 13)


def test_unexpected_messages_are_reported(recorder: RecordingRuntime) -> None:
    server = recorder.start(GenServer)
    recorder.send(server, 1)
    (report,) = recorder.reports
    assert isinstance(report, UnexpectedMessage)
    assert report.message == 1


def test_the_environment_is_inherited(recorder: RecordingRuntime) -> None:
    recorder.env["unit"] = "m"
    assert recorder.start(Counter).env["unit"] == "m"
    assert recorder.node.name == "nonode@nohost"


def test_every_action_of_a_server_is_recorded() -> None:
    asks_or_waits = {
        "ancestors", "check_response", "debug_options", "dictionary", "env", "group_leader", "label", "name",
        "pid", "process_info", "receive", "receive_response", "runtime", "system_call", "trap_exit",
        "wait_response", "whereis",
    }  # fmt: skip
    public = {name for name in dir(GenServer) if not name.startswith("_")}
    assert public - CALLBACKS - asks_or_waits == set(RECORDED)


def test_close_ends_all(recorder: RecordingRuntime) -> None:
    counter = recorder.start(Counter)
    recorder.close()
    assert not recorder.alive(counter)
