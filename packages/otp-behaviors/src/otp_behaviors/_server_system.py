"""A GenServer as system messages see it: its attributes are the state."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from etf_codec import Atom, Term

from otp_behaviors._debug import Debug
from otp_behaviors._observed import Callbacks, Observed
from otp_behaviors._process import Process
from otp_behaviors._system import Status, SystemProcess, chars

PRIVATE: Final = frozenset(("_record", "_kernel"))
"""Attributes of every server that are no part of its state."""

Work = Coroutine[Any, Any, None]


class Shown(Protocol):
    """What has a status of its own."""

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        """Return the status as it is to be shown."""


class Server(Callbacks, Shown, Protocol):
    """What a server offers to `sys` besides its callbacks."""

    def code_change(self, old_version: Any, extra: Any) -> Any:
        """Convert the state for the code that runs now."""


class ServerLoop(Protocol):
    """The process of a server: what system messages need of it."""

    server: Callbacks

    def stop(self, reason: Term) -> Work | None:
        """End after `terminate`."""

    def resume_timeout(self) -> None:
        """Start the timeout of the state again, if there is one."""


def state_of(server: object) -> dict[Term, Any]:
    """Return the state, its attributes by name."""
    return {Atom(name): value for name, value in vars(server).items() if name not in PRIVATE}


def replace_attributes(server: object, state: Any) -> None:
    """Have exactly these attributes, by name, from now on."""
    if not isinstance(state, dict):
        raise TypeError(f"the new state must be a dict of attributes, not {type(state).__name__}")
    attributes = vars(server)
    kept = {name: attributes[name] for name in PRIVATE}
    renewed = {str(name): value for name, value in state.items()}
    attributes.clear()
    attributes.update(renewed | kept)


def formatted(server: Shown, status: dict[str, Any]) -> dict[str, Any]:
    """Return the status as `format_status` wants it shown; one that fails is said to have (`gen`)."""
    try:
        shown = server.format_status(dict(status))
        problem = None if shown.keys() <= status.keys() else "returned unknown keys"
    except Exception as error:
        shown, problem = {}, f"raised {type(error).__name__}"
    if problem is not None:
        text = f"{type(server).__qualname__}.format_status {problem}"
        return {**status, "data" if "data" in status else "state": chars(text)}
    return {**status, **shown}


def crash_status(server: Server, callbacks: Callbacks, message: Term, reason: Term) -> dict[str, Any]:
    """Return what a terminate report shows, after `format_status`; `callbacks` may observe the server."""
    log = callbacks.debug.get_log() if isinstance(callbacks, Observed) else []
    return formatted(server, {"state": state_of(server), "log": log, "message": message, "reason": reason})


def observed(callbacks: Callbacks) -> Any:
    """Return the server itself, debugged or not."""
    return callbacks.observed if isinstance(callbacks, Observed) else callbacks


class ServerSystem(SystemProcess):
    """System messages of a GenServer.

    Args:
        loop: its process.
        process: the same, from inside.
    """

    __slots__ = ("_loop", "_server")

    def __init__(self, loop: ServerLoop, process: Process) -> None:
        super().__init__(process)
        self._loop = loop
        self._server: Any = process

    @property
    def debug(self) -> Debug | None:
        """The debug options."""
        callbacks = self._loop.server
        return callbacks.debug if isinstance(callbacks, Observed) else None

    def set_debug(self, debug: Debug | None) -> None:
        """Put an observer between the process and its callbacks, or take it away."""
        server = self._server
        self._loop.server = server if debug is None else Observed(server, debug, lambda: state_of(server))

    def get_state(self) -> Term:
        """The attributes."""
        return state_of(self._server)

    def replace_state(self, function: Callable[[Any], Any]) -> Term:
        """Set the attributes to those that the function returns."""
        state = function(state_of(self._server))
        replace_attributes(self._server, state)
        return state

    def status(self) -> Status:
        """The log, and `[{data, [{"State", State}]}]`."""
        shown = formatted(self._server, {"state": state_of(self._server), "log": self.log})
        return [("Logged events", shown["log"])], [(Atom("data"), [(chars("State"), shown["state"])])]

    def change_code(self, module: Any, old_version: Any, extra: Any) -> Any:
        """Give the server another class, if `module` is one, and have its `code_change` convert the state."""
        if isinstance(module, type):
            self._server.__class__ = module
        return self._server.code_change(old_version, extra)

    def terminate(self, reason: Term) -> Work | None:
        """End as the server does otherwise."""
        return self._loop.stop(reason)

    def proceed(self) -> None:
        """Start the timeout again, as OTP does."""
        self._loop.resume_timeout()
