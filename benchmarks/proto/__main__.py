"""Messages per second through a pair of in-memory connections: `python benchmarks/proto [--rounds 7]`.

Each cell is the best of some rounds, because other work on the machine only ever adds time. Read is what a
receiving node pays (framing, header, control message, payload, event); "less codec" is the same with a
decoder that costs nothing, so this package's own share. Copied is how many bytes `send` allocates for each byte of
payload; the last column is the time to read in times of one plain copy of the payload.
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable
from typing import Final
from unittest.mock import patch

import erldist_proto._incoming as incoming
from erldist_proto import Connection, Received, RegSend
from erldist_proto.testing import connected_pair
from etf_codec import Atom, ImproperList, Pid, Reference, Term, backend

ME: Final = Pid("alice@host", 85, 0, 1)
ECHO: Final = Atom("echo")
READ_BYTES: Final = 65536
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


def copied(sender: Connection, payload: Term, size: int) -> float:
    """Bytes newly allocated for one message, for each byte of payload."""
    sender.send(RegSend(ME, ECHO), payload)
    sender.data_to_send()
    tracemalloc.start()
    sender.send(RegSend(ME, ECHO), payload)
    allocated, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    sender.data_to_send()
    return allocated / size


def less_codec(receiver: Connection, reads: list[bytes], rounds: int) -> float:
    """The time to read with a decoder that costs nothing."""
    with patch.object(incoming, "decode_bare", lambda data, offset, **options: (None, len(data))):
        return best(rounds, lambda: feed(receiver, reads))


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
    own = less_codec(receiver, reads, rounds) / count
    line = f"{name:16} {1 / sending:12,.0f} {1 / reading:12,.0f} {1 / own:12,.0f}"
    if not size:
        return line
    plain = bytearray(size)
    memcpy = best(rounds * 20, lambda: bytes(plain))
    return f"{line} {copied(sender, payload, size):8.2f} {reading / memcpy:12.1f}"


def sent(sender: Connection, payload: Term, count: int) -> list[bytes | memoryview]:
    """The buffers of so many messages."""
    for _ in range(count):
        sender.send(RegSend(ME, ECHO), payload)
    return sender.data_to_send()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    print(f"messages per second, one core, codec: {backend()}")
    print(f"{'':16} {'sent':>12} {'read':>12} {'less codec':>12} {'copied':>8} {'read/memcpy':>12}")
    for name in CASES:
        print(measure(name, rounds))


if __name__ == "__main__":
    main()
