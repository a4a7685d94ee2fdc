"""The processes every node has because other nodes expect them, and what other nodes may not do to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from etf_codec import Pid
from otp_behaviors import (
    Child,
    ExitSignal,
    GroupLeaderSignal,
    Kernel,
    LinkSignal,
    MonitorSignal,
    SpawnSignal,
    Supervisor,
)

from ergo_node._global_terms import NAME as GLOBAL
from ergo_node._io import NAME as USER
from ergo_node._io import User, Write
from ergo_node._logger_proxy import NAME as LOGGER_PROXY
from ergo_node._logger_proxy import LoggerProxy
from ergo_node._net_kernel import NAME as NET_KERNEL
from ergo_node._net_kernel import NetKernel
from ergo_node._rex import NAME as REX
from ergo_node._rex import Host, Rex

SUPERVISOR: Final = "net_sup"
NAMES: Final = (SUPERVISOR, NET_KERNEL, REX, USER, LOGGER_PROXY, GLOBAL)


def system_processes(
    host: Host, write: Write, lead: Callable[[Pid], None], global_name_server: Child
) -> Supervisor:
    """Return the supervisor of `net_kernel`, `rex`, `user`, `logger_proxy` and `global_name_server`.

    Args:
        host: runs functions for `rex`.
        write: prints what `user` is given.
        lead: makes `user` the group leader of the program.
        global_name_server: that of the node.
    """
    return Supervisor(
        Child(NetKernel, name=NET_KERNEL),
        Child(Rex, host, name=REX),
        Child(User, write, lead, name=USER),
        Child(LoggerProxy, name=LOGGER_PROXY),
        global_name_server,
        intensity=10,
        name=SUPERVISOR,
    )


def guarded(kernel: Kernel, bonded: Callable[[], None]) -> dict[type, Callable[[Any], None]]:
    """Return what receives each kind of signal from other nodes: not every one is for these processes.

    Any peer can guess their pids. To kill them again and again would be to take the node's supervisor down,
    and a group leader elsewhere would hear what they print (threats H15). Exits over a link they trap, as
    OTP's do.

    Args:
        kernel: has the processes.
        bonded: is called for each signal that can make a link or a monitor.
    """
    received = kernel.receivers

    def unless_system(receive: Callable[[Any], None]) -> Callable[[Any], None]:
        def guard(signal: Any) -> None:
            if not _is_system(kernel, signal.to):
                receive(signal)

        return guard

    def counted(receive: Callable[[Any], None]) -> Callable[[Any], None]:
        def count(signal: Any) -> None:
            receive(signal)
            bonded()

        return count

    exits = unless_system(received[ExitSignal])
    return {
        **received,
        ExitSignal: lambda signal: (received[ExitSignal] if signal.linked else exits)(signal),
        GroupLeaderSignal: unless_system(received[GroupLeaderSignal]),
        **{kind: counted(received[kind]) for kind in (LinkSignal, MonitorSignal, SpawnSignal)},
    }


def _is_system(kernel: Kernel, pid: Pid) -> bool:
    by_name = kernel.table.by_name
    return any(name in by_name and by_name[name].pid == pid for name in NAMES)
