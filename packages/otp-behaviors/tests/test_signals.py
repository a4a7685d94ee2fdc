"""The messages and the names that signals carry."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from etf_codec import Atom, Pid, Reference
from otp_behaviors import (
    AliasSignal,
    DemonitorSignal,
    Down,
    DownSignal,
    Exit,
    ExitSignal,
    GroupLeaderSignal,
    LinkSignal,
    MessageSignal,
    MonitorSignal,
    RemoteName,
    Signal,
    UnlinkAckSignal,
    UnlinkSignal,
    destination,
)

HERE = Pid("a@host", 1, 0, 1)
THERE = Pid("b@host", 2, 0, 1)
REF = Reference("b@host", 1, (1, 2, 3))
BOOM = Atom("boom")


def test_down_is_the_tuple_of_otp_and_can_be_taken_apart() -> None:
    down = Down(REF, HERE, BOOM)
    assert tuple(down) == (Atom("DOWN"), REF, Atom("process"), HERE, BOOM)
    assert (down.ref, down.who, down.reason) == (REF, HERE, BOOM)
    match down:
        case Down(ref, who, reason):
            assert (ref, who, reason) == (REF, HERE, BOOM)


def test_exit_is_the_tuple_of_otp_and_can_be_taken_apart() -> None:
    exit = Exit(HERE, BOOM)
    assert tuple(exit) == (Atom("EXIT"), HERE, BOOM)
    assert (exit.pid, exit.reason) == (HERE, BOOM)
    match exit:
        case Exit(pid, reason):
            assert (pid, reason) == (HERE, BOOM)


@pytest.mark.parametrize(
    "message", [(Atom("EXIT"), HERE, BOOM), (Atom("DOWN"), REF, Atom("process"), HERE, 1)]
)
def test_a_forged_message_is_no_exit_and_no_down(message: Any) -> None:
    assert not isinstance(message, Exit | Down)


def test_a_remote_name_takes_atoms_too_and_stays_as_it_is() -> None:
    name = RemoteName(Atom("x"), Atom("a@host"))
    assert name == RemoteName("x", "a@host")
    assert (type(name.name), type(name.node)) == (str, str)
    assert len({name, RemoteName("x", "a@host"), RemoteName("y", "a@host")}) == 2
    with pytest.raises(FrozenInstanceError):
        name.node = "c@host"  # type: ignore[misc]  # that it cannot be set is the point


@pytest.mark.parametrize(
    "signal",
    [
        MessageSignal(HERE, THERE, 1),
        MessageSignal(HERE, RemoteName("x", "b@host"), 1),
        AliasSignal(HERE, REF, 1),
        AliasSignal(HERE, REF, 1, HERE),
        LinkSignal(HERE, THERE),
        UnlinkSignal(HERE, THERE, 1),
        UnlinkAckSignal(HERE, THERE, 1),
        ExitSignal(HERE, THERE, BOOM, linked=True),
        MonitorSignal(HERE, RemoteName("x", "b@host"), REF),
        DemonitorSignal(HERE, THERE, REF),
        DownSignal(HERE, THERE, REF, BOOM),
        GroupLeaderSignal(None, THERE, HERE),
    ],
    ids=lambda signal: type(signal).__name__,
)
def test_a_signal_goes_to_the_node_of_its_target(signal: Signal) -> None:
    assert destination(signal) == "b@host"
