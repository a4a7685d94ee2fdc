"""A GenEvent seen by sys, and what it tells of handlers that fail."""

import logging
from typing import Any

import anyio.lowlevel
import pytest
from etf_codec import Atom
from otp_behaviors import EventHandler, ExitError, GenEvent, LocalRuntime, ServerHandle, gen_event, sys

pytestmark = pytest.mark.anyio

COUNT, GET, COUNTER = Atom("count"), Atom("get"), Atom("Counter")


class Counter(EventHandler):
    """Adds events up."""

    def init(self, args: Any) -> None:
        self.count = args

    def handle_event(self, event: Any) -> None:
        self.count += event

    def handle_call(self, request: Any) -> Any:
        return self.count

    def code_change(self, old_version: Any, extra: Any) -> Any:
        self.count = (old_version, self.count, extra)


class Secretive(Counter):
    """Shows neither its count nor what came last."""

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        hidden = dict.fromkeys(status.keys() & {"state", "message"}, "hidden")
        return {**status, **hidden, **({"reason": "secret"} if "reason" in status else {})}


@pytest.fixture
async def manager(runtime: LocalRuntime) -> ServerHandle:
    manager = await runtime.start(GenEvent, name="events")
    await gen_event.add_handler(runtime, manager, Counter, 1)
    await gen_event.add_handler(runtime, manager, (Secretive, "b"), 2)
    return manager


async def test_the_state_is_that_of_each_handler(runtime: LocalRuntime, manager: ServerHandle) -> None:
    secretive = (Atom("Secretive"), "b")
    assert await sys.get_state(runtime, manager) == [(*secretive, {COUNT: 2}), (COUNTER, False, {COUNT: 1})]


async def test_the_state_of_each_handler_is_replaced(runtime: LocalRuntime, manager: ServerHandle) -> None:
    def replace(handler: Any) -> Any:
        module, id, state = handler
        if id == "b":
            raise ValueError(id)
        return (module, id, {COUNT: state[COUNT] + 10})

    new = [(Atom("Secretive"), "b", {COUNT: 2}), (COUNTER, False, {COUNT: 11})]
    assert await sys.replace_state(runtime, manager, replace) == new
    assert await sys.get_state(runtime, manager) == new
    # As in OTP, a handler does not become another one, nor does what is no state stop the manager.
    assert await sys.replace_state(runtime, manager, lambda handler: (COUNTER, 1, {})) == new
    assert await sys.replace_state(runtime, manager, lambda handler: (*handler[:2], 7)) == new
    assert await gen_event.call(runtime, manager, Counter, GET) == 11


async def test_the_status_has_what_each_handler_shows(runtime: LocalRuntime, manager: ServerHandle) -> None:
    await sys.log(runtime, manager, True)
    await gen_event.sync_notify(runtime, manager, 5)
    _, pid, module, rest = await sys.get_status(runtime, manager)
    assert (pid, module) == (manager.pid, (Atom("module"), Atom("gen_event")))
    *_, misc = rest
    header, data, items = misc
    assert header == (Atom("header"), list(b"Status for event handler events"))
    facts = {bytes(key).decode(): value for key, value in data[1]}
    assert facts.keys() == {"Status", "Parent", "Logged Events"}
    [(_, (_, _, request))] = facts["Logged Events"]
    assert request == (Atom("sync_notify"), 5)
    handler = Atom("handler")
    assert items == (
        Atom("items"),
        (
            list(b"Installed handlers"),
            [
                (handler, Atom("Secretive"), "b", "hidden", False),
                (handler, COUNTER, False, {COUNT: 6}, False),
            ],
        ),
    )


class CounterOfTheFuture(Counter):
    """What Counter becomes."""

    module = "Counter"

    async def code_change(self, old_version: Any, extra: Any) -> None:
        await anyio.lowlevel.checkpoint()
        super().code_change(old_version, extra)

    def handle_call(self, request: Any) -> Any:
        return ("new", self.count)


@pytest.mark.parametrize("module", [COUNTER, Counter, CounterOfTheFuture])
async def test_handlers_of_a_class_change_their_code(
    runtime: LocalRuntime, manager: ServerHandle, module: Any
) -> None:
    await sys.suspend(runtime, manager)
    await sys.change_code(runtime, manager, module, "v1", "extra")
    await sys.resume(runtime, manager)
    count = await gen_event.call(runtime, manager, Counter, GET)
    changed = ("v1", 1, "extra")
    assert count == (("new", changed) if module is CounterOfTheFuture else changed)
    assert await gen_event.call(runtime, manager, (Secretive, "b"), GET) == 2


async def test_a_code_change_that_fails_is_told(runtime: LocalRuntime, manager: ServerHandle) -> None:
    class Stubborn(Counter):
        module = "Counter"

        def code_change(self, old_version: Any, extra: Any) -> None:
            raise ValueError("no")

    await sys.suspend(runtime, manager)
    with pytest.raises(ExitError):
        await sys.change_code(runtime, manager, Stubborn, "v1", "extra")
    await sys.resume(runtime, manager)
    assert await gen_event.call(runtime, manager, Counter, GET) == 1


async def test_a_suspended_manager_keeps_its_mail(runtime: LocalRuntime, manager: ServerHandle) -> None:
    await sys.suspend(runtime, manager)
    await runtime.notify(manager, 10)
    assert [state[2][COUNT] for state in await sys.get_state(runtime, manager)] == [2, 1]
    await sys.resume(runtime, manager)
    assert await gen_event.call(runtime, manager, Counter, GET) == 11
    await sys.suspend(runtime, manager)
    watch = runtime.monitor(manager)
    await sys.terminate(runtime, manager, "enough")
    assert (await watch).reason == "enough"


async def test_what_is_printed_of_events(runtime: LocalRuntime, capsys: pytest.CaptureFixture[str]) -> None:
    class Traced(GenEvent):
        debug_options = ("trace", "statistics")

    manager = await runtime.start(Traced, name="traced")
    await runtime.notify(manager, Atom("login"))
    await manager.send(Atom("hello"))
    with pytest.raises(ExitError):
        await gen_event.call(runtime, manager, (Counter, 1), GET)
    counts = await sys.statistics(runtime, manager, "get")
    assert counts is not None
    assert (counts["messages_in"], counts["messages_out"]) == (3, 0)
    assert capsys.readouterr().out.splitlines() == [
        "*DBG* traced got event login",
        "*DBG* traced got hello",
        "*DBG* traced got call get for {'Counter',1}",
    ]


async def test_a_handler_that_fails_is_reported(
    runtime: LocalRuntime, manager: ServerHandle, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "otp_behaviors"):
        await gen_event.sync_notify(runtime, manager, "text")
    secretive, counter = [record.__dict__["otp_report"] for record in caplog.records]
    assert list(counter) == ["label", "handler", "name", "last_message", "state", "reason", "process_label"]
    assert counter["label"] == ("gen_event", "terminate")
    assert (counter["handler"], counter["name"]) == (COUNTER, Atom("events"))
    assert (counter["last_message"], counter["state"]) == ("text", {COUNT: 1})
    exit, ((error, _), stack) = counter["reason"]
    assert (exit, error) == (Atom("EXIT"), Atom("TypeError"))
    assert stack[0][1] == Atom("handle_event")
    assert secretive["handler"] == (Atom("Secretive"), "b")
    assert (secretive["last_message"], secretive["state"]) == ("hidden", "hidden")
    exit, (reason, stack) = secretive["reason"]
    assert (exit, reason, stack[0][1]) == (Atom("EXIT"), "secret", Atom("handle_event"))
    assert caplog.records[1].getMessage().startswith("Event handler 'Counter' of events ")


@pytest.mark.parametrize("argument", [Atom("boom"), 7])
async def test_one_that_exits_is_reported_with_its_reason(
    runtime: LocalRuntime, manager: ServerHandle, caplog: pytest.LogCaptureFixture, argument: Any
) -> None:
    class Exiting(EventHandler):
        def handle_call(self, request: Any) -> Any:
            raise ExitError(request)

    class Poor(EventHandler):
        def init(self, args: Any) -> None:
            raise ExitError("poor")

    class Swapping(EventHandler):
        def handle_event(self, event: Any) -> None:
            self.swap_handler(1, Poor if event == "poor" else Atom("nobody"), 2)

    await gen_event.delete_handler(runtime, manager, Counter)
    await gen_event.delete_handler(runtime, manager, (Secretive, "b"))
    await gen_event.add_handler(runtime, manager, Exiting)
    with caplog.at_level(logging.ERROR, "otp_behaviors"), pytest.raises(ExitError) as caught:
        await gen_event.call(runtime, manager, Exiting, argument)
    assert caught.value.reason == argument
    for event in ("poor", "unknown"):
        await gen_event.add_handler(runtime, manager, Swapping)
        await gen_event.sync_notify(runtime, manager, event)
    reports = [record.__dict__["otp_report"] for record in caplog.records]
    exit = Atom("EXIT")
    assert [report["reason"] for report in reports[:2]] == [(exit, argument), (exit, "poor")]
    assert reports[2]["handler"] == Atom("nobody")
    assert reports[2]["reason"][1][0] == Atom("undef")
    assert await gen_event.which_handlers(runtime, manager) == []


async def test_a_message_that_no_callback_wants_is_reported(
    runtime: LocalRuntime, manager: ServerHandle, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "otp_behaviors"):
        await manager.send("hello")
        await gen_event.which_handlers(runtime, manager)
    assert [record.__dict__["otp_report"] for record in caplog.records] == [
        {"label": ("gen_event", "no_handle_info"), "module": Atom(name), "message": "hello"}
        for name in ("Secretive", "Counter")
    ]


async def test_nothing_is_reported_of_handlers_that_leave(
    runtime: LocalRuntime, manager: ServerHandle, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "otp_behaviors"):
        await gen_event.swap_handler(runtime, manager, (Counter, 1), (Counter, 2))
        await gen_event.delete_handler(runtime, manager, Counter)
        await manager.stop()
    assert caplog.records == []
