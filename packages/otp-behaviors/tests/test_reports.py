"""The content of what is logged: OTP's reports by its names, on the records of `logging`, and bounded."""

import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from etf_codec import Atom, Pid
from otp_behaviors import (
    NORMAL,
    Application,
    Child,
    GenServer,
    LocalRuntime,
    Process,
    Stop,
    Supervisor,
    start_child,
    sys,
)
from otp_behaviors._reports import MAX_CHARS, MAX_ITEMS, MORE, bounded

pytestmark = pytest.mark.anyio

Reports = Callable[..., list[dict[str, Any]]]
BAD = Atom("bad")
TERMINATE = ("gen_server", "terminate")
CRASH = ("proc_lib", "crash")


class Worker(GenServer):
    def init(self) -> None:
        self.secret = 1
        self.size = 2

    def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
        return status | {"state": {Atom("size"): status["state"][Atom("size")]}}

    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == "continue":
            self.continue_with("boom")
            return "ok"
        raise ValueError("no such request")

    async def handle_cast(self, message: Any) -> None:
        raise Stop(message)

    def handle_info(self, message: Any) -> None:
        raise Stop(message)

    def handle_continue(self, token: Any) -> None:
        raise Stop(BAD)


@pytest.fixture
def reports(caplog: pytest.LogCaptureFixture) -> Reports:
    """Returns the reports of the log, at or above a level, as they are on its records."""
    caplog.set_level(logging.INFO, "otp_behaviors")

    def reports(level: int = logging.ERROR) -> list[dict[str, Any]]:
        return [vars(record)["otp_report"] for record in caplog.records if record.levelno >= level]

    return reports


async def crashed(act: Callable[[LocalRuntime, Any], Any]) -> None:
    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            worker = await runtime.start(Worker, name="worker")
            watch = worker.monitor()
            result = act(runtime, worker)
            if result is not None:
                await result
            await watch


async def test_a_call_that_fails(reports: Reports) -> None:
    def ask(runtime: LocalRuntime, worker: Any) -> None:
        async def client(process: Process) -> None:
            process.register("client")
            await process.call("worker", ("divide", 0))

        runtime.spawn(client)

    await crashed(ask)
    terminated, crash, *_ = reports()
    assert terminated["label"] == TERMINATE
    assert terminated["name"] == Atom("worker")
    assert terminated["last_message"] == ("divide", 0)
    assert terminated["state"] == {Atom("size"): 2}
    assert terminated["log"] == []
    assert terminated["reason"][0] == (Atom("ValueError"), b"no such request")
    assert terminated["client_info"][1] == "client"
    assert crash["label"] == CRASH
    assert crash["registered_name"] == Atom("worker")
    assert crash["error_info"][:2] == (Atom("error"), (Atom("ValueError"), b"no such request"))
    assert crash["error_info"][2][0][1] == Atom("handle_call")


@pytest.mark.parametrize(
    ("act", "last_message"),
    [
        (lambda runtime, worker: worker.cast(BAD), (Atom("$gen_cast"), BAD)),
        (lambda runtime, worker: worker.send(BAD), BAD),
        (lambda runtime, worker: worker.call("continue"), (Atom("continue"), "boom")),
        (lambda runtime, worker: sys.terminate(runtime, worker, BAD), []),
    ],
    ids=["async cast", "info", "continue", "sys"],
)
async def test_the_last_message(
    reports: Reports, act: Callable[[LocalRuntime, Any], Any], last_message: Any
) -> None:
    await crashed(act)
    terminated, crash = reports()
    assert (terminated["last_message"], terminated["reason"]) == (last_message, BAD)
    assert terminated["client_info"] == Atom("undefined")
    assert crash["error_info"] == (Atom("exit"), BAD, [])


@pytest.mark.parametrize("reason", [NORMAL, Atom("shutdown"), (Atom("shutdown"), 1)])
async def test_a_clean_end_is_not_reported(reports: Reports, reason: Any) -> None:
    await crashed(lambda runtime, worker: worker.send(reason))
    assert reports() == []


async def test_who_ends_by_a_signal_writes_no_report(reports: Reports) -> None:
    await crashed(lambda runtime, worker: runtime.exit(worker.pid, BAD))
    assert reports() == []


async def test_nothing_is_made_of_what_nobody_reads(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[Any] = []

    class Shy(Worker):
        def format_status(self, status: dict[str, Any]) -> dict[str, Any]:
            asked.append(status)
            return status

    with caplog.at_level(logging.CRITICAL, "otp_behaviors"), anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            shy = await runtime.start(Shy)
            watch = shy.monitor()
            await shy.send(BAD)
            await watch
    assert asked == []
    assert caplog.records == []


async def test_neighbours_are_who_goes_down_as_well(reports: Reports) -> None:
    async def wait(process: Process) -> None:
        await process.receive()

    async def trap(process: Process, parent: Pid) -> None:
        process.trap_exit = True
        process.send(parent, "trapping")
        await process.receive()

    async def crash(process: Process) -> None:
        process.spawn(trap, process.pid, link=True)
        await process.receive()
        for _ in range(20):
            process.spawn(wait, link=True)
        raise ValueError("broken")

    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            await runtime.monitor(runtime.spawn(crash))
    (report,) = reports()
    neighbours = report["neighbours"]
    assert len(neighbours) == 15
    assert {neighbour["trap_exit"] for neighbour in neighbours} == {False}
    assert neighbours[0]["links"] == [report["pid"]]
    assert neighbours[0]["initial_call"][1].endswith("wait")


async def test_supervisors_tell_of_children(reports: Reports) -> None:
    tree = Supervisor(Child(Worker, name="worker", restart="transient", shutdown=0.5), name="tree")
    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            await runtime.start(tree)
            pid = runtime.whereis("worker")
            assert pid is not None
            watch = runtime.monitor("worker")
            await runtime.send("worker", BAD)
            await watch
            await sys.get_state(runtime, "tree")
    child = {
        "pid": pid,
        "id": Atom("worker"),
        "mfargs": (Atom("Worker"), Atom("init"), ()),
        "restart_type": Atom("transient"),
        "significant": False,
        "shutdown": 500,
        "child_type": Atom("worker"),
    }
    first, second = (each for each in reports(logging.INFO) if each["label"] == ("supervisor", "progress"))
    assert first == {
        "label": ("supervisor", "progress"),
        "supervisor": (Atom("local"), Atom("tree")),
        "started": child,
    }
    assert second["started"] == child | {"pid": second["started"]["pid"]}
    assert reports()[-1] == {
        "label": ("supervisor", "child_terminated"),
        "supervisor": (Atom("local"), Atom("tree")),
        "errorContext": Atom("child_terminated"),
        "reason": BAD,
        "offender": child,
    }


async def test_children_started_on_request_are_told_at_debug_level(
    reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "otp_behaviors")
    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            tree = await runtime.start(Supervisor(Child(Worker, id="first")))
            await start_child(runtime, tree, Child(Worker, id="second"))
            await runtime.call(tree, (Atom("terminate_child"), "first"))
            await runtime.call(tree, (Atom("restart_child"), "first"))
    progress = [
        (record.levelno, vars(record)["otp_report"]["started"]["id"])
        for record in caplog.records
        if vars(record)["otp_report"]["label"] == ("supervisor", "progress")
    ]
    assert progress == [(logging.INFO, "first"), (logging.DEBUG, "second"), (logging.DEBUG, "first")]


async def test_reports_have_the_label_of_a_process(reports: Reports) -> None:
    class Labelled(Worker):
        def init(self) -> None:
            super().init()
            self.label = "till 7"

    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            for server in (Labelled, Worker):
                watch = (worker := await runtime.start(server)).monitor()
                await worker.send(BAD)
                await watch
    assert [report["process_label"] for report in reports()] == ["till 7"] * 2 + [Atom("undefined")] * 2


async def test_children_of_a_template_are_reported_together(reports: Reports) -> None:
    class Rude(GenServer):
        def init(self) -> None:
            self.trap_exit = True

        def terminate(self, reason: Any) -> None:
            raise Stop(BAD)

    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            tree = await runtime.start(Supervisor(Rude, strategy="simple_one_for_one"))
            for _ in range(3):
                await start_child(runtime, tree, [])
            await runtime.stop(tree)
    assert reports(logging.INFO) == reports()  # No progress of such children, as in OTP.
    (report,) = (each for each in reports() if each["label"] == ("supervisor", "shutdown_error"))
    assert report["supervisor"] == (tree.pid, Atom("supervisor"))
    assert list(report["offender"].items())[:2] == [("nb_children", 3), ("id", Atom("Rude"))]


async def test_applications_tell_of_start_and_end(reports: Reports) -> None:
    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            await runtime.start_application(Application("shop", Supervisor()))
            await runtime.stop_application("shop")
            await runtime.start_application(Application("shop", Supervisor()), "transient")
    started = {
        "label": ("application_controller", "progress"),
        "application": Atom("shop"),
        "started_at": Atom("nonode@nohost"),
    }
    exited = {
        "label": ("application_controller", "exit"),
        "application": Atom("shop"),
        "exited": Atom("stopped"),
        "type": Atom("temporary"),
    }
    assert reports(logging.INFO) == [started, exited, started, exited | {"type": Atom("transient")}]


def test_values_of_a_report_are_bounded() -> None:
    deep: Any = []
    for _ in range(1000):
        deep = [deep]
    assert repr(bounded(deep)) == "[" * 8 + repr(MORE) + "]" * 8
    assert bounded(list(range(10**6))) == [*range(MAX_ITEMS), MORE]
    assert bounded("x" * 10**6) == "x" * MAX_CHARS
    assert bounded({(1, 2): {1}, Atom("a"): b"b"}) == {"(1, 2)": [1], Atom("a"): b"b"}
    itself: list[Any] = []
    itself.append(itself)
    assert str(bounded(itself)).count("[") == 8


def test_what_raises_is_shown_all_the_same() -> None:
    class Broken(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError

        __repr__ = items

    assert "Broken" in bounded([Broken()])
