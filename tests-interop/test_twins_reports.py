"""What is logged of the same crashes, starts and stops by OTP and by us: OTP's reports, entry by entry."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from erlang_peer import StartErl
from etf_codec import Atom, Pid
from otp_behaviors import (
    Application,
    Child,
    ExitError,
    GenServer,
    LocalRuntime,
    Process,
    Stop,
    Supervisor,
    start_child,
    sys,
)

pytestmark = pytest.mark.anyio

STOP, BAD = Atom("stop"), Atom("bad")

OF_THE_MACHINE = {
    "status", "heap_size", "stack_size", "reductions", "current_function", "current_stacktrace",
}  # fmt: skip
"""Tells of heaps and stacks, which ours have not, or counts otherwise."""

OF_THE_LANGUAGE = {"initial_call", "mfargs", "started_at"}
"""Names functions or the node, which are others here and there."""


SINCE_OTP_27 = {"process_label"}


class Worker(GenServer):
    def init(self) -> None:
        self.secret = 1

    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == Atom("continue"):
            self.continue_with(Atom("x"))
            return Atom("ok")
        raise Stop(request[1])

    def handle_cast(self, message: Any) -> None:
        if message == Atom("bond"):
            self.spawn(wait, link=True)
            raise Stop(BAD)
        raise Stop(message[1])

    def handle_info(self, message: Any) -> None:
        raise Stop(message[1])

    def handle_continue(self, token: Any) -> None:
        raise Stop(BAD)


class Refusing(GenServer):
    def init(self) -> None:
        raise Stop(Atom("refused"))


async def wait(process: Process) -> None:
    await process.receive(lambda message: message == Atom("never"))


async def driver(process: Process, runtime: LocalRuntime) -> None:
    """The steps of `twin_reports:play/0`."""
    process.trap_exit = True

    async def step(act: Callable[[], Awaitable[Any] | None]) -> None:
        ref = process.monitor("w7")
        result = act()
        if result is not None:
            try:
                await result
            except ExitError:
                assert act is call  # Whose server ends instead of an answer.
        await process.receive(lambda message: getattr(message, "ref", None) == ref)
        await process.call("top", Atom("which_children"))

    def call() -> Awaitable[Any]:
        return process.call("w7", (STOP, BAD))

    tree = Supervisor(
        Child(Worker, name="w7"),
        Child(Worker, name="w8", restart="transient", shutdown="brutal_kill"),
        intensity=10,
        period=10,
        name="top",
    )
    top = await process.start(tree, link=True)
    await step(lambda: process.cast("w7", (STOP, BAD)))
    await step(lambda: process.send("w7", (STOP, BAD)))
    await step(call)
    await step(lambda: process.call("w7", Atom("continue")))
    await step(lambda: sys.terminate(process, "w7", Atom("weird")))
    await step(lambda: process.cast("w7", Atom("bond")))
    await step(lambda: process.exit(whereis(process, "w7"), Atom("ouch")))
    with pytest.raises(ExitError):
        await start_child(process, "top", Child(Refusing, name="bad"))
    for command in ("terminate_child", "restart_child"):
        await process.call("top", (Atom(command), Atom("w8")))
    await runtime.start_application(Application("shop", Supervisor()))
    await runtime.stop_application("shop")
    await runtime.stop(top)


def whereis(process: Process, name: str) -> Pid:
    pid = process.whereis(name)
    assert pid is not None
    return pid


async def reports_of_ours(caplog: pytest.LogCaptureFixture, level: int) -> list[Any]:
    with anyio.fail_after(20), caplog.at_level(level, "otp_behaviors"):
        async with LocalRuntime() as runtime:
            await runtime.monitor(runtime.spawn(driver, runtime, name="evaluator"))
    return [vars(record)["otp_report"] for record in caplog.records if record.name == "otp_behaviors"]


def plain(report: dict[Any, Any]) -> dict[str, Any]:
    """OTP's report in the shape of ours: one dict."""
    told = {str(name): value for name, value in report.items()}
    body = told.pop("report", [])
    if body and isinstance(body[0], list):
        neighbours = [dict_of(neighbour) for _, neighbour in body[1]]
        body = [*body[0], (Atom("neighbours"), neighbours)]
    told["label"] = tuple(map(str, told["label"]))
    return told | dict_of(body)


def dict_of(facts: list[Any]) -> dict[str, Any]:
    nested = ("offender", "started")
    return {str(name): dict_of(value) if str(name) in nested else value for name, value in facts}


def comparable(value: Any, left_out: set[str]) -> Any:
    """A report without what differs by nature: numbers of pids, stacks, names of functions."""
    match value:
        case Pid():
            return "pid"
        case dict():
            kept = {name: each for name, each in value.items() if name not in left_out}
            return {name: shared(name, comparable(each, left_out)) for name, each in kept.items()}
        case list():
            return [comparable(each, left_out) for each in value]
        case tuple():
            return tuple(comparable(each, left_out) for each in value)
    return value


def shared(name: Any, value: Any) -> Any:
    if name in OF_THE_LANGUAGE:
        return ...
    if name == "error_info":
        return value[:2]
    if name == "client_info" and isinstance(value, tuple):
        who = value[1]
        return str(who[0] if isinstance(who, tuple) else who)
    # The processes above a driver, and above an application, are the business of each system.
    return value[:2] if name == "ancestors" else value


def is_refusal(report: dict[str, Any]) -> bool:
    """Whether this is the crash report of the process that refuses to start."""
    return bool(report.get("error_info") == (Atom("exit"), Atom("refused")))


async def test_the_same_crashes_starts_and_stops(
    start_erl: StartErl, caplog: pytest.LogCaptureFixture, otp_release: int
) -> None:
    erl = await start_erl("erl@127.0.0.1")
    # Since OTP 27.1, as with ours, what `restart_child` starts is told at debug level and not at info.
    level, left_out, count = logging.INFO, OF_THE_MACHINE, 31
    if otp_release < 27:
        level, left_out, count = logging.DEBUG, OF_THE_MACHINE | SINCE_OTP_27, 32
    of_otp = [comparable(plain(report), left_out) for report in await erl.eval("twin_reports:play()")]
    of_ours = [comparable(report, left_out) for report in await reports_of_ours(caplog, level)]
    # Who refuses to start tells of its end when its parent has gone on: sooner or later, as it happens.
    for reports in (of_ours, of_otp):
        reports.sort(key=is_refusal)
    assert [report["label"] for report in of_ours] == [report["label"] for report in of_otp]
    for ours, otps in zip(of_ours, of_otp, strict=True):
        if is_refusal(otps):
            # Ours still has its name when it tells of a refused start, and OTP's its link.
            assert (ours["registered_name"], otps["registered_name"]) == (Atom("bad"), [])
            assert (ours["links"], otps["links"]) == ([], ["pid"])
            del ours["registered_name"], otps["registered_name"], ours["links"], otps["links"]
        assert ours == otps
    assert len(of_otp) == count
