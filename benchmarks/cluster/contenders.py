"""The contenders as child processes, asked one at a time: a line of JSON each way."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rows import (
    ERGO,
    FROM_OTP,
    LOOPS,
    ONE_NODE,
    ONE_PROCESS,
    OTP,
    PURE,
    PYRLANG,
    SOCKET,
    TO_OTP,
    TWO_PROCESSES,
)

HERE: Final = Path(__file__).parent
HOST: Final = "127.0.0.1"
COOKIE: Final = "bench"
LISTEN: Final = "{127,0,0,1}"

Answer = dict[str, Any]


class Child:
    """A process that answers requests, until it is closed."""

    def __init__(self, *command: str | Path, env: Mapping[str, str] | None = None) -> None:
        self._command = command
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.ready = self._answer()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def ask(self, *request: str | float) -> Answer:
        """Send a request and wait for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(request)}\n")
        self._process.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            raise SystemExit(f"{self._command}: {request}: {answer['error']}")
        return answer

    def _answer(self) -> Answer:
        """Read on to the next answer; contenders and their libraries may print other lines."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                answer: Answer = json.loads(line)
                return answer
        raise SystemExit(f"{self._command} ended with status {self._process.wait()}")

    def close(self) -> None:
        """End it, by the end of its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True, slots=True)
class Side:
    """Who makes the calls of a contender in one setting, and where they go."""

    child: Child
    where: str


class Contenders:
    """Starts those that can run here; the others are in `missing`, with the reason.

    Args:
        stack: ends them.
        folder: for what is compiled.
        ergo_module: a checkout of Ergo 1.1; None asks the module proxy for it.
        pyrlang: a folder to import Pyrlang from.
    """

    def __init__(
        self, stack: ExitStack, folder: Path, ergo_module: Path | None, pyrlang: Path | None
    ) -> None:
        self._stack = stack
        self._folder = folder
        self.sides: dict[tuple[str, str], Side] = {}
        self.missing: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self.epmd = str(self._start(sys.executable, HERE / "python_side.py", "epmd").ready["port"])
        for loop in LOOPS:
            self._start_python(loop, loop, {})
        if self.sides["uvloop", ONE_NODE].child.ready["codec"] == "native":
            self._start_python(PURE, "uvloop", {"ETF_CODEC_IMPL": "python"})
        else:
            self.missing[PURE] = (
                "etf-codec-native is not installed, so all columns are on the codec in Python"
            )
        self.sides[SOCKET, TWO_PROCESSES] = Side(self._start(sys.executable, HERE / "socket_side.py"), "")
        self._start_otp()
        self._start_ergo(ergo_module)
        self._start_pyrlang(pyrlang)

    def _start(self, *command: str | Path, env: Mapping[str, str] | None = None) -> Child:
        child = Child(*command, env=env)
        self._stack.callback(child.close)
        return child

    def python(self, loop: str, *names: str, env: Mapping[str, str] | None = None) -> Child:
        """Start nodes in Python, in a process of their own."""
        nodes = [f"{name}@{HOST}" for name in names]
        return self._start(sys.executable, HERE / "python_side.py", loop, self.epmd, *nodes, env=env)

    def otp(self, name: str) -> Child:
        """Start a node of OTP."""
        return self._start(
            "erl", "-noshell", "-name", f"{name}@{HOST}", "-setcookie", COOKIE, "-start_epmd", "false",
            "-kernel", "inet_dist_use_interface", LISTEN, "-pa", self._folder, "-s", "otp_side", "main",
            env={"ERL_EPMD_PORT": self.epmd},
        )  # fmt: skip

    def _start_python(self, contender: str, loop: str, env: Mapping[str, str]) -> None:
        name = contender.replace(", ", "_")
        near = self.python(loop, f"{name}_near", f"{name}_beside", env=env)
        self.python(loop, f"{name}_far", env=env)
        self.sides[contender, ONE_NODE] = Side(near, "local")
        self.sides[contender, ONE_PROCESS] = Side(near, f"{name}_beside@{HOST}")
        self.sides[contender, TWO_PROCESSES] = Side(near, f"{name}_far@{HOST}")

    def _start_otp(self) -> None:
        if shutil.which("erlc") is None:
            self.missing.update(dict.fromkeys((OTP, TO_OTP, FROM_OTP), "no `erlc` on PATH"))
            return
        subprocess.run(["erlc", "-o", self._folder, HERE / "otp_side.erl"], check=True)
        near, _ = self.otp("otp_near"), self.otp("otp_far")
        self.versions[OTP] = near.ready["release"]
        self.sides[OTP, ONE_NODE] = Side(near, "local")
        self.sides[OTP, TWO_PROCESSES] = Side(near, f"otp_far@{HOST}")
        # The pairs of the two languages have processes of their own, lest one has the other's connections.
        self.otp("otp_called"), self.python("uvloop", "python_called")
        self.sides[TO_OTP, TWO_PROCESSES] = Side(self.python("uvloop", "to_otp"), f"otp_called@{HOST}")
        self.sides[FROM_OTP, TWO_PROCESSES] = Side(self.otp("from_otp"), f"python_called@{HOST}")

    def _start_ergo(self, module: Path | None) -> None:
        if shutil.which("go") is None:
            self.missing[ERGO] = "no `go` on PATH"
            return
        program, reason = built(self._folder / "ergo", module)
        if program is None:
            self.missing[ERGO] = reason
            return
        child = self._start(program, str(free_port()))
        self.sides[ERGO, ONE_NODE] = Side(child, "local")
        self.sides[ERGO, ONE_PROCESS] = Side(child, "far")

    def _start_pyrlang(self, folder: Path | None) -> None:
        if folder is None:
            self.missing[PYRLANG] = (
                "it is not on the index, where `pyrlang` is another package: give --pyrlang FOLDER"
            )


def built(folder: Path, module: Path | None) -> tuple[Path | None, str]:
    """Build Ergo's side in a copy; the program, or why there is none."""
    shutil.copytree(HERE / "ergo", folder)
    if module is not None:
        replace = f"-replace=github.com/halturin/ergo={module.resolve()}"
        subprocess.run(["go", "mod", "edit", replace], cwd=folder, check=True)
    build = ["go", "build", "-mod=mod", "-o", "ergoside", "."]
    done = subprocess.run(build, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        return None, f"`go build` failed: {last[0]}"
    return folder / "ergoside", ""


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])
