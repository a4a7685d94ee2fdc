"""Requests and replies: `gen:call`, `cast`, `reply` of OTP.

A request is an alias and a monitor under one reference, as OTP makes it: the reply arrives at the alias, the
monitor tells at once if the callee is not there, and a reply that comes too late finds no alias any more.
Calls to a process of another node share a monitor, see `_callees`.
"""

from __future__ import annotations

from collections.abc import Coroutine
from sys import getrefcount
from typing import Any, Final, TypeAlias, TypeGuard

from etf_codec import Atom, ImproperList, Pid, Reference, Term

from otp_behaviors._aliases import ALIASED, alias_of
from otp_behaviors._bonds import Monitor
from otp_behaviors._callees import Callee
from otp_behaviors._completion import Completion
from otp_behaviors._errors import NO_REPLY, CallTimeout, ExitError, NoConnection, NoProcess
from otp_behaviors._kernel import Kernel
from otp_behaviors._process_table import IDLE, ProcessRecord, Waiter
from otp_behaviors._reasons import NOCONNECTION, NOPROC, TIMEOUT, from_exception
from otp_behaviors._references import ALONE, REQUEST
from otp_behaviors._shell import ServerRef
from otp_behaviors._signals import AliasSignal, MessageSignal, RemoteName, Signal

GEN_CALL: Final = Atom("$gen_call")
GEN_CAST: Final = Atom("$gen_cast")
GEN_SERVER: Final = Atom("gen_server")
CALL: Final = Atom("call")
NODEDOWN: Final = Atom("nodedown")
INFINITY: Final = Atom("infinity")
CALLING_SELF: Final = Atom("calling_self")
CALL_TIMEOUT: Final = 5.0
"""Seconds a call waits unless told otherwise, as `gen_server:call/2`."""

Caller: TypeAlias = tuple[Pid, Term]
"""Who called, OTP's From: `{Pid, Tag}`. The tag is opaque; echo it untouched."""


class Request(Completion):
    """A call that waits for its reply: what `gen_server:send_request/2` returns."""

    __slots__ = ("_callee", "_monitor", "_watched", "ref", "resting_place", "sender", "stays")

    def __init__(self, kernel: Kernel, sender: Pid, ref: Reference) -> None:
        self._kernel = kernel
        self._value = None
        self._error = None
        self._waiter = None
        self.done = self.waiting = False
        self.sender = sender
        self.ref = ref
        self._callee: ProcessRecord | None = None
        self._watched: Callee | None = None
        self._monitor: Monitor | None = None
        # Whether it is still among the callers when it is answered, to be the next call to that callee.
        self.stays = False
        # Where the tasks of the shell wait for it.
        self.resting_place: Waiter | None = None

    def begin(self, to: ServerRef, record: ProcessRecord | None, request: Term) -> None:
        """Watch the callee, then send the request; `record` is the callee if it lives on this node."""
        if record is not None:
            self.post(record, request)
            return
        kernel, sender, ref = self._kernel, self.sender, self.ref
        kernel.aliases[ref.ids] = self
        target = to if type(to) is Pid else kernel.resolve(to)
        if type(target) is Pid and target.node != kernel.node:
            self._watched = kernel.callees.enlist(self, sender, target)
        else:
            kernel.monitors.add(self, sender, target, ref, followed=True)
            if self.done:
                return  # Nobody is there.
        _send(kernel, sender, target, (GEN_CALL, (sender, ImproperList(ALIASED, ref)), request))

    def post(self, callee: ProcessRecord, request: Term) -> None:
        """Put the request into the mailbox of a process of this node."""
        # Here the tag is the reference itself, and the monitor an entry among the callers.
        self.enlist(callee)
        self._kernel.put(callee, (GEN_CALL, (self.sender, self.ref), request))

    def enlist(self, callee: ProcessRecord) -> None:
        """Wait for the answer of a process of this node, or its end."""
        self._kernel.aliases[self.ref.ids] = self
        self._callee = callee
        if callee.callers is None:
            callee.callers = {}
        callee.callers[self] = None

    def answer(self, reply: Term) -> None:
        """Complete with the reply."""
        if not self.done:
            self.abandon()
            self._value = reply
            self._complete()

    def recycle(self) -> None:
        """Serve another call: one here if nobody else knows the reference, for then no second reply can come.

        Nothing is left of a call to another node but its reference, and the next one has another.
        """
        if self._watched is not None:
            self._watched.callers.pop(self, None)
            return
        if self._callee is None:
            self._kernel.callees.answered = self
            return
        ref = self.ref
        if getrefcount(ref) == ALONE + 1:
            self._callee = None
            self.done = False
            self._kernel.spare_request = self

    def abandon(self) -> None:
        """Forget the request: a reply that still comes is dropped."""
        self._kernel.aliases.pop(self.ref.ids, None)
        if self._callee is not None:
            if self._callee.callers is not None:
                self._callee.callers.pop(self, None)
        elif self._watched is not None:
            self._watched.callers.pop(self, None)
            self.stays = False
        elif self._monitor is not None:
            monitor, self._monitor = self._monitor, None
            self._kernel.monitors.remove(self.sender, self.ref, monitor)

    def alias_message(self, alias: Reference, message: Term) -> None:
        """A message came to the alias: `{Tag, Reply}`."""
        if type(message) is tuple and len(message) == 2 and not self.done:
            self._value = message[1]
            self.done, self.waiting = True, False
            if self._waiter is not None:
                self._waiter.wake()
            # Only now, for who has been woken may send something that the end of the watch can go with.
            if self.stays:
                del self._kernel.aliases[alias.ids]
            else:
                self.abandon()

    def monitoring(self, ref: Reference, monitor: Monitor) -> None:
        """The watch of the callee has begun."""
        self._monitor = monitor

    def down(self, ref: Reference, reason: Term) -> None:
        """The callee has ended, or was never there."""
        self._monitor = None
        self.callee_exited(reason)

    def callee_exited(self, reason: Term) -> None:
        """The callee has ended without an answer."""
        self._kernel.aliases.pop(self.ref.ids, None)
        self.fail(ExitError(reason))


def call(
    kernel: Kernel, sender: Pid, waiter: Waiter | None, to: ServerRef, request: Term, timeout: float | None
) -> Coroutine[Any, Any, Term]:
    """Send a request and wait for the reply, when awaited (`gen_server:call/3`).

    Args:
        kernel: the caller's kernel.
        sender: the caller.
        waiter: where to wait; None for one of the shell's.
        to: the callee.
        request: any term.
        timeout: seconds, or None for `infinity`.

    Raises:
        CallTimeout: no reply in time.
        NoProcess: nobody there.
        NoConnection: the callee's node is unreachable, or was lost meanwhile.
        ExitError: the callee ended before it replied; `reason` as `gen_server:call` would exit.
    """
    if (type(to) is Pid or type(to) is RemoteName) and to.node != kernel.node:
        return _answer(kernel, to, sender, waiter, to, request, timeout)
    return _call_here(kernel, sender, waiter, to, request, timeout)


async def _call_here(
    kernel: Kernel, sender: Pid, waiter: Waiter | None, to: ServerRef, request: Term, timeout: float | None
) -> Term:
    """Call a process of this node, or what a name stands for, wherever that is."""
    if type(to) is Pid:
        record = kernel.table.by_pid.get(to)
    else:
        target = kernel.resolve(to)
        # What a handle means may change meanwhile, as a global name does: one call is for one process.
        to = target if type(target) is Pid else to
        record = kernel.find(target)
    pending = kernel.spare_request
    if type(pending) is Request:
        kernel.spare_request = None
        pending.sender = sender
    else:
        pending = Request(kernel, sender, kernel.make_ref(REQUEST))
    shell = kernel.shell
    if record is None or record.status is not IDLE or kernel.run_queue or kernel.held or shell is None:
        if record is not None and record.pid is sender:
            text = "a process cannot call itself, since it could not answer: call the method instead"
            raise ExitError(_reason(kernel, CALLING_SELF, to, request, timeout), text)
        _post(kernel, pending, to, record, request)
        return await _answer(kernel, pending, sender, waiter, to, request, timeout)
    # Nobody else has anything to do: the callee's turn is now, in the caller's place.
    answer = record.serve(pending, request)
    if kernel.run_queue or kernel.effects or kernel.outbox:
        shell.pump()
    if answer is NO_REPLY:
        return await _answer(kernel, pending, sender, waiter, to, request, timeout)
    if kernel.reductions > kernel.fair_share:
        await shell.checkpoint()
    return answer


async def _answer(
    kernel: Kernel,
    begun: Request | Pid | RemoteName,
    sender: Pid,
    waiter: Waiter | None,
    to: ServerRef,
    request: Term,
    timeout: float | None,
) -> Term:
    """The reply to a request that is under way, or is to be sent to a process, or a name, of another node."""
    if type(begun) is Pid:
        pending = _send_request(kernel, sender, begun, request)
    elif isinstance(begun, RemoteName):
        pending = _send_request_by_name(kernel, sender, begun, request)
    else:
        pending = begun
    try:
        if not pending.done:
            if waiter is None:
                waiter = pending.resting_place
                if waiter is None:
                    waiter = pending.resting_place = waiter_of(kernel)
            # As `pending.wait`, without a coroutine of its own.
            waiting = None
            if timeout is not None:
                waiting, now = kernel.timeouts.waiting.get(timeout), kernel.now
                if waiting is None:
                    waiting = kernel.timeouts.of(timeout)
                waiting[pending] = deadline = now() + timeout
                if deadline < kernel.alarm and kernel.shell is not None:
                    kernel.shell.ready()
            pending._waiter = waiter
            pending.waiting = True
            if pending._callee is None and kernel.callees.ahead is None:
                kernel.callees.ahead = kernel.references.make_tag()
            try:
                while pending.waiting:
                    await waiter.wait()
            finally:
                pending._waiter = None
                if waiting is not None:
                    waiting.pop(pending, None)
            if not pending.done:
                raise CallTimeout(_reason(kernel, TIMEOUT, to, request, timeout), _late(to, timeout))
        elif kernel.reductions > kernel.fair_share and kernel.shell is not None:
            await kernel.shell.checkpoint()
    except BaseException:
        pending.abandon()
        raise
    error = pending._error
    if error is not None:
        raise _failure(kernel, error, to, request, timeout)
    answer, pending._value = pending._value, None
    callee = pending._watched
    if callee is not None and callee.spare is None and pending.stays:
        callee.spare = pending
    else:
        pending.recycle()
    return answer


def _send_request(kernel: Kernel, sender: Pid, to: Pid, request: Term) -> Request:
    """Send a request to a process of another node."""
    callees = kernel.callees
    callee = callees.last
    if callee is None or callee.pid is not to or callee.sender is not sender:
        callee = callees.find(sender, to)
    tag, callees.ahead = callees.ahead, None
    if tag is None:
        tag = kernel.references.make_tag()
    message = (GEN_CALL, (sender, tag), request)
    channel = kernel.channels.get(to.node)
    sent = channel is not None and not kernel.outbox and channel.transmit(sender, to, message)
    # From here on the callee may be at work; its answer finds what waits for it, for it is read later.
    ref, pending = tag.tail, callee.spare
    if type(pending) is Request:
        callee.spare = None
        pending.ref, pending.done = ref, False
    else:
        pending = Request(kernel, sender, ref)
        pending._watched, pending.stays = callee, True
        callee.callers[pending] = None
    kernel.aliases[ref.ids] = pending
    callee.used = True
    if not sent:
        kernel.outbox.append(MessageSignal(sender, to, message))
        if kernel.shell is not None and not kernel.held:
            kernel.shell.pump()
    return pending


def _send_request_by_name(kernel: Kernel, sender: Pid, to: RemoteName, request: Term) -> Request:
    """Send a request to who has a name on another node."""
    callees, held = kernel.callees, kernel.held
    tag, callees.ahead = callees.ahead, None
    if tag is None:
        tag = kernel.references.make_tag()
    ref = tag.tail
    pending = _begun(kernel, sender, ref)
    kernel.held = True
    try:
        kernel.monitors.add(pending, sender, to, ref, followed=True)
        _send(kernel, sender, to, (GEN_CALL, (sender, tag), request))
    except BaseException:
        pending.abandon()
        raise
    finally:
        kernel.held = held
    if kernel.outbox and kernel.shell is not None and not held:
        kernel.shell.pump()
    return pending


def _begun(kernel: Kernel, sender: Pid, ref: Reference) -> Request:
    """A request that waits for an answer under this reference."""
    pending = kernel.callees.answered
    if type(pending) is Request:
        kernel.callees.answered = None
        pending.sender, pending.ref, pending.done = sender, ref, False
    else:
        pending = Request(kernel, sender, ref)
    kernel.aliases[ref.ids] = pending
    return pending


def _send(kernel: Kernel, sender: Pid, to: Pid | RemoteName, message: Term) -> None:
    """Send a message to another node."""
    channel = None if kernel.outbox else kernel.channels.get(to.node)
    receiver = to if type(to) is Pid else Atom(to.name)
    if channel is None or not channel.transmit(sender, receiver, message):
        kernel.emit(MessageSignal(sender, to, message))


def _post(
    kernel: Kernel, pending: Request, to: ServerRef, record: ProcessRecord | None, request: Term
) -> None:
    """Send the request, and have the kernel run if the caller is a task of the shell."""
    shell = kernel.shell
    if shell is None or kernel.held:
        pending.begin(to, record, request)
        return
    kernel.held = True
    try:
        pending.begin(to, record, request)
    finally:
        kernel.held = False
    shell.pump()


def waiter_of(kernel: Kernel) -> Waiter:
    """Return a place to wait for a task of the shell."""
    if kernel.shell is None:
        raise RuntimeError("this kernel has no shell: only driven processes can wait in it")
    return kernel.shell.waiter()


def cast(kernel: Kernel, sender: Pid, to: ServerRef, message: Term) -> None:
    """Send a cast (`gen_server:cast/2`): no reply, no error if nobody is there."""
    kernel.send(sender, to, (GEN_CAST, message))


def is_caller(term: Term) -> TypeGuard[Caller]:
    """Tell whether a term can be answered: whoever sends a request may put anything into it."""
    return type(term) is tuple and len(term) == 2 and type(term[0]) is Pid


def reply(kernel: Kernel, sender: Pid, caller: Caller, term: Term) -> None:
    """Send a reply to whoever made a call (`gen_server:reply/2`), by the route its tag asks for."""
    pid, tag = caller
    if type(tag) is ImproperList and tag.items == ALIASED and type(tag.tail) is Reference:
        # As sent by nearly all.
        channel = kernel.channels.get(tag.tail.node)
        if channel is not None and not kernel.outbox and channel.transmit(sender, tag.tail, (tag, term)):
            return
    if type(tag) is Reference:
        pending = kernel.references.alias_target(tag)
        if type(pending) is Request:
            pending.answer(term)
        elif not kernel.references.is_request(tag):
            kernel.send(sender, pid, (tag, term))
        return
    alias = alias_of(tag)
    if alias is None:
        kernel.send(sender, pid, (tag, term))
        return
    if alias.node == kernel.node:
        kernel.send(sender, alias, (tag, term))
    else:
        kernel.emit(AliasSignal(sender, alias, (tag, term), pid))


def undeliverable(kernel: Kernel, signal: Signal, error: Exception) -> bool:
    """A signal for another node cannot be sent, because a term of it has no external form.

    A caller gets the error where it waits for the reply; any other process ends with it, as it would in OTP
    if the send itself failed.

    Returns:
        False if the sender is no process that could be told.
    """
    sender = kernel.table.by_pid.get(signal.sender) if isinstance(signal.sender, Pid) else None
    if isinstance(signal, MessageSignal) and type(signal.message) is tuple and len(signal.message) == 3:
        _, caller, _ = signal.message
        alias = alias_of(caller[1]) if is_caller(caller) else None
        pending = None if alias is None else kernel.references.alias_target(alias)
        if isinstance(pending, Request):
            pending.abandon()
            pending.fail(error)
            return True
    if sender is None or not sender.mortal:
        return False
    kernel.exit(sender, from_exception(error), error)
    return True


def _failure(
    kernel: Kernel, error: Exception, to: ServerRef, request: Term, timeout: float | None
) -> Exception:
    if not isinstance(error, ExitError):
        return error
    reason = error.reason
    if reason is NOPROC:
        return NoProcess(_reason(kernel, reason, to, request, timeout), f"no process {_shown(to)}")
    if reason is NOCONNECTION:
        node = kernel.resolve(to).node
        reason = (NODEDOWN, Atom(node))
        return NoConnection(_reason(kernel, reason, to, request, timeout), kernel.nodes.no_connection(node))
    return ExitError(_reason(kernel, reason, to, request, timeout))


def _reason(kernel: Kernel, reason: Term, to: ServerRef, request: Term, timeout: float | None) -> Term:
    target = kernel.resolve(to)
    who: Term = target
    if isinstance(target, RemoteName):
        local = target.node == kernel.node
        who = Atom(target.name) if local else (Atom(target.name), Atom(target.node))
    limit = INFINITY if timeout is None else round(timeout * 1000)
    return (reason, (GEN_SERVER, CALL, [who, request, limit]))


def _late(to: ServerRef, timeout: float | None) -> str:
    return f"no reply from {_shown(to)} within {timeout} s"


def _shown(to: ServerRef) -> str:
    if isinstance(to, RemoteName):
        return f"{to.name!r} on {to.node}"
    return repr(str(to)) if isinstance(to, str | Atom) else repr(to)
