"""B7: a send that is cancelled has been sent whole, or not at all."""

from contextlib import suppress
from random import Random

import anyio
import pytest
from ergo_node import Epmd, RemoteName, Tls
from invariants import Invariants, Numbered, Numbers, eventually, handled_by, told
from links import B, linked_pair
from otp_behaviors import CallTimeout

pytestmark = pytest.mark.anyio

SENDERS, EACH = 6, 40


@pytest.mark.parametrize("seed", [0, *(pytest.param(each, marks=pytest.mark.slow) for each in range(1, 20))])
async def test_sends_and_calls_that_are_cancelled_anywhere(
    epmd: Epmd, tls: Tls | None, invariants: Invariants, seed: int
) -> None:
    """Tasks send small and large messages over a link that is slow and cuts them up, and are cancelled."""
    random, numbers = Random(seed), Numbers()
    async with linked_pair(epmd, tls=tls, seed=seed) as (a, b, proxy):
        await b.start(Numbered, numbers, name="numbered")
        to = RemoteName("numbered", B)
        await handled_by(a, B)
        invariants.watch(a)
        invariants.watch(b)
        events = a.monitor_nodes()
        proxy.split(1, 50_000)
        proxy.limit(20_000_000)
        cancelled = 0

        async def send(sender: int) -> None:
            nonlocal cancelled
            for number in range(1, EACH + 1):
                size = random.choice([0, 10, 70_000, 300_000])
                with anyio.move_on_after(random.choice([0, 0, 0.001, 0.02, 60])) as scope:
                    if random.random() < 0.2:
                        with suppress(CallTimeout):
                            await a.call(to, "how many?", timeout=random.choice([0.001, 30.0]))
                    await a.send(to, (sender, number, bytes(size)))
                cancelled += scope.cancelled_caught

        async with anyio.create_task_group() as tasks:
            for sender in range(SENDERS):
                tasks.start_soon(send, sender)
        proxy.heal()
        await handled_by(a, B)
        assert cancelled
        numbers.assert_in_order(complete=False)
        assert await told(events) == [], "a packet was torn"
        await a.send(to, (SENDERS, 1))
        await eventually(lambda: SENDERS in numbers.last)
        await invariants.settled()
