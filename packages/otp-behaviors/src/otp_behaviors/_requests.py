"""Requests that are not plain calls: of another kind, or to several nodes at once.

Follows `gen:call/4`, `gen_server:multi_call` and `gen_server:abcast`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from etf_codec import Atom, ImproperList, Pid, Term

from otp_behaviors._aliases import ALIAS
from otp_behaviors._errors import CallTimeout, ExitError, NoConnection, NoProcess
from otp_behaviors._gen_call import GEN_CALL, INFINITY, NODEDOWN, Request
from otp_behaviors._kernel import Kernel
from otp_behaviors._process_table import ProcessRecord, Waiter
from otp_behaviors._reasons import NOCONNECTION, NOPROC, TIMEOUT
from otp_behaviors._shell import ServerRef
from otp_behaviors._signals import RemoteName

SYSTEM: Final = Atom("system")
SYS: Final = Atom("sys")
GEN_EVENT: Final = Atom("gen_event")
NOTIFY: Final = Atom("notify")


class Asker(NamedTuple):
    """Who makes a request, and how it waits."""

    kernel: Kernel
    pid: Pid
    waiter: Callable[[], Waiter]


class GenRequest(Request):
    """A request of any kind: `{Label, From, Request}`.

    Args:
        asker: who makes it.
        label: `system`, `$gen_call`, or for an event manager the asker's pid.
    """

    __slots__ = ("label",)

    def __init__(self, asker: Asker, label: Atom | Pid) -> None:
        super().__init__(asker.kernel, asker.pid, asker.kernel.make_ref(1))
        self.label = label

    def begin(self, to: ServerRef, record: ProcessRecord | None, request: Term) -> None:
        """Watch the callee, then send the request."""
        kernel = self._kernel
        kernel.aliases[self.ref.ids] = self
        target = kernel.resolve(to)
        kernel.monitors.add(self, self.sender, target, self.ref)
        if not self.done:
            tag = ImproperList([ALIAS], self.ref)
            kernel.send(self.sender, target, (self.label, (self.sender, tag), request))


async def system_call(asker: Asker, to: ServerRef, request: Term, timeout: float | None) -> Any:
    """Send a system message and return the answer, which may be `{error, Reason}`.

    Raises:
        CallTimeout, NoProcess, NoConnection, ExitError: as `call` does; the reason names `sys`.
    """
    return await _ask(GenRequest(asker, SYSTEM), asker, to, request, timeout, _sys_call)


async def event_call(asker: Asker, to: ServerRef, request: Term, timeout: float | None) -> Any:
    """Send a request to an event manager and return the answer, which may be `{error, Reason}`.

    Raises:
        CallTimeout, NoProcess, NoConnection, ExitError: as `call` does; the reason names `gen_event`.
    """
    return await _ask(GenRequest(asker, asker.pid), asker, to, request, timeout, _event_call)


async def _ask(
    pending: GenRequest,
    asker: Asker,
    to: ServerRef,
    request: Term,
    timeout: float | None,
    called: Callable[[Kernel, ServerRef, Term, float | None], Term],
) -> Any:
    """Send a request, wait for its answer and return that; `called` makes what OTP says was called."""
    kernel = asker.kernel
    _begin(kernel, [(pending, to)], request)
    try:
        if not pending.done and not await pending.wait(asker.waiter(), timeout):
            call = called(kernel, to, request, timeout)
            raise CallTimeout((TIMEOUT, call), f"no answer from {to!r} within {timeout} s")
    finally:
        if not pending.done:
            pending.abandon()
    try:
        return pending.result()
    except ExitError as error:
        raise failure(error.reason, to, kernel, called(kernel, to, request, timeout)) from None


async def multi_call(
    asker: Asker, nodes: Iterable[str], name: str | Atom, request: Term, timeout: float | None
) -> tuple[dict[str, Any], list[str]]:
    """Call the servers registered under a name on several nodes, all at once (`gen_server:multi_call/4`).

    Returns:
        The replies by node, and the nodes of which none came: not reachable, no such server, or too late.
    """
    kernel = asker.kernel
    pending = [(node, GenRequest(asker, GEN_CALL)) for node in dict.fromkeys(nodes)]
    _begin(kernel, [(one, RemoteName(str(name), node)) for node, one in pending], request)
    deadline = None if timeout is None else kernel.now() + timeout
    replies: dict[str, Any] = {}
    bad_nodes: list[str] = []
    try:
        for node, one in pending:
            left = None if deadline is None else max(0.0, deadline - kernel.now())
            if not one.done and (left == 0.0 or not await one.wait(asker.waiter(), left)):
                bad_nodes.append(node)
                continue
            try:
                replies[node] = one.result()
            except ExitError:
                bad_nodes.append(node)
    finally:
        for _, one in pending:
            if not one.done:
                one.abandon()
    return replies, bad_nodes


def abcast(kernel: Kernel, sender: Pid, nodes: Iterable[str], name: str | Atom, message: Term) -> None:
    """Cast to the servers registered under a name on several nodes (`gen_server:abcast/3`)."""
    for node in nodes:
        kernel.send(sender, RemoteName(str(name), node), (Atom("$gen_cast"), message))


def failure(reason: Term, to: ServerRef, kernel: Kernel, call: Term) -> ExitError:
    """Return how a call fails that got `reason` instead of an answer; `call` is what OTP says was called."""
    if reason is NOPROC:
        return NoProcess((NOPROC, call), f"no process {to!r}")
    if reason is NOCONNECTION:
        node = kernel.resolve(to).node
        return NoConnection(((NODEDOWN, Atom(node)), call), kernel.nodes.no_connection(node))
    return ExitError((reason, call))


def server_name(kernel: Kernel, to: ServerRef) -> Term:
    """Return how OTP writes whom a call was for."""
    target = kernel.resolve(to)
    if isinstance(target, Pid):
        return target
    return Atom(target.name) if target.node == kernel.node else (Atom(target.name), Atom(target.node))


def _begin(kernel: Kernel, requests: list[tuple[GenRequest, ServerRef]], request: Term) -> None:
    """Send, and have the kernel run if the asker is a task of the shell."""
    shell = kernel.shell
    outside = shell is not None and not kernel.held
    kernel.held = True
    try:
        for pending, to in requests:
            pending.begin(to, None, request)
    finally:
        if outside:
            kernel.held = False
    if outside and shell is not None:
        shell.pump()


def _sys_call(kernel: Kernel, to: ServerRef, request: Term, timeout: float | None) -> Term:
    """`{sys, Function, Args}` of a system message, as `sys:mfa/3` makes it."""
    function, args = request, []
    if type(request) is tuple:
        function, *args = request
        if function == Atom("debug") and len(args) == 1:
            command = args[0]
            function, args = (command[0], [command[1]]) if type(command) is tuple else (command, [])
    limit = INFINITY if timeout is None else round(timeout * 1000)
    return (SYS, function, [server_name(kernel, to), *args, limit])


def _event_call(kernel: Kernel, to: ServerRef, request: Term, timeout: float | None) -> Term:
    """`{gen_event, Function, Args}` of a request; the timeout is among them in `call` only."""
    function, *args = request if type(request) is tuple and request else (request,)
    if function == Atom("call"):
        args.append(INFINITY if timeout is None else round(timeout * 1000))
    return (GEN_EVENT, function, [server_name(kernel, to), *args])
