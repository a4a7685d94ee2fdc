"""Supervisors at work on both event loops: order, restarts, shutdown, management."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from etf_codec import Atom, Pid
from otp_behaviors import (
    KILL,
    KILLED,
    NORMAL,
    SHUTDOWN,
    Child,
    ExitError,
    GenServer,
    Ignore,
    LocalRuntime,
    ServerHandle,
    Stop,
    Supervisor,
    start_child,
)

pytestmark = pytest.mark.anyio

BOOM = Atom("boom")
OK, ERROR, UNDEFINED, NOT_FOUND, RUNNING = map(Atom, ("ok", "error", "undefined", "not_found", "running"))


class Journal(list[tuple[Any, ...]]):
    """What happened to workers since it was last taken, and which starts are to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals: dict[str, list[Exception]] = {}

    def take(self) -> list[tuple[Any, ...]]:
        events = list(self)
        self.clear()
        return events


class Worker(GenServer):
    def init(self, journal: Journal, tag: str, *more: Any) -> None:
        journal.append(("start", tag, *more))
        refusals = journal.refusals.get(tag)
        if refusals:
            raise refusals.pop(0)
        self.journal, self.tag = journal, tag
        self.trap_exit = True  # so `terminate` runs when the supervisor stops it

    def handle_cast(self, request: Any) -> None:
        raise Stop(request)

    def terminate(self, reason: Any) -> Any:
        self.journal.append(("stop", self.tag, reason))


class Slow(Worker):
    async def terminate(self, reason: Any) -> None:
        super().terminate(reason)
        await self.receive(lambda message: message == "go")


@pytest.fixture
async def runtime() -> AsyncIterator[LocalRuntime]:
    with anyio.fail_after(10):
        async with LocalRuntime(shutdown=1) as runtime:
            yield runtime


@pytest.fixture
def journal() -> Journal:
    return Journal()


def workers(journal: Journal, tags: str = "abc", **options: dict[str, Any]) -> list[Child]:
    return [Child(Worker, journal, tag, id=tag, **options.get(tag, {})) for tag in tags]


async def pids(supervisor: ServerHandle) -> dict[Any, Any]:
    return {row[0]: row[1] for row in await supervisor.call(Atom("which_children"))}


async def end(runtime: LocalRuntime, pid: Pid, reason: Any) -> None:
    """End a child; its supervisor has the exit message, so it acts on it before it answers a later call."""
    watch = runtime.monitor(pid)
    if reason == KILL:
        runtime.exit(pid, KILL)
    else:
        await runtime.cast(pid, reason)
    await watch


def started(tags: str) -> list[tuple[Any, ...]]:
    return [("start", tag) for tag in tags]


def stopped(tags: str) -> list[tuple[Any, ...]]:
    return [("stop", tag, SHUTDOWN) for tag in tags]


async def test_children_start_in_order_and_stop_in_reverse(runtime: LocalRuntime, journal: Journal) -> None:
    supervisor = await runtime.start(Supervisor(*workers(journal)))
    assert journal.take() == started("abc")
    await supervisor.stop(SHUTDOWN)
    assert journal.take() == stopped("cba")


async def test_leaving_the_runtime_stops_children_in_reverse(journal: Journal) -> None:
    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            await runtime.start(Supervisor(*workers(journal)))
    assert journal.take() == started("abc") + stopped("cba")


@pytest.mark.parametrize(
    ("strategy", "stop", "start"),
    [("one_for_one", "", "b"), ("rest_for_one", "c", "bc"), ("one_for_all", "ca", "abc")],
)
@pytest.mark.parametrize("reason", [BOOM, NORMAL, KILL])
async def test_strategy(
    runtime: LocalRuntime, journal: Journal, strategy: Any, stop: str, start: str, reason: Any
) -> None:
    supervisor = await runtime.start(Supervisor(*workers(journal), strategy=strategy))
    before = await pids(supervisor)
    journal.clear()
    await end(runtime, before["b"], reason)
    after = await pids(supervisor)
    own = [] if reason == KILL else [("stop", "b", reason)]
    assert journal.take() == own + stopped(stop) + started(start)
    assert {id for id in before if before[id] != after[id]} == set(start)
    assert list(after) == ["c", "b", "a"]


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, (SHUTDOWN, 1), BOOM, KILL])
async def test_restart_types(runtime: LocalRuntime, journal: Journal, reason: Any) -> None:
    options: dict[str, Any] = {"b": {"restart": "transient"}, "c": {"restart": "temporary"}}
    supervisor = await runtime.start(Supervisor(*workers(journal, **options), intensity=3))
    before = await pids(supervisor)
    for pid in before.values():
        await end(runtime, pid, reason)
    after = await pids(supervisor)
    assert list(after) == ["b", "a"]
    assert isinstance(after["a"], Pid)
    assert after["a"] != before["a"]
    assert isinstance(after["b"], Pid) == (reason in (BOOM, KILL))
    assert isinstance(after["b"], Pid) or after["b"] == UNDEFINED


@pytest.mark.parametrize("intensity", [0, 1, 3])
async def test_too_many_restarts_end_the_supervisor(
    runtime: LocalRuntime, journal: Journal, intensity: int
) -> None:
    supervisor = await runtime.start(Supervisor(*workers(journal), intensity=intensity, period=1000))
    watch = supervisor.monitor()
    for _ in range(intensity):
        await end(runtime, (await pids(supervisor))["b"], BOOM)
    last = (await pids(supervisor))["b"]
    journal.clear()
    await end(runtime, last, BOOM)
    assert (await watch).reason == SHUTDOWN
    assert journal.take() == [("stop", "b", BOOM), *stopped("ca")]


async def test_a_child_that_does_not_start_stops_the_earlier(runtime: LocalRuntime, journal: Journal) -> None:
    journal.refusals["c"] = [Stop(BOOM)]
    with pytest.raises(ExitError) as caught:
        await runtime.start(Supervisor(*workers(journal, "abcd"), name="sup"))
    assert caught.value.reason == (SHUTDOWN, (Atom("failed_to_start_child"), "c", BOOM))
    assert journal.take() == started("abc") + stopped("ba")
    assert runtime.whereis("sup") is None


async def test_a_taken_name_fails_the_start(runtime: LocalRuntime, journal: Journal) -> None:
    holder = await runtime.start(Worker, journal, "x", name="taken")
    with pytest.raises(ExitError) as caught:
        await runtime.start(Supervisor(Child(Worker, journal, "y", name="taken")))
    why = (Atom("already_started"), holder.pid)
    assert caught.value.reason == (SHUTDOWN, (Atom("failed_to_start_child"), Atom("taken"), why))


async def test_a_child_that_asks_to_be_ignored(runtime: LocalRuntime, journal: Journal) -> None:
    journal.refusals |= {"a": [Ignore()], "b": [Ignore()]}
    supervisor = await runtime.start(Supervisor(*workers(journal, b={"restart": "temporary"})))
    found = await pids(supervisor)
    assert list(found) == ["c", "a"]
    assert found["a"] == UNDEFINED


async def test_a_restart_that_fails_is_tried_again(runtime: LocalRuntime, journal: Journal) -> None:
    supervisor = await runtime.start(Supervisor(*workers(journal), intensity=5))
    before = await pids(supervisor)
    journal.clear()
    journal.refusals["b"] = [Stop(BOOM), ValueError("not yet")]
    await end(runtime, before["b"], BOOM)
    while not isinstance((after := await pids(supervisor))["b"], Pid):
        assert after["b"] == Atom("restarting")
    assert after["b"] != before["b"]
    assert (after["a"], after["c"]) == (before["a"], before["c"])
    assert journal.take() == [("stop", "b", BOOM), *started("bbb")]


async def test_a_restart_that_keeps_failing_ends_the_supervisor(
    runtime: LocalRuntime, journal: Journal
) -> None:
    supervisor = await runtime.start(Supervisor(*workers(journal, "ab"), intensity=2))
    watch = supervisor.monitor()
    child = (await pids(supervisor))["b"]
    journal.clear()
    journal.refusals["b"] = [Stop(BOOM)] * 10
    await end(runtime, child, BOOM)
    assert (await watch).reason == SHUTDOWN
    assert journal.take() == [("stop", "b", BOOM), *started("bb"), *stopped("a")]


@pytest.mark.parametrize(("strategy", "again"), [("rest_for_one", "c"), ("one_for_all", "abc")])
async def test_a_sibling_that_fails_to_restart_is_what_is_tried_again(
    runtime: LocalRuntime, journal: Journal, strategy: Any, again: str
) -> None:
    supervisor = await runtime.start(Supervisor(*workers(journal), strategy=strategy, intensity=5))
    before = await pids(supervisor)
    journal.clear()
    journal.refusals["c"] = [Stop(BOOM)]
    await end(runtime, before["a"], BOOM)
    while not isinstance((await pids(supervisor))["c"], Pid):
        pass
    restopped = "" if strategy == "rest_for_one" else "ba"
    assert journal.take() == [
        ("stop", "a", BOOM),
        *stopped("cb"),
        *started("abc"),
        *stopped(restopped),
        *started(again),
    ]


# Shutdown


async def stop_one(runtime: LocalRuntime, supervisor: ServerHandle, id: str) -> Any:
    watch = runtime.monitor((await pids(supervisor))[id])
    assert await supervisor.call((Atom("terminate_child"), id)) == OK
    return (await watch).reason


async def test_brutal_kill_runs_no_terminate(runtime: LocalRuntime, journal: Journal) -> None:
    supervisor = await runtime.start(Supervisor(*workers(journal, "a", a={"shutdown": "brutal_kill"})))
    assert await stop_one(runtime, supervisor, "a") == KILLED
    assert journal.take() == started("a")


@pytest.mark.parametrize(("seconds", "terminates"), [(0, ""), (0.02, "a")])
async def test_a_child_that_takes_too_long_is_killed(
    runtime: LocalRuntime, journal: Journal, seconds: float, terminates: str
) -> None:
    child = Child(Slow, journal, "a", id="a", shutdown=seconds)
    supervisor = await runtime.start(Supervisor(child))
    assert await stop_one(runtime, supervisor, "a") == KILLED
    assert journal.take() == started("a") + stopped(terminates)


async def test_infinity_waits_until_the_child_is_done(runtime: LocalRuntime, journal: Journal) -> None:
    child = Child(Slow, journal, "a", id="a", shutdown="infinity")
    supervisor = await runtime.start(Supervisor(*workers(journal, "z"), child))
    watch, slow = supervisor.monitor(), (await pids(supervisor))["a"]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(supervisor.stop, SHUTDOWN)
        await anyio.wait_all_tasks_blocked()
        assert not watch.done
        assert journal.take() == started("za") + stopped("a")
        await runtime.send(slow, "go")
    assert journal.take() == stopped("z")


async def test_nested_supervisors_stop_depth_first(runtime: LocalRuntime, journal: Journal) -> None:
    inner = Supervisor(*workers(journal, "bc"), name="inner")
    supervisor = await runtime.start(Supervisor(*workers(journal, "a"), Child(inner), *workers(journal, "d")))
    assert runtime.whereis("inner") == (await pids(supervisor))[Atom("inner")]
    await supervisor.stop(SHUTDOWN)
    assert journal.take() == started("abcd") + stopped("dcba")


async def test_a_supervisor_that_gives_up_is_restarted_by_its_own(
    runtime: LocalRuntime, journal: Journal
) -> None:
    inner = Supervisor(*workers(journal, "bc"), intensity=0, name="inner")
    await runtime.start(outer := Supervisor(Child(inner), name="outer"))
    first = runtime.whereis("inner")
    assert first is not None
    journal.clear()
    await end(runtime, (await pids(ServerHandle(runtime, first)))["b"], BOOM)
    await runtime.monitor(first)
    await runtime.call(outer.name or "", Atom("which_children"))
    assert runtime.whereis("inner") not in (None, first)
    assert journal.take() == [("stop", "b", BOOM), *stopped("c"), *started("bc")]


# Significant children


@pytest.mark.parametrize(("auto_shutdown", "ends"), [("any_significant", "a"), ("all_significant", "ab")])
async def test_significant_children(
    runtime: LocalRuntime, journal: Journal, auto_shutdown: Any, ends: str
) -> None:
    significant = {"restart": "transient", "significant": True}
    children = workers(
        journal, a=significant, b={**significant, "restart": "temporary"}, c={"restart": "temporary"}
    )
    supervisor = await runtime.start(
        Supervisor(*children, *workers(journal, "d"), auto_shutdown=auto_shutdown)
    )
    watch = supervisor.monitor()
    before = await pids(supervisor)
    await end(runtime, before["c"], NORMAL)
    await end(runtime, before["a"], BOOM)  # it is restarted, so it has not ended
    before = await pids(supervisor)
    for id in ends:
        assert not watch.done
        journal.clear()
        await end(runtime, before[id], NORMAL)
    assert (await watch).reason == SHUTDOWN
    assert journal.take() == [("stop", ends[-1], NORMAL), *stopped("d" if "b" in ends else "db")]


async def test_terminate_child_is_no_end_of_its_own(runtime: LocalRuntime, journal: Journal) -> None:
    children = workers(journal, "a", a={"restart": "transient", "significant": True})
    supervisor = await runtime.start(Supervisor(*children, auto_shutdown="any_significant"))
    assert await stop_one(runtime, supervisor, "a") == SHUTDOWN
    assert await pids(supervisor) == {"a": UNDEFINED}


# Management


async def count(supervisor: ServerHandle) -> dict[str, int]:
    return {str(key): number for key, number in await supervisor.call(Atom("count_children"))}


async def test_which_and_count_children(runtime: LocalRuntime, journal: Journal) -> None:
    inner = Child(Supervisor(), id="s")
    one = Child(Worker, journal, "one", id=1)
    supervisor = await runtime.start(Supervisor(*workers(journal, "a"), inner, one))
    rows = await supervisor.call(Atom("which_children"))
    assert [(row[0], row[2], row[3]) for row in rows] == [
        (1, Atom("worker"), [Atom("Worker")]),
        ("s", Atom("supervisor"), [Atom("Supervisor")]),
        ("a", Atom("worker"), [Atom("Worker")]),
    ]
    assert all(isinstance(row[1], Pid) for row in rows)
    assert await count(supervisor) == {"specs": 3, "active": 3, "supervisors": 1, "workers": 2}
    await stop_one(runtime, supervisor, "a")
    assert await count(supervisor) == {"specs": 3, "active": 2, "supervisors": 1, "workers": 2}


async def test_the_life_of_a_child_added_at_run_time(runtime: LocalRuntime, journal: Journal) -> None:
    supervisor = await runtime.start(Supervisor())

    async def manage(command: str, id: str = "a") -> Any:
        return await supervisor.call((Atom(command), id))

    (spec,) = workers(journal, "a")
    pid = await start_child(runtime, supervisor.pid, spec)
    with pytest.raises(ExitError) as caught:
        await start_child(runtime, supervisor.pid, spec)
    assert caught.value.reason == (Atom("already_started"), pid)
    assert await manage("restart_child") == (ERROR, RUNNING)
    assert await manage("delete_child") == (ERROR, RUNNING)
    assert await manage("terminate_child") == OK
    assert await manage("terminate_child") == OK
    with pytest.raises(ExitError) as caught:
        await start_child(runtime, supervisor.pid, spec)
    assert caught.value.reason == Atom("already_present")
    journal.refusals["a"] = [Stop(BOOM)]
    assert await manage("restart_child") == (ERROR, BOOM)
    answer = await manage("restart_child")
    assert answer == (OK, (await pids(supervisor))["a"])
    await manage("terminate_child")
    assert await manage("delete_child") == OK
    for command in ("terminate_child", "restart_child", "delete_child"):
        assert await manage(command) == (ERROR, NOT_FOUND)
    assert await pids(supervisor) == {}


async def test_start_child_that_fails_or_is_ignored(runtime: LocalRuntime, journal: Journal) -> None:
    supervisor = await runtime.start(Supervisor())
    journal.refusals["a"] = [Stop(BOOM), Ignore()]
    (spec,) = workers(journal, "a")
    with pytest.raises(ExitError) as caught:
        await start_child(runtime, supervisor.pid, spec)
    assert caught.value.reason == BOOM
    assert await pids(supervisor) == {}
    assert await start_child(runtime, supervisor.pid, spec) is None
    assert await pids(supervisor) == {"a": UNDEFINED}


async def test_a_temporary_child_that_is_terminated_is_forgotten(
    runtime: LocalRuntime, journal: Journal
) -> None:
    supervisor = await runtime.start(Supervisor(*workers(journal, "a", a={"restart": "temporary"})))
    assert await stop_one(runtime, supervisor, "a") == SHUTDOWN
    assert await supervisor.call((Atom("restart_child"), "a")) == (ERROR, NOT_FOUND)


@pytest.mark.parametrize("request_", [Atom("what"), (Atom("what"), 1), 7, (Atom("start_child"), 7)])
async def test_a_request_it_does_not_know_is_an_error(runtime: LocalRuntime, request_: Any) -> None:
    supervisor = await runtime.start(Supervisor())
    answer = await supervisor.call(request_)
    assert answer[0] == ERROR
    assert await pids(supervisor) == {}


async def test_a_child_without_a_name_registers_none(runtime: LocalRuntime, journal: Journal) -> None:
    child = Child(Worker, journal, "a")
    supervisor = await runtime.start(Supervisor(child, Child(Worker, journal, "b", name="bee")))
    found = await pids(supervisor)
    assert list(found) == [Atom("bee"), Atom("Worker")]
    assert runtime.whereis("Worker") is None
    assert runtime.whereis("bee") == found[Atom("bee")]
    await end(runtime, found[Atom("bee")], BOOM)
    assert (await pids(supervisor))[Atom("bee")] == runtime.whereis("bee") != found[Atom("bee")]


# simple_one_for_one


async def test_simple_one_for_one(runtime: LocalRuntime, journal: Journal) -> None:
    template = Child(Worker, journal, "w", id="w", restart="transient")
    supervisor = await runtime.start(Supervisor(template, strategy="simple_one_for_one", intensity=3))
    assert journal.take() == []
    first, second, third = [await start_child(runtime, supervisor.pid, [number]) for number in range(3)]
    assert first is not None
    assert second is not None
    assert journal.take() == [("start", "w", 0), ("start", "w", 1), ("start", "w", 2)]
    rows = await supervisor.call(Atom("which_children"))
    assert [row[:2] for row in rows] == [(UNDEFINED, pid) for pid in (third, second, first)]
    assert await count(supervisor) == {"specs": 1, "active": 3, "supervisors": 0, "workers": 3}

    await end(runtime, first, NORMAL)
    assert await count(supervisor) == {"specs": 1, "active": 2, "supervisors": 0, "workers": 2}
    journal.clear()
    await end(runtime, second, BOOM)
    rows = await supervisor.call(Atom("which_children"))
    assert len(rows) == 2
    assert second not in [row[1] for row in rows]
    assert journal.take() == [("stop", "w", BOOM), ("start", "w", 1)]

    assert await supervisor.call((Atom("terminate_child"), third)) == OK
    assert await supervisor.call((Atom("terminate_child"), third)) == OK  # who has ended, as in OTP
    assert await supervisor.call((Atom("terminate_child"), supervisor.pid)) == (ERROR, NOT_FOUND)
    for command in ("terminate_child", "restart_child", "delete_child"):
        assert await supervisor.call((Atom(command), "w")) == (ERROR, Atom("simple_one_for_one"))
    assert (await count(supervisor))["active"] == 1


async def test_a_child_of_simple_one_for_one_that_fails_is_not_kept(
    runtime: LocalRuntime, journal: Journal
) -> None:
    supervisor = await runtime.start(Supervisor(*workers(journal, "w"), strategy="simple_one_for_one"))
    journal.refusals["w"] = [Stop(BOOM), Ignore()]
    with pytest.raises(ExitError) as caught:
        await start_child(runtime, supervisor.pid, [])
    assert caught.value.reason == BOOM
    assert await start_child(runtime, supervisor.pid, []) is None
    assert await supervisor.call(Atom("which_children")) == []


# The value


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"strategy": "all"}, "strategy is one of"),
        ({"auto_shutdown": "always"}, "auto_shutdown is one of"),
        ({"intensity": -1}, "intensity counts from 0 up"),
        ({"period": 0}, "period is more than 0"),
        ({"strategy": "simple_one_for_one"}, "exactly one child"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Supervisor(**options)


def test_a_class_or_a_supervisor_is_a_child_with_the_default_options() -> None:
    ids = [child.id for child in Supervisor(Worker, Supervisor(name="inner")).children]
    assert ids == [Atom("Worker"), Atom("inner")]


def test_children_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="two children have the id 'a'"):
        Supervisor(Child(Worker, id="a"), Child(Worker, id="b"), Child(Worker, id="a"))
    with pytest.raises(ValueError, match="needs auto_shutdown"):
        Supervisor(Child(Worker, restart="transient", significant=True))
