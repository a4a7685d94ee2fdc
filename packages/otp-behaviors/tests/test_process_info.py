"""What is known of a process, under the names and in the shapes of OTP."""

import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from etf_codec import Atom, Pid
from otp_behaviors import Kernel, Process, process_info
from otp_behaviors._process_info import DEFAULT, ITEMS

Play = Callable[..., Any]
NOT_IN_25 = {"label", "ancestors"}


async def _idle(process: Process) -> None:
    await process.receive(lambda message: message == "end")


def test_a_process_tells_about_another(kernel: Kernel, play: Play) -> None:
    async def scenario(self: Process) -> None:
        self.register("me")
        other = self.spawn(_idle, name="other", link=True)
        self.monitor(other)
        self.send(other, 1)
        items = (
            "registered_name",
            "links",
            "monitored_by",
            "messages",
            "message_queue_len",
            "ancestors",
            "parent",
        )
        assert self.process_info(other, items) == {
            "registered_name": Atom("other"),
            "links": [self.pid],
            "monitored_by": [self.pid],
            "messages": [1],
            "message_queue_len": 1,
            "ancestors": [Atom("me")],
            "parent": self.pid,
        }
        self.monitor("other")
        mine = self.process_info(items=("monitors", "status", "trap_exit", "registered_name"))
        assert mine == {
            "monitors": [
                (Atom("process"), other),
                (Atom("process"), (Atom("other"), Atom("a@host"))),
            ],
            "status": Atom("running"),
            "trap_exit": False,
            "registered_name": Atom("me"),
        }

    play(scenario)


def test_dictionary_and_label(play: Play) -> None:
    async def scenario(self: Process) -> None:
        assert self.label is None
        self.dictionary["key"] = 1
        self.label = "worker 7"
        assert self.process_info(items=("dictionary", "label")) == {
            "dictionary": [("key", 1)],
            "label": "worker 7",
        }
        assert self.ancestors == ()

    play(scenario)


def test_a_process_that_has_ended_is_not_known(kernel: Kernel) -> None:
    assert process_info(kernel, Pid("a@host", 999, 0, 7)) is None


def test_what_cannot_be_asked(kernel: Kernel) -> None:
    with pytest.raises(ValueError, match="ask there"):
        process_info(kernel, Pid("b@host", 1, 0, 1))
    with pytest.raises(ValueError, match="knows no 'heap'"):
        process_info(kernel, Pid("a@host", 1, 0, 7), ["heap"])


def test_every_item_can_be_asked(play: Play) -> None:
    async def scenario(self: Process) -> None:
        info = self.process_info(items=tuple(ITEMS))
        assert info is not None
        assert list(info) == list(ITEMS)
        assert list(self.process_info() or ()) == list(DEFAULT)

    play(scenario)


@pytest.mark.skipif(shutil.which("erl") is None, reason="needs erl")
def test_the_names_are_those_of_otp() -> None:
    items = ",".join(sorted(ITEMS.keys() - NOT_IN_25))
    expression = f"io:put_chars(integer_to_list(length(process_info(self(), [{items}])))), halt()."
    told = subprocess.run(
        ["erl", "-noshell", "-eval", expression], capture_output=True, check=True, timeout=30
    )
    assert int(told.stdout) == len(ITEMS) - len(NOT_IN_25)
