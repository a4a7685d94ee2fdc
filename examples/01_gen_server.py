"""The first example of Ergo Framework: a GenServer that talks to itself.

The same in Erlang:

    init([N])                        -> io:format("Init: args ~p~n", [[N]]), {ok, N}.
    handle_cast(Msg, N) when N > 102 -> …, erlang:send_after(1000, self(), "hello"), {noreply, N + 1};
    handle_cast(Msg, N)              -> …, gen_server:cast(self(), "hi"), {noreply, N + 1}.

Run it with `python 01_gen_server.py`; with `--fast` it does not pause between two steps.
"""

import sys
from typing import Any

import anyio
from otp_behaviors import GenServer, LocalRuntime, Stop

PAUSE = 0.0 if "--fast" in sys.argv else 1.0


class Example(GenServer):
    def init(self, state: int) -> None:
        print(f"Init: args [{state}]")
        self.state = state

    async def handle_cast(self, message: Any) -> None:
        print(f'HandleCast: "{message}" (state value {self.state})')
        await anyio.sleep(PAUSE)
        self.state += 1
        if self.state > 103:
            self.send(self.pid, "hello")
        else:
            self.cast(self.pid, "hi")

    async def handle_info(self, message: Any) -> None:
        print(f'HandleInfo: "{message}" (state value {self.state})')
        await anyio.sleep(PAUSE)
        self.state += 1
        if self.state > 106:
            raise Stop
        self.send(self.pid, "hello")

    def terminate(self, reason: Any) -> None:
        print(f'Terminate: "{reason}"')


async def main() -> None:
    async with LocalRuntime() as runtime:
        example = await runtime.start(Example, 100)
        ended = example.monitor()
        await example.cast("hey")
        await ended


if __name__ == "__main__":
    anyio.run(main)
