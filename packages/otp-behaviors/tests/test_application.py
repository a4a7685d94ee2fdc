"""Applications on both event loops: dependencies, environment, what an end means."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from etf_codec import Atom, Pid
from otp_behaviors import (
    KILL,
    KILLED,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    Application,
    Child,
    ExitError,
    GenServer,
    Ignore,
    LocalRuntime,
    NoProcess,
    Stop,
    Supervisor,
)
from otp_behaviors._application import start_order, which

pytestmark = pytest.mark.anyio

BOOM = Atom("boom")
Journal = list[tuple[str, str]]


class Worker(GenServer):
    def init(self, journal: Journal, tag: str, refusal: Exception | None = None) -> None:
        if refusal is not None:
            raise refusal
        self.journal, self.tag = journal, tag
        self.trap_exit = True
        journal.append(("start", tag))

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.env.get(request)

    def handle_cast(self, request: Any) -> None:
        raise Stop(request)

    def terminate(self, reason: Any) -> None:
        self.journal.append(("stop", self.tag))


@pytest.fixture
async def runtime() -> AsyncIterator[LocalRuntime]:
    with anyio.fail_after(10):
        async with LocalRuntime(shutdown=1) as runtime:
            yield runtime


@pytest.fixture
def journal() -> Journal:
    return []


def app(journal: Journal, name: str, *depends: Application, **options: Any) -> Application:
    """One worker, registered under the application's name; its end is the application's, with its reason."""
    tree = Supervisor(Child(Worker, journal, name, name=name), intensity=0)
    return Application(name, tree, depends=depends, **options)


class Single:
    """A tree of one server without a supervisor, so its exit reason is the application's."""

    def __init__(self, journal: Journal, name: str, server: type[Worker] = Worker) -> None:
        self.name = name
        self._server = server
        self._arguments = (journal, name)

    def __process__(self, kernel: Any, args: Any) -> Any:
        return self._server.__process__(kernel, self._arguments)


def single(journal: Journal, name: str = "one") -> Application:
    return Application(name, Single(journal, name))


def pid_of(runtime: LocalRuntime, name: str) -> Pid:
    pid = runtime.whereis(name)
    assert pid is not None
    return pid


def names(applications: list[Application]) -> list[str]:
    return [application.name for application in applications]


def start_of(name: str) -> Any:
    """What did not start, as OTP says it."""
    return (Atom(name), Atom("start"), [NORMAL, []])


def test_dependencies_come_first_and_once() -> None:
    base = Application("base", Supervisor())
    left, right = (Application(name, Supervisor(), depends=[base]) for name in ("left", "right"))
    top = Application("top", Supervisor(), depends=(left, right, base))
    assert names(start_order(top)) == ["base", "left", "right", "top"]
    assert names(start_order(base)) == ["base"]
    assert repr(top) == "Application('top')"


def test_a_circle_names_its_way() -> None:
    first = Application("first", Supervisor())
    second = Application("second", Supervisor(), depends=[first])
    first.depends = (second,)
    with pytest.raises(ValueError, match="in a circle: second -> first -> second"):
        start_order(Application("top", Supervisor(), depends=[second]))


def test_which_gives_the_shape_of_otp() -> None:
    application = Application("shop", Supervisor(), description="sells", version="1.2")
    assert which([application]) == [(Atom("shop"), list(b"sells"), list(b"1.2"))]


async def test_a_circle_starts_nothing(runtime: LocalRuntime, journal: Journal) -> None:
    first = app(journal, "first")
    first.depends = (app(journal, "second", first),)
    with pytest.raises(ValueError, match="circle"):
        await runtime.start_application(first)
    assert journal == []


async def test_start_order_and_stop_order(journal: Journal) -> None:
    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            base = app(journal, "base")
            left, right = app(journal, "left", base), app(journal, "right", base)
            top = app(journal, "top", left, right)
            await runtime.start_application(base)
            await runtime.start_application(top)
            await runtime.start_application(top)
            assert names(runtime.which_applications()) == ["top", "right", "left", "base"]
    order = ["base", "left", "right", "top"]
    assert journal == [("start", name) for name in order] + [("stop", name) for name in reversed(order)]


async def test_stop_application_takes_nothing_else_down(runtime: LocalRuntime, journal: Journal) -> None:
    base = app(journal, "base")
    await runtime.start_application(app(journal, "top", base), "permanent")
    master = runtime.kernel.table.by_pid[pid_of(runtime, "base")].parent
    assert master is not None
    await runtime.stop_application("base")
    assert names(runtime.which_applications()) == ["top"]
    assert runtime.whereis("base") is None
    assert runtime.whereis("top") is not None
    await runtime.stop_application("top")
    assert journal[2:] == [("stop", "base"), ("stop", "top")]
    with pytest.raises(NoProcess, match="'top' is not running") as caught:
        await runtime.stop_application("top")
    assert caught.value.reason == NOPROC
    await runtime.start_application(base)
    assert journal[-1] == ("start", "base")


async def test_the_environment_is_inherited_and_overridden(runtime: LocalRuntime, journal: Journal) -> None:
    runtime.env.update(colour="red", size=1, shape="round")
    inner = Supervisor(Child(Worker, journal, "deep", name="deep"))
    given = {"colour": "blue", "taste": "sweet"}
    await runtime.start_application(Application("shop", Supervisor(Child(inner)), env=given))
    given["taste"] = "bitter"
    found = [await runtime.call("deep", key) for key in ("colour", "size", "taste", "none")]
    assert found == ["blue", 1, "sweet", None]
    outside = await runtime.start(Worker, journal, "outside")
    assert [await outside.call(key) for key in ("colour", "taste")] == ["red", None]


async def test_an_own_value_stays_with_its_process(runtime: LocalRuntime, journal: Journal) -> None:
    class Changing(Worker):
        def handle_cast(self, request: Any) -> None:
            self.env["colour"] = request

    children = [Child(Changing, journal, name, name=name) for name in "ab"]
    await runtime.start_application(Application("shop", Supervisor(*children), env={"colour": "blue"}))
    await runtime.cast("a", "green")
    assert [await runtime.call(name, "colour") for name in "ab"] == ["green", "blue"]


async def test_every_process_has_the_master_as_group_leader(runtime: LocalRuntime, journal: Journal) -> None:
    await runtime.start_application(app(journal, "shop"))
    table = runtime.kernel.table.by_pid
    worker = table[pid_of(runtime, "shop")]
    supervisor = table[worker.parent] if worker.parent is not None else worker
    assert worker.group_leader == supervisor.group_leader == supervisor.parent
    assert worker.group_leader not in (None, worker.pid)


# What an end means; see `application:start/2`.

ENDS = [
    ("temporary", NORMAL, False),
    ("temporary", SHUTDOWN, False),
    ("temporary", BOOM, False),
    ("transient", NORMAL, False),
    ("transient", SHUTDOWN, True),
    ("transient", BOOM, True),
    ("permanent", NORMAL, True),
    ("permanent", SHUTDOWN, True),
    ("permanent", BOOM, True),
]


@pytest.mark.parametrize(("type", "reason", "fatal"), ENDS)
async def test_the_end_of_an_application(journal: Journal, type: Any, reason: Any, fatal: bool) -> None:
    async def live() -> None:
        async with LocalRuntime() as runtime:
            await runtime.start_application(single(journal), type)
            await runtime.start_application(single(journal, "other"))
            await runtime.cast("one", reason)
            while runtime.which_applications() and names(runtime.which_applications())[-1] == "one":
                await anyio.lowlevel.checkpoint()
            if fatal:
                await anyio.sleep_forever()
            assert names(runtime.which_applications()) == ["other"]

    with anyio.fail_after(10):
        if not fatal:
            await live()
        else:
            with pytest.raises(ExitError, match=f"{type} application one ended") as caught:
                await live()
            assert caught.value.reason == (Atom("application_terminated"), reason)
    assert journal == [("start", "one"), ("start", "other"), ("stop", "one"), ("stop", "other")]


async def test_a_dependency_is_temporary(runtime: LocalRuntime, journal: Journal) -> None:
    base = single(journal, "base")
    await runtime.start_application(app(journal, "top", base), "permanent")
    await runtime.cast("base", BOOM)
    while len(runtime.which_applications()) > 1:
        await anyio.lowlevel.checkpoint()
    assert names(runtime.which_applications()) == ["top"]


async def test_a_type_that_otp_does_not_know(runtime: LocalRuntime, journal: Journal) -> None:
    wrong: Any = "always"
    with pytest.raises(ValueError, match=r"starts as one of .*, not 'always'"):
        await runtime.start_application(app(journal, "shop"), wrong)
    assert journal == []


@pytest.mark.parametrize(
    ("refusal", "why"), [(Stop(BOOM), BOOM), (ExitError(BOOM), BOOM), (Stop((SHUTDOWN, 1)), (SHUTDOWN, 1))]
)
async def test_a_tree_that_does_not_start(
    runtime: LocalRuntime, journal: Journal, refusal: Exception, why: Any
) -> None:
    good, bad = Child(Worker, journal, "good"), Child(Worker, journal, "bad", refusal, id="bad")
    needed = app(journal, "needed")
    application = Application("shop", Supervisor(good, bad), depends=[needed])
    with pytest.raises(ExitError, match="application shop did not start") as caught:
        await runtime.start_application(application, "permanent")
    failed = (SHUTDOWN, (Atom("failed_to_start_child"), "bad", why))
    assert caught.value.reason == (failed, start_of("shop"))
    assert journal == [("start", "needed"), ("start", "good"), ("stop", "good")]
    assert names(runtime.which_applications()) == ["needed"]


async def test_a_tree_whose_name_is_taken_is_a_bad_start(runtime: LocalRuntime, journal: Journal) -> None:
    holder = await runtime.start(Worker, journal, "holder", name="one")
    with pytest.raises(ExitError, match="application one did not start") as caught:
        await runtime.start_application(single(journal))
    assert caught.value.reason == ((Atom("already_started"), holder.pid), start_of("one"))
    assert journal == [("start", "holder")]


async def test_a_process_may_have_the_name_of_its_application(
    runtime: LocalRuntime, journal: Journal
) -> None:
    await runtime.start_application(Application("shop", Supervisor(name="shop")))
    tree = runtime.kernel.table.by_pid[pid_of(runtime, "shop")]
    assert tree.initial_call == ("supervisor", "supervisor", 1)


async def test_a_tree_that_asks_to_be_ignored_is_a_bad_start(runtime: LocalRuntime) -> None:
    class Unwilling(GenServer):
        def init(self) -> None:
            raise Ignore

    with pytest.raises(ExitError) as caught:
        await runtime.start_application(Application("shop", Unwilling))
    assert caught.value.reason == (Atom("bad_return"), (start_of("shop"), Atom("ignore")))
    assert runtime.which_applications() == []


async def test_a_dependency_that_does_not_start_keeps_the_rest_from_starting(
    runtime: LocalRuntime, journal: Journal
) -> None:
    bad = Application("bad", Supervisor(Child(Worker, journal, "x", Stop(BOOM))))
    with pytest.raises(ExitError, match="application bad did not start"):
        await runtime.start_application(app(journal, "top", bad))
    assert journal == []


async def test_a_killed_master_takes_the_tree_along(runtime: LocalRuntime, journal: Journal) -> None:
    await runtime.start_application(app(journal, "shop"))
    worker = pid_of(runtime, "shop")
    master = runtime.kernel.table.by_pid[worker].group_leader
    assert isinstance(master, Pid)
    watch = runtime.monitor(worker)
    runtime.exit(master, KILL)
    assert (await runtime.monitor(master)).reason in (KILLED, NOPROC)
    assert (await watch).reason == SHUTDOWN
    assert runtime.whereis("shop") is None


# run()


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, (SHUTDOWN, 1)])
async def test_run_returns_after_a_clean_end(runtime: LocalRuntime, journal: Journal, reason: Any) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runtime.run, single(journal))
        while runtime.whereis("one") is None:
            await anyio.lowlevel.checkpoint()
        await runtime.cast("one", reason)
    assert journal == [("start", "one"), ("stop", "one")]


async def test_run_raises_after_a_crash(runtime: LocalRuntime, journal: Journal) -> None:
    async def crash() -> None:
        while runtime.whereis("one") is None:
            await anyio.lowlevel.checkpoint()
        await runtime.cast("one", BOOM)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(crash)
        with pytest.raises(ExitError, match="application one ended") as caught:
            await runtime.run(single(journal))
    assert caught.value.reason == BOOM


class Brief(Worker):
    def init(self, journal: Journal, tag: str, refusal: Exception | None = None) -> None:
        super().init(journal, tag)
        self.cast(self.pid, Atom(tag))


@pytest.mark.parametrize("reason", [NORMAL, BOOM])
async def test_run_knows_the_end_of_one_that_ends_at_once(
    runtime: LocalRuntime, journal: Journal, reason: Atom
) -> None:
    application = Application("brief", Single(journal, str(reason), Brief))
    if reason == NORMAL:
        await runtime.run(application)
    else:
        with pytest.raises(ExitError, match="application brief ended") as caught:
            await runtime.run(application)
        assert caught.value.reason == reason
    assert journal == [("start", str(reason)), ("stop", str(reason))]


async def test_run_raises_if_the_start_fails(runtime: LocalRuntime, journal: Journal) -> None:
    with pytest.raises(ExitError, match="application shop did not start"):
        await runtime.run(Application("shop", Supervisor(Child(Worker, journal, "x", Stop(BOOM)))))


async def test_two_starts_at_once_start_it_once(runtime: LocalRuntime, journal: Journal) -> None:
    shop = app(journal, "shop", app(journal, "db"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runtime.start_application, shop)
        tasks.start_soon(runtime.start_application, shop)
    assert journal == [("start", "db"), ("start", "shop")]
