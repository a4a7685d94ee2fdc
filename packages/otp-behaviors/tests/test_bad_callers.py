"""A request whose From is none: it may end the server that takes it, as in OTP, and nobody else."""

from typing import Any, Final

import anyio
import pytest
from etf_codec import Atom
from otp_behaviors import Call, Event, GenServer, GenStatem, LocalRuntime, Stop, sys

pytestmark = pytest.mark.anyio

CALLERS: Final[tuple[Any, ...]] = (Atom("foo"), (), (1, 2), [], (Atom("a"), Atom("b")), 7)


class Server(GenServer):
    def handle_call(self, request: Any, caller: Any) -> Any:
        if request == "stop":
            raise Stop(Atom("boom"), reply="bye")
        if request == "fail":
            raise RuntimeError
        return "answer"


class Machine(GenStatem):
    def init(self) -> None:
        self.next_state(Atom("only"))

    def handle_event(self, event: Event, state: Any) -> None:
        match event:
            case Call(_, "stop"):
                raise Stop(Atom("boom"), reply="bye")
            case Call(caller, "answer"):
                self.reply(caller, "answer")
            case _:
                self.unhandled(event)


@pytest.mark.parametrize("traced", [False, True], ids=["", "traced"])
@pytest.mark.parametrize("request_", ["answer", "stop", "fail"])
@pytest.mark.parametrize("caller", CALLERS, ids=str)
@pytest.mark.parametrize("behavior", [Server, Machine])
async def test_who_cannot_be_answered_harms_nobody_else(
    behavior: type[Server | Machine], caller: Any, request_: str, traced: bool
) -> None:
    with anyio.fail_after(10):
        async with LocalRuntime() as runtime:
            bystander = await runtime.start(Server)
            server = await runtime.start(behavior)
            if traced:
                await sys.trace(runtime, server, True)
            watch = server.monitor()
            await runtime.send(server.pid, (Atom("$gen_call"), caller, request_))
            assert await bystander.call("hello") == "answer"
            if request_ != "answer":
                assert (await watch).reason is not None
                assert await bystander.call("hello") == "answer"
