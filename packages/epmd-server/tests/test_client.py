from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from epmd_server import (
    BadAnswer,
    EpmdError,
    EpmdRefused,
    EpmdUnreachable,
    InvalidName,
    NameEntry,
    NameTaken,
    NodeEntry,
    NotRegistered,
    Server,
    kill,
    look_up,
    names,
    register,
    serve,
    stop,
)

pytestmark = pytest.mark.anyio

NODE_A = bytes.fromhex("77 00 0fa0 4d 00 0006 0005 0001 61 0000")


@asynccontextmanager
async def scripted(*pieces: bytes, hang: bool = False) -> AsyncIterator[int]:
    """A server that answers the first bytes it gets with these pieces, whatever was asked."""

    async def answer(stream: SocketStream) -> None:
        async with stream:
            try:
                await stream.receive()
                for piece in pieces:
                    await stream.send(piece)
                if hang:
                    await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                pass

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, answer)
            yield listener.extra(SocketAttribute.local_port)
            tasks.cancel_scope.cancel()


async def free_port() -> int:
    async with serve("127.0.0.1", 0) as server:
        return server.port


async def becomes_empty(server: Server) -> None:
    with anyio.fail_after(5):
        while server.names():  # noqa: ASYNC110  a condition seen from outside has no event
            await anyio.sleep(0.005)


async def test_register_look_up_and_list() -> None:
    async with serve(port=0) as server:
        async with register("py", 4000, epmd_port=server.port, extra=b"e") as first:
            async with register("hid", 4001, epmd_port=server.port, hidden=True) as second:
                assert (first.name, second.name) == ("py", "hid")
                assert first.creation > 3
                found = await look_up("py", "127.0.0.1", epmd_port=server.port)
                assert found == NodeEntry("py", 4000, 77, 0, 6, 5, b"e")
                assert not found.hidden
                assert (await look_up("hid", epmd_port=server.port)).hidden
                assert await names(epmd_port=server.port) == [NameEntry("hid", 4001), NameEntry("py", 4000)]
        await becomes_empty(server)
        assert await names(epmd_port=server.port) == []


async def test_port_and_versions_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(port=0) as server:
        monkeypatch.setenv("ERL_EPMD_PORT", str(server.port))
        monkeypatch.setenv("ERL_EPMD_DIST_HIGH", "5")
        async with register("old", 1) as registration:
            assert registration.creation in {1, 2, 3}
            assert (await look_up("old")).highest_version == 5


async def test_a_creation_can_be_kept() -> None:
    async with serve(port=0) as server:
        async with register("py", 1, epmd_port=server.port, creation=77) as registration:
            assert registration.creation == 77


async def test_a_taken_name_and_how_it_comes_free() -> None:
    async with serve(port=0) as server:
        async with register("py", 1, epmd_port=server.port) as first:
            with pytest.raises(NameTaken, match="choose another"):
                async with register("py", 2, epmd_port=server.port):
                    pytest.fail("two nodes of one name")
        await becomes_empty(server)
        async with register("py", 1, epmd_port=server.port) as second:
            assert second.creation == first.creation + 1


async def test_loss_is_seen_by_everybody_who_waits() -> None:
    seen: list[int] = []
    async with anyio.create_task_group() as tasks:
        async with serve(port=0) as server:
            async with register("py", 1, epmd_port=server.port) as registration:

                async def wait(number: int) -> None:
                    await registration.wait_lost()
                    seen.append(number)

                for number in range(3):
                    tasks.start_soon(wait, number)
                with anyio.move_on_after(0.05) as scope:
                    await registration.wait_lost()
                assert scope.cancelled_caught
                server._killed.set()
                with anyio.fail_after(5):
                    await registration.wait_lost()
                    await registration.wait_lost()
    assert sorted(seen) == [0, 1, 2]


async def test_an_error_in_the_body_is_not_wrapped_and_gives_the_name_back() -> None:
    async with serve(port=0) as server:
        with pytest.raises(KeyError):
            async with register("py", 1, epmd_port=server.port):
                raise KeyError
        await becomes_empty(server)


async def test_nobody_there() -> None:
    port = await free_port()
    for question in (look_up("py", epmd_port=port), names(epmd_port=port), kill(epmd_port=port)):
        with pytest.raises(EpmdUnreachable, match="epmd-server -daemon"):
            await question
    with pytest.raises(EpmdUnreachable):
        async with register("py", 1, epmd_port=port):
            pytest.fail("registered at nobody")


async def test_unknown_node() -> None:
    async with serve(port=0) as server:
        with pytest.raises(NotRegistered, match="'nobody'"):
            await look_up("nobody", epmd_port=server.port)


@pytest.mark.parametrize("name", ["", "py@host", "a" * 256, "\0"])
async def test_invalid_names_are_not_sent(name: str) -> None:
    with pytest.raises(InvalidName):
        await look_up(name, epmd_port=1)
    with pytest.raises(InvalidName):
        async with register(name, 1, epmd_port=1):
            pytest.fail("registered")


async def test_a_host_that_does_not_exist() -> None:
    with pytest.raises(EpmdUnreachable, match="host name has no address"):
        await names("no-such-host.invalid", epmd_port=1)


@pytest.mark.parametrize("port", [-1, 65536])
async def test_a_port_that_is_none(port: int) -> None:
    with pytest.raises(ValueError, match="no TCP port"):
        async with register("py", port, epmd_port=1):
            pytest.fail("registered")


async def test_too_much_extra_data_is_not_sent() -> None:
    with pytest.raises(ValueError, match="1021 bytes"):
        async with register("py", 1, epmd_port=1, extra=b"x" * 1021):
            pytest.fail("registered")


async def test_kill_and_stop() -> None:
    async with serve(port=0) as server:
        async with register("py", 1, epmd_port=server.port) as node:
            with pytest.raises(EpmdRefused, match="relaxed_command_check"):
                await kill(epmd_port=server.port)
            with pytest.raises(EpmdRefused, match="relaxed_command_check"):
                await stop("py", epmd_port=server.port)
    async with serve(port=0, relaxed_command_check=True) as server:
        async with register("py", 1, epmd_port=server.port) as node:
            assert await stop("py", epmd_port=server.port)
            assert not await stop("py", epmd_port=server.port)
            with anyio.fail_after(5):
                await node.wait_lost()
        async with register("other", 1, epmd_port=server.port):
            await kill(epmd_port=server.port)
        with anyio.fail_after(5):
            await server.wait_closed()


async def test_an_answer_in_pieces() -> None:
    async with scripted(*(bytes([byte]) for byte in NODE_A)) as port:
        assert (await look_up("a", epmd_port=port)).port == 4000
    async with scripted(*(bytes([byte]) for byte in bytes.fromhex("76 00 6b03ce42")), hang=True) as port:
        async with register("a", 1, epmd_port=port) as registration:
            assert registration.creation == 0x6B03CE42


Question = Callable[[int], Awaitable[object]]


async def _register(port: int, timeout: float = 5.0) -> None:
    async with register("a", 1, epmd_port=port, timeout=timeout):
        pytest.fail("registered")


QUESTIONS: dict[str, Question] = {
    "look_up": lambda port: look_up("a", epmd_port=port),
    "names": lambda port: names(epmd_port=port),
    "kill": lambda port: kill(epmd_port=port),
    "stop": lambda port: stop("a", epmd_port=port),
    "register": _register,
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 5000, NODE_A + b"x"])
async def test_answers_that_are_not_epmds(question: Question, answer: bytes) -> None:
    async with scripted(answer) as port:
        with pytest.raises(BadAnswer):
            await question(port)


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
async def test_a_connection_closed_without_an_answer(question: Question) -> None:
    async with scripted() as port:
        with pytest.raises(EpmdRefused, match="without an answer"):
            await question(port)


@pytest.mark.parametrize("cut", range(2, len(NODE_A)))
async def test_a_look_up_cut_short(cut: int) -> None:
    async with scripted(NODE_A[:cut]) as port:
        with pytest.raises(EpmdError):
            await look_up("a", epmd_port=port)


async def test_an_answer_about_another_node() -> None:
    async with scripted(NODE_A) as port:
        with pytest.raises(BadAnswer, match="about b'a'"):
            await look_up("b", epmd_port=port)


async def test_an_epmd_that_never_answers() -> None:
    async with scripted(hang=True) as port:
        with anyio.fail_after(5):
            with pytest.raises(EpmdUnreachable, match=r"within 0\.1 s"):
                await look_up("a", epmd_port=port, timeout=0.1)
            with pytest.raises(EpmdUnreachable, match=r"within 0\.1 s"):
                await _register(port, timeout=0.1)


async def test_an_answer_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("epmd_server._client.MAX_ANSWER_BYTES", 100_000)
    async with scripted(*[b"x" * 65536] * 100) as port:
        with pytest.raises(BadAnswer, match="more than 100000 bytes"):
            await names(epmd_port=port)
