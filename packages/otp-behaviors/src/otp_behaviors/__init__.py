"""OTP's processes and behaviors for Python, on asyncio and trio.

    class Counter(GenServer):
        def init(self, start=0):
            self.count = start

        def handle_call(self, request, caller):
            return self.count

    async with LocalRuntime() as runtime:
        counter = await runtime.start(Counter, 10, name="counter")
        await counter.call(Atom("get"))

`Kernel` is the sans-IO part: processes, links, monitors, names and timers without I/O or clock. `Runtime` is
its shell over anyio; `ergo-node` gives the same kernel a network.
"""

from otp_behaviors import _agent_requests as agent
from otp_behaviors import _event_requests as gen_event
from otp_behaviors import _sys as sys
from otp_behaviors._agent import Agent
from otp_behaviors._application import Application
from otp_behaviors._channel import Channel
from otp_behaviors._children import Child
from otp_behaviors._effects import (
    ApplicationExited,
    ApplicationStarted,
    Await,
    Cancel,
    ChildStarted,
    CrashReport,
    Effect,
    EventReport,
    StatemReport,
    SupervisorReport,
    TerminateReport,
    UnexpectedMessage,
    UnhandledInfo,
)
from otp_behaviors._errors import (
    NO_REPLY,
    BadReturn,
    CallTimeout,
    ExitError,
    Ignore,
    NameTaken,
    NoConnection,
    NoProcess,
    Stop,
    Unhandled,
)
from otp_behaviors._event_handler import EventHandler
from otp_behaviors._gen_call import CALL_TIMEOUT, Caller, undeliverable
from otp_behaviors._gen_event import GenEvent
from otp_behaviors._gen_server import GenServer
from otp_behaviors._gen_statem import GenStatem, state_function
from otp_behaviors._handle import ServerHandle, Watch
from otp_behaviors._kernel import Kernel
from otp_behaviors._process import LocalProcess, Process, Startable
from otp_behaviors._process_info import process_info
from otp_behaviors._reasons import (
    KILL,
    KILLED,
    NOCONNECTION,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    TIMEOUT,
    from_exception,
    is_clean,
)
from otp_behaviors._request_ids import RequestId, RequestIds, Response
from otp_behaviors._runtime import LocalRuntime, Runtime
from otp_behaviors._shell import ServerRef
from otp_behaviors._signals import (
    DESTINATIONS,
    AliasSignal,
    DemonitorSignal,
    Down,
    DownSignal,
    Exit,
    ExitSignal,
    GroupLeaderSignal,
    LinkSignal,
    MessageSignal,
    MonitorSignal,
    RemoteName,
    Signal,
    SpawnReplySignal,
    SpawnSignal,
    UnlinkAckSignal,
    UnlinkSignal,
    destination,
)
from otp_behaviors._spawning import run_remote, spawn_remote
from otp_behaviors._statem_events import (
    Call,
    Cast,
    Enter,
    Event,
    EventTimeout,
    Info,
    Internal,
    StateTimeout,
    Timeout,
)
from otp_behaviors._supervisor import Supervisor, start_child
from otp_behaviors._task import Task
from otp_behaviors._task_stream import TaskStream
from otp_behaviors._task_supervisor import TaskSupervisor, start_task
from otp_behaviors._timers import Timer

__version__ = "0.1.0"

__all__ = [
    "CALL_TIMEOUT",
    "DESTINATIONS",
    "KILL",
    "KILLED",
    "NOCONNECTION",
    "NOPROC",
    "NORMAL",
    "NO_REPLY",
    "SHUTDOWN",
    "TIMEOUT",
    "Agent",
    "AliasSignal",
    "Application",
    "ApplicationExited",
    "ApplicationStarted",
    "Await",
    "BadReturn",
    "Call",
    "CallTimeout",
    "Caller",
    "Cancel",
    "Cast",
    "Channel",
    "Child",
    "ChildStarted",
    "CrashReport",
    "DemonitorSignal",
    "Down",
    "DownSignal",
    "Effect",
    "Enter",
    "Event",
    "EventHandler",
    "EventReport",
    "EventTimeout",
    "Exit",
    "ExitError",
    "ExitSignal",
    "GenEvent",
    "GenServer",
    "GenStatem",
    "GroupLeaderSignal",
    "Ignore",
    "Info",
    "Internal",
    "Kernel",
    "LinkSignal",
    "LocalProcess",
    "LocalRuntime",
    "MessageSignal",
    "MonitorSignal",
    "NameTaken",
    "NoConnection",
    "NoProcess",
    "Process",
    "RemoteName",
    "RequestId",
    "RequestIds",
    "Response",
    "Runtime",
    "ServerHandle",
    "ServerRef",
    "Signal",
    "SpawnReplySignal",
    "SpawnSignal",
    "Startable",
    "StateTimeout",
    "StatemReport",
    "Stop",
    "Supervisor",
    "SupervisorReport",
    "Task",
    "TaskStream",
    "TaskSupervisor",
    "TerminateReport",
    "Timeout",
    "Timer",
    "UnexpectedMessage",
    "Unhandled",
    "UnhandledInfo",
    "UnlinkAckSignal",
    "UnlinkSignal",
    "Watch",
    "agent",
    "destination",
    "from_exception",
    "gen_event",
    "is_clean",
    "process_info",
    "run_remote",
    "spawn_remote",
    "start_child",
    "start_task",
    "state_function",
    "sys",
    "undeliverable",
]

for _public in [globals()[name] for name in __all__]:
    # Tracebacks give a class by its public home: otp_behaviors.ExitError.
    if isinstance(_public, type):
        _public.__module__ = __name__
del _public
