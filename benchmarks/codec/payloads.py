"""The ten payloads: what messages between nodes, and data in queues, are made of."""

from typing import Final

from etf_codec import Atom, Pid, Reference, Term

NODE: Final = "shop@10.0.0.4"
PID: Final = Pid(NODE, 117, 2, 1_700_000_123)
REFERENCE: Final = Reference(NODE, 1_700_000_123, (117_001, 3_210_010_001, 77_123_456))

PARAMS: Final = {
    b"_csrf_token": b"SFMyNTY.g2gDbQAAAAVmb3JtXw.aX2",
    b"_method": b"put",
    b"user": {
        b"email": b"ada@example.com",
        b"name": b"Ada Lovelace",
        b"age": b"36",
        b"address": {b"street": b"12 St James Square", b"city": b"London", b"zip": b"SW1Y 4JH"},
        b"roles": [b"admin", b"editor", b"author"],
    },
    b"page": {b"number": b"3", b"size": b"50", b"sort": [b"inserted_at", b"desc"]},
    b"locale": b"en",
}

PAYLOADS: Final[dict[str, Term]] = {
    "small int": 42,
    "100-byte binary": b"x" * 100,
    "nested tuple with pid": (
        Atom("reply"),
        (Atom("ok"), PID, [1.5, (Atom("a"), b"bin", 300)]),
        (1, (2, (3, ()))),
    ),
    "list of 1000 ints": [(n * 7919) % 100_000 for n in range(1000)],
    "list of 384 floats": [n / 7 - 20.0 for n in range(384)],
    "50-key map": {b"key_%d" % n: (n if n % 2 else b"value %d" % n) for n in range(50)},
    "Phoenix-like params": PARAMS,
    "$gen_call message": (
        Atom("$gen_call"),
        (PID, [Atom("alias"), REFERENCE]),
        (Atom("reserve"), b"sku-4711", 3),
    ),
    "1 MB binary": b"\xa5" * 1_000_000,
    "1000 3-tuples": [(Atom("row"), n, b"name %d" % n) for n in range(1000)],
}

# Neither lists nor maps nor nested.
LEAVES: Final = frozenset({"small int", "100-byte binary", "1 MB binary"})
COPIES: Final = frozenset({"1 MB binary"})
