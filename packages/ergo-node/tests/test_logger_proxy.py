import logging
from typing import Any

import pytest
from ergo_node._logger_proxy import NAME, LoggerProxy
from etf_codec import Atom, Pid
from otp_behaviors import LocalRuntime

pytestmark = pytest.mark.anyio

LOG, PID = Atom("log"), Pid("erl@host", 7, 0, 1)
META = {Atom("pid"): PID}


@pytest.mark.parametrize(
    ("event", "level", "text"),
    [
        ((Atom("error"), b"low on ~p", [Atom("ink")], META), "ERROR", "<0.7.0> on erl@host: low on ink"),
        ((Atom("notice"), b"~p", [], META), "INFO", '<0.7.0> on erl@host: {<<"~p">>,[]}'),
        ((Atom("alert"), list(b"text"), {}), "CRITICAL", "another node: text"),
        ((Atom("debug"), (Atom("string"), b"text"), {}), "DEBUG", "another node: text"),
        ((Atom("info"), (Atom("report"), {Atom("a"): 1}), {}), "INFO", "another node: #{a => 1}"),
        ((Atom("warning"), [1.5], {}), "WARNING", "another node: [1.5]"),
        ((Atom("warning"), 7, {}), "WARNING", "another node: 7"),
    ],
)
async def test_events(caplog: pytest.LogCaptureFixture, event: Any, level: str, text: str) -> None:
    caplog.set_level(logging.DEBUG, "ergo_node.remote")
    async with LocalRuntime() as runtime:
        proxy = await runtime.start(LoggerProxy, name=NAME)
        noises: list[Any] = [7, (LOG, Atom("nonsense"), b"x", {}), (LOG, Atom("error"))]
        for noise in noises:
            await proxy.send(noise)
            await proxy.cast(noise)
        await proxy.send((LOG, *event))
        with pytest.raises(TimeoutError):
            await proxy.call(7, timeout=0.01)
    records = [record for record in caplog.records if record.name == "ergo_node.remote"]
    assert [(record.levelname, record.getMessage()) for record in records] == [(level, text)]
