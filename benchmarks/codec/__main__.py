"""Compare codecs side by side: `python benchmarks/codec [--rounds 31] [--only TEXT] [--check]`.

A table for each codec of etf-codec that is installed, native and pure. All codecs of a cell are timed in
turn, many short rounds long, and the best round of each counts: a noisy machine then disturbs all of them
alike, and the ratios hold. `--check` fails where a ratio is below what is promised. Install the others first:
pip install erlang_py erlastic erlpack msgpack ormsgpack cbor2
"""

import argparse
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from timeit import Timer
from typing import Any

from codecs_compared import Codec, installed
from payloads import COPIES, LEAVES, PAYLOADS

ROUND_SECONDS = 0.005

# How many times as long the others take, at least.
PURE_BAR = 1.0
ERLPACK_ENCODE_BAR = 1.0
ERLPACK_DECODE_BAR = 8.0
OTHER_FORMAT_BAR = 1.0
# Where the external form has more bytes to go through.
LONGER_FORM_BAR = 0.8
# One copy of memory, whoever makes it: a tie.
COPY_BAR = 0.9


def best_of(actions: dict[str, tuple[Callable[[Any], Any], Any]], rounds: int) -> dict[str, float]:
    """Seconds per call of each function with its argument."""
    timers = {
        name: Timer("call(value)", globals={"call": call, "value": value})
        for name, (call, value) in actions.items()
    }
    numbers = {}
    for name, timer in timers.items():
        once = min(timer.repeat(3, 1))
        numbers[name] = max(1, int(ROUND_SECONDS / max(once, 1e-7)))
    best = dict.fromkeys(actions, math.inf)
    for _ in range(rounds):
        for name, timer in timers.items():
            best[name] = min(best[name], timer.timeit(numbers[name]) / numbers[name])
    return best


class Cells:
    """What one payload takes each codec that can spell, write and read it."""

    def __init__(self, codecs: list[Codec], payload: Any, rounds: int) -> None:
        encoders, decoders = {}, {}
        self.sizes: dict[str, int] = {}
        for codec in codecs:
            try:
                value = codec.convert(payload)
                data = codec.encode(value)
            except Exception:
                continue
            encoders[codec.name] = codec.encode, value
            self.sizes[codec.name] = len(data)
            try:
                codec.decode(data)
            except Exception:
                continue
            decoders[codec.name] = codec.decode, data
        self.seconds = {"encode": best_of(encoders, rounds), "decode": best_of(decoders, rounds)}


def row(label: str, times: dict[str, float], codecs: list[Codec]) -> str:
    """Our time, and how many times as long each other codec takes."""
    ours = times[codecs[0].name]
    others = [times.get(codec.name) for codec in codecs[1:]]
    cells = [f"{'-':>10}" if other is None else f"{other / ours:9.2f}x" for other in others]
    return f"{label:30} {ours * 1e6:11.3f}us {' '.join(cells)}"


def bar(ours: Codec, other: Codec, direction: str, payload: str, cells: Cells) -> float | None:
    """How many times as long the other codec has to take, if anything is promised."""
    if ours.kind == "ours, pure":
        if other.kind != "pure":
            return None
        return COPY_BAR if payload in COPIES and direction == "decode" else PURE_BAR
    if other.name == "erlpack":
        if direction == "encode":
            return ERLPACK_ENCODE_BAR
        return None if payload in LEAVES else ERLPACK_DECODE_BAR
    if other.name == "msgpack" and direction == "decode":
        return LONGER_FORM_BAR if cells.sizes[ours.name] > cells.sizes[other.name] else OTHER_FORMAT_BAR
    return None


def missed(codecs: list[Codec], payload: str, cells: Cells) -> Iterator[str]:
    """The promises that these cells do not keep."""
    ours = codecs[0]
    for direction, times in cells.seconds.items():
        for other in codecs[1:]:
            promised = bar(ours, other, direction, payload, cells)
            if promised is None or other.name not in times:
                continue
            ratio = times[other.name] / times[ours.name]
            if ratio < promised:
                yield f"{payload}, {direction}: {other.name} {ratio:.2f}x, promised {promised:g}x"


def compare(only: str, rounds: int) -> list[str]:
    """Print the table of this process's codec, a row for each payload and direction; give what it misses."""
    codecs = installed()
    print(f"{codecs[0].name:30} {'ours':>13} {' '.join(f'{codec.name:>10}' for codec in codecs[1:])}")
    faults: list[str] = []
    for name, payload in PAYLOADS.items():
        if only in name:
            cells = Cells(codecs, payload, rounds)
            for direction, times in cells.seconds.items():
                print(row(f"{name}, {direction}", times, codecs), flush=True)
            faults += missed(codecs, name, cells)
    return faults


def main() -> None:
    """The table of the codec that ETF_CODEC_IMPL names, or each in a process of its own."""
    parser = argparse.ArgumentParser(description="Compare codecs; above 1x the other is slower.")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--only", default="", help="measure only payloads whose name contains this")
    parser.add_argument("--check", action="store_true", help="fail where a promised ratio is missed")
    options = parser.parse_args()
    if "ETF_CODEC_IMPL" not in os.environ:
        failed = False
        for codec in ("native", "python") if find_spec("etf_codec_native") else ("python",):
            environment = {**os.environ, "ETF_CODEC_IMPL": codec}
            run = subprocess.run([sys.executable, __file__, *sys.argv[1:]], env=environment, check=False)
            failed |= run.returncode != 0
        sys.exit(failed)
    faults = compare(options.only, options.rounds)
    if options.check and faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
