"""Aliases with all their ends, and priority messages; asked from inside of a process."""

from collections.abc import Callable
from typing import Any

import pytest
from etf_codec import Atom, Reference
from otp_behaviors import Down, Process

Play = Callable[..., Any]


async def _idle(process: Process) -> None:
    await process.receive()


def _mail(process: Process) -> list[Any]:
    messages = list(process._record.mailbox)
    process._record.mailbox.clear()
    return messages


@pytest.mark.parametrize(
    ("mode", "after_message", "after_demonitor"),
    [
        ("explicit_unalias", True, True),
        ("demonitor", True, False),
        ("reply_demonitor", False, False),
    ],
)
def test_the_alias_of_a_monitor(play: Play, mode: Any, after_message: bool, after_demonitor: bool) -> None:
    async def scenario(self: Process) -> None:
        def active(alias: Reference) -> bool:
            self.send(alias, "?")
            return _mail(self) == ["?"]

        watched = self.spawn(_idle)
        alias = self.monitor(watched, alias=mode)
        assert active(alias)
        assert active(alias) is after_message
        assert self.demonitor(alias) is after_message
        assert active(alias) is after_demonitor
        assert self.unalias(alias) is after_demonitor
        assert not active(alias)

    play(scenario)


@pytest.mark.parametrize(
    ("mode", "left"), [("explicit_unalias", True), ("demonitor", False), ("reply_demonitor", False)]
)
def test_the_alias_of_a_monitor_that_fires(play: Play, mode: Any, left: bool) -> None:
    async def scenario(self: Process) -> None:
        alias = self.monitor("nobody", alias=mode)
        down = await self.receive()
        assert isinstance(down, Down)
        assert down.ref == alias
        assert self.unalias(alias) is left

    play(scenario)


def test_an_alias_for_one_reply(play: Play) -> None:
    async def scenario(self: Process) -> None:
        alias = self.alias("reply")
        self.send(alias, 1)
        self.send(alias, 2)
        assert _mail(self) == [1]
        assert not self.unalias(alias)

    play(scenario)


def test_only_the_modes_of_otp(play: Play) -> None:
    async def scenario(self: Process) -> None:
        with pytest.raises(ValueError, match="reply_demonitor"):
            self.monitor("nobody", alias="reply")  # type: ignore[arg-type]  # what is tested
        with pytest.raises(ValueError, match="explicit_unalias"):
            self.alias("demonitor")  # type: ignore[arg-type]  # what is tested

    play(scenario)


def test_priority_messages_come_first_in_their_order(play: Play) -> None:
    async def scenario(self: Process) -> None:
        urgent, other = self.alias(priority=True), self.alias(priority=True)
        plain = self.alias()
        self.send(self.pid, "a")
        self.send_priority(urgent, "p1")
        self.send_priority(other, "p2")
        self.send_priority(plain, "b")
        self.send(urgent, "c")
        assert await self.receive() == "p1"
        self.send_priority(urgent, "p3")
        assert _mail(self) == ["p2", "p3", "a", "b", "c"]
        self.send_priority(urgent, "p4")
        self.unalias(urgent)
        self.send_priority(urgent, "dropped")
        assert _mail(self) == ["p4"]

    play(scenario)


def test_a_selective_receive_sees_a_priority_message(play: Play, spawn: Callable[..., Any]) -> None:
    async def sender(process: Process, alias: Reference) -> None:
        process.send_priority(alias, Atom("urgent"))

    async def scenario(self: Process) -> None:
        alias = self.alias(priority=True)
        self.send(self.pid, "in the way")
        spawn(sender, alias)
        assert await self.receive(lambda message: message == Atom("urgent"), 1) == Atom("urgent")
        assert _mail(self) == ["in the way"]

    play(scenario)
