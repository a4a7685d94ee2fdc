"""The process that runs a provided function, in a kernel without a network."""

import logging
from typing import Any

import anyio.lowlevel
import pytest
from ergo_node import ErlangExit, Registry
from ergo_node._erpc import Outcome
from ergo_node._execution import Execution
from etf_codec import Atom, Term
from otp_behaviors import LocalRuntime, Process

pytestmark = pytest.mark.anyio

NORMAL, OK = Atom("normal"), Atom("ok")


async def outcome_of(
    function: Any,
    args: Term,
    *,
    nothing: Term = OK,
    provide: bool = True,
    reported: bool = False,
    thread: bool = False,
    process: bool = False,
) -> tuple[Outcome, Term]:
    """The outcome of a function and the exit reason of its process."""
    registry = Registry()
    registry.provide("m", "f", function, thread=thread, process=process)
    count = len(args) if isinstance(args, list) else 0
    provided = registry.find("m", "f", count, None) if provide else None
    outcomes: list[Outcome] = []

    def ended(outcome: Outcome) -> Term:
        outcomes.append(outcome)
        return NORMAL if outcome[0] == Atom("return") else outcome[0]

    async with LocalRuntime() as runtime:
        record = Execution(runtime.kernel, (Atom("m"), Atom("f"), args), provided, nothing, ended, reported)
        watch = runtime.monitor(runtime.kernel.spawn(record))
        reason = (await watch).reason
    return outcomes[0], reason


async def later(term: Term) -> Term:
    await anyio.lowlevel.checkpoint()
    return term


async def own_pid(self: Process) -> Term:
    return self.pid.node


def fail() -> None:
    raise ErlangExit(OK)


@pytest.mark.parametrize(
    ("function", "args", "how", "outcome"),
    [
        (lambda x: x + 1, [1], {}, (Atom("return"), 2)),
        (later, [b"x"], {}, (Atom("return"), b"x")),
        (lambda: later(7), [], {}, (Atom("return"), 7)),
        (lambda: 7, [], {"thread": True}, (Atom("return"), 7)),
        (own_pid, [], {"process": True}, (Atom("return"), "nonode@nohost")),
        (lambda: None, [], {}, (Atom("return"), OK)),
        (fail, [], {}, (Atom("exit"), OK)),
        (fail, [], {"thread": True}, (Atom("exit"), OK)),
    ],
)
async def test_outcomes(function: Any, args: Term, how: Any, outcome: Outcome) -> None:
    got, reason = await outcome_of(function, args, **how)
    assert got == outcome
    assert reason == (NORMAL if outcome[0] == Atom("return") else outcome[0])


async def test_none_stays_none_where_terms_can_hold_it() -> None:
    assert (await outcome_of(lambda: None, [], nothing=None))[0] == (Atom("return"), None)


async def test_the_stack_trace_begins_with_the_function() -> None:
    (_, _, stack), _ = await outcome_of(lambda: 1 // 0, [])
    assert isinstance(stack, list)
    assert [frame[1] for frame in stack] == [Atom("<lambda>")]


async def test_a_function_that_is_not_provided() -> None:
    undef: Outcome = (Atom("error"), Atom("undef"), [(Atom("m"), Atom("f"), [1], [])])
    assert (await outcome_of(later, [1], provide=False))[0] == undef


async def test_arguments_that_are_no_list() -> None:
    outcome, _ = await outcome_of(later, Atom("x"))
    assert outcome[:2] == (Atom("error"), Atom("badarg"))


@pytest.mark.parametrize("reported", [True, False])
async def test_what_is_logged(caplog: pytest.LogCaptureFixture, reported: bool) -> None:
    caplog.set_level(logging.ERROR)
    await outcome_of(fail, [], reported=reported)
    assert [record.name for record in caplog.records] == (["otp_behaviors"] if reported else [])
