"""The processes around a server of the twin tests: its clients, and those that link to it or watch it."""

from collections.abc import Callable
from typing import Any

from etf_codec import Atom, Term
from otp_behaviors import ExitError, GenServer, GenStatem, Ignore, Process
from twin_logs import Board, to_term


class Clients:
    """The processes around the server, and the steps of a scenario.

    Args:
        server: returns the class of the server, for the plan of the scenario.
    """

    def __init__(self, server: Callable[[Any], type[GenServer] | type[GenStatem]]) -> None:
        self.server = server

    async def step(self, driver: Process, board: Board, data: Any) -> None:
        match data:
            case ("start", how, plan):
                board.event("driver", ("started", await self.start(driver, board, how == "link", plan)))
            case ("call", client, to, program, timeout):
                target = board.pids["server"] if to == "pid" else to
                limit = None if timeout == "infinity" else timeout / 1000
                spawn(driver, board, client, calling, target, ("do", program), limit)
            case ("stop", client, reason):
                spawn(driver, board, client, stopping, to_term(reason))
            case ("watch", client, how, trap):
                spawn(driver, board, client, watching, how, trap)
            case ("cast", program):
                driver.cast("server", ("do", program))
            case ("info", message):
                driver.send("server", message if isinstance(message, tuple) else to_term(message))
            case ("answer", value):
                driver.cast("server", ("answer", value))
            case ("signal", reason):
                driver.exit(board.pids["server"], to_term(reason))
            case ("signal_client", client, reason):
                driver.exit(board.pids[client], to_term(reason))
            case ("exit_client", client, reason):
                driver.send(board.pids[client], ("leave", to_term(reason)))

    async def start(self, driver: Process, board: Board, link: bool, plan: Any) -> Term:
        try:
            return ("ok", await driver.start(self.server(plan), board, plan, name="server", link=link))
        except Ignore:
            return "ignore"
        except ExitError as error:
            return ("error", error.reason)


def spawn(driver: Process, board: Board, name: str, function: Any, *args: Any) -> None:
    pid = driver.spawn(client_process, board, name, function, args)
    board.call_it(name, pid)
    driver.monitor(pid)


async def client_process(client: Process, board: Board, name: str, function: Any, args: Any) -> None:
    await function(client, board, name, *args)
    while True:
        match await client.receive():
            case ("leave", reason):
                raise ExitError(reason)
            case message:
                board.event(name, ("got", message))


async def calling(
    client: Process, board: Board, name: str, to: Any, request: Any, timeout: float | None
) -> None:
    try:
        board.event(name, ("ok", await client.call(to, request, timeout)))
    except ExitError as error:
        board.event(name, ("exit", error.reason))


async def stopping(client: Process, board: Board, name: str, reason: Term) -> None:
    try:
        await board.runtime.stop("server", reason, 10)
    except ExitError as error:
        board.event(name, ("exit", error.reason))
    else:
        board.event(name, ("ok", Atom("ok")))


async def watching(client: Process, board: Board, name: str, how: str, trap: bool) -> None:
    client.trap_exit = trap
    match how:
        case "link":
            client.link(board.pids["server"])
        case "monitor":
            client.monitor(board.pids["server"])
        case "monitor_name":
            client.monitor("server")
