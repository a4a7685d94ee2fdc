"""A node by itself: how it starts, what it refuses, how it ends."""

import os
from typing import Any

import anyio
import anyio.lowlevel
import epmd_server
import pytest
from anyio.abc import SocketAttribute
from ergo_node import BadName, CannotStart, Epmd, Listen, Node, RemoteName
from etf_codec import Atom, EncodeError
from otp_behaviors import ExitError, GenServer, NoConnection, NoProcess

pytestmark = pytest.mark.anyio

HOST, COOKIE, GET = "127.0.0.1", "secret", Atom("get")
Pair = tuple[Node, Node]


class Register(GenServer):
    """Holds one value; `object` asks for a reply that has no external form."""

    def init(self, value: Any = 0, ended: list[Any] | None = None) -> None:
        self.value = value
        self.ended = [] if ended is None else ended

    def handle_call(self, request: Any, caller: Any) -> Any:
        return object() if request == Atom("object") else self.value

    def handle_cast(self, message: Any) -> None:
        self.value = message

    def terminate(self, reason: Any) -> None:
        self.ended.append(reason)


async def registered(epmd: Epmd) -> set[str]:
    return {entry.name for entry in await epmd_server.names(HOST, epmd_port=epmd.port)}


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("py", "has no host part: use 'py@host'"),
        ("@host", "nothing before '@'"),
        ("a@b@c", "more than one '@'"),
        ("", "has no host part"),
        ("a\n@host", "cannot be printed"),
        ("x" * 300 + "@host", "characters"),
    ],
)
def test_a_bad_name(name: str, advice: str) -> None:
    with pytest.raises(BadName, match=advice):
        Node(name, COOKIE)


def test_before_it_runs() -> None:
    node = Node("a@127.0.0.1", COOKIE)
    assert (node.name, repr(node), node.nodes()) == ("a@127.0.0.1", "<Node a@127.0.0.1>", [])


async def test_a_port_in_use(epmd: Epmd) -> None:
    async with await anyio.create_tcp_listener(local_host=HOST) as taken:
        port = taken.extra(SocketAttribute.local_port)
        with pytest.raises(CannotStart, match=rf"cannot listen on 127\.0\.0\.1, port {port}: .*ports="):
            async with Node("a@127.0.0.1", COOKIE, epmd=epmd, listen=Listen(ports=(port,))):
                pass
        async with Node("a@127.0.0.1", COOKIE, epmd=epmd, listen=Listen(ports=(port, 0))) as node:
            assert node.port not in (0, port)


async def test_the_port_of_the_epmd_is_not_taken(epmd: Epmd) -> None:
    assert epmd.port is not None
    async with Node("a@127.0.0.1", COOKIE, epmd=epmd, listen=Listen(ports=(epmd.port, 0))) as node:
        assert node.port not in (0, epmd.port)
        assert node.health().registered


async def test_no_port_at_all(epmd: Epmd) -> None:
    with pytest.raises(CannotStart, match="no port was given"):
        async with Node("a@127.0.0.1", COOKIE, epmd=epmd, listen=Listen(ports=())):
            pass


async def test_of_several_places_all_must_be_free(epmd: Epmd) -> None:
    async with await anyio.create_tcp_listener(local_host=HOST) as taken:
        port = taken.extra(SocketAttribute.local_port)
        with pytest.raises(CannotStart, match=f"port {port}"):
            async with Node("a@127.0.0.1", COOKIE, epmd=epmd, listen=[Listen(), Listen(ports=(port,))]):
                pass
    with pytest.raises(CannotStart, match="at least one"):
        async with Node("a@127.0.0.1", COOKIE, epmd=epmd, listen=[]):
            pass


async def test_it_listens_where_its_name_is(epmd: Epmd) -> None:
    async with Node("a@127.0.0.1", COOKIE, epmd=epmd) as node:
        async with await anyio.connect_tcp(HOST, node.port) as stream:
            assert stream.extra(SocketAttribute.remote_address)[0] == HOST
        with pytest.raises(OSError, match=r"refused|attempts"):
            await anyio.connect_tcp("127.0.0.2", node.port)


async def test_a_node_that_cannot_start_leaves_nothing(epmd: Epmd) -> None:
    with pytest.raises(CannotStart, match="cannot be registered"):
        async with Node("a@127.0.0.1", COOKIE, epmd=Epmd(epmd.port, embedded=False)):
            pass
    with anyio.fail_after(5):
        async with Node("a@127.0.0.1", COOKIE, epmd=epmd) as node:
            assert await registered(epmd) == {"a"}
            assert node.nodes() == []


async def test_leaving_stops_servers_and_releases_the_name(pair: Pair, epmd: Epmd) -> None:
    a, _ = pair
    ended: list[Any] = []
    with anyio.fail_after(10):
        async with Node("c@127.0.0.1", COOKIE, epmd=epmd) as c:
            await c.start(Register, 7, ended, name="register")
            watch = a.monitor(RemoteName("register", c.name))
            assert await a.call(RemoteName("register", c.name), GET) == 7
            assert await registered(epmd) == {"a", "b", "c"}
        assert ended == [Atom("shutdown")]
        # The server's own end comes before the end of the connection that carries the news.
        assert (await watch).reason == Atom("shutdown")
        while await registered(epmd) != {"a", "b"}:
            await anyio.lowlevel.checkpoint()
        with pytest.raises(OSError, match=r"refused|attempts"):
            await anyio.connect_tcp(HOST, c.port)


async def test_an_exception_of_the_body_comes_out_as_it_is(epmd: Epmd) -> None:
    class Mine(Exception):
        pass

    with anyio.fail_after(10), pytest.raises(Mine):
        async with Node("a@127.0.0.1", COOKIE, epmd=epmd):
            raise Mine
    async with Node("a@127.0.0.1", COOKIE, epmd=epmd):
        pass


async def test_it_can_be_cancelled(epmd: Epmd) -> None:
    ended: list[Any] = []
    with anyio.fail_after(10):
        with anyio.move_on_after(0.2) as scope:
            async with Node("a@127.0.0.1", COOKIE, epmd=epmd) as node:
                await node.start(Register, 7, ended)
                await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert ended == [Atom("shutdown")]


async def test_a_request_without_external_form_is_the_callers_error(pair: Pair) -> None:
    a, b = pair
    there = RemoteName("register", b.name)
    await b.start(Register, 7, name="register")
    with anyio.fail_after(10):
        with pytest.raises(EncodeError, match="object"):
            await a.call(there, object())
        assert await a.call(there, GET) == 7
        with pytest.raises(EncodeError, match="object"):
            await a.cast(there, object())
        with pytest.raises(EncodeError, match="object"):
            await a.send(there, object())
        assert await a.call(there, GET) == 7
        assert a.nodes() == [b.name]


async def test_a_request_without_external_form_to_a_node_not_yet_connected(pair: Pair) -> None:
    a, b = pair
    there = RemoteName("register", b.name)
    await b.start(Register, 7, name="register")
    with anyio.fail_after(10):
        with pytest.raises(EncodeError, match="object"):
            await a.call(there, object())
        assert await a.call(there, GET) == 7


async def test_a_reply_without_external_form_ends_the_server(pair: Pair) -> None:
    a, b = pair
    there = RemoteName("register", b.name)
    server = await b.start(Register, 7, name="register")
    watch = server.monitor()
    assert await a.ping(b.name)
    with anyio.fail_after(10), a.monitor_nodes() as events:
        with pytest.raises(ExitError) as failure:
            await a.call(there, Atom("object"))
        assert "no external form" in repr(failure.value.reason) or "object" in repr(failure.value.reason)
        await watch
        with pytest.raises(NoProcess):
            await a.call(there, GET)
        assert a.nodes() == [b.name]
        events.close()
        assert [event async for event in events] == []


async def test_why_a_node_cannot_be_called(pair: Pair) -> None:
    a, _ = pair
    with anyio.fail_after(10), pytest.raises(NoConnection, match=r"nobody@127\.0\.0\.1 is not to be found"):
        await a.call(RemoteName("register", "nobody@127.0.0.1"), GET)


async def test_many_networks_in_one_process(free_tcp_port_factory: Any) -> None:
    first, second = Epmd(free_tcp_port_factory()), Epmd(free_tcp_port_factory())
    with anyio.fail_after(20):
        async with (
            Node("a@127.0.0.1", "one", epmd=first) as a1,
            Node("b@127.0.0.1", "one", epmd=first) as b1,
            Node("a@127.0.0.1", "two", epmd=second) as a2,
            Node("b@127.0.0.1", "two", epmd=second) as b2,
        ):
            await b1.start(Register, 1, name="register")
            await b2.start(Register, 2, name="register")
            there = RemoteName("register", "b@127.0.0.1")
            assert [await each.call(there, GET) for each in (a1, a2)] == [1, 2]
            assert [each.nodes() for each in (a1, b1, a2, b2)] == [[b1.name], [a1.name]] * 2


async def test_hidden_nodes(pair: Pair, epmd: Epmd) -> None:
    a, b = pair
    with anyio.fail_after(10):
        async with Node("c@127.0.0.1", COOKIE, epmd=epmd, hidden=True) as c:
            assert await a.ping(b.name)
            assert await c.ping(a.name)
            assert (a.nodes(), a.nodes("hidden"), a.nodes("all")) == ([b.name], [c.name], [b.name, c.name])
            assert (c.nodes(), c.nodes("hidden")) == ([], [a.name])


async def test_none_is_the_atom_that_was_chosen(epmd: Epmd) -> None:
    nil = Atom("nil")
    with anyio.fail_after(10):
        async with (
            Node("a@127.0.0.1", COOKIE, epmd=epmd, none=nil) as a,
            Node("b@127.0.0.1", COOKIE, epmd=epmd) as b,
        ):
            await b.start(Register, 0, name="register")
            there = RemoteName("register", b.name)
            await a.cast(there, None)
            assert await a.call(there, GET) is None
            assert await b.call("register", GET) == nil


@pytest.mark.parametrize(("cookie", "why"), [("", "is empty"), ("кот", "beyond Latin-1")])
def test_what_no_node_has_as_a_cookie(cookie: str, why: str) -> None:
    with pytest.raises(CannotStart, match=why):
        Node("a@127.0.0.1", cookie)
    with pytest.raises(ValueError, match=why):
        Node("a@127.0.0.1", COOKIE).set_cookie("b@127.0.0.1", cookie)


async def test_the_cookie_of_the_user(epmd: Epmd, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "HOME", str(tmp_path))
    (tmp_path / ".erlang.cookie").write_text("mine\n")
    (tmp_path / ".erlang.cookie").chmod(0o400)
    async with Node("a@127.0.0.1", epmd=epmd) as node:
        assert node.cookie_of("b@127.0.0.1") == "mine"
        node.set_cookie("b@127.0.0.1", "theirs")
        assert (node.cookie_of("b@127.0.0.1"), node.cookie_of("c@127.0.0.1")) == ("theirs", "mine")
