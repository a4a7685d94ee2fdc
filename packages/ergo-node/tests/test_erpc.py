"""Outcomes: made of exceptions here, said as `erpc` and `rpc` say them, and read back there."""

from typing import Any

import pytest
from ergo_node import ErlangError, ErlangExit, ErlangThrow, RpcError
from ergo_node._erpc import (
    ERROR,
    EXIT,
    RETURN,
    THROW,
    Outcome,
    badarg,
    exit_reason,
    failed,
    result_of,
    result_of_rpc,
    rpc_result,
    undef,
)
from etf_codec import Atom, Reference, Term
from otp_behaviors import NORMAL, ExitError

WHY, UNDEF, BADRPC, EXITED = Atom("why"), Atom("undef"), Atom("badrpc"), Atom("EXIT")
REF = Reference("a@host", 1, (1, 2, 3))
CALL = (Atom("m"), Atom("f"), [1, 2])
STACK: Term = [(Atom("m"), Atom("f"), 2, [])]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ErlangThrow(WHY), (THROW, WHY)),
        (ErlangExit(WHY), (EXIT, WHY)),
        (ExitError(WHY), (EXIT, WHY)),
        (ErlangError(WHY, STACK), (ERROR, WHY, STACK)),
        (ErlangError(WHY), (ERROR, WHY, [])),
        (ValueError("bad"), (ERROR, (Atom("ValueError"), b"bad"), [])),
    ],
)
def test_an_exception_is_an_outcome(error: Exception, outcome: Outcome) -> None:
    assert failed(error) == outcome


@pytest.mark.parametrize(
    ("outcome", "process", "rpc"),
    [
        ((RETURN, 7), NORMAL, 7),
        ((THROW, WHY), ((Atom("nocatch"), WHY), []), WHY),
        ((EXIT, WHY), WHY, (BADRPC, (EXITED, WHY))),
        ((ERROR, WHY, STACK), (WHY, STACK), (BADRPC, (EXITED, (WHY, STACK)))),
        (undef(CALL), (UNDEF, [(*CALL, [])]), (BADRPC, (EXITED, (UNDEF, [(*CALL, [])])))),
    ],
)
def test_how_an_outcome_is_said(outcome: Outcome, process: Term, rpc: Term) -> None:
    assert exit_reason(outcome) == process
    assert rpc_result(outcome) == rpc


def test_arguments_that_are_no_list() -> None:
    kind, reason, stack = badarg((Atom("m"), Atom("f"), 7))
    assert (kind, reason) == (ERROR, Atom("badarg"))
    assert isinstance(stack, list)


def result(*outcome: Term) -> Any:
    return result_of((REF, *outcome), REF, "m:f/2", "b@host")


def test_results() -> None:
    assert result(RETURN, 7) == 7
    assert result_of_rpc([1], "m:f/2", "b@host") == [1]


@pytest.mark.parametrize(
    ("outcome", "kind", "reason", "text"),
    [
        ((THROW, WHY), ErlangThrow, WHY, "why"),
        ((EXIT, WHY), ErlangExit, WHY, "m:f/2 on b@host exited: why"),
        ((ERROR, WHY, STACK), ErlangError, WHY, "m:f/2 on b@host failed: why"),
        (undef(CALL), ErlangError, UNDEF, "b@host has no m:f/2"),
        ((ERROR, UNDEF, [(WHY, WHY, 0, [])]), ErlangError, UNDEF, "m:f/2 on b@host failed: undef"),
        (
            (ERROR, (Atom("erpc"), WHY)),
            ErlangError,
            (Atom("erpc"), WHY),
            "m:f/2 on b@host failed: {erpc,why}",
        ),
        ((WHY,), ErlangExit, (Atom("signal"), (WHY,)), "m:f/2 on b@host exited: {signal,{why}}"),
    ],
)
def test_what_is_raised(outcome: Outcome, kind: type[RpcError], reason: Term, text: str) -> None:
    with pytest.raises(kind) as raised:
        result(*outcome)
    assert (raised.value.reason, str(raised.value)) == (reason, text)
    if kind is not ErlangThrow and reason != (Atom("signal"), (WHY,)) and len(outcome) == len(undef(CALL)):
        with pytest.raises(kind) as by_rex:
            result_of_rpc(rpc_result(outcome), "m:f/2", "b@host")
        assert (by_rex.value.reason, str(by_rex.value)) == (reason, text)


@pytest.mark.parametrize("reason", [WHY, (Reference("b@host", 1, (9,)), RETURN, 7), ()])
def test_a_process_that_was_ended(reason: Term) -> None:
    with pytest.raises(ErlangExit) as raised:
        result_of(reason, REF, "m:f/2", "b@host")
    assert raised.value.reason == (Atom("signal"), reason)


def test_badrpc() -> None:
    with pytest.raises(ErlangExit, match="exited: why"):
        result_of_rpc((BADRPC, (EXITED, WHY)), "m:f/2", "b@host")
    with pytest.raises(ErlangError, match="badrpc"):
        result_of_rpc((BADRPC, WHY), "m:f/2", "b@host")


def test_a_large_reason_is_cut_in_the_text() -> None:
    error = ErlangError([0] * 10_000)
    assert len(str(error)) < 400
    assert len(error.reason) == 10_000
