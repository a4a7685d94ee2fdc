"""A bridge between two clusters: one Python program that is a node of both.

The clusters have cookies and EPMDs of their own and know nothing of each other. Whoever calls the server
`bridge` in one of them reaches the servers that the other lets it reach:

    gen_server:call({bridge, 'left@127.0.0.1'}, {shop, 'shop@127.0.0.1', {price, tea}}).      % Erlang
    GenServer.call({:bridge, :"left@127.0.0.1"}, {:shop, :"shop@127.0.0.1", {:price, :tea}})  # Elixir

`python 05_bridge.py` builds both clusters in this process and calls across. To join clusters that run, give
for each of them our name there, its cookie and the port of its EPMD:

    python 05_bridge.py left@127.0.0.1 red 4369 right@127.0.0.1 blue 5369
"""

import sys
from typing import Any

import anyio
from ergo_node import Epmd, Node, RemoteName
from etf_codec import Atom
from otp_behaviors import NO_REPLY, Caller, ExitError, GenServer, Process

HOST = "127.0.0.1"
REACHABLE = {"shop"}  # names that may be called from the other side; a cluster trusts all that reaches it


class Bridge(GenServer):
    """Passes `{Name, Node, Request}` on to the other cluster, and the reply back."""

    def init(self, far: Node) -> None:
        self.far = far

    def handle_call(self, request: Any, caller: Caller) -> Any:
        match request:
            case (Atom(name), Atom(node), term) if name in REACHABLE:
                # A process for each request: a slow one does not hold up the others.
                self.spawn(self.pass_on, RemoteName(name, node), term, caller)
                return NO_REPLY
            case _:
                return (Atom("error"), Atom("not_reachable"))

    async def pass_on(self, process: Process, to: RemoteName, term: Any, caller: Caller) -> None:
        try:
            process.reply(caller, await self.far.call(to, term))
        except ExitError as error:
            process.reply(caller, (Atom("error"), error.reason))


class Shop(GenServer):
    def init(self, prices: dict[Atom, int]) -> None:
        self.prices = prices

    def handle_call(self, request: Any, caller: Caller) -> Any:
        return self.prices[request[1]]


async def bridge(left: Node, right: Node) -> None:
    await left.start(Bridge, right, name="bridge")
    await right.start(Bridge, left, name="bridge")


async def join(
    left: str, left_cookie: str, left_epmd: str, right: str, right_cookie: str, right_epmd: str
) -> None:
    async with (
        Node(left, left_cookie, epmd=Epmd(int(left_epmd))) as one,
        Node(right, right_cookie, epmd=Epmd(int(right_epmd))) as other,
    ):
        await bridge(one, other)
        print(f"{one.name} and {other.name} are a bridge", flush=True)
        await anyio.sleep_forever()


async def demonstrate() -> None:
    red, blue = Epmd(14369), Epmd(15369)
    async with (
        Node(f"left@{HOST}", "red", epmd=red) as left,
        Node(f"till@{HOST}", "red", epmd=red) as till,
        Node(f"right@{HOST}", "blue", epmd=blue) as right,
        Node(f"shop@{HOST}", "blue", epmd=blue) as shop,
    ):
        await bridge(left, right)
        await shop.start(Shop, {Atom("tea"): 3}, name="shop")
        print("till reaches shop:", await till.connect(shop.name))
        request = (Atom("shop"), Atom(shop.name), (Atom("price"), Atom("tea")))
        price = await till.call(RemoteName("bridge", left.name), request)
        print("price of tea, over the bridge:", price)
        print("red: ", sorted([till.name, *till.nodes()]))
        print("blue:", sorted([shop.name, *shop.nodes()]))


if __name__ == "__main__":
    try:
        anyio.run(*([join, *sys.argv[1:]] if len(sys.argv) > 1 else [demonstrate]))
    except KeyboardInterrupt:
        pass
