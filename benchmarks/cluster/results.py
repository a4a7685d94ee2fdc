"""What was measured, round by round."""

import statistics
from dataclasses import dataclass, field
from typing import Any

Where = tuple[str, str]
"""A setting, and the name of one of its lines."""


@dataclass(slots=True)
class Line:
    """One line: the figures by contender and round."""

    title: str
    unit: str
    rounds: dict[str, dict[int, float]] = field(default_factory=dict)

    def median(self, contender: str) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds[contender].values())

    def spread(self, contender: str) -> float:
        """Half the distance between the least and the greatest, as a part of the median."""
        rounds = self.rounds[contender].values()
        return (max(rounds) - min(rounds)) / 2 / (self.median(contender) or 1.0)


class Results:
    """All lines, in the order they came in."""

    def __init__(self) -> None:
        self.lines: dict[Where, Line] = {}

    def add(self, where: Where, title: str, unit: str, contender: str, round: int, figure: float) -> None:
        """One contender's figure of one round."""
        line = self.lines.setdefault(where, Line(title, unit))
        line.rounds.setdefault(contender, {})[round] = figure

    def ratio(self, ours: tuple[Where, str], theirs: tuple[Where, str]) -> float | None:
        """Ours over theirs, the median of what each round gives; None if either was not measured.

        The two sides of a round saw the same machine, so this is steadier than a ratio of medians.
        """
        mine, its = (self._rounds(*side) for side in (ours, theirs))
        ratios = [figure / its[round] for round, figure in mine.items() if round in its]
        return statistics.median(ratios) if ratios else None

    def _rounds(self, where: Where, contender: str) -> dict[int, float]:
        line = self.lines.get(where)
        return {} if line is None else line.rounds.get(contender, {})

    def as_json(self) -> list[dict[str, Any]]:
        """The lines as JSON has them."""
        return [
            {
                "setting": setting,
                "row": name,
                "unit": line.unit,
                "contenders": {
                    contender: {
                        "median": line.median(contender),
                        "low": min(rounds.values()),
                        "high": max(rounds.values()),
                        "rounds": rounds,
                    }
                    for contender, rounds in line.rounds.items()
                },
            }
            for (setting, name), line in self.lines.items()
        ]
