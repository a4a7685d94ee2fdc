"""Any sequence of operations on links, monitors, aliases, names and exits, against a plain model of them.

Each process is a record that does nothing but keep its mailbox, so that one operation is one step for the
kernel and for the model. The model knows a relation a time: a set of pairs, a dict of watches.
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from etf_codec import Atom, Pid, Reference
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from otp_behaviors import (
    KILL,
    KILLED,
    NOPROC,
    NORMAL,
    Down,
    Exit,
    Kernel,
    NameTaken,
    NoProcess,
    Process,
)
from otp_behaviors._process import FunctionProcess

NODE = "a@host"
NAMES = ("x", "y")
REASONS = (NORMAL, KILL, KILLED, Atom("boom"), (Atom("shutdown"), 1))

STEPS = int(os.environ.get("ERGO_MODEL_STEPS", "2000"))


@dataclass
class Actor:
    """What the model knows of a process."""

    process: Process
    trapping: bool = False
    alive: bool = True
    name: str | None = None
    inbox: list[Any] = field(default_factory=list)

    @property
    def pid(self) -> Pid:
        return self.process.pid


async def wait(self: Process) -> None:
    await self.receive(lambda message: False)


class ProcessesMachine(RuleBasedStateMachine):
    """What processes do, and what has to be so after each step."""

    actors: Bundle[Actor] = Bundle("actors")
    watches: Bundle[tuple[Actor, Reference]] = Bundle("watches")
    aliases: Bundle[tuple[Actor, Reference]] = Bundle("aliases")

    def __init__(self) -> None:
        super().__init__()
        self.kernel = Kernel(NODE)
        self.all: list[Actor] = []
        self.links: set[frozenset[Pid]] = set()
        self.watched: dict[Reference, tuple[Actor, Actor, Any]] = {}
        self.active: dict[Reference, Actor] = {}

    def of(self, pid: Pid) -> Actor:
        return next(actor for actor in self.all if actor.pid == pid)

    def end(self, actor: Actor, reason: Any) -> None:
        actor.alive, actor.name = False, None
        self.active = {ref: owner for ref, owner in self.active.items() if owner is not actor}
        partners = [self.of(*(pair - {actor.pid})) for pair in self.links if actor.pid in pair]
        self.links = {pair for pair in self.links if actor.pid not in pair}
        fired = [(ref, watch) for ref, watch in self.watched.items() if watch[1] is actor]
        self.watched = {
            ref: watch for ref, watch in self.watched.items() if actor not in (watch[0], watch[1])
        }
        for ref, (watcher, _, who) in fired:
            if watcher.alive:
                watcher.inbox.append(Down(ref, who, reason))
        for partner in partners:
            self.signal(partner, actor.pid, reason)

    def signal(self, to: Actor, sender: Pid, reason: Any) -> None:
        """An exit signal of a link arrives: `kill` is nothing special there."""
        if not to.alive:
            return
        if to.trapping:
            to.inbox.append(Exit(sender, reason))
        elif reason != NORMAL:
            self.end(to, reason)

    @initialize(target=actors, trapping=st.booleans())
    def first(self, trapping: bool) -> Actor:
        return self.spawned(trapping)

    @rule(target=actors, trapping=st.booleans())
    def spawn(self, trapping: bool) -> Actor:
        return self.spawned(trapping)

    def spawned(self, trapping: bool) -> Actor:
        record = FunctionProcess(self.kernel, wait, ())
        record.driven = True
        process = Process()
        process._record, process._kernel = record, self.kernel
        self.kernel.spawn(record)
        process.trap_exit = trapping
        self.all.append(Actor(process, trapping))
        return self.all[-1]

    @rule(actor=actors)
    def trap(self, actor: Actor) -> None:
        if actor.alive:
            actor.trapping = not actor.trapping
            actor.process.trap_exit = actor.trapping

    @rule(actor=actors, other=actors)
    def link(self, actor: Actor, other: Actor) -> None:
        if not actor.alive:
            return
        if not other.alive and not actor.trapping:
            with pytest.raises(NoProcess):
                actor.process.link(other.pid)
            return
        actor.process.link(other.pid)
        if not other.alive:
            self.signal(actor, other.pid, NOPROC)
        elif actor is not other:
            self.links.add(frozenset({actor.pid, other.pid}))

    @rule(actor=actors, other=actors)
    def unlink(self, actor: Actor, other: Actor) -> None:
        if actor.alive:
            actor.process.unlink(other.pid)
            self.links.discard(frozenset({actor.pid, other.pid}))

    @rule(target=watches, actor=actors.filter(lambda actor: actor.alive), other=actors, by_name=st.booleans())
    def monitor(self, actor: Actor, other: Actor, by_name: bool) -> tuple[Actor, Reference]:
        named = by_name and other.name is not None
        ref = actor.process.monitor(other.name if named and other.name else other.pid)
        who: Any = (Atom(str(other.name)), Atom(NODE)) if named else other.pid
        if other.alive:
            self.watched[ref] = (actor, other, who)
        else:
            actor.inbox.append(Down(ref, who, NOPROC))
        return actor, ref

    @rule(watch=consumes(watches), flush=st.booleans())
    def demonitor(self, watch: tuple[Actor, Reference], flush: bool) -> None:
        actor, ref = watch
        if not actor.alive:
            return
        assert actor.process.demonitor(ref, flush) == (self.watched.pop(ref, None) is not None)
        if flush:
            actor.inbox = [each for each in actor.inbox if not (type(each) is Down and each.ref == ref)]

    @rule(target=aliases, actor=actors.filter(lambda actor: actor.alive))
    def alias(self, actor: Actor) -> tuple[Actor, Reference]:
        ref = actor.process.alias()
        self.active[ref] = actor
        return actor, ref

    @rule(alias=aliases)
    def unalias(self, alias: tuple[Actor, Reference]) -> None:
        actor, ref = alias
        if actor.alive:
            assert actor.process.unalias(ref) == (self.active.pop(ref, None) is not None)

    @rule(actor=actors, alias=aliases, number=st.integers())
    def send_to_alias(self, actor: Actor, alias: tuple[Actor, Reference], number: int) -> None:
        actor.process.send(alias[1], number)
        if alias[1] in self.active:
            alias[0].inbox.append(number)

    @rule(actor=actors, other=actors, number=st.integers(), by_name=st.booleans())
    def send(self, actor: Actor, other: Actor, number: int, by_name: bool) -> None:
        actor.process.send(other.name if by_name and other.name else other.pid, number)
        if other.alive:
            other.inbox.append(number)

    @rule(actor=actors.filter(lambda actor: actor.alive), name=st.sampled_from(NAMES))
    def register(self, actor: Actor, name: str) -> None:
        if actor.name is not None or any(other.name == name for other in self.all):
            with pytest.raises(NameTaken):
                actor.process.register(name)
        else:
            actor.process.register(name)
            actor.name = name

    @rule(actor=actors, name=st.sampled_from(NAMES))
    def unregister(self, actor: Actor, name: str) -> None:
        holders = [other for other in self.all if other.name == name]
        assert actor.process.unregister(name) == bool(holders)
        for holder in holders:
            holder.name = None

    @rule(actor=actors, other=actors, reason=st.sampled_from(REASONS))
    def exit_2(self, actor: Actor, other: Actor, reason: Any) -> None:
        actor.process.exit(other.pid, reason)
        if not other.alive:
            return
        if reason == KILL:
            self.end(other, KILLED)
        elif reason == NORMAL and actor is other and not other.trapping:
            self.end(other, NORMAL)
        else:
            self.signal(other, actor.pid, reason)

    @rule(actor=actors, reason=st.sampled_from(REASONS))
    def end_by_itself(self, actor: Actor, reason: Any) -> None:
        if actor.alive:
            self.kernel.exit(actor.process._record, reason)
            self.end(actor, reason)

    @precondition(lambda self: not self.kernel.idle)
    @rule()
    def run(self) -> None:
        self.kernel.run()

    @invariant()
    def same_processes_names_and_aliases(self) -> None:
        living = [actor for actor in self.all if actor.alive]
        assert list(self.kernel.table.by_pid) == [actor.pid for actor in living]
        names = {actor.name: actor.pid for actor in living if actor.name is not None}
        assert {name: record.pid for name, record in self.kernel.table.by_name.items()} == names
        assert len(self.kernel.aliases) == len(self.active)

    @invariant()
    def same_links_on_both_sides(self) -> None:
        for actor in self.all:
            partners = {pid for pair in self.links if actor.pid in pair for pid in pair - {actor.pid}}
            assert set(actor.process._record.links or ()) == partners

    @invariant()
    def same_monitors_on_both_sides(self) -> None:
        for actor in self.all:
            record = actor.process._record
            assert set(record.monitors or ()) == {ref for ref, w in self.watched.items() if w[0] is actor}
            assert set(record.monitored_by or ()) == {ref for ref, w in self.watched.items() if w[1] is actor}

    @invariant()
    def same_messages(self) -> None:
        for actor in self.all:
            if actor.alive:
                # Each exit signal and each Down once. Their order across senders is nobody's promise.
                assert Counter(actor.process._record.mailbox) == Counter(actor.inbox)
                plain = [each for each in actor.inbox if isinstance(each, int)]
                assert [each for each in actor.process._record.mailbox if isinstance(each, int)] == plain

    def teardown(self) -> None:
        for actor in self.all:
            self.kernel.exit(actor.process._record, KILLED)
        assert not self.kernel.table.by_pid
        assert not self.kernel.table.by_name
        assert not self.kernel.aliases
        assert not self.kernel.outgoing()


def test_processes_do_what_the_model_does() -> None:
    run_state_machine_as_test(
        ProcessesMachine,
        settings=settings(
            max_examples=STEPS // 50,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
        ),
    )
