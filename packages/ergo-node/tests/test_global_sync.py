"""Two name servers come to the same names, without processes: each what the other sends, in any order."""

from itertools import permutations
from typing import Any

import pytest
from ergo_node._global_effects import (
    Abandon,
    Cancel,
    Cast,
    Effect,
    Him,
    Join,
    Known,
    Leave,
    LockSet,
    Operate,
    Report,
    Resolve,
    Synced,
    Tell,
    Unknown,
)
from ergo_node._global_names import deleted, inserted
from ergo_node._global_sync import MAX_NODES, Synchronisation
from ergo_node._global_terms import GLOBAL, VERSION
from etf_codec import Atom, Pid, Term

A, B, C, D = "a@host", "b@host", "c@host", "d@host"
OURS, HIS = Pid(A, 1, 0, 1), Pid(B, 1, 0, 1)
NAMES: list[Term] = [(Atom("shop"), OURS, Atom("fun"))]
HIS_NAMES: list[Term] = [(Atom("bank"), HIS, Atom("fun"))]
LOCK = (GLOBAL, [OURS, HIS])


def synchronisation() -> Synchronisation:
    sync = Synchronisation(A, lambda: NAMES, list)
    sync.locker = OURS
    return sync


def init(sync: Synchronisation, version: Term = VERSION, tag: Term = 70, locker: Term = HIS) -> None:
    """He says that he has met us."""
    sync.init_connect((version, tag), B, (Atom("locker"), Atom("no_longer_a_pid"), [], locker))


def met(sync: Synchronisation, version: int = VERSION) -> int:
    """Meet him; returns our tag."""
    sync.node_up(B)
    init(sync, version)
    him = next(effect for effect in sync.take_effects() if isinstance(effect, Him))
    assert (him.node, him.locker, him.version, him.his_tag) == (B, HIS, min(version, VERSION), 70)
    return him.my_tag


def casts(effects: list[Effect]) -> list[Any]:
    return [effect.message for effect in effects if isinstance(effect, Cast)]


def test_whoever_is_met_gets_our_tag_and_our_locker() -> None:
    sync = synchronisation()
    sync.node_up(B)
    locker: Term = (Atom("locker"), Atom("no_longer_a_pid"), [], OURS)
    assert sync.take_effects() == [Cast(B, (Atom("init_connect"), (8, 1), Atom(A), locker))]
    sync.node_up(B)
    assert sync.take_effects() == [], "a second nodeup"
    init(sync)
    assert sync.take_effects() == [
        Him(B, HIS, 8, 1, 70),
        Tell(B, (Atom("init_connect_ack"), Atom(A), 70, 1)),
    ]
    sync.init_connect_ack(B, 1, 70)
    assert sync.take_effects() == []
    assert sync.is_met(B)
    assert not sync.known


@pytest.mark.parametrize("order", list(permutations(["locked", "exchange"])))
@pytest.mark.parametrize("ending", list(permutations(["settled", "resolved"])))
@pytest.mark.parametrize("version", [5, 7, 8, 9])
def test_names_are_exchanged_in_whatever_order_it_comes(
    order: tuple[str, ...], ending: tuple[str, ...], version: int
) -> None:
    sync = synchronisation()
    sync.known = {C: 8, D: 5}
    tag = met(sync, version)
    known: list[Term] = [Atom(C), Atom(D)] if version < 7 else [(Atom(C), 8), (Atom(D), 5)]
    ours, his = [inserted(Atom("bank"), HIS, Atom("fun"))], [deleted(Atom("till"))]
    steps: dict[str, Any] = {
        "locked": lambda: sync.locked(B, tag, LOCK),
        "exchange": lambda: sync.exchange(B, HIS_NAMES, tag),
        "settled": lambda: sync.settled(B, tag, ours, his),
        "resolved": lambda: sync.resolved(B, his, [(Atom("e@host"), 8), Atom(A)], [], tag),
    }
    for step in order:
        steps[step]()
    effects = sync.take_effects()
    assert casts(effects) == [(Atom("exchange"), Atom(A), NAMES, [], 70)]
    assert [effect for effect in effects if isinstance(effect, Resolve)] == [Resolve(B, tag, HIS_NAMES)]
    for step in ending:
        steps[step]()
    effects = sync.take_effects()
    assert casts(effects) == [(Atom("resolved"), Atom(A), his, known, Atom("unused"), [], 70)]
    assert Join(("e@host",)) in effects
    assert Operate([*ours, *his], [], LOCK) in effects
    assert Synced(B) in effects
    cancel = next(effect for effect in effects if isinstance(effect, Cancel))
    assert (cancel.node, cancel.tag) == (B, tag)
    told = {cast.node: cast.message for cast in cancel.casts}
    his_version = min(version, VERSION)
    extra = [(Atom("vsn"), his_version), (Atom("lock"), LOCK)]
    new: tuple[Term, ...] = (Atom("new_nodes"), Atom(A), [*ours, *his], [])
    assert told == {
        C: (*new, [(Atom(B), his_version), (Atom("e@host"), 8)], extra),
        D: (*new, [Atom(B), Atom("e@host")], extra),
    }
    assert Known((B, "e@host")) in effects
    assert sync.known == {C: 8, D: 5, B: his_version, "e@host": 8}
    assert list(sync.synced) == [B]
    assert not sync.pending
    sync.node_up(B)
    assert sync.take_effects() == [], "it is known now"


def test_who_is_introduced_is_joined_and_needs_no_exchange() -> None:
    sync = synchronisation()
    tag = met(sync)
    sync.new_nodes([deleted(1)], [], [(Atom(B), 8), Atom(C), Atom(A)], [(Atom("lock"), LOCK)])
    assert sync.take_effects() == [Join((B, C)), Operate([deleted(1)], [], LOCK), Known((B, C))]
    assert sync.known == {B: 8, C: 0}
    sync.in_sync(B)
    assert sync.take_effects() == [Synced(B), Cancel(B, tag), Abandon(B, tag)]
    assert list(sync.synced) == [B]
    init(sync, tag=71)
    assert sync.take_effects() == [], "it is known already, and is told so by others"


def test_a_lost_node_takes_its_session_along() -> None:
    sync = synchronisation()
    tag = met(sync)
    sync.node_lost(B)
    assert sync.take_effects() == [
        Cancel(B, tag),
        Tell(B, (Atom("cancel_connect"), Atom(A), 70)),
        Abandon(B, tag),
        Unknown(B),
    ]
    assert not sync.is_met(B)
    sync.node_up(B)
    assert casts(sync.take_effects())[0][1] == (8, tag + 1)


@pytest.mark.parametrize("tag", [99, 1.0, True, b"1", []])
def test_messages_of_another_session_change_nothing(tag: Term) -> None:
    sync = synchronisation()
    met(sync)
    sync.lock_set(HIS, True, tag)
    sync.exchange(B, HIS_NAMES, tag)
    sync.resolved(B, [], [], [], tag)
    sync.cancel_connect(B, tag)
    # The locker may still be at an earlier one, if that has been ours at all.
    assert sync.take_effects() == ([Cancel(B, 99), Cancel(B, 99)] if tag == 99 else [])
    sync.locked(B, 99, LOCK)
    sync.settled(B, 99, [], [])
    assert sync.take_effects() == [Cancel(B, 99), Cancel(B, 99)]
    sync.lock_set(HIS, False, 1)
    assert sync.take_effects() == [LockSet(HIS, False, 1)]


def test_a_second_init_connect_begins_anew() -> None:
    sync = synchronisation()
    tag = met(sync)
    init(sync, tag=71)
    effects = sync.take_effects()
    assert effects[0] == Tell(B, (Atom("cancel_connect"), Atom(A), 71))
    assert Cancel(B, tag) in effects
    assert casts(effects)[0][:2] == (Atom("init_connect"), (8, tag + 1))
    assert Him(B, HIS, 8, tag + 1, 71) in effects


def test_a_second_init_connect_of_an_old_node_ends_the_connection() -> None:
    sync = synchronisation()
    met(sync, 5)
    init(sync, 5, tag=71)
    report, leave = sync.take_effects()
    assert isinstance(report, Report)
    assert "out of sync connection attempt from old version 5" in report.text
    assert leave == Leave(B)


@pytest.mark.parametrize(("mine", "his"), [(2, 70), (1, 71), (1.0, 70)])
def test_an_acknowledgement_of_another_session_begins_anew(mine: Term, his: Term) -> None:
    sync = synchronisation()
    tag = met(sync)
    sync.init_connect_ack(B, mine, his)
    effects = sync.take_effects()
    assert effects[0] == Tell(B, (Atom("cancel_connect"), Atom(A), his))
    assert casts(effects)[0][1] == (8, tag + 1)
    sync.init_connect_ack(C, 1, 1)
    assert sync.take_effects() == [Tell(C, (Atom("cancel_connect"), Atom(A), 1))], "nobody we have met"


def test_a_session_that_he_gave_up_begins_anew() -> None:
    sync = synchronisation()
    tag = met(sync)
    sync.cancel_connect(B, tag)
    assert casts(sync.take_effects())[0][1] == (8, tag + 1)
    sync.cancel_connect(B, tag)
    assert sync.take_effects() == []


@pytest.mark.parametrize(
    ("version", "locker"),
    [(4, HIS), (b"8", HIS), (True, HIS), (8, OURS), (8, Atom("locker")), (8, [])],
)
def test_a_version_or_a_locker_that_makes_no_sense_is_reported(version: Term, locker: Term) -> None:
    sync = synchronisation()
    sync.node_up(B)
    sync.take_effects()
    init(sync, version, locker=locker)
    assert [type(effect) for effect in sync.take_effects()] == [Report]
    assert not sync.is_met(B)


@pytest.mark.parametrize("junk", [7, [], [7, (1, 2), (Atom(C), 1.0)], {}, Atom("x")])
def test_junk_introduces_nobody(junk: Term) -> None:
    sync = synchronisation()
    sync.new_nodes(junk, junk, junk, junk)
    assert sync.take_effects() == [Join(()), Operate([], [], None), Known(())]
    tag = met(sync)
    sync.locked(B, tag, LOCK)
    sync.exchange(B, junk, tag)
    sync.settled(B, tag, [], [])
    sync.resolved(B, junk, junk, junk, tag)
    assert sync.known == {B: 8}


def test_one_message_cannot_make_us_know_any_number_of_nodes() -> None:
    sync = synchronisation()
    sync.new_nodes([], [], [Atom(f"n{number}@host") for number in range(MAX_NODES + 10)], [])
    assert len(sync.known) == MAX_NODES
    assert isinstance(sync.take_effects()[0], Report)
