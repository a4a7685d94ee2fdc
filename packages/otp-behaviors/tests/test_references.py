"""References: unique, known again, and never used for a second call that somebody else could answer."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from etf_codec import Reference
from otp_behaviors import NO_REPLY, Caller, CallTimeout, GenServer, Kernel, LocalRuntime

FIRST_WORDS = 2**18


class Keeper(GenServer):
    """Answers in the way it is asked to, and keeps what it is asked to keep."""

    def init(self) -> None:
        self.kept: list[Caller] = []

    def handle_call(self, request: Any, caller: Caller) -> Any:
        return getattr(self, request)(caller)

    def handle_cast(self, message: Any) -> None:
        for caller in self.kept:
            self.reply(caller, message)

    def forget(self, caller: Caller) -> str:
        return "nothing"

    def keep_caller(self, caller: Caller) -> str:
        self.kept.append(caller)
        return "caller"

    def keep_tag(self, caller: Caller) -> str:
        self.kept.append((self.pid, caller[1]))
        return "tag"

    async def keep_later(self, caller: Caller) -> str:
        await anyio.lowlevel.checkpoint()
        self.kept.append(caller)
        return "later"

    def hold(self, caller: Caller) -> Any:
        return NO_REPLY

    def answer_twice(self, caller: Caller) -> str:
        self.reply(caller, "first")
        return "second"

    def show(self, caller: Caller) -> Any:
        return caller[1]


def test_references_differ_beyond_the_first_word(kernel: Kernel) -> None:
    refs = {kernel.make_ref(count % 2).ids for count in range(FIRST_WORDS)}
    assert len(refs) == FIRST_WORDS
    assert all(first < FIRST_WORDS for first, _, _ in refs)


@pytest.mark.anyio
@pytest.mark.parametrize("keep", ["keep_caller", "keep_tag", "keep_later"])
async def test_a_kept_tag_answers_no_other_call(keep: str) -> None:
    async with LocalRuntime() as runtime:
        keeper = await runtime.start(Keeper)
        await keeper.call("forget")
        assert await keeper.call(keep) == keep.removeprefix("keep_")

        async def hold() -> None:
            with pytest.raises(CallTimeout):
                await keeper.call("hold", timeout=0.05)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hold)
            await anyio.lowlevel.checkpoint()
            await keeper.cast("a second answer to the call before")
        assert await keeper.call("forget") == "nothing"


@pytest.mark.anyio
async def test_only_the_first_reply_counts() -> None:
    async with LocalRuntime() as runtime:
        keeper = await runtime.start(Keeper)
        assert [await keeper.call("answer_twice") for _ in range(3)] == ["first"] * 3
        assert await keeper.call("forget") == "nothing"


@pytest.mark.anyio
async def test_tags_that_are_kept_all_differ() -> None:
    async with LocalRuntime() as runtime:
        keeper = await runtime.start(Keeper)
        tags = [await keeper.call("show") for _ in range(100)]
        assert all(isinstance(tag, Reference) for tag in tags)
        assert len(set(tags)) == 100
        assert not runtime.kernel.aliases
