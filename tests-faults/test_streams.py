"""F3 to F5: links that are slow, that cut or join what is sent, and that change it."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio
import pytest
from ergo_node import Epmd, Node, RemoteName, Tls
from ergo_node.testing import FaultProxy
from erlang_peer import StartErl
from etf_codec import Atom, Reference, Term
from invariants import Invariants, Numbered, Numbers, handled_by, told
from links import COOKIE, ERL, HOST, A, B, erl_tls_args, linked_pair, linked_with_erl, tls_of
from otp_behaviors import ExitError, GenServer

pytestmark = pytest.mark.anyio

CORPUS: Final[list[Term]] = [
    Atom("ok"), 1, -1, 2**70, 1.5, b"", [], [1, 2, 3], list(range(300)), (), (b"a", [(b"b", 1)]), [[[[]]]],
    {Atom("a"): {Atom("b"): [b"c"]}}, Reference("x@y", 1, (1, 2, 3)), True, Atom("é" * 200),
]  # fmt: skip
LARGE: Final = bytes(range(250)) * 800
"""Four fragments."""

ECHO: Final = """
register(echo, spawn(fun Loop() ->
    receive
        {'$gen_call', {P, Tag}, Request} -> P ! {Tag, Request}, Loop();
        _ -> Loop()
    end
end))
"""


def everything(proxy: FaultProxy) -> None:
    """Late, joined, and cut."""
    proxy.split(1, 3000)
    proxy.coalesce(0.01)
    proxy.delay(0.01, 0.01)


CUTS: Final[dict[str, Callable[[FaultProxy], object]]] = {
    "single bytes": lambda proxy: proxy.split(),
    "random sizes": lambda proxy: proxy.split(1, 3000),
    "joined": lambda proxy: proxy.coalesce(0.01),
    "all of it": everything,
}


class Echo(GenServer):
    def handle_call(self, request: Term, caller: object) -> Term:
        return request


@pytest.mark.parametrize("cut", CUTS)
async def test_a_stream_is_the_same_however_it_is_cut(
    epmd: Epmd, tls: Tls | None, invariants: Invariants, cut: str
) -> None:
    """F4, handshake included."""
    async with (
        Node(A, COOKIE, epmd=epmd, tls=tls) as a,
        Node(B, COOKIE, epmd=epmd, tls=tls) as b,
        FaultProxy(b.port, seed=1) as proxy,
    ):
        CUTS[cut](proxy)
        a.add_route(B, HOST, proxy.port)
        await b.start(Echo, name="echo")
        for term in CORPUS:
            assert await a.call(RemoteName("echo", B), term, timeout=30) == term
        if cut != "single bytes":
            assert await a.call(RemoteName("echo", B), LARGE, timeout=30) == LARGE


@pytest.mark.parametrize("over", ["tcp", pytest.param("tls", marks=pytest.mark.slow)])
async def test_erlangs_stream_is_the_same_however_it_is_cut(
    start_erl: StartErl, epmd_port: int, certificates: Path, invariants: Invariants, over: str
) -> None:
    """F4: Erlang reads ours, and we read Erlang's, byte for byte."""
    secure = over == "tls"
    erl = await start_erl(ERL, args=erl_tls_args(certificates) if secure else [])
    await erl.eval(ECHO)
    async with linked_with_erl(epmd_port, tls=tls_of(certificates) if secure else None) as (node, proxy, _):
        for cut, apply in CUTS.items():
            apply(proxy)
            for term in CORPUS if cut == "single bytes" else [*CORPUS, LARGE]:
                assert await node.call(RemoteName("echo", ERL), term, timeout=30) == term
            proxy.heal()


@pytest.mark.parametrize(
    ("delay", "jitter", "rate"),
    [pytest.param(0.1, 0.1, 1e9, marks=pytest.mark.slow), (0.2, 0.1, 1e9), (0.0, 0.0, 32_000)],
)
async def test_a_poor_link_loses_nothing(
    epmd: Epmd, invariants: Invariants, delay: float, jitter: float, rate: float
) -> None:
    """F3, as TCP makes of it what a network loses, reorders and doubles: a stream that is late, or slow."""
    numbers = Numbers()
    async with linked_pair(epmd, tick_time=2.0) as (a, b, proxy):
        numbered = await b.start(Numbered, numbers)
        await handled_by(a, B)
        events = a.monitor_nodes()
        proxy.delay(delay, jitter)
        proxy.limit(rate)
        for number in range(1, 301):
            await a.send(numbered.pid, (1, number, bytes(200)))
        await handled_by(a, B)
        numbers.assert_in_order()
        assert numbers.received == 300
        assert await told(events) == []


async def corrupted(node: Node, peer: str, proxy: FaultProxy, seed: int) -> None:
    """One byte of each direction changes while terms go there and back; then the connection is made anew."""
    proxy.corrupt("out", after=seed * 37 % 2500)
    proxy.corrupt("in", after=seed * 91 % 2500)
    with anyio.fail_after(30):
        for term in CORPUS:
            try:
                await node.call(RemoteName("echo", peer), term, timeout=0.5)
            except ExitError:
                pass  # lost, or changed into something that is answered otherwise
        proxy.heal()
        await node.disconnect(peer)
    # A handshake of which a length was changed is given up only when its time is over.
    with anyio.fail_after(30):
        while not await node.connect(peer):
            pass


@pytest.mark.parametrize("seeds", [range(1), pytest.param(range(1, 200), marks=pytest.mark.slow)], ids=str)
@pytest.mark.timeout(400)
async def test_a_byte_that_changes_ends_the_connection_at_worst(
    epmd: Epmd, tls: Tls | None, invariants: Invariants, seeds: range
) -> None:
    """F5: whatever it makes of the message, neither node crashes or hangs, and they can connect again."""
    # Hidden: what `global` would say may come to `echo` by a changed letter, which rightly ends by it.
    async with linked_pair(epmd, tls=tls, seed=seeds[0], hidden=True) as (a, b, proxy):
        await b.start(Echo, name="echo")
        for seed in seeds:
            await corrupted(a, B, proxy, seed)
            assert await a.call(RemoteName("echo", B), seed, timeout=30) == seed


@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 60), marks=pytest.mark.slow)], ids=str)
@pytest.mark.timeout(400)
async def test_erlang_and_we_survive_a_byte_that_changes(
    start_erl: StartErl, epmd_port: int, invariants: Invariants, seeds: range
) -> None:
    erl = await start_erl(ERL)
    await erl.eval(ECHO)
    # Hidden, since one letter changed in a message to OTP's `global` ends that, and then the whole of Erlang.
    async with linked_with_erl(epmd_port, seed=seeds[0], hidden=True) as (node, proxy, _):
        for seed in seeds:
            await corrupted(node, ERL, proxy, seed)
            assert await node.call(RemoteName("echo", ERL), seed, timeout=30) == seed
