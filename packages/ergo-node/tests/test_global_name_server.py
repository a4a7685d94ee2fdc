"""`global_name_server`, asked as peers ask it: of version 5, hostile ones, and ones that are too late."""

from typing import Any

import anyio
import pytest
from ergo_node import Epmd, Node, Policy
from etf_codec import Atom, Export, Pid, Term
from otp_behaviors import CallTimeout, Process, RemoteName

pytestmark = pytest.mark.anyio

Pair = tuple[Node, Node]

NAME = "global_name_server"
GLOBAL, SHOP, BANK = Atom("global"), Atom("shop"), Atom("bank")
FUN = Export("global", "random_exit_name", 3)
CAST, CALL = Atom("$gen_cast"), Atom("$gen_call")


async def forever(process: Process) -> None:
    """Lives until it is killed."""
    await process.receive(lambda message: False)


async def connected(a: Node, b: Node) -> None:
    """Connect, and wait until that is over and `global` is not locked any more."""
    await a.connect(b.name)
    await a.global_names.sync()
    assert await a.global_names.trans((GLOBAL, Atom("me")), lambda: True)


async def test_what_every_name_server_answers(pair: Pair) -> None:
    a, b = pair
    await connected(a, b)
    server = RemoteName(NAME, b.name)
    assert await a.call(server, Atom("get_known")) == [Atom(a.name)]
    assert await a.call(server, Atom("get_synced")) == [Atom(a.name)]
    assert await a.call(server, Atom("get_protocol_version")) == 8
    assert await a.call(server, Atom("get_names_ext")) == []
    assert await a.call(server, (Atom("sync"), [Atom(a.name), Atom(b.name)])) == Atom("ok")


async def test_names_of_nodes_without_a_name_server(pair: Pair) -> None:
    a, b = pair
    await connected(a, b)
    pid = a.spawn(forever)
    server = RemoteName(NAME, b.name)
    assert await a.call(server, (Atom("register_ext"), SHOP, pid, FUN, Atom(a.name))) == Atom("yes")
    assert await a.call(server, Atom("get_names_ext")) == [(SHOP, pid, Atom(a.name))]
    assert b.global_names.whereis("shop") == pid
    assert await a.call(server, (Atom("unregister"), SHOP)) == Atom("ok")
    assert await a.call(server, Atom("get_names_ext")) == []


async def test_whereis_is_answered_when_global_is_not_locked(pair: Pair) -> None:
    a, b = pair
    pid = b.spawn(forever)
    assert await b.global_names.register("shop", pid)
    answers: list[Term] = []

    async def ask(process: Process) -> None:
        for number, name in enumerate((SHOP, BANK)):
            process.send(RemoteName(NAME, b.name), (Atom("whereis"), name, (process.pid, number)))
            answers.append(await process.receive())

    watch = a.monitor(a.spawn(ask))
    await watch
    assert answers == [(0, pid), (1, Atom("undefined"))]


async def test_who_has_lost_the_lock_registers_nothing(pair: Pair) -> None:
    a, b = pair
    await connected(a, b)
    pid = a.spawn(forever)
    server = RemoteName(NAME, b.name)
    lock = (GLOBAL, Atom("me"))

    async def hold(process: Process) -> None:
        assert await process.call(server, (Atom("set_lock"), lock))
        assert await process.call(server, (Atom("register"), SHOP, pid, FUN)) == Atom("yes")

    assert await a.call(server, (Atom("register"), BANK, pid, FUN)) == Atom("yes")
    assert b.global_names.names() == [BANK], "nobody has the lock"
    await a.monitor(a.spawn(hold))
    # The holder has ended with the lock; what registers now comes from somebody whose node was lost.
    assert b.global_names.names() == [BANK, SHOP]
    assert await a.call(server, (Atom("register"), BANK, pid, FUN)) == Atom("yes")
    assert b.global_names.names() == [SHOP]


JUNK: list[Any] = [
    7,
    (),
    Atom("known"),
    (Atom("exchange"), 1, 2, 3, 4),
    (Atom("init_connect"), 8, Atom("b@127.0.0.1"), 3),
    (Atom("init_connect"), (8, 1), Atom("nobody@127.0.0.1"), (1, 2, 3, 4)),
    (Atom("exchange"), Atom("x"), [], [], []),
    (Atom("resolved"), Atom("x"), 7, 7, 7, 7, 7),
    (Atom("new_nodes"), Atom("x"), 7, 7, 7, 7),
    (Atom("new_nodes"), Atom("x"), [(Atom("insert"), 1)], [], [Atom("no node")], [(Atom("lock"), 1)]),
    (Atom("in_sync"), 7, 7),
    (Atom("lock_set"), 7, True, [], 1),
    (Atom("register"), [{}], 7, 7),
    (Atom("set_lock"), 7),
    (Atom("del_lock"), (1, 2, 3)),
    (Atom("sync"), [7]),
    (Atom("whereis"), SHOP, 7),
    (Atom("lost_connection"), 1, 2, 3, 4),
    (Atom("lost_connection"), Atom("x"), 2, 3, Atom("y")),
    (Atom("remove_connection"), Atom("x")),
    (Atom("cancel_connect"), Atom("x"), []),
    (Atom("init_connect_ack"), Atom("x"), [], {}),
    (Atom("async_del_name"), 1, 2),
    (Atom("registrar"), FUN),
]


async def test_junk_does_no_harm(pair: Pair) -> None:
    a, b = pair
    await connected(a, b)
    pid = b.whereis(NAME)
    assert pid is not None
    assert await b.global_names.register("shop", b.spawn(forever))
    for message in JUNK:
        await a.send(pid, message)
        await a.send(pid, (CAST, message))
        await a.send(pid, (CALL, (pid, 7), message))
    for caller in (7, (), (7, 7), Atom("x")):
        await a.send(pid, (CALL, caller, Atom("get_known")))
    with pytest.raises(CallTimeout):
        await a.call(pid, Atom("no_such_call"), timeout=0.01)
    assert await a.call(pid, Atom("get_protocol_version")) == 8
    assert b.whereis(NAME) == pid
    assert await a.global_names.trans(("resource", 1), lambda: 5) == 5
    assert a.nodes() == [b.name]


async def test_junk_does_not_stop_the_locker_nor_the_registrar(pair: Pair) -> None:
    a, b = pair
    before = set(b.kernel.table.by_pid)
    for pid in before:
        junk: list[Any] = [7, (), (Atom("lock_set"), pid, True, []), (Atom("lock_set"), pid, 7, [])]
        for message in junk:
            await a.send(pid, message)
    await a.global_names.sync([b.name])
    assert await a.global_names.register("shop", b.spawn(forever))
    assert await b.global_names.register("bank", b.spawn(forever))
    assert a.global_names.names() == b.global_names.names() == [SHOP, BANK]


@pytest.mark.parametrize("victim", [0, 1])
async def test_the_locker_and_the_registrar_end_only_together_with_the_server(
    epmd: Epmd, victim: int
) -> None:
    async with Node("a@127.0.0.1", "secret", epmd=epmd) as a:
        server = a.whereis(NAME)
        assert server is not None
        record = a.kernel.table.by_pid[server]
        helpers = [pid for pid, other in a.kernel.table.by_pid.items() if other.parent == server]
        assert len(helpers) == 2
        watches = [a.monitor(pid) for pid in (server, *helpers)]
        a.exit(helpers[victim], Atom("kill"))
        reasons = [(await watch).reason for watch in watches]
        assert reasons[0] == (Atom(("locker_died", "registrar_died")[victim]), Atom("killed"))
        assert not record.alive
        with anyio.fail_after(10):
            while a.whereis(NAME) is None:  # noqa: ASYNC110  # a supervisor gives no event
                await anyio.sleep(0.01)
        assert await a.global_names.register("shop", a.spawn(forever))


class OldPeer:
    """A name server and locker of OTP 23, protocol version 5, in one process of a node."""

    def __init__(self, process: Process, other: str) -> None:
        self.process = process
        self.other = RemoteName(NAME, other)
        self.seen: list[Any] = []
        self.tag: Term = None
        self.pid: Pid | None = None

    async def run(self, entry: Term) -> None:
        """Exchange names, as the one whose partition is locked by the other."""
        process, node = self.process, Atom(self.process.pid.node)
        while True:
            message: Any = await process.receive()
            match message:
                case (_, (Atom("init_connect"), (8, tag), Atom(), (_, _, _, Pid()))):
                    self.tag = tag
                    mine: Term = (Atom("locker"), Atom("no_longer_a_pid"), [], process.pid)
                    process.cast(self.other, (Atom("init_connect"), (5, 55), node, mine))
                case (Atom("$gen_call"), caller, (Atom("set_lock" | "del_lock") as what, _)):
                    process.reply(caller, True)
                    self.seen.append(what)
                    if what == Atom("del_lock"):
                        return
                case (Atom("lock_set"), Pid() as locker, True, list()):
                    # An old locker is told directly, and answers so.
                    process.send(locker, (Atom("lock_set"), process.pid, True, []))
                    process.cast(self.other, (Atom("exchange"), node, [entry], [], self.tag))
                case (_, (Atom("exchange"), Atom(), names, _, 55)):
                    self.seen.append(names)
                case (_, (Atom("resolved"), Atom(), operations, known, _, [], 55)):
                    self.seen.append((operations, known))
                    process.cast(self.other, (Atom("resolved"), node, [], [], [], [], self.tag))
                case _:
                    self.seen.append(message)


async def test_a_peer_of_version_5(epmd: Epmd) -> None:
    quiet = Policy(connect_all=False)
    async with (
        Node("a@127.0.0.1", "secret", epmd=epmd) as a,
        Node("old@127.0.0.1", "secret", epmd=epmd, policy=quiet) as old,
    ):
        shop, bank = a.spawn(forever), old.spawn(forever)
        assert await a.global_names.register("shop", shop)
        peers: list[OldPeer] = []

        async def be_old(process: Process) -> None:
            process.unregister(NAME)
            process.register(NAME)
            peers.append(OldPeer(process, a.name))
            await peers[0].run((BANK, bank, FUN))

        watch = old.monitor(old.spawn(be_old))
        with anyio.fail_after(10):
            await a.connect(old.name)
            await a.global_names.sync()
            assert await a.call(NAME, Atom("get_known")) == [Atom(old.name)]
            assert a.global_names.whereis("bank") == bank
            await watch
        assert peers[0].seen == [Atom("set_lock"), [(SHOP, shop, FUN)], ([], []), Atom("del_lock")]


class StubbornPeer:
    """A name server and locker of version 8 that gives in only after it has refused in each way it can."""

    def __init__(self, process: Process, other: str) -> None:
        self.process = process
        self.other = RemoteName(NAME, other)
        self.node = Atom(process.pid.node)
        self.his_tag: Term = None
        self.my_tag = 100
        self.refusals: list[str] = []
        self.held = 0

    async def run(self) -> None:
        """Refuse, and be in sync at last."""
        process = self.process
        while True:
            message: Any = await process.receive()
            match message:
                case (_, (Atom("init_connect"), (8, tag), Atom(), (_, _, _, Pid()))):
                    self.his_tag = tag
                    self.my_tag += 1
                    locker: Term = (Atom("locker"), Atom("no_longer_a_pid"), [], process.pid)
                    process.cast(self.other, (Atom("init_connect"), (8, self.my_tag), self.node, locker))
                case (Atom("init_connect_ack"), Atom(), my_tag, his_tag):
                    assert (my_tag, his_tag) == (self.my_tag, self.his_tag)
                case (Atom("$gen_call"), caller, (Atom("set_lock"), _)):
                    self._answer_lock(caller)
                case (Atom("$gen_call"), caller, (Atom("del_lock"), _)):
                    self.held -= 1
                    process.reply(caller, True)
                    if self.refusals[-1] == "in sync":
                        return
                case (_, (Atom("lock_set"), Pid(), True, list(), tag)) if tag == self.my_tag:
                    self._answer_locker()
                case (_, (Atom("exchange"), Atom(), _, _, tag)) if tag == self.my_tag:
                    process.cast(self.other, (Atom("exchange"), self.node, [], [], self.his_tag))
                case (_, (Atom("resolved"), Atom(), _, _, _, _, tag)) if tag == self.my_tag:
                    self.refusals.append("in sync")
                    process.cast(self.other, (Atom("resolved"), self.node, [], [], UNUSED, [], self.his_tag))

    def _answer_lock(self, caller: Any) -> None:
        agrees = bool(self.refusals)
        self.held += agrees
        if not agrees:
            self.refusals.append("lock")
        self.process.reply(caller, agrees)

    def _answer_locker(self) -> None:
        me, tag = self.process.pid, self.his_tag
        match len(self.refusals):
            case 1:
                self.refusals.append("locker")
                # One of an earlier session, which is no answer; a real one; and one too many.
                for each, is_set in ((tag - 1, True), (tag, False), (tag, False)):
                    self.process.cast(self.other, (Atom("lock_set"), me, is_set, [], each))
            case 2:
                self.refusals.append("session")
                self.process.send(self.other, (Atom("cancel_connect"), self.node, tag))
            case _:
                self.process.cast(self.other, (Atom("lock_set"), me, True, [], tag))


UNUSED = Atom("unused")


async def test_a_peer_that_refuses_is_asked_again(epmd: Epmd) -> None:
    quiet = Policy(connect_all=False)
    async with (
        Node("a@127.0.0.1", "secret", epmd=epmd) as a,
        Node("b@127.0.0.1", "secret", epmd=epmd, policy=quiet) as b,
    ):
        peers: list[StubbornPeer] = []

        async def refuse(process: Process) -> None:
            process.unregister(NAME)
            process.register(NAME)
            peers.append(StubbornPeer(process, a.name))
            await peers[0].run()

        watch = b.monitor(b.spawn(refuse))
        with anyio.fail_after(20):
            await a.connect(b.name)
            assert (await watch).reason == Atom("normal")
            assert await a.global_names.trans((GLOBAL, Atom("me")), lambda: True, [a.name])
        assert peers[0].refusals == ["lock", "locker", "session", "in sync"]
        assert peers[0].held == 0, "each lock that it gave has been deleted"


async def test_a_peer_that_is_lost_amid_all_leaves_no_lock(epmd: Epmd) -> None:
    quiet = Policy(connect_all=False)
    async with Node("a@127.0.0.1", "secret", epmd=epmd) as a:
        async with Node("b@127.0.0.1", "secret", epmd=epmd, policy=quiet) as b:
            locked = anyio.Event()

            async def lock_and_be_silent(process: Process) -> None:
                process.unregister(NAME)
                process.register(NAME)
                while True:
                    match await process.receive():
                        case (_, (Atom("init_connect"), _, Atom(), _)):
                            locker: Term = (Atom("locker"), Atom("no_longer_a_pid"), [], process.pid)
                            connect: Term = (Atom("init_connect"), (8, 1), Atom(b.name), locker)
                            process.cast(RemoteName(NAME, a.name), connect)
                        case (Atom("$gen_call"), caller, _):
                            process.reply(caller, True)
                        case (_, (Atom("lock_set"), *_)):
                            locked.set()

            b.spawn(lock_and_be_silent)
            await a.connect(b.name)
            with anyio.fail_after(20):
                await locked.wait()
            assert not await a.global_names.set_lock((GLOBAL, Atom("me")), [a.name], retries=0)
        with anyio.fail_after(20):
            assert await a.global_names.set_lock((GLOBAL, Atom("me")), [a.name])
