"""The tables of `global` on one node: read by all, changed by the name server alone."""

from __future__ import annotations

from collections.abc import Callable

from etf_codec import Pid, Reference

from ergo_node._global_locks import LockTable
from ergo_node._global_names import NameTable, Registered
from ergo_node._global_resolve import Methods


class Tables:
    """The names and locks of a node: empty unless the name server runs, which alone changes them."""

    def __init__(self) -> None:
        self.methods = Methods()
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.open(_nobody, _nothing)

    def open(self, monitor: Callable[[Pid], Reference], demonitor: Callable[[Reference], object]) -> None:
        """Begin with empty tables; whom they have is watched from now on."""
        self.names = NameTable(monitor, demonitor, self._dropped)
        self.locks = LockTable(monitor, demonitor)

    def _dropped(self, entry: Registered) -> None:
        self.methods.forget(entry.method)


def _nobody(pid: Pid) -> Reference:
    raise RuntimeError("global_name_server does not run")


def _nothing(ref: Reference) -> None:
    raise RuntimeError("global_name_server does not run")
