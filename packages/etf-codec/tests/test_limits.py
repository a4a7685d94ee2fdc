"""Limits say what they accept, and hold the memory of the whole process: the native codec's, too."""

import subprocess
import sys

import pytest
from etf_codec import Limits
from etf_codec._limits import DEPTH_CEILING


@pytest.mark.parametrize("depth", [0, -1, DEPTH_CEILING + 1])
def test_the_depth_has_a_ceiling(depth: int) -> None:
    with pytest.raises(ValueError, match=f"1 to {DEPTH_CEILING}"):
        Limits(max_depth=depth)


def test_bounds_are_positive_or_none() -> None:
    with pytest.raises(ValueError, match="max_bytes must be a positive integer"):
        Limits(max_bytes=0)
    assert Limits(max_bytes=None).max_bytes > 2**40


def test_equal_limits_are_equal() -> None:
    assert Limits(max_depth=5) == Limits(max_depth=5)
    assert hash(Limits(max_depth=5)) == hash(Limits(max_depth=5))
    assert Limits() != Limits(max_depth=5)
    assert "max_depth=5" in repr(Limits(max_depth=5))


# What tracemalloc cannot see, the system can: all memory of the process, by whichever language it is taken.
HOSTILE = """
import resource, sys, threading, zlib
from etf_codec import Atom, EtfError, Limits, decode, decode_bare, encode
from etf_codec._limits import DEPTH_CEILING

ROOM = 256 * 1024 * 1024
DEEP = 10**6
PRIME = 2**61 - 1

def compressed(body):
    return b"\\x83P" + len(body).to_bytes(4) + zlib.compress(body)

def inputs():
    for opening in (b"h\\1", b"l\\0\\0\\0\\1", b"t\\0\\0\\0\\1", b"t\\0\\0\\0\\1a\\1", b"i\\0\\0\\0\\1"):
        body = opening * DEEP + b"j"
        yield b"\\x83" + body
        yield b"\\x83t\\0\\0\\0\\1" + body + b"j"
        yield compressed(body)
        at_the_ceiling = opening * DEPTH_CEILING + b"j"
        yield b"\\x83" + at_the_ceiling
        yield b"\\x83t\\0\\0\\0\\1" + at_the_ceiling[len(opening):] + b"j"
    for opening in (b"l", b"t", b"i", b"m", b"o", b"M", b"C", b"p" + bytes(25)):
        for count in (0x00FFFFFF, 0x7FFFFFFF, 0xFFFFFFFF):
            yield b"\\x83" + opening + count.to_bytes(4) + b"j" * 1000
    keys = [encode(n * PRIME)[1:] for n in range(1, 20_001)]
    for wrapping in (b"", b"h\\1", b"l\\0\\0\\0\\1%bj", b"t\\0\\0\\0\\1%bj"):
        crowd = [wrapping % key if b"%" in wrapping else wrapping + key for key in keys]
        yield b"\\x83t" + len(crowd).to_bytes(4) + b"".join(key + b"j" for key in crowd)
    zeros = b"m" + (100 * 1024 * 1024).to_bytes(4)
    bomb = zlib.compressobj()
    squeezed = bomb.compress(zeros)
    for _ in range(100):
        squeezed += bomb.compress(bytes(1024 * 1024))
    squeezed += bomb.flush()
    for declared in (1000, 60 * 1024 * 1024, 5 + 100 * 1024 * 1024, 0xFFFFFFFF):
        yield b"\\x83P" + declared.to_bytes(4) + squeezed
    yield compressed(b"l" + (20_000_000).to_bytes(4) + b"j" * 20_000_001)
    yield b"\\x83l" + (20_000_000).to_bytes(4) + b"j" * 20_000_001

def attempts():
    for data in inputs():
        for options in ({}, {"limits": Limits(max_depth=DEPTH_CEILING)}):
            for read in (lambda: (decode(data, **options), 0), lambda: decode_bare(data, 1, **options)):
                try:
                    encode(read()[0], **options)
                except EtfError:
                    pass
    for n in range(50_000):
        decode(b"\\x83h\\2w\\x0aflood%05dX" % n + b"w\\x0aflood%05d" % n + n.to_bytes(12))
        decode(b"\\x83t\\0\\0\\0\\1m\\0\\0\\0\\x20%032dj" % n)
        encode(Atom("other flood %d" % n))
    print("survived")

used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
if sys.argv[1] == "thread":
    threading.stack_size(512 * 1024)
    thread = threading.Thread(target=attempts)
    thread.start()
    thread.join()
else:
    attempts()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space of a process")
@pytest.mark.parametrize("where", ["main", "thread"])
def test_hostile_input_stays_below_a_memory_ceiling(where: str) -> None:
    command = [sys.executable, "-c", HOSTILE, where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "survived"), done.stderr[-2000:]
