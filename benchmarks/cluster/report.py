"""The tables: Markdown to read, JSON to compare, and the one in the README."""

import json
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from bars import verdicts
from contenders import Contenders
from results import Line, Results, Where
from rows import CONTENDERS, ERGO, ERGOS, OTP, SHORT_TURNS, TEN, TURNS

README: Final = Path(__file__).parents[2] / "README.md"
BEGIN: Final = "<!-- benchmarks/cluster --write-readme writes what follows -->"
END: Final = "<!-- and nothing after this -->"
README_CONTENDERS: Final = (
    "uvloop",
    "asyncio",
    "trio",
    "uvloop, pure",
    OTP,
    *ERGOS,
    "to OTP",
    "from OTP",
    "socket",
)


def number(figure: float) -> str:
    """Three digits are what such a figure is worth."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def cell(line: Line, contender: str, spreads: bool) -> str:
    """The median, how far rounds lie around it, and the ratio to the reference."""
    if contender not in line.rounds:
        return ""
    median = line.median(contender)
    text = number(median)
    if spreads and len(line.rounds[contender]) > 1:
        text += f" ±{line.spread(contender):.0%}"
    reference = next((name for name in (OTP, ERGO) if name in line.rounds), None)
    if reference in (None, contender) or not line.median(reference):
        return text
    return f"{text} ({median / line.median(reference):.2f}x)"


def table(results: Results, only: Iterable[Where] | None = None, *, spreads: bool = True) -> str:
    """A Markdown table of all lines, or of some."""
    chosen = [results.lines[where] for where in results.lines if only is None or where in set(only)]
    names = [name for name in CONTENDERS if any(name in line.rounds for line in chosen)]
    rows = [["", "unit", *names], ["---", "---", *["---:"] * len(names)]]
    rows += [[line.title, line.unit, *(cell(line, name, spreads) for name in names)] for line in chosen]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def machine(contenders: Contenders) -> dict[str, str]:
    """What the figures were measured on."""
    return {
        "cores": str(len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()),
        "processor": processor(),
        "system": f"{platform.system()} {platform.release()}",
        "load": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
        "Python": platform.python_version(),
        **contenders.versions,
    }


def processor() -> str:
    """The processor's name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def sentence(contenders: Contenders, rounds: int) -> str:
    """One line about the machine, and how to read the table."""
    facts = ", ".join(f"{name}: {value}" for name, value in machine(contenders).items())
    return (
        f"Medians of {rounds} rounds; of small calls between nodes on uvloop, by {ERGO} and by a socket, of"
        f" {rounds * SHORT_TURNS} turns in one process and of {rounds * TURNS} in two. In brackets the ratio"
        f" to {OTP}, or else to {ERGO}. {facts}."
    )


def write(folder: Path, results: Results, contenders: Contenders, rounds: int) -> None:
    """Write cluster.json and cluster.md."""
    folder.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {
        "machine": machine(contenders),
        "missing": contenders.missing,
        "lines": results.as_json(),
        "bars": [verdict.as_json() for verdict in verdicts(results)],
    }
    (folder / "cluster.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    text = f"{table(results)}\n\n{sentence(contenders, rounds)}\n"
    (folder / "cluster.md").write_text(text, encoding="utf-8")


def write_readme(results: Results, contenders: Contenders, rounds: int) -> None:
    """Put the original's ten rows between the README's two marker comments."""
    text = README.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"README.md lacks the comments {BEGIN} and {END}")
    ten = table(results, [(row.setting, row.name) for row in TEN], spreads=False)
    body = f"{ten}\n\n{sentence(contenders, rounds)}"
    README.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}", encoding="utf-8")
