"""Rows of docs/parity.md about the wire: atoms, fragments, order, ticks, handshakes, links, exits."""

import os
import signal
from time import monotonic

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketStream
from epmd_server import look_up
from ergo_node import Node, NodeDown
from erlang_peer import Erl, StartErl
from erldist_proto import Closed, Connection, LocalNode
from etf_codec import Atom, Pid, Term, encode
from otp_behaviors import Down, Exit, ExitError, Process
from witness import StartWitness

pytestmark = pytest.mark.anyio

PY, ERL = "py@127.0.0.1", "erl@127.0.0.1"
MANY = 100_000
BOOM = Atom("boom")
SHUTDOWN = Atom("shutdown")

ECHO = f"Echo = fun(T) -> {{echo, Back}} = gen_server:call({{echo, '{PY}'}}, T, 60000), Back end"
"""Calls the witness, which sends back what it was sent: both directions in one question."""


async def evaluator(erl: Erl) -> Pid:
    pid = await erl.eval("self()")
    assert isinstance(pid, Pid)
    return pid


async def test_dist_header_atom_cache(start_erl: StartErl, start_witness: StartWitness) -> None:
    """More atoms than the cache has slots, more than 255 in a message, and atoms of 255 characters."""
    await start_witness(name="echo")
    erl = await start_erl(ERL)
    await erl.eval('Atoms = [list_to_atom("atom_" ++ integer_to_list(N)) || N <- lists:seq(1, 5000)]')
    await erl.eval(
        "Long = [list_to_atom(lists:duplicate(250, $x) ++ integer_to_list(N)) || N <- lists:seq(1, 300)]"
    )
    await erl.eval("Cut = fun Cut([]) -> []; Cut(L) -> {A, B} = lists:split(50, L), [A | Cut(B)] end")
    await erl.eval(ECHO)
    assert await erl.text("[length(L) || L <- [Atoms, Long, Atoms ++ Long], Echo(L) =/= L]", 60) == "[]"
    # Twice: the second time a slot holds another atom than the first time.
    assert await erl.text("[L || _ <- [1, 2], L <- Cut(Atoms), Echo(L) =/= L]", 60) == "[]"


async def test_fragmentation(start_erl: StartErl, start_witness: StartWitness) -> None:
    """Sizes around that of a fragment, up to the limit of 64 MiB; then several at once, fragments mixed."""
    await start_witness(name="echo")
    erl = await start_erl(ERL)
    assert await erl.eval(f"net_adm:ping('{PY}')") == Atom("pong")
    await erl.eval("Bytes = fun(N) -> crypto:strong_rand_bytes(N) end")
    await erl.eval(ECHO)
    sizes = "lists:seq(65336, 65736, 5) ++ [131072, 1 bsl 24, 1 bsl 26 - 1000]"
    assert await erl.text(f"[N || N <- {sizes}, B <- [Bytes(N)], Echo(B) =/= B]", 60) == "[]"
    await erl.eval(
        "Main = self(), Ask = fun(N) -> B = Bytes(1 bsl 22), Main ! {same, N, Echo(B) =:= B} end,"
        " [spawn(fun() -> Ask(N) end) || N <- lists:seq(1, 4)], ok"
    )
    assert await erl.text("[receive {same, N, Same} -> Same end || N <- lists:seq(1, 4)]", 60) == (
        "[true,true,true,true]"
    )


async def test_fragmentation_beyond_the_limit(start_erl: StartErl, start_witness: StartWitness) -> None:
    """A message of more than 64 MiB ends the connection, which Erlang notices; the next one makes another."""
    await start_witness(name="echo")
    erl = await start_erl(ERL)
    call = f"gen_server:call({{{{echo, '{PY}'}}}}, {{}})"
    assert await erl.text(call.format("ok")) == "{echo,ok}"
    tried = f"try {call.format('<<0:(1 bsl 26)/unit:8>>')} catch exit:{{R, _}} -> R end"
    assert await erl.text(tried) == f"{{nodedown,'{PY}'}}"
    assert await erl.text(call.format("again")) == "{echo,again}"


def size_of(number: int) -> int:
    """The bytes that go with a number: some messages are cut into fragments, most are not."""
    return 100_000 if number % 1000 == 0 else number % 200


SIZE_OF = "SizeOf = fun(N) when N rem 1000 =:= 0 -> 100000; (N) -> N rem 200 end"


async def test_pairwise_order_from_erlang(start_erl: StartErl, node: Node) -> None:
    numbers: list[Term] = []

    async def count(process: Process) -> None:
        for number in range(1, MANY + 1):
            match await process.receive():
                case (got, bytes(data)) if len(data) == size_of(number):
                    numbers.append(got)

    done = node.monitor(node.spawn(count, name="count"))
    erl = await start_erl(ERL)
    await erl.eval(SIZE_OF)
    await erl.eval(
        f"To = {{count, '{PY}'}}, Pour = fun(N) -> To ! {{N, <<0:(SizeOf(N))/unit:8>>}} end,"
        f" spawn(fun() -> lists:foreach(Pour, lists:seq(1, {MANY})) end), ok"
    )
    with anyio.fail_after(60):
        assert (await done).reason == Atom("normal")
    assert numbers == list(range(1, MANY + 1))


async def test_pairwise_order_to_erlang(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    to = await evaluator(erl)

    async def pour(process: Process) -> None:
        for number in range(1, MANY + 1):
            process.send(to, (number, bytes(size_of(number))))

    node.spawn(pour)
    await erl.eval(SIZE_OF)
    wrong = (
        f"[N || N <- lists:seq(1, {MANY}), receive {{M, B}} -> {{M, byte_size(B)}} =/= {{N, SizeOf(N)}} end]"
    )
    assert await erl.text(wrong, timeout=60) == "[]"


async def test_ticks_and_dead_peer_detection(start_erl: StartErl, epmd_port: int) -> None:
    erl = await start_erl(ERL, args=["-kernel", "net_ticktime", "4"])
    async with Node(PY, "secret", tick_time=4.0) as node:
        assert await node.ping(ERL)
        await erl.eval(f"monitor_node('{PY}', true)")
        # Nobody has anything to say: what keeps the link up on either side are ticks.
        with node.monitor_nodes() as events:
            assert await erl.text("receive {nodedown, N} -> N after 7000 -> alive end") == "alive"
            assert node.nodes() == [ERL]
            stopped_at = monotonic()
            os.kill(erl.os_pid, signal.SIGSTOP)
            with anyio.fail_after(10):
                event = await anext(events)
            assert isinstance(event, NodeDown)
            assert event.node == ERL
            assert monotonic() - stopped_at > 2


async def test_simultaneous_connect(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    theirs: list[Term] = []
    ours: list[bool] = []

    async def they_ping() -> None:
        theirs.append(await erl.eval(f"net_adm:ping('{PY}')"))

    async def we_ping() -> None:
        ours.append(await node.ping(ERL))

    with anyio.fail_after(60):
        for _ in range(25):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(they_ping)
                tasks.start_soon(we_ping)
            assert node.nodes() == [ERL]
            await node.disconnect(ERL)
            while await erl.eval("nodes()") != []:
                await anyio.lowlevel.checkpoint()
    assert theirs == [Atom("pong")] * 25
    assert ours == [True] * 25


async def test_link_and_unlink_storms(start_erl: StartErl, start_witness: StartWitness, node: Node) -> None:
    """Linked and unlinked while the other side ends: no exit signal after unlink, one after a link."""
    erl = await start_erl(ERL)
    witness = await start_witness()
    mortals = await erl.eval(
        "[spawn(fun() -> receive after N rem 40 -> exit(boom) end end) || N <- lists:seq(1, 400)]"
    )
    assert isinstance(mortals, list)

    def storm(process: Process) -> None:
        for mortal in mortals:
            assert isinstance(mortal, Pid)
            process.link(mortal)
            process.unlink(mortal)
            process.link(mortal)
            process.unlink(mortal)

    await witness.do(storm)
    lasting = await erl.eval("spawn(fun() -> receive stop -> exit(boom) end end)")
    assert isinstance(lasting, Pid)

    def end_linked(process: Process) -> None:
        for _ in range(400):
            process.link(lasting)
            process.unlink(lasting)
        process.link(lasting)
        process.send(lasting, Atom("stop"))

    await witness.do(end_linked)
    assert await witness.next() == Exit(lasting, BOOM)
    assert await node.ping(ERL)
    assert witness.unread() == 0


async def test_link_and_unlink_storms_of_erlang(start_erl: StartErl, node: Node) -> None:
    erl = await start_erl(ERL)
    me = await evaluator(erl)

    async def mortal(process: Process) -> None:
        raise ExitError(await process.receive())

    for _ in range(200):
        await node.send(me, node.spawn(mortal))
    await erl.eval("Pids = [receive P when is_pid(P) -> P end || _ <- lists:seq(1, 200)]")
    await erl.eval("[begin link(P), unlink(P), P ! boom, link(P), unlink(P) end || P <- Pids], ok")
    last = node.spawn(mortal)
    await node.send(me, last)
    await erl.eval("receive Last when is_pid(Last) -> [begin link(Last), unlink(Last) end || _ <- Pids] end")
    await erl.eval("link(Last), Last ! boom")
    assert await erl.text("receive {'EXIT', P, R} -> {P =:= Last, R} end") == "{true,boom}"
    assert await erl.eval(f"net_adm:ping('{PY}')") == Atom("pong")
    assert await erl.text("receive M -> M after 0 -> nothing end") == "nothing"


@pytest.mark.parametrize("size", [0, 1000, 300_000], ids=["empty", "small", "fragments"])
async def test_exit_and_exit2_with_structured_reasons(
    size: int, start_erl: StartErl, start_witness: StartWitness, node: Node
) -> None:
    """As exit signal, as the end of a link and of a monitor, each way; a big reason comes in fragments."""
    witness = await start_witness(name="witness")
    erl = await start_erl(ERL)
    me = await evaluator(erl)
    reason: Term = (SHUTDOWN, {b"why": [bytes(size)]})
    await erl.eval(f'Reason = {{shutdown, #{{<<"why">> => [<<0:{size}/unit:8>>]}}}}')

    await node.send(me, witness.pid)
    await erl.eval("receive Witness when is_pid(Witness) -> exit(Witness, Reason) end")
    assert await witness.next() == Exit(me, reason)
    theirs = await erl.eval("Theirs = spawn(fun() -> receive stop -> exit(Reason) end end)")
    assert isinstance(theirs, Pid)
    await witness.do(lambda process: process.link(theirs))
    ref = await witness.do(lambda process: process.monitor(theirs))
    await node.send(theirs, Atom("stop"))
    ended = [await witness.next(), await witness.next()]
    assert Exit(theirs, reason) in ended
    assert Down(ref, theirs, reason) in ended

    async def end(process: Process) -> None:
        raise ExitError(await process.receive())

    ours = node.spawn(end)
    await node.send(me, ours)
    await erl.eval(
        "receive Ours when is_pid(Ours) -> link(Ours), M = monitor(process, Ours), Ours ! Reason end"
    )
    assert await erl.text("receive {'EXIT', Ours, R} -> R =:= Reason end") == "true"
    assert await erl.text("receive {'DOWN', M, process, Ours, R} -> R =:= Reason end") == "true"
    other = await erl.eval("{Other, M2} = spawn_monitor(fun() -> receive stop -> ok end end), Other")
    assert isinstance(other, Pid)
    node.exit(other, reason)
    assert await erl.text("receive {'DOWN', M2, process, Other, R} -> R =:= Reason end") == "true"


async def test_funs_come_back_and_can_be_called(start_erl: StartErl, start_witness: StartWitness) -> None:
    await start_witness(name="echo")
    erl = await start_erl(ERL)
    await erl.eval(f"K = 40, F = fun(X) -> X + K end, {ECHO}")
    assert await erl.eval("(Echo(F))(2)") == 42
    assert await erl.eval("(Echo(fun lists:reverse/1))([1, 2])") == [2, 1]
    assert await erl.eval("Echo(Echo) =:= Echo") is True
    assert await erl.eval("erlang:port_info(Echo(hd(erlang:ports())), id) =/= undefined") is True


def too_early(witness: Pid) -> bytes:
    """A valid control message and its payload, as they are on a connection without a distribution header."""
    forged = Pid("forger@127.0.0.1", 1, 0, 1)
    control = encode((6, forged, Atom(""), Atom("witness")))
    exit2 = encode((8, forged, witness, Atom("kill")))
    packets = (b"p" + control + encode(Atom("early")), b"p" + exit2)
    return b"".join(len(packet).to_bytes(4) + packet for packet in packets)


async def read_to_the_end(stream: SocketStream) -> None:
    try:
        while True:
            await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return


@pytest.mark.parametrize("when", ["first", "with the name", "with the digest"])
async def test_before_the_handshake_ends_nothing_else_is_parsed(
    when: str, start_erl: StartErl, start_witness: StartWitness, epmd_port: int
) -> None:
    """Messages of one who has not proved to know the cookie, at each step of the handshake."""
    witness = await start_witness(name="witness")
    port = (await look_up("py", "127.0.0.1", epmd_port=epmd_port)).port
    forger = Connection.initiator(LocalNode("forger@127.0.0.1", 1), PY, "a guess", monotonic())
    message = too_early(witness.pid)
    with anyio.fail_after(20):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            name = b"".join(forger.data_to_send())
            if when == "with the digest":
                await stream.send(name)
                while not (digest := b"".join(forger.data_to_send())):
                    forger.receive_data(await stream.receive())
                    assert not any(isinstance(event, Closed) for event in forger.events())
                await stream.send(digest + message)
            else:
                await stream.send(message if when == "first" else name + message)
            await read_to_the_end(stream)
    erl = await start_erl(ERL)
    await erl.eval(f"{{witness, '{PY}'}} ! hello")
    assert await witness.next() == Atom("hello")
    assert witness.unread() == 0
