"""System messages: what `sys` of OTP asks any behavior, from this node or another.

A request is `{system, From, Request}`; the answer goes back as to a call. The states and answers are those of
`sys:handle_system_msg/6` of OTP 26.1 and later, where `{ok, State}` answers `get_state`. Nothing from another
node is called: a function to be run must be a Python one.

    running    -- suspend -->  suspended: only system messages, and the parent's exit, are taken
    suspended  -- resume  -->  running: the mail that came meanwhile is handled, in its order
    either     -- {terminate, Reason} -->  ended
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable
from types import CoroutineType
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

from etf_codec import Atom, Term, to_text

from otp_behaviors._debug import LOG_SIZE, MAX_LOG_SIZE, Debug, debug_options, event_text
from otp_behaviors._gen_call import Caller, is_caller, reply
from otp_behaviors._process import Process
from otp_behaviors._reasons import from_exception
from otp_behaviors._signals import Exit
from otp_behaviors._wire_terms import as_term

SYSTEM: Final = Atom("system")
OK: Final = Atom("ok")
ERROR: Final = Atom("error")
GEN_SERVER: Final = Atom("gen_server")
GEN_STATEM: Final = Atom("gen_statem")
UNDEFINED: Final = Atom("undefined")
CALLBACK_FAILED: Final = Atom("callback_failed")
UNKNOWN: Final = Atom("unknown_system_msg")
UNKNOWN_DEBUG: Final = Atom("unknown_debug")
NO_DEBUG: Final = Atom("no_debug")

SUSPEND: Final = Atom("suspend")
RESUME: Final = Atom("resume")
TERMINATE: Final = Atom("terminate")
CHANGE_CODE: Final = Atom("change_code")
RUNNING: Final = Atom("running")
SUSPENDED: Final = Atom("suspended")
GET: Final = Atom("get")
PRINT: Final = Atom("print")

Work = Coroutine[Any, Any, None]
Status = tuple[list[tuple[str, Term]], list[Term]]
"""Facts by name, then other parts, as the `Misc` of `sys:get_status/1` has them."""


class Loop(Protocol):
    """The process of a behavior: what system messages need of it."""

    debug: Debug | None

    def stop(self, reason: Term) -> Work | None:
        """End after `terminate`."""


LoopKind = TypeVar("LoopKind", bound=Loop)


class SystemProcess(ABC):
    """A process as system messages see it: OTP's `system_*` callbacks of a behavior.

    Args:
        process: the process, from inside.
    """

    __slots__ = ("kernel", "process", "record")

    behavior: ClassVar = GEN_SERVER
    """The module in OTP."""

    kind: ClassVar = "generic server"
    """What `get_status` calls it."""

    event_text: ClassVar = staticmethod(event_text)
    """Returns what is printed of an event."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.record = process._record
        self.kernel = process._kernel

    @property
    @abstractmethod
    def debug(self) -> Debug | None:
        """The debug options; None if there are none."""

    @abstractmethod
    def set_debug(self, debug: Debug | None) -> None:
        """Use other debug options from now on."""

    @abstractmethod
    def get_state(self) -> Term:
        """`system_get_state`."""

    @abstractmethod
    def replace_state(self, function: Callable[[Any], Any]) -> Term:
        """`system_replace_state`: returns the new state."""

    @property
    def log(self) -> list[Term]:
        """The events that have been kept."""
        return [] if self.debug is None else self.debug.get_log()

    @abstractmethod
    def status(self) -> Status:
        """What `get_status` tells of the process besides its status and parent, after `format_status`."""

    @abstractmethod
    def change_code(self, module: Any, old_version: Any, extra: Any) -> Any:
        """`system_code_change`: may be a coroutine; raises if it fails."""

    @abstractmethod
    def terminate(self, reason: Term) -> Work | None:
        """`system_terminate`: end, after what has to be done before."""

    @abstractmethod
    def proceed(self) -> None:
        """`system_continue`: go on with the messages."""

    def answer(self, caller: Caller, term: Term) -> None:
        """Answer; for another node with terms only, as Python objects have no external form."""
        local = caller[0].node == self.kernel.node
        reply(self.kernel, self.record.pid, caller, term if local else as_term(term))

    def urgent(self, message: Term) -> bool:
        """Tell whether a suspended process takes the message."""
        if type(message) is Exit:
            return message.pid == self.record.parent
        return is_system(message)


class LoopSystem(SystemProcess, Generic[LoopKind]):
    """System messages of a process that notes what it is debugged with itself.

    Args:
        loop: the process.
        process: the same, from inside.
    """

    __slots__ = ("_loop",)

    def __init__(self, loop: LoopKind, process: Process) -> None:
        super().__init__(process)
        self._loop = loop

    @property
    def debug(self) -> Debug | None:
        """The debug options."""
        return self._loop.debug

    def set_debug(self, debug: Debug | None) -> None:
        """Use other debug options from now on."""
        self._loop.debug = debug

    def terminate(self, reason: Term) -> Work | None:
        """End as the process does otherwise."""
        return self._loop.stop(reason)

    def proceed(self) -> None:
        """Nothing has stopped: what waits meanwhile is messages."""


def is_system(message: Term) -> bool:
    """Tell whether a message is `{system, {Pid, Tag}, Request}`."""
    if type(message) is not tuple or len(message) != 3 or message[0] is not SYSTEM:
        return False
    return is_caller(message[1])


def handle_system(target: SystemProcess, message: Term) -> Work | None:
    """Carry out a system message; returns a coroutine if that has to wait.

    One whose From is no caller is dropped: there is nobody to tell.
    """
    if not is_system(message):
        return None
    _, caller, request = message
    if request is SUSPEND:
        target.answer(caller, OK)
        return _suspended(target)
    if _is(request, TERMINATE, 2):
        # As in OTP the answer comes first: who wants to wait for the end monitors the process.
        target.answer(caller, OK)
        return target.terminate(request[1])
    target.answer(caller, _answer(target, request, RUNNING))
    target.proceed()
    return None


async def _suspended(target: SystemProcess) -> None:
    """`sys:suspend_loop`. Other messages stay in the mailbox."""
    while True:
        message = await target.process.receive(target.urgent)
        if type(message) is Exit:
            return await _end(target, message.reason)
        _, caller, request = message
        if request is RESUME:
            target.answer(caller, OK)
            return target.proceed()
        if _is(request, TERMINATE, 2):
            target.answer(caller, OK)
            return await _end(target, request[1])
        if _is(request, CHANGE_CODE, 4):
            target.answer(caller, await _change_code(target, *request[1:]))
        else:
            target.answer(caller, _answer(target, request, SUSPENDED))


async def _end(target: SystemProcess, reason: Term) -> None:
    work = target.terminate(reason)
    if work is not None:
        await work


async def _change_code(target: SystemProcess, module: Term, old_version: Term, extra: Term) -> Term:
    try:
        result = target.change_code(module, old_version, extra)
        if type(result) is CoroutineType:
            await result
    except Exception as error:
        return (ERROR, (Atom("EXIT"), from_exception(error)))
    return OK


def _answer(target: SystemProcess, request: Term, state: Atom) -> Term:
    """Answer a request that leaves the process in its state."""
    query = QUERIES.get(request) if type(request) is Atom else None
    if query is not None:
        return query(target, state)
    command = None
    if type(request) is tuple and len(request) == 2 and type(request[0]) is Atom:
        command = COMMANDS.get(request[0])
    return (ERROR, (UNKNOWN, request)) if command is None else command(target, request[1])


def _get_state(target: SystemProcess, state: Atom) -> Term:
    return _callback(target, "system_get_state", lambda: (OK, target.get_state()))


def _get_status(target: SystemProcess, state: Atom) -> Term:
    return _callback(target, "format_status", lambda: _status(target, state))


def _replace_state(target: SystemProcess, function: Term) -> Term:
    def replaced() -> Term:
        if not callable(function):
            raise TypeError(f"a Python function is needed to replace a state here, not {to_text(function)}")
        return (OK, target.replace_state(function))

    return _callback(target, "system_replace_state", replaced)


def _callback(target: SystemProcess, name: str, callback: Callable[[], Term]) -> Term:
    try:
        return callback()
    except Exception as error:
        what, _ = from_exception(error)
        return (ERROR, (CALLBACK_FAILED, (target.behavior, Atom(name)), (ERROR, what)))


def _status(target: SystemProcess, state: Atom) -> Term:
    record, debug = target.record, target.debug
    name = record.name or to_text(record.pid)
    module, function, arity = record.initial_call
    dictionary: list[Term] = [
        (Atom("$initial_call"), (Atom(module[:255]), Atom(function[:255]), arity)),
        (Atom("$ancestors"), list(record.ancestors())),
        *(record.dictionary or {}).items(),
    ]
    parent = record.parent or UNDEFINED
    facts, parts = target.status()
    data = [(chars(key), value) for key, value in [("Status", state), ("Parent", parent), *facts]]
    header = (Atom("header"), chars(f"Status for {target.kind} {name}"))
    misc = [header, (Atom("data"), data), *parts]
    options = [] if debug is None else debug.options
    return (
        Atom("status"),
        record.pid,
        (Atom("module"), target.behavior),
        [dictionary, state, parent, options, misc],
    )


def debug_from_start(target: SystemProcess, options: Iterable[Term]) -> None:
    """Switch on what a process is to be debugged with from its start."""
    for request in debug_options(options):
        _debug(target, request)


# {debug, What}


def _debug(target: SystemProcess, what: Term) -> Term:
    if what is NO_DEBUG:
        target.set_debug(None)
        return OK
    command = what[0] if type(what) is tuple and len(what) == 2 else None
    handler = DEBUG_COMMANDS.get(command) if type(command) is Atom else None
    if handler is None:
        return UNKNOWN_DEBUG
    debug = target.debug or Debug(target.kernel, target.record, target.event_text)
    answer = handler(debug, what[1])
    target.set_debug(debug if debug.active else None)
    return answer


def _trace(debug: Debug, flag: Term) -> Term:
    if type(flag) is not bool:
        return UNKNOWN_DEBUG
    debug.tracing = flag
    return OK


def _log(debug: Debug, flag: Term) -> Term:
    if flag is GET:
        return (OK, debug.get_log())
    if flag == PRINT:
        debug.print_log()
    elif flag is False:
        debug.stop_log()
    elif flag is True:
        debug.keep_log(LOG_SIZE)
    elif _is_size(flag):
        debug.keep_log(min(flag[1], MAX_LOG_SIZE))
    else:
        return UNKNOWN_DEBUG
    return OK


def _is_size(flag: Term) -> bool:
    """Tell whether it is `{true, N}`."""
    return type(flag) is tuple and len(flag) == 2 and flag[0] is True and type(flag[1]) is int and flag[1] > 0


def _statistics(debug: Debug, flag: Term) -> Term:
    if flag is GET:
        return (OK, debug.get_statistics())
    if type(flag) is not bool:
        return UNKNOWN_DEBUG
    if flag:
        debug.count()
    else:
        debug.stop_count()
    return OK


def _install(debug: Debug, what: Term) -> Term:
    if type(what) is not tuple or len(what) not in (2, 3):
        return UNKNOWN_DEBUG
    *id, function, state = what
    if not callable(function):
        # OTP would take any fun; one of another node cannot be run here, and saying so beats a silent `ok`.
        return (ERROR, (Atom("badfun"), function))
    debug.install(id[0] if id else function, function, state)
    return OK


def _remove(debug: Debug, id: Term) -> Term:
    debug.remove(id)
    return OK


def _log_to_file(debug: Debug, file: Term) -> Term:
    # Whoever can send a message must not be able to make this program write files.
    return OK if file is False else (ERROR, Atom("open_file"))


DEBUG_COMMANDS: Final[dict[Atom, Callable[[Debug, Term], Term]]] = {
    Atom("trace"): _trace,
    Atom("log"): _log,
    Atom("log_to_file"): _log_to_file,
    Atom("statistics"): _statistics,
    Atom("install"): _install,
    Atom("remove"): _remove,
}


QUERIES: Final[dict[Atom, Callable[[SystemProcess, Atom], Term]]] = {
    SUSPEND: lambda target, state: OK,
    RESUME: lambda target, state: OK,
    Atom("get_state"): _get_state,
    Atom("get_status"): _get_status,
}
COMMANDS: Final[dict[Atom, Callable[[SystemProcess, Term], Term]]] = {
    Atom("replace_state"): _replace_state,
    Atom("debug"): _debug,
}


def _is(request: Term, tag: Atom, size: int) -> bool:
    return type(request) is tuple and len(request) == size and request[0] is tag


def chars(text: str) -> list[int]:
    """An Erlang string."""
    return list(map(ord, text))
