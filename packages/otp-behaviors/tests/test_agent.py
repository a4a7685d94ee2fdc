"""Agent: a state that is lent to functions, of this program or provided by name."""

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from etf_codec import Atom
from otp_behaviors import (
    NORMAL,
    Agent,
    BadReturn,
    CallTimeout,
    Child,
    ExitError,
    GenServer,
    Ignore,
    LocalRuntime,
    NameTaken,
    NoProcess,
    Process,
    ServerHandle,
    Stop,
    Supervisor,
    UnexpectedMessage,
    agent,
    sys,
)
from otp_behaviors.testing import RecordingRuntime, Simulation

pytestmark = pytest.mark.anyio

BAD_CALL, BAD_CAST, BAD_RETURN = Atom("bad_call"), Atom("bad_cast"), Atom("bad_return_value")
GET, UPDATE, GET_AND_UPDATE, CAST, UNDEF = map(Atom, ("get", "update", "get_and_update", "cast", "undef"))


def value(state: Any) -> Any:
    return state


def add(state: int, number: int) -> int:
    return state + number


async def add_slowly(state: int, number: int) -> int:
    await anyio.lowlevel.checkpoint()
    return state + number


def take(state: int, number: int) -> tuple[int, int]:
    return number, state - number


async def take_slowly(state: int, number: int) -> tuple[int, int]:
    await anyio.lowlevel.checkpoint()
    return take(state, number)


def fail(*args: Any) -> Any:
    raise ExitError((Atom("boom"), len(args)))


async def fail_slowly(*args: Any) -> Any:
    await anyio.lowlevel.checkpoint()
    fail(*args)


@pytest.fixture
async def counter(runtime: LocalRuntime) -> ServerHandle:
    return await runtime.start(Agent, int, "10", name="counter")


# What is asked of it


@pytest.mark.parametrize(("adds", "takes"), [(add, take), (add_slowly, take_slowly)])
async def test_the_state_is_lent_to_functions(
    runtime: LocalRuntime, counter: ServerHandle, adds: Any, takes: Any
) -> None:
    assert await agent.get(runtime, counter, value) == 10
    assert await agent.get(runtime, counter.pid, adds, 5) == 15
    await agent.update(runtime, "counter", adds, 1)
    assert await agent.get(runtime, "counter", value) == 11
    assert await agent.get_and_update(runtime, "counter", takes, 4) == 4
    await agent.cast(runtime, "counter", adds, 100)
    assert await agent.get(runtime, "counter", value) == 107


@pytest.mark.parametrize(("adds", "takes"), [(add, take), (add_slowly, take_slowly)])
async def test_and_so_they_are_from_a_process(
    runtime: LocalRuntime, counter: ServerHandle, adds: Any, takes: Any
) -> None:
    told: list[Any] = []

    async def asks(self: Process) -> None:
        told.append(await agent.get(self, "counter", adds, 5))
        await agent.update(self, counter.pid, adds, 1)
        told.append(await agent.get_and_update(self, Atom("counter"), takes, 4))
        agent.cast(self, "counter", adds, 100)
        told.append(await agent.get(self, "counter", value))

    with anyio.fail_after(5):
        assert (await runtime.monitor(runtime.spawn(asks))).reason == NORMAL
    assert told == [15, 4, 107]


async def test_what_update_returns_is_the_new_state_whatever_it_is(
    runtime: LocalRuntime, counter: ServerHandle
) -> None:
    states: list[Any] = [None, (), (1, 2), [], Atom("ok")]
    for state in states:
        await agent.update(runtime, counter, lambda _, new: new, state)
        assert await agent.get(runtime, counter, value) == state
        assert await agent.get_and_update(runtime, counter, lambda old: (old, [old])) == state
        assert await agent.get(runtime, counter, value) == [state]


async def test_requests_are_handled_one_after_the_other(runtime: LocalRuntime, counter: ServerHandle) -> None:
    entered, go_on = anyio.Event(), anyio.Event()

    async def held(state: int) -> int:
        entered.set()
        await go_on.wait()
        return state * 2

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.update, runtime, counter, held)
            await entered.wait()
            await agent.cast(runtime, counter, add, 1)
            with pytest.raises(CallTimeout):
                await agent.get(runtime, counter, value, timeout=0)
            go_on.set()
        assert await agent.get(runtime, counter, value) == 21


def test_each_request_has_a_timeout() -> None:
    async def hold(state: Any, server: Process) -> None:
        await server.receive(lambda message: False)

    async def scenario(self: Process) -> None:
        for ask in (agent.get, agent.update, agent.get_and_update):
            held = await self.start(Agent, dict)
            server = getattr(self._kernel.table.by_pid[held], "server", None)
            began = self._kernel.now()
            with pytest.raises(CallTimeout):
                await ask(self, held, hold, server)
            assert self._kernel.now() - began == 5
            with pytest.raises(CallTimeout):
                await ask(self, held, value, timeout=1.5)
            assert self._kernel.now() - began == 6.5

    with Simulation(seed=1, turn_time=(0.0, 0.0)) as simulation:
        simulation.node("a@host").play(scenario)


async def test_nobody_is_there(runtime: LocalRuntime) -> None:
    for ask in (agent.get, agent.update, agent.get_and_update):
        with pytest.raises(NoProcess):
            await ask(runtime, "nobody", value)
    await agent.cast(runtime, "nobody", value)


# Failures


@pytest.mark.parametrize("fails", [fail, fail_slowly])
@pytest.mark.parametrize("ask", [agent.get, agent.update, agent.get_and_update])
async def test_a_function_that_fails_ends_the_agent(
    runtime: LocalRuntime, counter: ServerHandle, ask: Any, fails: Any
) -> None:
    watch = runtime.monitor(counter)
    with pytest.raises(ExitError) as caught:
        await ask(runtime, counter, fails, 1)
    assert caught.value.reason[0] == (Atom("boom"), 2)
    assert (await watch).reason == (Atom("boom"), 2)
    with pytest.raises(NoProcess):
        await agent.get(runtime, counter, value)


@pytest.mark.parametrize("fails", [fail, fail_slowly])
async def test_so_does_one_that_is_cast(runtime: LocalRuntime, counter: ServerHandle, fails: Any) -> None:
    watch = runtime.monitor(counter)
    await agent.cast(runtime, counter, fails)
    with anyio.fail_after(5):
        assert (await watch).reason == (Atom("boom"), 1)


@pytest.mark.parametrize("bad", [1, None, (), (1,), (1, 2, 3), [1, 2], {1: 2, 3: 4}, "ab"], ids=repr)
@pytest.mark.parametrize("slow", [False, True])
async def test_get_and_update_wants_a_reply_and_a_state(
    runtime: LocalRuntime, counter: ServerHandle, bad: Any, slow: bool
) -> None:
    async def slowly(state: Any) -> Any:
        return bad

    watch = runtime.monitor(counter)
    with pytest.raises(ExitError) as caught:
        await agent.get_and_update(runtime, counter, slowly if slow else lambda state: bad)
    assert caught.value.reason[0] == (BAD_RETURN, bad)
    assert (await watch).reason == (BAD_RETURN, bad)


async def test_the_text_of_a_bad_return_says_what_is_wanted(runtime: LocalRuntime) -> None:
    recording = RecordingRuntime()
    server = recording.start(Agent, dict)
    with pytest.raises(BadReturn, match=r"returns \(reply, state\), not 7"):
        server._got_and_updated(7)
    assert server.state == {}


async def test_a_function_may_stop_the_agent(runtime: LocalRuntime, counter: ServerHandle) -> None:
    def stop(state: int) -> Any:
        raise Stop(reply=state)

    watch = runtime.monitor(counter)
    assert await agent.get(runtime, counter, stop) == 10
    assert (await watch).reason == NORMAL


# The start


async def test_the_first_state_may_take_its_time(runtime: LocalRuntime) -> None:
    started = await runtime.start(Agent, add_slowly, 1, 2)
    assert await agent.get(runtime, started, value) == 3


@pytest.mark.parametrize("fails", [fail, fail_slowly])
async def test_an_agent_without_a_first_state_does_not_start(runtime: LocalRuntime, fails: Any) -> None:
    with pytest.raises(ExitError) as caught:
        await runtime.start(Agent, fails, 1, 2, name="failing")
    assert caught.value.reason == (Atom("boom"), 2)
    assert runtime.whereis("failing") is None
    with pytest.raises(ExitError, match="invalid literal"):
        await runtime.start(Agent, int, "no number")


async def test_a_first_state_may_be_refused(runtime: LocalRuntime, counter: ServerHandle) -> None:
    def refuse() -> None:
        raise Ignore

    with pytest.raises(Ignore):
        await runtime.start(Agent, refuse)
    with pytest.raises(NameTaken):
        await runtime.start(Agent, dict, name="counter")


async def test_a_supervisor_starts_an_agent_anew(runtime: LocalRuntime) -> None:
    await runtime.start(Supervisor(Child(Agent, int, "7", name="seven")))
    await agent.update(runtime, "seven", add, 1)
    watch = runtime.monitor("seven")
    with pytest.raises(ExitError):
        await agent.get(runtime, "seven", fail)
    await watch
    assert await agent.get(runtime, "seven", value) == 7


# As any server


async def test_its_state_is_shown_and_replaced(runtime: LocalRuntime, counter: ServerHandle) -> None:
    assert await sys.get_state(runtime, counter) == {Atom("state"): 10}
    assert await sys.replace_state(runtime, counter, lambda _: {Atom("state"): 3}) == {Atom("state"): 3}
    assert await agent.get(runtime, counter, value) == 3


class Plain(GenServer):
    """What a server does with requests that it does not know."""


UNKNOWN: list[Any] = [
    GET,
    (),
    (GET,),
    (GET, 1, 2),
    ("get", 1),
    (Atom("fetch"), 1),
    [GET, 1],
    {},
    1,
    (CAST, 1),
]


@pytest.mark.parametrize("server_class", [Plain, Agent])
@pytest.mark.parametrize("request_", UNKNOWN, ids=repr)
async def test_unknown_requests_end_it(runtime: LocalRuntime, server_class: Any, request_: Any) -> None:
    args = [dict] if server_class is Agent else []
    server = await runtime.start(server_class, *args)
    watch = runtime.monitor(server)
    with pytest.raises(ExitError) as caught:
        await server.call(request_)
    assert caught.value.reason[0] == (BAD_CALL, request_)
    assert (await watch).reason == (BAD_CALL, request_)
    server = await runtime.start(server_class, *args)
    watch = runtime.monitor(server)
    message = (GET, 1) if request_ == (CAST, 1) else request_
    await server.cast(message)
    assert (await watch).reason == (BAD_CAST, message)


def test_other_messages_are_reported_and_dropped() -> None:
    messages: list[Any] = [(CAST, 1), (GET, 1), "text", ()]
    with Simulation(seed=1) as simulation:
        node = simulation.node("a@host")
        pid = node.start(Agent, int)
        for message in messages:
            node.send(pid, message)
        assert node.play(agent.get, pid, value) == 0
        effects = [event.what[0] for event in simulation.events("report")]
        assert [effect.message for effect in effects if isinstance(effect, UnexpectedMessage)] == messages


# Functions that are named


class Providing(LocalRuntime):
    """Provides `math:double/1` and `math:add/2`, the second of which waits."""

    def provided(self, module: str, function: str, arity: int) -> Callable[[Any, list[Any]], Any] | None:
        async def added(process: Process, args: list[Any]) -> Any:
            assert isinstance(process, Agent)
            return await add_slowly(*args)

        functions: dict[Any, Callable[[Any, list[Any]], Any]] = {
            ("math", "double", 1): lambda process, args: 2 * args[0],
            ("math", "add", 2): added,
        }
        return functions.get((module, function, arity))


async def test_functions_that_the_program_provides_are_run_by_their_names() -> None:
    with anyio.fail_after(5):
        async with Providing() as runtime:
            started = await runtime.start(Agent, int, "10")
            assert await agent.get(runtime, started, ("math", "double")) == 20
            await agent.update(runtime, started, ("math", "add"), 5)
            await agent.cast(runtime, started, (Atom("math"), Atom("double")))
            assert await agent.get(runtime, started, value) == 30
            with pytest.raises(ExitError) as caught:
                await agent.get(runtime, started, ("math", "add"), 1, 2)
    assert caught.value.reason[0] == (UNDEF, [(Atom("math"), Atom("add"), [30, 1, 2], [])])


@pytest.mark.parametrize("verb", [GET, UPDATE, GET_AND_UPDATE])
@pytest.mark.parametrize(
    "work", [1, (), (Atom("m"), Atom("f")), ("m", "f", []), (Atom("m"), 1, [])], ids=repr
)
async def test_what_is_no_function_ends_it(
    runtime: LocalRuntime, counter: ServerHandle, verb: Atom, work: Any
) -> None:
    watch = runtime.monitor(counter)
    with pytest.raises(ExitError):
        await counter.call((verb, work))
    assert (await watch).reason == Atom("badarg")
