"""Exit reasons: which are clean, and what an exception becomes."""

from typing import Any

import pytest
from etf_codec import Atom, encode
from otp_behaviors import KILL, KILLED, NOCONNECTION, NOPROC, NORMAL, SHUTDOWN, TIMEOUT, is_clean
from otp_behaviors._reasons import MAX_FRAMES, MAX_TEXT, from_exception, stack


def caught(error: BaseException, depth: int = 0) -> BaseException:
    def fail(left: int) -> None:
        if left:
            fail(left - 1)
        raise error

    with pytest.raises(type(error)) as raised:
        fail(depth)
    return raised.value


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, (SHUTDOWN, 1), (SHUTDOWN, (SHUTDOWN, 1))])
def test_an_expected_end_is_clean(reason: Any) -> None:
    assert is_clean(reason) is True


@pytest.mark.parametrize(
    "reason",
    [
        *(KILL, KILLED, NOPROC, NOCONNECTION, TIMEOUT, Atom("boom")),
        *((NORMAL, 1), (SHUTDOWN,), (SHUTDOWN, 1, 2), (), [SHUTDOWN], b"normal", 1, None, 0.5),
    ],
)
def test_anything_else_is_not(reason: Any) -> None:
    assert is_clean(reason) is False


@pytest.mark.parametrize("text", ["normal", "shutdown"])
def test_text_is_no_atom(text: str) -> None:
    assert is_clean(text) is False


def test_an_exception_becomes_its_name_its_text_and_the_stack() -> None:
    (name, text), trace = from_exception(caught(KeyError("no 'x'")))
    assert (name, text) == (Atom("KeyError"), b"\"no 'x'\"")
    module, function, arity, place = trace[0]
    assert (function, arity) == (Atom("fail"), 1)
    assert module == Atom(__name__)
    assert [key for key, _ in place] == [Atom("file"), Atom("line")]
    assert bytes(place[0][1]).decode() == __file__
    assert isinstance(place[1][1], int)


def test_the_innermost_call_comes_first_and_the_depth_is_bounded() -> None:
    trace: Any = stack(caught(ValueError("x"), depth=50).__traceback__)
    assert len(trace) == MAX_FRAMES
    assert {entry[1] for entry in trace} == {Atom("fail")}
    shallow: Any = stack(caught(ValueError("x"), depth=1).__traceback__)
    assert [entry[1] for entry in shallow] == [Atom("fail"), Atom("fail"), Atom("caught")]


def test_an_exception_that_was_never_raised_has_no_stack() -> None:
    assert from_exception(ValueError("x")) == ((Atom("ValueError"), b"x"), [])


def test_the_text_is_bounded_and_may_be_any_text() -> None:
    (_, text), _ = from_exception(ValueError("x" * (MAX_TEXT + 1)))
    assert text == b"x" * MAX_TEXT
    (_, text), _ = from_exception(ValueError("caf\u00e9 \udc80"))
    assert text == "caf\u00e9 ?".encode()


def test_a_name_too_long_for_an_atom_is_cut() -> None:
    error = type("E" * 300, (Exception,), {})("x")
    (name, _), _ = from_exception(error)
    assert name == Atom("E" * 255)


def test_a_reason_made_of_an_exception_can_be_sent() -> None:
    reason = from_exception(caught(ValueError("no such value"), depth=3))
    assert encode(reason)[:1] == b"\x83"
