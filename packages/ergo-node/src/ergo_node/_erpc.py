"""How a function run for another node ended, and how `erpc` and `rpc` of KERNEL say it.

An outcome is `(return, Value)`, `(throw, Term)`, `(exit, Reason)` or `(error, Reason, Stacktrace)`. The
process that `erpc` starts tells it by its exit reason, `{Ref, return, Value}` for example; `rpc` wraps it in
`badrpc`.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final, TypeAlias

from etf_codec import Atom, Reference, Term, to_text
from otp_behaviors import NORMAL, ExitError, from_exception

from ergo_node._errors import NodeError

RETURN: Final = Atom("return")
THROW: Final = Atom("throw")
EXIT: Final = Atom("exit")
ERROR: Final = Atom("error")
ERPC: Final = Atom("erpc")
SIGNAL: Final = Atom("signal")
UNDEF: Final = Atom("undef")
BADARG: Final = Atom("badarg")
BADRPC: Final = Atom("badrpc")
NOCATCH: Final = Atom("nocatch")
EXITED: Final = Atom("EXIT")

MAX_SHOWN: Final = 300
"""Characters of a foreign term in the text of an exception."""

Outcome: TypeAlias = tuple[Term, ...]
Call: TypeAlias = tuple[Atom, Atom, Term]


class RpcError(NodeError):
    """A function run on another node did not return. Raised in a provided function, it arrives there as such.

    Args:
        reason: the term thrown, or the reason of the exit or the error.
    """

    def __init__(self, reason: Term, text: str | None = None) -> None:
        super().__init__(to_text(reason, max_chars=MAX_SHOWN) if text is None else text)
        self.reason = reason


class ErlangThrow(RpcError):
    """The function threw a term: `throw(Term)`."""


class ErlangExit(RpcError):
    """The function exited, `exit(Reason)`, or its process was ended: `{signal, Reason}`."""


class ErlangError(RpcError):
    """The function failed: `error(Reason)`.

    Args:
        reason: the reason, `badarg` or `{badmatch, Value}` for example.
        stacktrace: Erlang's: `{Module, Function, ArityOrArguments, Location}`, innermost first.
    """

    def __init__(self, reason: Term, stacktrace: Term = None, text: str | None = None) -> None:
        super().__init__(reason, text)
        self.stacktrace: Term = [] if stacktrace is None else stacktrace


def failed(error: BaseException) -> Outcome:
    """Return the outcome of a function that raised."""
    if isinstance(error, ErlangThrow):
        return (THROW, error.reason)
    if isinstance(error, ErlangExit | ExitError):
        return (EXIT, error.reason)
    if isinstance(error, ErlangError):
        return (ERROR, error.reason, error.stacktrace)
    reason, stack = _reason_and_stack(error)
    return (ERROR, reason, stack)


def _reason_and_stack(error: BaseException) -> tuple[Term, Term]:
    match from_exception(error):
        case (reason, stack):
            return reason, stack
        case reason:
            return reason, []


def undef(call: Call) -> Outcome:
    """Return the outcome of a function that does not exist, or must not be run."""
    module, function, args = call
    return (ERROR, UNDEF, [(module, function, args, [])])


def badarg(call: Call) -> Outcome:
    """Return the outcome of arguments that are no list."""
    module, function, args = call
    return (ERROR, BADARG, [(Atom("erlang"), Atom("apply"), [module, function, args], [])])


def exit_reason(outcome: Outcome) -> Term:
    """Return the reason with which a process ends whose function ended so (`spawn/4`)."""
    kind, *rest = outcome
    if kind == RETURN:
        return NORMAL
    if kind == EXIT:
        return rest[0]
    return ((NOCATCH, rest[0]), []) if kind == THROW else (rest[0], rest[1])


def rpc_result(outcome: Outcome) -> Term:
    """Return what `rpc:call` returns for an outcome."""
    kind, *rest = outcome
    if kind in (RETURN, THROW):
        return rest[0]
    return (BADRPC, (EXITED, rest[0] if kind == EXIT else tuple(rest)))


def result_of(reason: Term, ref: Reference, what: str, node: str) -> Any:
    """Return what a function run by `erpc` returned, or raise how else it ended.

    Args:
        reason: the exit reason of its process.
        ref: the reference the request carried.
        what: `module:function/arity`, for texts.
        node: where it ran.

    Raises:
        ErlangThrow, ErlangExit, ErlangError: as it ended.
    """
    match reason:
        case (Reference() as tag, *outcome) if tag == ref:
            return _result(tuple(outcome), what, node)
    raise _described(ErlangExit((SIGNAL, reason)), what, node)


def _result(outcome: Outcome, what: str, node: str) -> Any:
    match outcome:
        case (Atom("return"), value):
            return value
        case (Atom("throw"), value):
            raise ErlangThrow(value)
        case (Atom("exit"), reason):
            raise _described(ErlangExit(reason), what, node)
        case (Atom("error"), reason, stack):
            if reason == UNDEF and _is_direct(stack, what):
                raise ErlangError(reason, stack, f"{node} has no {what}")
            raise _described(ErlangError(reason, stack), what, node)
        case (Atom("error"), reason):
            raise _described(ErlangError(reason), what, node)
        case _:
            raise _described(ErlangExit((SIGNAL, outcome)), what, node)


def result_of_rpc(result: Term, what: str, node: str) -> Any:
    """Return what `rex` answers, or raise what its `badrpc` means.

    Raises:
        ErlangExit, ErlangError: as it ended.
    """
    match result:
        case (Atom("badrpc"), (Atom("EXIT"), (reason, list() as stack))):
            return _result((ERROR, reason, stack), what, node)
        case (Atom("badrpc"), (Atom("EXIT"), reason)):
            return _result((EXIT, reason), what, node)
        case (Atom("badrpc"), reason):
            raise _described(ErlangError((BADRPC, reason)), what, node)
        case _:
            return result


def _described(error: RpcError, what: str, node: str) -> RpcError:
    kind = "failed" if isinstance(error, ErlangError) else "exited"
    error.args = (f"{what} on {node} {kind}: {error}",)
    return error


def _is_direct(stack: Term, what: str) -> bool:
    """Tell whether it is the function itself that does not exist, not one that it called."""
    match stack:
        case [(Atom(module), Atom(function), args, _), *_]:
            arity = len(args) if isinstance(args, list) else args
            return f"{module}:{function}/{arity}" == what
    return False


def without_our_frames(error: BaseException) -> None:
    """Drop the frames of whoever called the function: its stack trace begins with itself."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and _is_ours(trace):
        trace = trace.tb_next
    error.__traceback__ = trace


def _is_ours(trace: TracebackType) -> bool:
    module = str(trace.tb_frame.f_globals.get("__name__"))
    return module.partition(".")[0] in ("ergo_node", "otp_behaviors")
