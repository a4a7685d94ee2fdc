"""The requests a process can make besides `call` and `cast`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from etf_codec import Atom, ImproperList, Pid, Reference, Term

from otp_behaviors._aliases import ALIAS, MonitorAlias
from otp_behaviors._errors import NO_REPLY, CallTimeout, ExitError, NoConnection, NoProcess
from otp_behaviors._gen_call import CALL_TIMEOUT, GEN_CALL
from otp_behaviors._kernel import Kernel
from otp_behaviors._process_table import Waiter
from otp_behaviors._reasons import NOCONNECTION, NOPROC, TIMEOUT
from otp_behaviors._request_ids import RequestId, RequestIds, Response, answered, reply_in
from otp_behaviors._requests import NOTIFY, Asker, abcast, event_call, multi_call, system_call
from otp_behaviors._shell import ServerRef
from otp_behaviors._signals import Down


class Waiting(Protocol):
    """The record of the process."""

    pid: Pid

    def waiter(self) -> Waiter:
        """Return a place where the coroutine of this process can wait."""


class Requesting(Protocol):
    """What a requester is of a process."""

    _kernel: Kernel

    @property
    def _record(self) -> Waiting: ...

    def monitor(self, to: ServerRef, *, alias: MonitorAlias | None = None) -> Reference: ...

    def demonitor(self, ref: Reference, flush: bool = False) -> bool: ...

    async def receive(
        self, matcher: Callable[[Term], object] | None = None, timeout: float | None = None
    ) -> Term: ...


class Requester:
    """The part of a process that makes requests."""

    async def system_call(
        self: Requesting, to: ServerRef, request: Term, timeout: float | None = CALL_TIMEOUT
    ) -> Any:
        """Send a system message, `{system, From, Request}`, and return the answer; see `sys`.

        Raises:
            CallTimeout, NoProcess, NoConnection, ExitError: as `call` does.
        """
        return await system_call(_asker(self), to, request, timeout)

    def notify(self: Requesting, to: ServerRef, event: Term) -> None:
        """Send an event to an event manager (`gen_event:notify/2`)."""
        self._kernel.send(self._record.pid, to, (NOTIFY, event))

    async def event_call(self: Requesting, to: ServerRef, request: Term, timeout: float | None = None) -> Any:
        """Send a request to an event manager, `{Pid, From, Request}`, and return the answer; see `gen_event`.

        Raises:
            CallTimeout, NoProcess, NoConnection, ExitError: as `call` does.
        """
        return await event_call(_asker(self), to, request, timeout)

    async def multi_call(
        self: Requesting,
        nodes: Iterable[str],
        name: str | Atom,
        request: Term,
        timeout: float | None = None,
    ) -> tuple[dict[str, Any], list[str]]:
        """Call the servers registered under a name on several nodes, all at once (`gen_server:multi_call/4`).

        Args:
            nodes: the names of the nodes; this one may be among them.
            name: the registered name.
            request: any term.
            timeout: seconds for all of them together; None waits for ever, a lost node does not need it.

        Returns:
            The replies by node, and the nodes of which none came: not reachable, no such server, or too late.
        """
        return await multi_call(_asker(self), nodes, name, request, timeout)

    def abcast(self: Requesting, nodes: Iterable[str], name: str | Atom, message: Term) -> None:
        """Cast to the servers registered under a name on several nodes (`gen_server:abcast/3`)."""
        abcast(self._kernel, self._record.pid, nodes, name, message)

    def send_request(
        self: Requesting,
        to: ServerRef,
        request: Term,
        *,
        label: Any = None,
        collection: RequestIds | None = None,
    ) -> RequestId:
        """Send a request and do not wait (`gen_server:send_request/2,4`): the response comes as a message.

        Take it with `receive_response` or `wait_response`, or look at messages with `check_response`.

        Args:
            to: the server.
            request: any term.
            label: what to call it in the collection.
            collection: put the request in there as well.
        """
        kernel, pid = self._kernel, self._record.pid
        ref = self.monitor(to, alias="reply_demonitor")
        kernel.send(pid, kernel.resolve(to), (GEN_CALL, (pid, ImproperList([ALIAS], ref)), request))
        id = RequestId(ref)
        if collection is not None:
            collection.add(id, label)
        return id

    async def receive_response(
        self: Requesting,
        request: RequestId | RequestIds,
        timeout: float | None = None,
        *,
        delete: bool = True,
    ) -> Any:
        """Wait for a response (`gen_server:receive_response/2,3`); a request that times out is given up.

        Args:
            request: a request, or a collection, of which the first response that comes is taken.
            timeout: seconds to wait.
            delete: whether to take the answered request out of the collection.

        Returns:
            The reply. For a collection, a `Response`, or None if the collection is empty.

        Raises:
            CallTimeout: no response in time; later ones are dropped.
            ExitError: of a single request, NoProcess and NoConnection among them: the server ended.
        """
        try:
            return await _wait(self, request, timeout, delete)
        except CallTimeout:
            for given_up in _ids(request):
                self.demonitor(given_up.ref, flush=True)
            raise

    async def wait_response(
        self: Requesting,
        request: RequestId | RequestIds,
        timeout: float | None = None,
        *,
        delete: bool = True,
    ) -> Any:
        """Wait for a response (`gen_server:wait_response/2,3`); after a timeout it can still come.

        Arguments, results and errors are those of `receive_response`.
        """
        return await _wait(self, request, timeout, delete)

    def check_response(
        self: Requesting, message: Term, request: RequestId | RequestIds, *, delete: bool = True
    ) -> Any:
        """Return the reply if the message is the response to the request (`gen_server:check_response/2,3`).

        Returns:
            The reply, or for a collection a `Response`; NO_REPLY if the message is something else.

        Raises:
            ExitError: of a single request: the server ended.
        """
        found = _match(message, request)
        return NO_REPLY if found is None else _take(self, message, request, *found, delete)


def _asker(requesting: Requesting) -> Asker:
    record = requesting._record
    return Asker(requesting._kernel, record.pid, record.waiter)


def _ids(request: RequestId | RequestIds) -> list[RequestId]:
    return [request] if isinstance(request, RequestId) else [id for id, _ in request.to_list()]


def _match(message: Term, request: RequestId | RequestIds) -> tuple[RequestId, Any] | None:
    if isinstance(request, RequestIds):
        return request.find(message)
    return (request, None) if answered(message) == request.ref else None


async def _wait(
    requesting: Requesting, request: RequestId | RequestIds, timeout: float | None, delete: bool
) -> Any:
    if isinstance(request, RequestIds) and not request:
        return None
    try:
        message = await requesting.receive(lambda message: _match(message, request) is not None, timeout)
    except TimeoutError:
        raise CallTimeout(TIMEOUT, f"no response within {timeout} s") from None
    found = _match(message, request)
    assert found is not None
    return _take(requesting, message, request, *found, delete)


def _take(
    requesting: Requesting,
    message: Term,
    request: RequestId | RequestIds,
    id: RequestId,
    label: Any,
    delete: bool,
) -> Any:
    requesting.demonitor(id.ref, flush=True)
    reply = reply_in(message)
    error: ExitError | None = None
    if type(message) is Down:
        error = _failure(message)
    if isinstance(request, RequestId):
        if error is not None:
            raise error
        return reply
    if delete:
        request.discard(id)
    return Response(label, reply, error)


def _failure(down: Down) -> ExitError:
    """`{Reason, ServerRef}`, as `gen:check_response` returns it."""
    reason = (down.reason, down.who)
    if down.reason is NOPROC:
        return NoProcess(reason)
    return NoConnection(reason) if down.reason is NOCONNECTION else ExitError(reason)
