"""Calls, casts and replies: what comes back, what is raised, and what is left behind (nothing)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from etf_codec import Atom, ImproperList, Pid, Reference
from otp_behaviors import (
    KILL,
    KILLED,
    NO_REPLY,
    NOPROC,
    TIMEOUT,
    AliasSignal,
    Caller,
    CallTimeout,
    DemonitorSignal,
    DownSignal,
    ExitError,
    GenServer,
    Kernel,
    LocalRuntime,
    MessageSignal,
    MonitorSignal,
    NoConnection,
    NoProcess,
    Process,
    RemoteName,
    Runtime,
    ServerHandle,
    ServerRef,
    undeliverable,
)

ALIAS = Atom("alias")
BOOM = Atom("boom")
GEN_CALL = Atom("$gen_call")
HOLD = Atom("hold")
OTHER = Pid("b@host", 1, 0, 1)
OTHER_REF = Reference("b@host", 1, (1, 2, 3))

Play = Callable[..., Any]
Spawn = Callable[..., Pid]


class Echo(GenServer):
    """Answers with the request, or holds it until a cast gives the answer."""

    def init(self) -> None:
        self.waiting: list[Caller] = []
        self.held = anyio.Event()

    def handle_call(self, request: Any, caller: Caller) -> Any:
        if request != HOLD:
            return request
        self.waiting.append(caller)
        self.held.set()
        return NO_REPLY

    def handle_cast(self, message: Any) -> None:
        for caller in self.waiting:
            self.reply(caller, message)


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Runtime, ServerHandle, Echo]]:
    """A runtime with an Echo in it, seen from outside and from inside."""
    servers: list[Echo] = []

    class Known(Echo):
        def init(self) -> None:
            super().init()
            servers.append(self)

    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            handle = await runtime.start(Known, name="echo")
            yield runtime, handle, servers[0]


def left_behind(runtime: Runtime) -> int:
    """Aliases of requests, and entries among the callers of any process."""
    kernel = runtime.kernel
    return len(kernel.aliases) + sum(len(record.callers or ()) for record in kernel.table.by_pid.values())


def called(reason: Any, who: Any, request: Any, limit: Any = 5000) -> Any:
    """The reason `gen_server:call` exits with."""
    return (reason, (Atom("gen_server"), Atom("call"), [who, request, limit]))


@pytest.mark.anyio
async def test_every_kind_of_reference_reaches_the_server() -> None:
    async with running() as (runtime, handle, _):
        for to in (handle, handle.pid, "echo", Atom("echo"), RemoteName("echo", runtime.kernel.node)):
            assert await runtime.call(to, 1) == 1
        assert left_behind(runtime) == 0


@pytest.mark.anyio
async def test_a_timeout_leaves_nothing_behind() -> None:
    async with running() as (runtime, handle, server):
        with pytest.raises(CallTimeout, match=r"within 0\.01 s") as caught:
            await handle.call(HOLD, timeout=0.01)
        assert caught.value.reason == called(TIMEOUT, handle.pid, HOLD, 10)
        assert isinstance(caught.value, TimeoutError)
        assert len(server.waiting) == 1
        assert left_behind(runtime) == 0
        await handle.cast("too late")
        assert await handle.call("mine") == "mine"


def test_a_late_reply_is_no_message(play: Play) -> None:
    async def scenario(self: Process) -> list[Any]:
        server = await self.start(Echo)
        with pytest.raises(CallTimeout):
            await self.call(server, HOLD, timeout=1)
        self.cast(server, "too late")
        with pytest.raises(TimeoutError):
            await self.receive(timeout=1)
        return list(self._kernel.aliases)

    assert play(scenario) == []


@pytest.mark.anyio
async def test_a_zero_timeout_takes_what_is_there_at_once() -> None:
    async with running() as (runtime, handle, _):
        assert await handle.call(1, timeout=0) == 1
        with pytest.raises(CallTimeout):
            await handle.call(HOLD, timeout=0)
        assert left_behind(runtime) == 0


@pytest.mark.anyio
async def test_without_a_timeout_a_call_waits() -> None:
    async with running() as (runtime, handle, server):
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await handle.call(HOLD, timeout=None))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await server.held.wait()
            assert runtime.kernel.deadline() is None
            await handle.cast("now")
        assert answers == ["now"]


@pytest.mark.anyio
async def test_nobody_there_is_known_at_once() -> None:
    async with running() as (runtime, handle, _):
        await handle.stop()
        here = runtime.kernel.node
        for to, who in (
            ("echo", Atom("echo")),
            (RemoteName("echo", here), Atom("echo")),
            (handle.pid, handle.pid),
            (handle, handle.pid),
        ):
            with pytest.raises(NoProcess, match="no process") as caught:
                await runtime.call(to, 1)
            assert caught.value.reason == called(NOPROC, who, 1)
        with pytest.raises(NoProcess) as caught:
            await handle.call(1, timeout=None)
        assert caught.value.reason == called(NOPROC, handle.pid, 1, Atom("infinity"))
        assert left_behind(runtime) == 0


@pytest.mark.anyio
async def test_a_node_that_cannot_be_reached() -> None:
    async with running() as (runtime, _, _):
        for to, who in ((RemoteName("x", "b@host"), (Atom("x"), Atom("b@host"))), (OTHER, OTHER)):
            with pytest.raises(NoConnection, match="no connection to b@host") as caught:
                await runtime.call(to, 1)
            assert caught.value.reason == called((Atom("nodedown"), Atom("b@host")), who, 1)
        assert left_behind(runtime) == 0


@pytest.mark.anyio
@pytest.mark.parametrize(("reason", "seen"), [(BOOM, BOOM), (KILL, KILLED), ((BOOM, 1), (BOOM, 1))])
async def test_the_callee_ends_during_the_call(reason: Any, seen: Any) -> None:
    async with running() as (runtime, handle, server):
        errors: list[ExitError] = []

        async def ask() -> None:
            with pytest.raises(ExitError) as caught:
                await handle.call(HOLD, timeout=None)
            errors.append(caught.value)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(ask)
            await server.held.wait()
            runtime.exit(handle.pid, reason)
        assert [error.reason for error in errors] == [called(seen, handle.pid, HOLD, Atom("infinity"))] * 3
        assert left_behind(runtime) == 0


@pytest.mark.anyio
async def test_a_handle_is_looked_up_once_for_a_call() -> None:
    """What a handle means may end during the call, with the process: the error is that of the process."""
    async with LocalRuntime() as runtime:
        echo = await runtime.start(Echo)

        class Handle:
            """Means a process for as long as it is there, as a global name does."""

            @property
            def pid(self) -> Pid:
                if echo.pid not in runtime.kernel.table.by_pid:
                    raise NoProcess(NOPROC)
                return echo.pid

        async def end() -> None:
            runtime.exit(echo.pid, BOOM)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end)
            with pytest.raises(ExitError) as caught:
                await runtime.call(Handle(), HOLD)
        assert caught.value.reason == (BOOM, (Atom("gen_server"), Atom("call"), [echo.pid, HOLD, 5000]))
        with pytest.raises(NoProcess):
            await runtime.call(Handle(), HOLD)


@pytest.mark.anyio
async def test_a_cancelled_caller_leaves_nothing_behind() -> None:
    async with running() as (runtime, handle, server):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(handle.call, HOLD)
            await server.held.wait()
            assert left_behind(runtime) == 2
            tasks.cancel_scope.cancel()
        assert left_behind(runtime) == 0
        assert runtime.kernel.deadline() is None
        await handle.cast("too late")
        assert await handle.call("mine") == "mine"


@pytest.mark.anyio
async def test_a_killed_caller_leaves_nothing_behind() -> None:
    async def ask(self: Process, to: Pid) -> None:
        await self.call(to, HOLD, timeout=None)

    async with running() as (runtime, handle, server):
        pid = runtime.spawn(ask, handle.pid)
        await server.held.wait()
        runtime.exit(pid, KILL)
        await runtime.monitor(pid)
        while left_behind(runtime):  # noqa: ASYNC110  # there is no event: the task ends some time after its process
            await anyio.sleep(0.001)
        assert await handle.call("mine") == "mine"


@pytest.mark.anyio
async def test_a_cast_to_nobody_is_no_error() -> None:
    async with running() as (runtime, handle, _):
        await handle.stop()
        await handle.cast(1)
        await runtime.cast("nobody", 1)
        await runtime.cast(RemoteName("x", "b@host"), 1)


# The tag of a call, as other nodes make it


def test_a_plain_reference_gets_the_reply_as_a_message(play: Play) -> None:
    async def scenario(self: Process) -> bool:
        server = await self.start(Echo)
        tag = self.alias()
        self.unalias(tag)
        self.send(server, (GEN_CALL, (self.pid, tag), "hi"))
        return bool(await self.receive() == (tag, "hi"))

    assert play(scenario)


@pytest.mark.parametrize("shape", ["gen", "multi_call"])
def test_an_alias_in_the_tag_gets_the_reply(play: Play, shape: str) -> None:
    async def scenario(self: Process) -> bool:
        server, alias = await self.start(Echo), self.alias()
        tag = ImproperList([ALIAS], alias)
        if shape == "multi_call":
            tag = ImproperList([tag], alias)
        self.send(server, (GEN_CALL, (self.pid, tag), "hi"))
        came = bool(await self.receive() == (tag, "hi"))
        self.unalias(alias)
        self.send(server, (GEN_CALL, (self.pid, tag), "too late"))
        with pytest.raises(TimeoutError):
            await self.receive(timeout=1)
        return came

    assert play(scenario)


@pytest.mark.parametrize(
    "tag", [1, Atom("x"), ImproperList([1], 2), ImproperList([ALIAS], 1), [], (OTHER_REF,)]
)
def test_a_tag_of_any_other_shape_is_echoed(play: Play, tag: Any) -> None:
    async def scenario(self: Process) -> bool:
        self.send(await self.start(Echo), (GEN_CALL, (self.pid, tag), "hi"))
        return bool(await self.receive() == (tag, "hi"))

    assert play(scenario)


@pytest.mark.parametrize(
    "tag", [ImproperList([ALIAS], OTHER_REF), ImproperList([ImproperList([ALIAS], OTHER_REF)], OTHER_REF)]
)
def test_the_alias_of_another_node_is_answered_there(kernel: Kernel, tag: Any) -> None:
    pid = kernel.spawn(Echo.__process__(kernel, ()))
    kernel.deliver(MessageSignal(OTHER, pid, (GEN_CALL, (OTHER, tag), "hi")))
    kernel.run()
    assert kernel.outgoing() == [AliasSignal(pid, OTHER_REF, (tag, "hi"), OTHER)]


def test_a_plain_reference_of_another_node_is_answered_at_the_pid(kernel: Kernel) -> None:
    pid = kernel.spawn(Echo.__process__(kernel, ()))
    kernel.deliver(MessageSignal(OTHER, pid, (GEN_CALL, (OTHER, OTHER_REF), "hi")))
    kernel.run()
    assert kernel.outgoing() == [MessageSignal(pid, OTHER, (OTHER_REF, "hi"))]


def test_only_the_first_reply_counts(play: Play) -> None:
    class Twice(GenServer):
        def handle_call(self, request: Any, caller: Caller) -> Any:
            self.reply(caller, "first")
            self.reply(caller, "second")
            return "third"

    async def scenario(self: Process) -> Any:
        answer = await self.call(await self.start(Twice), 1)
        with pytest.raises(TimeoutError):
            await self.receive(timeout=1)
        return answer

    assert play(scenario) == "first"


# A call to another node, signal by signal


def calling(
    kernel: Kernel, spawn: Spawn, to: ServerRef = OTHER
) -> tuple[list[Any], MonitorSignal, MessageSignal]:
    """Have a process call OTHER; returns where its result will be, and the two signals it sent."""
    results: list[Any] = []

    async def ask(self: Process) -> None:
        try:
            results.append(await self.call(to, "hi"))
        except Exception as error:
            results.append(error)

    spawn(ask)
    kernel.run()
    monitor, message = kernel.outgoing()
    assert isinstance(monitor, MonitorSignal)
    assert isinstance(message, MessageSignal)
    return results, monitor, message


def test_a_call_to_a_remote_name_has_one_reference_for_both(kernel: Kernel, spawn: Spawn) -> None:
    results, monitor, message = calling(kernel, spawn, RemoteName("echo", "b@host"))
    tag = ImproperList([ALIAS], monitor.ref)
    assert message.message == (GEN_CALL, (monitor.sender, tag), "hi")
    kernel.deliver(AliasSignal(OTHER, monitor.ref, (tag, "reply")))
    kernel.run()
    assert results == ["reply"]
    assert not kernel.aliases
    (demonitor,) = kernel.outgoing()
    assert demonitor == DemonitorSignal(monitor.sender, monitor.to, monitor.ref)


def test_a_call_to_a_remote_process_is_answered_at_its_alias(kernel: Kernel, spawn: Spawn) -> None:
    results, monitor, message = calling(kernel, spawn)
    kind, (sender, tag), request = message.message
    assert (kind, sender, request) == (GEN_CALL, monitor.sender, "hi")
    assert tag == ImproperList([ALIAS], tag.tail)
    assert tag.tail != monitor.ref
    kernel.deliver(AliasSignal(OTHER, tag.tail, (tag, "reply")))
    kernel.run()
    assert results == ["reply"]
    assert not kernel.aliases


def test_a_peer_without_aliases_answers_at_the_pid(kernel: Kernel, spawn: Spawn) -> None:
    results, monitor, message = calling(kernel, spawn)
    tag = message.message[1][1]
    kernel.deliver(MessageSignal(OTHER, monitor.sender, (tag, "reply")))
    kernel.run()
    assert results == ["reply"]


def test_a_remote_callee_ends_during_the_call(kernel: Kernel, spawn: Spawn) -> None:
    results, monitor, _ = calling(kernel, spawn)
    kernel.deliver(DownSignal(OTHER, monitor.sender, monitor.ref, BOOM))
    kernel.run()
    assert [error.reason for error in results] == [called(BOOM, OTHER, "hi")]
    assert not kernel.aliases


def test_the_connection_is_lost_during_the_call(kernel: Kernel, spawn: Spawn) -> None:
    results, _, _ = calling(kernel, spawn)
    kernel.nodes.down("b@host")
    kernel.run()
    assert [type(error) for error in results] == [NoConnection]
    assert not kernel.aliases


def test_a_request_that_cannot_be_encoded_is_the_callers_error(kernel: Kernel, spawn: Spawn) -> None:
    results, _, message = calling(kernel, spawn)
    error = TypeError("no external form")
    assert undeliverable(kernel, message, error)
    kernel.run()
    assert results == [error]
    assert not kernel.aliases


def test_any_other_message_that_cannot_be_encoded_ends_its_sender(kernel: Kernel, spawn: Spawn) -> None:
    async def wait(self: Process) -> None:
        await self.receive()

    pid = spawn(wait)
    assert undeliverable(kernel, MessageSignal(pid, OTHER, 1), TypeError("no external form"))
    assert pid not in kernel.table.by_pid
    assert not undeliverable(kernel, MessageSignal(pid, OTHER, 1), TypeError("no external form"))
