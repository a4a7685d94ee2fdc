"""A real Erlang node that a test starts, asks to evaluate expressions, and stops or kills."""

import base64
import itertools
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Protocol, Self

import anyio
import anyio.abc
from etf_codec import Atom, Term, decode

# A loaded two-core CI machine has been seen to take four seconds to boot a BEAM.
BOOT_TIMEOUT = 30.0
EVAL_TIMEOUT = 15.0


class ErlangError(AssertionError):
    """The expression failed in Erlang, or the node ended before it answered."""


class Erl:
    """One `erl` in the background, with `evaluator.erl` reading expressions from its standard input.

    `listen` has to run in a task for as long as the node is used; the `start_erl` fixture sees to it.
    """

    def __init__(self, name: str, process: anyio.abc.Process) -> None:
        self.name = name
        self.output: list[str] = []
        self._process = process
        self._ids = itertools.count()
        self._waiting: dict[str, anyio.Event] = {}
        self._answers: dict[str, bytes] = {}
        self._ended = anyio.Event()

    @classmethod
    async def start(
        cls,
        name: str,
        *,
        cookie: str,
        epmd_port: int,
        code: Path,
        args: Sequence[str],
        env: Mapping[str, str],
    ) -> Self:
        """Start the node; a name whose host has a dot is a long one, as for OTP.

        Args:
            name: The full node name, `a@127.0.0.1` or `a@localhost`.
            cookie: What `-setcookie` gets.
            epmd_port: Where an EPMD listens; none is ever started by `erl` itself.
            code: The folder of the compiled test modules, and the node's home: no real cookie file is read.
            args: Further arguments of `erl`, before the evaluator is started.
            env: Further environment variables.
        """
        naming = "-name" if "." in name.partition("@")[2] else "-sname"
        command = ["erl", "-noshell", naming, name, "-setcookie", cookie, "-start_epmd", "false"]
        command += [
            "-kernel",
            "inet_dist_use_interface",
            "{127,0,0,1}",
            "-pa",
            str(code),
            *args,
            "-s",
            "evaluator",
        ]
        environment = {**os.environ, "HOME": str(code), "ERL_EPMD_PORT": str(epmd_port), **env}
        for variable in ("ERL_FLAGS", "ERL_AFLAGS", "ERL_ZFLAGS", "ERL_LIBS"):
            environment.pop(variable, None)
        process = await anyio.open_process(
            command, stdin=PIPE, stdout=PIPE, stderr=STDOUT, env=environment, start_new_session=True
        )
        return cls(name, process)

    @property
    def os_pid(self) -> int:
        """The process id of the BEAM, for signals a test sends itself."""
        return self._process.pid

    async def listen(self) -> None:
        """Sort the node's output into answers and its log until it ends."""
        assert self._process.stdout is not None
        rest = b""
        try:
            async for chunk in self._process.stdout:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._take_line(line)
        finally:
            self._ended.set()
            for waiting in self._waiting.values():
                waiting.set()

    def _take_line(self, line: bytes) -> None:
        if not line.startswith(b"=> "):
            self.output.append(line.decode(errors="replace"))
            return
        _, number, answer = line.split(b" ")
        # The answer to a request that timed out has nobody waiting for it.
        if waiting := self._waiting.get(number.decode()):
            self._answers[number.decode()] = base64.b64decode(answer)
            waiting.set()

    async def eval(self, expression: str, timeout: float = EVAL_TIMEOUT) -> Term:
        """The value of an Erlang expression (or of several, separated by commas), as a Python term.

        What it binds stays bound for the next one, as in the shell.

        Raises:
            ErlangError: It raised in Erlang, or the node ended.
            TimeoutError: No answer within `timeout` seconds.
        """
        if self._ended.is_set():
            raise ErlangError(self._explain(f"the node ended before it was asked: {expression}"))
        number = str(next(self._ids))
        answered = self._waiting[number] = anyio.Event()
        request = f"{number} {base64.b64encode(expression.encode()).decode()}\n"
        try:
            with anyio.fail_after(timeout):
                await self._write(request.encode())
                await answered.wait()
        except TimeoutError:
            raise TimeoutError(self._explain(f"no answer within {timeout} s to: {expression}")) from None
        finally:
            del self._waiting[number]
        if number not in self._answers:
            raise ErlangError(self._explain(f"the node ended before it answered: {expression}"))
        result = decode(self._answers.pop(number))
        assert isinstance(result, tuple)
        if result[0] != Atom("ok"):
            assert isinstance(result[1], bytes)
            raise ErlangError(self._explain(f"{expression}\nfailed with {result[1].decode()}"))
        value: Term = result[1]
        return value

    async def text(self, expression: str, timeout: float = EVAL_TIMEOUT) -> str:
        """The value of an expression as Erlang prints it, `{ok,[1,2]}`; its variables do not last."""
        printed = await self.eval(
            f'unicode:characters_to_binary(io_lib:format("~0tp", [(fun() -> {expression} end)()]))', timeout
        )
        assert isinstance(printed, bytes)
        return printed.decode()

    async def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            await self._process.stdin.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._ended.wait()

    def _explain(self, message: str) -> str:
        return "\n".join([f"{self.name}: {message}", *(f"  | {line}" for line in self.output[-40:])])

    async def booted(self) -> None:
        """Wait until the node evaluates; raises with its output when it could not start."""
        node = await self.eval("node()", BOOT_TIMEOUT)
        called = "nonode@nohost" if self.name.startswith("undefined@") else self.name
        assert node == Atom(called), self._explain(f"the node calls itself {node}")

    async def stop(self) -> None:
        """The orderly way: `init:stop()`, then wait for the end."""
        await self.eval("init:stop()")
        await self._wait_for_the_end()

    async def kill(self) -> None:
        """`kill -9`: the node cannot say goodbye, its sockets are closed by the kernel."""
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._wait_for_the_end()

    async def _wait_for_the_end(self) -> None:
        with anyio.fail_after(EVAL_TIMEOUT):
            await self._process.wait()
            await self._ended.wait()

    async def aclose(self) -> None:
        """Kill what still runs and close the pipes."""
        await self.kill()
        await self._process.aclose()


class StartErl(Protocol):
    """Starts an Erlang node and returns it when it is up."""

    async def __call__(
        self,
        name: str,
        *,
        cookie: str = "secret",
        epmd_port: int = ...,
        args: Sequence[str] = (),
        env: Mapping[str, str] = {},
    ) -> Erl: ...
