"""Scenarios of event managers, and the handlers of ours that play them; `twin_event.erl` has those of OTP."""

import random
from collections.abc import Iterator
from itertools import product
from typing import Any, Final

import anyio.lowlevel
from etf_codec import Atom
from otp_behaviors import EventHandler, ExitError, GenEvent, Ignore, Stop

Step = tuple[Any, ...]
Steps = list[Step]

HANDLER: Final = Atom("twin_event")
KEEP, REMOVE, HIBERNATE, CRASH = map(Atom, ("keep", "remove", "hibernate", "crash"))
DO: Final = Atom("do")
REASONS: Final = (Atom("normal"), Atom("shutdown"), (Atom("shutdown"), 1), Atom("boom"))
HELPERS: Final = ("helper1", "helper2")


class Plays(EventHandler):
    """What both kinds of handlers do: the same as those in Erlang."""

    module = "twin_event"

    plan: dict[Any, Any]

    def tell(self, what: Any) -> None:
        """Report to the process that plays the scenario."""
        log, name = self.plan[Atom("log")], self.plan[Atom("name")]
        self.send(log, (Atom("log"), name, what))

    def begin(self, args: Any) -> None:
        """What `init` does."""
        after = type(args) is tuple
        self.plan = args[0] if after else args
        self.tell((Atom("init"), (Atom("after_other"), args[1]) if after else Atom("alone")))
        act = self.plan[Atom("init")]
        if act == HIBERNATE:
            self.hibernate()
        elif act != KEEP:
            fail(act)

    def act(self, kind: str, message: Any) -> None:
        """What the callbacks do with a message."""
        self.tell((Atom(kind), message))
        if type(message) is not tuple or message[0] != DO:
            return
        match message[1].get(self.plan[Atom("name")], KEEP):
            case Atom("keep"):
                pass
            case Atom("hibernate"):
                self.hibernate()
            case Atom("remove"):
                self.remove_handler()
            case (Atom("mail"), mail):
                self.send(self.pid, mail)
            case (Atom("swap"), argument, other, new_argument):
                self.swap_handler(argument, other, new_argument)
            case other:
                fail(other)

    def end(self, argument: Any) -> Any:
        """What `terminate` does."""
        self.tell((Atom("terminate"), argument))
        act = self.plan[Atom("stop")]
        if act != KEEP:
            fail(act)
        return (Atom("left"), self.plan[Atom("name")])


def fail(act: Any) -> None:
    """Fail as the act says."""
    match act:
        case (Atom("exit"), reason):
            raise ExitError(reason)
        case (Atom("return"), term):
            raise Stop(term)
        case (Atom("error"), reason):
            raise Stop(reason)
        case Atom("ignore"):
            raise Ignore
        case _:
            raise RuntimeError(str(act))


class Handler(Plays):
    """A handler of plain functions."""

    def init(self, args: Any) -> None:
        self.begin(args)

    def handle_event(self, event: Any) -> None:
        self.act("event", event)

    def handle_call(self, request: Any) -> Any:
        self.act("call", request)
        return (Atom("reply"), self.plan[Atom("name")])

    def handle_info(self, message: Any) -> None:
        self.act("info", message)

    def terminate(self, argument: Any) -> Any:
        return self.end(argument)


class AsyncHandler(Plays):
    """The same with functions that wait."""

    async def init(self, args: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.begin(args)

    async def handle_event(self, event: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.act("event", event)

    async def handle_call(self, request: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        self.act("call", request)
        await anyio.lowlevel.checkpoint()
        return (Atom("reply"), self.plan[Atom("name")])

    async def handle_info(self, message: Any) -> None:
        await anyio.lowlevel.checkpoint()
        self.act("info", message)

    async def terminate(self, argument: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        return self.end(argument)


class Manager(GenEvent):
    """The manager of plain functions."""

    handlers = (Handler,)


class AsyncManager(GenEvent):
    """The manager of functions that wait."""

    handlers = (AsyncHandler,)


# Steps. Of a plan the test adds who is told.


def plan(name: str, init: Any = KEEP, stop: Any = KEEP) -> dict[Any, Any]:
    """How a handler starts and ends."""
    return {Atom("name"): Atom(name), Atom("init"): init, Atom("stop"): stop}


def do(**acts: Any) -> Any:
    """What handlers do, by their names."""
    return (DO, {Atom(name): act for name, act in acts.items()})


def ref(id: str | None) -> Any:
    """A handler with an id, or without."""
    return HANDLER if id is None else (HANDLER, Atom(id))


def swap(name: str, id: str | None = "new", **how: Any) -> Any:
    """Have another handler take the place of the one that does this."""
    return (Atom("swap"), Atom("old_argument"), ref(id), plan(name, **how))


EXITS: Final = (CRASH, *((Atom("exit"), reason) for reason in REASONS))
FAILURES: Final = (*EXITS, *((Atom("return"), reason) for reason in REASONS))
ACTS: Final[tuple[Any, ...]] = (
    *(KEEP, HIBERNATE, REMOVE, (Atom("mail"), Atom("word")), (Atom("mail"), do(a=REMOVE))),
    *FAILURES,
    *(swap("c", init=init) for init in (KEEP, CRASH, Atom("ignore"), (Atom("error"), 1))),
    (Atom("swap"), 1, Atom("no_such_handler"), plan("c")),
)
PLACES: Final = ("notify", "sync_notify", "info", "call")
STOPS: Final = (KEEP, CRASH, (Atom("exit"), Atom("late")), (Atom("return"), Atom("normal")))
THREE: Final[Steps] = [("add", None, plan("a")), ("add", "b", plan("b")), ("add_sup", "s", plan("s"), "me")]


def what(place: str, message: Any, id: str | None = None) -> Step:
    """Have handlers do something."""
    return (place, ref(id), message) if place == "call" else (place, message)


def acts() -> Iterator[Steps]:
    """Whatever a callback may do, of a handler that nobody supervises and of one that somebody does."""
    for place, act, stop in product(PLACES, ACTS, STOPS[:2]):
        for supervisor in (None, "me", "helper1"):
            first: Step = ("add", None, plan("a", stop=stop))
            if supervisor is not None:
                first = ("add_sup", None, plan("a", stop=stop), supervisor)
            again = [what(place, do(), None), ("notify", do()), ("which",)]
            yield [("add", "b", plan("b")), first, what(place, do(a=act)), *again]


def starts() -> Iterator[Steps]:
    """Whatever `init` may do."""
    refusals = (Atom("ignore"), (Atom("error"), Atom("no")), HIBERNATE)
    for init, how in product((*refusals, *EXITS), ("add", "add_sup")):
        by = ("me",) if how == "add_sup" else ()
        yield [*THREE, (how, "x", plan("x", init=init), *by), ("sync_notify", do()), ("which",)]
        yield [
            (how, "x", plan("x", init=init), "helper1") if by else ("which",),
            ("helper_exit", "helper1", Atom("boom")),
        ]
    for how in ("add", "add_sup"):
        by = ("helper1",) if how == "add_sup" else ()
        yield [
            *THREE,
            (how, "a", plan("twice"), *by),
            (how, "a", plan("again"), *by),
            ("delete", ref("a"), 1),
        ]
        yield [("no_such", how), ("which",)]


def ends() -> Iterator[Steps]:
    """Handlers that are taken out, swapped, or lose who supervises them or their manager."""
    for stop, supervisor in product(STOPS, (None, *("me", "helper1"))):
        one: Step = ("add", None, plan("a", stop=stop))
        if supervisor is not None:
            one = ("add_sup", None, plan("a", stop=stop), supervisor)
        begun: Steps = [("add", "b", plan("b")), one]
        yield [*begun, ("delete", ref(None), Atom("why")), ("delete", ref(None), Atom("again")), ("which",)]
        for how, init in product(("swap", "swap_sup"), (KEEP, CRASH, Atom("ignore"), (Atom("error"), 2))):
            done = (how, ref(None), Atom("left"), ref("c"), plan("c", init=init))
            yield [*begun, done, ("sync_notify", do()), ("which",), ("helper_exit", "helper1", Atom("boom"))]
        yield [*begun, ("swap", ref("nobody"), 1, ref(None), plan("c")), ("which",), ("sync_notify", do())]
        for reason in REASONS:
            yield [*begun, ("stop", reason)]
            yield [*begun, ("helper_exit", "helper1", reason), ("which",), ("stop", reason)]
    yield [*THREE, ("old_stop",)]
    yield [*THREE, ("modules",), ("state",), ("call", Atom("no_such"), 1), ("call", ref("nobody"), 1)]


def walks(count: int, seed: int) -> Iterator[Steps]:
    """Long random scenarios of several handlers."""
    chance = random.Random(seed)
    ids = (None, "a", "b", "c")
    for _ in range(count):
        steps: Steps = []
        for number in range(chance.randrange(4, 16)):
            name = chance.choice("abc")
            new = plan(name, chance.choice((KEEP, KEEP, KEEP, CRASH)), chance.choice((KEEP, KEEP, CRASH)))
            id, other = chance.choice(ids), chance.choice(ids)
            message = do(**{each: chance.choice((KEEP, KEEP, *ACTS)) for each in "abc"})
            steps.append(
                chance.choice(
                    (
                        ("add", id, new),
                        ("add_sup", id, new, chance.choice(("me", *HELPERS))),
                        ("add", id, new),
                        what(chance.choice(PLACES), message, id),
                        what(chance.choice(PLACES), message, id),
                        ("delete", ref(id), number),
                        (chance.choice(("swap", "swap_sup")), ref(id), number, ref(other), new),
                        ("helper_exit", chance.choice(HELPERS), chance.choice(REASONS)),
                        ("state",),
                    )
                )
            )
        yield [*steps, ("which",), ("stop", chance.choice(REASONS))]
