"""Running functions on other nodes, and for them: `rpc`, `erpc` and `spawn` of a node, both ways."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import CoroutineType
from typing import Any, Final

import anyio
from etf_codec import Atom, Pid, Term
from otp_behaviors import (
    NORMAL,
    SHUTDOWN,
    ExitError,
    Kernel,
    NoConnection,
    Process,
    RemoteName,
    Runtime,
    ServerHandle,
    SpawnSignal,
    run_remote,
    spawn_remote,
)

from ergo_node._erpc import (
    ERPC,
    Call,
    ErlangThrow,
    Outcome,
    RpcError,
    exit_reason,
    failed,
    result_of,
    result_of_rpc,
)
from ergo_node._execution import Execution
from ergo_node._registry import Provided, Registry
from ergo_node._rex import NAME as REX
from ergo_node._rex import Ended

OK: Final = Atom("ok")
NOTSUP: Final = Atom("notsup")
CALL: Final = Atom("call")

EXECUTE_CALL: Final = (ERPC, Atom("execute_call"), 4)
EXECUTE_CAST: Final = (ERPC, Atom("execute_cast"), 3)

RPC_TIMEOUT: Final = 5.0
"""Seconds a remote function gets unless told otherwise, as a call."""


class RpcRuntime(Runtime):
    """The part of a node that runs functions elsewhere, and provided ones for others.

    Args:
        kernel: the processes.
        shutdown: seconds each process gets to stop.
        functions: what other nodes may run; an empty registry if left out.
        nothing: the term for a function's result None; None itself if terms can hold it.
    """

    def __init__(self, kernel: Kernel, *, shutdown: float, functions: Registry | None, nothing: Term) -> None:
        super().__init__(kernel, shutdown=shutdown)
        self.functions = Registry() if functions is None else functions
        # What OTP's own modules call in each other, on every node: nothing a program provides stands for it.
        self.services = Registry()
        self._nothing = nothing
        kernel.spawns.start = self._spawn_requested

    @property
    def name(self) -> str:
        """The node's name."""
        return self.kernel.node

    # For other nodes

    def provide(
        self,
        module: str | Atom,
        function: str | Atom,
        implementation: Callable[..., Any],
        *,
        nodes: Iterable[str] | None = None,
        thread: bool = False,
        process: bool = False,
    ) -> None:
        """Let other nodes run a function by `rpc`, `erpc`, `spawn` and in tasks; see `Registry.provide`.

        Raises:
            TypeError: it cannot be called with positional arguments, or is a coroutine function for a thread.
        """
        self.functions.provide(module, function, implementation, nodes=nodes, thread=thread, process=process)

    def revoke(self, module: str | Atom, function: str | Atom) -> bool:
        """No longer let other nodes run a function; False if none could."""
        return self.functions.revoke(module, function)

    def execute(self, call: Call, node: str | None, ended: Ended, group_leader: Pid | None = None) -> Pid:
        """Run a provided function in a process of its own.

        Args:
            call: module, function, arguments.
            node: who asks; None if that is not certain.
            ended: gets the outcome, returns the exit reason of the process.
            group_leader: prints for it; None for that of the node.

        Raises:
            ExitError: `system_limit`.
        """
        return self._execute(call, node, ended, False, group_leader)

    def _execute(
        self, call: Call, node: str | None, ended: Ended, reported: bool, group_leader: Pid | None
    ) -> Pid:
        module, function, args = call
        provided = None
        if isinstance(args, list):
            wanted = (module.name, function.name, len(args), node)
            provided = self.services.find(*wanted) or self.functions.find(*wanted)
        record = Execution(self.kernel, call, provided, self._nothing, ended, reported)
        record.group_leader = group_leader
        return self.kernel.spawn(record, parent=self._client)

    def _spawn_requested(self, signal: SpawnSignal) -> Pid:
        """Start what a spawn request of a node asks for: `erpc` has two entry points of its own."""
        module, function, _ = signal.mfa
        node, leader, args = signal.sender.node, signal.group_leader, signal.args
        match (signal.mfa, args):
            case (mfa, [ref, Atom() as module, Atom() as function, args]) if mfa == EXECUTE_CALL:
                call, ended = (module, function, args), _tell(ref)
            case (mfa, [Atom() as module, Atom() as function, args]) if mfa == EXECUTE_CAST:
                call, ended = (module, function, args), _forget
            case _:
                return self._execute((module, function, args), node, exit_reason, True, leader)
        return self._execute(call, node, ended, False, leader)

    def provided(self, module: str, function: str, arity: int) -> Callable[[Process, list[Term]], Any] | None:
        """Return what runs a provided function in a task or an agent of this node.

        Not one that only some nodes may run: who asks for a task can do so in another's name.
        """
        found = self.functions.find(module, function, arity, None)
        return None if found is None else partial(self._run_provided, found)

    def _run_provided(self, provided: Provided, process: Process, args: list[Term]) -> Any:
        with _as_exit():
            result = provided.run(args, process)
        return self._awaited(result) if isinstance(result, CoroutineType) else self._as_term(result)

    async def _awaited(self, coroutine: Coroutine[Any, Any, Any]) -> Term:
        with _as_exit():
            return self._as_term(await coroutine)

    def _as_term(self, result: Any) -> Term:
        return self._nothing if result is None else result

    async def _end_processes(self) -> None:
        # Functions that other nodes wait for are no behaviors: nobody could ask them to stop.
        kernel = self.kernel
        for record in list(kernel.table.by_pid.values()):
            if isinstance(record, Execution):
                kernel.exit(record, SHUTDOWN)
        await super()._end_processes()

    # On other nodes

    async def erpc(
        self,
        node: str,
        module: str | Atom,
        function: str | Atom,
        args: Sequence[Term] = (),
        timeout: float | None = RPC_TIMEOUT,
    ) -> Any:
        """Run a function on a node and return its result (`erpc:call/5`).

        Args:
            node: the node, connected to if need be.
            module: a module there; for Elixir with its prefix, `Elixir.Enum`.
            function: one of its functions.
            args: its arguments.
            timeout: seconds; None waits for ever. The function goes on when the time is over.

        Raises:
            ErlangError, ErlangExit, ErlangThrow: the function did not return.
            CallTimeout: not in time. NoConnection: the node cannot be reached, or was lost.
            ExitError: `notsup`, the node is older than OTP 23: use `rpc`. `system_limit`.
            etf_codec.EncodeError: an argument has no external form.
        """
        ref = self.kernel.make_ref()
        request: list[Term] = [ref, Atom(str(module)), Atom(str(function)), list(args)]
        target = (node, ERPC, EXECUTE_CALL[1], request)
        try:
            reason = await run_remote(self.kernel, self._client, target, timeout=timeout)
        except NoConnection as error:
            raise self._unreachable(error, node) from None
        return result_of(reason, ref, f"{module}:{function}/{len(args)}", node)

    async def rpc(
        self,
        node: str,
        module: str | Atom,
        function: str | Atom,
        args: Sequence[Term] = (),
        timeout: float | None = RPC_TIMEOUT,
    ) -> Any:
        """Run a function on a node and return its result, or the term it throws (`rpc:call/5`).

        As `erpc`, and also for nodes older than OTP 23, which are asked by way of their `rex`. What
        `rpc:call` returns as `{badrpc, Reason}` is raised.

        Raises:
            ErlangError, ErlangExit: the function did not return.
            CallTimeout: not in time. NoConnection: the node cannot be reached, or was lost.
            etf_codec.EncodeError: an argument has no external form.
        """
        try:
            return await self.erpc(node, module, function, args, timeout)
        except ErlangThrow as error:
            return error.reason
        except ExitError as error:
            if error.reason != NOTSUP:
                raise
        request = (CALL, Atom(str(module)), Atom(str(function)), list(args), self._leader())
        result = await self.call(RemoteName(REX, node), request, timeout)
        return result_of_rpc(result, f"{module}:{function}/{len(args)}", node)

    async def rpc_cast(
        self, node: str, module: str | Atom, function: str | Atom, args: Sequence[Term] = ()
    ) -> None:
        """Run a function on a node and do not wait (`erpc:cast/4`); what becomes of it is not known.

        Raises:
            etf_codec.EncodeError: an argument has no external form.
        """
        await self._take_turns()
        kernel = self.kernel
        request: list[Term] = [Atom(str(module)), Atom(str(function)), list(args)]
        signal = SpawnSignal(
            self._client.pid, node, kernel.make_ref(), self._leader(), EXECUTE_CAST, [], request
        )
        if node == self.name:
            kernel.deliver(signal)
        else:
            kernel.emit(signal)
        self._sent()

    async def rpc_multicall(
        self,
        nodes: Iterable[str],
        module: str | Atom,
        function: str | Atom,
        args: Sequence[Term] = (),
        timeout: float | None = RPC_TIMEOUT,
    ) -> dict[str, Any]:
        """Run a function on several nodes at once (`erpc:multicall/5`).

        Returns:
            For each node the result, or the exception that `rpc` raised.
        """
        return await self._on_each(nodes, lambda node: self.rpc(node, module, function, args, timeout))

    async def spawn_remote(
        self,
        node: str,
        module: str | Atom,
        function: str | Atom,
        args: Sequence[Term] = (),
        timeout: float | None = RPC_TIMEOUT,
    ) -> ServerHandle:
        """Start a process on another node (`spawn/4`); from a process, use `Process.spawn_remote`.

        Returns:
            A handle to send to it, call it and watch it.

        Raises:
            NoConnection: the node cannot be reached, or was lost. CallTimeout: no answer in time.
            ExitError: it refuses: `notsup`, `system_limit`.
        """
        target = (node, module, function, list(args))
        try:
            pid, _ = await spawn_remote(
                self.kernel, self._client, None, target, link=False, waiter=None, timeout=timeout
            )
        except NoConnection as error:
            raise self._unreachable(error, node) from None
        return ServerHandle(self, pid)

    async def _on_each(self, nodes: Iterable[str], action: Callable[[str], Any]) -> dict[str, Any]:
        answers: dict[str, Any] = dict.fromkeys(nodes)

        async def ask(node: str) -> None:
            try:
                answers[node] = await action(node)
            except (RpcError, ExitError) as error:
                answers[node] = error

        async with anyio.create_task_group() as tasks:
            for node in answers:
                tasks.start_soon(ask, node)
        return answers

    def _lead(self, user: Pid) -> None:
        """`user` runs: it leads the group of all processes that this program starts."""
        self._client.group_leader = user

    def _leader(self) -> Pid:
        return self._client.group_leader or self._client.pid

    def _unreachable(self, error: NoConnection, node: str) -> NoConnection:
        return NoConnection(error.reason, self.kernel.nodes.no_connection(node))

    def _sent(self) -> None:
        """For subclasses: raise what became of a signal without an answer."""


@contextmanager
def _as_exit() -> Iterator[None]:
    """A provided function that fails in Erlang's way ends its process so."""
    try:
        yield
    except RpcError as error:
        raise ExitError(exit_reason(failed(error))) from error


def _tell(ref: Term) -> Ended:
    def ended(outcome: Outcome) -> Term:
        return (ref, *outcome)

    return ended


def _forget(outcome: Outcome) -> Term:
    return NORMAL
