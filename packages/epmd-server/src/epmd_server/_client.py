"""What a node asks of an EPMD: register me, where is that node, who is there."""

import errno
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import anyio
from anyio.abc import SocketStream

from . import _environment
from ._errors import BadAnswer, EpmdRefused, EpmdUnreachable, NameTaken, NotRegistered
from ._messages import (
    MAX_EXTRA_BYTES,
    Alive2Request,
    DumpRequest,
    KillRequest,
    NameEntry,
    NamesRequest,
    NodeEntry,
    NodeType,
    Port2Request,
    Request,
    StopRequest,
    encode_name,
    encode_request,
    parse_alive2_answer,
    parse_names_answer,
    parse_port2_answer,
)

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
"""A list of 65535 names of ordinary length takes 3 MiB; what never ends is not an EPMD."""

TCP: Final = 0
"""The `Protocol` a node registers with: TCP, over IPv4 or IPv6."""


class Registration:
    """A name held at an EPMD; `register()` gives it, and gives it back.

    Attributes:
        name: the name before the `@`.
        creation: what tells this life of the name from earlier ones: the one kept by the caller, or the
            one EPMD chose. 1 to 3 from an old EPMD, any larger 32-bit number from a current one.
    """

    def __init__(self, name: str, creation: int, stream: SocketStream) -> None:
        self.name = name
        self.creation = creation
        self._stream = stream
        self._lost = anyio.Event()
        self._reading = anyio.Lock()

    async def wait_lost(self) -> None:
        """Return when the name is lost, because EPMD ended or unregistered us. Register again then."""
        async with self._reading:
            while not self._lost.is_set():
                try:
                    await self._stream.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                    self._lost.set()


@asynccontextmanager
async def register(
    name: str,
    port: int,
    *,
    host: str = "127.0.0.1",
    epmd_port: int | None = None,
    hidden: bool = False,
    extra: bytes = b"",
    creation: int | None = None,
    highest_version: int | None = None,
    lowest_version: int | None = None,
    timeout: float = 5.0,
) -> AsyncIterator[Registration]:
    """Hold a name at the EPMD of this host, until the context is left.

    Args:
        name: the part of the node name before the `@`.
        port: TCP port on which the node accepts distribution connections.
        host: where EPMD runs. It accepts registrations from its own host only.
        epmd_port: None is ERL_EPMD_PORT, or 4369.
        hidden: register as a hidden node.
        extra: opaque bytes that every look-up of the name returns, at most 1020.
        creation: keep this creation instead of EPMD's choice: what a running node does when it registers
            again after EPMD was lost, because its identifiers carry the old one.
        highest_version: distribution version; None is 6, or less by ERL_EPMD_DIST_HIGH.
        lowest_version: distribution version; None is 5, or more by ERL_EPMD_DIST_LOW.
        timeout: seconds for connecting and registering together.

    Raises:
        InvalidName: the name can belong to no node.
        ValueError: `port` or `extra` is out of range.
        NameTaken: a living node has it.
        EpmdUnreachable: no EPMD answers.
        EpmdRefused: EPMD does not take us for a local node.
        BadAnswer: what answers is not an EPMD.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"port {port} is no TCP port: give the one on which the node accepts connections")
    if len(extra) > MAX_EXTRA_BYTES:
        raise ValueError(f"extra has {len(extra)} bytes, EPMD keeps at most {MAX_EXTRA_BYTES}")
    request = Alive2Request(
        port,
        NodeType.HIDDEN if hidden else NodeType.VISIBLE,
        TCP,
        _environment.highest_version() if highest_version is None else highest_version,
        _environment.lowest_version() if lowest_version is None else lowest_version,
        encode_name(name),
        extra,
    )
    epmd = Epmd(host, epmd_port, timeout)
    stream, given = await epmd.register(request, name)
    try:
        yield Registration(name, given if creation is None else creation, stream)
    finally:
        with anyio.CancelScope(shield=True):
            await stream.aclose()


async def look_up(
    name: str, host: str = "127.0.0.1", *, epmd_port: int | None = None, timeout: float = 5.0
) -> NodeEntry:
    """Ask the EPMD of `host` for the node `name` (the part before the `@`).

    Raises:
        NotRegistered: there is an EPMD, and no such node.
        EpmdUnreachable: no EPMD answers there within `timeout` seconds.
        InvalidName: the name can belong to no node.
        BadAnswer: what answers is not an EPMD, or it answers about another node.
    """
    epmd = Epmd(host, epmd_port, timeout)
    found = parse_port2_answer(await epmd.ask(Port2Request(encode_name(name))), name)
    if found is None:
        raise NotRegistered(f"{epmd} knows no node {name!r}: is it running, and spelled so?")
    return found


async def names(
    host: str = "127.0.0.1", *, epmd_port: int | None = None, timeout: float = 5.0
) -> list[NameEntry]:
    """Ask the EPMD of `host` for all living nodes, in its order (newest first).

    Raises:
        EpmdUnreachable: no EPMD answers there within `timeout` seconds.
        BadAnswer: what answers is not an EPMD.
    """
    return parse_names_answer(await Epmd(host, epmd_port, timeout).ask(NamesRequest()))


async def kill(host: str = "127.0.0.1", *, epmd_port: int | None = None, timeout: float = 5.0) -> None:
    """Tell the EPMD of this host to end, as `epmd -kill` does.

    Raises:
        EpmdRefused: nodes are living, and it was not started with -relaxed_command_check.
        EpmdUnreachable: no EPMD answers there within `timeout` seconds.
        BadAnswer: what answers is not an EPMD.
    """
    epmd = Epmd(host, epmd_port, timeout)
    answer = await epmd.ask(KillRequest())
    if answer == b"NO":
        raise EpmdRefused(f"{epmd} has living nodes: stop them, or start it with -relaxed_command_check")
    if answer != b"OK":
        raise BadAnswer(f"{epmd} answered {answer[:16]!r} to KILL_REQ: expected OK or NO")


async def stop(
    name: str, host: str = "127.0.0.1", *, epmd_port: int | None = None, timeout: float = 5.0
) -> bool:
    """Tell the EPMD of this host to unregister a node, as `epmd -stop` does; False if there is none.

    Raises:
        EpmdRefused: it was not started with -relaxed_command_check.
        EpmdUnreachable: no EPMD answers there within `timeout` seconds.
        BadAnswer: what answers is not an EPMD.
    """
    epmd = Epmd(host, epmd_port, timeout)
    answer = await epmd.ask(StopRequest(encode_name(name)))
    if not answer.startswith((b"STOPPED", b"NOEXIST")):
        raise BadAnswer(f"{epmd} answered {answer[:16]!r} to STOP_REQ: expected STOPPED or NOEXIST")
    return answer.startswith(b"STOPPED")


class Epmd:
    """Where an EPMD is, and how long to wait for it."""

    def __init__(self, host: str, port: int | None, timeout: float) -> None:
        self._host = host
        self._port = _environment.epmd_port() if port is None else port
        self._timeout = timeout

    def __str__(self) -> str:
        return f"EPMD at {self._host}, port {self._port},"

    async def ask(self, request: Request) -> bytes:
        """The whole answer to a request after which EPMD closes the connection; at least one byte."""
        with self._errors_translated():
            async with await anyio.connect_tcp(self._host, self._port) as stream:
                await stream.send(encode_request(request))
                answer = await _read_to_end(stream)
        if not answer:
            raise EpmdRefused(f"{self} closed the connection without an answer to {REMEDIES[type(request)]}")
        return answer

    async def register(self, request: Alive2Request, name: str) -> tuple[SocketStream, int]:
        """Connect and register: the connection that holds the name, and the creation."""
        with self._errors_translated():
            stream = await anyio.connect_tcp(self._host, self._port)
            try:
                result, creation = await self._read_creation(stream, request)
                if result:
                    raise NameTaken(
                        f"{self} refuses {name!r}: a living node has it; choose another name or end that node"
                    )
            except BaseException:
                await anyio.aclose_forcefully(stream)
                raise
        return stream, creation

    async def _read_creation(self, stream: SocketStream, request: Alive2Request) -> tuple[int, int]:
        await stream.send(encode_request(request))
        data = b""
        while (answer := parse_alive2_answer(data)) is None:
            try:
                data += await stream.receive()
            except anyio.EndOfStream:
                raise EpmdRefused(
                    f"{self} closed the connection without an answer to {REMEDIES[Alive2Request]}"
                ) from None
        return answer

    @contextmanager
    def _errors_translated(self) -> Iterator[None]:
        try:
            with anyio.fail_after(self._timeout):
                yield
        except TimeoutError as error:
            raise EpmdUnreachable(f"{self} did not answer within {self._timeout} s") from error
        except socket.gaierror as error:
            raise EpmdUnreachable(
                f"{self} cannot be reached: the host name has no address; check its spelling and the DNS"
            ) from error
        except (OSError, anyio.BrokenResourceError) as error:
            if (exhausted := _exhausted(error)) is not None:
                raise EpmdUnreachable(f"{self} was not asked, for lack of resources: {exhausted}") from error
            raise EpmdUnreachable(
                f"{self} cannot be reached: is one running there? `epmd-server -daemon` starts one"
            ) from error


def _exhausted(error: BaseException | None) -> OSError | None:
    """The cause, if it is that this program, or its host, may open no more files."""
    while isinstance(error, BaseException):
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return error
        error = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__
    return None


REMEDIES: Final[dict[type[Request], str]] = {
    Alive2Request: "ALIVE2_REQ: it takes registrations only from its own host",
    Port2Request: "PORT2_REQ: is the port really EPMD's?",
    NamesRequest: "NAMES_REQ: is the port really EPMD's?",
    DumpRequest: "DUMP_REQ: it obeys only clients on its own host",
    KillRequest: "KILL_REQ: it obeys only clients on its own host",
    StopRequest: "STOP_REQ: start it with -relaxed_command_check, and ask from its own host",
}
"""What a request that was met with silence wants, by the request."""


async def _read_to_end(stream: SocketStream) -> bytes:
    answer = bytearray()
    while True:
        try:
            answer += await stream.receive()
        except anyio.EndOfStream:
            return bytes(answer)
        if len(answer) > MAX_ANSWER_BYTES:
            raise BadAnswer(f"an answer of more than {MAX_ANSWER_BYTES} bytes: is the port really EPMD's?")
