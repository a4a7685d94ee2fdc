"""What `observer`, `etop` and remote shells look at: processes, system and applications of this node.

The functions of `observer_backend` (RUNTIME_TOOLS), `appmon_info` (OBSERVER) and some of `erlang` and `code`,
in the shapes that those tools take apart. They are provided on demand only, as any function.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable
from time import monotonic, process_time, time
from typing import Any, Final

from etf_codec import Atom, Pid, Term
from otp_behaviors import Process, Runtime, process_info

from ergo_node._application_monitor import ApplicationMonitor
from ergo_node._erpc import ErlangError
from ergo_node._rpc import RpcRuntime

OK: Final = Atom("ok")
UNDEFINED: Final = Atom("undefined")
BADARG: Final = Atom("badarg")
BACKEND: Final = Atom("observer_backend")
VSN: Final = "1.19"
"""The version of `observer_backend` whose shapes these are: the same from OTP 23 to 29."""

ARITIES: Final = {
    "etop_collect": 1,
    "fetch_stats": 2,
    "get_port_list": 0,
    "get_socket_list": 0,
    "get_table_list": 2,
    "procs_info": 1,
    "socket_info": 0,
    "sys_info": 0,
    "vsn": 0,
}
"""The functions of `observer_backend`: what another node names is looked up here, never among attributes."""

CHUNK: Final = 10_000
"""Processes in one message of `procs_info`."""

KEPT_NOWHERE: Final[dict[str, Term]] = {
    "binary": [],
    "catchlevel": 0,
    "current_stacktrace": [],
    "garbage_collection": [],
    "heap_size": 0,
    "last_calls": False,
    "memory": 0,
    "sequential_trace_token": [],
    "stack_size": 0,
    "total_heap_size": 0,
    "trace": 0,
}
"""Items of `process_info` that a process here has nothing for: it has no heap and no stack of its own."""

MEMORY: Final = (
    "total",
    "processes",
    "processes_used",
    "system",
    "atom",
    "atom_used",
    "binary",
    "code",
    "ets",
)
SYSTEM: Final[dict[str, Term]] = {
    "wordsize": 8,
    "dirty_cpu_schedulers": 0,
    "schedulers": 1,
    "process_count": 0,
}


def provide_observer(node: RpcRuntime, *, nodes: Iterable[str] | None = None) -> None:
    """Let `observer` and `etop` of other nodes, and who asks for `process_info`, look into this node.

    They see registered names, links, messages and dictionaries of all processes, and change nothing.

    Args:
        node: the node to look into.
        nodes: the nodes that may; None for every connected node.
    """
    allowed = None if nodes is None else list(nodes)
    backend = Backend(node)
    for module, functions in backend.functions().items():
        for function in functions:
            node.provide(module, function.__name__, function, nodes=allowed)
    for function in (backend.procs_info, backend.etop_collect, backend.fetch_stats):
        node.provide(BACKEND, function.__name__, function, nodes=allowed, process=True)
    node.provide("appmon_info", "start_link2", backend.start_link2, nodes=allowed, process=True)


class Backend:
    """The functions, by the names they have in Erlang."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._kernel = runtime.kernel
        self._started = monotonic()

    def functions(self) -> dict[str, list[Callable[..., Term]]]:
        """Return what is provided, by module."""
        return {
            "erlang": [
                self.process_info, self.processes, self.whereis, self.system_info,
                self.function_exported, self.garbage_collect,
            ],
            "code": [self.ensure_loaded, self.all_loaded],
            "proc_lib": [self.translate_initial_call, self.get_label],
            BACKEND.name: [
                self.vsn, self.sys_info, self.get_table_list, self.get_port_list,
                self.get_socket_list, self.socket_info,
            ],
        }  # fmt: skip

    # erlang, code, proc_lib

    def process_info(self, pid: Term, items: Term = None) -> Term:
        """`erlang:process_info/1,2`."""
        if not isinstance(pid, Pid):
            raise ErlangError(BADARG)
        asked = [each.name for each in items] if isinstance(items, list) else None
        try:
            if items is None:
                found = process_info(self._kernel, pid)
            else:
                names = asked if asked is not None else [items.name]
                found = process_info(self._kernel, pid, [name for name in names if name not in KEPT_NOWHERE])
        except (AttributeError, ValueError) as error:
            raise ErlangError(BADARG) from error
        if found is None:
            return UNDEFINED
        if asked is None and items is not None:
            value = (found | KEPT_NOWHERE)[items.name]
            return [] if items.name == "registered_name" and value == [] else (items, value)
        return [(Atom(name), (KEPT_NOWHERE | found)[name]) for name in asked or found]

    def processes(self) -> Term:
        """`erlang:processes/0`."""
        return list(self._kernel.table.by_pid)

    def whereis(self, name: Term) -> Term:
        """`erlang:whereis/1`."""
        return self._runtime.whereis(str(name)) or UNDEFINED

    def system_info(self, item: Term) -> Term:
        """`erlang:system_info/1`, for what observer asks."""
        if item == Atom("process_count"):
            return len(self._kernel.table.by_pid)
        if not isinstance(item, Atom) or item.name not in SYSTEM:
            raise ErlangError(BADARG)
        return SYSTEM[item.name]

    def function_exported(self, module: Term, function: Term, arity: Term) -> Term:
        """`erlang:function_exported/3`: of the backend, what observer decides by."""
        return module == BACKEND and isinstance(function, Atom) and ARITIES.get(function.name) == arity

    def garbage_collect(self, pid: Term = None) -> Term:
        """`erlang:garbage_collect/0,1`: Python's own collector needs no help."""
        return True

    def ensure_loaded(self, module: Term) -> Term:
        """`code:ensure_loaded/1`."""
        return (Atom("module"), BACKEND) if module == BACKEND else (Atom("error"), Atom("nofile"))

    def all_loaded(self) -> Term:
        """`code:all_loaded/0`: no module of Erlang is."""
        return []

    def translate_initial_call(self, pid: Term) -> Term:
        """`proc_lib:translate_initial_call/1`: what says that there is no page for it."""
        return (Atom("proc_lib"), Atom("init_p"), 5)

    def get_label(self, pid: Term) -> Term:
        """`proc_lib:get_label/1`."""
        record = self._kernel.table.by_pid.get(pid) if isinstance(pid, Pid) else None
        return UNDEFINED if record is None or record.label is None else record.label

    # observer_backend

    def vsn(self) -> Term:
        """The version that etop compares with its own."""
        return (OK, _string(VSN))

    def sys_info(self) -> Term:
        """What the page System shows."""
        cores, count = os.cpu_count() or 1, len(self._kernel.table.by_pid)
        facts: dict[str, Term] = {
            "uptime": int((monotonic() - self._started) * 1000),
            "run_queue": len(self._kernel.run_queue),
            "io_input": 0,
            "io_output": 0,
            "logical_processors": cores,
            "logical_processors_online": cores,
            "logical_processors_available": Atom("unknown"),
            "schedulers": 1,
            "schedulers_online": 1,
            "schedulers_available": 1,
            "otp_release": _string(f"Python {platform.python_version()}"),
            "version": _string(platform.python_implementation()),
            "system_architecture": _string(f"{platform.machine()}-{sys.platform}"),
            "kernel_poll": True,
            "smp_support": False,
            "threads": True,
            "thread_pool_size": 0,
            "wordsize_internal": 8,
            "wordsize_external": 8,
            "alloc_info": [],
            "process_count": count,
            "atom_limit": UNDEFINED,
            "atom_count": UNDEFINED,
            "process_limit": self._kernel.max_processes,
            "port_limit": 0,
            "port_count": 0,
            "ets_limit": 0,
            "ets_count": 0,
            "dist_buf_busy_limit": 0,
        }
        return [(Atom(name), value) for name, value in facts.items()] + _memory()

    def get_table_list(self, kind: Term, options: Term) -> Term:
        """There are no tables of ETS or Mnesia."""
        return []

    def get_port_list(self) -> Term:
        """There are no ports."""
        return []

    def get_socket_list(self) -> Term:
        """There are no sockets of Erlang."""
        return []

    def socket_info(self) -> Term:
        """Nothing about sockets of Erlang."""
        return []

    def procs_info(self, process: Process, collector: Pid) -> Term:
        """Send all processes to the collector, in portions; then this process ends, which says so."""
        rows = self._rows()
        for start in range(0, len(rows), CHUNK):
            process.send(collector, (Atom("procs_info"), process.pid, rows[start : start + CHUNK]))
        return OK

    def etop_collect(self, process: Process, collector: Pid) -> Term:
        """Send what etop shows at once."""
        now = time()
        clock = (int(now // 1e6), int(now % 1e6), int(now % 1 * 1e6))
        rows, queue = self._rows(), len(self._kernel.run_queue)
        info: Term = (
            Atom("etop_info"),
            clock,
            len(rows),
            UNDEFINED,
            _schedulers(),
            queue,
            [],
            _memory(),
            rows,
        )
        process.send(collector, (process.pid, info))
        return OK

    async def fetch_stats(self, process: Process, collector: Pid, interval: int) -> Term:
        """Send the load each `interval` milliseconds, until any message comes."""
        while True:
            stats = (Atom("stats"), 1, _schedulers(), ((Atom("input"), 0), (Atom("output"), 0)), _memory())
            process.send(collector, stats)
            try:
                await process.receive(timeout=max(interval, 10) / 1000)
            except TimeoutError:
                continue
            return OK

    async def start_link2(self, process: Process, caller: Pid, client: Pid, options: Term) -> Term:
        """`appmon_info:start_link2/3`: a process that tells the client of the applications."""
        return (OK, await process.start(ApplicationMonitor, self._runtime, client))

    def _rows(self) -> list[Term]:
        return [self._row(pid) for pid in list(self._kernel.table.by_pid)]

    def _row(self, pid: Pid) -> Term:
        """The record `etop_proc_info`."""
        items = ("reductions", "registered_name", "initial_call", "current_function", "message_queue_len")
        found = process_info(self._kernel, pid, items)
        info: dict[str, Any] = found if found is not None else dict.fromkeys(items, 0)
        name = info["registered_name"] or info["initial_call"]
        facts = (info["reductions"], name, 0, info["current_function"], info["message_queue_len"])
        return (Atom("etop_proc_info"), pid, 0, *facts)


def _string(text: str) -> Term:
    """Text as Erlang's strings: a list of code points."""
    return list(map(ord, text))


def _schedulers() -> Term:
    """The one scheduler: the event loop, active as long as the program computes."""
    return [(1, int(process_time() * 1e9), int(monotonic() * 1e9))]


def _memory() -> list[Term]:
    """The memory of the program, in bytes, where the system tells it; all of it counts as of processes."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            total = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        total = 0
    sizes = {"total": total, "processes": total, "processes_used": total}
    return [(Atom(name), sizes.get(name, 0)) for name in MEMORY]
