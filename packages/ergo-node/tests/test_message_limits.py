"""What one message may hold is the user's to say."""

import anyio
import pytest
from ergo_node import Epmd, Node, RemoteName
from erldist_proto import ConnectionLimits
from etf_codec import Limits
from otp_behaviors import GenServer

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


class Scales(GenServer):
    def handle_call(self, request: bytes, caller: object) -> int:
        return len(request)


@pytest.mark.parametrize(("limit", "size"), [(2 * MIB, 1 * MIB), (160 * MIB, 65 * MIB)])
async def test_a_message_within_the_limit_arrives(epmd: Epmd, limit: int, size: int) -> None:
    limits = ConnectionLimits(
        max_message_bytes=limit,
        max_frame_bytes=limit,
        max_fragment_bytes=2 * limit,
        terms=Limits(max_bytes=limit),
    )
    with anyio.fail_after(30):
        async with (
            Node("a@127.0.0.1", "secret", epmd=epmd, limits=limits) as a,
            Node("b@127.0.0.1", "secret", epmd=epmd, limits=limits) as b,
        ):
            await a.start(Scales, name="scales")
            assert await b.call(RemoteName("scales", a.name), bytes(size), timeout=30) == size
