import pytest
from ergo_node._net_kernel import NAME, NetKernel
from etf_codec import Atom
from otp_behaviors import LocalRuntime

pytestmark = pytest.mark.anyio


async def test_it_answers_a_ping() -> None:
    async with LocalRuntime() as runtime:
        server = await runtime.start(NetKernel, name=NAME)
        assert await server.call((Atom("is_auth"), Atom("b@host"))) == Atom("yes")


@pytest.mark.parametrize("request_", [Atom("is_auth"), (Atom("is_auth"),), (Atom("spawn"), Atom("m")), 7])
async def test_it_survives_what_only_otp_asks(request_: object) -> None:
    async with LocalRuntime() as runtime:
        server = await runtime.start(NetKernel, name=NAME)
        assert await server.call(request_) == (Atom("error"), (Atom("bad_request"), request_))
        await server.cast(request_)
        await server.send(request_)
        assert await server.call((Atom("is_auth"), Atom("b@host"))) == Atom("yes")
