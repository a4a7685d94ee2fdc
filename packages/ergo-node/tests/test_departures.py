"""What a process sends to another node arrives in its order, whichever way each signal takes."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from ergo_node import Epmd, Node, RemoteName
from etf_codec import Atom, EncodeError
from otp_behaviors import Down, ExitError, GenServer, Kernel, NoProcess, Process, Stop

pytestmark = pytest.mark.anyio

ROUNDS = 30
Pair = tuple[Node, Node]


class Teller(GenServer):
    """Sends as many messages as it is asked for to its caller, then the reply."""

    def init(self) -> None:
        self.watched: list[Any] = []

    def handle_call(self, request: Any, caller: Any) -> Any:
        what, count = request
        for number in range(count):
            self.send(caller[0], number)
        if what == "watch":
            self.watched.append(self.monitor(caller[0]))
        return what


@pytest.mark.parametrize("what", ["nothing more", "watch"])
@pytest.mark.parametrize("count", [0, 1, 3])
async def test_what_was_sent_before_the_reply_is_there_when_it_comes(
    pair: Pair, what: str, count: int
) -> None:
    near, far = pair
    teller = await far.start(Teller)
    heard: list[Any] = []

    async def ask(process: Process) -> None:
        for _ in range(ROUNDS):
            reply = await process.call(teller.pid, (what, count))
            # All that is there is there now.
            heard.append(([await process.receive(timeout=0) for _ in range(count)], reply))
            with pytest.raises(TimeoutError):
                await process.receive(timeout=0)

    with anyio.fail_after(20):
        await near.monitor(near.spawn(ask))
    assert heard == [(list(range(count)), what.encode())] * ROUNDS


async def test_requests_and_casts_of_a_process_keep_their_order(pair: Pair) -> None:
    near, far = pair
    told: list[Any] = []

    class Listener(GenServer):
        def init(self) -> None: ...

        def handle_call(self, request: Any, caller: Any) -> Any:
            told.append(request)
            return request

        def handle_cast(self, message: Any) -> None:
            told.append(message)

    listener = await far.start(Listener, name="listener")

    async def speak(process: Process) -> None:
        for number in range(0, 4 * ROUNDS, 4):
            process.cast(listener.pid, number)
            await process.call(listener.pid, number + 1)
            process.cast(RemoteName("listener", far.name), number + 2)
            await process.call(RemoteName("listener", far.name), number + 3)

    with anyio.fail_after(20):
        down = await near.monitor(near.spawn(speak))
    assert isinstance(down, Down)
    assert down.reason == Atom("normal")
    assert told == list(range(4 * ROUNDS))


async def test_a_request_without_external_form_is_no_harm_to_the_next(pair: Pair) -> None:
    near, far = pair
    teller = await far.start(Teller)
    for _ in range(3):
        with pytest.raises(EncodeError, match="object"):
            await near.call(teller, object())
        assert await near.call(teller, ("well", 0)) == b"well"
    assert len(near.kernel.aliases) == 0


class Watched(GenServer):
    """Tells how many watches the node of its caller has here."""

    def init(self) -> None: ...

    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == b"stop":
            raise Stop(Atom("asked"))
        return self.kernel_of.monitors.count(caller[0].node)

    kernel_of: Kernel


async def test_calls_of_a_name_watch_it_for_as_long_as_they_wait(pair: Pair) -> None:
    near, far = pair
    Watched.kernel_of = far.kernel
    await far.start(Watched, name="watched")
    watched = RemoteName("watched", far.name)
    with anyio.fail_after(20):
        for _ in range(ROUNDS):
            assert await near.call(watched, "count") == 1
        counts: list[Any] = []

        async def ask() -> None:
            counts.append(await near.call(watched, "count"))

        async with anyio.create_task_group() as tasks:
            for _ in range(ROUNDS):
                tasks.start_soon(ask)
        assert len(counts) == ROUNDS
        # Nothing is sent after them, and yet their ends arrive.
        while far.kernel.monitors.count(near.name):
            await anyio.lowlevel.checkpoint()
        with pytest.raises(ExitError, match="asked"):
            await near.call(watched, "stop")
        with pytest.raises(NoProcess):
            await near.call(watched, "count")
        while len(near.kernel.monitors) or len(far.kernel.monitors) or len(near.kernel.aliases):
            await anyio.lowlevel.checkpoint()


async def test_a_name_that_nobody_can_have_is_no_harm_to_the_next(pair: Pair) -> None:
    near, far = pair
    await far.start(Teller, name="teller")
    teller = RemoteName("teller", far.name)
    with anyio.fail_after(20):
        for _ in range(2):
            for name in ("x" * 256, "\ud800"):
                with pytest.raises(ValueError, match=r"atom has at most 255|lone surrogate"):
                    await near.call(RemoteName(name, far.name), "anything")
            assert await near.call(teller, ("well", 0)) == b"well"
        while len(near.kernel.monitors) or len(near.kernel.aliases):
            await anyio.lowlevel.checkpoint()


async def test_a_watch_is_set_up_and_taken_down_though_nothing_follows(pair: Pair) -> None:
    near, far = pair
    await far.start(Teller, name="teller")

    async def watch(process: Process) -> None:
        ref = process.monitor(RemoteName("teller", far.name))
        await process.receive(lambda message: message == "enough")
        process.demonitor(ref)
        await process.receive(lambda message: message == "end")

    with anyio.fail_after(20):
        await near.reach(far.name)
        pid = near.spawn(watch)
        while not far.kernel.monitors.count(near.name):
            await anyio.lowlevel.checkpoint()
        await near.send(pid, "enough")
        while far.kernel.monitors.count(near.name):
            await anyio.lowlevel.checkpoint()
        await near.send(pid, "end")


async def test_a_call_makes_the_connection_it_needs(epmd: Epmd) -> None:
    async with (
        Node("a@127.0.0.1", "secret", epmd=epmd) as near,
        Node("b@127.0.0.1", "secret", epmd=epmd) as far,
    ):
        teller = await far.start(Teller)
        assert await near.call(teller.pid, ("first", 0)) == b"first"
        assert await near.disconnect(far.name)
        assert await near.call(teller.pid, ("again", 0)) == b"again"


async def test_what_waited_for_a_connection_goes_before_what_is_sent_when_it_is_up(pair: Pair) -> None:
    near, far = pair
    heard: list[Any] = []
    enough = anyio.Event()

    class Listener(GenServer):
        def init(self) -> None: ...

        def handle_info(self, message: Any) -> None:
            heard.append(message)
            if message == 2 * ROUNDS - 1:
                enough.set()

    listener = await far.start(Listener)

    async def speak(process: Process) -> None:
        for number in range(ROUNDS):
            process.send(listener.pid, number)
        event = await process.receive()
        assert event[0] == Atom("nodeup")
        for number in range(ROUNDS, 2 * ROUNDS):
            process.send(listener.pid, number)

    near.subscribe(near.spawn(speak))
    with anyio.fail_after(20):
        await enough.wait()
    assert heard == list(range(2 * ROUNDS))


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("how", ["cast", "call"])
@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_a_message_from_elsewhere_can_end_the_program(
    backend: str, how: str, error: BaseException, free_tcp_port: int
) -> None:
    if backend == "uvloop":
        pytest.importorskip("uvloop", exc_type=ImportError)
    ended: list[Any] = []

    class Fatal(GenServer):
        def init(self) -> None: ...

        def handle_cast(self, message: Any) -> None:
            raise error

        def handle_call(self, request: Any, caller: Any) -> Any:
            raise error

        def terminate(self, reason: Any) -> None:
            ended.append("fatal")

    class Tidy(GenServer):
        def init(self) -> None: ...

        def terminate(self, reason: Any) -> None:
            ended.append(reason)

    async def main() -> None:
        epmd = Epmd(free_tcp_port)
        async with (
            Node("a@127.0.0.1", "secret", epmd=epmd) as near,
            Node("b@127.0.0.1", "secret", epmd=epmd) as far,
        ):
            await far.start(Tidy)
            fatal = await far.start(Fatal)
            await near.ping(far.name)
            if how == "call":
                await near.call(fatal.pid, "now", timeout=None)
            await near.cast(fatal.pid, "now")
            await anyio.sleep_forever()

    name = "trio" if backend == "trio" else "asyncio"
    options = {"use_uvloop": True} if backend == "uvloop" else {}
    with pytest.raises((type(error), BaseExceptionGroup)) as caught:
        anyio.run(main, backend=name, backend_options=options)
    assert type(error).__name__ in repr(caught.value)
    assert ended == [Atom("shutdown")]
