"""What the reference manual guarantees holds in random clusters, and each check finds the fault it is for.

`ERGO_SEEDS=5000` runs more seeds than the default.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any, Final

import pytest
from etf_codec import Atom, Reference
from otp_behaviors import KILL, ExitSignal, Kernel, Process
from otp_behaviors._links import Links
from otp_behaviors._monitors import Monitors
from otp_behaviors._process_table import ProcessRecord, ProcessTable
from otp_behaviors.testing import SimulatedNode, Stuck, Workload, violations
from otp_behaviors.testing._actor import Actor, Echo
from otp_behaviors.testing._network import Connection, Network

SEEDS: Final = int(os.environ.get("ERGO_SEEDS", "200"))
BATCH: Final = 20
ENOUGH: Final = 40
"""Seeds within which a fault of the kernel has to show."""


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_guarantees_hold(first: int) -> None:
    found = {seed: violations(Workload(seed).run().log) for seed in range(first, first + BATCH)}
    assert not any(found.values()), {seed: lines for seed, lines in found.items() if lines}


def test_a_seed_reproduces() -> None:
    assert Workload(3).run().transcript() == Workload(3).run().transcript()
    assert Workload(3).run().transcript() != Workload(4).run().transcript()


def test_a_seed_reproduces_in_another_interpreter() -> None:
    program = "from otp_behaviors.testing import Workload; print(Workload(5).run().transcript())"
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            check=True,
            timeout=50,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(texts) == 1
    assert texts.pop().count(b"\n") > 1000


# Faults, each built into the kernel, the network or an actor, and what has to notice it.


def overtaking(patch: pytest.MonkeyPatch) -> None:
    """Signals of one connection overtake each other."""
    patch.setattr(Connection, "arrival", property(lambda self: {}, lambda self, value: None))


def dropping(patch: pytest.MonkeyPatch) -> None:
    """Now and then a message is dropped."""
    original, turns = Kernel.put, count()
    patch.setattr(Kernel, "put", lambda *args: original(*args) if next(turns) % 20 else None)


def repeating(patch: pytest.MonkeyPatch) -> None:
    """Messages come twice."""
    original = SimulatedNode.signal_arrived

    def arrived(self: SimulatedNode, signal: Any) -> None:
        original(self, signal)
        original(self, signal)

    patch.setattr(SimulatedNode, "signal_arrived", arrived)


def speaking_after_the_end(patch: pytest.MonkeyPatch) -> None:
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


def ignoring_unlink(patch: pytest.MonkeyPatch) -> None:
    """An exit signal of a link that was removed still counts."""

    def exit_received(self: Links, signal: ExitSignal) -> None:
        record = self._table.by_pid.get(signal.to)
        if record is not None:
            self._exit_signal(record, signal.sender, signal.reason, True)

    patch.setattr(Links, "exit_received", exit_received)


def forgetting_links(patch: pytest.MonkeyPatch) -> None:
    """A lost connection breaks no links."""
    original = Links.take_node

    def take_node(self: Links, node: str) -> list[Any]:
        original(self, node)
        return []

    patch.setattr(Links, "take_node", take_node)


def forgetting_monitors(patch: pytest.MonkeyPatch) -> None:
    """A lost connection fires no monitors."""
    original = Monitors.take_node

    def take_node(self: Monitors, node: str) -> list[Any]:
        original(self, node)
        return []

    patch.setattr(Monitors, "take_node", take_node)


def keeping_names(patch: pytest.MonkeyPatch) -> None:
    """Names are released after the signals of the exit."""
    original = ProcessTable.remove

    def remove(self: ProcessTable, record: ProcessRecord) -> None:
        name, record.name = record.name, None
        original(self, record)
        record.name = name

    patch.setattr(ProcessTable, "remove", remove)


def killing_with_kill(patch: pytest.MonkeyPatch) -> None:
    """A kill is passed on as it is."""
    original = Kernel.exit

    def exit(self: Kernel, record: ProcessRecord, reason: Any, *rest: Any, **options: Any) -> None:
        original(self, record, KILL if reason == Atom("killed") else reason, *rest, **options)

    patch.setattr(Kernel, "exit", exit)


def keeping_aliases(patch: pytest.MonkeyPatch) -> None:
    """`unalias` does nothing."""

    def unalias(self: Process, alias: Reference) -> bool:
        return True

    patch.setattr(Process, "unalias", unalias)


def noticing_too_early(patch: pytest.MonkeyPatch) -> None:
    """A node believes that a connection is lost, and signals still come over it."""

    def lose(self: Network, a: str, b: str) -> bool:
        connection = self._views.get((a, b))
        if connection is not None:
            self._noticed(connection, a, b)
        return connection is not None

    patch.setattr(Network, "lose", lose)


def using_pids_again(patch: pytest.MonkeyPatch) -> None:
    """A restarted node has the creation it had."""
    original = SimulatedNode.restart

    def restart(self: SimulatedNode) -> None:
        self.creation = 0
        original(self)

    patch.setattr(SimulatedNode, "restart", restart)


def answering_somebody_else(patch: pytest.MonkeyPatch) -> None:
    """An answer is that to the request before."""
    original = Echo.handle_call
    before: list[Any] = [None]

    def handle_call(self: Echo, request: Any, caller: Any) -> Any:
        last, before[0] = before[0], request
        return original(self, last if last and request[0] == "now" == last[0] else request, caller)

    patch.setattr(Echo, "handle_call", handle_call)


FAULTS: Final[list[tuple[Callable[[pytest.MonkeyPatch], None], str]]] = [
    (overtaking, "order"),
    (dropping, "loss"),
    (repeating, "order"),
    (speaking_after_the_end, "order_across_kinds"),
    (ignoring_unlink, "links"),
    (forgetting_links, "links"),
    (forgetting_monitors, "monitors"),
    (keeping_names, "names"),
    (killing_with_kill, "kill"),
    (keeping_aliases, "aliases"),
    (noticing_too_early, "nodes"),
    (using_pids_again, "incarnations"),
    (answering_somebody_else, "calls"),
]


@pytest.mark.parametrize(("fault", "noticed_by"), FAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_fault_is_noticed(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch], None], noticed_by: str
) -> None:
    fault(monkeypatch)
    for seed in range(ENOUGH):
        workload = Workload(seed)
        with suppress(AssertionError, Stuck):
            workload.run()
        if any(line.startswith(f"{noticed_by}: ") for line in violations(workload.simulation.log)):
            return
    pytest.fail(f"{ENOUGH} seeds, and nobody noticed: {fault.__doc__}")
