"""The contenders: who they are, how they are started, and why one is missing."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from child import Child, Failed
from ergo_node import CannotStart, Tls
from rows import (
    ERGO,
    ERGO_AT_BEST,
    FROM_OTP,
    LOOPS,
    ONE_NODE,
    ONE_PROCESS,
    OTP,
    PURE,
    PYRLANG,
    SOCKET,
    TLS,
    TO_OTP,
    TWO_PROCESSES,
)

HERE: Final = Path(__file__).parent
HOST: Final = "127.0.0.1"
COOKIE: Final = "bench"
ERGO_ATTEMPTS: Final = 5
GO_OF_2020: Final = "go1.13.15"
HAS_SSL: Final = "halt(case code:lib_dir(ssl) of {error, _} -> 1; _ -> 0 end)."
TLS_OPTIONS: Final = (
    '{{certfile, "{0}/node.pem"}}, {{cacertfile, "{0}/ca.pem"}}, {{verify, verify_peer}},'
    " {{versions, ['tlsv1.3', 'tlsv1.2']}}"
)


class CannotBuild(Exception):
    """A contender could not be built; the text says why."""


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
        pyrlang: a folder with the packages `pyrlang` and `term`.
    """

    def __init__(
        self, stack: ExitStack, folder: Path, ergo_module: Path | None, pyrlang: Path | None
    ) -> None:
        self._stack = stack
        self._folder = folder
        self.sides: dict[tuple[str, str], Side] = {}
        self.missing: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self._ergo_commands: dict[str, tuple[str | Path, ...]] = {}
        self.epmd = str(self._start(sys.executable, HERE / "python_side.py", "epmd").ready["port"])
        for child in [*self._python(), *self._otp(), *self._tls(), *self._pyrlang(pyrlang)]:
            child.wait_ready()
        self._ergo(ergo_module)
        if OTP not in self.missing:
            self.versions[OTP] = self.sides[OTP, ONE_NODE].child.ready["release"]

    def _start(self, *command: str | Path, env: Mapping[str, str] | None = None) -> Child:
        child = Child(*command, env=env)
        self._stack.callback(child.close)
        return child

    def python(self, loop: str, *names: str, env: Mapping[str, str] | None = None) -> Child:
        """Start nodes in Python, in a process of their own."""
        nodes = [f"{name}@{HOST}" for name in names]
        return self._start(sys.executable, HERE / "python_side.py", loop, self.epmd, *nodes, env=env)

    def otp(self, name: str, *options: str) -> Child:
        """Start a node of OTP."""
        return self._start(
            "erl", "-noshell", "-name", f"{name}@{HOST}", "-setcookie", COOKIE, "-start_epmd", "false",
            "-kernel", "inet_dist_use_interface", "{127,0,0,1}", "-pa", self._folder, *options,
            "-s", "otp_side", "main", env={"ERL_EPMD_PORT": self.epmd, "ERL_CRASH_DUMP_BYTES": "0"},
        )  # fmt: skip

    def _python(self) -> list[Child]:
        started = [child for loop in LOOPS for child in self._python_nodes(loop, loop, {})]
        if find_spec("etf_codec_native"):
            started += self._python_nodes(PURE, "uvloop", {"ETF_CODEC_IMPL": "python"})
        else:
            self.missing[PURE] = (
                "etf-codec-native is not installed, so all columns are on the codec in Python"
            )
        sockets = self._start(sys.executable, HERE / "socket_side.py")
        self.sides[SOCKET, TWO_PROCESSES] = Side(sockets, "")
        return [*started, sockets]

    def _python_nodes(self, contender: str, loop: str, env: Mapping[str, str]) -> list[Child]:
        name = contender.replace(", ", "_")
        near = self.python(loop, f"{name}_near", f"{name}_beside", env=env)
        self.sides[contender, ONE_NODE] = Side(near, "local")
        self.sides[contender, ONE_PROCESS] = Side(near, f"{name}_beside@{HOST}")
        self.sides[contender, TWO_PROCESSES] = Side(near, f"{name}_far@{HOST}")
        return [near, self.python(loop, f"{name}_far", env=env)]

    def _otp(self) -> list[Child]:
        if shutil.which("erlc") is None:
            self.missing.update(dict.fromkeys((OTP, TO_OTP, FROM_OTP), "no `erlc` on PATH"))
            return []
        subprocess.run(["erlc", "-o", self._folder, HERE / "otp_side.erl"], check=True)
        near = self.otp("otp_near")
        self.sides[OTP, ONE_NODE] = Side(near, "local")
        self.sides[OTP, TWO_PROCESSES] = Side(near, f"otp_far@{HOST}")
        # The pairs of the two languages have processes of their own, lest one has the other's connections.
        to_otp, from_otp = self.python("uvloop", "to_otp"), self.otp("from_otp")
        self.sides[TO_OTP, TWO_PROCESSES] = Side(to_otp, f"otp_called@{HOST}")
        self.sides[FROM_OTP, TWO_PROCESSES] = Side(from_otp, f"python_called@{HOST}")
        called = [self.otp("otp_far"), self.otp("otp_called"), self.python("uvloop", "python_called")]
        return [near, to_otp, from_otp, *called]

    def _tls(self) -> list[Child]:
        folder = self._folder / "tls"
        try:
            Tls.development(folder)
        except CannotStart as error:
            self.missing["TLS"] = str(error)
            return []
        started = []
        for loop in LOOPS:
            near, far = (
                self.python(loop, f"{loop}_tls_{end}", env={"BENCH_TLS": str(folder)})
                for end in ("near", "far")
            )
            self.sides[loop, TLS] = Side(near, f"{loop}_tls_far@{HOST}")
            started += [near, far]
        return [*started, *self._otp_tls(folder)]

    def _otp_tls(self, folder: Path) -> list[Child]:
        if OTP in self.missing:
            return []
        if subprocess.run(["erl", "-noshell", "-eval", HAS_SSL], check=False).returncode != 0:
            self.missing["OTP over TLS"] = "Erlang's `ssl` is not installed"
            return []
        options = TLS_OPTIONS.format(folder)
        file = folder / "dist.conf"
        file.write_text(
            f"[{{server, [{options}, {{fail_if_no_peer_cert, true}}]}}, {{client, [{options}]}}].\n"
        )
        tls = ("-proto_dist", "inet_tls", "-ssl_dist_optfile", str(file))
        near, far = self.otp("otp_tls_near", *tls), self.otp("otp_tls_far", *tls)
        self.sides[OTP, TLS] = Side(near, f"otp_tls_far@{HOST}")
        return [near, far]

    def _ergo(self, module: Path | None) -> None:
        if shutil.which("go") is None:
            self.missing[ERGO] = "no `go` on PATH"
            return
        folder = copied(self._folder / "ergo", module)
        for contender, toolchain, before in ((ERGO, None, ()), (ERGO_AT_BEST, GO_OF_2020, on_one_core())):
            try:
                self._ergo_commands[contender] = (*before, built(folder, toolchain))
            except CannotBuild as error:
                self.missing[contender] = str(error)
            else:
                self.start_ergo(contender)

    def start_ergo(self, contender: str) -> None:
        """Start Ergo, or anew: it loses a call now and then, and hardly answers any more after it."""
        running = self.sides.pop((contender, ONE_NODE), None)
        self.sides.pop((contender, ONE_PROCESS), None)
        if running is not None:
            running.child.close()
        # Its first call of all may be the one, the more likely the busier the machine.
        for _ in range(ERGO_ATTEMPTS):
            child = self._start(*self._ergo_commands[contender], str(free_port()))
            try:
                child.wait_ready()
            except Failed as error:
                self.missing[contender] = str(error)
                continue
            self.missing.pop(contender, None)
            self.sides[contender, ONE_NODE] = Side(child, "local")
            self.sides[contender, ONE_PROCESS] = Side(child, "far")
            return

    def _pyrlang(self, folder: Path | None) -> list[Child]:
        if folder is None:
            self.missing[PYRLANG] = "the index has another package of that name: give --pyrlang FOLDER"
            return []
        side = (sys.executable, HERE / "pyrlang_side.py", folder, self.epmd)
        far = self._start(*side, f"pyrlang_far@{HOST}")
        near = self._start(*side, f"pyrlang_near@{HOST}")
        self.sides[PYRLANG, TWO_PROCESSES] = Side(near, far.ready["where"])
        return [near]


def copied(folder: Path, module: Path | None) -> Path:
    """Copy Ergo's side to where it is built, and say where Ergo itself is."""
    shutil.copytree(HERE / "ergo", folder)
    if module is not None:
        replace = f"-replace=github.com/halturin/ergo={module.resolve()}"
        subprocess.run(["go", "mod", "edit", replace], cwd=folder, check=True)
    return folder


def built(folder: Path, toolchain: str | None = None) -> Path:
    """Build Ergo's side, with the Go that is there or with another one; the program.

    Raises:
        CannotBuild: it does not build, or cannot be had.
    """
    program = folder / (toolchain or "go")
    build = ["go", "build", *(() if toolchain else ("-mod=mod",)), "-o", str(program), "."]
    # Flags that may be set for Go here are not those of all versions of it, and none would not replace them.
    environment = {**os.environ, "GOFLAGS": "-trimpath" if toolchain else "-buildvcs=false"}
    if toolchain:
        environment["GOTOOLCHAIN"] = toolchain
    done = subprocess.run(build, cwd=folder, check=False, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise CannotBuild(f"`go build` failed, give --ergo-module FOLDER: {last[0].strip()}")
    return program


def on_one_core() -> tuple[str, ...]:
    """What runs a command on one core only, where there is such a thing."""
    if sys.platform != "linux" or shutil.which("taskset") is None:
        return ()
    return "taskset", "--cpu-list", str(max(os.sched_getaffinity(0)))


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])
