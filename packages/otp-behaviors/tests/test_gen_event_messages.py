"""GenEvent: whatever comes from elsewhere, the manager goes on."""

from typing import Any

import pytest
from etf_codec import Atom, Pid
from hypothesis import given
from hypothesis import strategies as st
from otp_behaviors import (
    CallTimeout,
    EventHandler,
    GenEvent,
    Kernel,
    LocalRuntime,
    MessageSignal,
    ServerHandle,
    gen_event,
)

pytestmark = pytest.mark.anyio

ECHO, MESSAGES, ERROR, EXIT = Atom("echo"), Atom("messages"), Atom("error"), Atom("EXIT")

WORDS = (
    *("notify", "sync_notify", "call", "add_handler", "add_sup_handler", "delete_handler", "swap_handler"),
    *("swap_sup_handler", "which_handlers", "get_modules", "echo", "error", "system", "EXIT", "$gen_call"),
)
ATOMS = st.sampled_from(list(map(Atom, WORDS)))
PIDS = st.sampled_from([Pid("a@host", 1, 0, 7), Pid("b@host", 1, 0, 7)])
TERMS = st.recursive(
    ATOMS | PIDS | st.integers() | st.floats() | st.text() | st.none() | st.booleans(),
    lambda terms: st.lists(terms, max_size=6).map(tuple) | st.lists(terms) | st.dictionaries(ATOMS, terms),
    max_leaves=12,
)
WISHES = st.tuples(ATOMS) | ATOMS | st.lists(TERMS, max_size=6).map(tuple)
KNOWN = st.sampled_from(
    [
        (Atom("add_handler"), ECHO, 1),
        (Atom("add_handler"), (ECHO, [[]]), {}),
        (Atom("add_sup_handler"), (ECHO, 1.0), 1, Pid("b@host", 1, 0, 7)),
        (Atom("call"), (ECHO, 1), 1),
        (Atom("delete_handler"), (ECHO, True), 1),
        (Atom("swap_handler"), ECHO, 1, (ECHO, {}), 2),
    ]
)
REQUESTS = st.tuples(TERMS, st.tuples(PIDS, TERMS), WISHES | KNOWN)


class Echo(EventHandler):
    """Says what it was started with; fails at its first event."""

    module = "echo"

    def init(self, args: Any) -> None:
        self.args = args
        self.messages: list[Any] = []

    def handle_call(self, request: Any) -> Any:
        return self.messages if request == MESSAGES else self.args

    def handle_info(self, message: Any) -> None:
        self.messages.append(message)


class Known(GenEvent):
    handlers = (Echo,)


@pytest.fixture
async def manager(runtime: LocalRuntime) -> ServerHandle:
    return await runtime.start(Known)


@given(st.lists(TERMS | REQUESTS, max_size=20))
def test_no_message_ends_a_manager(messages: list[Any]) -> None:
    kernel = Kernel("a@host", 7, seed=1)
    record = Known.__process__(kernel, ())
    manager = kernel.spawn(record)
    stranger = Pid("b@host", 9, 0, 7)
    for message in messages:
        kernel.send(stranger, manager, message)
        kernel.run()
    kernel.outbox.clear()
    kernel.send(stranger, manager, (stranger, (stranger, Atom("tag")), Atom("which_handlers")))
    kernel.run()
    assert manager in kernel.table.by_pid
    answers = [signal.message for signal in kernel.outbox if isinstance(signal, MessageSignal)]
    assert answers == [(Atom("tag"), [handler.term for handler in record.handlers])]


@pytest.mark.parametrize(
    "request_",
    [
        (Atom("add_handler"), Atom("os"), Atom("system")),
        (Atom("add_handler"), ("builtins", "eval"), 1),
        (Atom("add_handler"), Atom("Echo"), 1),
        (Atom("add_handler"), [[]], {}),
        (Atom("add_sup_handler"), ECHO, 1, Atom("nobody")),
        (Atom("swap_sup_handler"), ECHO, 1, ECHO, 1, "nobody"),
        (Atom("swap_handler"), ECHO, 1, Atom("Process"), 1),
    ],
)
async def test_nothing_is_looked_up_by_a_name_from_elsewhere(
    runtime: LocalRuntime, manager: ServerHandle, request_: Any
) -> None:
    answer = await runtime.event_call(manager, request_)
    why = answer[1] if answer[0] == ERROR else answer
    assert why[0] == EXIT
    assert why[1][0] in (Atom("undef"), Atom("badarg"))
    assert await gen_event.which_handlers(runtime, manager) == []


async def test_handlers_that_are_known_may_be_added_by_name(runtime: LocalRuntime) -> None:
    class Elixirs(Echo):
        module = "Elixir.Echo"

    class Both(GenEvent):
        handlers = (Elixirs, Echo)

    manager = await runtime.start(Both)
    await gen_event.add_handler(runtime, manager, Atom("Elixir.Echo"), 3)
    await gen_event.add_handler(runtime, manager, "echo", 4)
    assert await gen_event.call(runtime, manager, Elixirs, 1) == 3
    assert await gen_event.call(runtime, manager, ECHO, 1) == 4


@pytest.mark.parametrize(
    "message",
    [
        (1, 2, Atom("stop")),
        ("", ("no pid", 1), Atom("which_handlers")),
        ((), (), (Atom("call"),)),
        (Atom("notify"),),
        (Atom("system"), 1, 2),
        (1, (1, 2), (Atom("delete_handler"), 1)),
        [],
        {},
    ],
    ids=repr,
)
async def test_odd_messages_do_no_harm(runtime: LocalRuntime, manager: ServerHandle, message: Any) -> None:
    await gen_event.add_handler(runtime, manager, Echo, 0)
    await manager.send(message)
    assert await gen_event.call(runtime, manager, Echo, MESSAGES) == [message]


async def test_a_request_that_no_manager_knows_is_not_answered(
    runtime: LocalRuntime, manager: ServerHandle
) -> None:
    await gen_event.add_handler(runtime, manager, Echo, 0)
    for request in (Atom("what"), (Atom("call"), 1), (Atom("sync_notify"),), ()):
        with pytest.raises(CallTimeout):
            await runtime.event_call(manager, request, timeout=0.01)
    assert len(await gen_event.call(runtime, manager, Echo, MESSAGES)) == 4
