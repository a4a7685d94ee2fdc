"""The process behind observer's page Applications: `appmon_info` of OBSERVER."""

from __future__ import annotations

from typing import Any, Final

from etf_codec import Atom, Pid, Term, to_text
from otp_behaviors import GenServer, Runtime

INTERVAL: Final = 2.0
"""Seconds from one look to the next; only what has changed is sent."""

MAX_ASKED: Final = 1000
"""What one client can ask to be told of; observer asks for two things at a time."""

DELIVERY: Final = Atom("delivery")
APP_CTRL: Final = Atom("app_ctrl")
APP: Final = Atom("app")
LOOK: Final = Atom("look")


class ApplicationMonitor(GenServer):
    """Tells who asks of the applications that run, and of the processes of each, whenever they change."""

    def init(self, runtime: Runtime, client: Pid) -> None:
        """Look at a runtime for a client, with which this process is linked."""
        self._runtime_seen = runtime
        self._asked: dict[tuple[Pid, Atom, Term], Term] = {}
        self.link(client)
        self.send_after(INTERVAL, self.pid, LOOK)

    def handle_call(self, request: Any, caller: Any) -> Any:
        """`{register_client, Pid}`."""
        return Atom("ok")

    def handle_cast(self, message: Any) -> None:
        """`{From, What, Which, On, Options}`: deliver something from now on, or no longer."""
        match message:
            case (Pid() as sender, Atom() as what, Atom() as which, True, _) if what in (APP_CTRL, APP):
                if len(self._asked) < MAX_ASKED:
                    self._asked[sender, what, which] = None
                    self._look()
            case (Pid() as sender, Atom() as what, Atom() as which, False, _):
                self._asked.pop((sender, what, which), None)

    def handle_info(self, message: Any) -> None:
        """It is time to look again."""
        if message == LOOK:
            self._look()
            self.send_after(INTERVAL, self.pid, LOOK)

    def _look(self) -> None:
        for (sender, what, which), known in list(self._asked.items()):
            seen = self._applications() if what == APP_CTRL else self._tree(which)
            if seen != known:
                self._asked[sender, what, which] = seen
                self.send(sender, (DELIVERY, self.pid, what, which, seen))

    def _applications(self) -> Term:
        """`[{Master, Name, {Name, Description, Version}}]`."""
        runtime = self._runtime_seen
        rows = []
        for application in reversed(runtime.which_applications()):
            master, name = runtime.application_master(application.name), Atom(application.name)
            if master is not None:
                description, version = _string(application.description), _string(application.version)
                rows.append((master, name, (name, description, version)))
        return rows

    def _tree(self, name: Term) -> Term:
        """`{Root, [{Pid, Name}], [{Parent, Child}], []}`: who started whom."""
        root = self._runtime_seen.application_master(str(name))
        if root is None:
            return ([], [], [], [])
        children: dict[Pid | None, list[Pid]] = {}
        for pid, record in self._kernel.table.by_pid.items():
            children.setdefault(record.parent, []).append(pid)
        members, pairs = [root], []
        for parent in members:
            for pid in children.get(parent, ()):
                members.append(pid)
                pairs.append((self._name(parent), self._name(pid)))
        return (self._name(root), [(pid, self._name(pid)) for pid in members], pairs, [])

    def _name(self, pid: Pid) -> Term:
        record = self._kernel.table.by_pid.get(pid)
        return _string(record.name if record is not None and record.name else to_text(pid))


def _string(text: str) -> Term:
    return list(map(ord, text))
