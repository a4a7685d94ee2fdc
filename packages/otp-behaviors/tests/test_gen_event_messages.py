"""GenEvent: whatever comes from elsewhere, the manager goes on."""

from typing import Any

from etf_codec import Atom, Pid
from hypothesis import given
from hypothesis import strategies as st
from otp_behaviors import EventHandler, GenEvent, Kernel, MessageSignal

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
ECHO = Atom("echo")
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
    module = "echo"

    def handle_event(self, event: Any) -> None:
        self.last = event

    def handle_call(self, request: Any) -> Any:
        return (request, self.last)


class Known(GenEvent):
    handlers = (Echo,)


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
