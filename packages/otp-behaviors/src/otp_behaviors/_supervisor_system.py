"""A supervisor as system messages see it: in OTP it is a gen_server with the record `#state{}`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, Protocol

from etf_codec import Atom, Term

from otp_behaviors._children import UNDEFINED, Child, Children, Member, specification
from otp_behaviors._debug import IN, NO_REPLY_EVENT, OUT, Debug
from otp_behaviors._gen_call import Caller
from otp_behaviors._process import Process
from otp_behaviors._restart import AutoShutdown, Strategy
from otp_behaviors._system import Status, SystemProcess, chars

SUPERVISOR: Final = Atom("supervisor")

Work = Coroutine[Any, Any, None]


class Tree(Protocol):
    """What a supervisor was started with."""

    children: tuple[Child, ...]

    strategy: Strategy
    auto_shutdown: AutoShutdown

    intensity: int
    period: float


class Supervising(Protocol):
    """A supervisor at work: what system messages need of it."""

    _children: Children
    _restarts: tuple[int, ...]

    def use(self, tree: Any) -> None:
        """Supervise by another description from now on."""

    @property
    def _supervisor(self) -> Tree: ...

    def _shut_down(self, reason: Term) -> Work: ...


class SupervisorSystem(SystemProcess):
    """System messages of a supervisor, and its events while it is debugged.

    Args:
        supervising: the supervisor at work.
        process: its process, from inside.
    """

    __slots__ = ("_debug", "_supervising")

    def __init__(self, supervising: Supervising, process: Process) -> None:
        super().__init__(process)
        self._supervising = supervising
        self._debug: Debug | None = None

    @property
    def debug(self) -> Debug | None:
        """The debug options."""
        return self._debug

    def set_debug(self, debug: Debug | None) -> None:
        """Note events from now on, or no more."""
        self._debug = debug

    def received(self, message: Term) -> None:
        """A message came that is no system message."""
        if self._debug is not None:
            self._debug.handle((IN, message))

    def replied(self, reply: Term, caller: Caller) -> None:
        """A call was answered."""
        if self._debug is not None:
            self._debug.handle((OUT, reply, caller, self.get_state()))

    def handled(self) -> None:
        """A message was handled that is no call."""
        if self._debug is not None:
            self._debug.handle((NO_REPLY_EVENT, self.get_state()))

    def get_state(self) -> Term:
        """The record `#state{}` of OTP 25, with each child as its specification and pid."""
        supervising, record = self._supervising, self.record
        tree = supervising._supervisor
        name = (Atom("local"), Atom(record.name)) if record.name else (record.pid, SUPERVISOR)
        members = list(supervising._children)
        children = {
            member.spec.id: {**specification(member.spec), Atom("pid"): member.pid or UNDEFINED}
            for member in members
        }
        return (
            Atom("state"),
            name,
            Atom(tree.strategy),
            ([member.spec.id for member in members], children),
            UNDEFINED,
            tree.intensity,
            tree.period,
            list(supervising._restarts),
            0,
            Atom(tree.auto_shutdown),
            SUPERVISOR,
            [],
        )

    def replace_state(self, function: Callable[[Any], Any]) -> Term:
        """Refused: a supervisor whose record and children differ helps nobody."""
        raise TypeError("use start_child, terminate_child or change_code to change a supervisor")

    def status(self) -> Status:
        """As OTP's `supervisor:format_status/2`."""
        return [("Logged events", self.log)], [
            (Atom("data"), [(chars("State"), self.get_state())]),
            (SUPERVISOR, [(chars("Callback"), SUPERVISOR)]),
        ]

    def change_code(self, module: Any, old_version: Any, extra: Any) -> None:
        """Supervise by another Supervisor value, if `module` is one: running children go on.

        As in OTP, children with an id that both have get the new specification at their next start, children
        that only the new one has are not started, those that only the old one had are kept.
        """
        tree = self._supervising._supervisor
        if not isinstance(module, type(tree)):
            return
        if (module.strategy == "simple_one_for_one") != (tree.strategy == "simple_one_for_one"):
            raise ValueError("a supervisor cannot change to or from simple_one_for_one")
        if module.strategy != "simple_one_for_one":
            self._supervising._children = _renewed(self._supervising._children, module.children)
        self._supervising.use(module)

    def terminate(self, reason: Term) -> Work | None:
        """Stop the children, then end."""
        return self._supervising._shut_down(reason)

    def proceed(self) -> None:
        """Nothing was interrupted."""


def _renewed(old: Children, specs: tuple[Child, ...]) -> Children:
    """`supervisor:update_childspec/2`."""
    ids = [spec.id for spec in specs]
    kept = [member for member in old if member.spec.id not in ids]
    renewed = []
    for spec in specs:
        member = old.find(spec.id)
        renewed.append(Member(spec) if member is None else replace(member, spec=spec))
    return Children([*kept, *renewed])
