"""The functions of this program that other nodes may run: what `rpc`, `erpc`, `spawn` and tasks find here.

Nothing is found by import, by attribute or by name in any other way: a function that was not provided does
not exist for other nodes, whatever they ask for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from math import inf
from typing import Any

from anyio import to_thread
from etf_codec import Atom, Term
from otp_behaviors import Process


class Provided:
    """One function, and who may run it how.

    Args:
        function: a plain function, or a coroutine function.
        nodes: the nodes that may run it; None for every connected node.
        thread: whether it runs in a thread, for it blocks.
        process: whether it gets the process it runs in as its first argument.

    Raises:
        TypeError: it cannot be called with positional arguments, or is a coroutine function for a thread.
    """

    __slots__ = ("_function", "_least", "_most", "_process", "_thread", "nodes")

    def __init__(
        self, function: Callable[..., Any], nodes: Iterable[str] | None, thread: bool, process: bool
    ) -> None:
        if thread and inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is a coroutine function: it cannot run in a thread")
        self._function = function
        self._thread = thread
        self._process = process
        self._least, self._most = _arity(function, process)
        self.nodes = None if nodes is None else frozenset(nodes)

    def takes(self, count: int) -> bool:
        """Tell whether the function can be called with so many arguments: Erlang's arity."""
        return self._least <= count <= self._most

    def run(self, args: list[Term], process: Process) -> Any:
        """Call the function: returns what it returns, or a coroutine that will."""
        if self._process:
            args = [process, *args]
        if self._thread:
            # A thread cannot be stopped: who waits for it can be.
            return to_thread.run_sync(partial(self._function, *args), abandon_on_cancel=True)
        return self._function(*args)


class Registry:
    """Functions by module and name, as Erlang calls them; one registry may serve several nodes."""

    def __init__(self) -> None:
        self._functions: dict[tuple[str, str], Provided] = {}

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
        """Let other nodes run a function; one provided earlier under the same name is replaced.

        Args:
            module: the module that Erlang names; for Elixir with its prefix: `Elixir.Embedder`.
            function: the function that Erlang names.
            implementation: gets the arguments as terms and returns a term; None stands for `ok` unless the
                node has a term for None. A plain function keeps the event loop for as long as it runs. It
                may raise ErlangError, ErlangExit or ErlangThrow; any other exception is an `error` whose
                reason is `{ExceptionName, Text}`.
            nodes: the nodes that may; None for every connected node. Such a function is not run for `rex`
                (`rpc:block_call`, `rpc` of OTP 22), a task or an agent: there a node can call in the name of
                another one.
            thread: run it in a thread, for it blocks.
            process: pass the process that runs it as the first argument, to receive, link and monitor.

        Raises:
            TypeError: it cannot be called with positional arguments, or is a coroutine function for a thread.
        """
        provided = Provided(implementation, nodes, thread, process)
        self._functions[str(module), str(function)] = provided

    def revoke(self, module: str | Atom, function: str | Atom) -> bool:
        """No longer let other nodes run a function; False if none could. What runs is not stopped."""
        return self._functions.pop((str(module), str(function)), None) is not None

    def find(self, module: str, function: str, arity: int, node: str | None) -> Provided | None:
        """Return what a node may run under a name.

        Args:
            module: as provided.
            function: as provided.
            arity: how many arguments it will get.
            node: the node that asks; None if that is not certain.
        """
        provided = self._functions.get((module, function))
        if provided is None or not provided.takes(arity):
            return None
        return provided if provided.nodes is None or node in provided.nodes else None


def _arity(function: Callable[..., Any], process: bool) -> tuple[int, float]:
    """Return the least and the greatest number of arguments."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return 0, inf  # some built-in functions have no signature: they judge by themselves
    least, most = 0, 0.0
    for each in parameters:
        required = each.default is each.empty
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD):
            least, most = least + required, most + 1
        elif each.kind is each.VAR_POSITIONAL:
            most = inf
        elif each.kind is each.KEYWORD_ONLY and required:
            raise TypeError(f"{function!r} requires {each.name!r} by keyword, which Erlang cannot pass")
    if process:
        if most < 1:
            raise TypeError(f"{function!r} takes no argument, but with process=True it gets its process")
        least, most = max(0, least - 1), most - 1
    return least, most
