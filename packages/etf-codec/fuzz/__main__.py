"""Coverage-guided fuzzing of the codec: `nox -s fuzz -- -max_total_time=600`; the options are libFuzzer's.

What must hold for any bytes:

- Nothing but an EtfError leaves `decode` and its siblings.
- What decodes also encodes, within the same limits, and comes back as the same term.
- Where the native codec is installed, it gives what the Python one gives, or the same error at the same
  place.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["etf_codec"]):
    from etf_codec import Atom, EtfError, Limits, _decoder, _encoder
    from etf_codec._frozen import exact

REFS = (Atom("ok"), Atom("true"), Atom("shop@db"))
TIGHT = Limits(max_depth=8, max_bytes=200, max_elements=50, max_bigint_bytes=16, max_key_collisions=1)
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"limits": TIGHT},
    {"none": Atom("ok")},
    {"binaries": "str"},
    {"atoms": {"ok", "a"}},
    {"copy_binaries": False},
)
CODECS = [_decoder, *([import_module("etf_codec_native")] if find_spec("etf_codec_native") else [])]

# Terms with each tag, for the fuzzer to start from.
SEEDS = [
    bytes.fromhex(seed)
    for seed in (
        "836c000000046105 62ffffffff 463ff8000000000000 6e0801ffffffffffffffff 6a",
        "8368036f000000010005 6a 6b00036162 63",
        "8368067702c3a9 7600017a 73016f 64000261 62 5200 6d00000003616263",
        "836803 4d0000000103e0 690000000161 01 6c0000000161016102",
        "8374000000026101 6a 463ff0000000000000 74000000016c0000000161016a6102",
        "836802 58770361406200000001 0000000200000003 5977036140620000000100000002",
        "836801 5a0003770361406200000001000000020000000300000004",
        "836802 71770161770162 6101 430000000100770161770162 7701786105",
        "8350000000036263000000",
    )
]


def outcome(codec: Any, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
    """What a call gives, with 1, 1.0 and True apart; of an error, all that users can see of it."""
    try:
        return "result", exact(getattr(codec, name)(*arguments, **options))
    except EtfError as error:
        return type(error), error.args


def check(data: bytes) -> None:
    """All of the above, for one input; its first byte chooses the options."""
    options = OPTIONS[data[0] % len(OPTIONS)] if data else {}
    wire = b"\x83" + data[1:]
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("decode", (wire,), options),
        ("decode_prefix", (memoryview(b"?" + wire), 1), options),
        ("decode_bare", (wire, 1), {**options, "atom_refs": REFS}),
    ]
    for name, arguments, given in calls:
        outcomes = [outcome(codec, name, arguments, given) for codec in CODECS]
        assert outcomes.count(outcomes[0]) == len(outcomes), (name, wire, given, outcomes)
    try:
        term = _decoder.decode(wire)
    except EtfError:
        return
    written = [encoder.encode(term) for encoder in (_encoder, *CODECS[1:])]
    assert written.count(written[0]) == len(written), (wire, written)
    assert exact(_decoder.decode(written[0])) == exact(term), wire


def main() -> None:
    """Fuzz, from the inputs in a folder and into it, until libFuzzer's options say stop."""
    corpus = Path(sys.argv[1])
    for number, seed in enumerate(SEEDS):
        (corpus / f"seed-{number}").write_bytes(b"\0" + seed[1:])
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
