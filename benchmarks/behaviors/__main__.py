"""What processes cost, beside OTP and bare asyncio: `python benchmarks/behaviors [--rounds 5] [--million]`.

Each round runs every contender once, one after the other, in a process of its own, so that all see the same
machine. A cell is the median of the rounds, in microseconds, and the ratio is to OTP in the same round.
OTP's column is left out where `erl` is missing.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
LOOPS: Final = ("uvloop", "asyncio", "trio")
ROWS: Final = {
    "call": "call, def callback",
    "async call": "call, async def callback",
    "pairs": "call, 120 pairs at once",
    "cast": "cast",
    "start": "start a GenServer",
}
PROCESSES: Final = 10_000

Round = dict[str, float]


def ran(*command: str | Path) -> Round:
    """Run one contender and read the lines it prints: a name of one or more words, and a number."""
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    lines = (line.rpartition(" ") for line in done.stdout.splitlines())
    return {name: float(number) for name, _, number in lines}


def python(*arguments: str) -> Round:
    """Run a round of the Python side."""
    return ran(sys.executable, HERE / "python_side.py", *arguments)


def contenders(folder: str) -> Iterator[tuple[str, tuple[str | Path, ...]]]:
    """What is compared, by name, with the command of one round."""
    if shutil.which("erlc"):
        subprocess.run(["erlc", "-o", folder, HERE / "otp_side.erl"], check=True)
        yield "OTP", ("erl", "-noshell", "-pa", folder, "-s", "otp_side", "main")
    for name in (*LOOPS, "raw"):
        yield name, (sys.executable, HERE / "python_side.py", name)


def compared(rounds: int) -> dict[str, list[Round]]:
    """Run all contenders in turn, so many times."""
    with tempfile.TemporaryDirectory() as folder:
        commands = dict(contenders(folder))
        results: dict[str, list[Round]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                results[name].append(ran(*command))
    return results


def cell(results: dict[str, list[Round]], name: str, row: str) -> str:
    """A median, and the ratio to OTP."""
    rounds = results.get(name, [])
    if not rounds or row not in rounds[0]:
        return ""
    median = f"{statistics.median(each[row] for each in rounds):.2f}"
    otp = results.get("OTP", [])
    if name == "OTP" or not otp or row not in otp[0]:
        return median
    ratio = statistics.median(mine[row] / its[row] for mine, its in zip(rounds, otp, strict=True))
    return f"{median} ({ratio:.2f}x)"


def table(results: dict[str, list[Round]]) -> str:
    """The comparison as Markdown."""
    names = list(results)
    lines = [["microseconds", *names], ["---"] * (len(names) + 1)]
    lines += [[title, *(cell(results, name, row) for name in names)] for row, title in ROWS.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--million", action="store_true", help="also hold 1,000,000 servers")
    options = parser.parse_args()
    print(table(compared(options.rounds)))
    print()
    for shape in ("ring", "star"):
        milliseconds = python("links", shape, str(PROCESSES))[shape]
        print(f"{shape} of {PROCESSES:,} linked processes: all ended in {milliseconds} ms")
    for count in (100_000, *([1_000_000] if options.million else [])):
        held = python("memory", str(count))
        size, rate = held["memory"], held["starts"]
        print(f"{count:,} servers: {size * count / 1e6:.0f} MB, {size:.0f} bytes each, {rate:,.0f} started/s")
    print(f"a timer of 10 ms beside a tight loop of calls: at most {python('late')['late']} ms late")


if __name__ == "__main__":
    main()
