"""Work: a function and its arguments, for another process to run.

A function of this program goes to another process of it as it is. To another node only a name goes,
`{Module, Function, Args}`; what such a name stands for here, the functions that the program has provided say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from etf_codec import Atom, Term, to_text

from otp_behaviors._errors import ExitError
from otp_behaviors._kernel import Kernel
from otp_behaviors._shell import Shell

FunctionRef: TypeAlias = Callable[..., Any] | tuple[str | Atom, str | Atom]
"""A function of this program, or the module and the name of one of another node."""

UNDEF: Final = Atom("undef")
BADARG: Final = Atom("badarg")

MAX_SHOWN: Final = 300
"""Characters of a term from elsewhere in the text of an error."""


class LocalWork:
    """A function of this program and its arguments. It has no external form, so that no node can send one."""

    __slots__ = ("args", "function")

    def __init__(self, function: Callable[..., Any], args: Iterable[Any]) -> None:
        self.function = function
        self.args = tuple(args)


@runtime_checkable
class HasFunctions(Shell, Protocol):
    """A program that has provided functions to other nodes."""

    def provided(self, module: str, function: str, arity: int) -> Callable[[Any, list[Term]], Any] | None:
        """Return what runs such a function, given a process and the arguments; None if there is none.

        What that returns is the result, or a coroutine that will return it.
        """


def as_work(function: FunctionRef, args: Iterable[Any]) -> Any:
    """Return what is sent to the process that is to run the function."""
    if isinstance(function, tuple):
        module, name = function
        return (Atom(str(module)), Atom(str(name)), list(args))
    return LocalWork(function, args)


def run_named(kernel: Kernel, process: Any, work: Any, *first: Any) -> Any:
    """Run a function that is named: return its result, or a coroutine that will.

    Args:
        kernel: the kernel of the process.
        process: the process that runs it.
        work: `{Module, Function, Args}`, or anything else that came from elsewhere.
        first: arguments before those.

    Raises:
        ExitError: `undef`, there is no such function here; `badarg`, this is no name of a function.
    """
    match work:
        case (Atom() as module, Atom() as function, list() as args) if type(work) is tuple:
            args = [*first, *args]
        case _:
            raise ExitError(BADARG, f"neither a function nor {{Module, Function, Args}}: {shown(work)}")
    shell = kernel.shell
    runs = None
    if isinstance(shell, HasFunctions):
        runs = shell.provided(module.name, function.name, len(args))
    if runs is None:
        raise ExitError(
            (UNDEF, [(module, function, args, [])]),
            f"no function {module.name}:{function.name}/{len(args)} is provided here",
        )
    return runs(process, args)


def shown(term: Any) -> str:
    """Return a term from elsewhere for the text of an error."""
    return to_text(term, max_chars=MAX_SHOWN)


def call_of(work: Any) -> tuple[Atom, Atom, int] | None:
    """Return module, function and arity, as they stand for what a process runs."""
    match work:
        case LocalWork(function=function, args=args):
            names = [str(getattr(function, each, "?"))[:255] for each in ("__module__", "__qualname__")]
            return Atom(names[0]), Atom(names[1]), len(args)
        case (Atom() as module, Atom() as function, list() as args) if type(work) is tuple:
            return module, function, len(args)
    return None
