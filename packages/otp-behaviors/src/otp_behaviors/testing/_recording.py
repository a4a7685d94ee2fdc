"""One server at a time, without a runtime: what its callbacks do is carried out, and written down.

    recorder = RecordingRuntime()
    log = recorder.probe("log")
    counter = recorder.start(Counter, 10)
    assert recorder.call(counter, Atom("get")) == 10
    assert counter.count == 10
    assert recorder.did == [("cast", "log", Atom("asked"))]
    assert log.received == [("cast", Atom("asked"))]

`start` returns the instance, so a test may look at the state, or call a callback itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, MutableMapping
from typing import Any, Final, TypeAlias, TypeVar

from etf_codec import Pid, Term

from otp_behaviors._effects import Effect
from otp_behaviors._errors import ExitError
from otp_behaviors._gen_call import CALL_TIMEOUT, GEN_CALL, GEN_CAST, Caller
from otp_behaviors._gen_server import GenServer
from otp_behaviors._process import Process
from otp_behaviors.testing._simulated_node import SimulatedNode
from otp_behaviors.testing._simulation import Simulation

Server = TypeVar("Server", bound=GenServer)
Result = TypeVar("Result")
Done: TypeAlias = tuple[Any, ...]

RECORDED: Final = (
    "abcast",
    "alias",
    "call",
    "cast",
    "continue_with",
    "demonitor",
    "event_call",
    "exit",
    "hibernate",
    "link",
    "monitor",
    "multi_call",
    "notify",
    "register",
    "reply",
    "run_in_thread",
    "send",
    "send_after",
    "send_priority",
    "send_request",
    "set_timeout",
    "spawn",
    "spawn_monitor_remote",
    "spawn_remote",
    "start",
    "supervised_task",
    "task",
    "task_stream",
    "unalias",
    "unlink",
    "unregister",
)
"""The methods by which a callback acts on others."""


def recorded(server_class: type[Server], verb: str, did: list[Done]) -> Callable[..., Any]:
    """Return a method that writes down its call and does what the class does."""

    def method(self: Server, *args: Any, **options: Any) -> Any:
        did.append((verb, *args, options) if options else (verb, *args))
        return getattr(server_class, verb)(self, *args, **options)

    return method


class Probe:
    """A process for the server to talk to: it keeps what it is sent, and answers as the test wants.

    Args:
        answer: gives the reply to a request; without it calls wait for `reply`.
    """

    pid: Pid

    def __init__(self, settle: Callable[[], None], answer: Callable[[Any], Term] | None) -> None:
        self._settle = settle
        self._answer = answer
        self._received: list[tuple[str, Any]] = []
        self._callers: deque[Caller] = deque()
        self._process: Process | None = None

    @property
    def received(self) -> list[tuple[str, Any]]:
        """What came so far: `("call", request)`, `("cast", message)` or `("info", message)` each."""
        self._settle()
        return self._received

    def reply(self, term: Term) -> None:
        """Answer the call that has waited longest.

        Raises:
            LookupError: no call waits.
        """
        self._settle()
        if not self._callers or self._process is None:
            raise LookupError("no call waits for a reply of this probe")
        self._process.reply(self._callers.popleft(), term)
        self._settle()

    def exit(self, reason: Term) -> None:
        """End with a reason: links and monitors of the server fire."""
        self._settle()
        if self._process is not None:
            self._process._kernel.exit(self._process._record, reason)
        self._settle()

    async def run(self, process: Process) -> None:
        """Be the process."""
        self._process = process
        process.trap_exit = True
        while True:
            match await process.receive():
                case (tag, (Pid(), _) as caller, request) if tag == GEN_CALL:
                    self._received.append(("call", request))
                    if self._answer is None:
                        self._callers.append(caller)
                    else:
                        process.reply(caller, self._answer(request))
                case (tag, message) if tag == GEN_CAST:
                    self._received.append(("cast", message))
                case message:
                    self._received.append(("info", message))


class RecordingRuntime:
    """Runs servers for a unit test: at once, in virtual time, and with a record of what they do.

    Attributes:
        did: what callbacks did, in order: the method's name and its arguments (options, if any, last, as a
            dict), such as `("send", "log", Atom("hello"))`.
    """

    def __init__(self) -> None:
        self.did: list[Done] = []
        self._simulation = Simulation(turn_time=(0.0, 0.0))
        self._node = self._simulation.node("nonode@nohost")

    def start(self, server_class: type[Server], *args: Any, name: str | None = None) -> Server:
        """Start a server and return its instance; `init` has run.

        Args:
            server_class: a GenServer class. The instance is of a subclass that records.
            args: the arguments of its `init`.
            name: a name to register it under.

        Raises:
            ExitError: `init` failed. NameTaken: the name is in use. Ignore: `init` raised Ignore.
        """
        methods = {verb: recorded(server_class, verb, self.did) for verb in RECORDED}
        home = {"__module__": server_class.__module__, "__qualname__": server_class.__qualname__}
        recording = type(server_class.__name__, (server_class,), {**methods, **home})
        assert issubclass(recording, server_class)
        pid = self._node.start(recording, *args, name=name)
        server = getattr(self._node.kernel.table.by_pid.get(pid), "server", None)
        if not isinstance(server, server_class):
            raise ExitError(self.exit_reason(pid), f"{server_class.__name__} ended right after its init")
        self._settle()
        return server

    def probe(self, name: str | None = None, answer: Callable[[Any], Term] | None = None) -> Probe:
        """Start a process for servers to talk to.

        Args:
            name: a name to register it under.
            answer: gives the reply to a request; without it calls wait for `Probe.reply`.
        """
        probe = Probe(self._settle, answer)
        probe.pid = self._node.spawn(probe.run, name=name)
        self._settle()
        return probe

    def caller(self) -> Caller:
        """Return what identifies a caller, to give to a `handle_call` that the test calls itself."""
        return (self._node.pid, self._node.kernel.make_ref())

    def call(self, server: GenServer, request: Term, timeout: float | None = CALL_TIMEOUT) -> Any:
        """Call the server and return its reply.

        Raises:
            ExitError: it ended instead. CallTimeout: it did not answer within `timeout` virtual seconds.
        """
        reply = self._node.call(server.pid, request, timeout)
        self._settle()
        return reply

    def cast(self, server: GenServer, message: Term) -> None:
        """Send a cast and have it handled."""
        self._node.cast(server.pid, message)
        self._settle()

    def send(self, server: GenServer, message: Term) -> None:
        """Send a message and have it handled."""
        self._node.send(server.pid, message)
        self._settle()

    def run(self, server: GenServer, callback: Coroutine[Any, Any, Result]) -> Result:
        """Run an `async def` callback that the test called itself: `recorder.run(s, s.handle_cast(1))`.

        Raises:
            Exception: what the callback raised, Stop included. Stuck: it waits for what never comes.
        """
        results: list[Result] = []
        errors: list[Exception] = []

        async def capture() -> None:
            try:
                results.append(await callback)
            except Exception as error:
                errors.append(error)

        self._node.kernel.await_(server._record, capture())
        self._simulation.run_until(lambda: bool(results or errors))
        for error in errors:
            raise error
        return results[0]

    def advance(self, seconds: float) -> None:
        """Let virtual time pass; timers fire."""
        self._simulation.run(seconds)

    def take(self) -> list[Done]:
        """Return what callbacks did since the last time, and forget it."""
        did, self.did[:] = list(self.did), []
        return did

    def alive(self, server: GenServer) -> bool:
        """Tell whether the server has not ended."""
        return self._node.alive(server.pid)

    def exit_reason(self, server: GenServer | Pid) -> Term:
        """Return the reason a server ended with.

        Raises:
            LookupError: it lives.
        """
        pid = server if isinstance(server, Pid) else server.pid
        for event in self._simulation.events("exit"):
            if event.what[0] == pid:
                return event.what[1]
        raise LookupError(f"{pid!r} has not ended")

    @property
    def reports(self) -> list[Effect]:
        """What would have been logged: TerminateReport, CrashReport, SupervisorReport and so on."""
        return [event.what[0] for event in self._simulation.events("report")]

    @property
    def env(self) -> MutableMapping[str, Any]:
        """The environment that servers inherit."""
        return self._node.env

    @property
    def node(self) -> SimulatedNode:
        """The node the servers run on, for anything else."""
        return self._node

    def close(self) -> None:
        """End all servers."""
        self._simulation.close()

    def _settle(self) -> None:
        self._simulation.run(0.0)
