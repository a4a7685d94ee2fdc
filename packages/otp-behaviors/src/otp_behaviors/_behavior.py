"""The process of a behavior: it starts with `init`, handles one thing after the other, ends with `terminate`.

What a GenServer and a GenStatem have in common: OTP's `gen`, and the parts of `gen_server` and `gen_statem`
that are the same in both. A callback may be a plain `def`, which runs at once, or an `async def`, which is
awaited in the process's own task.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Coroutine
from types import CoroutineType
from typing import Any, Final

from etf_codec import Atom, Pid, Term

from otp_behaviors._errors import ExitError, Ignore, Stop
from otp_behaviors._gen_call import Caller, is_caller, reply
from otp_behaviors._kernel import TURN, Kernel
from otp_behaviors._process import LocalProcess, Process
from otp_behaviors._process_table import EXITED, IDLE, RUNNING
from otp_behaviors._reasons import NORMAL, from_exception, is_clean

DEAD: Final = Atom("dead")
REMOTE: Final = Atom("remote")

Work = Coroutine[Any, Any, None]
Answer = tuple[Caller, Term]


class BehaviorProcess(LocalProcess):
    """The process of an instance of a behavior.

    Methods that return work return None when they are done, or a coroutine to be awaited.

    Args:
        kernel: where it lives.
        behavior: the class.
        args: those of its `init`.
    """

    __slots__ = ("_args", "instance")

    def __init__(self, kernel: Kernel, behavior: type[Process], args: tuple[Any, ...]) -> None:
        super().__init__(kernel)
        self.instance: Any = behavior.__new__(behavior)
        self.instance._record = self
        self.instance._kernel = kernel
        self._args: tuple[Any, ...] | None = args

    @property
    def initial_call(self) -> tuple[str, str, int]:
        """The class's `init`."""
        behavior = type(self.instance)
        return (behavior.__module__, f"{behavior.__qualname__}.init", len(self._args or ()))

    def turn(self) -> int:
        """Handle what there is until the slice is used up, or a callback has to wait."""
        kernel = self.kernel
        if self.coroutine is not None:
            kernel.step(self, self.coroutine)
            return 1
        self.status = RUNNING
        before = self.reductions
        work = self._start() if self._args is not None else None
        if work is None and self.status is not EXITED:
            work = self.handle_all()
        spent = self.reductions - before
        if self.status is EXITED:
            return spent + 1
        if work is not None:
            kernel.await_(self, work)
        else:
            self.rest()
        return spent + 1

    def handle_all(self) -> Work | None:
        """Handle what there is, of a slice at most, and count it in `reductions`."""
        kernel = self.kernel
        spent = 0
        work = None
        while work is None and self.status is not EXITED and self.more():
            if spent == TURN or kernel.deferred:
                break
            spent += 1
            work = self.handle_next()
        self.reductions += spent
        return work

    def more(self) -> bool:
        """Tell whether there is anything to handle."""
        return bool(self.mailbox)

    @abstractmethod
    def handle_next(self) -> Work | None:
        """Handle the next message, or whatever comes before it."""

    @abstractmethod
    def started(self) -> Work | None:
        """`init` has returned: acknowledge the start, and go on as it wanted."""

    @abstractmethod
    def report_end(self, reason: Term) -> None:
        """Report an end with a reason that is not clean."""

    def note_end(self, reason: Term) -> None:
        """The end is a clean one: only who debugs the process is told."""

    @abstractmethod
    def terminate(self, reason: Term) -> Any:
        """Call the callback."""

    @abstractmethod
    def cancel_timeouts(self) -> None:
        """The process ends: what it waits for need not come."""

    def rest(self) -> None:
        """Wait for a message, or for the next turn."""
        self.status = IDLE
        if self.more():
            self.kernel.schedule(self)

    def returned(self, value: Term) -> None:
        """The callback that had to wait is done."""
        if self.status is not EXITED:
            self.rest()

    def raised(self, error: Exception) -> None:
        """Not reached by an error of a callback, which is taken before; so this is a fault of ours."""
        self.kernel.exit(self, from_exception(error), error)

    def hibernate(self) -> None:
        """Let go of what an idle process does not need."""
        task, self.task = self.task, None
        if task is not None:
            task.resume()
        self.compact()

    # The start

    def _start(self) -> Work | None:
        args, self._args = self._args or (), None
        try:
            result = self.instance.init(*args)
            if type(result) is CoroutineType:
                return self._finish_start(result)
        except Exception as error:
            self.refuse_start(error)
            return None
        return self.started()

    async def _finish_start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            await coroutine
        except Exception as error:
            self.refuse_start(error)
            return
        if self.status is EXITED:
            return  # Killed, and its task ran on to its next wait.
        work = self.started()
        if work is not None:
            await work

    def refuse_start(self, error: Exception) -> None:
        """`init` did not succeed: the process ends, and `start` raises."""
        if isinstance(error, Ignore):
            self.refuse(error)
            self.kernel.exit(self, NORMAL)
            return
        reason = reason_of(error)
        refusal = error if isinstance(error, ExitError) else ExitError(reason)
        refusal.__cause__ = None if refusal is error else error
        self.refuse(refusal)
        self.kernel.exit(self, reason, error)

    # The end

    def stop(self, reason: Term, error: Exception | None = None, answer: Answer | None = None) -> Work | None:
        """Run `terminate`, answer the caller if there is one, and end: the order of `gen_server`."""
        self.cancel_timeouts()
        try:
            result = self.terminate(reason)
            if type(result) is CoroutineType:
                return self._finish_stop(result, reason, error, answer)
        except Exception as second:
            reason, error = reason_of(second), second
        self._end(reason, error, answer)
        return None

    async def _finish_stop(
        self,
        coroutine: Coroutine[Any, Any, Any],
        reason: Term,
        error: Exception | None,
        answer: Answer | None,
    ) -> None:
        try:
            await coroutine
        except Exception as second:
            reason, error = reason_of(second), second
        self._end(reason, error, answer)

    def _end(self, reason: Term, error: Exception | None, answer: Answer | None) -> None:
        # A reply that was promised is still sent if `terminate` raises, as in OTP.
        if self.status is not EXITED:
            if is_clean(reason):
                self.note_end(reason)
            else:
                self.report_end(reason)
        if answer is not None and is_caller(answer[0]):
            reply(self.kernel, self.pid, *answer)
        self.kernel.exit(self, reason, error)

    def client(self, caller: Caller | None) -> tuple[Pid, Any] | None:
        """Return who made a call, as reports have it: pid and name, the pid again, `dead` or `remote`."""
        if not is_caller(caller):
            return None
        pid = caller[0]
        if pid.node != self.kernel.node:
            return (pid, REMOTE)
        client = self.kernel.table.by_pid.get(pid)
        return (pid, DEAD if client is None else client.name or pid)


def reason_of(error: Exception) -> Term:
    """Return the exit reason of a callback that raised."""
    return error.reason if isinstance(error, Stop | ExitError) else from_exception(error)
