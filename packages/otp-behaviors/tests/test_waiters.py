"""Places where tasks wait: no wake is lost, and none that comes too early, or twice, does harm."""

from collections.abc import Callable

import anyio
import pytest
from otp_behaviors._process_table import Waiter
from otp_behaviors._process_task import EventWaiter
from otp_behaviors._waiter_asyncio import future_waiters

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["the event loop's own", "any event loop's"])
async def make(request: pytest.FixtureRequest) -> Callable[[], Waiter]:
    """Makes waiters; the first kind is there on asyncio only."""
    own = future_waiters() if request.param == "the event loop's own" else EventWaiter
    if own is None:
        pytest.skip("this event loop has none of its own")
    return own


async def waits(waiter: Waiter) -> bool:
    """Whether a wait is not over at once."""
    with anyio.move_on_after(0.05):
        await waiter.wait()
        return False
    return True


async def test_a_wake_ends_the_wait_under_way(make: Callable[[], Waiter]) -> None:
    waiter = make()
    passed: list[int] = []

    async def wait() -> None:
        for number in range(3):
            await waiter.wait()
            passed.append(number)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            for number in range(3):
                await anyio.wait_all_tasks_blocked()
                assert passed == list(range(number))
                waiter.wake()
    assert passed == [0, 1, 2]


async def test_a_wake_before_the_wait_ends_it(make: Callable[[], Waiter]) -> None:
    waiter = make()
    waiter.wake()
    waiter.wake()
    with anyio.fail_after(5):
        await waiter.wait()
    assert await waits(waiter)


async def test_a_wake_after_a_wait_that_was_cancelled_is_for_the_next(make: Callable[[], Waiter]) -> None:
    waiter = make()
    assert await waits(waiter)
    waiter.wake()
    with anyio.fail_after(5):
        await waiter.wait()
    assert await waits(waiter)
