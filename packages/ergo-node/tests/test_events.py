import anyio
import pytest
from ergo_node import NodeDown, NodeEvent, NodeMonitor, NodeUp

pytestmark = pytest.mark.anyio

UP, DOWN = NodeUp("b@host", hidden=False), NodeDown("b@host", "connection_closed")


async def test_events_come_in_their_order() -> None:
    with anyio.fail_after(5), NodeMonitor(lambda _: None) as monitor:
        for event in (UP, DOWN, UP):
            monitor.tell(event)
        assert [await anext(monitor) for _ in range(3)] == [UP, DOWN, UP]


async def test_leaving_the_block_ends_the_subscription() -> None:
    ended: list[NodeMonitor] = []
    with NodeMonitor(ended.append) as monitor:
        pass
    assert ended == [monitor]
    assert [event async for event in monitor] == []


async def test_closing_twice_is_closing_once() -> None:
    ended: list[NodeMonitor] = []
    monitor = NodeMonitor(ended.append)
    monitor.close()
    monitor.close()
    assert ended == [monitor]


async def test_a_loop_sees_what_came_before_the_end() -> None:
    monitor = NodeMonitor(lambda _: None)
    monitor.tell(UP)
    monitor.tell(DOWN)
    monitor.close()
    with anyio.fail_after(5):
        assert [event async for event in monitor] == [UP, DOWN]


async def test_a_waiting_loop_ends() -> None:
    monitor = NodeMonitor(lambda _: None)
    seen: list[NodeEvent] = []

    async def watch() -> None:
        seen.extend([event async for event in monitor])

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            await anyio.wait_all_tasks_blocked()
            monitor.tell(UP)
            await anyio.wait_all_tasks_blocked()
            monitor.close()
    assert seen == [UP]
