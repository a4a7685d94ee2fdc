"""Messages per second through a pair of in-memory connections: `python benchmarks/proto [--rounds 7]`.

Each cell is the best of some rounds, because other work on the machine only ever adds time. Read is what a
receiving node pays (framing, header, control message, payload, event); codec is the decoding of the payload
alone, and own is the difference, what this package adds to a message. Copied is how many bytes sending
allocates for each byte of payload; the last column is the time to read in plain copies of the
payload, from where it was read to.
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable
from typing import Final

from erldist_proto import Connection, Received, RegSend
from erldist_proto.testing import connected_pair
from etf_codec import Atom, ImproperList, Pid, Reference, Term, backend, decode_bare, encode_bare

ME: Final = Pid("alice@host", 85, 0, 1)
ECHO: Final = Atom("echo")
READ_BYTES: Final = 256_000
"""What uvloop reads at once; asyncio reads 262,144."""

TAG: Final = ImproperList([Atom("alias")], Reference("alice@host", 1, (1, 2, 3)))


def call(request: Term) -> Term:
    """What gen_server:call sends."""
    return (Atom("$gen_call"), (ME, TAG), request)


CASES: Final[dict[str, tuple[Term, int, int]]] = {
    "$gen_call small": (call(Atom("get")), 20_000, 0),
    "$gen_call 1 KB": (call(bytes(1024)), 10_000, 1024),
    "$gen_call 64 KB": (call(bytes(65_000)), 500, 65_000),
    "$gen_call 1 MB": (call(bytes(1_000_000)), 40, 1_000_000),
}


def best(rounds: int, action: Callable[[], object]) -> float:
    """Seconds of the quickest round."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def feed(connection: Connection, reads: list[bytes]) -> int:
    """Read the reads, as a socket would give them. How many messages they held."""
    received = 0
    for read in reads:
        connection.receive_data(read)
        received += sum(isinstance(event, Received) for event in connection.events())
    return received


def copy(reads: list[bytes], size: int) -> None:
    """Copy the reads, so many at once: what memcpy takes from where a socket would have put them."""
    for start in range(0, len(reads), size):
        b"".join(reads[start : start + size])


def copied(sender: Connection, payload: Term, size: int) -> float:
    """Bytes newly allocated for one message, for each byte of payload."""
    sent(sender, payload, 1)
    tracemalloc.start()
    buffers = sent(sender, payload, 1)
    allocated, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del buffers
    return allocated / size


def decoding(payload: Term, rounds: int) -> float:
    """Seconds to decode the payload as it stands on the wire."""
    atoms = [Atom("$gen_call"), Atom(ME.node), Atom("alias"), Atom("get")]
    refs = {atom: bytes((82, index)) for index, atom in enumerate(atoms)}
    data = b"".join(encode_bare((payload,), refs))
    count = max(10, 200_000 // len(data))

    def decode() -> None:
        for _ in range(count):
            decode_bare(data, 0, atom_refs=atoms)

    return best(rounds, decode) / count


def measure(name: str, rounds: int) -> str:
    """One line of the table."""
    payload, count, size = CASES[name]
    sender, receiver = connected_pair()
    feed(receiver, [bytes(piece) for _ in range(2) for piece in sent(sender, payload, 1)])

    def send() -> None:
        sent(sender, payload, count)

    sending = best(rounds, send) / count
    stream = b"".join(sent(sender, payload, count))
    reads = [stream[start : start + READ_BYTES] for start in range(0, len(stream), READ_BYTES)]
    arrived = feed(receiver, reads)
    if arrived != count:
        raise SystemExit(f"{name}: {count} messages were sent, {arrived} arrived")
    reading = best(rounds, lambda: feed(receiver, reads)) / count
    codec = decoding(payload, rounds)
    own = f"{(reading - codec) * 1e6:9.2f} us"
    line = f"{name:16} {1 / sending:12,.0f} {1 / reading:12,.0f} {1 / codec:12,.0f} {own:>12}"
    if not size:
        return line
    line = f"{line} {copied(sender, payload, size):8.2f}"
    if size < READ_BYTES:
        return line
    memcpy = best(rounds, lambda: copy(reads, size // READ_BYTES + 1)) / count
    return f"{line} {reading / memcpy:12.1f}"


def sent(sender: Connection, payload: Term, count: int) -> list[bytes | memoryview]:
    """The buffers of so many messages."""
    for _ in range(count):
        sender.send(RegSend(ME, ECHO), payload)
    buffers: list[bytes | memoryview] = []
    while more := sender.data_to_send():
        buffers += more
    return buffers


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(f"messages per second, one core, codec: {backend()}")
    print(f"{'':16} {'sent':>12} {'read':>12} {'codec':>12} {'own':>12} {'copied':>8} {'read/memcpy':>12}")
    for name in CASES:
        print(measure(name, rounds))


if __name__ == "__main__":
    main()
