import otp_behaviors

PUBLIC = [
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


def test_exports() -> None:
    assert otp_behaviors.__all__ == PUBLIC
    assert otp_behaviors.__version__ == "0.1.0"


def test_public_classes_show_their_public_home() -> None:
    classes = [each for each in vars(otp_behaviors).values() if isinstance(each, type)]
    assert len(classes) > 30
    assert {each.__module__ for each in classes} == {"otp_behaviors"}


def test_every_error_is_an_exit_error() -> None:
    ways_to_say_what_is_next = {otp_behaviors.Stop, otp_behaviors.Ignore}
    errors = {
        each
        for each in vars(otp_behaviors).values()
        if isinstance(each, type) and issubclass(each, Exception)
    }
    assert len(errors) == 9
    assert all(issubclass(each, otp_behaviors.ExitError) for each in errors - ways_to_say_what_is_next)
    assert issubclass(otp_behaviors.CallTimeout, TimeoutError)
