"""Functions of a Python program that nodes of Elixir run as tasks."""

import threading
from typing import Any

import anyio.lowlevel
from elixir_peer import EX, PY, Elixir, until
from ergo_node import ErlangError, ErlangExit, ErlangThrow, Node
from etf_codec import Atom, Pid
from otp_behaviors import Exit, ExitError, Process, TaskSupervisor

SUP = f'{{:tasks, :"{PY}"}}'
CALLERS = Atom("$callers")
Lives = dict[Any, Any]
"""What became of tasks that are held, by the item they were given: process, and `running` or `ended`."""


def double(n: int) -> int:
    return 2 * n


async def slowly(n: int) -> int:
    await anyio.lowlevel.checkpoint()
    return 2 * n


def in_thread(n: int) -> Any:
    return (n, threading.current_thread() is not threading.main_thread())


async def who(process: Process, n: int) -> Any:
    return (n, process.pid, process.dictionary[CALLERS])


def fail(kind: Atom, reason: Any) -> None:
    kinds: dict[str, type[Exception]] = {
        "throw": ErlangThrow,
        "exit": ErlangExit,
        "error": ErlangError,
        "leave": ExitError,
        "value": ValueError,
    }
    raise kinds[str(kind)](reason)


async def fail_slowly(kind: Atom, reason: Any) -> None:
    await anyio.lowlevel.checkpoint()
    fail(kind, reason)


def is_exit(message: Any) -> bool:
    return type(message) is Exit


async def serve_tasks(node: Node) -> Lives:
    """Provide the functions above as module `math_py`, and supervise tasks as `tasks`."""
    lives: Lives = {}

    async def hold(process: Process, item: Any, how: Any = None) -> Any:
        """Goes on until it is ended, or told to return."""
        process.trap_exit = how in (Atom("obedient"), Atom("stubborn"))
        lives[item] = (process.pid, "running")
        try:
            while True:
                message: Any = await process.receive()
                if is_exit(message) and how != Atom("stubborn"):
                    return (Atom("told"), message.reason)
                if message == Atom("go"):
                    return item
        finally:
            lives[item] = (process.pid, "ended")

    node.provide("math_py", "double", double)
    node.provide("math_py", "slowly", slowly)
    node.provide("math_py", "in_thread", in_thread, thread=True)
    node.provide("math_py", "who", who, process=True)
    node.provide("math_py", "nothing", lambda: None)
    node.provide("math_py", "fail", fail)
    node.provide("math_py", "fail_slowly", fail_slowly)
    node.provide("math_py", "hold", hold, process=True)
    node.provide("math_py", "secret", double, nodes=[EX])
    await node.start(TaskSupervisor(name="tasks", max_children=4))
    return lives


def task(function: str, args: str, how: str = "async_nolink") -> str:
    return f"Task.Supervisor.{how}({SUP}, :math_py, :{function}, {args})"


async def begun(lives: Lives, item: Any) -> Pid:
    """The process of a task that has been held."""
    await until(lambda: item in lives)
    pid: Pid = lives[item][0]
    return pid


async def no_tasks(elixir: Elixir) -> None:
    await elixir.until(f"Task.Supervisor.children({SUP}) == []")
