"""What is promised of the figures: ratios between contenders of one run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from results import Results
from rows import (
    BIG,
    CALLS,
    ERGO,
    ERGO_AT_BEST,
    MORE,
    ONE_NODE,
    ONE_PROCESS,
    OTP,
    PARALLEL,
    SMALL,
    SOCKET,
    TEN,
    TWO_PROCESSES,
)

OURS: Final = "uvloop"


@dataclass(frozen=True, slots=True)
class Bar:
    """A contender's time, at most so many times another one's."""

    setting: str
    rows: tuple[str, ...]
    other: str
    limit: float
    ours: str = OURS


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bar on one row; the ratio is None where it was not measured."""

    bar: Bar
    row: str
    ratio: float | None

    @property
    def kept(self) -> bool:
        """Whether the bar holds, or could not be looked at."""
        return self.ratio is None or self.ratio <= self.bar.limit

    def __str__(self) -> str:
        bar = self.bar
        text = f"{bar.setting}, {self.row}: {bar.ours} at most {bar.limit:g}x {bar.other}"
        if self.ratio is None:
            return f"  --   {text}: not measured"
        return f"{'  ok  ' if self.kept else 'MISSED'} {text}: {self.ratio:.3g}x"

    def as_json(self) -> dict[str, Any]:
        """The verdict as JSON has it."""
        bar = self.bar
        return {
            "setting": bar.setting,
            "row": self.row,
            "contender": bar.ours,
            "other": bar.other,
            "limit": bar.limit,
            "ratio": self.ratio,
            "kept": self.kept,
        }


BARS: Final = (
    Bar(ONE_NODE, CALLS, OTP, 1.0),
    Bar(ONE_NODE, CALLS, ERGO, 0.33),
    Bar(ONE_NODE, (PARALLEL,), ERGO, 1.0),
    Bar(ONE_PROCESS, SMALL, ERGO, 1.0),
    Bar(ONE_PROCESS, SMALL, ERGO_AT_BEST, 1.0),
    Bar(ONE_PROCESS, BIG, ERGO, 1.0),
    Bar(TWO_PROCESSES, SMALL, OTP, 1.0),
    Bar(TWO_PROCESSES, SMALL, SOCKET, 2.0),
    Bar(TWO_PROCESSES, BIG, OTP, 1.5),
    Bar(TWO_PROCESSES, (PARALLEL,), OTP, 1.5),
    *(
        Bar(row.setting, (line,), OURS, 4.0, loop)
        for row in (*TEN, *MORE)
        for line in row.lines
        for loop in ("asyncio", "trio")
    ),
)


def verdicts(results: Results) -> Iterator[Verdict]:
    """How the bars did."""
    for bar in BARS:
        for row in bar.rows:
            where = (bar.setting, row)
            yield Verdict(bar, row, results.ratio((where, bar.ours), (where, bar.other)))


def summary(results: Results, missing: Mapping[str, str]) -> tuple[str, bool]:
    """The verdicts as text, those that hold for a whole loop in one line, and whether all bars are kept."""
    own: list[Verdict] = []
    loops: list[Verdict] = []
    for verdict in verdicts(results):
        (own if verdict.bar.ours == OURS else loops).append(verdict)
    shown = [*own, *(each for each in loops if not each.kept)]
    looked = [each for each in loops if each.ratio is not None]
    slowest = max(looked, key=lambda each: each.ratio or 0.0, default=None)
    lines = [str(each) for each in shown]
    if slowest is not None:
        lines.append(
            f"asyncio and trio beside {OURS}: {len(looked)} rows, the slowest: {str(slowest).strip()}"
        )
    lines += [f"not there: {contender}: {reason}" for contender, reason in missing.items()]
    return "\n".join(lines), all(each.kept for each in shown)
