"""The EPMD server: sessions on sockets, over anyio."""

import itertools
import logging
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import anyio
from anyio.abc import SocketStream, TaskGroup, TaskStatus

from ._addresses import ListenAddress, is_local_peer
from ._environment import epmd_port, listen_addresses
from ._listening import bind
from ._messages import NameEntry
from ._registry import Registry
from ._session import Event, Killed, Policy, Refused, Registered, Session, State, Stopped, Unregistered

logger = logging.getLogger("epmd_server")

RECEIVE_BYTES: Final = 4096
"""A whole request fits."""

ACCEPT_PAUSE: Final = 0.1
"""Seconds without accepting after the operating system ran out of file descriptors or memory."""


class Server:
    """A running EPMD; `serve()` gives it.

    Attributes:
        port: the TCP port it listens on, at all its addresses.
        addresses: the IP addresses it listens on.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        policy: Policy,
        *,
        epoch: float,
        delay_accept: float,
        delay_write: float,
    ) -> None:
        self.port = policy.port
        self.addresses: tuple[str, ...] = tuple(sock.getsockname()[0] for sock in sockets)
        self._sockets = sockets
        self._policy = policy
        self._registry = Registry(epoch=epoch)
        self._delay_accept = delay_accept
        self._delay_write = delay_write
        self._numbers = itertools.count(1)
        self._connections: dict[int, anyio.CancelScope] = {}
        self._killed = anyio.Event()
        self._closed = anyio.Event()

    def names(self) -> list[NameEntry]:
        """The living nodes, newest first."""
        return [NameEntry(life.node.name.decode(), life.node.port) for life in self._registry]

    async def wait_closed(self) -> None:
        """Return once the server has ended, because it was told to by `epmd -kill`."""
        await self._closed.wait()

    async def _run(self, *, task_status: TaskStatus[None]) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                for listening in self._sockets:
                    listening.setblocking(False)
                    tasks.start_soon(self._accept, listening, tasks)
                task_status.started()
                await self._killed.wait()
                tasks.cancel_scope.cancel()
        finally:
            for listening in self._sockets:
                listening.close()
            self._closed.set()

    async def _accept(self, listening: socket.socket, tasks: TaskGroup) -> None:
        failing = False
        while True:
            if self._delay_accept:
                await anyio.sleep(self._delay_accept)
            try:
                # Not by a listener of anyio: on asyncio it loses who connects in the moment of its end.
                await anyio.wait_readable(listening)
                sock, _ = listening.accept()
            except BlockingIOError:
                continue  # whoever it was has gone again
            except OSError as error:
                # No descriptor is free, or the client has gone already. Neither may end the server:
                # descriptors come back as nodes leave and idle clients time out.
                if not failing:
                    logger.warning("error in accept: %s", error)
                failing = True
                await anyio.sleep(ACCEPT_PAUSE)
            else:
                failing = False
                tasks.start_soon(self._serve_connection, sock)

    async def _serve_connection(self, sock: socket.socket) -> None:
        # Not the file descriptor: the system may give that to the next client before this task has ended.
        number = next(self._numbers)
        now = anyio.current_time()
        session = Session(self._registry, self._policy, connection=number, local=_is_local(sock), now=now)
        scope = self._connections[number] = anyio.CancelScope()
        stream: SocketStream | None = None
        try:
            with scope:
                stream = await _stream(sock)
                await self._converse(stream, session)
        except (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            logger.debug("connection %d lost: %s", number, error)
        except Exception:
            # One client must not end the EPMD of all the others, whatever it found.
            logger.exception("connection %d closed by an error of ours", number)
        finally:
            session.receive_eof()
            self._react(session.events())
            del self._connections[number]
            if stream is None:
                sock.close()
            else:
                with anyio.CancelScope(shield=True):
                    await stream.aclose()

    async def _converse(self, stream: SocketStream, session: Session) -> None:
        while session.state is not State.CLOSED:
            await self._receive(stream, session)
            answer, events = session.data_to_send(), session.events()
            try:
                if answer:
                    await self._send(stream, answer)
            finally:
                # An order is obeyed even when the one who gave it does not wait for the answer.
                self._react(events)

    async def _receive(self, stream: SocketStream, session: Session) -> None:
        deadline = session.deadline()
        with anyio.CancelScope(deadline=float("inf") if deadline is None else deadline) as scope:
            try:
                data = await stream.receive(RECEIVE_BYTES)
            except anyio.EndOfStream:
                session.receive_eof()
            else:
                session.receive_data(data, anyio.current_time())
        if scope.cancelled_caught:
            session.handle_time(anyio.current_time())

    async def _send(self, stream: SocketStream, answer: bytes) -> None:
        if self._delay_write:
            await anyio.sleep(self._delay_write)
        # A client that does not read its answer is as idle as one that does not write.
        with anyio.fail_after(self._policy.packet_timeout):
            await stream.send(answer)

    def _react(self, events: Sequence[Event]) -> None:
        for event in events:
            match event:
                case Registered(life):
                    logger.debug("registering %r, port %d", life.node.name, life.node.port)
                case Unregistered(life):
                    logger.debug("unregistering %r, port %d", life.node.name, life.node.port)
                case Refused(reason):
                    logger.info("%s", reason)
                case Stopped(number):
                    if number in self._connections:
                        self._connections[number].cancel()
                case Killed():
                    logger.info("got KILL_REQ - terminates normal")
                    self._killed.set()


@asynccontextmanager
async def serve(
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    sockets: Sequence[socket.socket] | None = None,
    relaxed_command_check: bool = False,
    allow_kill: bool = True,
    packet_timeout: float = 60.0,
    delay_accept: float = 0.0,
    delay_write: float = 0.0,
) -> AsyncIterator[Server]:
    """Run an EPMD inside this program, until the context is left.

    Args:
        host: IP address or addresses to listen on, exactly these. None is ERL_EPMD_ADDRESS, if set, and
            the loopback addresses of IPv4 and IPv6, of which one may be missing. Whoever reaches an
            address can read all names; registering is for this host only.
        port: None is ERL_EPMD_PORT, or 4369. 0 draws a free one.
        sockets: listening TCP sockets to use instead of `host` and `port`; the server owns them.
        relaxed_command_check: obey `epmd -kill` beside living nodes, and `epmd -stop`.
        allow_kill: obey `epmd -kill` at all.
        packet_timeout: seconds after which a silent client is dropped. Registered nodes may be silent.
        delay_accept: seconds to wait before each accept, to simulate a busy server.
        delay_write: seconds to wait before each answer, to simulate a busy server.

    Raises:
        AddressInUse: another EPMD, or another program, has the port.
        CannotListen: an address in `host` is not one of this host, or not allowed.
    """
    if sockets is None:
        sockets = bind(_listen_addresses(host), epmd_port() if port is None else port)
    policy = Policy(sockets[0].getsockname()[1], relaxed_command_check, allow_kill, packet_timeout)
    epoch = time.time() - anyio.current_time()
    server = Server(sockets, policy, epoch=epoch, delay_accept=delay_accept, delay_write=delay_write)
    failure: Exception | None = None
    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(server._run)
            try:
                yield server
            except Exception as error:
                # Carried around the task group, which would wrap the caller's own exception in a group.
                failure = error
            finally:
                tasks.cancel_scope.cancel()
    finally:
        for sock in sockets:
            sock.close()
    if failure is not None:
        raise failure


def _listen_addresses(host: str | Sequence[str] | None) -> list[ListenAddress]:
    if host is None:
        return listen_addresses()
    return [ListenAddress(each) for each in ([host] if isinstance(host, str) else host)]


async def _stream(sock: socket.socket) -> SocketStream:
    try:
        return await SocketStream.from_socket(sock)
    except ValueError as error:  # what anyio says of a socket that is not connected any more
        raise ConnectionResetError(str(error)) from error


def _is_local(sock: socket.socket) -> bool:
    try:
        return is_local_peer(str(sock.getpeername()[0]), str(sock.getsockname()[0]))
    except OSError:
        return False
