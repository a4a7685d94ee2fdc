"""What a supervisor does when a child has ended: a pure decision, after `supervisor:do_restart/3`.

| reason | permanent | transient | temporary |
|---|---|---|---|
| `normal`, `shutdown`, `{shutdown, _}` | restart | keep, not running | forget |
| anything else | restart | restart | forget |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from etf_codec import Term

from otp_behaviors._children import Children, Member
from otp_behaviors._reasons import is_clean

Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one"]
AutoShutdown: TypeAlias = Literal["never", "any_significant", "all_significant"]

STRATEGIES: Final = ("one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one")
AUTO_SHUTDOWNS: Final = ("never", "any_significant", "all_significant")


@dataclass(frozen=True, slots=True)
class Keep:
    """The child does not run any more; its specification stays."""


@dataclass(frozen=True, slots=True)
class Forget:
    """The child does not run any more, and its specification goes."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Stop `stop` (in reverse order), then start `start` (in order). Ids, in start order."""

    stop: tuple[Term, ...]
    start: tuple[Term, ...]


Decision: TypeAlias = Keep | Forget | Restart


def decide(children: Children, child: Member, reason: Term, strategy: Strategy) -> Decision:
    """Say what to do about a child that has ended."""
    restart = child.spec.restart
    if restart == "temporary":
        return Forget()
    if restart == "transient" and is_clean(reason):
        return Keep()
    return restart_of(children, child, strategy)


def restart_of(children: Children, child: Member, strategy: Strategy) -> Restart:
    """Say which children stop and start when one is to be restarted."""
    affected = {
        "one_for_one": (child,),
        "simple_one_for_one": (child,),
        "rest_for_one": children.from_child(child.spec.id) if strategy == "rest_for_one" else (),
        "one_for_all": tuple(children),
    }[strategy]
    # Stopping a temporary child takes it out for good, so it is not among those that start again.
    return Restart(
        stop=tuple(member.spec.id for member in affected if member.pid is not None and member is not child),
        start=tuple(member.spec.id for member in affected if member.spec.restart != "temporary"),
    )


def ends_supervisor(children: Children, child: Member, auto_shutdown: AutoShutdown) -> bool:
    """Tell whether the end of a child that is not restarted ends its supervisor, with `shutdown`."""
    if auto_shutdown == "never" or not child.spec.significant:
        return False
    others = (member for member in children if member.spec.id != child.spec.id)
    return auto_shutdown == "any_significant" or not any(
        member.spec.significant and (member.pid is not None or member.restarting) for member in others
    )


def add_restart(
    restarts: tuple[int, ...], now: float, intensity: int, period: float
) -> tuple[int, ...] | None:
    """Count a restart. OTP counts in whole seconds, and so is this.

    Args:
        restarts: earlier restarts, newest first, as this function returned them.
        now: the present, in seconds.
        intensity: how many restarts are allowed …
        period: … within so many seconds.

    Returns:
        The restarts that still count, or None if they are more than `intensity`.
    """
    second = math.floor(now)
    recent = (second, *(restart for restart in restarts if restart >= second - period))
    return recent if len(recent) <= intensity else None
