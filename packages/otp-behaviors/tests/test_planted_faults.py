"""Each check of a guarantee finds its fault: faults are built into the kernel, the network, an actor."""

from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any, Final

import pytest
from etf_codec import Atom, Pid, Reference
from otp_behaviors import KILL, NORMAL, Down, ExitError, ExitSignal, Kernel, Process
from otp_behaviors._links import Links
from otp_behaviors._monitors import Monitors
from otp_behaviors._process import LocalProcess
from otp_behaviors._process_table import ProcessRecord, ProcessTable
from otp_behaviors._references import References
from otp_behaviors._signals import AliasSignal, Signal
from otp_behaviors.testing import SimulatedNode, Stuck, Workload, violations
from otp_behaviors.testing._actor import Actor, Echo
from otp_behaviors.testing._guarantees import CHECKS
from otp_behaviors.testing._network import Connection, Network

Patch = pytest.MonkeyPatch

ENOUGH: Final = 40
"""Seeds within which a fault has to show."""


def overtaking(patch: Patch) -> None:
    """Signals of one connection overtake each other."""
    patch.setattr(Connection, "arrival", property(lambda self: {}, lambda self, value: None))


def dropping(patch: Patch) -> None:
    """Now and then a message is dropped."""
    original, turns = Kernel.put, count()
    patch.setattr(Kernel, "put", lambda *args: original(*args) if next(turns) % 20 else None)


def repeating(patch: Patch) -> None:
    """Messages come twice."""
    original = SimulatedNode.signal_arrived

    def arrived(self: SimulatedNode, signal: Any) -> None:
        original(self, signal)
        original(self, signal)

    patch.setattr(SimulatedNode, "signal_arrived", arrived)


def speaking_after_the_end(patch: Patch) -> None:
    """Exit signals overtake messages."""
    original = SimulatedNode.take_outgoing

    def take(self: SimulatedNode) -> list[Any]:
        return sorted(original(self), key=lambda signal: not isinstance(signal, ExitSignal))

    patch.setattr(SimulatedNode, "take_outgoing", take)
    patch.setattr(Actor, "do_end", saying_farewell(Actor.do_end))


def saying_farewell(end: Callable[..., None]) -> Callable[..., None]:
    def do_end(self: Any, reason: Any) -> None:
        for pid in self._process._record.links or ():
            self.do_send(pid)
        end(self, (Atom("end"), self._pid))

    return do_end


def ignoring_unlink(patch: Patch) -> None:
    """An exit signal of a link that was removed still counts."""

    def exit_received(self: Links, signal: ExitSignal) -> None:
        record = self._table.by_pid.get(signal.to)
        if record is not None:
            self._exit_signal(record, signal.sender, signal.reason, True)

    patch.setattr(Links, "exit_received", exit_received)


def forgetting_links(patch: Patch) -> None:
    """A lost connection breaks no links."""
    original = Links.take_node

    def take_node(self: Links, node: str) -> list[Any]:
        original(self, node)
        return []

    patch.setattr(Links, "take_node", take_node)


def forgetting_monitors(patch: Patch) -> None:
    """A lost connection fires no monitors."""
    original = Monitors.take_node

    def take_node(self: Monitors, node: str) -> list[Any]:
        original(self, node)
        return []

    patch.setattr(Monitors, "take_node", take_node)


def keeping_names(patch: Patch) -> None:
    """Names are released after the signals of the exit."""
    original = ProcessTable.remove

    def remove(self: ProcessTable, record: ProcessRecord) -> None:
        name, record.name = record.name, None
        original(self, record)
        record.name = name

    patch.setattr(ProcessTable, "remove", remove)


def killing_with_kill(patch: Patch) -> None:
    """A kill is passed on as it is."""
    original = Kernel.exit

    def exit(self: Kernel, record: ProcessRecord, reason: Any, *rest: Any, **options: Any) -> None:
        original(self, record, KILL if reason == Atom("killed") else reason, *rest, **options)

    patch.setattr(Kernel, "exit", exit)


def keeping_aliases(patch: Patch) -> None:
    """`unalias` does nothing."""

    def unalias(self: Process, alias: Reference) -> bool:
        return True

    patch.setattr(Process, "unalias", unalias)


def noticing_too_early(patch: Patch) -> None:
    """A node believes that a connection is lost, and signals still come over it."""

    def lose(self: Network, a: str, b: str) -> bool:
        connection = self._views.get((a, b))
        if connection is not None:
            self._noticed(connection, a, b)
        return connection is not None

    patch.setattr(Network, "lose", lose)


def using_pids_again(patch: Patch) -> None:
    """A restarted node has the creation it had."""
    original = SimulatedNode.restart

    def restart(self: SimulatedNode) -> None:
        self.creation = 0
        original(self)

    patch.setattr(SimulatedNode, "restart", restart)


def answering_somebody_else(patch: Patch) -> None:
    """An answer is that to the request before."""
    original = Echo.handle_call
    before: list[Any] = [None]

    def handle_call(self: Echo, request: Any, caller: Any) -> Any:
        last, before[0] = before[0], request
        return original(self, last if last and request[0] == "now" == last[0] else request, caller)

    patch.setattr(Echo, "handle_call", handle_call)


def losing_what_comes_by_alias(patch: Patch) -> None:
    """Now and then a message to an alias is dropped."""
    original, turns = SimulatedNode.signal_arrived, count(1)

    def arrived(self: SimulatedNode, signal: Signal) -> None:
        if not isinstance(signal, AliasSignal) or next(turns) % 3:
            original(self, signal)

    patch.setattr(SimulatedNode, "signal_arrived", arrived)


def telling_strangers(patch: Patch) -> None:
    """The end of a process is told to one that was never linked with it."""
    original = Links.process_exited

    def process_exited(self: Links, record: ProcessRecord, reason: Any) -> None:
        linked = record.links or {}
        stranger = next((each for each in self._table.by_pid.values() if each.pid not in linked), None)
        original(self, record, reason)
        if stranger is not None:
            self._exit_signal(stranger, record.pid, reason, True)

    patch.setattr(Links, "process_exited", process_exited)


def breaking_links_twice(patch: Patch) -> None:
    """A link outlives the exit signal it was for."""

    def exit_received(self: Links, signal: ExitSignal) -> None:
        record = self._table.by_pid.get(signal.to)
        entry = None if record is None else (record.links or {}).get(signal.sender)
        if record is not None and entry is not None and entry.active:
            self._exit_signal(record, signal.sender, signal.reason, True)

    patch.setattr(Links, "exit_received", exit_received)


def firing_twice(patch: Patch) -> None:
    """A monitor fires twice."""
    original = LocalProcess.down

    def down(self: LocalProcess, ref: Reference, reason: Any) -> None:
        monitor = (self.monitors or {}).get(ref)
        original(self, ref, reason)
        if monitor is not None and self.alive:
            self.kernel.put(self, Down(ref, monitor.who(), reason))

    patch.setattr(LocalProcess, "down", down)


def trapping_kills(patch: Patch) -> None:
    """`kill` by exit/2 can be trapped."""
    original = Kernel._exit_signal

    def _exit_signal(self: Kernel, record: Any, sender: Pid, reason: Any, linked: bool) -> None:
        original(self, record, sender, reason, linked or reason == KILL)

    patch.setattr(Kernel, "_exit_signal", _exit_signal)


def ending_with_normal(patch: Patch) -> None:
    """`normal` ends who does not trap exits."""
    original = Kernel._exit_signal

    def _exit_signal(self: Kernel, record: Any, sender: Pid, reason: Any, linked: bool) -> None:
        if reason == NORMAL and not record.trap_exit and record is not self.current:
            self.exit(record, NORMAL, by_signal=True)
        else:
            original(self, record, sender, reason, linked)

    patch.setattr(Kernel, "_exit_signal", _exit_signal)


def purging_mailboxes(patch: Patch) -> None:
    """`unalias` takes what had come by the alias out of the mailbox."""
    original = Process.unalias

    def unalias(self: Process, alias: Reference) -> bool:
        mailbox = self._record.mailbox
        for message in [each for each in mailbox if type(each) is tuple and each[:2] == ("alias", alias)]:
            mailbox.remove(message)
        return original(self, alias)

    patch.setattr(Process, "unalias", unalias)


def misdelivering_aliases(patch: Patch) -> None:
    """A message to an alias comes to the owner of another one."""
    original = References.alias_target

    def alias_target(self: References, ref: Reference) -> Any:
        found = original(self, ref)
        others = [each for each in self.aliases.values() if isinstance(each, LocalProcess)]
        return others[0] if isinstance(found, LocalProcess) else found

    patch.setattr(References, "alias_target", alias_target)


def running_on(patch: Patch) -> None:
    """Who sends to a node that does not read goes on."""
    patch.setattr(Kernel, "suspend", lambda self, pid: pid in self.table.by_pid)


def resuming_nobody(patch: Patch) -> None:
    """Who was held up gets no turn when the node reads again."""
    patch.setattr(Kernel, "resume", lambda self, pid: None)


def forgetting_who_waits(patch: Patch) -> None:
    """Nobody is told that the node reads again."""
    patch.setattr(SimulatedNode, "let_go", lambda self, kernel, pid: None)


def replacing_in_silence(patch: Patch) -> None:
    """A new connection takes the place of the old one, whose nodedown never comes."""
    original = Network._connect

    def _connect(self: Network, source: str, target: str) -> Connection:
        self._views.pop((target, source), None)
        return original(self, source, target)

    patch.setattr(Network, "_connect", _connect)


def delivering_late(patch: Patch) -> None:
    """What a connection brought waits in a queue, and its nodedown overtakes it."""
    original = SimulatedNode.signal_arrived

    def arrived(self: Any, signal: Signal) -> None:
        kernel, world = self.kernel, self._world
        world.at(world.now + 0.02, lambda: original(self, signal) if kernel is self.kernel else None)

    patch.setattr(SimulatedNode, "signal_arrived", arrived)


def swallowing_nodedown(patch: Patch) -> None:
    """Processes are not told of a nodedown."""
    patch.setattr(SimulatedNode, "connection_lost", lambda self, node, was_up: self.kernel.nodes.down(node))


def crashing(patch: Patch) -> None:
    """There is an error in the kernel."""
    original, turns = Links.unlink, count(1)

    def unlink(self: Links, record: ProcessRecord, pid: Pid) -> None:
        if next(turns) % 10 == 0:
            raise KeyError(pid)
        original(self, record, pid)

    patch.setattr(Links, "unlink", unlink)


FAULTS: Final[list[tuple[Callable[[Patch], None], str]]] = [
    (overtaking, "order"),
    (dropping, "loss"),
    (repeating, "order"),
    (speaking_after_the_end, "order_across_kinds"),
    (losing_what_comes_by_alias, "loss"),
    (resuming_nobody, "loss"),
    (ignoring_unlink, "links"),
    (telling_strangers, "links"),
    (breaking_links_twice, "links"),
    (forgetting_links, "links"),
    (forgetting_monitors, "monitors"),
    (firing_twice, "monitors"),
    (keeping_names, "names"),
    (killing_with_kill, "kill"),
    (trapping_kills, "kill"),
    (ending_with_normal, "kill"),
    (keeping_aliases, "aliases"),
    (purging_mailboxes, "aliases"),
    (running_on, "suspension"),
    (forgetting_who_waits, "suspension"),
    (noticing_too_early, "connections"),
    (replacing_in_silence, "connections"),
    (delivering_late, "nodes"),
    (swallowing_nodedown, "nodes"),
    (using_pids_again, "incarnations"),
    (misdelivering_aliases, "incarnations"),
    (answering_somebody_else, "calls"),
    (crashing, "crashes"),
]


@pytest.mark.parametrize(("fault", "noticed_by"), FAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_fault_is_noticed(monkeypatch: Patch, fault: Callable[[Patch], None], noticed_by: str) -> None:
    fault(monkeypatch)
    for seed in range(ENOUGH):
        workload = Workload(seed)
        with suppress(AssertionError, Stuck, ExitError):
            workload.run()
        if any(line.startswith(f"{noticed_by}: ") for line in violations(workload.simulation.log)):
            return
    pytest.fail(f"{ENOUGH} seeds, and nobody noticed: {fault.__doc__}")


def test_each_check_has_its_fault() -> None:
    assert {check.__name__ for check in CHECKS} == {noticed_by for _, noticed_by in FAULTS}
