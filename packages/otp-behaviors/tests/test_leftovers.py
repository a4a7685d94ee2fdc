"""What a fault leaves over in the tables of nodes at rest, or of nodes whose processes have ended, shows."""

from collections.abc import Callable
from typing import Any, Final

import pytest
from etf_codec import Pid, Reference
from otp_behaviors import Kernel
from otp_behaviors._links import Links
from otp_behaviors._monitors import Monitors
from otp_behaviors._process_table import ProcessRecord, ProcessTable
from otp_behaviors._signals import UnlinkAckSignal, UnlinkSignal
from otp_behaviors.testing import Workload

Patch = pytest.MonkeyPatch

ENOUGH: Final = 40
"""Seeds within which a fault has to show."""


def ignoring_demonitor(patch: Patch) -> None:
    """A process stays watched by who watches no more."""

    def demonitor_received(self: Monitors, sender: Pid, ref: Reference) -> None:
        return None

    patch.setattr(Monitors, "demonitor_received", demonitor_received)


def unlinking_one_side(patch: Patch) -> None:
    """A process stays linked with who has unlinked itself."""

    def unlink_received(self: Links, signal: UnlinkSignal) -> None:
        self._emit(UnlinkAckSignal(signal.to, signal.sender, signal.id))

    patch.setattr(Links, "unlink_received", unlink_received)


def acknowledging_nothing(patch: Patch) -> None:
    """An unlink is never acknowledged."""

    def unlink_received(self: Links, signal: UnlinkSignal) -> None:
        record = self._table.by_pid.get(signal.to)
        if record is not None:
            self._drop(record, signal.sender)

    patch.setattr(Links, "unlink_received", unlink_received)


def keeping_aliases_of_the_dead(patch: Patch) -> None:
    """The aliases of a process outlive it."""
    original = Kernel.exit

    def exit(self: Kernel, record: ProcessRecord, *args: Any, **options: Any) -> None:
        record.aliases = None
        original(self, record, *args, **options)

    patch.setattr(Kernel, "exit", exit)


def keeping_the_dead(patch: Patch) -> None:
    """Processes that ended stay in the table."""
    original = ProcessTable.remove

    def remove(self: ProcessTable, record: ProcessRecord) -> None:
        original(self, record)
        self.by_pid[record.pid] = record

    patch.setattr(ProcessTable, "remove", remove)


def keeping_names_of_the_dead(patch: Patch) -> None:
    """The name of a process outlives it."""
    original = ProcessTable.remove

    def remove(self: ProcessTable, record: ProcessRecord) -> None:
        name = record.name
        original(self, record)
        if name is not None:
            self.by_name.setdefault(name, record)

    patch.setattr(ProcessTable, "remove", remove)


def keeping_links(patch: Patch) -> None:
    """The links with other nodes stay in the list of those that break with their connections."""

    def _forget(self: Links, local: Pid, remote: Pid) -> None:
        return None

    patch.setattr(Links, "_forget", _forget)


def keeping_monitors(patch: Patch) -> None:
    """The monitors of other nodes stay in the list of those that go with their connections."""

    def demonitor_received(self: Monitors, sender: Pid, ref: Reference) -> None:
        record = self._from_node.get(sender.node, {}).get(ref)
        if record is not None and record.monitored_by is not None:
            record.monitored_by.pop(ref, None)

    patch.setattr(Monitors, "demonitor_received", demonitor_received)


def run_seeds() -> None:
    """Run as many seeds as are enough for a fault to show."""
    for seed in range(ENOUGH):
        Workload(seed).run()


LEFT_OVERS: Final[list[tuple[Callable[[Patch], None], str]]] = [
    (ignoring_demonitor, "is monitored by .*, which does not know"),
    (unlinking_one_side, "is linked with .*, which"),
    (acknowledging_nothing, "was never acknowledged"),
    (keeping_aliases_of_the_dead, r"the alias .* belongs to"),
    (keeping_the_dead, "is in the table as"),
    (keeping_names_of_the_dead, r"the name .* belongs to .*, which is not there"),
    (keeping_links, r"left over are \(links, monitors, timers\) \([1-9]"),
    (keeping_monitors, r"left over are \(links, monitors, timers\) \(0, [1-9]"),
]


@pytest.mark.parametrize(("fault", "noticed"), LEFT_OVERS, ids=lambda each: getattr(each, "__name__", ""))
def test_what_is_left_over_is_noticed(
    monkeypatch: Patch, fault: Callable[[Patch], None], noticed: str
) -> None:
    fault(monkeypatch)
    with pytest.raises(AssertionError, match=noticed):
        run_seeds()
