"""Rows of docs/parity.md about the node: cookies, several nodes, an orderly stop, terms as dataclasses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from epmd_server import names
from ergo_node import Epmd, Listen, Node
from erlang_peer import StartErl
from etf_codec import Atom, Term, from_term, to_term
from otp_behaviors import Child, GenServer, RemoteName, Supervisor
from witness import StartWitness

pytestmark = pytest.mark.anyio

PY, ERL = "py@127.0.0.1", "erl@127.0.0.1"
PONG, PANG = Atom("pong"), Atom("pang")


async def test_static_routes_and_a_cookie_per_node(
    start_erl: StartErl, epmd_port: int, free_tcp_port_factory: Callable[[], int]
) -> None:
    """Two peers with a cookie of their own each; one is found by a route to the port that it listens on."""
    port = str(free_tcp_port_factory())
    listen = ["-kernel", "inet_dist_listen_min", port, "inet_dist_listen_max", port]
    erl = await start_erl(ERL, cookie="red", args=listen)
    other = await start_erl("other@127.0.0.1", cookie="blue")
    async with Node(PY, "red", routes={ERL: ("127.0.0.1", int(port))}) as node:
        assert await node.ping(ERL)
        assert await erl.eval(f"net_adm:ping('{PY}')") == PONG
        assert not await node.ping(other.name)
        assert await other.eval(f"net_adm:ping('{PY}')") == PANG
        node.set_cookie(other.name, "blue")
        assert await other.eval(f"net_adm:ping('{PY}')") == PONG
        await node.disconnect(other.name)
        assert await node.ping(other.name)
        assert sorted(node.nodes()) == [ERL, other.name]


class Bridge(GenServer):
    """Passes calls on to a server of the other cluster."""

    def init(self, other: Node, to: RemoteName) -> None:
        self.other, self.to = other, to

    async def handle_call(self, request: Any, caller: Any) -> Any:
        return await self.other.call(self.to, request)


async def test_multinode_in_one_process(
    start_erl: StartErl, epmd_port: int, free_tcp_port_factory: Callable[[], int]
) -> None:
    """Two clusters with a cookie and an EPMD each; the EPMD of the second is ours."""
    second = free_tcp_port_factory()
    async with (
        Node("left@127.0.0.1", "red") as left,
        Node("right@127.0.0.1", "blue", epmd=Epmd(second)) as right,
    ):
        red = await start_erl("red@127.0.0.1", cookie="red")
        blue = await start_erl("blue@127.0.0.1", cookie="blue", epmd_port=second)
        await blue.eval("echo_server:start(echo)")
        await left.start(Bridge, right, RemoteName("echo", blue.name), name="bridge")
        call = "gen_server:call({bridge, 'left@127.0.0.1'}, hi)"
        assert await red.eval(call) == (Atom("echo"), Atom("hi"))
        assert await red.eval("nodes()") == [Atom(left.name)]
        assert await blue.eval("nodes()") == [Atom(right.name)]
        assert await red.eval("net_adm:ping('blue@127.0.0.1')") == PANG
        assert await blue.eval("net_adm:ping('left@127.0.0.1')") == PANG


class Tidy(GenServer):
    """Says why it ends."""

    def init(self, said: list[Term]) -> None:
        self.said = said
        self.trap_exit = True

    def handle_call(self, request: Any, caller: Any) -> Any:
        return self.pid

    def handle_cast(self, message: Term) -> None:
        raise ValueError(f"cannot read {message}")

    def terminate(self, reason: Term) -> None:
        self.said.append(reason)


async def test_graceful_stop(start_erl: StartErl, epmd_port: int) -> None:
    """`terminate` runs, monitors and links there see `shutdown`, the name and the port are free again."""
    said: list[Term] = []
    erl = await start_erl(ERL)
    async with Node(PY, "secret") as node:
        port = node.port
        await node.start(Tidy, said, name="tidy")
        await erl.eval(f"Pid = gen_server:call({{tidy, '{PY}'}}, pid)")
        await erl.eval(f"M = monitor(process, {{tidy, '{PY}'}}), link(Pid), monitor_node('{PY}', true)")
        # Link and monitor are in place when the answer comes.
        assert await erl.eval("gen_server:call(Pid, pid) =:= Pid") is True
    assert said == [Atom("shutdown")]
    assert await erl.text("receive {'DOWN', M, process, _, R} -> R end") == "shutdown"
    assert await erl.text("receive {'EXIT', Pid, R} -> R end") == "shutdown"
    assert await erl.text("receive {nodedown, N} -> N end") == f"'{PY}'"
    assert [entry.name for entry in await names("127.0.0.1", epmd_port=epmd_port)] == ["erl"]
    async with Node(PY, "secret", listen=Listen(ports=[port])) as node:
        assert await node.ping(ERL)


async def test_supervisor_children_asked_for_by_erlang(
    start_erl: StartErl, node: Node, otp_release: int
) -> None:
    said: list[Term] = []
    await node.start(Supervisor(Child(Tidy, said, name="tidy"), name="tree"))
    erl = await start_erl(ERL)
    tree = f"{{tree, '{PY}'}}"
    await erl.eval(f"[{{Id, Pid, Type, _}}] = supervisor:which_children({tree})")
    assert await erl.text("{Id, Type}") == "{tidy,worker}"
    assert await erl.eval("gen_server:call(Pid, pid) =:= Pid") is True
    # OTP has `which_child/2` from 28 on, which does this call.
    which = "supervisor:which_child" if otp_release >= 28 else "gen_server:call"
    for id, answer in (("tidy", "{ok, {tidy, Pid, worker, ['Tidy']}}"), ("untidy", "{error, not_found}")):
        request = id if otp_release >= 28 else f"{{which_child, {id}}}"
        assert await erl.eval(f"{which}({tree}, {request}) =:= {answer}") is True
    counts = "[{specs,1},{active,1},{supervisors,0},{workers,1}]"
    assert await erl.text(f"supervisor:count_children({tree})") == counts
    await erl.eval(f"ok = supervisor:terminate_child({tree}, Id)")
    assert said == [Atom("shutdown")]
    assert await erl.text(f"element(2, hd(supervisor:which_children({tree})))") == "undefined"
    await erl.eval(f"{{ok, New}} = supervisor:restart_child({tree}, Id)")
    assert await erl.eval("gen_server:call(New, pid) =:= New andalso New =/= Pid") is True


async def test_an_exception_in_a_callback_restarts_and_is_seen(start_erl: StartErl, node: Node) -> None:
    """Erlang monitors and links a supervised server of ours, and sends it what it cannot read."""
    await node.start(Supervisor(Child(Tidy, [], name="tidy"), name="tree"))
    erl = await start_erl(ERL)
    tidy = f"{{tidy, '{PY}'}}"
    await erl.eval(f"Pid = gen_server:call({tidy}, pid), link(Pid), M = monitor(process, Pid)")
    await erl.eval(f"gen_server:cast({tidy}, poison)")
    seen = (
        "fun({{'ValueError', <<\"cannot read poison\">>}, [{_, handle_cast, 2, [{file, _}, {line, _}]} | _]})"
        " -> true; (R) -> R end"
    )
    assert await erl.text(f"receive {{'DOWN', M, process, Pid, R}} -> ({seen})(R) end") == "true"
    assert await erl.text(f"receive {{'EXIT', Pid, R}} -> ({seen})(R) end") == "true"
    with anyio.fail_after(10):
        while (
            await erl.text(f"try gen_server:call({tidy}, pid) =/= Pid catch exit:_ -> false end") == "false"
        ):
            await anyio.lowlevel.checkpoint()


@dataclass
class Item:
    sku: str
    price: float


@dataclass
class Order:
    id: int
    items: list[Item]


@pytest.mark.parametrize(
    ("written", "form"),
    [
        ('{order, 7, [{item, <<"tea">>, 2.5}]}', "record"),
        ('#{id => 7, items => [#{sku => <<"tea">>, price => 2.5}]}', "map"),
        ('[{id, 7}, {items, [[{sku, <<"tea">>}, {price, 2.5}]]}]', "proplist"),
    ],
    ids=["record", "map", "proplist"],
)
async def test_terms_as_dataclasses(
    written: str, form: Any, start_erl: StartErl, start_witness: StartWitness
) -> None:
    witness = await start_witness(name="witness")
    erl = await start_erl(ERL)
    me = await erl.eval("self()")
    await erl.eval(f"{{witness, '{PY}'}} ! {written}")
    order = from_term(await witness.next(), Order)
    assert order == Order(7, [Item("tea", 2.5)])
    await witness.do(lambda process: process.send(me, to_term(order, form)))
    assert await erl.text(f"receive Back -> Back =:= {written} end") == "true"
