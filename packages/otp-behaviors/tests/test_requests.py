"""Requests of other kinds than calls: answered later as a message, to several nodes, in threads."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest
from etf_codec import Atom, ImproperList, Pid
from otp_behaviors import (
    KILLED,
    NO_REPLY,
    NOPROC,
    Caller,
    CallTimeout,
    ExitError,
    GenServer,
    Kernel,
    LocalRuntime,
    MessageSignal,
    NoConnection,
    NoProcess,
    Process,
    RequestIds,
    Runtime,
    sys,
)

Play = Callable[..., Any]
HOLD = Atom("hold")
HERE = "nonode@nohost"


class Echo(GenServer):
    def init(self) -> None:
        self.held: list[Caller] = []
        self.casts: list[Any] = []

    def handle_call(self, request: Any, caller: Caller) -> Any:
        if request == HOLD:
            self.held.append(caller)
            return NO_REPLY
        return request

    def handle_cast(self, message: Any) -> None:
        if message == "crash":
            raise ExitError(Atom("boom"))
        self.casts.append(message)

    def handle_info(self, message: Any) -> None:
        self.reply(self.held.pop(0), message)


def test_the_reply_of_a_request_is_taken_among_other_mail(play: Play) -> None:
    async def scenario(self: Process) -> None:
        await self.start(Echo, name="echo")
        self.send(self.pid, "other mail")
        request = self.send_request("echo", 1)
        assert await self.receive_response(request) == 1
        assert await self.receive() == "other mail"
        assert self._record.monitors == {}
        assert self._record.aliases == {}

    play(scenario)


def test_a_response_that_comes_too_late_is_dropped(play: Play) -> None:
    async def scenario(self: Process) -> None:
        await self.start(Echo, name="echo")
        request = self.send_request("echo", HOLD)
        with pytest.raises(CallTimeout):
            await self.receive_response(request, 0.1)
        self.send("echo", "late")
        assert await self.call("echo", "after") == "after"
        with pytest.raises(TimeoutError):
            await self.receive(timeout=0)

    play(scenario)


def test_waiting_can_be_tried_again(play: Play) -> None:
    async def scenario(self: Process) -> None:
        await self.start(Echo, name="echo")
        request = self.send_request("echo", HOLD)
        with pytest.raises(CallTimeout):
            await self.wait_response(request, 0.1)
        self.send("echo", "at last")
        assert await self.wait_response(request, 1) == "at last"

    play(scenario)


def test_the_end_of_the_server_is_an_error(play: Play) -> None:
    async def scenario(self: Process) -> None:
        echo = await self.start(Echo, name="echo")
        request = self.send_request(echo, HOLD)
        self.cast(echo, "crash")
        with pytest.raises(ExitError) as caught:
            await self.receive_response(request)
        assert caught.value.reason == (Atom("boom"), echo)
        with pytest.raises(NoProcess) as gone:
            await self.receive_response(self.send_request("echo", 1))
        assert gone.value.reason == (NOPROC, (Atom("echo"), Atom("a@host")))

    play(scenario)


def test_messages_are_checked(play: Play) -> None:
    async def scenario(self: Process) -> None:
        echo = await self.start(Echo)
        request, other = self.send_request(echo, 1), self.send_request(echo, 2)
        assert self.check_response("something", request) is NO_REPLY
        message = await self.receive()
        assert self.check_response(message, other) is NO_REPLY
        assert self.check_response(message, request) == 1
        self.cast(echo, "crash")
        assert self.check_response(await self.receive(), other) == 2
        late = self.send_request(echo, 3)
        down = await self.receive()
        with pytest.raises(ExitError):
            self.check_response(down, late)

    play(scenario)


def test_a_collection_gives_the_first_response(play: Play) -> None:
    async def scenario(self: Process) -> None:
        first, second = await self.start(Echo), await self.start(Echo)
        ids = RequestIds()
        held = self.send_request(first, HOLD, label="held", collection=ids)
        ids.add(self.send_request(second, "quick"), "second")
        assert len(ids) == 2
        assert [label for _, label in ids.to_list()] == ["held", "second"]
        assert held in ids
        with pytest.raises(ValueError, match="already"):
            ids.add(held, "again")
        response = await self.receive_response(ids, 1)
        assert (response.label, response.result(), len(ids)) == ("second", "quick", 1)
        self.cast(first, "crash")
        response = await self.wait_response(ids, delete=False)
        assert (response.label, response.reply, len(ids)) == ("held", NO_REPLY, 1)
        with pytest.raises(ExitError):
            response.result()

    play(scenario)


def test_a_collection_that_times_out_is_given_up_by_receive_only(play: Play) -> None:
    async def scenario(self: Process) -> None:
        echo = await self.start(Echo)
        ids = RequestIds()
        assert await self.receive_response(ids) is None
        self.send_request(echo, HOLD, label=1, collection=ids)
        with pytest.raises(CallTimeout):
            await self.wait_response(ids, 0.1)
        self.send(echo, "answer")
        response = await self.wait_response(ids, 1)
        assert (response.label, response.reply) == (1, "answer")
        self.send_request(echo, HOLD, label=2, collection=ids)
        with pytest.raises(CallTimeout):
            await self.receive_response(ids, 0.1)
        assert self._record.monitors == {}
        self.send(echo, "late")
        await self.call(echo, 1)
        assert not self._record.mailbox
        assert self.check_response("no", ids) is NO_REPLY

    play(scenario)


def test_a_request_to_another_node_is_otps(kernel: Kernel, play: Play) -> None:
    far = Pid("b@host", 1, 0, 1)

    async def scenario(self: Process) -> None:
        request = self.send_request(far, "hello")
        _, message = kernel.outgoing()
        assert isinstance(message, MessageSignal)
        tag = ImproperList([Atom("alias")], request.ref)
        assert message.message == (Atom("$gen_call"), (self.pid, tag), "hello")
        # A peer that knows no aliases answers to the pid.
        kernel.deliver(MessageSignal(far, self.pid, (tag, "reply")))
        assert await self.receive_response(request, 0) == "reply"
        kernel.outgoing()
        lost = self.send_request(far, "hello")
        kernel.nodes.down("b@host")
        with pytest.raises(NoConnection) as caught:
            await self.receive_response(lost, 0)
        assert caught.value.reason == (Atom("noconnection"), far)

    play(scenario)


# To several nodes


@asynccontextmanager
async def running() -> AsyncIterator[Runtime]:
    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            yield runtime


@pytest.mark.anyio
async def test_multi_call_collects_replies_and_bad_nodes() -> None:
    async with running() as runtime:
        await runtime.start(Echo, name="echo")
        assert await runtime.multi_call([HERE, "b@host"], "echo", 1) == ({HERE: 1}, ["b@host"])
        assert await runtime.multi_call([HERE], "nobody", 1) == ({}, [HERE])
        assert await runtime.multi_call([HERE], "echo", HOLD, timeout=0.01) == ({}, [HERE])
        assert await runtime.multi_call([], "echo", 1) == ({}, [])
        await runtime.send("echo", "too late for anybody")
        assert await runtime.call("echo", 1) == 1
        assert runtime.kernel.aliases == {}


@pytest.mark.anyio
async def test_a_process_multi_calls_and_abcasts() -> None:
    results: list[Any] = []

    async def asker(process: Process) -> None:
        process.abcast([HERE, "b@host"], "echo", "everybody")
        results.append(await process.multi_call([HERE], Atom("echo"), 1))

    async with running() as runtime:
        await runtime.start(Echo, name="echo")
        await runtime.monitor(runtime.spawn(asker))
        await runtime.abcast([HERE], "echo", "again")
        assert results == [({HERE: 1}, [])]
        state = await sys.get_state(runtime, "echo")
        assert state[Atom("casts")] == ["everybody", "again"]


# To oneself


@pytest.mark.anyio
async def test_calling_oneself_is_refused() -> None:
    class Vain(GenServer):
        async def handle_call(self, request: Any, caller: Caller) -> Any:
            with pytest.raises(ExitError) as caught:
                await self.call(request, "hello")
            return caught.value.reason

        def handle_cast(self, message: Any) -> None:
            raise AssertionError("nothing of the call may be left in the mailbox")

    async with running() as runtime:
        vain = await runtime.start(Vain, name="vain")
        for me, shown in (("vain", Atom("vain")), (vain.pid, vain.pid), (vain, vain.pid)):
            reason = await vain.call(me)
            call = (Atom("gen_server"), Atom("call"), [shown, "hello", 5000])
            assert reason == (Atom("calling_self"), call)


# In threads


@pytest.mark.anyio
async def test_blocking_work_runs_in_a_thread() -> None:
    class Worker(GenServer):
        async def handle_call(self, request: Any, caller: Caller) -> Any:
            return await self.run_in_thread(work, request)

    def work(request: Any) -> Any:
        if request == "fail":
            raise KeyError(request)
        return (request, threading.get_ident())

    async with running() as runtime:
        worker = await runtime.start(Worker)
        echoed, thread = await worker.call(7)
        assert echoed == 7
        assert thread != threading.get_ident()
        with pytest.raises(ExitError, match="KeyError"):
            await worker.call("fail")


@pytest.mark.anyio
async def test_a_process_is_killed_while_its_thread_works() -> None:
    started, go_on = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        go_on.wait(10)

    async def worker(process: Process) -> None:
        await process.run_in_thread(work)

    async with running() as runtime:
        try:
            pid = runtime.spawn(worker)
            watch = runtime.monitor(pid)
            assert await anyio.to_thread.run_sync(started.wait, 10)
            runtime.exit(pid, Atom("kill"))
            assert (await watch).reason == KILLED
        finally:
            go_on.set()


def test_a_process_that_the_kernel_runs_has_no_threads(play: Play) -> None:
    async def scenario(self: Process) -> None:
        with pytest.raises(RuntimeError, match="no threads"):
            await self.run_in_thread(print)

    play(scenario)
