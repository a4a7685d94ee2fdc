"""`user` and `put_chars`, without another node."""

from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import anyio
import pytest
from ergo_node import _io, put_chars
from ergo_node._io import User, to_stdout
from etf_codec import Atom, Pid, Term
from otp_behaviors import ExitError, LocalRuntime, Process, ServerHandle

pytestmark = pytest.mark.anyio

OK, ERROR, UNICODE, IO_LIB = Atom("ok"), Atom("error"), Atom("unicode"), Atom("io_lib")
PUT, FORMAT, ENOTSUP = Atom("put_chars"), Atom("format"), Atom("enotsup")


class Terminal:
    """What `user` has printed, until it is closed."""

    def __init__(self) -> None:
        self.text = ""
        self.closed = False
        self.pids: list[Pid] = []

    def write(self, text: str) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        self.text += text


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture
async def runtime() -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime() as runtime:
        yield runtime


@pytest.fixture
async def user(runtime: LocalRuntime, terminal: Terminal) -> ServerHandle:
    return await runtime.start(User, terminal.write, terminal.pids.append, name="user")


async def ask(runtime: LocalRuntime, user: ServerHandle, request: Term) -> Any:
    answers: list[Any] = []

    async def asker(self: Process) -> None:
        self.send(user, (Atom("io_request"), self.pid, 7, request))
        answers.append(await self.receive(timeout=5))

    await runtime.monitor(runtime.spawn(asker))
    tag, seven, reply = answers[0]
    assert (tag, seven) == (Atom("io_reply"), 7)
    return reply


@pytest.mark.parametrize(
    ("request_", "reply", "printed"),
    [
        ((PUT, UNICODE, "é".encode()), OK, "é"),
        ((PUT, Atom("latin1"), b"\xe9"), OK, "é"),
        ((PUT, b"old"), OK, "old"),
        ((PUT, UNICODE, IO_LIB, FORMAT, [b"~w", [1]]), OK, "1"),
        ((PUT, IO_LIB, Atom("fwrite"), [b"~w", [1]]), OK, "1"),
        ((PUT, UNICODE, IO_LIB, Atom("write"), [b"a"]), OK, "<<97>>"),
        ((Atom("requests"), [(PUT, UNICODE, b"a"), (PUT, UNICODE, b"b")]), OK, "ab"),
        ((Atom("requests"), [(PUT, UNICODE, b"a"), (PUT, UNICODE, 1.5), (PUT, b"b")]), (ERROR, PUT), "a"),
        ((PUT, UNICODE, b"\xff"), (ERROR, PUT), ""),
        ((PUT, UNICODE, IO_LIB, FORMAT, [b"~w", []]), (ERROR, FORMAT), ""),
        ((PUT, UNICODE, Atom("os"), Atom("cmd"), [b"id"]), (ERROR, Atom("request")), ""),
        ((PUT, UNICODE, IO_LIB, Atom("cmd"), [b"id"]), (ERROR, Atom("cmd")), ""),
        ((Atom("get_line"), UNICODE, b"? "), (ERROR, ENOTSUP), ""),
        ((Atom("get_until"), UNICODE, b"? ", IO_LIB, Atom("x"), []), (ERROR, ENOTSUP), ""),
        ((Atom("get_geometry"), Atom("columns")), (ERROR, ENOTSUP), ""),
        ((Atom("setopts"), [Atom("binary")]), OK, ""),
        (Atom("nonsense"), (ERROR, Atom("request")), ""),
    ],
)
async def test_requests(
    runtime: LocalRuntime, user: ServerHandle, terminal: Terminal, request_: Any, reply: Term, printed: str
) -> None:
    assert await ask(runtime, user, request_) == reply
    assert terminal.text == printed


async def test_a_closed_terminal(runtime: LocalRuntime, user: ServerHandle, terminal: Terminal) -> None:
    terminal.closed = True
    assert await ask(runtime, user, (PUT, UNICODE, b"x")) == (ERROR, Atom("terminated"))


async def test_it_survives_other_messages(
    runtime: LocalRuntime, user: ServerHandle, terminal: Terminal
) -> None:
    for message in (7, (), (Atom("io_request"), 1, 2, 3)):
        await user.send(message)
        await user.cast(message)
        with pytest.raises(TimeoutError):
            await user.call(message, timeout=0.01)
    assert await ask(runtime, user, (PUT, UNICODE, b"x")) == OK
    assert terminal.pids == [user.pid]


async def test_put_chars(runtime: LocalRuntime, user: ServerHandle, terminal: Terminal) -> None:
    done = anyio.Event()

    async def writer(self: Process) -> None:
        with pytest.raises(ExitError, match="no group leader"):
            await put_chars(self, "nowhere")
        self.group_leader = user.pid
        await put_chars(self, "é\n")
        terminal.closed = True
        with pytest.raises(ExitError) as refused:
            await put_chars(self, "x")
        assert refused.value.reason == (ERROR, Atom("terminated"))
        self.send(self.pid, b"kept")
        await user.stop()
        with pytest.raises(ExitError, match="has ended"):
            await put_chars(self, "x")
        assert await self.receive(timeout=0) == b"kept"
        done.set()

    watch = runtime.monitor(runtime.spawn(writer))
    assert (await watch).reason == Atom("normal")
    assert done.is_set()
    assert terminal.text == "é\n"


def test_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    to_stdout("é\n")
    assert capsys.readouterr().out == "é\n"


async def test_a_flood_waits_for_its_turn(
    runtime: LocalRuntime, user: ServerHandle, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_io, "MAX_CHARACTERS", 10)
    monkeypatch.setattr(_io, "MAX_WAITING", 5)
    monkeypatch.setattr(_io, "WINDOW", 0.05)
    answers: list[Any] = []

    async def flood(self: Process) -> None:
        for number in range(8):
            self.send(user, (Atom("io_request"), self.pid, number, (PUT, UNICODE, b"12345")))
        self.send(user, b"not the end of the window")
        for _ in range(8):
            answers.append(await self.receive(timeout=10))

    started = monotonic()
    await runtime.monitor(runtime.spawn(flood))
    assert terminal.text == "12345" * 7
    # The eighth found no room to wait; it has its answer before those that wait.
    assert [answer[1] for answer in answers] == [0, 1, 7, 2, 3, 4, 5, 6]
    assert [answer[2] for answer in answers] == [OK, OK, (ERROR, Atom("terminated")), OK, OK, OK, OK, OK]
    assert monotonic() - started >= 3 * 0.05  # ten characters in each of four windows


async def test_a_link_does_not_end_it(runtime: LocalRuntime, user: ServerHandle, terminal: Terminal) -> None:
    async def linked(self: Process) -> None:
        self.link(user.pid)
        raise ExitError(Atom("boom"), "as a peer may")

    await runtime.monitor(runtime.spawn(linked))
    assert await ask(runtime, user, (PUT, UNICODE, b"x")) == OK
