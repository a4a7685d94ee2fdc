"""The protocol of `pg`, message by message, in both of its versions."""

from typing import Any

import pytest
from ergo_node._pg_effects import Cast, Change, Effect, Tell, Unwatch, Watch
from ergo_node._pg_groups import key_of
from ergo_node._pg_overlay import DISCOVER, JOIN, LEAVE, LOCAL_DATA, SYNC, UPDATE, Overlay
from etf_codec import Atom, EncodeError, FrozenList, FrozenMap, Pid, Term
from otp_behaviors import RemoteName

ME = Pid("me@h", 1, 0, 1)
PEER = Pid("peer@h", 1, 0, 1)
MINE = [Pid("me@h", number, 0, 1) for number in (2, 3)]
THEIRS = [Pid("peer@h", number, 0, 1) for number in (2, 3)]
G, H = Atom("g"), Atom("h")


@pytest.fixture
def overlay() -> Overlay:
    return Overlay(ME, "pg", lambda node: node == "peer@h")


def told(overlay: Overlay) -> list[Term]:
    """The messages that go out."""
    return [each.message for each in overlay.effects() if isinstance(each, Tell | Cast)]


def changes(overlay: Overlay) -> list[tuple[Term, Term, list[Pid]]]:
    """The changes that monitors are told of."""
    return [(each.action, each.group, each.pids) for each in overlay.effects() if isinstance(each, Change)]


def met(overlay: Overlay, version: int = 0) -> Overlay:
    """The overlay when it knows the peer."""
    discover = (DISCOVER, PEER, version) if version else (DISCOVER, PEER)
    assert overlay.receive(discover)
    overlay.effects()
    return overlay


def test_a_node_that_comes_up_is_asked_without_a_version(overlay: Overlay) -> None:
    overlay.node_up("peer@h")
    assert overlay.effects() == [Tell(RemoteName("pg", "peer@h"), (DISCOVER, ME))]


def test_discovered_by_a_stranger(overlay: Overlay) -> None:
    overlay.join(G, [MINE[0], MINE[0]])
    overlay.effects()
    assert overlay.receive((DISCOVER, PEER))
    sync: Effect = Cast(PEER, (SYNC, ME, [(G, [MINE[0], MINE[0]])]))
    assert overlay.effects() == [Watch(PEER), sync, Tell(PEER, (DISCOVER, ME))]
    assert overlay.receive((DISCOVER, PEER))
    assert overlay.effects() == [sync]


def test_discovered_by_otp_29(overlay: Overlay) -> None:
    overlay.join([1], MINE[:1])
    overlay.effects()
    assert overlay.receive((DISCOVER, PEER, 1))
    data = (LOCAL_DATA, ME, 1, FrozenMap([([1], MINE[:1])]))
    assert told(overlay) == [data, (DISCOVER, ME, 1)]
    overlay.join(G, MINE)
    assert told(overlay) == [(UPDATE, ME, [(G, MINE, [])])]
    overlay.leave(G, MINE)
    assert told(overlay) == [(UPDATE, ME, [(G, [], MINE)])]
    overlay.gone(MINE[0])
    assert told(overlay) == [(UPDATE, ME, [([1], [], MINE[:1])])]


def test_otp_29_says_its_version_after_our_first_question(overlay: Overlay) -> None:
    # It answers a discover without a version as an old one would, and asks us with one.
    assert overlay.receive_cast((SYNC, PEER, [(G, THEIRS)]))
    assert overlay.receive((DISCOVER, PEER, 1))
    assert told(overlay) == [(LOCAL_DATA, ME, 1, FrozenMap())]
    assert overlay.receive_cast((SYNC, PEER, []))  # a late one does not make it an old one
    overlay.join(G, MINE)
    assert told(overlay) == [(UPDATE, ME, [(G, MINE, [])])]


@pytest.mark.parametrize("version", [0, -1, b"1", Atom("one"), (1,)])
def test_a_version_that_is_none_of_ours_is_0(overlay: Overlay, version: Term) -> None:
    assert overlay.receive((DISCOVER, PEER, version))
    assert told(overlay) == [(SYNC, ME, []), (DISCOVER, ME)]


def test_a_later_version_is_answered_by_ours(overlay: Overlay) -> None:
    assert overlay.receive((DISCOVER, PEER, 7))
    assert told(overlay) == [(LOCAL_DATA, ME, 1, FrozenMap()), (DISCOVER, ME, 1)]


def test_joins_and_leaves_are_told_in_version_0(overlay: Overlay) -> None:
    met(overlay)
    overlay.join(G, MINE)
    assert told(overlay) == [(JOIN, ME, G, MINE)]
    overlay.join(G, MINE[:1])
    overlay.join(H, MINE[:1])
    overlay.effects()
    assert overlay.leave(G, [*MINE, MINE[1]])
    assert told(overlay) == [(LEAVE, ME, MINE, [G])]
    overlay.join(G, MINE[:1])
    overlay.effects()
    overlay.gone(MINE[0])
    message: Any = told(overlay)[0]
    assert message[:3] == (LEAVE, ME, MINE[0])
    assert sorted(message[3], key=repr) == [G, G, H]


def test_a_peer_that_has_not_been_told_the_whole_is_told_no_change(overlay: Overlay) -> None:
    # It knows us in no group yet: a leave would be the end of its scope (OTP 23 to 28).
    overlay.join(G, MINE)
    overlay.receive_cast((SYNC, PEER, []))
    overlay.effects()
    overlay.leave(G, MINE[:1])
    assert told(overlay) == []
    overlay.receive((DISCOVER, PEER))
    assert told(overlay) == [(SYNC, ME, [(G, MINE[1:])])]


def test_nobody_joins_and_nobody_leaves(overlay: Overlay) -> None:
    met(overlay)
    overlay.join(G, [])
    assert not overlay.leave(G, MINE)
    assert not overlay.leave(G, [])
    assert overlay.effects() == []
    assert overlay.groups.groups() == []


def test_local_processes_are_watched_once(overlay: Overlay) -> None:
    overlay.join(G, [MINE[0], MINE[0]])
    overlay.join(H, MINE[:1])
    assert [each for each in overlay.effects() if isinstance(each, Watch)] == [Watch(MINE[0])]
    overlay.leave(G, [MINE[0], MINE[0]])
    assert Unwatch(MINE[0]) not in overlay.effects()
    overlay.leave(H, MINE[:1])
    assert Unwatch(MINE[0]) in overlay.effects()
    overlay.gone(MINE[0])
    assert overlay.effects() == []


def test_members_of_a_peer(overlay: Overlay) -> None:
    met(overlay)
    overlay.receive((JOIN, PEER, G, THEIRS[0]))
    overlay.receive((JOIN, PEER, G, THEIRS))
    assert changes(overlay) == [(JOIN, G, THEIRS[:1]), (JOIN, G, THEIRS)]
    overlay.receive((LEAVE, PEER, THEIRS[0], [G, G]))
    assert overlay.groups.members(key_of(G)) == THEIRS[1:]
    assert changes(overlay) == [(LEAVE, G, THEIRS[:1]), (LEAVE, G, THEIRS[:1])]
    overlay.receive((UPDATE, PEER, [(H, THEIRS, []), (G, [], THEIRS)]))
    assert overlay.groups.groups() == [H]
    overlay.gone(PEER)
    assert overlay.groups.groups() == []
    assert overlay.peers == {}


def test_what_otp_29_sends_an_old_peer(overlay: Overlay) -> None:
    # With each join a leave of nobody, with each leave a join of nobody, unknown groups included.
    met(overlay)
    overlay.receive((LEAVE, PEER, [], [G]))
    overlay.receive((JOIN, PEER, G, THEIRS))
    overlay.receive((LEAVE, PEER, THEIRS, [G]))
    overlay.receive((JOIN, PEER, G, []))
    assert changes(overlay) == [(JOIN, G, THEIRS), (LEAVE, G, THEIRS)]
    assert overlay.groups.groups() == []


def test_a_sync_replaces_what_was_known_and_only_differences_are_changes(overlay: Overlay) -> None:
    overlay.receive_cast((SYNC, PEER, [(G, THEIRS), (H, THEIRS[:1])]))
    assert overlay.receive_cast((SYNC, PEER, [(G, [THEIRS[1], THEIRS[1]]), (1, THEIRS[:1])]))
    assert changes(overlay)[2:] == [
        (JOIN, G, THEIRS[1:]),
        (LEAVE, G, THEIRS[:1]),
        (LEAVE, H, THEIRS[:1]),
        (JOIN, 1, THEIRS[:1]),
    ]
    assert overlay.receive_cast((LOCAL_DATA, PEER, 1, {FrozenList([1]): THEIRS}))
    assert overlay.groups.entries() == [([1], THEIRS)]
    assert type(overlay.groups.groups()[0]) is list
    assert overlay.receive_cast((LOCAL_DATA, PEER, 1, FrozenMap([(1, THEIRS), (1.0, THEIRS)])))
    assert len(overlay.groups.groups()) == 2


@pytest.mark.parametrize(
    "message",
    [(JOIN, PEER, G, THEIRS), (LEAVE, PEER, THEIRS, [G]), (UPDATE, PEER, [(G, THEIRS, [])])],
)
def test_changes_of_strangers_are_ignored(overlay: Overlay, message: Term) -> None:
    assert overlay.receive(message)
    assert overlay.effects() == []
    assert overlay.groups.groups() == []


NO_GROUP = object()


@pytest.mark.parametrize(
    "message",
    [
        Atom("discover"),
        (DISCOVER,),
        (DISCOVER, 1),
        (DISCOVER, ME),
        (DISCOVER, PEER, 1, 2),
        (JOIN, PEER, G),
        (JOIN, PEER, G, [1]),
        (JOIN, PEER, NO_GROUP, THEIRS),
        (LEAVE, PEER, G, THEIRS),
        (LEAVE, PEER, THEIRS, G),
        (LEAVE, PEER, THEIRS, [NO_GROUP]),
        (UPDATE, PEER, 1),
        (UPDATE, PEER, [1]),
        (UPDATE, PEER, [(G, THEIRS)]),
        (UPDATE, PEER, [(G, THEIRS, 1)]),
        (UPDATE, PEER, [(H, THEIRS, []), (G, 1, [])]),
        (1, PEER),
        [DISCOVER, PEER],
    ],
)
def test_messages_that_are_none_change_nothing(overlay: Overlay, message: Term) -> None:
    met(overlay)
    assert not overlay.receive(message)
    assert overlay.effects() == []
    assert overlay.groups.groups() == []


@pytest.mark.parametrize(
    "message",
    [
        (SYNC, PEER, G),
        (SYNC, PEER, [G]),
        (SYNC, PEER, [(G, 1)]),
        (SYNC, PEER, [(H, THEIRS), (G, THEIRS, 1)]),
        (SYNC, 1, []),
        (LOCAL_DATA, PEER, 1, []),
        (LOCAL_DATA, PEER, {}),
        (LOCAL_DATA, PEER, 1, {G: 1}),
        (DISCOVER, PEER),
        G,
    ],
)
def test_casts_that_are_none_change_nothing(overlay: Overlay, message: Term) -> None:
    met(overlay)
    assert not overlay.receive_cast(message)
    assert overlay.effects() == []


def test_a_process_of_a_node_that_is_not_connected_is_not_called(overlay: Overlay) -> None:
    stranger = Pid("far@h", 1, 0, 1)
    assert overlay.receive((DISCOVER, stranger))
    assert overlay.receive_cast((SYNC, stranger, [(G, THEIRS)]))
    assert overlay.effects() == []
    assert overlay.peers == {}


def test_the_caller_keeps_its_own_group(overlay: Overlay) -> None:
    group: list[Any] = [1, "a"]
    overlay.join(group, MINE)
    group.append(2)
    assert overlay.groups.groups() == [[1, b"a"]]
    with pytest.raises(EncodeError):
        overlay.join(None, MINE)
    with pytest.raises(EncodeError):
        overlay.leave(None, MINE)
