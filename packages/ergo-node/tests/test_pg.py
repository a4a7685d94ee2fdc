"""Scopes of `pg` on nodes: the program's side, restarts, and what strangers may send them."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest
from ergo_node import Epmd, Node, Scope
from etf_codec import Atom, EncodeError, FrozenMap, Pid, Term
from otp_behaviors import Child, ExitError, GenServer, NameTaken, NoProcess, Process, RemoteName, Supervisor

pytestmark = pytest.mark.anyio

G = Atom("g")
JOIN, LEAVE = Atom("join"), Atom("leave")


async def worker(process: Process) -> None:
    """Lives until it is told anything."""
    await process.receive()


class Collector(GenServer):
    """Keeps what it is sent."""

    def init(self) -> None:
        self.seen: list[Any] = []

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.seen

    def handle_info(self, message: Any) -> None:
        self.seen.append(message)


class Member(GenServer):
    """Joins a group in `init`, and leaves it when asked to: callbacks use `pg` without waiting."""

    def init(self, node: Node) -> None:
        self.node = node
        node.pg.join(G, self.pid)

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.node.pg.leave(G, self.pid)


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110  # it polls what another node does
            await anyio.sleep(0.005)


async def test_the_default_scope_and_others(pair: tuple[Node, Node]) -> None:
    a, _ = pair
    scope = await a.pg.start()
    assert (scope.name, scope.running) == ("pg", True)
    other = await a.pg.start(Atom("other"))
    pid, second = a.spawn(worker), a.spawn(worker)
    a.pg.join(G, [pid, second, pid])
    a.pg.join("other", "room", pid)
    assert sorted(a.pg.members(G), key=repr) == sorted([pid, pid, second], key=repr)
    assert a.pg.local_members(G) == a.pg.members(G) == scope.members(G)
    assert (
        a.pg.members("other", "room")
        == a.pg.local_members("other", b"room")
        == other.members("room")
        == [pid]
    )
    assert a.pg.which_groups() == a.pg.which_local_groups() == [G]
    assert a.pg.which_groups("other") == a.pg.which_local_groups("other") == [b"room"]
    assert a.pg.leave(G, [pid, second])
    assert a.pg.members(G) == [pid]
    assert not a.pg.leave(G, second)
    assert a.pg.leave("other", "room", pid)
    assert not other.leave("room", pid)
    assert other.which_groups() == []
    with pytest.raises(NameTaken):
        await a.pg.start()
    await a.pg.stop()
    assert not scope.running
    assert a.pg.members(G) == []
    await a.pg.start()
    assert a.pg.members(G) == []


async def test_a_scope_that_does_not_run(pair: tuple[Node, Node]) -> None:
    a, _ = pair
    pid = a.spawn(worker)
    assert a.pg.members(G) == a.pg.local_members(G) == a.pg.which_groups() == a.pg.which_local_groups() == []
    refused: list[Callable[[], object]] = [
        lambda: a.pg.join(G, pid),
        lambda: a.pg.leave(G, pid),
        lambda: a.pg.monitor(G, pid),
        lambda: a.pg.monitor_scope(pid),
        lambda: a.pg.demonitor(a.kernel.make_ref()),
    ]
    for action in refused:
        with pytest.raises(NoProcess, match=r"await node.pg.start\(\)"):
            action()
    with pytest.raises(NoProcess, match=r"await node.pg.start\('chat'\)"):
        a.pg.join("chat", G, pid)
    with pytest.raises(NoProcess):
        await a.pg.stop()
    with pytest.raises(TypeError, match="takes 2 arguments"):
        a.pg.join(G)  # type: ignore[call-overload]  # what it says then is tested


async def test_who_may_join(pair: tuple[Node, Node]) -> None:
    a, b = pair
    await a.pg.start()
    theirs = b.spawn(worker)
    with pytest.raises(ExitError) as raised:
        a.pg.join(G, [a.spawn(worker), theirs])
    assert raised.value.reason == (Atom("nolocal"), theirs)
    with pytest.raises(EncodeError):
        a.pg.join(None, a.spawn(worker))
    assert a.pg.which_groups() == []
    gone = a.spawn(worker)
    watch = a.monitor(gone)
    await a.send(gone, 1)
    await watch
    a.pg.join(G, gone)
    await until(lambda: a.pg.members(G) == [])


async def test_none_may_stand_for_an_atom(epmd: Epmd) -> None:
    async with Node("nil@127.0.0.1", "secret", epmd=epmd, none=Atom("nil")) as node:
        await node.pg.start()
        node.pg.join(None, node.spawn(worker))
        assert len(node.pg.members(Atom("nil"))) == 1
        assert node.pg.which_groups() == [None]


async def test_two_nodes_see_the_same(pair: tuple[Node, Node]) -> None:
    a, b = pair
    await a.pg.start()
    await b.pg.start()
    here, there = await a.start(Member, a), await b.start(Member, b)
    assert await a.ping(b.name)
    await until(lambda: len(a.pg.members(G)) == len(b.pg.members(G)) == 2)
    assert a.pg.local_members(G) == [here.pid]
    assert await there.call(Atom("leave")) is True
    await until(lambda: a.pg.members(G) == [here.pid])
    await here.stop()
    await until(lambda: a.pg.which_groups() == b.pg.which_groups() == [])
    a.pg.join({"of": [1]}, [a.spawn(worker)])
    await until(lambda: b.pg.which_groups() == [{b"of": [1]}])
    await a.disconnect(b.name)
    await until(lambda: b.pg.which_groups() == [])
    assert a.nodes() == []
    assert await b.ping(a.name)
    await until(lambda: b.pg.which_groups() == [{b"of": [1]}])


async def test_monitors(pair: tuple[Node, Node]) -> None:
    a, b = pair
    await a.pg.start()
    await b.pg.start()
    collector, pid = await a.start(Collector), a.spawn(worker)
    a.pg.join(1, pid)
    every, groups = a.pg.monitor_scope(collector)
    assert groups == FrozenMap({1: [pid]})
    ref, members = a.pg.monitor(G, collector.pid)
    assert members == []
    theirs = b.spawn(worker)
    b.pg.join(G, theirs)
    assert await a.ping(b.name)
    await until(lambda: a.pg.members(G) == [theirs])
    assert await collector.call(Atom("seen")) == [(each, JOIN, G, [theirs]) for each in (every, ref)]
    # What it was told and has not handled is taken back.
    a.pg.join(G, pid)
    assert a.pg.demonitor(ref)
    assert not a.pg.demonitor(ref)
    assert (await collector.call(Atom("seen")))[2:] == [(every, JOIN, G, [pid])]
    assert a.pg.demonitor("pg", every)
    a.pg.leave(1, pid)
    assert len(await collector.call(Atom("seen"))) == 3
    ref, _ = a.pg.monitor("pg", 1, collector)
    await collector.stop()
    a.pg.join(1, pid)
    await until(lambda: not a.pg.demonitor(ref))


async def test_a_scope_in_a_tree_of_ones_own_starts_again(pair: tuple[Node, Node]) -> None:
    a, b = pair
    await a.start(Supervisor(a.pg.child("chat")))
    await b.pg.start("chat")
    pid, scope = a.spawn(worker), a.pg.scope("chat")
    scope.join(G, pid)
    assert await a.ping(b.name)
    await until(lambda: b.pg.members("chat", G) == [pid])
    before = a.whereis("chat")
    assert before is not None
    a.exit(before, Atom("kill"))
    await until(lambda: a.whereis("chat") not in (None, before))
    await until(lambda: b.pg.members("chat", G) == [])
    assert scope.members(G) == []  # as in OTP, memberships end with the scope
    scope.join(G, pid)
    await until(lambda: b.pg.members("chat", G) == [pid])


async def test_a_name_that_is_no_scope(pair: tuple[Node, Node]) -> None:
    a, _ = pair
    await a.start(Collector, name="taken")
    with pytest.raises(NameTaken):
        await a.pg.start("taken")
    with pytest.raises(NoProcess):
        a.pg.join("taken", G, a.spawn(worker))
    assert not a.pg.scope("taken").running
    assert repr(a.pg.scope("taken")) == "<Scope taken>"


STRANGE: list[Term] = [
    Atom("nonsense"),
    (Atom("join"), 1, 2, 3),
    (Atom("discover"), Pid("nobody@127.0.0.1", 1, 0, 1)),
    (Atom("discover"), Pid("b@127.0.0.1", 99, 0, 1), 1),
    (Atom("$gen_cast"), (Atom("sync"), Pid("b@127.0.0.1", 99, 0, 1), [(G, [1])])),
    (Atom("$gen_cast"), Atom("nonsense")),
    (Atom("leave"), Pid("b@127.0.0.1", 99, 0, 1), [], [G]),
]


async def test_strangers_change_nothing(pair: tuple[Node, Node]) -> None:
    a, b = pair
    scope = await a.pg.start()
    pid = a.spawn(worker)
    a.pg.join(G, pid)
    before = a.whereis("pg")
    for message in STRANGE:
        await b.send(RemoteName("pg", a.name), message)
    requests: list[Term] = [1, (Atom("join_local"), G, [1]), (Atom("join_local"), G, b.program)]
    for request in [*requests, (Atom("update"), [])]:
        answer = await b.call(RemoteName("pg", a.name), request)
        assert answer[0] == Atom("error"), request
    assert a.whereis("pg") == before
    assert scope.members(G) == [pid]
    assert a.nodes() == [b.name]
    server = a.pg.server("pg")
    assert server is not None
    await until(lambda: server.overlay.peers == {})


async def test_requests_of_otp_are_answered(pair: tuple[Node, Node]) -> None:
    a, b = pair
    await a.pg.start()
    pid, there = a.spawn(worker), RemoteName("pg", a.name)
    ok = Atom("ok")
    assert await b.call(there, (Atom("join_local"), G, pid)) == ok
    assert await b.call(there, (Atom("update"), [(G, [pid], [])])) == ok
    assert a.pg.members(G) == [pid, pid]
    ref, members = await b.call(there, (Atom("monitor"), G))
    assert members == [pid, pid]
    other, groups = await b.call(there, (Atom("subscribe"), Atom("scope")))
    assert groups == {G: [pid, pid]}
    assert await b.call(there, (Atom("leave_local"), G, [pid, pid])) == ok
    assert await b.call(there, (Atom("leave_local"), G, pid)) == Atom("not_joined")
    assert await b.call(there, (Atom("demonitor"), ref)) == ok
    assert await b.call(there, (Atom("demonitor"), ref)) is False
    assert await b.call(there, (Atom("unsubscribe"), other)) == ok
    assert (await a.monitor("nobody")).reason == Atom("noproc")


def test_a_scope_is_named_by_its_child() -> None:
    node = Node("a@127.0.0.1", "secret")
    child = node.pg.child("chat")
    assert isinstance(child, Child)
    assert child.name == "chat"
    assert isinstance(node.pg.scope("chat"), Scope)
    assert not node.pg.scope("chat").running
