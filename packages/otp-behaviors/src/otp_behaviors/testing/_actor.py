"""The processes of a random cluster: they do as told, and note what they do and what happens to them."""

from __future__ import annotations

from typing import Any, Final

from etf_codec import Atom, Pid, Reference, Term

from otp_behaviors._errors import NO_REPLY, ExitError, NameTaken, Stop
from otp_behaviors._gen_call import Caller
from otp_behaviors._gen_server import GenServer
from otp_behaviors._process import Process
from otp_behaviors._reasons import NORMAL
from otp_behaviors._signals import Down, Exit, RemoteName
from otp_behaviors.testing._simulation import Simulation

NAMES: Final = ("x", "y", "z")
"""What actors register themselves as: few, so that they collide."""

WAYS: Final = ("now", "later", "never", "waiting", "crash", "stop")
"""How `Echo` may answer."""

EXIT_2: Final = Atom("exit_2")
WAITING_TIME: Final = 0.02


class Broken(Exception):
    """The crash that `Echo` is asked for."""


class Echo(GenServer):
    """Answers as the request asks for: at once, later, from a coroutine, never, or by its own end."""

    def init(self) -> None:
        """Owe nobody an answer."""
        self.late: list[tuple[Caller, Term]] = []

    def handle_call(self, request: Any, caller: Caller) -> Any:
        """Answer `(way, token)` with itself."""
        late, self.late = self.late, []
        for earlier, answer in late:
            self.reply(earlier, answer)
        match request:
            case ("later", _):
                self.late.append((caller, request))
                return NO_REPLY
            case ("never", _):
                return NO_REPLY
            case ("waiting", _):
                return self._wait(request)
            case ("crash", token):
                raise Broken(token)
            case ("stop", _):
                raise Stop(NORMAL, reply=request)
        return request

    async def _wait(self, request: Term) -> Term:
        try:
            await self.receive(lambda message: False, timeout=WAITING_TIME)
        except TimeoutError:
            return request


class Postman(GenServer):
    """Forwards numbers; it does not wait in its callback, so that a node that does not read holds it up."""

    def init(self, simulation: Simulation) -> None:
        """Note what it does, as an actor."""
        self._simulation = simulation
        self._sent = 0

    def handle_info(self, message: Any) -> None:
        """`forward` sends a number of its own to somebody."""
        _, sender, target, number, onward = message
        self._sent += 1
        self._simulation.note(self.pid, "got", sender, target, number)
        self._simulation.note(self.pid, "send", onward, self._sent)
        self.send(onward, ("number", self.pid, onward, self._sent))


class Actor:
    """The state of one process that runs `act`.

    Args:
        simulation: where it notes things: `(pid, verb, *details)`.
        process: the process.
    """

    def __init__(self, simulation: Simulation, process: Process) -> None:
        self._simulation = simulation
        self._process = process
        self._pid = process.pid
        self._refs: list[Reference] = []
        self._own_aliases: list[Reference] = []
        self._aliases: list[Reference] = []
        self._sent = 0

    async def run(self) -> None:
        """Take messages for ever."""
        self._process.trap_exit = self._simulation.chance.happens(0.7)
        self._simulation.nodes[self._pid.node].subscribe(self._pid)
        while True:
            match message := await self._process.receive():
                case ("do", verb, *args):
                    waiting = getattr(self, f"do_{verb}")(*args)
                    if waiting is not None:
                        await waiting
                case ("number", sender, target, number):
                    self._note("got", sender, target, number)
                case ("use this alias", alias):
                    self._aliases.append(alias)
                case ("alias", alias, number):
                    self._note("got_alias", alias, number)
                case (Atom("nodeup" | "nodedown") as news, node):
                    self._note(str(news), str(node))
                case Down(ref, who, reason):
                    self._note("down", ref, who, reason, self._names_of(who))
                case Exit(pid, reason):
                    self._note(
                        "exit_message", pid, reason, is_direct(self._pid, message), self._names_of(pid)
                    )
                case _:
                    self._note("surprise", message)

    def _note(self, *what: Any) -> None:
        self._simulation.note(self._pid, *what)

    def _number(self) -> int:
        self._sent += 1
        return self._sent

    def _queued(self, pid: Pid) -> int:
        """Exit messages of a link to `pid` that have come and not been taken yet."""
        mailbox = self._process._record.mailbox
        return sum(type(m) is Exit and m.pid == pid and not is_direct(self._pid, m) for m in mailbox)

    def _names_of(self, pid: Term) -> list[str]:
        return [name for name in NAMES if self._process.whereis(name) == pid]

    # What actors do. Each verb of a workload's table has its method.

    def do_send(self, target: Pid) -> None:
        """Send a number to a pid."""
        number = self._number()
        self._note("send", target, number)
        self._process.send(target, ("number", self._pid, target, number))

    def do_forward(self, target: Pid) -> None:
        """Send a number to the postman of this node, which sends one of its own on."""
        postman = self._process.whereis("postman")
        if postman is not None:
            number = self._number()
            self._note("send", postman, number)
            self._process.send(postman, ("forward", self._pid, postman, number, target))

    def do_send_name(self, name: str, node: str) -> None:
        """Send a number to a name."""
        self._process.send(RemoteName(name, node), ("number", self._pid, None, self._number()))

    def do_link(self, target: Pid) -> None:
        """Link."""
        self._note("link", target, self._queued(target))
        self._process.link(target)

    def do_unlink(self, target: Pid) -> None:
        """Unlink."""
        self._note("unlink", target, self._queued(target))
        self._process.unlink(target)

    def do_monitor(self, target: Pid) -> None:
        """Monitor a pid."""
        self._refs.append(self._process.monitor(target))
        self._note("monitor", self._refs[-1], target)

    def do_monitor_name(self, name: str, node: str) -> None:
        """Monitor a name."""
        self._refs.append(self._process.monitor(RemoteName(name, node)))
        self._note("monitor", self._refs[-1], (Atom(name), Atom(node)))

    def do_demonitor(self, index: int, flush: bool) -> None:
        """Demonitor one of those it has, or had."""
        if self._refs:
            ref = self._refs[index % len(self._refs)]
            self._note("demonitor", ref, flush, self._process.demonitor(ref, flush))

    def do_exit(self, target: Pid, reason: Term) -> None:
        """Send an exit signal; `exit_2` stands for a reason that tells it from that of a link."""
        if reason == EXIT_2:
            reason = (EXIT_2, self._pid, target, self._number())
        self._note("exit_2", target, reason)
        self._process.exit(target, reason)

    def do_trap(self, flag: bool) -> None:
        """Trap exits, or not."""
        self._process.trap_exit = flag

    def do_alias(self, target: Pid) -> None:
        """Make an alias and give it to somebody."""
        self._own_aliases.append(self._process.alias())
        self._note("alias", self._own_aliases[-1])
        self._process.send(target, ("use this alias", self._own_aliases[-1]))

    def do_send_alias(self, index: int) -> None:
        """Send by an alias it was given."""
        if self._aliases:
            alias = self._aliases[index % len(self._aliases)]
            token = (self._pid, self._number())
            self._note("send_alias", alias, token)
            self._process.send(alias, ("alias", alias, token))

    def do_unalias(self) -> None:
        """Deactivate the latest alias."""
        if self._own_aliases:
            alias = self._own_aliases.pop()
            mailbox = self._process._record.mailbox
            queued = [m[2] for m in mailbox if type(m) is tuple and m[:2] == ("alias", alias)]
            self._note("unalias", alias, queued)
            self._process.unalias(alias)

    def do_register(self, name: str) -> None:
        """Register itself."""
        try:
            self._process.register(name)
        except NameTaken:
            self._note("name_taken", name)

    def do_unregister(self, name: str) -> None:
        """Take a name from whoever has it."""
        self._process.unregister(name)

    def do_spawn(self) -> None:
        """Spawn and link."""
        self._note("link", self._process.spawn(act, self._simulation, link=True), 0)

    def do_end(self, reason: Term) -> None:
        """End with a reason."""
        self._note("end", reason)
        raise ExitError(reason)

    async def do_call(self, node: str, way: str, timeout: float) -> None:
        """Call the echo server of a node."""
        number = self._number()
        self._note("calling", number)
        try:
            answer = await self._process.call(RemoteName("echo", node), (way, number), timeout)
        except ExitError as error:
            self._note("call_failed", number, error.reason[0])
        else:
            self._note("answered", number, way, answer)


async def act(process: Process, simulation: Simulation) -> None:
    """Be an actor."""
    await Actor(simulation, process).run()


def is_direct(receiver: Pid, message: Exit) -> bool:
    """Whether an exit message is of exit/2 to the receiver, and not of a link."""
    reason = message.reason
    return isinstance(reason, tuple) and reason[:3] == (EXIT_2, message.pid, receiver)
