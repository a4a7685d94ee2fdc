"""What a node holds: memory of each process, memory and processor time of each further connection."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from child import Child
from contenders import HOST, Contenders
from rows import ERGO, ONE_NODE, OTP

PROCESSES: Final = 20_000
SPOKES: Final = 200
PROC: Final = Path("/proc")
KILOBYTE: Final = 1024

Cost = tuple[str, str, str, float]
"""A line's name, its unit, the contender, the figure."""


def resident(pid: int) -> int:
    """Bytes of memory a process has."""
    return int((PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def processor_time(pid: int) -> float:
    """Seconds a process has run."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def costs(contenders: Contenders, round: int) -> Iterator[Cost]:
    """One round, each contender in a process of its own that has nothing else to hold."""
    if not PROC.is_dir():
        return
    nodes: dict[str, Callable[[str], Child]] = {"uvloop": lambda name: contenders.python("uvloop", name)}
    if OTP not in contenders.missing:
        nodes[OTP] = contenders.otp
    for contender, start in nodes.items():
        name = f"held_{contender.lower()}_{round}"
        child = start(name)
        try:
            child.wait_ready()
            yield from connections(contenders, contender, child, name)
            yield process(contender, child)
        finally:
            child.close()
    ergo = contenders.sides.get((ERGO, ONE_NODE))
    if ergo is not None:
        yield process(ERGO, ergo.child)


def process(contender: str, child: Child) -> Cost:
    """Memory of one more server."""
    before = resident(child.pid)
    child.ask("start", PROCESSES)
    return "memory of a server", "KB", contender, (resident(child.pid) - before) / PROCESSES / KILOBYTE


def connections(contenders: Contenders, contender: str, child: Child, name: str) -> Iterator[Cost]:
    """Memory and time of one more connection, at the side that is connected to."""
    spokes = contenders.python("uvloop")
    try:
        spokes.ask("spokes", f"{name}@{HOST}", 1)
        memory, spent = resident(child.pid), processor_time(child.pid)
        spokes.ask("spokes", f"{name}@{HOST}", SPOKES)
        spent = (processor_time(child.pid) - spent) / SPOKES * 1e3
        memory = (resident(child.pid) - memory) // SPOKES
    finally:
        spokes.close()
    yield "memory of a connection", "KB", contender, memory / KILOBYTE
    yield "processor time of a connection", "ms", contender, spent
