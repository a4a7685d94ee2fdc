"""GenServer: a server with a state, callbacks, calls and casts.

    caller                         kernel                          your class
    ------                         ------                          ----------
    start(Counter, 10)      ---->  new process              ---->  init(10)
    call(server, request)   ---->  {'$gen_call', From, R}   ---->  handle_call(request, caller)
                            <----  reply                    <----  returned term, or NO_REPLY
    cast(server, message)   ---->  {'$gen_cast', M}         ---->  handle_cast(message)
    send(server, message)   ---->  anything else            ---->  handle_info(message)
                                   continue_with(token)     ---->  handle_continue(token)
    stop, parent's exit …   ---->  end                      ---->  terminate(reason)

Each callback may be a plain `def`, which the kernel runs at once, or an `async def`, which may wait and runs
in the process's own task. One message is handled at a time in either case. Follows `gen_server` of STDLIB.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from sys import getrefcount
from types import CoroutineType
from typing import Any, ClassVar, Final

from etf_codec import Atom, Term

from otp_behaviors._behavior import BehaviorProcess, Work, reason_of
from otp_behaviors._effects import TerminateReport, UnexpectedMessage, label_of
from otp_behaviors._errors import NO_REPLY, Stop, Unhandled
from otp_behaviors._gen_call import GEN_CALL, GEN_CAST, Caller, reply
from otp_behaviors._kernel import TURN, Kernel
from otp_behaviors._observed import Callbacks
from otp_behaviors._process import Process
from otp_behaviors._process_table import EXITED, IDLE, RUNNING, OpenRequest
from otp_behaviors._reasons import TIMEOUT, from_exception
from otp_behaviors._references import ALONE
from otp_behaviors._server_system import ServerSystem, crash_status
from otp_behaviors._signals import Exit
from otp_behaviors._system import SYSTEM, debug_from_start, handle_system, is_system
from otp_behaviors._timers import Timer

BAD_CALL: Final = Atom("bad_call")
BAD_CAST: Final = Atom("bad_cast")
CONTINUE: Final = Atom("continue")
BAD_CONTINUE: Final = Atom("bad_continue")

EXIT_MESSAGE: Final = Atom("EXIT")

HIBERNATION: Final[tuple[Term, ...]] = (None, None)
"""Stands among the continuations, which are one token each."""

NO_MESSAGE: Final[tuple[Term, None]] = ([], None)
"""The last message of a server that ends without one, as OTP reports it."""


class GenServer(Process):
    """Base class of servers. Attributes of the instance are the state; override the callbacks you need."""

    _record: ServerProcess

    debug_options: ClassVar[Sequence[Any]] = ()
    """What to debug from the start: "trace", ("log", 20), "statistics", ("install", (function, state))."""

    def init(self, *args: Any) -> Any:
        """Set up the state from the arguments of `start`.

        Raise Ignore() to not start without error, Stop(reason) to refuse with one. `start` waits for it.
        """

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Answer a call: the returned term is the reply; NO_REPLY to use `self.reply(caller, term)` later."""
        raise Unhandled((BAD_CALL, request), f"{type(self).__name__} has no handle_call for {request!r}")

    def handle_cast(self, message: Any) -> Any:
        """Handle a cast."""
        raise Unhandled((BAD_CAST, message), f"{type(self).__name__} has no handle_cast for {message!r}")

    def handle_info(self, message: Any) -> Any:
        """Handle any other message. Without this callback it is logged and dropped, as in OTP."""
        self._kernel.report(UnexpectedMessage(self._record, message))

    def handle_continue(self, token: Any) -> Any:
        """Go on after the callback that called `continue_with`, before any message."""
        raise Unhandled((BAD_CONTINUE, token), f"{type(self).__name__} has no handle_continue for {token!r}")

    def terminate(self, reason: Any) -> Any:
        """Clean up before the end.

        Called when a callback stops or raises, when `stop` is asked for, or, in a server that traps exits,
        when the parent ends; not when the process is killed.
        """

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """Return the status as `sys.get_status` and crash reports are to show it: without secrets, shorter.

        Args:
            status: `state` (the attributes, by Atom), `log`, and in a crash report `message` and `reason`.
        """
        return status

    def code_change(self, old_version: Any, extra: Any) -> Any:
        """Convert the state for the code that runs now (`sys.change_code`); may be `async def`.

        Called when this class has replaced another one, so the attributes are still those of that.
        """

    def continue_with(self, token: Term) -> None:
        """Have `handle_continue(token)` called right after this callback (`{continue, Token}`)."""
        self._record.continuation = (token,)

    def set_timeout(self, seconds: float, message: Term = TIMEOUT) -> None:
        """Have `handle_info(message)` called if no message comes within `seconds` after this callback."""
        self._record.set_timeout(seconds, message)

    def hibernate(self) -> None:
        """Free memory after this callback until the next message comes (`hibernate`).

        For a server that will be idle for long: its task, if it has one, ends, and empty tables are dropped.
        Not together with `continue_with`.
        """
        self._record.continuation = HIBERNATION

    @classmethod
    def __process__(cls, kernel: Kernel, args: tuple[Any, ...]) -> ServerProcess:
        """Return a new process for an instance of this class."""
        return ServerProcess(kernel, cls, args)


class ServerProcess(BehaviorProcess):
    """The process of a GenServer: OTP's `gen_server` loop."""

    __slots__ = ("_deadline", "_last", "_timeout", "continuation", "server")

    instance: GenServer

    def __init__(self, kernel: Kernel, server_class: type[GenServer], args: tuple[Any, ...]) -> None:
        super().__init__(kernel, server_class, args)
        # Who gets the callbacks: the instance, or what observes it while it is debugged.
        self.server: Callbacks = self.instance
        self._deadline: Timer | None = None
        self._timeout: tuple[float, Term] | None = None
        # The message that a callback failed at, and who waits for its answer, once one has failed.
        self._last: tuple[Term, Caller | None] = NO_MESSAGE
        # What is to be done after the callback: `(token,)` to continue with, `()` to look what else there is.
        self.continuation: tuple[Term, ...] | None = None

    def handle_all(self) -> Work | None:
        """Handle messages until the mailbox is empty, the slice is used up, or a callback has to wait.

        What a process does mostly: as that of any behavior, without two calls a message.
        """
        kernel, mailbox = self.kernel, self.mailbox
        spent = 0
        work = None
        while work is None:
            if self.status is EXITED or not mailbox or spent == TURN or kernel.deferred:
                break
            spent += 1
            work = self._handle(mailbox.popleft())
        self.reductions += spent
        return work

    def handle_next(self) -> Work | None:
        """Handle the next message."""
        return self._handle(self.mailbox.popleft())

    def take(self, message: Term) -> bool:
        """Answer a request of another node as `turn` would; false if the message is none, or has to wait."""
        kernel = self.kernel
        if self.status is not IDLE or kernel.run_queue or self.coroutine is not None:
            return False
        if type(message) is not tuple or len(message) != 3 or message[0] is not GEN_CALL:
            return False
        _, caller, request = message
        kernel.running, kernel.current = True, self
        self.status = RUNNING
        work = None
        try:
            if self._deadline is not None:
                self.cancel_timeouts()
            result = self.server.handle_call(request, caller)
            if type(result) is CoroutineType:
                work = self._finish(result, caller, request)
            else:
                if result is not NO_REPLY:
                    reply(kernel, self.pid, caller, result)
                if self.continuation is not None:
                    work = self._continue()
        except Exception as error:
            work = self._failed(error, caller, request)
        except BaseException as error:
            # SystemExit, or the like; see `Kernel.run`.
            kernel.exit(self, from_exception(error), error)
            raise
        finally:
            # As `Kernel.leave`, but that who delivers goes on.
            kernel.current = None
            kernel.reductions += 1
            self.reductions += 1
            if work is not None:
                kernel.await_(self, work)
            elif self.status is RUNNING:
                self.status = IDLE
                if self.mailbox:
                    kernel.schedule(self)
            if kernel.deferred:
                kernel.settle()
            kernel.running = False
        return True

    def serve(self, pending: OpenRequest, request: Term) -> Term:
        """Answer a call in the caller's place, as `turn` would; NO_REPLY if the answer is not there yet."""
        if self.coroutine is not None:
            return super().serve(pending, request)
        kernel = self.kernel
        ref = pending.ref
        caller = (pending.sender, ref)
        kernel.running = kernel.held = True
        kernel.current, kernel.references.serving = self, pending
        self.status = RUNNING
        work = None
        try:
            if self._deadline is not None:
                self.cancel_timeouts()
            answer = self.server.handle_call(request, caller)
            if answer is NO_REPLY or type(answer) is CoroutineType or self.continuation is not None:
                answer, work = self._unanswered(pending, caller, request, answer)
            elif pending.done:
                answer = NO_REPLY
            elif getrefcount(caller) == ALONE and getrefcount(ref) == ALONE + 2:
                # Nobody has kept the tag, so no reply can come by it any more: the next call may have it.
                kernel.spare_request = pending
        except Exception as error:
            pending.enlist(self)
            answer, work = NO_REPLY, self._failed(error, caller, request)
        finally:
            kernel.leave(self, work)
        return answer

    def _unanswered(
        self, pending: OpenRequest, caller: Caller, request: Term, answer: Term
    ) -> tuple[Term, Work | None]:
        """The callback has returned, but is not all there is to do."""
        if answer is NO_REPLY:
            pending.enlist(self)
        elif type(answer) is CoroutineType:
            pending.enlist(self)
            return NO_REPLY, self._finish(answer, caller, request)
        return answer, None if self.continuation is None else self._continue()

    def set_timeout(self, seconds: float, message: Term) -> None:
        """Start the timeout of the state after this callback; any message cancels it."""
        self._timeout = (seconds, message)
        if self.continuation is None:
            self.continuation = ()

    def resume_timeout(self) -> None:
        """Start the timeout of the state: now is when the callback that asked for it is over."""
        if self._timeout is None:
            return
        if self._deadline is not None:
            self._deadline.cancel()
        seconds, message = self._timeout
        self._deadline = self.kernel.start_timer(seconds, lambda: self._timed_out(message), self.pid)

    def _timed_out(self, message: Term) -> None:
        # A message that came in time cancels the timeout, even if it has not been handled yet.
        if self.status is not EXITED and not self.mailbox:
            self.kernel.put(self, message)

    def cancel_timeouts(self) -> None:
        """The timeout of the state is over."""
        deadline, self._deadline, self._timeout = self._deadline, None, None
        if deadline is not None:
            deadline.cancel()

    def _interrupt_timeout(self, message: Term) -> None:
        timeout = self._timeout
        self.cancel_timeouts()
        if is_system(message):
            self._timeout = timeout

    # One callback after the other. Each of these returns None when it is done, or a coroutine to be awaited.

    def started(self) -> Work | None:
        """`init` has returned."""
        if self.instance.debug_options:
            debug_from_start(ServerSystem(self, self.instance), self.instance.debug_options)
        self.acknowledge()
        return None if self.continuation is None else self._continue()

    def _handle(self, message: Term) -> Work | None:
        if self._deadline is not None:
            self._interrupt_timeout(message)
        caller: Caller | None = None
        try:
            tag = message[0] if type(message) is tuple and message else None
            if tag is GEN_CALL and len(message) == 3:
                _, caller, request = message
                result = self.server.handle_call(request, caller)
                if type(result) is CoroutineType:
                    return self._finish(result, caller, request)
                if result is not NO_REPLY:
                    reply(self.kernel, self.pid, caller, result)
                return None if self.continuation is None else self._continue()
            if tag is GEN_CAST and len(message) == 2:
                return self._run(self.server.handle_cast, message[1], message)
            if tag is SYSTEM and len(message) == 3:
                return handle_system(ServerSystem(self, self.instance), message)
            if type(message) is Exit and message.pid == self.parent:
                self._last = ((EXIT_MESSAGE, message.pid, message.reason), None)
                return self.stop(message.reason)
            return self._run(self.server.handle_info, message, message)
        except Exception as error:
            # Of a call only the request is reported.
            return self._failed(error, caller, message if caller is None else message[2])

    def _run(self, callback: Callable[[Any], Any], argument: Term, message: Term) -> Work | None:
        result = callback(argument)
        if type(result) is CoroutineType:
            return self._finish(result, None, message)
        return None if self.continuation is None else self._continue()

    def _continue(self) -> Work | None:
        continuation, self.continuation = self.continuation, None
        if not continuation or continuation is HIBERNATION:
            self.resume_timeout()
            if continuation:
                self.hibernate()
            return None
        if self._timeout is not None:
            self.continuation = ()
        message = (CONTINUE, continuation[0])
        try:
            return self._run(self.server.handle_continue, continuation[0], message)
        except Exception as error:
            return self._failed(error, None, message)

    async def _finish(
        self, coroutine: Coroutine[Any, Any, Any], caller: Caller | None, message: Term
    ) -> None:
        try:
            result = await coroutine
            if self.status is EXITED:
                return  # Killed, and its task ran on to its next wait.
            if caller is not None and result is not NO_REPLY:
                reply(self.kernel, self.pid, caller, result)
            work = None if self.continuation is None else self._continue()
        except Exception as error:
            work = self._failed(error, caller, message)
        if work is not None:
            await work

    def _failed(self, error: Exception, caller: Caller | None, message: Term) -> Work | None:
        """A callback raised: Stop, which ends the server as asked for, or anything else, which crashes it."""
        if self.status is EXITED:
            return None  # Killed: `terminate` does not run, whatever the callback raised at that.
        self._last = (message, caller)
        if isinstance(error, Stop):
            pending = None if caller is None or error.reply is NO_REPLY else (caller, error.reply)
            return self.stop(error.reason, None, pending)
        return self.stop(reason_of(error), error)

    def terminate(self, reason: Term) -> Any:
        """Call the callback."""
        return self.server.terminate(reason)

    def report_end(self, reason: Term) -> None:
        """Report the end as `gen_server:error_info/7`."""
        message, caller = self._last
        status = partial(crash_status, self.instance, self.server, message, reason)
        self.kernel.report(TerminateReport(self.pid, self.name, status, self.client(caller), label_of(self)))
