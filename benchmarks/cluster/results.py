"""What was measured, round by round."""

import statistics
from dataclasses import dataclass, field
from typing import Any

Where = tuple[str, str]
"""A setting, and the name of one of its lines."""


@dataclass(slots=True)
class Line:
    """One line: the figures of all rounds, by contender."""

    title: str
    unit: str
    rounds: dict[str, list[float]] = field(default_factory=dict)

    def median(self, contender: str) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds[contender])

    def spread(self, contender: str) -> float:
        """Half the distance between the least and the greatest, as a part of the median."""
        rounds = self.rounds[contender]
        return (max(rounds) - min(rounds)) / 2 / (self.median(contender) or 1.0)


class Results:
    """All lines, in the order they came in."""

    def __init__(self) -> None:
        self.lines: dict[Where, Line] = {}

    def add(self, where: Where, title: str, unit: str, contender: str, figure: float) -> None:
        """One contender's figure of one round."""
        line = self.lines.setdefault(where, Line(title, unit))
        line.rounds.setdefault(contender, []).append(figure)

    def ratio(self, ours: tuple[Where, str], theirs: tuple[Where, str]) -> float | None:
        """Ours over theirs, the median of what each round gives; None if either was not measured.

        The two sides of a round saw the same machine, so this is steadier than a ratio of medians.
        """
        rounds = [self._rounds(*side) for side in (ours, theirs)]
        pairs = [mine / its for mine, its in zip(*rounds, strict=False)]
        return statistics.median(pairs) if pairs else None

    def _rounds(self, where: Where, contender: str) -> list[float]:
        line = self.lines.get(where)
        return [] if line is None else line.rounds.get(contender, [])

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
                        "low": min(rounds),
                        "high": max(rounds),
                        "rounds": rounds,
                    }
                    for contender, rounds in line.rounds.items()
                },
            }
            for (setting, name), line in self.lines.items()
        ]
