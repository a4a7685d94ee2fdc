"""What a process can do: receive, watch, names, aliases, starting others, its environment."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from etf_codec import Atom, Pid
from otp_behaviors import (
    NOPROC,
    NORMAL,
    Down,
    Exit,
    ExitError,
    GenServer,
    Kernel,
    LocalRuntime,
    NameTaken,
    Process,
    Stop,
)

BOOM = Atom("boom")

Play = Callable[..., Any]
Spawn = Callable[..., Pid]


async def wait(self: Process) -> None:
    await self.receive()


async def crash(self: Process) -> None:
    raise ExitError(BOOM)


class Counter(GenServer):
    def init(self, start: int = 0) -> None:
        if start < 0:
            raise Stop(BOOM)
        self.count = start

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.count


def negative(message: Any) -> bool:
    return isinstance(message, int) and message < 0


# Receive


def test_a_matcher_passes_over_messages_and_keeps_their_order(play: Play, spawn: Spawn) -> None:
    async def send_late(self: Process, to: Pid) -> None:
        for message in (3, -1, 4, -2):
            self.send(to, message)

    async def scenario(self: Process) -> list[Any]:
        self.send(self.pid, 1)
        self.send(self.pid, 2)
        spawn(send_late, self.pid)
        found = [await self.receive(negative), await self.receive(negative)]
        return found + [await self.receive() for _ in range(4)]

    assert play(scenario) == [-1, -2, 1, 2, 3, 4]


def test_a_matcher_sees_each_message_once(play: Play, spawn: Spawn) -> None:
    looked_at: list[Any] = []

    def look(message: Any) -> bool:
        looked_at.append(message)
        return negative(message)

    async def send_slowly(self: Process, to: Pid) -> None:
        for message in (1, 2, -1):
            self.send(to, message)
            with pytest.raises(TimeoutError):
                await self.receive(timeout=1)

    async def scenario(self: Process) -> Any:
        spawn(send_slowly, self.pid)
        return await self.receive(look)

    assert play(scenario) == -1
    assert looked_at == [1, 2, -1]


def test_a_zero_timeout_looks_and_does_not_wait(play: Play, kernel: Kernel) -> None:
    async def scenario(self: Process) -> Any:
        with pytest.raises(TimeoutError):
            await self.receive(timeout=0)
        self.send(self.pid, 1)
        with pytest.raises(TimeoutError):
            await self.receive(negative, timeout=0)
        return await self.receive(timeout=0)

    assert play(scenario) == 1
    assert kernel.timers.now == 0.0


def test_a_timeout_counts_from_the_receive_whatever_else_comes(play: Play, kernel: Kernel) -> None:
    async def scenario(self: Process) -> Any:
        for seconds in (1, 2, 3):
            self.send_after(seconds, self.pid, seconds)
        with pytest.raises(TimeoutError, match=r"within 2\.5 s"):
            await self.receive(negative, timeout=2.5)
        return self._kernel.timers.now, [await self.receive() for _ in range(3)]

    assert play(scenario) == (2.5, [1, 2, 3])


def test_a_message_in_time_leaves_no_timer(play: Play) -> None:
    async def scenario(self: Process) -> tuple[Any, int]:
        self.send_after(1, self.pid, "in time")
        return await self.receive(timeout=2), len(self._kernel.timers)

    assert play(scenario) == ("in time", 0)


def test_a_matcher_that_raises_takes_nothing(play: Play) -> None:
    def fail(message: Any) -> bool:
        raise ValueError(message)

    async def scenario(self: Process) -> Any:
        self.send(self.pid, 1)
        with pytest.raises(ValueError, match="1"):
            await self.receive(fail)
        return await self.receive(timeout=0)

    assert play(scenario) == 1


def test_send_after_can_be_read_and_cancelled(play: Play) -> None:
    async def scenario(self: Process) -> list[Any]:
        timer = self.send_after(5, self.pid, "never")
        self.send_after(2, self.pid, "first")
        first = await self.receive()
        left = [timer.read(), timer.cancel(), timer.cancel()]
        with pytest.raises(TimeoutError):
            await self.receive(timeout=10)
        with pytest.raises(ValueError, match="from 0 up"):
            self.send_after(-1, self.pid, "never")
        return [first, *left]

    assert play(scenario) == ["first", 3.0, 3.0, None]


def test_send_after_to_a_name_finds_who_has_it_then(play: Play) -> None:
    async def scenario(self: Process) -> Any:
        self.send_after(1, "x", "hello")
        self.send_after(1, "nobody", "dropped")
        self.register("x")
        return await self.receive()

    assert play(scenario) == "hello"


# Monitors and links


@pytest.mark.parametrize("flush", [False, True])
def test_demonitor_after_the_end_flushes_on_request(play: Play, spawn: Spawn, flush: bool) -> None:
    async def scenario(self: Process) -> tuple[bool, list[Any], Any]:
        pid = spawn(crash)
        ref, other = self.monitor(pid), self.monitor(pid)
        await self.receive(lambda message: message[1] == other)
        self.send(self.pid, "rest")
        there = self.demonitor(ref, flush=flush)
        rest = [await self.receive() for _ in range(1 if flush else 2)]
        return there, rest, Down(ref, pid, BOOM)

    there, rest, down = play(scenario)
    assert there is False
    assert rest == (["rest"] if flush else [down, "rest"])


@pytest.mark.parametrize("flush", [False, True])
def test_demonitor_before_the_end_stops_it(play: Play, spawn: Spawn, flush: bool) -> None:
    async def scenario(self: Process) -> list[bool]:
        pid = spawn(wait)
        ref = self.monitor(pid)
        gone = [self.demonitor(ref, flush), self.demonitor(ref, flush)]
        self.send(pid, "end")
        with pytest.raises(TimeoutError):
            await self.receive(timeout=1)
        return gone

    assert play(scenario) == [True, False]


def test_a_monitor_of_nobody_fires_at_once(play: Play) -> None:
    async def scenario(self: Process) -> bool:
        ref = self.monitor("nobody")
        return bool(await self.receive(timeout=0) == Down(ref, (Atom("nobody"), Atom("a@host")), NOPROC))

    assert play(scenario)


# Aliases


def test_an_alias_stands_for_the_process_until_unalias(play: Play, kernel: Kernel) -> None:
    async def scenario(self: Process) -> list[Any]:
        alias = self.alias()
        self.send(alias, "hello")
        active = [self.unalias(alias), self.unalias(alias)]
        self.send(alias, "dropped")
        received = [await self.receive()]
        with pytest.raises(TimeoutError):
            await self.receive(timeout=1)
        return [*received, *active, self.unalias(self._kernel.make_ref())]

    assert play(scenario) == ["hello", True, False, False]
    assert not kernel.aliases


def test_an_alias_ends_with_its_process(play: Play, kernel: Kernel) -> None:
    async def scenario(self: Process) -> int:
        self.alias()
        self.alias()
        return len(self._kernel.aliases)

    assert play(scenario) == 2
    assert not kernel.aliases


def test_an_alias_is_deactivated_by_its_owner_only(play: Play, spawn: Spawn) -> None:
    async def other(self: Process, to: Pid) -> None:
        self.send(to, self.unalias(await self.receive()))

    async def scenario(self: Process) -> tuple[Any, bool]:
        alias = self.alias()
        self.send(spawn(other, self.pid), alias)
        return await self.receive(), self.unalias(alias)

    assert play(scenario) == (False, True)


# Names


def test_a_name_is_taken_and_released(play: Play, spawn: Spawn) -> None:
    async def scenario(self: Process) -> None:
        names = [self.name]
        self.register("x")
        names.append(self.name)
        assert self.whereis("x") == self.whereis(Atom("x")) == self.pid
        other = spawn(wait)
        with pytest.raises(NameTaken, match="'x' belongs to"):
            self.register(Atom("x"), other)
        with pytest.raises(NameTaken, match="is registered as 'x'"):
            self.register("y")
        assert self.whereis("y") is None
        assert self.unregister("x")
        assert not self.unregister("x")
        assert [*names, self.name] == [None, "x", None]
        self.register(Atom("x"), other)
        assert self.whereis("x") == other

    play(scenario)


def test_only_the_living_can_have_a_name(play: Play, spawn: Spawn) -> None:
    async def scenario(self: Process) -> None:
        pid = spawn(crash)
        self.monitor(pid)
        await self.receive()
        for dead in (pid, Pid("b@host", 1, 0, 1)):
            with pytest.raises(ExitError, match="not a living process of this node") as caught:
                self.register("x", dead)
            assert caught.value.reason == Atom("badarg")

    play(scenario)


# Starting others


def test_start_returns_when_init_is_done(play: Play) -> None:
    async def scenario(self: Process) -> Any:
        pid = await self.start(Counter, 3, name="counter")
        assert self.whereis("counter") == pid
        return await self.call("counter", "get")

    assert play(scenario) == 3


@pytest.mark.parametrize("trapping", [False, True])
def test_a_linked_start_that_fails_raises_and_sends_no_exit(play: Play, trapping: bool) -> None:
    async def scenario(self: Process) -> Any:
        self.trap_exit = trapping
        with pytest.raises(ExitError) as caught:
            await self.start(Counter, -1, link=True)
        with pytest.raises(TimeoutError):
            await self.receive(timeout=1)
        return caught.value.reason, self._record.links or {}

    assert play(scenario) == (BOOM, {})


@pytest.mark.anyio
async def test_spawn_link_links_from_the_first_moment() -> None:
    seen: list[Any] = []

    async def parent(self: Process) -> None:
        self.trap_exit = True
        pid = self.spawn(crash, link=True)
        seen.append(await self.receive() == Exit(pid, BOOM))

    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            await runtime.monitor(runtime.spawn(parent))
    assert seen == [True]


@pytest.mark.anyio
async def test_without_a_link_the_end_of_one_is_nothing_to_the_other() -> None:
    async def parent(self: Process) -> None:
        self.monitor(self.spawn(crash, name="child"))
        await self.receive()

    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            assert (await runtime.monitor(runtime.spawn(parent))).reason == NORMAL


@pytest.mark.anyio
async def test_a_process_calls_a_server_and_knows_its_runtime() -> None:
    seen: list[Any] = []

    async def client(self: Process) -> None:
        server = await self.start(Counter, 7)
        seen.extend([await self.call(server, "get"), self.runtime])

    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            await runtime.monitor(runtime.spawn(client))
            assert seen == [7, runtime]


def test_a_kernel_alone_has_no_runtime(play: Play) -> None:
    async def scenario(self: Process) -> None:
        with pytest.raises(RuntimeError, match="no runtime"):
            _ = self.runtime

    play(scenario)


# Environment and dictionary


def test_the_environment_is_inherited_and_changed_only_below(play: Play, spawn: Spawn) -> None:
    async def child(self: Process, to: Pid) -> None:
        before = dict(self.env)
        self.env["color"] = "blue"
        self.send(to, (before, dict(self.env)))

    async def scenario(self: Process) -> tuple[Any, Any]:
        self.env["color"] = "red"
        self.env["size"] = 1
        spawn(child, self.pid, parent=self)
        return await self.receive(), dict(self.env)

    red, blue = {"color": "red", "size": 1}, {"color": "blue", "size": 1}
    assert play(scenario) == ((red, blue), red)


@pytest.mark.anyio
async def test_the_environment_begins_at_the_runtime() -> None:
    seen: list[Any] = []

    async def grandchild(self: Process) -> None:
        seen.append(self.env["color"])

    async def child(self: Process) -> None:
        self.monitor(self.spawn(grandchild))
        await self.receive()

    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            runtime.env["color"] = "red"
            await runtime.monitor(runtime.spawn(child))
    assert seen == ["red"]


def test_the_dictionary_is_the_processs_own(play: Play, spawn: Spawn) -> None:
    async def child(self: Process, to: Pid) -> None:
        self.send(to, dict(self.dictionary))

    async def scenario(self: Process) -> tuple[Any, Any]:
        self.dictionary["key"] = 1
        spawn(child, self.pid, parent=self)
        return await self.receive(), self.dictionary

    assert play(scenario) == ({}, {"key": 1})
