"""The bridge of the examples between two real clusters, each with its own cookie and EPMD."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest
from anyio.streams.text import TextReceiveStream
from erlang_peer import StartErl
from etf_codec import Atom

pytestmark = pytest.mark.anyio

BRIDGE = Path(__file__).parents[1] / "examples" / "05_bridge.py"
SHOP = "fun F() -> receive {'$gen_call', From, Term} -> gen_server:reply(From, {sold, Term}), F() end end"


@pytest.fixture
async def ports(epmd_port: int, free_tcp_port_factory: Callable[[], int]) -> AsyncIterator[tuple[int, int]]:
    """The EPMD ports of the clusters; the second one is our own EPMD, in the bridge."""
    ports = (epmd_port, free_tcp_port_factory())
    command = [sys.executable, str(BRIDGE)]
    for name, cookie, port in zip(("left", "right"), ("red", "blue"), ports, strict=True):
        command += [f"{name}@127.0.0.1", cookie, str(port)]
    async with await anyio.open_process(command, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        with anyio.fail_after(20):
            assert "are a bridge" in await TextReceiveStream(process.stdout).receive()
        yield ports
        process.terminate()


async def test_calls_cross_the_bridge(start_erl: StartErl, ports: tuple[int, int]) -> None:
    till = await start_erl("till@127.0.0.1", cookie="red", epmd_port=ports[0])
    shop = await start_erl("shop@127.0.0.1", cookie="blue", epmd_port=ports[1])
    await shop.eval(f"register(shop, spawn({SHOP}))")
    assert await till.eval("net_adm:ping('shop@127.0.0.1')") == Atom("pang")
    call = "gen_server:call({{bridge, 'left@127.0.0.1'}}, {{{}, 'shop@127.0.0.1', tea}})"
    assert await till.eval(call.format("shop")) == (Atom("sold"), Atom("tea"))
    assert await till.eval(call.format("rex")) == (Atom("error"), Atom("not_reachable"))
    assert await till.eval("nodes()") == [Atom("left@127.0.0.1")]
    assert await shop.eval("nodes()") == [Atom("right@127.0.0.1")]
    await shop.eval("exit(whereis(shop), kill)")
    assert await till.eval(f"element(1, element(2, {call.format('shop')}))") == Atom("noproc")
