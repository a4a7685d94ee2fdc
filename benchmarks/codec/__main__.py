"""Compare codecs side by side: `python benchmarks/codec [--rounds 7] [--only TEXT]`.

All codecs of a cell are timed in turn, several rounds long, and the best round of each counts: a noisy
machine then disturbs all of them alike, and the ratios hold. Install the others first:
pip install erlang_py erlastic erlpack msgpack ormsgpack cbor2
"""

import argparse
import math
from collections.abc import Callable
from timeit import Timer
from typing import Any

from codecs_compared import Codec, installed
from payloads import PAYLOADS

ROUND_SECONDS = 0.05


def best_of(actions: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Seconds per call of each action."""
    timers = {name: Timer(action) for name, action in actions.items()}
    numbers = {}
    for name, timer in timers.items():
        once = min(timer.repeat(3, 1))
        numbers[name] = max(1, int(ROUND_SECONDS / max(once, 1e-7)))
    best = dict.fromkeys(actions, math.inf)
    for _ in range(rounds):
        for name, timer in timers.items():
            best[name] = min(best[name], timer.timeit(numbers[name]) / numbers[name])
    return best


def measure(codecs: list[Codec], payload: Any, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds per encode and per decode of each codec that can do it."""
    encoders: dict[str, Callable[[], Any]] = {}
    decoders: dict[str, Callable[[], Any]] = {}
    for codec in codecs:
        try:
            value = codec.convert(payload)
            data = codec.encode(value)
        except Exception:
            continue
        encoders[codec.name] = lambda encode=codec.encode, value=value: encode(value)
        try:
            codec.decode(data)
        except Exception:
            continue
        decoders[codec.name] = lambda decode=codec.decode, data=data: decode(data)
    return best_of(encoders, rounds), best_of(decoders, rounds)


def row(label: str, times: dict[str, float], codecs: list[Codec]) -> str:
    """Our time, and how many times as long each other codec takes."""
    ours = times[codecs[0].name]
    others = [times.get(codec.name) for codec in codecs[1:]]
    cells = [f"{'-':>10}" if other is None else f"{other / ours:9.2f}x" for other in others]
    return f"{label:30} {ours * 1e6:11.2f}us {' '.join(cells)}"


def main() -> None:
    """Print one table: a row for each payload and direction."""
    parser = argparse.ArgumentParser(description="Compare codecs; above 1x the other is slower.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="measure only payloads whose name contains this")
    options = parser.parse_args()
    codecs = installed()
    print(f"{codecs[0].name:30} {'ours':>13} {' '.join(f'{codec.name:>10}' for codec in codecs[1:])}")
    for name, payload in PAYLOADS.items():
        if options.only in name:
            encoding, decoding = measure(codecs, payload, options.rounds)
            print(row(f"{name}, encode", encoding, codecs))
            print(row(f"{name}, decode", decoding, codecs), flush=True)


if __name__ == "__main__":
    main()
