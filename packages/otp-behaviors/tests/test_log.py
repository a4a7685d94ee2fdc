"""What is logged of a process that crashes: the content of OTP's crash report, bounded."""

import logging
from typing import Any

import anyio
import pytest
from etf_codec import Atom
from otp_behaviors import GenServer, LocalRuntime, sys

pytestmark = pytest.mark.anyio


class Fragile(GenServer):
    def init(self) -> None:
        self.label = "worker 7"
        self.dictionary["key"] = 1

    def handle_cast(self, message: Any) -> Any:
        raise KeyError("broken")


async def test_a_crash_report_tells_what_otps_does(caplog: pytest.LogCaptureFixture) -> None:
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    with anyio.fail_after(10), caplog.at_level(logging.ERROR, "otp_behaviors"):
        async with LocalRuntime() as runtime:
            fragile = await runtime.start(Fragile, name="fragile")
            await sys.suspend(runtime, fragile)
            await fragile.cast("boom")
            await fragile.send(deep)
            for number in range(20):
                await fragile.send(Atom(f"mail_{number}"))
            watch = fragile.monitor()
            await sys.resume(runtime, fragile)
            await watch
    record = caplog.records[-1]
    text = record.getMessage()
    assert text.startswith("Process fragile Pid(")
    assert "KeyError" in text
    assert "node: nonode@nohost\n" in text
    assert 'process_label: <<"worker 7">>\n' in text
    assert "ancestors: [<0.1.0>]\n" in text
    assert "message_queue_len: 21\n" in text
    assert "mail_8" in text
    assert "mail_9" not in text
    assert "[[[[[[...]]]]]]" in text
    assert '\n  dictionary: [{<<"key">>,1}]\n' in text
    assert "trap_exit: false\n" in text
    assert record.exc_info is not None
    assert record.exc_info[0] is KeyError
