"""The processes every node has because other nodes expect them, and what other nodes may not do to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from etf_codec import Pid
from otp_behaviors import Child, ExitSignal, GroupLeaderSignal, Kernel, Signal, Supervisor

from ergo_node._io import NAME as USER
from ergo_node._io import User, Write
from ergo_node._logger_proxy import NAME as LOGGER_PROXY
from ergo_node._logger_proxy import LoggerProxy
from ergo_node._net_kernel import NAME as NET_KERNEL
from ergo_node._net_kernel import NetKernel
from ergo_node._rex import NAME as REX
from ergo_node._rex import Host, Rex

SUPERVISOR: Final = "net_sup"
NAMES: Final = (SUPERVISOR, NET_KERNEL, REX, USER, LOGGER_PROXY)


def system_processes(host: Host, write: Write, lead: Callable[[Pid], None]) -> Supervisor:
    """Return the supervisor of `net_kernel`, `rex`, `user` and `logger_proxy`.

    Args:
        host: runs functions for `rex`.
        write: prints what `user` is given.
        lead: makes `user` the group leader of the program.
    """
    return Supervisor(
        Child(NetKernel, name=NET_KERNEL),
        Child(Rex, host, name=REX),
        Child(User, write, lead, name=USER),
        Child(LoggerProxy, name=LOGGER_PROXY),
        intensity=10,
        name=SUPERVISOR,
    )


def refused(kernel: Kernel, signal: Signal) -> bool:
    """Tell whether a signal of another node is not for the process it is sent to (threats H15).

    Any peer can guess these pids. To kill them again and again would be to take the node's supervisor down,
    and a group leader elsewhere would hear what they print. Exits over a link they trap, as OTP's do.
    """
    if isinstance(signal, ExitSignal):
        return not signal.linked and _is_system(kernel, signal.to)
    return isinstance(signal, GroupLeaderSignal) and _is_system(kernel, signal.to)


def _is_system(kernel: Kernel, pid: Pid) -> bool:
    by_name = kernel.table.by_name
    return any(name in by_name and by_name[name].pid == pid for name in NAMES)
