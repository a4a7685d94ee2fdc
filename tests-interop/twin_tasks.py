"""Scenarios of tasks, and who plays them with ours; `twin_tasks.ex` plays them with Elixir's."""

import random
from collections.abc import Iterator
from itertools import product
from typing import Any, Final

from etf_codec import Atom, Pid, Reference
from otp_behaviors import CallTimeout, Down, Exit, ExitError, Process, ServerRef, Task, TaskSupervisor

Step = Any
Steps = list[Step]
Functions = tuple[Any, Any]
"""What a task does that takes orders, and one for an item of a stream."""

READY, GO, NONE, KILL_TASK, MAX = map(Atom, ("ready", "go", "none", "kill_task", "max_children"))
LIMIT: Final = 4
"""Tasks at once for each supervisor."""
SOON: Final = 2
"""Milliseconds for what is there already, or does not come."""


def supervisor() -> TaskSupervisor:
    return TaskSupervisor(max_children=LIMIT)


async def body(process: Process, how: Any = None) -> Any:
    """Follows orders."""
    while True:
        match await process.receive(is_order):
            case (Atom("order"), (Atom("return"), value), _):
                return value
            case (Atom("order"), (Atom("exit"), reason), _):
                raise ExitError(reason)
            case (Atom("order"), Atom("raise"), _):
                raise RuntimeError("boom")
            case (Atom("order"), (Atom("trap"), how), sender):
                process.trap_exit = True
                process.send(sender, (READY, process.pid))
            case Exit() if how == Atom("obey"):
                return Atom("obeyed")


def is_order(message: Any) -> bool:
    return type(message) is Exit or (type(message) is tuple and message[0] == Atom("order"))


async def item(process: Process, wanted: Any, conductor: Pid) -> Any:
    """Waits for its turn."""
    n, action = wanted
    process.send(conductor, (READY, process.pid, n))
    await process.receive(lambda message: message == GO)
    match action:
        case (Atom("exit"), reason):
            raise ExitError(reason)
        case Atom("raise"):
            raise RuntimeError("boom")
    return n


async def conduct(process: Process, order: list[int]) -> None:
    """Lets items go on, one after the other."""
    for n in order:
        pid = await ready(process, n)
        ref = process.monitor(pid)
        process.send(pid, GO)
        await ended(process, ref)
    await process.receive(lambda message: False)


async def ready(process: Process, n: int) -> Pid:
    message: Any = await process.receive(lambda m: type(m) is tuple and m[0] == READY and m[2] == n)
    pid: Pid = message[1]
    return pid


async def ended(process: Process, ref: Reference) -> None:
    await process.receive(lambda m: type(m) is Down and m.ref == ref)


class Player:
    """Plays one scenario in a process of ours."""

    def __init__(self, process: Process, supervisor: ServerRef, functions: Functions) -> None:
        self.process = process
        self.supervisor = supervisor
        self.functions = functions
        self.tasks: dict[Atom, Task] = {}
        self.started: list[Pid] = []

    async def play(self, steps: Steps, events: list[Any]) -> None:
        for step in steps:
            try:
                result = await self.do(*step) if type(step) is tuple else await self.mailbox()
            except ExitError as error:
                result = (Atom("exits"), plain(error.reason))
            await self.sync()
            events.append(result)

    async def sync(self) -> None:
        """What other processes sent before they said they are done has come."""
        await self.process.call(self.supervisor, Atom("which_children"))

    async def do(self, verb: Atom, *args: Any) -> Any:
        """Do a step; returns what comes of it."""
        process, tasks = self.process, self.tasks
        match str(verb), args:
            case "start", (id, kind):
                tasks[id] = await self.start(str(kind))
                self.started.append(tasks[id].pid)
                return Atom("started")
            case "tell", (id, order):
                pid = tasks[id].pid
                ref = process.monitor(pid)
                process.send(pid, (Atom("order"), order, process.pid))
                await process.receive(lambda m: m == (READY, pid) or (type(m) is Down and m.ref == ref))
                process.demonitor(ref, flush=True)
                return Atom("told")
            case "await", (id, time):
                return (Atom("value"), await tasks[id].result(time / 1000))
            case "yield", (id, time):
                return answer(await tasks[id].poll(time / 1000))
            case "ignore", (id,):
                return answer(await tasks[id].ignore())
            case "shutdown", (id, how):
                return answer(await tasks[id].shutdown(how / 1000 if isinstance(how, int) else "brutal_kill"))
            case "await_many", (ids, time):
                return await Task.results([tasks[id] for id in ids], time / 1000)
            case "yield_many", (ids, time):
                return [answer(one) for one in await Task.poll_many([tasks[id] for id in ids], time / 1000)]
            case "alive", (ids,):
                return [await self.alive(tasks[id].pid) for id in ids]
            case "stream", (kind, items, order, options, take):
                return await self.stream(str(kind), items, order, dict(options), take)
        raise ValueError(verb)

    async def start(self, kind: str) -> Task:
        function = self.functions[0]
        if kind == "own":
            return self.process.task(function)
        return await self.process.supervised_task(self.supervisor, function, link=kind == "link")

    async def alive(self, pid: Pid) -> bool:
        ref = self.process.monitor(pid)
        await self.sync()
        try:
            await self.process.receive(lambda m: type(m) is Down and m.ref == ref, 0)
        except TimeoutError:
            self.process.demonitor(ref, flush=True)
            return True
        return False

    async def stream(
        self, kind: str, items: list[Any], order: list[int], options: Any, take: Any
    ) -> list[Any]:
        conductor = self.process.spawn(conduct, order)
        stream = self.process.task_stream(
            self.functions[1],
            items,
            conductor,
            supervisor=None if kind == "own" else self.supervisor,
            link=kind != "nolink",
            max_concurrency=options[Atom("max_concurrency")],
            ordered=options[Atom("ordered")],
            timeout=options[Atom("timeout")] / 1000,
            on_timeout="kill_task" if options[Atom("on_timeout")] == KILL_TASK else "exit",
        )
        results: list[Any] = []
        try:
            async with stream as responses:
                async for response in responses:
                    results.append(answer(response))
                    if len(results) == take:
                        break
        finally:
            self.process.exit(conductor, Atom("kill"))
        return results

    async def mailbox(self) -> list[Any]:
        """All messages that are there, which it takes."""
        messages = []
        while True:
            try:
                messages.append(self.named(await self.process.receive(timeout=0)))
            except TimeoutError:
                return messages

    def named(self, message: Any) -> Any:
        refs = {task.ref: id for id, task in self.tasks.items()}
        pids = {task.pid: id for id, task in self.tasks.items()}
        unknown = Atom("unknown")
        match message:
            case Down(ref, _, reason):
                return (Atom("down"), refs.get(ref, unknown), plain(reason))
            case Exit(pid, reason):
                return (Atom("exited"), pids.get(pid, unknown), plain(reason))
            case (Reference() as ref, value):
                return (Atom("value"), refs.get(ref, unknown), value)
        return message


def answer(response: Any) -> Any:
    """A response as Elixir has it."""
    if response is None:
        return NONE
    if response.error is None:
        return (Atom("ok"), response.reply)
    if isinstance(response.error, CallTimeout):
        return (Atom("exit"), Atom("timeout"))
    return (Atom("exit"), plain(response.error.reason))


def plain(reason: Any) -> Any:
    """A reason as both sides have it."""
    match reason:
        case (dict() as error, list()) if error.get(Atom("__struct__")) == Atom("Elixir.RuntimeError"):
            return (Atom("raised"), error[Atom("message")])
        case ((Atom("RuntimeError"), text), list()):
            return (Atom("raised"), text)
    return reason


# Scenarios

T, U, V = map(Atom, ("t", "u", "v"))


def step(verb: str, *args: Any) -> Step:
    return (Atom(verb), *(Atom(arg) if isinstance(arg, str) else arg for arg in args))


def told(id: Atom, *order: Any) -> Step:
    """Have a task do something."""
    words = tuple(Atom(word) if isinstance(word, str) else word for word in order)
    return step("tell", id, words if len(words) > 1 else words[0])


MAILBOX: Final = Atom("mailbox")
ENDS: Final[tuple[Any, ...]] = (
    ("return", 7),
    ("raise",),
    *(("exit", Atom(reason)) for reason in ("boom", "normal", "shutdown", "killed", "noproc", "timeout")),
    ("exit", (Atom("shutdown"), 1)),
)
TAKES: Final[tuple[Steps, ...]] = (
    [step("await", T, SOON), step("await", T, SOON)],
    [step("yield", T, SOON), step("yield", T, SOON)],
    [step("ignore", T), step("yield", T, SOON)],
    [step("shutdown", T, 2000), step("shutdown", T, 2000)],
    [step("shutdown", T, "brutal_kill"), step("yield", T, SOON)],
    [step("shutdown", T, SOON), step("await", T, SOON)],
    [step("await_many", [T], SOON), step("await_many", [T], SOON)],
    [step("yield_many", [T], SOON), step("yield_many", [T], SOON)],
    [step("yield", T, 0), step("await_many", [], 0), step("yield_many", [], 0)],
)


def one(kinds: tuple[str, ...]) -> Iterator[Steps]:
    """One task, which ends before its result is asked for, or after, or never; it may trap exits."""
    for kind, take in product(kinds, TAKES):
        begun = [step("start", T, kind)]
        for how in (None, "obey", "resist"):
            if step("shutdown", T, SOON if how == "obey" else 2000) in take and how:
                continue  # It would not have the time to obey, or have much.
            trapping = [told(T, "trap", how)] if how else []
            yield [*begun, *trapping, *take, step("alive", [T]), MAILBOX]
            if how != "resist":
                yield [*begun, *trapping, *take, *late(take), *take, MAILBOX]
        for end in ENDS:
            yield [*begun, told(T, *end), *take, step("alive", [T]), MAILBOX]


def late(take: Steps) -> Steps:
    """A result after it was asked for, if the task has not been ended."""
    return [] if any(each[0] == Atom("shutdown") for each in take) else [told(T, "return", 1)]


def many(kinds: tuple[str, ...]) -> Iterator[Steps]:
    """Several tasks of which some end."""
    for kind, end in product(kinds, ENDS):
        begun = [step("start", each, kind) for each in (T, U, V)]
        for ask in ("await_many", "yield_many"):
            asked = step(ask, [T, U, V], SOON)
            yield [*begun, told(U, *end), asked, step("alive", [T, U, V]), MAILBOX]
            rest = [told(T, "return", 1), told(V, "return", 3)]
            yield [*begun, told(U, *end), asked, *rest, asked, MAILBOX]
            yield [*begun, told(U, *end), *rest, asked, step("alive", [T, U, V]), MAILBOX]
    for kind in kinds[1:]:
        ids = [Atom(f"t{n}") for n in range(LIMIT + 1)]
        begun = [step("start", each, kind) for each in ids]
        yield [*begun, told(ids[0], "return", 0), step("start", ids[-1], kind), MAILBOX]


def streams(kinds: tuple[str, ...]) -> Iterator[Steps]:
    """Streams whose items end in some order."""
    back = [Atom("return")]
    fails: list[Any] = [(Atom("exit"), Atom("boom")), (Atom("exit"), Atom("normal")), Atom("raise")]

    def stream(
        kind: str,
        actions: Any,
        order: Any,
        at_once: int = 3,
        ordered: bool = True,
        time: int = 5000,
        **more: Any,
    ) -> Steps:
        options = {
            "max_concurrency": at_once,
            "ordered": ordered,
            "timeout": time,
            "on_timeout": Atom(more.get("on_timeout", "exit")),
        }
        listed = [(Atom(name), value) for name, value in options.items()]
        items = list(enumerate(actions))
        return [step("stream", kind, items, order, listed, more.get("take", "all")), MAILBOX]

    for kind, ordered in product(kinds, (True, False)):
        yield stream(kind, [], [], ordered=ordered)
        for order in ([0, 1, 2, 3], [2, 1, 0, 3], [1, 0, 3, 2]):
            yield stream(kind, back * 4, order, ordered=ordered)
            yield stream(kind, back * 4, order, ordered=ordered, take=2)
        yield stream(kind, back * 4, [0, 1, 2, 3], at_once=1, ordered=ordered)
        for fail in fails:
            yield stream(kind, [*back, fail, *back], [0, 1, 2], ordered=ordered)
            yield stream(kind, [fail, *back, *back], [2, 0, 1], ordered=ordered, at_once=3)
        for end in ("exit", "kill_task"):
            yield stream(kind, back * 3, [0, 2], ordered=ordered, time=300, on_timeout=end)
    for kind in kinds[1:]:
        yield stream(kind, back * 6, [0], at_once=LIMIT + 1, ordered=True)


def overtaking(kinds: tuple[str, ...]) -> Iterator[Steps]:
    """Later items need not wait to start until an earlier result has been taken."""
    for kind in kinds:
        items = [(n, Atom("return")) for n in range(4)]
        options = [("max_concurrency", 2), ("ordered", True), ("timeout", 1000), ("on_timeout", Atom("exit"))]
        listed = [(Atom(name), value) for name, value in options]
        yield [step("stream", kind, items, [1, 2, 3, 0], listed, "all"), MAILBOX]


def walks(kinds: tuple[str, ...], count: int, seed: int) -> Iterator[Steps]:
    """Long random scenarios of three tasks."""
    chance = random.Random(seed)
    for _ in range(count):
        steps: Steps = [step("start", each, chance.choice(kinds)) for each in (T, U, V)]
        for _ in range(chance.randrange(4, 12)):
            id = chance.choice((T, U, V))
            take = chance.choice(chance.choice(TAKES))
            both = chance.sample((T, U, V), 2)
            steps.append(
                chance.choice(
                    (
                        tuple(id if word == T else word for word in take),
                        told(id, *chance.choice(ENDS)),
                        told(id, "return", chance.randrange(9)),
                        step(chance.choice(("await_many", "yield_many")), both, SOON),
                        step("alive", [T, U, V]),
                        step("start", id, chance.choice(kinds)) if chance.random() < 0.3 else MAILBOX,
                    )
                )
            )
        yield [*steps, MAILBOX]
