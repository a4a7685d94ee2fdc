"""Instructions of the hot paths, by callgrind, compared with the committed ones: `python count.py [--write]`.

Counts do not depend on what else the machine does, so a path that got a tenth longer is seen at once. Another
build of the same CPython takes other counts: they are scaled by what a yardstick of plain Python takes. Fails
where a path takes more than the baseline of this Python, machine and codec and the tolerance allow.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
BASELINE: Final = HERE / "baseline.json"
TOLERANCE: Final = 1.10
OTHER_BUILD: Final = 1.20
"""For a build of which the yardstick takes other counts: compilers gain more in some paths than in others."""

SAME_BUILD: Final = 0.01
YARDSTICK: Final = "yardstick"
UNCOUNTED: Final = {**os.environ, "ERGO_UNCOUNTED": "1"}
"""Has the paths run without valgrind."""


def counted() -> tuple[str, dict[str, int]]:
    """The codec, and how many instructions one turn of each path takes."""
    with tempfile.TemporaryDirectory() as folder:
        program = [sys.executable, str(HERE / "paths.py")]
        done = under_callgrind(folder, program)
        if done.returncode != 0:
            # Not every processor is one that valgrind knows; what is wrong with the paths shows without it.
            subprocess.run(program, check=True, stdout=subprocess.DEVNULL, env=UNCOUNTED)
            print(f"valgrind ended with status {done.returncode}, so no instructions were counted")
            sys.exit(0)
        said = json.loads(done.stdout)
        # The first of them is of what came before the first path.
        totals = [total(Path(f"{folder}/counts.{number + 2}")) for number in range(len(said["turns"]))]
    turns = said["turns"].items()
    return said["codec"], {name: round(sum / count) for (name, count), sum in zip(turns, totals, strict=True)}


def under_callgrind(folder: str, program: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a program, which calls getppid wherever the folder is to get a file of what was counted."""
    command = [
        "valgrind", "--tool=callgrind", "--quiet", "--instr-atstart=no", "--dump-before=getppid",
        f"--callgrind-out-file={folder}/counts", *program,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    return subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, env=environment)


def total(file: Path) -> int:
    """The instructions of one of callgrind's files."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("totals:"))


def compared(counts: dict[str, int], baseline: dict[str, int]) -> bool:
    """Print a line for each path; whether none takes more than it may."""
    scale = counts[YARDSTICK] / baseline[YARDSTICK]
    tolerance = TOLERANCE if abs(scale - 1) < SAME_BUILD else OTHER_BUILD
    kept = True
    for name, count in counts.items():
        if name == YARDSTICK or name not in baseline:
            continue
        ratio = count / (baseline[name] * scale)
        verdict = "MISSED" if ratio > tolerance else "ok"
        kept &= ratio <= tolerance
        print(f"{name:20} {count:12,} {baseline[name] * scale:14,.0f} {ratio:8.3f}x  {verdict}")
    return kept


def main() -> None:
    """Count, and compare or write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="renew the baseline of this Python")
    given = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("no `valgrind` on PATH, so no instructions were counted: `apt install valgrind`")
        return
    baselines: dict[str, dict[str, int]] = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    version = f"{platform.python_version_tuple()[0]}.{platform.python_version_tuple()[1]}"
    codec = os.environ.get("ETF_CODEC_IMPL", "")
    prefix = f"{platform.python_implementation()} {version}, {platform.machine()}"
    if not given.write and not any(key.startswith(prefix) for key in baselines):
        print(f"there is no baseline for {prefix}, so no instructions were counted: `-- --write` makes one")
        return
    codec, counts = counted()
    key = f"{prefix}, {codec} codec"
    if given.write:
        baselines[key] = counts
        BASELINE.write_text(json.dumps(dict(sorted(baselines.items())), indent=1) + "\n", encoding="utf-8")
        print("\n".join(f"{name:20} {count:12,}" for name, count in counts.items()))
        return
    if key not in baselines:
        print(f"there is no baseline for {key}: `-- --write` makes one")
        return
    print(f"{key:20}\n{'':20} {'instructions':>12} {'baseline':>14} {'ratio':>9}")
    if not compared(counts, baselines[key]):
        sys.exit("a hot path takes more instructions than it did; `-- --write` if that is meant")


if __name__ == "__main__":
    main()
