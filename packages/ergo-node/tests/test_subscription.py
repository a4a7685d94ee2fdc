"""Subscriptions of tasks: read in order, ended in time, never full without a word."""

import anyio
import pytest
from ergo_node import SlowSubscriber, Subscription

pytestmark = pytest.mark.anyio


def subscription(max_unread: int = 3) -> tuple[Subscription, list[Subscription]]:
    ended: list[Subscription] = []
    return Subscription("topic 't'", ended.append, max_unread), ended


async def test_messages_are_read_in_order() -> None:
    messages, _ = subscription()
    messages.tell(1)
    messages.tell(2)
    assert [await anext(messages), await anext(messages)] == [1, 2]
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anext, messages)
        await anyio.wait_all_tasks_blocked()
        messages.tell(3)


async def test_after_its_end_the_rest_can_be_read() -> None:
    messages, ended = subscription()
    with messages:
        messages.tell(1)
    messages.tell(2)
    messages.close()
    assert [message async for message in messages] == [1]
    assert ended == [messages]


async def test_who_reads_too_slowly_is_told() -> None:
    messages, ended = subscription()
    for number in range(5):
        messages.tell(number)
    assert ended == [messages]
    assert [await anext(messages) for _ in range(3)] == [0, 1, 2]
    for _ in range(2):
        with pytest.raises(SlowSubscriber, match="topic 't': more than 3 messages"):
            await anext(messages)


def test_it_holds_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        subscription(0)
