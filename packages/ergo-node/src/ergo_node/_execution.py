"""The process that runs a function for another node."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import CoroutineType
from typing import Final

from etf_codec import Term
from otp_behaviors import Kernel, LocalProcess

from ergo_node._erpc import RETURN, Call, Outcome, badarg, failed, undef, without_our_frames
from ergo_node._registry import Provided

logger: Final = logging.getLogger("ergo_node")


class Execution(LocalProcess):
    """Runs one function to its end, and ends with a reason made of how that was.

    A plain function runs in the turn of the kernel, with no task; a coroutine function in a task of its own.

    Args:
        kernel: the kernel.
        call: module, function and arguments, as asked for.
        provided: the function; None if there is none that the caller may run.
        nothing: the term that stands for None as a result.
        ended: gets the outcome, returns the exit reason.
        reported: whether a reason that is not clean is an error here, to be logged.
    """

    __slots__ = ("_call", "_ended", "_nothing", "_provided", "_reported")

    def __init__(
        self,
        kernel: Kernel,
        call: Call,
        provided: Provided | None,
        nothing: Term,
        ended: Callable[[Outcome], Term],
        reported: bool = False,
    ) -> None:
        super().__init__(kernel)
        self._call = call
        self._provided = provided
        self._nothing = nothing
        self._ended = ended
        self._reported = reported

    @property
    def reported(self) -> bool:
        """A spawned process that fails is an error here; the result of a call is its caller's."""
        return self._reported

    @property
    def initial_call(self) -> tuple[str, str, int]:
        """What was asked for."""
        module, function, args = self._call
        return (module.name, function.name, len(args) if isinstance(args, list) else 0)

    def turn(self) -> int:
        """Run the function, or start it if it has to wait."""
        if self.coroutine is not None:
            self.kernel.step(self, self.coroutine)
            return 1
        args = self._call[2]
        if not isinstance(args, list):
            self._end(badarg(self._call))
        elif self._provided is None:
            self._end(undef(self._call))
        else:
            self._run(self._provided, args)
        return 1

    def _run(self, provided: Provided, args: list[Term]) -> None:
        try:
            result = provided.run(args, self.inside())
        except Exception as error:
            self.raised(error)
            return
        if isinstance(result, CoroutineType):
            self.kernel.await_(self, result)
        else:
            self.returned(result)

    def returned(self, value: Term) -> None:
        """The function has returned."""
        self._end((RETURN, self._nothing if value is None else value))

    def raised(self, error: Exception) -> None:
        """The function has raised."""
        without_our_frames(error)
        if not self._reported:
            logger.debug("%s:%s/%d, run for another node, raised", *self.initial_call, exc_info=error)
        self._end(failed(error), error)

    def _end(self, outcome: Outcome, error: Exception | None = None) -> None:
        self.kernel.exit(self, self._ended(outcome), error)
